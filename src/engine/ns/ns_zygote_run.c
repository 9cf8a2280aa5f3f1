/* Inside the zygote. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "engine/ns/ns_site.h"
#include "engine/ns/ns_start.h"
#include "engine/ns/ns_zygote_internal.h"
#include "os/os_sys.h"

#define ROOT "/tmp" /* a directory that every host has; covered in our own namespace only */
#define ATTACH "/a"
#define EMPTY "/e"

static struct {
    struct plan_host host;
    struct sock_filter filter[ZYGOTE_FILTER];
    struct sock_fprog program;
} known;

/* Two mounts are all that a clone copies: an empty root, and /proc, without which the kernel lets
 * no user namespace mount one of its own. */
static int root_make(void)
{
    const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", ROOT, "tmpfs", plain, "mode=755,size=4k,nr_inodes=8") < 0 ||
        mkdir(ROOT "/proc", 0555) < 0 || mkdir(ROOT ATTACH, 0755) < 0 ||
        mkdir(ROOT EMPTY, 0555) < 0 || mount("proc", ROOT "/proc", "proc", plain, NULL) < 0 ||
        chdir(ROOT) < 0)
        return RAISE(-errno);
    int r = os_pivot_root(".", ".");
    if (r < 0)
        return RAISE(r);
    return umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ? RAISE(-errno) : 0;
}

static int hello_take(void)
{
    static struct {
        struct zygote_hello hello;
        struct sock_filter filter[ZYGOTE_FILTER];
    } m;
    int fds[ZYGOTE_FDS], count;
    ssize_t n = zygote_receive(ZYGOTE_CHANNEL, &m, sizeof m, fds, &count);
    size_t filter = m.hello.instructions * sizeof *m.filter;
    if (n < (ssize_t)sizeof m.hello || (size_t)n != sizeof m.hello + filter)
        return RAISE(-EPROTO);
    known.host = (struct plan_host){ m.hello.has, m.hello.open_files, ATTACH, EMPTY };
    memcpy(known.filter, m.filter, filter);
    known.program = (struct sock_fprog){ (unsigned short)m.hello.instructions, known.filter };
    return 0;
}

static void reply(int pid, int pidfd)
{
    struct zygote_reply r = { pid };
    const struct iovec part = { &r, sizeof r };
    (void)zygote_send(ZYGOTE_CHANNEL, &part, 1, &pidfd, pid > 0 ? 1 : 0);
}

/* -- one clone -- */

struct job {
    struct zygote_request q;
    int fds[ZYGOTE_FDS], count;
    struct arena arena;
    struct plan plan;
    struct ns_child child;
    int netns, group;
};

static int job_read(struct job *j)
{
    const int roles = PLAN_FDS - 1, fixed = roles + (int)j->q.handed;
    struct plan_spec spec = { NS_HOSTNAME, j->q.shm_bytes, NS_RUN_BYTES };
    if (j->q.handed > NS_HANDED || j->count != fixed + 1 + (j->q.has_group ? 1 : 0))
        return RAISE(-EPROTO);
    j->child = (struct ns_child){ .plan = &j->plan,
                                  .filter = &known.program,
                                  .handed_count = (int)j->q.handed };
    for (int i = 0; i < roles; i++)
        j->child.fds[PLAN_FD_NONE + 1 + i] = j->fds[i];
    memcpy(j->child.handed, j->fds + roles, j->q.handed * sizeof *j->fds);
    j->netns = j->fds[fixed];
    j->group = j->q.has_group ? j->fds[fixed + 1] : -1;
    return plan_build(&spec, &known.host, &j->arena, &j->plan);
}

/* The clone inherits the network namespace, so we step into it: root of a new user namespace may
 * not enter one that belongs to the host. It is the engine's child, not ours, who waits for it. Its
 * pid, 0 in it, or a negative errno. */
static int job_clone(struct job *j, int *pidfd)
{
    struct os_clone_args a = {
        .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
                 CLONE_PARENT | OS_CLONE_PIDFD | OS_CLONE_CLEAR_SIGHAND |
                 (j->group >= 0 ? OS_CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .cgroup = j->group >= 0 ? (uint64_t)j->group : 0,
    };
    if (setns(j->netns, CLONE_NEWNET) < 0)
        return RAISE(-errno);
    int pid = os_clone(&a);
    if (pid == 0)
        return 0;
    if (setns(ZYGOTE_NETNS, CLONE_NEWNET) < 0)
        abort(); /* the next clone would be in this sandbox's network */
    return pid < 0 ? RAISE(pid) : pid;
}

/* It has the zygote's memory, and so its name and environment. */
static int become_agent(const struct job *j, char *name)
{
    char groups[16];
    static const char own[] = "belljar-agent";
    (void)snprintf(groups, sizeof groups, "%u", j->q.groups);
    memset(name, 0, strlen(name));
    memcpy(name, own, sizeof own);
    (void)prctl(PR_SET_NAME, own);
    /* changing ids has taken this away; an exec would have given it back */
    (void)prctl(PR_SET_DUMPABLE, 1);
    return setenv("BELLJAR_CGROUP_FDS", groups, 1);
}

/* True in the clone. */
static bool job_do(struct job *j, char *name)
{
    CLEANUP(fd_closep) int pidfd = -1;
    int pid = job_read(j);
    if (pid == 0)
        pid = job_clone(j, &pidfd);
    if (pid == 0) {
        ns_child_run(&j->child);
        arena_deinit(&j->arena);
        (void)become_agent(j, name);
        return true;
    }
    reply(pid, pidfd);
    return false;
}

int ns_zygote_run(char *name)
{
    int r = hello_take();
    if (r == 0)
        r = root_make();
    reply(r, -1);
    while (r == 0) {
        struct job j = { .count = 0 };
        ssize_t n = zygote_receive(ZYGOTE_CHANNEL, &j.q, sizeof j.q, j.fds, &j.count);
        arena_init(&j.arena, 65536);
        if (n == (ssize_t)sizeof j.q) {
            if (job_do(&j, name))
                return 0;
        } else {
            r = n == 0 ? -ECANCELED : -EPROTO; /* 0: the engine is gone */
        }
        for (int i = 0; i < j.count; i++)
            fd_closep(&j.fds[i]);
        arena_deinit(&j.arena);
    }
    return r;
}
