#include "api/api.h"

#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/rand.h"
#include "wire/json.h"
#include "wire/uri.h"

enum { ARENA_SIZE = 256 * 1024, PREFLIGHT_SIZE = 1024 };

/* Every answer carries these (core.md 1.3, delta.md 6). */
#define CORS_FIELDS                                                                                \
    "Access-Control-Allow-Origin: *\r\n"                                                           \
    "Access-Control-Expose-Headers: Location, Cache-Control, X-Content-Type-Options, "             \
    "X-Next-Token, X-Total-Running, Retry-After, X-E2B-Trace-ID\r\n"

enum access {
    OPEN,
    KEY,
    ROOT,  /* the server's own key */
    LOGIN, /* an access token of a command line; api_login.c looks at it */
};

struct route {
    struct str method, path;
    enum access access;
    void (*fn)(struct api_call *c);
};
static const struct route routes[] = {
#define X(method, path, handler, access)                                                           \
    { { method, sizeof method - 1 }, { path, sizeof path - 1 }, access, api_##handler },
    ROUTE_TABLE(X)
#undef X
};

/* -- the life of a call -- */

static void call_free(struct api_call *c)
{
    list_remove(&c->node);
    sandbox_wait_cancel(&c->wait);
    if (c->work)
        c->work_free(c->work);
    json_decref(c->body);
    arena_deinit(&c->arena);
    free(c);
}

void api_call_gone(struct api_call *c)
{
    c->http = NULL;
    c->method = c->path = c->query = STR_NONE; /* were views of its head */
    if (!c->is_key_reserved) /* with a key somebody may still ask for the answer */
        (void)sandbox_wait_abandon(&c->wait);
    if (!c->wait.sandbox)
        call_free(c);
}

static void on_gone(struct http_call *h) { api_call_gone(h->data); }

void api_reply_typed(struct api_call *c, int status, const char *type, const char *fields,
                     struct str body)
{
    char lines[1536];
    if (c->http) {
        (void)snprintf(lines, sizeof lines, "X-E2B-Trace-ID: %s\r\n%s", c->trace,
                       fields ? fields : "");
        http_reply(c->http, status, type, lines, body);
    }
    if (status >= 500 && status != 501)
        log_warn("%s " STR_FMT " " STR_FMT " %d %s", c->trace, STR_ARG(c->method), STR_ARG(c->path),
                 status, c->op.fault.text);
    call_free(c);
}

void api_reply(struct api_call *c, int status, const char *fields, struct str json)
{
    api_idempotency_end(c, status, json);
    api_reply_typed(c, status, json.p ? "application/json; charset=utf-8" : NULL, fields, json);
}

void api_reply_json(struct api_call *c, int status, const char *fields, json_t *v)
{
    struct buf *b = &c->api->out;
    buf_reset(b);
    bool good = v && json_put(b, v);
    json_decref(v);
    if (good) {
        api_reply(c, status, fields, buf_str(b));
        return;
    }
    (void)op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    api_reply_fault(c);
}

void api_reply_empty(struct api_call *c) { api_reply(c, 204, NULL, STR_NONE); }

void api_reply_fault(struct api_call *c)
{
    const struct fault *f = &c->op.fault;
    int status = fault_status(f->code);
    struct buf *b = &c->api->out;
    buf_reset(b);
    const char *name = fault_name(f->code);
    json_t *v =
        json_pack("{s:i, s:s, s:s}", "code", status, "message", f->text, "error_code", name);
    if (!v) /* the sentence was cut inside a character */
        v = json_pack("{s:i, s:s, s:s}", "code", status, "message", name, "error_code", name);
    if (!v || !json_put(b, v)) {
        buf_reset(b);
        (void)buf_append(b, STR("{\"code\":500,\"message\":\"out of memory\"}"));
    }
    json_decref(v);
    api_reply(c, status, NULL, buf_str(b));
}

/* -- bodies -- */

static void on_collected(struct http_call *h, struct str text)
{
    struct api_call *c = h->data;
    char why[160];
    bool blank = true;
    for (size_t i = 0; i < text.n && blank; i++)
        blank = memchr(" \t\r\n", text.p[i], 4) != NULL;
    if (!blank || !c->is_body_optional) {
        c->body = blank ? NULL : json_parse(text, why);
        if (!c->body) {
            (void)api_invalid(&c->op, "the body is not JSON: %s", blank ? "it is empty" : why);
            api_reply_fault(c);
            return;
        }
    } else {
        c->body = json_object();
    }
    if (!json_is_object(c->body)) {
        (void)api_invalid(&c->op, "the body must be a JSON object");
        api_reply_fault(c);
        return;
    }
    c->on_body(c, c->body);
}

static void on_text(struct http_call *h, struct str text)
{
    struct api_call *c = h->data;
    c->on_text(c, text);
}

void api_take_text(struct api_call *c, void (*fn)(struct api_call *c, struct str text))
{
    enum { MOST = 8192 };
    c->on_text = fn;
    http_call_collect(c->http, MOST, on_text, on_gone);
}

void api_take_body_of(struct api_call *c, size_t most, bool optional,
                      void (*fn)(struct api_call *c, const json_t *body))
{
    c->on_body = fn;
    c->is_body_optional = optional;
    http_call_collect(c->http, most, on_collected, on_gone);
}

void api_take_body(struct api_call *c, bool optional,
                   void (*fn)(struct api_call *c, const json_t *body))
{
    api_take_body_of(c, LIMIT_API_BODY_SIZE, optional, fn);
}

/* -- waiting -- */

void api_wait_init(struct api_call *c,
                   void (*fn)(struct sandbox_wait *w, struct sandbox *s, const struct fault *f))
{
    c->wait.fn = fn;
    c->wait.data = c;
}

static void on_again(struct sandbox_wait *w, struct sandbox *s, const struct fault *f)
{
    struct api_call *c = w->data;
    (void)s; /* looked up anew: it may be gone */
    c->op.fault = (struct fault){ 0 };
    if (f && f->code == FAULT_TIMEOUT) /* what was asked for has not begun */
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, EBUSY,
                      "the sandbox could not be reached in time; nothing was changed");
    if (c->op.fault.code != FAULT_NONE)
        api_reply_fault(c);
    else if (c->http)
        c->again(c);
    else
        call_free(c);
}

void api_wait_again(struct api_call *c, void (*again)(struct api_call *c))
{
    enum { ROUNDS = 3 };
    c->again = again;
    if (++c->rounds <= ROUNDS) {
        c->wait.fn = on_again;
        return;
    }
    sandbox_wait_cancel(&c->wait);
    c->op.fault = (struct fault){ 0 };
    (void)op_fail(&c->op, FAULT_CONFLICT, EBUSY, "Sandbox \"" STR_FMT "\" is changing its state",
                  STR_ARG(c->id));
    api_reply_fault(c);
}

/* -- routing -- */

/* True when `path` has the form of `pattern`; the segments at {id} and {sub} go to *id, *sub. */
static bool matches(struct str pattern, struct str path, struct str *id, struct str *sub)
{
    bool more = true, more_path = true;
    *id = *sub = STR_NONE;
    while (more && more_path) {
        struct str want, have;
        more = str_cut(pattern, '/', &want, &pattern);
        more_path = str_cut(path, '/', &have, &path);
        if (str_eq(want, STR("{id}")) && have.n > 0)
            *id = have;
        else if (str_eq(want, STR("{sub}")) && have.n > 0)
            *sub = have;
        else if (!str_eq(want, have))
            return false;
    }
    return more == more_path;
}

static const struct route *find_route(struct api_call *c)
{
    bool has_path = false;
    struct str method = str_eq(c->method, STR("HEAD")) ? STR("GET") : c->method, id, sub;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!matches(routes[i].path, c->path, &id, &sub))
            continue;
        has_path = true;
        if (!str_eq(routes[i].method, method))
            continue;
        if ((id.n && !uri_decode(&c->arena, id, false, &c->id)) ||
            (sub.n && !uri_decode(&c->arena, sub, false, &c->sub))) {
            (void)op_fail(&c->op, FAULT_INVALID, EINVAL, "the path is not well encoded");
            return NULL;
        }
        return &routes[i];
    }
    (void)op_fail(&c->op, has_path ? FAULT_METHOD : FAULT_NOT_FOUND, ENOENT,
                  has_path ? "this path has no such method"
                           : "this API has no such path; see docs/compatibility.md");
    return NULL;
}

/* X-API-KEY decides; a Bearer token beside it is not looked at (delta.md 6). */
static bool has_key(struct api_call *c, bool is_root)
{
    struct str text = http_field(&c->http->head, "X-API-KEY");
    if (!text.p) {
        (void)op_fail(&c->op, FAULT_UNAUTHENTICATED, EACCES,
                      "no API key: send it in the X-API-KEY header");
        return false;
    }
    struct api_key *key = api_keys_find(&c->api->keys, text);
    if (!key || key->is_login) {
        (void)op_fail(&c->op, FAULT_UNAUTHENTICATED, EACCES, "Invalid API key");
        return false;
    }
    if (is_root && !key->is_root) {
        (void)op_fail(&c->op, FAULT_FORBIDDEN, EPERM,
                      "only the server's own key (keys/api.key of its state) may do this");
        return false;
    }
    api_keys_used(&c->api->keys, key);
    return true;
}

static bool may_pass(struct api_call *c, enum access access)
{
    return access == OPEN || access == LOGIN || has_key(c, access == ROOT);
}

/* A part of the API that is known but not built: told apart from a sandbox that is not there, which
 * is what the SDKs would read out of a 404. */
void api_unsupported(struct api_call *c)
{
    (void)op_fail(&c->op, FAULT_UNSUPPORTED, ENOSYS,
                  STR_FMT " " STR_FMT " is not there yet on this server; see docs/compatibility.md",
                  STR_ARG(c->method), STR_ARG(c->path));
    api_reply_fault(c);
}

/* A browser asks what it may send: everything (core.md 1.3). */
static void preflight(struct api_call *c)
{
    struct str asked = http_field(&c->http->head, "Access-Control-Request-Headers");
    char lines[PREFLIGHT_SIZE + 256];
    if (asked.n > PREFLIGHT_SIZE)
        asked = STR_NONE;
    (void)snprintf(lines, sizeof lines,
                   "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n"
                   "Access-Control-Allow-Headers: " STR_FMT "\r\n"
                   "Access-Control-Max-Age: 7200\r\n",
                   STR_ARG(asked.n ? asked : STR("*")));
    http_reply(c->http, 204, NULL, lines, STR_NONE);
    call_free(c);
}

static void on_call(struct http_call *h, void *data)
{
    static const struct http_call_ops ops = { .on_gone = on_gone };
    struct api *a = data;
    struct api_call *c = calloc(1, sizeof *c);
    if (!c) {
        http_reply(h, 503, "application/json", NULL,
                   STR("{\"code\":503,\"message\":\"out of memory\"}"));
        return;
    }
    *c = (struct api_call){ .api = a,
                            .http = h,
                            .method = h->head.method,
                            .path = h->head.path,
                            .query = h->head.query,
                            .version = 1 };
    arena_init(&c->arena, ARENA_SIZE);
    list_init(&c->node);
    list_push(&a->calls, &c->node);
    (void)snprintf(c->trace, sizeof c->trace, "%016llx%016llx", (unsigned long long)a->trace_base,
                   (unsigned long long)++a->trace_count);
    h->data = c;
    h->ops = &ops;
    if (str_eq(c->method, STR("OPTIONS"))) {
        preflight(c);
        return;
    }
    const struct route *r = find_route(c);
    if (r && may_pass(c, r->access))
        r->fn(c);
    else
        api_reply_fault(c);
}

struct api *api_new(const struct api_spec *spec)
{
    struct api *a = calloc(1, sizeof *a);
    unsigned char team[32];
    if (!a)
        return NULL;
    a->spec = *spec;
    list_init(&a->calls);
    buf_init(&a->out, 0);
    rand_bytes(&a->trace_base, sizeof a->trace_base);
    int r = api_keys_init(&a->keys, spec->store, spec->key);
    a->server = http_server_new(&(struct http_server_spec){ .loop = spec->loop,
                                                            .on_call = on_call,
                                                            .data = a,
                                                            .conns_max = LIMIT_HTTP_CONNS,
                                                            .fields = CORS_FIELDS });
    if (r < 0 || !a->server || store_secret(spec->store, "login", a->login_secret) < 0 ||
        store_secret(spec->store, "team", team) < 0) {
        api_free(a);
        errno = EIO;
        return NULL;
    }
    rand_uuid_of(team, a->team);
    return a;
}

void api_free(struct api *a)
{
    if (!a)
        return;
    if (a->server)
        http_server_free(a->server);
    LIST_EACH_SAFE(it, &a->calls) /* what was begun goes on, unheard */
        call_free(LIST_OF(it, struct api_call, node));
    api_keys_deinit(&a->keys);
    buf_deinit(&a->out);
    free(a);
}

int api_listen(struct api *a, int fd) { return http_server_listen(a->server, fd, 0); }
