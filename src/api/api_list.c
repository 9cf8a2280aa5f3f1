/* GET /v2/sandboxes and GET /sandboxes. */
#include <string.h>

#include "api/api_internal.h"
#include "api/list_query.h"

struct page {
    struct list_query query;
    char template_id[TEMPLATE_NAME_SIZE]; /* "": any */
    struct listing_view view;
    const struct listing_rows *rows; /* of it */
    uint32_t low;                    /* index of the first that is not too old */
};

static bool fits(const struct page *p, const struct sandbox *s)
{
    const struct list_query *q = &p->query;
    return (life_is_paused(s->state) ? q->wants_paused : q->wants_running) &&
           listing_fits(&p->view, s);
}

/* Running ones that the filters let through, on this page or not. */
static uint32_t total_running(const struct page *p)
{
    uint32_t n = 0;
    if (p->view.is_exact && p->low == 0)
        return p->rows->running;
    for (uint32_t i = p->low; i < p->rows->len; i++)
        n += !life_is_paused(p->rows->at[i]->state) && fits(p, p->rows->at[i]);
    return n;
}

/* Index of the first one to look at; rows->len or more: none. Going down past 0 wraps to that. */
static uint32_t first(const struct page *p)
{
    const struct list_query *q = &p->query;
    const struct listing_rows *r = p->rows;
    if (!q->has_token)
        return q->is_ascending ? p->low : r->len - 1;
    uint32_t at = listing_lower_bound(r, q->token_us, q->token_id);
    if (!q->is_ascending)
        return at - 1;
    bool is_itself = at < r->len && r->at[at]->started_us == q->token_us &&
                     str_eq(str_of(r->at[at]->id), q->token_id);
    at += is_itself;
    return at > p->low ? at : p->low;
}

/* Puts the page into `b` and the last one of it into *last; true: there is more behind it. */
static bool put_page(const struct page *p, struct buf *b, const struct sandbox **last)
{
    const struct listing_rows *r = p->rows;
    uint32_t rows = 0, step = p->query.is_ascending ? 1 : UINT32_MAX;
    bool has_more = false;
    *last = NULL;
    for (uint32_t i = first(p); i < r->len && i >= p->low && !has_more; i += step) {
        if (!fits(p, r->at[i]))
            continue;
        has_more = rows == p->query.limit;
        if (has_more)
            break;
        if (rows++)
            (void)buf_append(b, STR(","));
        if (!api_put_sandbox(b, r->at[i], false))
            b->failed = true;
        *last = r->at[i];
    }
    return has_more;
}

/* Fills `p`. 0 or a negative errno with the sentence in c->op. */
static int read_page(struct api_call *c, bool has_pages, struct page *p)
{
    struct list_query *q = &p->query;
    struct template_ref ref;
    struct fleet *f = c->api->spec.fleet;
    struct templates in = fleet_templates(f);
    int r = list_query_parse(&c->op, &c->arena, c->query, q);
    if (r == 0 && q->template.n && (template_ref_parse(q->template, &ref) < 0 || ref.tag[0]))
        r = op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid template: " STR_FMT,
                    STR_ARG(q->template));
    if (r < 0)
        return r;
    if (!has_pages) {
        q->limit = UINT32_MAX;
        q->has_token = q->wants_paused = false;
        q->wants_running = true;
    }
    bool is_known = !q->template.n || template_resolve(&in, &ref, p->template_id, NULL);
    /* no template has this id */
    fleet_view(f, q->metadata, is_known ? p->template_id : "?", &p->view);
    p->rows = p->view.rows;
    /* '~' is behind every id, and equal times go by ids from z to a: the first of that time */
    p->low = q->started_after_us == INT64_MIN
                 ? 0
                 : listing_lower_bound(p->rows, q->started_after_us, STR("~"));
    return 0;
}

static void list(struct api_call *c, bool has_pages)
{
    struct page p = { 0 };
    const struct sandbox *last;
    struct buf *b = &c->api->out;
    char fields[160] = "", token[LIST_TOKEN_SIZE];
    if (read_page(c, has_pages, &p) < 0) {
        json_decref(p.query.metadata);
        api_reply_fault(c);
        return;
    }
    buf_reset(b);
    (void)buf_append(b, STR("["));
    bool has_more = put_page(&p, b, &last);
    (void)buf_append(b, STR("]"));
    if (has_pages && p.query.wants_running)
        (void)snprintf(fields, sizeof fields, "X-Total-Running: %u\r\n", total_running(&p));
    if (has_more) {
        list_token_print(token, p.query.is_ascending, last->started_us, last->id);
        size_t n = strlen(fields);
        (void)snprintf(fields + n, sizeof fields - n, "X-Next-Token: %s\r\n", token);
    }
    json_decref(p.query.metadata);
    if (!b->failed) {
        api_reply(c, 200, fields, buf_str(b));
        return;
    }
    (void)op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    api_reply_fault(c);
}

void api_sandbox_list_v1(struct api_call *c) { list(c, false); }
void api_sandbox_list_v2(struct api_call *c) { list(c, true); }
