/* GET /v2/sandboxes and GET /sandboxes. */
#include <string.h>

#include "api/api_internal.h"
#include "api/list_query.h"

struct listing {
    struct list_query query;
    char template_id[TEMPLATE_NAME_SIZE]; /* "": any */
    uint64_t metadata_bits;
    struct sandbox *const *all;
    uint32_t count;
};

static bool fits(const struct listing *l, const struct sandbox *s)
{
    const struct list_query *q = &l->query;
    return (life_is_paused(s->state) ? q->wants_paused : q->wants_running) &&
           s->started_us >= q->started_after_us &&
           (!l->template_id[0] || strcmp(l->template_id, s->spec.template.id) == 0) &&
           (!q->metadata || ((s->metadata_bits & l->metadata_bits) == l->metadata_bits &&
                             sandbox_spec_matches(&s->spec, q->metadata)));
}

/* Running ones that the filters let through, on this page or not. */
static uint32_t total_running(const struct api_call *c, const struct listing *l)
{
    const struct list_query *q = &l->query;
    if (!l->template_id[0] && !q->metadata && q->started_after_us == INT64_MIN)
        return fleet_count(c->api->spec.fleet).running;
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->count; i++)
        n += !life_is_paused(l->all[i]->state) && fits(l, l->all[i]);
    return n;
}

/* Index of the first one to look at; l->count or more: none. Going down past 0 wraps to that. */
static uint32_t first(const struct api_call *c, const struct listing *l)
{
    const struct list_query *q = &l->query;
    if (!q->has_token)
        return q->is_ascending ? 0 : l->count - 1;
    uint32_t at = fleet_lower_bound(c->api->spec.fleet, q->token_us, q->token_id);
    if (!q->is_ascending)
        return at - 1;
    bool is_itself = at < l->count && l->all[at]->started_us == q->token_us &&
                     str_eq(str_of(l->all[at]->id), q->token_id);
    return at + is_itself;
}

/* Puts the page into `b` and the last one of it into *last; true: there is more behind it. */
static bool put_page(const struct api_call *c, const struct listing *l, struct buf *b,
                     const struct sandbox **last)
{
    uint32_t rows = 0, step = l->query.is_ascending ? 1 : UINT32_MAX;
    bool has_more = false;
    *last = NULL;
    (void)buf_append(b, STR("["));
    for (uint32_t i = first(c, l); i < l->count && !has_more; i += step) {
        if (!fits(l, l->all[i]))
            continue;
        has_more = rows == l->query.limit;
        if (has_more)
            break;
        if (rows++)
            (void)buf_append(b, STR(","));
        if (!api_put_sandbox(b, l->all[i], false))
            b->failed = true;
        *last = l->all[i];
    }
    (void)buf_append(b, STR("]"));
    return has_more;
}

static void list(struct api_call *c, bool has_pages)
{
    struct listing l = { 0 };
    const struct sandbox *last;
    struct template_ref ref;
    struct buf *b = &c->api->out;
    char fields[160] = "", token[LIST_TOKEN_SIZE];
    int r = list_query_parse(&c->op, &c->arena, c->query, &l.query);
    if (r == 0 && l.query.template.n &&
        (template_ref_parse(l.query.template, &ref) < 0 || ref.tag[0]))
        r = op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid template: " STR_FMT,
                    STR_ARG(l.query.template));
    if (r < 0) {
        json_decref(l.query.metadata);
        api_reply_fault(c);
        return;
    }
    l.metadata_bits = sandbox_spec_bits(l.query.metadata);
    l.count = fleet_visible(c->api->spec.fleet, &l.all);
    if (!has_pages) {
        l.query.limit = UINT32_MAX;
        l.query.has_token = l.query.wants_paused = false;
        l.query.wants_running = true;
    }
    struct templates in = fleet_templates(c->api->spec.fleet);
    if (l.query.template.n && !template_resolve(&in, &ref, l.template_id, NULL))
        l.count = 0;
    buf_reset(b);
    bool has_more = put_page(c, &l, b, &last);
    if (has_pages && l.query.wants_running)
        (void)snprintf(fields, sizeof fields, "X-Total-Running: %u\r\n",
                       l.count ? total_running(c, &l) : 0);
    if (has_more) {
        list_token_print(token, l.query.is_ascending, last->started_us, last->id);
        size_t n = strlen(fields);
        (void)snprintf(fields + n, sizeof fields - n, "X-Next-Token: %s\r\n", token);
    }
    json_decref(l.query.metadata);
    if (!b->failed) {
        api_reply(c, 200, fields, buf_str(b));
        return;
    }
    (void)op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    api_reply_fault(c);
}

void api_sandbox_list_v1(struct api_call *c) { list(c, false); }
void api_sandbox_list_v2(struct api_call *c) { list(c, true); }
