#include "engine/ns/ns_box.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_boot.h"
#include "engine/ns/ns_capture.h"
#include "engine/ns/ns_disk.h"
#include "engine/ns/ns_kept.h"
#include "engine/ns/ns_net.h"
#include "engine/ns/ns_pause.h"
#include "engine/ns/ns_start.h"
#include "os/os_sys.h"

#define END_MS 10000 /* for a killed sandbox to be gone, at start */

struct box *ns_box_get(struct ns *n, struct str id) { return map_get(&n->boxes, id); }

static void on_pid(struct loop_fd *w, uint32_t events);

struct box *ns_box_new(struct ns *n, struct str id)
{
    struct box *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->ns = n;
    b->slot = NS_NO_SLOT;
    b->pidfd = b->boot = b->netns = b->disk = -1;
    b->state = BOX_BOOTING;
    b->boot_ms = LIMIT_SANDBOX_BOOT_MS;
    list_init(&b->asks);
    b->pid_watch = (struct loop_fd){ .fn = on_pid, .data = b };
    if (str_copy(id, b->id, sizeof b->id) && map_put(&n->boxes, str_of(b->id), b))
        return b;
    free(b);
    return NULL;
}

void ns_box_close(struct box *b)
{
    ns_boot_unwatch(b);
    loop_fd_cancel(&b->pid_watch);
    fd_closep(&b->pidfd);
    fd_closep(&b->boot);
    fd_closep(&b->netns);
    fd_closep(&b->disk);
    free(b->spec);
    free(b);
}

static void box_free(struct box *b)
{
    (void)map_remove(&b->ns->boxes, str_of(b->id));
    ns_box_close(b);
}

int ns_box_watch(struct box *b)
{
    int r = loop_fd_start(b->ns->loop, &b->pid_watch, b->pidfd, EPOLLIN);
    return r < 0 || b->boot < 0 ? TRACE(r) : TRACE(ns_boot_watch(b));
}

/* -- the end -- */

static const char *reason_of(const struct box *b)
{
    struct cgroup_usage u;
    if (b->is_asked)
        return "killed";
    (void)cgroup_usage(&b->ns->host.cgroups, b->slot, &u);
    return u.oom_kills ? "oom" : "agent";
}

/* What an ended sandbox gives back when the works that use its disk have ended as well. */
struct leaving {
    struct ns *ns;
    struct ns_work turn;
    uint32_t slot;
    uint64_t disk_bytes;
    int disk, netns;
};

static void on_turn(struct ns_work *w, int status)
{
    (void)status;
    struct leaving *g = w->data;
    ns_pool_retire(&g->ns->pool, g->slot, g->disk, g->disk_bytes, g->netns);
    free(g);
}

static bool leave_later(struct box *b, uint64_t disk_bytes)
{
    static const struct ns_work_ops ops = { .on_end = on_turn };
    struct ns *n = b->ns;
    struct leaving *g = ns_workers_have(&n->workers, b->slot) ? calloc(1, sizeof *g) : NULL;
    if (!g)
        return false;
    *g = (struct leaving){ .ns = n, .slot = b->slot, .disk_bytes = disk_bytes };
    g->turn = (struct ns_work){ .ops = &ops, .data = g, .slot = b->slot, .fd = -1 };
    g->disk = TAKE_FD(b->disk);
    g->netns = TAKE_FD(b->netns);
    ns_work_start(&n->workers, &g->turn);
    return true;
}

/* Gives all it had back. The directory gets the slot's name again, so that one rename ends the
 * sandbox for everybody and the janitor finds the rest by the slot. */
static void box_release(struct box *b)
{
    char name[16];
    if (b->slot == NS_NO_SLOT)
        return;
    (void)snprintf(name, sizeof name, "%u", b->slot);
    (void)renameat(b->ns->host.sandboxes, b->id, b->ns->host.berths, name);
    if (!b->is_net_ours)
        fd_closep(&b->netns);
    /* No size: a disk whose image is kept is not for the next tenant. */
    uint64_t disk_bytes = b->from_kept ? 0 : b->disk_bytes;
    if (!leave_later(b, disk_bytes))
        ns_pool_retire(&b->ns->pool, b->slot, TAKE_FD(b->disk), disk_bytes, TAKE_FD(b->netns));
}

void ns_box_gone(struct box *b, const char *reason, int status)
{
    (void)map_remove(&b->ns->boxes, str_of(b->id));
    box_release(b);
    if (b->is_destroyed)
        (void)ns_kept_remove(&b->ns->host, str_of(b->id));
    if (reason)
        b->ns->ops->on_gone(b->ns->data, b, reason);
    else
        b->ns->ops->on_kept(b->ns->data, b, status);
    box_free(b);
}

static void on_pid(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct box *b = w->data;
    /* Our child is reaped here; an adopted one belongs to host pid 1 by now (ECHILD). */
    (void)waitid(P_PIDFD, (id_t)b->pidfd, NULL, WEXITED | __WALL);
    ns_boot_read(b);
    if (b->state == BOX_BOOTING)
        (void)op_fail(&b->op, FAULT_CREATE_FAILED, 0, "the agent ended before it was ready");
    ns_boot_unwatch(b);
    loop_fd_cancel(&b->pid_watch);
    if (b->is_stopping && !b->is_destroyed)
        ns_kept_begin(b);
    else
        ns_box_gone(b, reason_of(b), 0);
}

void ns_box_end(struct box *b)
{
    if (b->state == BOX_DYING || b->state == BOX_KEEPING)
        return;
    bool has_process = b->state != BOX_PREPARING;
    b->state = BOX_DYING;
    ns_boot_unwatch(b);
    ns_work_cancel(&b->work);
    if (!has_process)
        return;
    ns_workers_cancel(&b->ns->workers, b->slot);
    (void)os_pidfd_signal(b->pidfd, SIGKILL);
    /* The v1 freezer holds even the killed; a capture thaws them at its end. */
    if (b->is_frozen || ns_capture_holds(b))
        (void)cgroup_freeze(&b->ns->host.cgroups, b->slot, false);
    b->is_frozen = false;
}

void ns_box_kill(struct box *b)
{
    b->is_asked = true;
    ns_box_end(b);
}

void ns_box_destroy(struct box *b)
{
    b->is_destroyed = true;
    ns_box_kill(b);
}

/* -- the beginning -- */

/* The record first: should this engine die in between, the next one finds a sandbox that is alive,
 * and finishes the rename. */
void ns_box_ready(struct box *b)
{
    struct ns *n = b->ns;
    CLEANUP(fd_closep) int dir = openat(n->host.sandboxes, b->id, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || ns_record_ready(dir) < 0)
        log_warn("%s: its record cannot be finished; the next engine would end it", b->id);
    if (b->from_kept && ns_kept_leave(&n->host, b->id, b->disk) == 0)
        b->from_kept = false;
    b->state = BOX_RUNNING;
    n->ops->on_ready(n->data, b);
}

int ns_box_start(struct ns *n, struct op *op, const struct box_spec *spec, struct box **out)
{
    if (ns_box_get(n, spec->id) || ns_kept_has(&n->host, spec->id))
        return -EEXIST;
    struct box *b = ns_box_new(n, spec->id);
    if (!b)
        return op_fail(op, FAULT_CAPACITY, ENOMEM, "no memory for another sandbox");
    b->is_warm = spec->is_warm;
    int r = ns_start(n, op, b, spec);
    if (r < 0) {
        box_release(b);
        box_free(b);
        return r;
    }
    *out = b;
    return 0;
}

/* By rename: its directory, which makes it findable, has one id or the other. Until the agent has
 * taken it over the record is not ready, so an engine that finds it ends it. */
int ns_box_claim(struct box *b, struct op *op, const struct box_spec *identity)
{
    struct ns *n = b->ns;
    if (!b->is_warm || b->state != BOX_RUNNING)
        return -ENOENT;
    if (ns_box_get(n, identity->id) || ns_kept_has(&n->host, identity->id))
        return -EEXIST;
    char id[NS_ID_SIZE];
    (void)str_copy(identity->id, id, sizeof id);
    if (renameat(n->host.sandboxes, b->id, n->host.sandboxes, id) < 0)
        return op_fail(op, FAULT_INTERNAL, errno, "renaming it: %s", strerror(errno));
    (void)map_remove(&n->boxes, str_of(b->id));
    (void)str_copy(identity->id, b->id, sizeof b->id);
    b->is_warm = false;
    b->is_net_ours = b->is_net_ours && identity->internet;
    b->state = BOX_BOOTING;
    b->boot_ms = LIMIT_SANDBOX_BOOT_MS;
    int r = map_put(&n->boxes, str_of(b->id), b) ? 0 : -ENOMEM;
    if (r == 0 && !identity->internet)
        r = ns_net_isolate(&n->host, b->netns);
    if (r == 0)
        r = ns_boot_watch(b);
    if (r == 0)
        r = ns_boot_send(b, false, identity->boot);
    if (r == 0)
        return 0;
    ns_box_kill(b);
    return op_fail(op, FAULT_CREATE_FAILED, -r, "telling it who it is: %s", strerror(-r));
}

/* -- found again -- */

static int box_adopt_disk(struct box *b, const struct ns_record *r)
{
    struct ns *n = b->ns;
    bool is_kept = false;
    b->disk_bytes = r->disk_bytes;
    b->inode = r->inode;
    CLEANUP(fd_closep) int image = ns_kept_image(&n->host, r, &is_kept);
    b->disk = image < 0 ? image : ns_disk_adopt(r->disk, image);
    b->from_kept = is_kept;
    if (b->disk >= 0 && is_kept && r->ready && ns_kept_leave(&n->host, b->id, b->disk) == 0)
        b->from_kept = false;
    return b->disk < 0 ? TRACE(b->disk) : 0;
}

static void box_adopt_state(struct box *b, const struct ns_record *r)
{
    struct ns *n = b->ns;
    b->state = BOX_RUNNING;
    b->is_frozen = cgroup_is_frozen(&n->host.cgroups, b->slot);
    if (!r->ready) /* nobody waits for it any more, and what it was told may not have arrived */
        ns_box_kill(b);
    else
        ns_pause_adopt(b);
}

static bool is_dead(int pidfd, int wait_ms)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    return poll(&p, 1, wait_ms) > 0;
}

/* One that is dead and not yet reaped has its number still, but not its mounts. One that was to be
 * stopped may be anywhere in between: it is ended for good, and its disk is kept as a dead one's.
 */
static bool is_over(const struct ns *n, const struct ns_record *r, int pidfd)
{
    if (!ns_record_has(&n->host, r->id, NS_MARK_STOP))
        return is_dead(pidfd, 0);
    (void)os_pidfd_signal(pidfd, SIGKILL);
    (void)cgroup_freeze(&n->host.cgroups, r->slot, false);
    if (!is_dead(pidfd, END_MS))
        log_warn("%s: it does not end", r->id);
    return true;
}

int ns_box_adopt(struct ns *n, const struct ns_record *r)
{
    uint64_t ticks;
    if (strcmp(r->boot_id, n->host.boot_id) != 0)
        return -ESRCH;
    /* The descriptor first, then who it is: a number that was given again cannot slip in between.
     */
    CLEANUP(fd_closep) int pidfd = os_pidfd_open(r->pid);
    if (pidfd < 0 || proc_start_time(r->pid, &ticks) < 0 || ticks != r->start_ticks)
        return -ESRCH;
    if (r->ready && is_over(n, r, pidfd))
        return -ESRCH;
    if (!ns_pool_adopt(&n->pool, r->slot))
        return RAISE(-EBUSY);
    struct box *b = ns_box_new(n, str_of(r->id));
    if (!b)
        return RAISE(-ENOMEM);
    b->pid = r->pid;
    b->slot = r->slot;
    b->pidfd = TAKE_FD(pidfd);
    b->netns = proc_namespace(r->pid, "net");
    if (box_adopt_disk(b, r) < 0)
        log_warn("%s: its disk is not to be had", b->id);
    int e = ns_box_watch(b);
    box_adopt_state(b, r);
    return TRACE(e);
}
