#include "engine/ns/ns_child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/engine_proto.h"
#include "os/os_proc.h"
#include "os/os_seccomp.h"
#include "os/os_sys.h"

#define HIGH 200 /* descriptors are moved up here first, out of the way of the fixed numbers */

static int child_ret(long r) { return r < 0 ? -errno : 0; }

static int child_wait(int fd)
{
    char c = 0;
    ssize_t n;
    do
        n = read(fd, &c, 1);
    while (n < 0 && errno == EINTR);
    /* End of file: the engine died before it had written down that this sandbox exists. */
    if (n != 1 || c != NS_GO)
        _exit(1);
    return 0;
}

static int child_identity(void)
{
    (void)setsid(); /* a terminal's signals to the engine are not for its sandboxes */
    (void)umask(022);
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return -errno;
    return 0;
}

static int child_root(int mount, const char *at)
{
    int r = os_move_mount(mount, "", AT_FDCWD, at, OS_MOVE_MOUNT_F_EMPTY_PATH);
    return r < 0 ? r : child_ret(chdir(at));
}

static int child_bind(const struct plan_op *op)
{
    if (mount(op->b, op->a, NULL, MS_BIND, NULL) < 0)
        return -errno;
    if (!op->n)
        return 0;
    /* Flags the source is locked with must be named again. */
    return child_ret(mount(NULL, op->a, NULL,
                           MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                           NULL));
}

static int child_pivot(void)
{
    int r = os_pivot_root(".", ".");
    if (r < 0)
        return r;
    /* The old root lies on top of the new one now. */
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static int child_caps(uint64_t keep)
{
    for (int i = 0; i < 64; i++)
        if (!(keep >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                break; /* past the last one this kernel knows */
            return -errno;
        }
    struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct d[2] = {
        { .effective = (uint32_t)keep, .permitted = (uint32_t)keep },
        { .effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32) },
    };
    return child_ret(syscall(SYS_capset, &h, d));
}

static int child_hand_over(const struct ns_child *c)
{
    int up[NS_HANDED];
    for (int i = 0; i < c->handed_count; i++)
        if ((up[i] = fcntl(c->handed[i], F_DUPFD, HIGH)) < 0)
            return -errno;
    int null = open("/dev/null", O_RDWR);
    if (null < 0)
        return -errno;
    for (int i = 0; i < 3; i++)
        if (dup2(null, i) < 0)
            return -errno;
    for (int i = 0; i < c->handed_count; i++)
        if (dup2(up[i], AGENT_BOOT_FD + i) < 0)
            return -errno;
    return os_close_range((unsigned)(AGENT_BOOT_FD + c->handed_count), ~0u);
}

static int child_op(const struct ns_child *c, const struct plan_op *op)
{
    int fd = c->fds[op->fd];
    struct rlimit limit = { op->m, op->m };
    switch (op->kind) {
    case PLAN_WAIT:
        return child_wait(fd);
    case PLAN_IDENTITY:
        return child_identity();
    case PLAN_CGROUP_NS:
        return child_ret(unshare(CLONE_NEWCGROUP));
    case PLAN_HOSTNAME:
        return child_ret(sethostname(op->a, strlen(op->a)));
    case PLAN_ROOT:
        return child_root(fd, op->a);
    case PLAN_ATTACH:
        return os_move_mount(fd, "", AT_FDCWD, op->a, OS_MOVE_MOUNT_F_EMPTY_PATH);
    case PLAN_MOUNT:
        return child_ret(mount(op->b, op->a, op->b, op->n, op->c));
    case PLAN_BIND:
        return child_bind(op);
    case PLAN_PIVOT:
        return child_pivot();
    case PLAN_LIMIT:
        return child_ret(setrlimit((__rlimit_resource_t)op->n, &limit));
    case PLAN_SYSFILTER:
        return sysfilter_load(c->filter);
    case PLAN_CAPS:
        return child_caps(op->n);
    case PLAN_HAND_OVER:
        return child_hand_over(c);
    case PLAN_KINDS:
        break;
    }
    return -ENOSYS;
}

/* The clone has a copy of all that the zygote has open: held here, the zygote's channel would
 * outlive an engine that dies, and the end of file that tells of that would never come. */
static void child_close(const struct ns_child *c)
{
    int keep[PLAN_FDS + NS_HANDED], count = 0;
    for (int i = PLAN_FD_NONE + 1; i < PLAN_FDS; i++)
        keep[count++] = c->fds[i];
    for (int i = 0; i < c->handed_count; i++)
        keep[count++] = c->handed[i];
    proc_close_others(keep, count);
}

void ns_child_run(const struct ns_child *c)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    child_close(c);
    size_t i = 0;
    int r = 0;
    for (; i < c->plan->count && r >= 0; i++)
        r = child_op(c, &c->plan->ops[i]);
    if (r >= 0)
        return;
    struct ns_failure f = { NS_FAILED, (unsigned char)(i - 1), -r };
    /* The last step moves the channel; its number is the agent's then. */
    ssize_t n = write(c->fds[PLAN_FD_BOOT], &f, sizeof f);
    if (n < 0)
        n = write(AGENT_BOOT_FD, &f, sizeof f);
    _exit(n == (ssize_t)sizeof f ? 1 : 2);
}
