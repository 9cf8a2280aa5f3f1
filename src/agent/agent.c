#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/filesystem_rpc.h"
#include "agent/process.h"
#include "agent/process_rpc.h"
#include "agent/rest.h"
#include "agent/schema.h"
#include "agent/watch.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "gen/limits.h"
#include "ipc/engine_proto.h"

/* Browsers drive sandboxes as well (core.md 1.3). */
#define CORS_ANY "Access-Control-Allow-Origin: *\r\n"
#define CORS_EXPOSE                                                                                \
    "Access-Control-Expose-Headers: Location, Cache-Control, X-Content-Type-Options, "             \
    "Content-Disposition, Connect-Content-Encoding, Grpc-Status, Grpc-Message\r\n"
#define CORS_PREFLIGHT                                                                             \
    "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n"                        \
    "Access-Control-Max-Age: 7200\r\n"

/* -- routing -- */

static void preflight(struct http_call *c)
{
    struct str asked = http_field(&c->head, "access-control-request-headers");
    struct buf b;
    buf_init(&b, LIMIT_HTTP_HEAD_SIZE);
    (void)buf_append(&b, STR(CORS_PREFLIGHT "Access-Control-Allow-Headers: "));
    (void)buf_append(&b, asked.n ? asked : STR("*"));
    (void)buf_append(&b, STR("\r\n"));
    const char *fields = buf_cstr(&b);
    http_reply(c, 204, NULL, fields, STR(""));
    buf_deinit(&b);
}

static const struct rest_route *find_rest(const struct http_call *c, bool *path_known)
{
    bool is_host = http_call_tag(c) == AGENT_TAG_HOST;
    for (const struct rest_route *r = rest_routes; r->path; r++) {
        if (!str_eq(c->head.path, str_of(r->path)) || (r->host && !is_host))
            continue;
        *path_known = true;
        if (str_eq(c->head.method, str_of(r->method)))
            return r;
    }
    return NULL;
}

static const struct rpc_method *find_rpc(struct str path)
{
    static const struct rpc_method *const tables[] = { process_rpc_methods,
                                                       filesystem_rpc_methods };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct rpc_method *m = tables[i]; m->path; m++)
            if (str_eq(path, str_of(m->path)))
                return m;
    return NULL;
}

void agent_on_call(struct http_call *c, void *data)
{
    struct agent *a = data;
    bool path_known = false;
    if (str_eq(c->head.method, STR("OPTIONS"))) {
        preflight(c);
        return;
    }
    const struct rest_route *route = find_rest(c, &path_known);
    bool open = (route && route->open) || http_call_tag(c) == AGENT_TAG_HOST;
    if (!open && !rest_has_token(a, c)) {
        rest_fail(c, 401,
                  "unauthorized access, please provide a valid access token or method signing if "
                  "supported");
        return;
    }
    const struct rpc_method *method = route ? NULL : find_rpc(c->head.path);
    watch_pump_all(a); /* what earlier requests made is watched before this one adds to it */
    if (route)
        route->fn(a, c);
    else if (method)
        rpc_begin(a, c, method);
    else
        rest_fail(c, path_known ? 405 : 404, path_known ? "method not allowed" : "page not found");
}

/* -- starting -- */

static void on_signal(void *data, int signal)
{
    (void)signal;
    process_reap(data);
}

static int listen_on(struct http_server *server, const struct agent *a, int tag)
{
    int fd = AGENT_ENVD_FD + tag;
    if (!a->is_given[tag])
        return 0;
    (void)fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
    return TRACE(http_server_listen(server, fd, tag));
}

/* Programs inside have a server, and so a count of connections, of their own: they cannot keep the
 * edge and control out. */
static int serve(struct agent *a)
{
    struct http_server_spec spec = { .loop = a->loop,
                                     .on_call = agent_on_call,
                                     .data = a,
                                     .conns_max = LIMIT_AGENT_CONNS,
                                     .fields = CORS_ANY CORS_EXPOSE };
    a->server = http_server_new(&spec);
    spec.conns_max = LIMIT_AGENT_CONNS_INSIDE;
    a->server_inside = http_server_new(&spec);
    if (!a->server || !a->server_inside)
        return RAISE(-ENOMEM);
    int r = listen_on(a->server, a, AGENT_TAG_ENVD);
    r = r ? r : listen_on(a->server, a, AGENT_TAG_HOST);
    return r ? r : listen_on(a->server_inside, a, AGENT_TAG_TCP);
}

/* Nothing we were given is for the commands we start. Called before anything else is opened: a
 * number that was not given will be somebody else's. */
static void take_descriptors(struct agent *a)
{
    const char *count = getenv("BELLJAR_CGROUP_FDS");
    uint64_t n = 0;
    if (count && str_to_u64(str_of(count), 64, &n))
        a->cgroup_fds = (int)n;
    for (int fd = AGENT_BOOT_FD; fd < AGENT_CGROUP_FD + a->cgroup_fds; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    for (int tag = 0; tag < AGENT_TAGS; tag++)
        a->is_given[tag] = fcntl(AGENT_ENVD_FD + tag, F_GETFD) >= 0;
}

/* A stream costs a connection and two pipes: 1024 descriptors, the usual limit, are soon gone. */
static void raise_limits(struct agent *a)
{
    if (getrlimit(RLIMIT_NOFILE, &a->files) < 0)
        a->files = (struct rlimit){ 1024, 4096 };
    struct rlimit most = { a->files.rlim_max, a->files.rlim_max };
    (void)setrlimit(RLIMIT_NOFILE, &most);
}

static int start(struct agent *a)
{
    static const int signals[] = { SIGCHLD, 0 };
    take_descriptors(a);
    raise_limits(a);
    (void)umask(022);
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)prctl(PR_SET_CHILD_SUBREAPER,
                1); /* process 1 has them anyway; started by hand it is not */
    a->loop = loop_new();
    if (!a->loop)
        return RAISE(-errno);
    int r = loop_signals(a->loop, signals, on_signal, a);
    r = r ? r : boot_take(a);
    r = r ? r : serve(a);
    return r ? r : boot_go(a);
}

int agent_run(void)
{
    static struct agent agent;
    struct agent *a = &agent;
    buf_init(&a->frame, 0);
    list_init(&a->processes);
    list_init(&a->ended);
    list_init(&a->watchers);
    list_init(&a->watches);
    journal_init(&a->journal);
    int r = start(a);
    if (r < 0) {
        log_error("cannot start: %s", strerror(-r));
        return TRACE(r);
    }
    return TRACE(loop_run(a->loop));
}
