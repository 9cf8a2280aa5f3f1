/* belljar-control: state, API and lifecycle. Started by belljar serve as an unprivileged user with
 * its listening sockets and the API key as inherited descriptors. */
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "api/api.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "os/os_service.h"

/* X(option, member, most): numbers; all are needed. */
#define NUMBERS(X)                                                                                 \
    X("fd-api", fd_api, 65535)                                                                     \
    X("fd-routes", fd_routes, 65535)                                                               \
    X("fd-key", fd_key, 65535)                                                                     \
    X("memory-mb", memory_mb, 1 << 24)                                                             \
    X("cpus", cpus, 4096)                                                                          \
    X("disk-mb", disk_mb, 1 << 28)                                                                 \
    X("pids", pids, 1 << 22)                                                                       \
    X("max", sandbox_max, 1 << 20)                                                                 \
    X("warm-mb", warm_mb, 1 << 24)
/* X(option, member): texts; all are needed. */
#define TEXTS(X)                                                                                   \
    X("state", state)                                                                              \
    X("engine", engine)                                                                            \
    X("domain", domain)

struct options {
#define X(option, member, ...) uint64_t member;
    NUMBERS(X)
#undef X
#define X(option, member) const char *member;
    TEXTS(X)
#undef X
};

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option table[] = {
#define X(option, member, ...) { option, required_argument, NULL, 0 },
        NUMBERS(X) TEXTS(X)
#undef X
            { 0 }
    };
    int seen = 0, at = 0;
    for (int c; (c = getopt_long(argc, argv, "", table, &at)) != -1;) {
        const char *name = c == 0 ? table[at].name : "";
        bool good = false;
#define X(option, member, most)                                                                    \
    if (strcmp(name, option) == 0)                                                                 \
        good = str_to_u64(str_of(optarg), most, &o->member);
        NUMBERS(X)
#undef X
#define X(option, member)                                                                          \
    if (strcmp(name, option) == 0)                                                                 \
        good = (o->member = optarg) != NULL;
        TEXTS(X)
#undef X
        if (!good)
            return false;
        seen++;
    }
    return optind == argc && seen == (int)(sizeof table / sizeof *table) - 1;
}

static void print_usage(void)
{
    fprintf(stderr, "usage: belljar-control");
#define X(option, ...) fprintf(stderr, " --" option " ...");
    NUMBERS(X)
    TEXTS(X)
#undef X
    fprintf(stderr, "\n");
}

/* The key is read at a fixed offset: the descriptor, and its position, is shared with the manager
 * and every control process before this one. */
static bool read_key(int fd, char key[256])
{
    ssize_t n = pread(fd, key, 255, 0);
    while (n > 0 && strchr(" \t\r\n", key[n - 1]))
        n--;
    key[n > 0 ? n : 0] = '\0';
    (void)close(fd);
    return n > 0;
}

static void on_signal(void *data, int signal)
{
    (void)signal;
    loop_stop(data);
}

/* A connection is a descriptor; the usual soft limit of 1024 is for programs that use select(2). */
static void raise_files(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int start(struct op *op, struct loop *l, const struct options *o, struct store *s,
                 struct fleet **fleet, struct builds **builds, struct api **api)
{
    char key[256];
    if (!read_key((int)o->fd_key, key))
        return op_fail(op, FAULT_HOST, EIO, "the API key cannot be read from descriptor %d",
                       (int)o->fd_key);
    int r = fleet_new(op,
                      &(struct fleet_spec){ .loop = l,
                                            .store = s,
                                            .state = o->state,
                                            .engine_path = o->engine,
                                            .routes_fd = (int)o->fd_routes,
                                            .sandbox_max = (uint32_t)o->sandbox_max,
                                            .warm_bytes = o->warm_mb << 20 },
                      fleet);
    if (r < 0)
        return r;
    r = builds_new(op,
                   &(struct builds_spec){ .loop = l,
                                          .fleet = *fleet,
                                          .store = s,
                                          .state = o->state,
                                          .disk_bytes = o->disk_mb << 20,
                                          .pids = o->pids },
                   builds);
    if (r < 0)
        return r;
    *api = api_new(&(struct api_spec){ .loop = l,
                                       .fleet = *fleet,
                                       .builds = *builds,
                                       .store = s,
                                       .key = str_of(key),
                                       .memory_bytes = o->memory_mb << 20,
                                       .cpus_milli = o->cpus * 1000,
                                       .disk_bytes = o->disk_mb << 20,
                                       .pids = o->pids });
    explicit_bzero(key, sizeof key);
    r = *api ? api_listen(*api, (int)o->fd_api) : -ENOMEM;
    return r < 0 ? op_fail(op, FAULT_HOST, -r, "the API cannot listen: %s", strerror(-r)) : 0;
}

int main(int argc, char **argv)
{
    struct options o = { 0 };
    struct op op = { 0 };
    struct store *store = NULL;
    struct fleet *fleet = NULL;
    struct builds *builds = NULL;
    struct api *api = NULL;
    char path[512];
    log_init("belljar-control", LOG_INFO);
    if (!read_options(argc, argv, &o)) {
        print_usage();
        return 2;
    }
    struct loop *loop = loop_new();
    if (!loop || loop_signals(loop, (const int[]){ SIGTERM, SIGINT, 0 }, on_signal, loop) < 0)
        return 70;
    (void)signal(SIGPIPE, SIG_IGN);
    raise_files();
    (void)snprintf(path, sizeof path, "%s/control/belljar.db", o.state);
    int r = store_open(&op, path, &store);
    if (r == 0 && (r = os_service_seccomp()) < 0)
        (void)op_fail(&op, FAULT_HOST, -r, "the system call filter cannot be set");
    if (r == 0)
        r = start(&op, loop, &o, store, &fleet, &builds, &api);
    if (r == 0)
        r = loop_run(loop);
    else
        log_error("cannot start: %s", op.fault.text);
    api_free(api);
    builds_free(builds);
    fleet_free(fleet);
    store_close(store);
    loop_free(loop);
    return r < 0 ? 70 : 0;
}
