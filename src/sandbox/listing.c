#include "sandbox/listing.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sandbox/sandbox.h"

struct listing_group {
    struct listing_rows rows;
    size_t n;
    char key[];
};

/* -- rows -- */

static int compare(const struct sandbox *s, int64_t started_us, struct str id)
{
    if (s->started_us != started_us)
        return s->started_us < started_us ? -1 : 1;
    struct str own = str_of(s->id);
    int c = memcmp(own.p, id.p ? id.p : "", own.n < id.n ? own.n : id.n);
    if (c == 0)
        c = own.n < id.n ? -1 : own.n > id.n;
    return -c;
}

uint32_t listing_lower_bound(const struct listing_rows *r, int64_t started_us, struct str id)
{
    uint32_t low = 0, high = r->len;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (compare(r->at[mid], started_us, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool rows_join(struct listing_rows *r)
{
    if (r->joined == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 4;
        struct sandbox **grown = realloc(r->at, cap * sizeof *grown);
        if (!grown)
            return false;
        r->at = grown;
        r->cap = cap;
    }
    r->joined++;
    return true;
}

static void rows_add(struct listing_rows *r, struct sandbox *s)
{
    /* new runs begin now: this is the end of the array */
    uint32_t at = listing_lower_bound(r, s->started_us, str_of(s->id));
    memmove(r->at + at + 1, r->at + at, (r->len - at) * sizeof *r->at);
    r->at[at] = s;
    r->len++;
    r->running += s->place.is_running;
}

static void rows_remove(struct listing_rows *r, const struct sandbox *s)
{
    uint32_t at = listing_lower_bound(r, s->started_us, str_of(s->id));
    r->len--;
    memmove(r->at + at, r->at + at + 1, (r->len - at) * sizeof *r->at);
    r->running -= s->place.is_running;
}

/* -- groups -- */

static struct str key_of(struct buf *b, char kind, const char *name, const char *value)
{
    buf_reset(b);
    (void)buf_byte(b, kind);
    (void)buf_append(b, str_of(name));
    (void)buf_byte(b, '\0'); /* in no name and no value */
    (void)buf_append(b, str_of(value));
    return b->failed ? STR_NONE : buf_str(b);
}

static struct listing_group *group_get(struct listing *l, struct str key)
{
    struct listing_group *g = key.n ? map_get(&l->groups, key) : NULL;
    if (g || !key.n)
        return g;
    g = calloc(1, sizeof *g + key.n);
    if (!g)
        return NULL;
    g->n = key.n;
    memcpy(g->key, key.p, key.n);
    if (!map_put(&l->groups, str_make(g->key, g->n), g)) {
        free(g);
        return NULL;
    }
    return g;
}

static void group_leave(struct listing *l, struct listing_group *g)
{
    if (g->rows.joined > 1) {
        g->rows.joined--;
        return;
    }
    (void)map_remove(&l->groups, str_make(g->key, g->n));
    free(g->rows.at);
    free(g);
}

static bool join_group(struct listing *l, struct listing_place *p, struct str key)
{
    struct listing_group *g = group_get(l, key);
    if (!g)
        return false;
    if (!rows_join(&g->rows)) {
        if (g->rows.joined == 0) {
            g->rows.joined = 1;
            group_leave(l, g);
        }
        return false;
    }
    p->groups[p->group_count++] = g;
    return true;
}

/* -- public -- */

void listing_init(struct listing *l)
{
    *l = (struct listing){ 0 };
    map_init(&l->groups);
    buf_init(&l->scratch, 0);
}

void listing_deinit(struct listing *l)
{
    free(l->all.at);
    map_deinit(&l->groups);
    buf_deinit(&l->scratch);
}

bool listing_join(struct listing *l, struct sandbox *s)
{
    struct listing_place *p = &s->place;
    const char *name;
    json_t *value;
    size_t most = json_object_size(s->spec.metadata) + 1;
    p->groups = malloc(most * sizeof(struct listing_group *));
    bool good = p->groups && rows_join(&l->all);
    if (!good) {
        free(TAKE_PTR(p->groups));
        return false;
    }
    good = join_group(l, p, key_of(&l->scratch, 't', s->spec.template.id, ""));
    json_object_foreach(s->spec.metadata, name, value)
    {
        good = good && join_group(l, p, key_of(&l->scratch, 'm', name, json_string_value(value)));
    }
    if (!good)
        listing_leave(l, s);
    return good;
}

void listing_leave(struct listing *l, struct sandbox *s)
{
    struct listing_place *p = &s->place;
    if (!p->groups)
        return;
    listing_remove(l, s);
    while (p->group_count)
        group_leave(l, p->groups[--p->group_count]);
    free(TAKE_PTR(p->groups));
    l->all.joined--;
}

static void mark(struct listing *l, struct sandbox *s, bool is_running)
{
    struct listing_place *p = &s->place;
    uint32_t by = (uint32_t)is_running - (uint32_t)p->is_running;
    p->is_running = is_running;
    l->all.running += by;
    for (uint32_t i = 0; i < p->group_count; i++)
        p->groups[i]->rows.running += by;
}

void listing_update(struct listing *l, struct sandbox *s)
{
    struct listing_place *p = &s->place;
    bool is_running = life_is_visible(s->state) && !life_is_paused(s->state);
    if (!life_is_visible(s->state)) {
        listing_remove(l, s);
        return;
    }
    if (p->is_listed) {
        mark(l, s, is_running);
        return;
    }
    p->is_listed = true;
    p->is_running = is_running;
    rows_add(&l->all, s);
    for (uint32_t i = 0; i < p->group_count; i++)
        rows_add(&p->groups[i]->rows, s);
}

void listing_remove(struct listing *l, struct sandbox *s)
{
    struct listing_place *p = &s->place;
    if (!p->is_listed)
        return;
    rows_remove(&l->all, s);
    for (uint32_t i = 0; i < p->group_count; i++)
        rows_remove(&p->groups[i]->rows, s);
    p->is_listed = p->is_running = false;
}

/* False: nobody has it. */
static bool need(struct listing *l, struct listing_view *v, struct str key)
{
    struct listing_group *g = map_get(&l->groups, key);
    if (!g || v->need_count > LISTING_PAIRS)
        return false;
    v->need[v->need_count++] = g;
    if (g->rows.len < v->rows->len)
        v->rows = &g->rows;
    return true;
}

void listing_find(struct listing *l, const json_t *metadata, const char *template_id,
                  struct listing_view *out)
{
    static const struct listing_rows none;
    const char *name;
    json_t *value;
    bool good = true;
    *out = (struct listing_view){ .rows = &l->all };
    if (template_id[0])
        good = need(l, out, key_of(&l->scratch, 't', template_id, ""));
    json_object_foreach((json_t *)(uintptr_t)metadata, name, value)
    {
        good = good && need(l, out, key_of(&l->scratch, 'm', name, json_string_value(value)));
    }
    if (!good)
        *out = (struct listing_view){ .rows = &none };
    for (uint32_t i = 0; i < out->need_count; i++) /* that one is answered by where we look */
        if (out->rows == &out->need[i]->rows || (out->rows == &l->all && i == 0)) {
            out->rows = &out->need[i]->rows;
            out->need[i] = out->need[--out->need_count];
            break;
        }
    out->is_exact = out->need_count == 0;
}

bool listing_fits(const struct listing_view *v, const struct sandbox *s)
{
    const struct listing_place *p = &s->place;
    for (uint32_t n = 0; n < v->need_count; n++) {
        uint32_t i = 0;
        while (i < p->group_count && p->groups[i] != v->need[n])
            i++;
        if (i == p->group_count)
            return false;
    }
    return true;
}
