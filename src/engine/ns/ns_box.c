#include "engine/ns/ns_box.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_capture.h"
#include "engine/ns/ns_child.h"
#include "engine/ns/ns_disk.h"
#include "engine/ns/ns_net.h"
#include "engine/ns/ns_site.h"
#include "gen/limits.h"
#include "ipc/engine_proto.h"
#include "os/os_file.h"
#include "os/os_mount.h"
#include "os/os_sys.h"

#define RUN_BYTES (64u << 20)

struct box *ns_box_get(struct ns *n, struct str id) { return map_get(&n->boxes, id); }

/* -- the end -- */

static void box_free(struct box *b)
{
    loop_fd_cancel(&b->pid_watch);
    loop_fd_cancel(&b->boot_watch);
    loop_timer_cancel(&b->deadline);
    (void)map_remove(&b->ns->boxes, str_of(b->id));
    fd_closep(&b->pidfd);
    fd_closep(&b->boot);
    fd_closep(&b->netns);
    fd_closep(&b->disk);
    free(b);
}

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

static bool leave_later(struct box *b)
{
    static const struct ns_work_ops ops = { .on_end = on_turn };
    struct ns *n = b->ns;
    struct leaving *g = ns_workers_have(&n->workers, b->slot) ? calloc(1, sizeof *g) : NULL;
    if (!g)
        return false;
    *g = (struct leaving){ n,
                           { .ops = &ops, .data = g, .slot = b->slot, .fd = -1 },
                           b->slot,
                           b->disk_bytes,
                           TAKE_FD(b->disk),
                           TAKE_FD(b->netns) };
    ns_work_start(&n->workers, &g->turn);
    return true;
}

/* Gives all it had back. The directory gets the slot's name again, so that one rename ends the
 * sandbox for everybody and the janitor finds the rest by the slot. */
static void box_release(struct box *b)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", b->slot);
    (void)renameat(b->ns->host.sandboxes, b->id, b->ns->host.berths, name);
    if (!b->is_net_ours)
        fd_closep(&b->netns);
    if (!leave_later(b))
        ns_pool_retire(&b->ns->pool, b->slot, TAKE_FD(b->disk), b->disk_bytes, TAKE_FD(b->netns));
}

static void on_pid(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct box *b = w->data;
    /* Our child is reaped here; an adopted one belongs to host pid 1 by now (ECHILD). */
    (void)waitid(P_PIDFD, (id_t)b->pidfd, NULL, WEXITED | __WALL);
    const char *reason = reason_of(b);
    if (b->state == BOX_BOOTING)
        (void)op_fail(&b->op, FAULT_CREATE_FAILED, 0, "the agent ended before it was ready");
    loop_fd_cancel(&b->pid_watch);
    (void)map_remove(&b->ns->boxes, str_of(b->id));
    box_release(b);
    b->ns->ops->on_gone(b->ns->data, b, reason);
    box_free(b);
}

static void box_end(struct box *b)
{
    b->state = BOX_DYING;
    loop_timer_cancel(&b->deadline);
    loop_fd_cancel(&b->boot_watch);
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
    if (b->state != BOX_DYING)
        box_end(b);
}

int ns_box_freeze(struct box *b, bool frozen)
{
    /* A capture thaws at its end as is_frozen says then. */
    bool is_held = !frozen && ns_capture_holds(b);
    int r = is_held ? 0 : cgroup_freeze(&b->ns->host.cgroups, b->slot, frozen);
    if (r == 0)
        b->is_frozen = frozen;
    return TRACE(r);
}

/* -- booting -- */

static void boot_failed(struct box *b, const struct ns_failure *f)
{
    struct arena a;
    struct plan p;
    struct buf text;
    arena_init(&a, 65536);
    buf_init(&text, 256);
    struct plan_spec spec = { NS_HOSTNAME, 0, RUN_BYTES };
    if (plan_build(&spec, &b->ns->host.plan, &a, &p) == 0 && f->op < p.count)
        plan_op_print(&p.ops[f->op], &text);
    const char *step = buf_cstr(&text);
    (void)op_fail(&b->op, FAULT_CREATE_FAILED, f->error, "starting the sandbox: %s: %s",
                  step ? step : "?", strerror(f->error));
    buf_deinit(&text);
    arena_deinit(&a);
}

static void box_ready(struct box *b)
{
    loop_fd_cancel(&b->boot_watch);
    loop_timer_cancel(&b->deadline);
    fd_closep(&b->boot);
    CLEANUP(fd_closep)
    int dir = openat(b->ns->host.sandboxes, b->id, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || ns_record_ready(dir) < 0)
        log_warn("%s: its record cannot be finished; the next engine would end it", b->id);
    b->state = BOX_RUNNING;
    b->ns->ops->on_ready(b->ns->data, b);
}

static void on_boot(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct box *b = w->data;
    struct ns_failure f = { 0 };
    ssize_t n = read(b->boot, &f, sizeof f);
    if (n >= 1 && f.tag == AGENT_READY) {
        box_ready(b);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == (ssize_t)sizeof f && f.tag == NS_FAILED)
        boot_failed(b, &f);
    else
        (void)op_fail(&b->op, FAULT_CREATE_FAILED, 0, "the agent closed its boot channel");
    box_end(b);
}

static void on_deadline(struct loop_timer *t)
{
    struct box *b = t->data;
    (void)op_fail(&b->op, FAULT_CREATE_FAILED, ETIMEDOUT, "the agent was not ready within %d ms",
                  LIMIT_SANDBOX_BOOT_MS);
    box_end(b);
}

/* -- starting -- */

/* What a start has in hand and no sandbox owns yet. */
struct start {
    const struct box_spec *spec;
    struct berth berth;
    int root, boot_child, agent, group;
    struct arena arena;
    struct plan plan;
};

static void start_deinit(struct start *s)
{
    berth_deinit(&s->berth);
    fd_closep(&s->root);
    fd_closep(&s->boot_child);
    fd_closep(&s->agent);
    fd_closep(&s->group);
    arena_deinit(&s->arena);
}

/* What a snapshot has changed hides what this host adds, and that what the template has. */
static int lowers_open(struct ns *n, const struct start *s, struct overlay_spec *o)
{
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
    struct overlay_spec o = { .owner = ns_host_uid(&n->host, b->slot),
                              .attach = n->host.attach[0] ? n->host.attach : NULL };
    CLEANUP(fd_closep) int disk = mount_clone(b->disk, "", s->berth.fds[BERTH_USERNS]);
    o.disk = disk;
    int r = disk < 0 ? disk : lowers_open(n, s, &o);
    if (r == 0)
        r = s->root = mount_overlay(&o);
    for (int i = 0; i < o.lower_count; i++)
        fd_closep(&o.lowers[i]);
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

static void child_fill(const struct ns *n, const struct start *s, struct ns_child *c)
{
    const int *f = s->berth.fds;
    *c = (struct ns_child){ .plan = &s->plan, .filter = &n->host.filter, .agent = s->agent };
    c->fds[PLAN_FD_BOOT] = s->boot_child;
    c->fds[PLAN_FD_ROOT] = s->root;
    c->fds[PLAN_FD_DEV] = f[BERTH_DEV];
    c->fds[PLAN_FD_SYS] = f[BERTH_SYS];
    c->fds[PLAN_FD_BOOT_ID] = f[BERTH_BOOT_ID];
    const int handed[] = { s->boot_child, f[BERTH_ENVD], f[BERTH_HOST], f[BERTH_TCP] };
    for (size_t i = 0; i < sizeof handed / sizeof *handed; i++)
        c->handed[c->handed_count++] = handed[i];
    int groups = 0;
    for (int i = BERTH_CMD; i < BERTH_FDS && f[i] >= 0; i++, groups++)
        c->handed[c->handed_count++] = f[i];
    (void)snprintf(c->commands, sizeof c->commands, "BELLJAR_CGROUP_FDS=%d", groups);
}

/* The child inherits the network namespace, so the engine steps into it for the clone: root of a
 * new user namespace may not enter one that belongs to the host. */
static int box_clone(struct ns *n, struct box *b, struct start *s)
{
    struct ns_child child;
    child_fill(n, s, &child);
    s->group = cgroup_clone_dir(&n->host.cgroups, b->slot);
    struct os_clone_args a = {
        .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
                 OS_CLONE_PIDFD | OS_CLONE_CLEAR_SIGHAND |
                 (s->group >= 0 ? OS_CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)&b->pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = s->group >= 0 ? (uint64_t)s->group : 0,
    };
    if (setns(s->berth.fds[BERTH_NETNS], CLONE_NEWNET) < 0)
        return RAISE(-errno);
    int pid = os_clone(&a);
    if (pid == 0)
        ns_child_run(&child);
    if (setns(n->host.netns, CLONE_NEWNET) < 0)
        abort(); /* the engine would go on inside a sandbox's network */
    if (pid < 0)
        return RAISE(pid);
    b->pid = pid;
    int r = proc_map_ids(b->pid, ns_host_uid(&n->host, b->slot), NS_IDS);
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
    (void)str_copy(str_of(b->id), r.id, sizeof r.id);
    (void)str_copy(str_of(n->host.boot_id), r.boot_id, sizeof r.boot_id);
    int e = proc_start_time(b->pid, &r.start_ticks);
    if (e == 0)
        e = ns_record_save(dir, &r);
    if (e == 0 && renameat(n->host.berths, name, n->host.sandboxes, b->id) < 0)
        e = RAISE(-errno);
    return TRACE(e);
}

/* One write: the go for the child, then length and boot message for the agent. */
static int box_go(struct box *b, struct str boot)
{
    struct buf out;
    buf_init(&out, boot.n + 16);
    uint32_t n = (uint32_t)boot.n;
    (void)buf_byte(&out, NS_GO);
    (void)buf_append(&out, str_make((const char *)&n, sizeof n));
    (void)buf_append(&out, boot);
    ssize_t sent = out.failed ? -1 : send(b->boot, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    int r = sent == (ssize_t)out.len ? 0 : RAISE(sent < 0 ? -errno : -EAGAIN);
    buf_deinit(&out);
    return r;
}

static int boot_channel(struct box *b, struct start *s)
{
    int pair[2], size = 2 * LIMIT_SANDBOX_BOOT_SIZE;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return RAISE(-errno);
    b->boot = pair[0];
    s->boot_child = pair[1];
    if (s->spec->boot.n > 65536) /* the whole message has to fit: the engine does not wait */
        (void)setsockopt(b->boot, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return 0;
}

static int box_watch(struct box *b)
{
    struct loop *l = b->ns->loop;
    int r = loop_fd_start(l, &b->pid_watch, b->pidfd, EPOLLIN);
    if (r == 0 && b->boot >= 0)
        r = loop_fd_start(l, &b->boot_watch, b->boot, EPOLLIN);
    if (r == 0 && b->boot >= 0)
        r = loop_timer_start(l, &b->deadline, LIMIT_SANDBOX_BOOT_MS);
    return TRACE(r);
}

static struct box *box_new(struct ns *n, struct str id)
{
    struct box *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->ns = n;
    b->pidfd = b->boot = b->netns = b->disk = -1;
    list_init(&b->asks);
    b->pid_watch = (struct loop_fd){ .fn = on_pid, .data = b };
    b->boot_watch = (struct loop_fd){ .fn = on_boot, .data = b };
    b->deadline = (struct loop_timer){ .fn = on_deadline, .data = b };
    if (str_copy(id, b->id, sizeof b->id) && map_put(&n->boxes, str_of(b->id), b))
        return b;
    free(b);
    return NULL;
}

/* Each step with the sentence for when it fails. */
static int start_steps(struct ns *n, struct op *op, struct box *b, struct start *s)
{
    struct plan_spec spec = { NS_HOSTNAME, s->spec->limits.memory_bytes / 2, RUN_BYTES };
    int r = layers_check(n, op, s->spec);
    if (r < 0)
        return r;
    r = b->disk = ns_pool_disk(&n->pool, s->spec->disk_bytes);
    if (r < 0)
        return op_fail(op, FAULT_CREATE_FAILED, -r, "making its disk: %s", strerror(-r));
    r = root_make(n, b, s);
    if (r < 0)
        return op_fail(op, FAULT_CREATE_FAILED, -r, "building its root from " STR_FMT ": %s",
                       STR_ARG(s->spec->template), strerror(-r));
    s->agent = open(n->host.config->agent, O_RDONLY | O_CLOEXEC);
    if (s->agent < 0)
        return op_fail(op, FAULT_HOST, errno, "opening %s: %s", n->host.config->agent,
                       strerror(errno));
    if (!s->spec->internet && (r = ns_net_isolate(&n->host, s->berth.fds[BERTH_NETNS])) < 0)
        return op_fail(op, FAULT_CREATE_FAILED, -r, "closing its network: %s", strerror(-r));
    r = plan_build(&spec, &n->host.plan, &s->arena, &s->plan);
    if (r == 0)
        r = boot_channel(b, s);
    if (r == 0)
        r = box_clone(n, b, s);
    if (r == 0)
        r = box_record(n, b);
    if (r == 0)
        r = box_watch(b);
    if (r == 0)
        r = box_go(b, s->spec->boot);
    return r < 0 ? op_fail(op, FAULT_CREATE_FAILED, -r, "starting its first process: %s",
                           strerror(-r))
                 : 0;
}

int ns_box_start(struct ns *n, struct op *op, const struct box_spec *spec, struct box **out)
{
    if (ns_box_get(n, spec->id))
        return -EEXIST;
    struct start s = { .spec = spec, .root = -1, .boot_child = -1, .agent = -1, .group = -1 };
    berth_init(&s.berth);
    arena_init(&s.arena, 65536);
    struct box *b = box_new(n, spec->id);
    if (!b)
        return op_fail(op, FAULT_CAPACITY, ENOMEM, "no memory for another sandbox");
    b->disk_bytes = spec->disk_bytes;
    int r = ns_pool_berth(&n->pool, &spec->limits, &s.berth);
    if (r < 0) {
        box_free(b);
        start_deinit(&s);
        return op_fail(op, FAULT_CAPACITY, -r, "no place for another sandbox: %s", strerror(-r));
    }
    b->slot = s.berth.slot;
    r = start_steps(n, op, b, &s);
    b->netns = TAKE_FD(s.berth.fds[BERTH_NETNS]);
    b->is_net_ours = spec->internet;
    start_deinit(&s); /* the child has its own copies */
    if (r < 0) {
        if (b->pid > 0) {
            (void)os_pidfd_signal(b->pidfd, SIGKILL);
            (void)waitid(P_PIDFD, (id_t)b->pidfd, NULL, WEXITED | __WALL);
        }
        box_release(b);
        box_free(b);
        return r;
    }
    *out = b;
    return 0;
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
    if (!ns_pool_adopt(&n->pool, r->slot))
        return RAISE(-EBUSY);
    struct box *b = box_new(n, str_of(r->id));
    if (!b)
        return RAISE(-ENOMEM);
    b->pid = r->pid;
    b->slot = r->slot;
    b->disk_bytes = r->disk_bytes;
    b->pidfd = TAKE_FD(pidfd);
    b->netns = proc_namespace(r->pid, "net");
    b->disk = ns_disk_adopt(&n->host, r->disk);
    if (b->disk < 0)
        log_warn("%s: its disk is not to be had: %s", b->id, strerror(-b->disk));
    b->is_frozen = cgroup_is_frozen(&n->host.cgroups, b->slot);
    b->state = BOX_RUNNING;
    int e = box_watch(b);
    if (!r->ready) /* nobody waits for it any more, and what it was told may not have arrived */
        ns_box_kill(b);
    return TRACE(e);
}
