#include "api/list_query.h"

#include <string.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "gen/limits.h"
#include "wire/uri.h"

#define bad(op, ...) op_fail((op), FAULT_INVALID, EINVAL, __VA_ARGS__)

/* SDKs encode keys and values, join them as a form, which encodes again; the query encodes a third
 * time. `value` has lost the outermost of the three. */
static int read_metadata(struct op *op, struct arena *a, struct str value, json_t **out)
{
    struct str form, pair, key, text, k, v, more;
    if (!uri_decode(a, value, true, &form))
        return bad(op, "validation error: metadata is not well encoded");
    *out = json_object();
    while (form.n) {
        (void)str_cut(form, '&', &pair, &form);
        if (!str_cut(pair, '=', &key, &text) || str_cut(text, '=', &v, &more))
            return bad(op, "validation error: metadata must be pairs of key=value");
        json_t *s = NULL;
        if (!uri_decode(a, key, true, &k) || !uri_decode(a, text, true, &v) ||
            !(s = json_stringn(v.p, v.n)) || json_object_set_new(*out, k.p, s) < 0)
            return bad(op, "validation error: metadata is not well encoded");
    }
    if (json_object_size(*out) > LISTING_PAIRS)
        return bad(op, "validation error: metadata has more than %d pairs", LISTING_PAIRS);
    return 0;
}

static int read_state(struct op *op, struct str value, struct list_query *q)
{
    while (value.n) {
        struct str one;
        (void)str_cut(value, ',', &one, &value);
        if (str_eq(one, STR("running")))
            q->wants_running = true;
        else if (str_eq(one, STR("paused")))
            q->wants_paused = true;
        else
            return bad(op, "validation error: state must be running or paused");
    }
    return 0;
}

static int read_token(struct op *op, struct str value, struct list_query *q, char *order)
{
    struct str time;
    if (value.n < 2 || !str_cut(str_skip(value, 1), '.', &time, &q->token_id) ||
        !str_to_i64(time, &q->token_us) || q->token_id.n == 0 || q->token_id.n > 32 ||
        (value.p[0] != 'a' && value.p[0] != 'd'))
        return bad(op, "Invalid next token");
    *order = value.p[0];
    q->has_token = true;
    return 0;
}

static int read_one(struct op *op, struct arena *a, struct str name, struct str value,
                    struct list_query *q, char *token_order)
{
    if (str_eq(name, STR("metadata")) && !q->metadata)
        return read_metadata(op, a, value, &q->metadata);
    if (str_eq(name, STR("state")))
        return read_state(op, value, q);
    if (str_eq(name, STR("limit")))
        return api_query_limit(op, value, &q->limit);
    if (str_eq(name, STR("nextToken")))
        return value.n ? read_token(op, value, q, token_order) : 0;
    if (str_eq(name, STR("template")))
        q->template = value;
    if (str_eq(name, STR("order"))) {
        q->is_ascending = str_eq(value, STR("asc"));
        if (!q->is_ascending && !str_eq(value, STR("desc")))
            return bad(op, "validation error: order must be asc or desc");
    }
    if (str_eq(name, STR("startedAfter")) && !clock_parse(value.p, value.n, &q->started_after_us))
        return bad(op, "validation error: startedAfter must be a date and time of RFC 3339");
    return 0;
}

int list_query_parse(struct op *op, struct arena *a, struct str query, struct list_query *out)
{
    struct str rest = query, name, value;
    char token_order = 0;
    int r = 0;
    *out = (struct list_query){ .limit = LIMIT_LIST_PAGE, .started_after_us = INT64_MIN };
    while (r == 0 && uri_query_next(&rest, &name, &value)) {
        struct str k, v;
        if (!uri_decode(a, name, true, &k) || !uri_decode(a, value, true, &v))
            r = bad(op, "validation error: the query is not well encoded");
        else
            r = read_one(op, a, k, v, out, &token_order);
    }
    if (r == 0 && out->has_token && out->is_ascending != (token_order == 'a'))
        r = bad(op, "Invalid next token");
    if (!out->wants_running && !out->wants_paused)
        out->wants_running = out->wants_paused = true;
    if (r < 0) {
        json_decref(out->metadata);
        out->metadata = NULL;
    }
    return r;
}

void list_token_print(char out[LIST_TOKEN_SIZE], bool is_ascending, int64_t started_us,
                      const char *id)
{
    (void)snprintf(out, LIST_TOKEN_SIZE, "%c%lld.%s", is_ascending ? 'a' : 'd',
                   (long long)started_us, id);
}
