/* belljar-engine: the privileged process. Options are "--name value"; the manager writes them. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "engine/engine.h"

enum kind { TEXT, NUMBER32, NUMBER64, MEBIBYTES, FLAG, IGNORED };

static const struct option {
    const char *name;
    enum kind kind;
    size_t at; /* in struct engine_config */
} options[] = {
    { "state", TEXT, offsetof(struct engine_config, state) },
    { "agent", TEXT, offsetof(struct engine_config, agent) },
    { "network", TEXT, offsetof(struct engine_config, network) },
    { "prefix", TEXT, offsetof(struct engine_config, prefix) },
    { "control-uid", NUMBER32, offsetof(struct engine_config, control_uid) },
    { "edge-uid", NUMBER32, offsetof(struct engine_config, edge_uid) },
    { "uid-base", NUMBER32, offsetof(struct engine_config, uid_base) },
    { "slots", NUMBER32, offsetof(struct engine_config, slots) },
    { "pool", NUMBER32, offsetof(struct engine_config, pool) },
    { "memory-mb", MEBIBYTES, offsetof(struct engine_config, typical.memory_bytes) },
    { "cpus-milli", NUMBER64, offsetof(struct engine_config, typical.cpus_milli) },
    { "pids", NUMBER64, offsetof(struct engine_config, typical.pids) },
    { "disk-mb", MEBIBYTES, offsetof(struct engine_config, typical_disk) },
    { "site-files", TEXT, offsetof(struct engine_config, site_files) },
    { "overlay-paths", FLAG, offsetof(struct engine_config, overlay_paths) },
    { "with-parent", FLAG, offsetof(struct engine_config, with_parent) },
    { "domain", IGNORED, 0 },
};

static bool option_set(struct engine_config *c, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const struct option *o = &options[i];
        char *at = (char *)c + o->at;
        uint64_t number = 0;
        if (strcmp(name, o->name) != 0)
            continue;
        if (o->kind == TEXT)
            memcpy(at, &value, sizeof value);
        else if (o->kind != IGNORED &&
                 !str_to_u64(str_of(value), o->kind == NUMBER64 ? UINT64_MAX : UINT32_MAX, &number))
            return false;
        if (o->kind == NUMBER32)
            *(uint32_t *)(void *)at = (uint32_t)number;
        else if (o->kind == NUMBER64)
            *(uint64_t *)(void *)at = number;
        else if (o->kind == MEBIBYTES)
            *(uint64_t *)(void *)at = number << 20;
        else if (o->kind == FLAG)
            *(bool *)(void *)at = number != 0;
        return true;
    }
    return false;
}

struct running {
    struct loop *loop;
    struct engine *engine;
    struct loop_fd parent; /* pidfd of the manager */
};

/* SIGQUIT: sandboxes end as well. Otherwise they go on. */
static void on_signal(void *data, int signal)
{
    struct running *r = data;
    if (signal == SIGQUIT && r->engine)
        engine_end(r->engine);
    else
        loop_stop(r->loop);
}

static void on_parent(struct loop_fd *w, uint32_t events)
{
    (void)events;
    log_warn("the manager is gone; sandboxes go on");
    loop_stop(w->data);
}

/* The engine ends with its manager, whose successor starts another. Not by PR_SET_PDEATHSIG: the
 * kernel forgets that when the engine changes its file system uid. */
static int watch_parent(struct running *r)
{
    int fd = (int)syscall(SYS_pidfd_open, getppid(), 0);
    if (fd < 0)
        return -errno;
    r->parent = (struct loop_fd){ .fn = on_parent, .data = r->loop };
    return loop_fd_start(r->loop, &r->parent, fd, EPOLLIN);
}

int main(int argc, char **argv)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, 0 };
    struct running running = { 0 };
    struct engine_config config = {
        .state = "/var/lib/belljar",
        .network = "10.200.0.0/16",
        .prefix = "bj0",
        .uid_base = 0x10000000,
        .slots = 5000,
        .pool = 32,
        .typical = { 1ull << 30, 2000, 1024 },
        .typical_disk = 10ull << 30,
    };
    log_init("engine", LOG_INFO);
    (void)umask(022);
    for (int i = 1; i < argc; i += 2)
        if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc ||
            !option_set(&config, argv[i] + 2, argv[i + 1])) {
            log_error("wrong option %s", argv[i]);
            return 2;
        }
    if (!config.agent || config.slots < 1 || config.slots > 65000 || config.pool > config.slots) {
        log_error("--agent is missing, or --slots is not 1..65000, or --pool is larger");
        return 2;
    }
    struct loop *l = running.loop = loop_new();
    int r = l ? loop_signals(l, signals, on_signal, &running) : -ENOMEM;
    if (r == 0 && config.with_parent)
        r = watch_parent(&running);
    if (r == 0)
        r = engine_new(&running.engine, l, &config);
    if (r == 0)
        r = loop_run(l);
    engine_free(running.engine);
    loop_fd_cancel(&running.parent);
    if (r == 0)
        loop_free(l);
    if (r < 0)
        log_error("the engine stops: %s", strerror(-r));
    return r < 0 ? 1 : 0;
}
