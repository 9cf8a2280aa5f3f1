#include "engine/ns/ns_start.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "engine/ns/ns_boot.h"
#include "engine/ns/ns_disk.h"
#include "engine/ns/ns_net.h"
#include "engine/ns/ns_site.h"
#include "os/os_mount.h"
#include "os/os_sys.h"

#define DISK_TRIES 8

/* What a start has in hand and no sandbox owns yet. */
struct start {
    const struct box_spec *spec;
    struct berth berth;
    struct overlay_spec overlay; /* its parts are closed only when the child is on its way: letting
                                    go of a detached mount waits for all processors */
    int root, boot_child, group;
};

static void start_deinit(struct start *s)
{
    berth_deinit(&s->berth);
    fd_closep(&s->root);
    for (int i = 0; i < s->overlay.lower_count; i++)
        fd_closep(&s->overlay.lowers[i]);
    fd_closep(&s->overlay.disk);
    fd_closep(&s->boot_child);
    fd_closep(&s->group);
}

/* What a snapshot has changed hides what this host adds, and that what the template has. */
static int lowers_open(struct ns *n, struct start *s)
{
    struct overlay_spec *o = &s->overlay;
    char template[LIMIT_PATH_SIZE];
    const char *site;
    int userns = s->berth.fds[BERTH_USERNS];
    if (!str_copy(s->spec->template, template, sizeof template))
        return RAISE(-ENAMETOOLONG);
    int r = ns_site_get(&n->host, template, &site);
    for (uint32_t i = 0; i < s->spec->layer_count && r >= 0; i++) {
        int layer = ns_layer_get(&n->layers, s->spec->layers[i]);
        r = layer < 0 ? layer : mount_clone(layer, "up", userns);
        if (r >= 0)
            o->lowers[o->lower_count++] = r;
    }
    const char *const paths[] = { site, template };
    for (int i = 0; i < 2 && r >= 0; i++) {
        r = mount_clone(AT_FDCWD, paths[i], userns);
        if (r >= 0)
            o->lowers[o->lower_count++] = r;
    }
    return r < 0 ? TRACE(r) : 0;
}

static int root_make(struct ns *n, const struct box *b, struct start *s)
{
    struct overlay_spec *o = &s->overlay;
    o->owner = ns_host_uid(&n->host, b->slot);
    o->attach = n->host.attach[0] ? n->host.attach : NULL;
    int r = o->disk = mount_clone(b->disk, "", s->berth.fds[BERTH_USERNS]);
    if (r >= 0)
        r = lowers_open(n, s);
    if (r == 0)
        r = s->root = mount_overlay(o);
    return r < 0 ? TRACE(r) : 0;
}

static int layers_check(struct ns *n, struct op *op, const struct box_spec *spec)
{
    for (uint32_t i = 0; i < spec->layer_count; i++) {
        int r = ns_layer_get(&n->layers, spec->layers[i]);
        if (r < 0)
            return op_fail(op, r == -ENOENT ? FAULT_NOT_FOUND : FAULT_CREATE_FAILED, -r,
                           "opening layer " STR_FMT ": %s", STR_ARG(spec->layers[i]), strerror(-r));
    }
    return 0;
}

static void clone_fill(const struct start *s, struct zygote_spec *z)
{
    const int *f = s->berth.fds;
    *z = (struct zygote_spec){ .shm_bytes = s->spec->limits.memory_bytes / 2,
                               .netns = f[BERTH_NETNS],
                               .group = s->group };
    z->fds[PLAN_FD_BOOT] = s->boot_child;
    z->fds[PLAN_FD_ROOT] = s->root;
    z->fds[PLAN_FD_DEV] = f[BERTH_DEV];
    z->fds[PLAN_FD_SYS] = f[BERTH_SYS];
    z->fds[PLAN_FD_BOOT_ID] = f[BERTH_BOOT_ID];
    const int handed[] = { s->boot_child, f[BERTH_ENVD], f[BERTH_HOST], f[BERTH_TCP] };
    for (size_t i = 0; i < sizeof handed / sizeof *handed; i++)
        z->handed[z->handed_count++] = handed[i];
    for (int i = BERTH_CMD; i < BERTH_FDS && f[i] >= 0; i++, z->group_count++)
        z->handed[z->handed_count++] = f[i];
}

static int box_clone(struct ns *n, struct box *b, struct start *s)
{
    struct zygote_spec spec;
    s->group = cgroup_clone_dir(&n->host.cgroups, b->slot);
    clone_fill(s, &spec);
    int r = ns_zygote_clone(&n->zygote, &spec, &b->pid, &b->pidfd);
    if (r == 0)
        r = proc_map_ids(b->pid, ns_host_uid(&n->host, b->slot), NS_IDS);
    return r < 0 ? TRACE(r)
                 : TRACE(cgroup_attach(&n->host.cgroups, b->slot, b->pid, s->group >= 0));
}

/* On disk before it runs: then the next engine finds it, whatever becomes of this one. */
static int box_record(struct ns *n, struct box *b)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", b->slot);
    CLEANUP(fd_closep) int dir = openat(n->host.berths, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return RAISE(-errno);
    struct ns_record r = { .pid = b->pid, .slot = b->slot, .disk_bytes = b->disk_bytes };
    r.disk = ns_disk_number(b->disk);
    r.inode = b->inode;
    (void)str_copy(str_of(n->host.boot_id), r.boot_id, sizeof r.boot_id);
    int e = proc_start_time(b->pid, &r.start_ticks);
    if (e == 0)
        e = ns_record_save(dir, &r);
    if (e == 0 && renameat(n->host.berths, name, n->host.sandboxes, b->id) < 0)
        e = RAISE(-errno);
    return TRACE(e);
}

/* The janitor of an engine that was killed just now may take away a name that its device has got
 * again meanwhile: such a disk would not be found by the next engine, so it is not used. */
static int disk_take(struct ns *n, struct box *b, const struct box_spec *spec)
{
    struct stat st;
    char name[16];
    b->disk_bytes = spec->disk_bytes;
    for (int tries = 0; tries < DISK_TRIES; tries++) {
        b->disk = ns_pool_disk(&n->pool, spec->disk_bytes);
        if (b->disk < 0)
            return TRACE(b->disk);
        (void)snprintf(name, sizeof name, "%u", ns_disk_number(b->disk));
        if (fstatat(n->host.disks, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            b->inode = st.st_ino;
            return 0;
        }
        fd_closep(&b->disk);
    }
    return RAISE(-ENOENT);
}

/* Each step with the sentence for when it fails. */
static int start_steps(struct ns *n, struct op *op, struct box *b, struct start *s)
{
    int r = layers_check(n, op, s->spec);
    if (r < 0)
        return r;
    r = b->disk < 0 ? disk_take(n, b, s->spec) : 0; /* a kept one is there already */
    if (r < 0)
        return op_fail(op, FAULT_CREATE_FAILED, -r, "making its disk: %s", strerror(-r));
    r = root_make(n, b, s);
    if (r < 0)
        return op_fail(op, FAULT_CREATE_FAILED, -r, "building its root from " STR_FMT ": %s",
                       STR_ARG(s->spec->template), strerror(-r));
    if (!s->spec->internet && (r = ns_net_isolate(&n->host, s->berth.fds[BERTH_NETNS])) < 0)
        return op_fail(op, FAULT_CREATE_FAILED, -r, "closing its network: %s", strerror(-r));
    if (r == 0)
        r = ns_boot_open(b, s->spec->boot, &s->boot_child);
    if (r == 0)
        r = box_clone(n, b, s);
    if (r == 0)
        r = ns_boot_go(b); /* it sets itself up, and waits before it is the agent */
    if (r == 0)
        r = box_record(n, b);
    if (r == 0)
        r = ns_box_watch(b);
    if (r == 0)
        r = ns_boot_send(b, true, s->spec->boot);
    return r < 0 ? op_fail(op, FAULT_CREATE_FAILED, -r, "starting its first process: %s",
                           strerror(-r))
                 : 0;
}

int ns_start(struct ns *n, struct op *op, struct box *b, const struct box_spec *spec)
{
    struct start s = {
        .spec = spec, .overlay.disk = -1, .root = -1, .boot_child = -1, .group = -1
    };
    berth_init(&s.berth);
    int r = ns_pool_berth(&n->pool, &spec->limits, &s.berth);
    if (r < 0)
        return op_fail(op, FAULT_CAPACITY, -r, "no place for another sandbox: %s", strerror(-r));
    b->slot = s.berth.slot;
    b->boot_ms = spec->boot_ms;
    r = start_steps(n, op, b, &s);
    b->netns = TAKE_FD(s.berth.fds[BERTH_NETNS]);
    b->is_net_ours = spec->internet;
    start_deinit(&s); /* the child has its own copies */
    if (r < 0 && b->pid > 0) {
        (void)os_pidfd_signal(b->pidfd, SIGKILL);
        (void)waitid(P_PIDFD, (id_t)b->pidfd, NULL, WEXITED | __WALL);
    }
    return r;
}
