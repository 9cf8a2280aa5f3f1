#include "interp/interp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "gen/limits.h"
#include "interp/context.h"
#include "interp/line.h"
#include "interp/request.h"
#include "os/os_file.h"
#include "wire/json.h"

#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"
#define CORS_ANY "Access-Control-Allow-Origin: *\r\n"

struct interp {
    struct interp_spec spec;
    struct http_server *server;
    struct list contexts; /* in the order of their creation */
    uint32_t context_count;
    uint32_t ahead; /* default contexts that are still to be ready */
    struct context_wait ahead_waits[4];
    struct loop_task sweep; /* contexts that could not be made, outside of their callbacks */
};

/* A call that waits for a context. */
struct pending {
    struct context_wait wait;
    struct interp *interp;
    struct http_call *http;
    json_t *request;
    void (*then)(struct pending *p, struct context *c);
    const char *failed; /* what the answer of a failure begins with */
};

/* -- answers -- */

__attribute__((format(printf, 3, 4))) static void reply_text(struct http_call *c, int status,
                                                             const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    http_reply(c, status, TEXT_TYPE, NULL, str_of(text));
}

static void reply_json(struct http_call *c, json_t *value)
{
    struct buf b;
    buf_init(&b, 0);
    (void)json_put(&b, value);
    http_reply(c, 200, JSON_TYPE, NULL, buf_str(&b));
    buf_deinit(&b);
    json_decref(value);
}

/* As the reference server words what a schema refuses. */
static void reply_invalid(struct http_call *c, const char *field, const char *why)
{
    json_t *v = json_pack("{s:[{s:s, s:[s,s], s:s}]}", "detail", "type", "value_error", "loc",
                          "body", field, "msg", why);
    struct buf b;
    buf_init(&b, 0);
    (void)json_put(&b, v);
    http_reply(c, 422, JSON_TYPE, NULL, buf_str(&b));
    buf_deinit(&b);
    json_decref(v);
}

static void reply_no_kernel(struct http_call *c, struct str name)
{
    reply_text(c, 500, "Failed to create context: there is no kernel for '%.*s'",
               (int)(name.n < 40 ? name.n : 40), name.p);
}

static json_t *describe(const struct context *c)
{
    return json_pack("{s:s, s:s, s:s}", "id", c->id, "language", c->spec.language->name, "cwd",
                     c->cwd);
}

/* -- contexts -- */

static struct context *find(struct interp *p, struct str id)
{
    LIST_EACH(it, &p->contexts) {
        struct context *c = LIST_OF(it, struct context, link);
        if (str_eq(str_of(c->id), id))
            return c;
    }
    return NULL;
}

static struct context *find_default(struct interp *p, const struct language *l)
{
    LIST_EACH(it, &p->contexts) {
        struct context *c = LIST_OF(it, struct context, link);
        if (c->spec.is_default && c->spec.language == l)
            return c;
    }
    return NULL;
}

static bool is_directory(struct str path)
{
    struct stat st;
    char text[PATH_MAX];
    return str_copy(path, text, sizeof text) && stat(text, &st) == 0 && S_ISDIR(st.st_mode);
}

static struct context *make(struct interp *p, const struct language *l, struct str cwd,
                            bool is_default)
{
    struct context_spec spec = { .loop = p->spec.loop,
                                 .language = l,
                                 .cwd = cwd,
                                 .dir = p->spec.dir,
                                 .is_default = is_default };
    if (p->context_count >= LIMIT_INTERP_CONTEXTS)
        return NULL;
    struct context *c = context_new(&spec);
    if (!c)
        return NULL;
    list_push(&p->contexts, &c->link);
    p->context_count++;
    return c;
}

static void drop(struct interp *p, struct context *c)
{
    list_remove(&c->link);
    p->context_count--;
    context_free(c);
}

static void on_sweep(struct loop_task *t)
{
    struct interp *p = t->data;
    LIST_EACH_SAFE(it, &p->contexts) {
        struct context *c = LIST_OF(it, struct context, link);
        if (context_is_given_up(c) && !c->was_ready && !c->spec.is_default)
            drop(p, c);
    }
}

/* -- calls that wait for a context -- */

static void pending_free(struct pending *w)
{
    context_wait_cancel(&w->wait);
    json_decref(w->request);
    free(w);
}

static void on_pending_gone(struct http_call *http) { pending_free(http->data); }

static void on_waited(struct context_wait *wait, struct context *c, const char *why)
{
    struct pending *w = wait->data;
    if (why) {
        reply_text(w->http, 500, "%s: %s", w->failed, why);
        loop_task_post(w->interp->spec.loop, &w->interp->sweep);
    } else {
        w->then(w, c);
    }
    pending_free(w);
}

static void wait_for(struct context *c, struct http_call *http, json_t *request, const char *failed,
                     void (*then)(struct pending *, struct context *))
{
    static const struct http_call_ops ops = { .on_gone = on_pending_gone };
    struct pending *w = calloc(1, sizeof *w);
    if (!w) {
        http_reply(http, 503, TEXT_TYPE, NULL, STR("Out of memory"));
        return;
    }
    *w = (struct pending){ .interp = http->data,
                           .http = http,
                           .request = json_incref(request),
                           .then = then,
                           .failed = failed };
    w->wait = (struct context_wait){ .fn = on_waited, .data = w };
    http->data = w;
    http->ops = &ops;
    context_wait(c, &w->wait);
    if (c->is_ready) /* no need to wait, and one way to go on */
        on_waited(&w->wait, c, NULL);
}

static void then_describe(struct pending *w, struct context *c)
{
    reply_json(w->http, describe(c));
}

static void then_null(struct pending *w, struct context *c)
{
    (void)c;
    reply_json(w->http, json_null());
}

static void then_execute(struct pending *w, struct context *c)
{
    context_execute(c, w->http, json_incref(w->request),
                    http_field(&w->http->head, "x-access-token"));
}

/* -- routes -- */

static void get_health(struct interp *p, struct http_call *c, struct str id)
{
    (void)p;
    (void)id;
    http_reply(c, 200, JSON_TYPE, NULL, STR("\"OK\""));
}

static void list_contexts(struct interp *p, struct http_call *c, struct str id)
{
    json_t *all = json_array();
    (void)id;
    LIST_EACH(it, &p->contexts)
        (void)json_array_append_new(all, describe(LIST_OF(it, struct context, link)));
    reply_json(c, all);
}

static void create(struct interp *p, struct http_call *c, const struct request *r)
{
    const struct language *l = language_find(r->language);
    if (!l) {
        reply_no_kernel(c, r->language);
        return;
    }
    bool is_there = r->cwd.n && is_directory(r->cwd);
    if (r->cwd.n && !is_there && l->needs_cwd) {
        reply_text(c, 500, "Failed to set working directory");
        return;
    }
    struct context *made = make(p, l, is_there ? r->cwd : str_of(p->spec.home), false);
    if (!made)
        reply_text(c, 500, "Failed to create context: too many contexts, remove some");
    else
        wait_for(made, c, NULL, "Failed to create context", then_describe);
}

static void on_create_body(struct http_call *c, struct str body)
{
    struct request r;
    if (request_parse_context(body, &r) == 0)
        create(c->data, c, &r);
    else
        reply_invalid(c, r.field, r.why);
    request_deinit(&r);
}

static void create_context(struct interp *p, struct http_call *c, struct str id)
{
    (void)p;
    (void)id;
    http_call_collect(c, LIMIT_INTERP_BODY_SIZE, on_create_body, NULL);
}

static void reply_no_context(struct http_call *c, struct str id)
{
    reply_text(c, 404, "Context %.*s not found", (int)(id.n < 60 ? id.n : 60), id.p);
}

static void restart_context(struct interp *p, struct http_call *c, struct str id)
{
    struct context *found = find(p, id);
    if (!found) {
        reply_no_context(c, id);
        return;
    }
    context_restart(found);
    wait_for(found, c, NULL, "Failed to restart context", then_null);
}

static void remove_context(struct interp *p, struct http_call *c, struct str id)
{
    struct context *found = find(p, id);
    if (!found) {
        reply_no_context(c, id);
        return;
    }
    drop(p, found);
    reply_json(c, json_null());
}

/* The context that is meant; NULL: answered already. */
static struct context *meant(struct interp *p, struct http_call *c, const struct request *r)
{
    struct str id = r->context, name = r->language;
    if (id.n && name.n) {
        reply_text(c, 400, "Only one of context_id or language can be provided");
        return NULL;
    }
    struct context *found = id.n ? find(p, id) : NULL;
    if (id.n && !found)
        reply_no_context(c, id);
    if (id.n)
        return found;
    const struct language *l = language_find(name);
    if (!l) {
        reply_no_kernel(c, name);
        return NULL;
    }
    found = find_default(p, l);
    if (!found)
        found = make(p, l, str_of(p->spec.home), true);
    if (!found)
        reply_text(c, 500, "Failed to create context: too many contexts, remove some");
    return found;
}

static void on_execute_body(struct http_call *c, struct str body)
{
    struct request r;
    if (request_parse_execution(body, &r) == 0) {
        struct context *found = meant(c->data, c, &r);
        if (found)
            wait_for(found, c, r.body, "Failed to create context", then_execute);
    } else {
        reply_invalid(c, r.field, r.why);
    }
    request_deinit(&r);
}

static void execute(struct interp *p, struct http_call *c, struct str id)
{
    (void)p;
    (void)id;
    http_call_collect(c, LIMIT_INTERP_BODY_SIZE, on_execute_body, NULL);
}

static void preflight(struct http_call *c)
{
    http_reply(c, 204, NULL,
               "Access-Control-Allow-Methods: GET, POST, DELETE\r\n"
               "Access-Control-Allow-Headers: *, X-Access-Token, Content-Type, E2b-Sandbox-Id, "
               "E2b-Sandbox-Port, E2B-Traffic-Access-Token\r\nAccess-Control-Max-Age: 7200\r\n",
               STR(""));
}

/* What stands before and behind the id of a path. */
static const struct {
    const char *method, *before, *after;
    bool has_id;
    void (*fn)(struct interp *p, struct http_call *c, struct str id);
} routes[] = {
    { "GET", "/health", "", false, get_health },
    { "POST", "/execute", "", false, execute },
    { "GET", "/contexts", "", false, list_contexts },
    { "POST", "/contexts", "", false, create_context },
    { "POST", "/contexts/", "/restart", true, restart_context },
    { "DELETE", "/contexts/", "", true, remove_context },
};

static bool matches(size_t i, struct str path, struct str *id)
{
    struct str before = str_of(routes[i].before), after = str_of(routes[i].after);
    if (!routes[i].has_id)
        return str_eq(path, before);
    if (!str_starts(path, before) || path.n < before.n + after.n)
        return false;
    *id = str_make(path.p + before.n, path.n - before.n - after.n);
    return str_eq(str_skip(path, path.n - after.n), after) && id->n && str_find(*id, '/') == id->n;
}

static void on_call(struct http_call *c, void *data)
{
    struct interp *p = data;
    bool is_path = false;
    c->data = p;
    if (str_eq(c->head.method, STR("OPTIONS"))) {
        preflight(c);
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        struct str id = STR_NONE;
        if (!matches(i, c->head.path, &id))
            continue;
        is_path = true;
        if (str_eq(c->head.method, str_of(routes[i].method))) {
            routes[i].fn(p, c, id);
            return;
        }
    }
    http_reply(c, is_path ? 405 : 404, JSON_TYPE, NULL,
               is_path ? STR("{\"detail\":\"Method Not Allowed\"}")
                       : STR("{\"detail\":\"Not Found\"}"));
}

/* -- starting -- */

static int listen_now(struct interp *p)
{
    int on = 1;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(p->spec.port) };
    CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return RAISE(-errno);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 1024) < 0)
        return RAISE(-errno);
    return TRACE(http_server_listen(p->server, TAKE_FD(fd), 0));
}

/* Who reaches the port finds contexts that work: a template's ready command asks for it. */
static void on_ahead(struct context_wait *w, struct context *c, const char *why)
{
    struct interp *p = w->data;
    if (why)
        log_error("context %s: %s", c->spec.language->name, why);
    if (--p->ahead == 0 && listen_now(p) < 0) {
        log_error("port %u cannot be served: %s", p->spec.port, strerror(errno));
        loop_stop(p->spec.loop);
    }
}

static int start(struct op *op, struct interp *p)
{
    struct http_server_spec spec = { .loop = p->spec.loop,
                                     .on_call = on_call,
                                     .data = p,
                                     .conns_max = LIMIT_INTERP_CONNS,
                                     .fields = CORS_ANY };
    (void)file_remove_tree(AT_FDCWD, p->spec.dir);
    if (mkdir(p->spec.dir, 0700) < 0)
        return op_fail(op, FAULT_HOST, errno, "%s cannot be made: %s", p->spec.dir,
                       strerror(errno));
    p->server = http_server_new(&spec);
    if (!p->server)
        return op_fail(op, FAULT_HOST, ENOMEM, "out of memory");
    for (int i = 0; languages_ahead[i]; i++) {
        struct context *c =
            make(p, language_find(str_of(languages_ahead[i])), str_of(p->spec.home), true);
        if (!c)
            return op_fail(op, FAULT_HOST, ENOMEM, "out of memory");
        p->ahead++;
        p->ahead_waits[i] = (struct context_wait){ .fn = on_ahead, .data = p };
        context_wait(c, &p->ahead_waits[i]);
    }
    return 0;
}

int interp_new(struct op *op, const struct interp_spec *spec, struct interp **out)
{
    struct interp *p = calloc(1, sizeof *p);
    if (!p)
        return op_fail(op, FAULT_HOST, ENOMEM, "out of memory");
    p->spec = *spec;
    list_init(&p->contexts);
    p->sweep = (struct loop_task){ .fn = on_sweep, .data = p };
    int r = start(op, p);
    if (r < 0) {
        interp_free(p);
        return r;
    }
    *out = p;
    return 0;
}

void interp_free(struct interp *p)
{
    if (!p)
        return;
    loop_task_cancel(&p->sweep);
    http_server_free(p->server);
    while (!list_empty(&p->contexts))
        drop(p, LIST_OF(p->contexts.next, struct context, link));
    free(p);
}
