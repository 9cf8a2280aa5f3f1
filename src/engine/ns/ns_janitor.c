#include "engine/ns/ns_janitor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_disk.h"
#include "os/os_sys.h"

#define PRIORITY 5
#define BUSY_TRIES 200 /* times 1 ms: a killed sandbox's last process may still be leaving */

struct janitor {
    struct ns_host host; /* a copy: the descriptors are this process's own */
    struct loop *loop;
    struct link link;
    struct buf out;
};

int ns_berth_pack(const struct berth *b, int fds[BERTH_FDS], uint64_t *mask)
{
    int count = 0;
    *mask = 0;
    for (int i = 0; i < BERTH_FDS; i++)
        if (b->fds[i] >= 0) {
            fds[count++] = b->fds[i];
            *mask |= 1ull << i;
        }
    return count;
}

int ns_berth_unpack(struct berth *b, int *fds, int count, uint64_t mask)
{
    int at = 0;
    for (int i = 0; i < BERTH_FDS && at < count; i++)
        if (mask >> i & 1)
            b->fds[i] = TAKE_FD(fds[at++]);
    return at;
}

struct cgroup_limits janitor_limits_get(const struct msg *m)
{
    struct cgroup_limits l;
    (void)msg_get_u64(m, JK_MEMORY, &l.memory_bytes);
    (void)msg_get_u64(m, JK_CPUS, &l.cpus_milli);
    (void)msg_get_u64(m, JK_PIDS, &l.pids);
    return l;
}

/* Everything of a reply: what was made goes along and is closed here. */
struct result {
    int status;
    uint64_t slot, size, remake;
    struct berth berth;
    bool has_berth;
    int disk;
};

static void reply(struct janitor *j, const struct msg *m, struct result *r)
{
    int fds[BERTH_FDS + 1], count = 0;
    uint64_t mask = 0, has = 0;
    if (r->disk >= 0) {
        fds[count++] = r->disk;
        has |= JANITOR_HAS_DISK;
    }
    if (r->has_berth) {
        count += ns_berth_pack(&r->berth, fds + count, &mask);
        has |= JANITOR_HAS_BERTH;
    }
    struct cgroup_limits l = janitor_limits_get(m);
    msg_begin(&j->out, m->verb, MSG_REPLY, m->tag, r->status);
    msg_u64(&j->out, JK_SLOT, r->slot);
    msg_u64(&j->out, JK_SIZE, r->size);
    msg_u64(&j->out, JK_HAS, has);
    msg_u64(&j->out, JK_MASK, mask);
    msg_u64(&j->out, JK_REMAKE, r->remake);
    msg_u64(&j->out, JK_MEMORY, l.memory_bytes);
    msg_u64(&j->out, JK_CPUS, l.cpus_milli);
    msg_u64(&j->out, JK_PIDS, l.pids);
    msg_end(&j->out);
    (void)link_send(&j->link, &j->out, fds, count);
    if (r->has_berth)
        berth_deinit(&r->berth);
    fd_closep(&r->disk);
}

static void do_berth(struct janitor *j, const struct msg *m, struct result *r)
{
    struct cgroup_limits l = janitor_limits_get(m);
    r->status = ns_berth_make(&j->host, (uint32_t)r->slot, -1, &l, &r->berth);
    r->has_berth = r->status == 0;
}

static void do_disk(struct janitor *j, struct result *r)
{
    r->disk = ns_disk_make(&j->host, r->size);
    r->status = r->disk < 0 ? r->disk : 0;
}

static int clear(struct janitor *j, uint32_t slot, bool again)
{
    int r = -EBUSY;
    for (int i = 0; i < BUSY_TRIES && r == -EBUSY; i++) {
        r = ns_berth_clear(&j->host, slot, again);
        if (r == -EBUSY)
            (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return r;
}

static void do_retire(struct janitor *j, const struct msg *m, int *fds, int count, struct result *r)
{
    uint64_t has = 0;
    (void)msg_get_u64(m, JK_HAS, &has);
    (void)msg_get_u64(m, JK_REMAKE, &r->remake);
    int at = 0;
    int disk = -1;
    CLEANUP(fd_closep) int net = -1;
    if ((has & JANITOR_HAS_DISK) && at < count)
        disk = TAKE_FD(fds[at++]);
    if ((has & JANITOR_HAS_NET) && at < count)
        net = TAKE_FD(fds[at++]);
    r->status = clear(j, (uint32_t)r->slot, r->remake & JANITOR_HAS_BERTH);
    if (r->status == 0 && (r->remake & JANITOR_HAS_DISK) && disk >= 0 &&
        ns_disk_wipe(&j->host, disk) == 0)
        r->disk = TAKE_FD(disk);
    ns_disk_drop(&j->host, &disk);
    if (r->status < 0) {
        log_warn("slot %u: cannot be cleared: %s", (unsigned)r->slot, strerror(-r->status));
        return;
    }
    if (r->remake & JANITOR_HAS_BERTH) {
        struct cgroup_limits l = janitor_limits_get(m);
        int e = ns_berth_make(&j->host, (uint32_t)r->slot, TAKE_FD(net), &l, &r->berth);
        r->has_berth = e == 0;
    }
}

static void on_message(struct link *k, const struct msg *m, int *fds, int count)
{
    struct janitor *j = k->data;
    struct result r = { .disk = -1 };
    berth_init(&r.berth);
    (void)msg_get_u64(m, JK_SLOT, &r.slot);
    (void)msg_get_u64(m, JK_SIZE, &r.size);
    if (m->verb == JANITOR_BERTH)
        do_berth(j, m, &r);
    else if (m->verb == JANITOR_DISK)
        do_disk(j, &r);
    else if (m->verb == JANITOR_RETIRE)
        do_retire(j, m, fds, count, &r);
    reply(j, m, &r);
}

static void on_closed(struct link *k)
{
    struct janitor *j = k->data;
    loop_stop(j->loop);
}

static _Noreturn void run(const struct ns_host *h, int fd)
{
    static const struct link_ops ops = { on_message, on_closed };
    struct janitor j = { .host = *h };
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* lives and dies with the engine's end of the socket, not by a terminal */
    (void)setpriority(PRIO_PROCESS, 0, PRIORITY);
    buf_init(&j.out, 65536);
    j.loop = loop_new();
    int r = j.loop ? link_open(&j.link, j.loop, fd, &ops, &j) : -ENOMEM;
    if (r == 0)
        r = loop_run(j.loop);
    _exit(r < 0 ? 1 : 0);
}

int ns_janitor_start(const struct ns_host *h)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return RAISE(-errno);
    pid_t pid = fork();
    if (pid == 0) {
        int keep[NS_HOST_FDS + 1] = { pair[1] };
        /* A sandbox's descriptors held here as well would keep disks and networks alive. */
        proc_close_others(keep, 1 + ns_host_fds(h, keep + 1));
        run(h, pair[1]);
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return RAISE(-errno);
    }
    return pair[0];
}
