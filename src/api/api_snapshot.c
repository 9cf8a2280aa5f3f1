/* Snapshots: POST /sandboxes/{id}/snapshots, GET /snapshots, DELETE /templates/{id}. */
#include <string.h>

#include "api/api_internal.h"
#include "wire/uri.h"

enum { WAIT_MS = 65000 /* above what the engine may take to capture */ };

struct work {
    struct template_ref ref;
    struct sandbox_capture made;
};

/* A reference in a name of ours: without a namespace, or with the own one. -EINVAL: answered by
 * the sentence in `op`. */
static int read_name(struct op *op, struct str text, struct template_ref *out)
{
    if (template_ref_parse(text, out) < 0) {
        if (text.n > 100)
            text.n = 100;
        return op_fail(op, FAULT_INVALID, EINVAL, "Invalid snapshot name: " STR_FMT, STR_ARG(text));
    }
    if (out->space[0] && strcmp(out->space, TEMPLATE_SPACE) != 0)
        return op_fail(op, FAULT_INVALID, EINVAL,
                       "Invalid snapshot name: the namespace must be '%s' or none", TEMPLATE_SPACE);
    return 0;
}

/* SnapshotInfo (core.md 2.6), appended. */
static void put_snapshot(struct buf *b, const char *id, const char *name, const char *tag)
{
    if (name)
        (void)buf_printf(b,
                         "{\"snapshotID\":\"" TEMPLATE_SPACE "/%s:%s\",\"names\":[\"" TEMPLATE_SPACE
                         "/%s\"]," API_CONTENTS "}",
                         name, tag, name);
    else
        (void)buf_printf(b, "{\"snapshotID\":\"%s:%s\",\"names\":[]," API_CONTENTS "}", id, tag);
}

/* -- create -- */

static void on_made(struct sandbox_wait *w, struct sandbox *s, const struct fault *fault)
{
    struct api_call *c = w->data;
    const struct work *k = c->work;
    if (fault || !s) {
        c->op.fault = fault ? *fault
                            : (struct fault){ .code = FAULT_NOT_FOUND,
                                              .text = "the sandbox was killed meanwhile" };
        api_reply_fault(c);
        return;
    }
    struct buf *b = &c->api->out;
    buf_reset(b);
    put_snapshot(b, k->made.template_id, k->ref.name[0] ? k->ref.name : NULL,
                 k->ref.tag[0] ? k->ref.tag : TEMPLATE_DEFAULT_TAG);
    api_reply(c, 201, NULL, buf_str(b));
}

static void make_it(struct api_call *c)
{
    struct work *k = c->work;
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    if (!c->deadline_ms)
        c->deadline_ms = loop_now_ms(c->api->spec.loop) + WAIT_MS;
    api_wait_init(c, on_made);
    int r =
        fleet_capture(c->api->spec.fleet, &c->op, s, &k->ref, &k->made, c->deadline_ms, &c->wait);
    if (r == -EAGAIN)
        api_wait_again(c, make_it);
    else if (r < 0)
        api_reply_fault(c);
}

static void take_snapshot(struct api_call *c, const json_t *body)
{
    struct str name;
    struct work *k = calloc(1, sizeof *k);
    c->work = k;
    c->work_free = free;
    int r = k ? api_field_str(&c->op, body, "name", &name)
              : op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    if (r == 1)
        r = read_name(&c->op, name, &k->ref);
    if (r < 0)
        api_reply_fault(c);
    else
        make_it(c);
}

/* The body is required, an empty object is enough; none at all is forgiven. */
void api_snapshot_create(struct api_call *c) { api_take_body(c, true, take_snapshot); }

/* -- list -- */

struct snapshot_page {
    struct store_page page;
    char source[33], template_id[TEMPLATE_NAME_SIZE], before_id[64];
    struct template_ref ref;
    bool is_nothing; /* the name is unknown */
    struct buf *b;
    uint32_t rows, limit;
    int64_t last_us;
    char last_id[64];
    bool has_more;
};

static int read_token(struct op *op, struct str value, struct snapshot_page *l)
{
    struct str time, id;
    bool good = value.n > 1 && value.p[0] == 's' && str_cut(str_skip(value, 1), '.', &time, &id) &&
                str_to_i64(time, &l->page.before_us) && id.n &&
                str_copy(id, l->before_id, sizeof l->before_id);
    if (!good)
        return op_fail(op, FAULT_INVALID, EINVAL, "Invalid next token");
    l->page.before_id = l->before_id;
    return 0;
}

static int read_filter(struct api_call *c, struct str name, struct str value,
                       struct snapshot_page *l)
{
    struct templates in = fleet_templates(c->api->spec.fleet);
    if (str_eq(name, STR("limit")))
        return api_query_limit(&c->op, value, &l->limit);
    if (str_eq(name, STR("nextToken")) && value.n)
        return read_token(&c->op, value, l);
    if (str_eq(name, STR("sandboxID"))) {
        struct str id;
        if (!identity_parse_id(value, &id) || !str_copy(id, l->source, sizeof l->source))
            return op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid sandbox ID");
        l->page.source = l->source;
    }
    if (!str_eq(name, STR("name")))
        return 0;
    int r = read_name(&c->op, value, &l->ref);
    if (r < 0)
        return r;
    l->is_nothing = !template_resolve(&in, &l->ref, l->template_id, NULL);
    l->page.template_id = l->template_id;
    l->page.tag = l->ref.tag[0] ? l->ref.tag : NULL;
    return 0;
}

static int read_query(struct api_call *c, struct snapshot_page *l)
{
    struct str rest = c->query, n, v, name, value;
    int r = 0;
    while (r == 0 && uri_query_next(&rest, &n, &v)) {
        if (!uri_decode(&c->arena, n, true, &name) || !uri_decode(&c->arena, v, true, &value))
            return api_invalid(&c->op, "the query is not well encoded");
        r = read_filter(c, name, value, l);
    }
    return r;
}

static int put_row(void *data, const struct store_build *b)
{
    struct snapshot_page *l = data;
    l->has_more = l->rows == l->limit;
    if (l->has_more)
        return 1;
    if (l->rows++)
        (void)buf_append(l->b, STR(","));
    put_snapshot(l->b, b->template_id, b->name, b->tag);
    l->last_us = b->created_us;
    (void)str_copy(str_of(b->id), l->last_id, sizeof l->last_id);
    return 0;
}

void api_snapshot_list(struct api_call *c)
{
    struct snapshot_page l = { .page = { .kind = "snapshot", .before_us = INT64_MAX },
                               .b = &c->api->out,
                               .limit = LIMIT_LIST_PAGE };
    char fields[128] = "";
    int r = read_query(c, &l);
    buf_reset(l.b);
    (void)buf_append(l.b, STR("["));
    l.page.limit = l.limit + 1;
    if (r == 0 && !l.is_nothing)
        r = store_build_page(c->api->spec.store, &l.page, put_row, &l);
    (void)buf_append(l.b, STR("]"));
    if (r >= 0 && l.b->failed)
        r = -ENOMEM;
    if (r < 0) {
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the snapshots cannot be listed");
        api_reply_fault(c);
        return;
    }
    if (l.has_more)
        (void)snprintf(fields, sizeof fields, "X-Next-Token: s%lld.%s\r\n", (long long)l.last_us,
                       l.last_id);
    api_reply(c, 200, fields, buf_str(l.b));
}

/* -- delete -- */

static int never(void *data, const struct store_build *b)
{
    (void)data;
    (void)b;
    return 0;
}

/* The template `ref` names is in the store, and has that tag. 0 or a negative errno. */
static int check_there(struct api_call *c, const struct template_ref *ref,
                       char id[TEMPLATE_NAME_SIZE])
{
    struct templates in = fleet_templates(c->api->spec.fleet);
    bool is_builtin = false;
    if (!template_resolve(&in, ref, id, &is_builtin))
        return op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "template '%s%s%s' not found", ref->space,
                       ref->space[0] ? "/" : "", ref->name);
    if (is_builtin)
        return op_fail(&c->op, FAULT_FORBIDDEN, EPERM, "template '%s' is built in", ref->name);
    int r = ref->tag[0] ? store_build_tagged(in.store, id, ref->tag, never, NULL) : 1;
    if (r < 0)
        return op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the template cannot be read");
    return r == 1 ? 0
                  : op_fail(&c->op, FAULT_NOT_FOUND, ENOENT,
                            "tag '%s' does not exist for template '%s'", ref->tag, ref->name);
}

void api_template_delete(struct api_call *c)
{
    struct template_ref ref;
    char id[TEMPLATE_NAME_SIZE];
    int r = template_ref_parse(c->id, &ref);
    if (r < 0)
        r = op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid template reference: %.100s", c->id.p);
    else
        r = check_there(c, &ref, id);
    if (r == 0 && !ref.tag[0])
        builds_cancel_template(c->api->spec.builds, id);
    if (r == 0)
        r = fleet_tag_remove(c->api->spec.fleet, &c->op, id, ref.tag[0] ? ref.tag : NULL);
    if (r < 0)
        api_reply_fault(c);
    else
        api_reply_empty(c);
}
