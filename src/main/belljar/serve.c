#include "main/belljar/serve.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/link.h"
#include "main/belljar/commands.h"

/* uid ranges of sandboxes: within what systemd and Debian leave to containers (524288 up to
 * 1879048191), 65536 ids each, cut for the servers of one host. */
#define UID_BASE 524288u
#define UID_SLOTS 7000u
#define UIDS_PER_SLOT 65536u

struct manager {
    struct loop *loop;
    struct config config;
    struct serve_host host;
    struct service control, engine, pull, edges[SERVE_EDGES_MAX];
    uint64_t edge_count;
    bool stopping;
};

/* -- sockets -- */

/* A listening TCP socket; `shared`: several processes listen on the same port. */
static int listen_tcp(struct op *op, const char *address, const char *port, bool shared, int *out)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE };
    struct addrinfo *ai;
    int on = 1;
    if (getaddrinfo(address, port, &hints, &ai) != 0)
        return op_fail(op, FAULT_INVALID, EINVAL, "'%s' port '%s' is not a numeric address",
                       address, port);
    CLEANUP(fd_closep)
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ? -1 : 0;
    if (r == 0 && shared)
        r = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (r == 0)
        r = bind(fd, ai->ai_addr, ai->ai_addrlen);
    if (r == 0)
        r = listen(fd, 4096);
    int err = errno;
    freeaddrinfo(ai);
    if (r < 0)
        return op_fail(op, FAULT_HOST, err, "cannot listen on %s port %s: %s", address, port,
                       strerror(err));
    *out = TAKE_FD(fd);
    return 0;
}

static int listen_routes(struct op *op, const struct manager *m, int *out)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/run/routes.sock", m->host.state);
    *out = link_listen(path, m->host.edge_uid);
    return *out < 0
               ? op_fail(op, FAULT_HOST, -*out, "cannot listen on %s: %s", path, strerror(-*out))
               : 0;
}

/* -- services -- */

static void define_engine(struct manager *m)
{
    struct service *s = &m->engine;
    const struct serve_host *h = &m->host;
    char path[320];
    service_init(s, m->loop, "belljar-engine", h->lib, 0, 0);
    service_arg(s, "--state", h->state);
    (void)snprintf(path, sizeof path, "%s/belljar-agent", h->lib);
    service_arg(s, "--agent", path);
    service_arg_number(s, "--control-uid", h->control_uid);
    service_arg_number(s, "--edge-uid", h->edge_uid);
    service_arg(s, "--network", h->network);
    service_arg_number(s, "--uid-base",
                       UID_BASE + (uint64_t)h->instance * UID_SLOTS * UIDS_PER_SLOT);
    service_arg_number(s, "--slots", UID_SLOTS);
    (void)snprintf(path, sizeof path, "bj%u", h->instance);
    service_arg(s, "--prefix", path);
    service_arg(s, "--pool", m->config.pool_size);
    service_arg(s, "--disk-mb", m->config.sandbox_disk_mb); /* what the pool is made for */
    service_arg(s, "--memory-mb", m->config.sandbox_memory_mb);
    service_arg(s, "--pids", m->config.sandbox_pids);
    service_arg(s, "--site-files", m->config.site_files);
    service_arg(s, "--with-parent", "1");
}

static int define_control(struct op *op, struct manager *m)
{
    struct service *s = &m->control;
    const struct config *c = &m->config;
    int api = -1, routes = -1;
    char path[256];
    int r = listen_tcp(op, c->api_address, c->api_port, false, &api);
    if (r == 0)
        r = listen_routes(op, m, &routes);
    if (r < 0)
        return r;
    service_init(s, m->loop, "belljar-control", m->host.lib, m->host.control_uid,
                 m->host.control_gid);
    service_arg_fd(s, "--fd-api", api);
    service_arg_fd(s, "--fd-routes", routes);
    service_arg_fd(s, "--fd-key", m->host.key_fd);
    service_arg(s, "--state", m->host.state);
    (void)snprintf(path, sizeof path, "%s/run/engine.sock", m->host.state);
    service_arg(s, "--engine", path);
    service_arg(s, "--domain", c->domain);
    service_arg(s, "--memory-mb", c->sandbox_memory_mb);
    service_arg(s, "--cpus", c->sandbox_cpus);
    service_arg(s, "--disk-mb", c->sandbox_disk_mb);
    service_arg(s, "--pids", c->sandbox_pids);
    service_arg(s, "--max", c->sandbox_max);
    service_arg(s, "--warm-mb", c->warm_memory_mb);
    return 0;
}

/* As control's user: it writes into a directory of control's. A process of its own, for it reads
 * what registries send. */
static int define_pull(struct op *op, struct manager *m)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/run/pull.sock", m->host.state);
    int fd = link_listen(path, m->host.control_uid);
    if (fd < 0)
        return op_fail(op, FAULT_HOST, -fd, "cannot listen on %s: %s", path, strerror(-fd));
    int flags = fcntl(fd, F_GETFL);
    (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    service_init(&m->pull, m->loop, "belljar-pull", m->host.lib, m->host.control_uid,
                 m->host.control_gid);
    service_arg_fd(&m->pull, "--listen", fd);
    if (m->config.registry_mirror[0])
        service_arg(&m->pull, "--mirror", m->config.registry_mirror);
    if (m->config.ecr_endpoint[0])
        service_arg(&m->pull, "--ecr", m->config.ecr_endpoint);
    return 0;
}

static int define_edge(struct op *op, struct manager *m, struct service *s)
{
    int fd = -1;
    char path[256];
    int r = listen_tcp(op, m->config.edge_address, m->config.edge_port, m->edge_count > 1, &fd);
    if (r < 0)
        return r;
    service_init(s, m->loop, "belljar-edge", m->host.lib, m->host.edge_uid, m->host.edge_gid);
    service_arg_fd(s, "--listen", fd);
    (void)snprintf(path, sizeof path, "%s/run/routes.sock", m->host.state);
    service_arg(s, "--routes", path);
    (void)snprintf(path, sizeof path, "%s/run/ports.sock", m->host.state);
    service_arg(s, "--ports", path);
    (void)snprintf(path, sizeof path, "%s/run/s", m->host.state);
    service_arg(s, "--run", path);
    return 0;
}

static int define_services(struct op *op, struct manager *m)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int r = config_number(op, "edge_workers", m->config.edge_workers, 0, SERVE_EDGES_MAX,
                          &m->edge_count);
    if (m->edge_count == 0)
        m->edge_count = cores < 1 ? 1 : cores > SERVE_EDGES_MAX ? SERVE_EDGES_MAX : (uint64_t)cores;
    define_engine(m);
    if (r == 0)
        r = define_control(op, m);
    if (r == 0)
        r = define_pull(op, m);
    for (uint64_t i = 0; i < m->edge_count && r == 0; i++)
        r = define_edge(op, m, &m->edges[i]);
    return r;
}

/* Calls `fn` for every service: engine, control, edges. */
static void each_service(struct manager *m, void (*fn)(struct service *s, int arg), int arg)
{
    fn(&m->engine, arg);
    fn(&m->control, arg);
    fn(&m->pull, arg);
    for (uint64_t i = 0; i < m->edge_count; i++)
        fn(&m->edges[i], arg);
}

static void start_one(struct service *s, int unused)
{
    (void)unused;
    service_start(s);
}

static struct service *service_of(struct manager *m, pid_t pid)
{
    if (m->engine.pid == pid)
        return &m->engine;
    if (m->control.pid == pid)
        return &m->control;
    if (m->pull.pid == pid)
        return &m->pull;
    for (uint64_t i = 0; i < m->edge_count; i++)
        if (m->edges[i].pid == pid)
            return &m->edges[i];
    return NULL;
}

static bool any_running(const struct manager *m)
{
    bool any = m->engine.pid || m->control.pid || m->pull.pid;
    for (uint64_t i = 0; i < m->edge_count; i++)
        any = any || m->edges[i].pid;
    return any;
}

/* -- signals -- */

static void reap(struct manager *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct service *s = service_of(m, pid);
        if (s && m->stopping)
            s->pid = 0;
        else if (s)
            service_ended(s, status);
    }
    if (m->stopping && !any_running(m))
        loop_stop(m->loop);
}

/* SIGTERM: the server ends, sandboxes live on. SIGQUIT: sandboxes end as well. */
static void stop(struct manager *m, int signal)
{
    m->stopping = true;
    log_info(signal == SIGQUIT ? "stopping with all sandboxes" : "stopping; sandboxes live on");
    service_stop(&m->control, SIGTERM);
    service_stop(&m->pull, SIGTERM);
    for (uint64_t i = 0; i < m->edge_count; i++)
        service_stop(&m->edges[i], SIGTERM);
    service_stop(&m->engine, signal == SIGQUIT ? SIGQUIT : SIGTERM);
    reap(m);
}

static void on_signal(void *data, int signal)
{
    struct manager *m = data;
    if (signal == SIGCHLD)
        reap(m);
    else if (!m->stopping)
        stop(m, signal);
    else if (signal != SIGTERM) /* asked twice: at once */
        each_service(m, service_stop, SIGKILL);
}

/* -- commands -- */

static int run(struct cli *c, struct manager *m)
{
    static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, 0 };
    int r = serve_host_init(&c->op, &m->host, &m->config);
    if (r < 0)
        return cli_fail_op(c);
    m->loop = loop_new();
    if (!m->loop || loop_signals(m->loop, signals, on_signal, m) < 0)
        return cli_fail(c, FAULT_INTERNAL, "cannot make an event loop: %s", strerror(errno));
    r = define_services(&c->op, m);
    if (r < 0)
        return cli_fail_op(c);
    each_service(m, start_one, 0);
    r = loop_run(m->loop);
    log_info("stopped");
    return r < 0 ? 70 : 0;
}

int serve_run(struct cli *c)
{
    static struct manager m;
    log_init("belljar", LOG_INFO);
    if (config_load(&c->op, &m.config, cli_text(c, "config")) < 0)
        return cli_fail_op(c);
    if (cli_flag(c, "print-config")) {
        config_print(&m.config);
        return 0;
    }
    return run(c, &m);
}

int down_run(struct cli *c)
{
    struct config config;
    int signal = cli_flag(c, "keep-sandboxes") ? SIGTERM : SIGQUIT;
    if (config_load(&c->op, &config, cli_text(c, "config")) < 0)
        return cli_fail_op(c);
    pid_t pid = serve_running(config.state);
    if (pid <= 0) {
        if (cli_flag(c, "json"))
            printf("{\"stopped\": null}\n");
        else
            printf("no server runs on %s\n", config.state);
        return 0;
    }
    if (kill(pid, signal) < 0)
        return cli_fail(c, FAULT_INTERNAL, "cannot signal process %d: %s", (int)pid,
                        strerror(errno));
    struct timespec step = { .tv_nsec = 20000000 };
    for (int i = 0; i < 3000 && serve_running(config.state) == pid; i++) /* one minute */
        (void)nanosleep(&step, NULL);
    if (serve_running(config.state) == pid)
        return cli_fail(c, FAULT_TIMEOUT, "process %d has not ended within a minute", (int)pid);
    if (cli_flag(c, "json"))
        printf("{\"stopped\": %d}\n", (int)pid);
    return 0;
}
