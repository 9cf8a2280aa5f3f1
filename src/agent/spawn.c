#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "ipc/engine_proto.h"

#define STACK_SIZE 16384
#define OOM_SCORE "500" /* above the agent's 0: when memory runs out a command goes first */

/* Shared with the parent, which is stopped until the child has exec'ed or died (CLONE_VFORK). */
struct child {
    const struct spawn_spec *spec;
    sigset_t mask;
    volatile int err;
    const char *volatile step;
};

/* The child runs on this; the parent's frames stay as they are. */
static _Alignas(16) char child_stack[STACK_SIZE];

__attribute__((noreturn)) static void child_fail(struct child *c, const char *step)
{
    c->err = errno;
    c->step = step;
    for (;;)
        (void)syscall(SYS_exit_group, 127);
}

/* Only this child's dispositions change: the table is not shared. What is ignored would stay so
 * across exec, and SIGPIPE and its like must kill a command. */
static void child_signals(struct child *c)
{
    struct sigaction dfl = { .sa_handler = SIG_DFL };
    for (int s = 1; s < NSIG; s++)
        if (s != SIGKILL && s != SIGSTOP)
            (void)sigaction(s, &dfl, NULL);
    (void)sigprocmask(SIG_SETMASK, &c->mask, NULL);
}

void spawn_child_cgroups(int cgroup_fds)
{
    for (int i = 0; i < cgroup_fds; i++) {
        ssize_t n = write(AGENT_CGROUP_FD + i, "0", 1);
        (void)n; /* without the cgroup it is still better to run than not to */
    }
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, OOM_SCORE, sizeof OOM_SCORE - 1);
    (void)n;
    (void)close(fd);
}

/* The agent raised its own limit of open files; a command gets what the sandbox was given. */
static void child_limits(const struct spawn_spec *s)
{
    struct rlimit files = s->files;
    (void)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &files, NULL);
}

static void child_rights(struct child *c)
{
    const struct user *u = c->spec->user;
    /* raw: the libc wrappers would tell other threads, and this memory is the parent's */
    if (syscall(SYS_setgroups, u->group_count, u->groups) < 0)
        child_fail(c, "setgroups");
    if (syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0)
        child_fail(c, "setgid");
    if (syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
        child_fail(c, "setuid");
}

/* To 0, 1, 2 by way of numbers above, so that none is overwritten before it was copied. */
static void child_descriptors(struct child *c)
{
    int up[3];
    for (int i = 0; i < 3; i++)
        if ((up[i] = fcntl(c->spec->fds[i], F_DUPFD_CLOEXEC, 3)) < 0)
            child_fail(c, "dup");
    for (int i = 0; i < 3; i++)
        if (dup2(up[i], i) < 0)
            child_fail(c, "dup");
    /* all of ours are close-on-exec already; this is for what somebody forgets */
    (void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
}

static int child_main(void *data)
{
    struct child *c = data;
    const struct spawn_spec *s = c->spec;
    child_signals(c);
    spawn_child_cgroups(s->cgroup_fds);
    child_limits(s);
    (void)setsid();
    if (s->tty && ioctl(s->fds[0], TIOCSCTTY, 0) < 0)
        child_fail(c, "controlling terminal");
    (void)umask(022);
    child_descriptors(c);
    child_rights(c);
    if (chdir(s->cwd) < 0)
        child_fail(c, "chdir");
    int err = ENOENT;
    for (char *const *p = s->paths; *p; p++) {
        (void)execve(*p, s->argv, s->envp);
        if (errno != ENOENT && errno != ENOTDIR)
            err = errno; /* as execvp(3): a file that may not be run is worth telling */
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            break;
    }
    errno = err;
    child_fail(c, "exec");
}

pid_t spawn_start(const struct spawn_spec *spec, struct spawn_failure *why)
{
    struct child c = { .spec = spec };
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &c.mask);
    sigset_t mine = c.mask;
    (void)sigemptyset(&c.mask); /* a command starts with nothing blocked */
    pid_t pid = clone(child_main, child_stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, &c);
    int err = errno;
    (void)sigprocmask(SIG_SETMASK, &mine, NULL);
    if (pid < 0) {
        *why = (struct spawn_failure){ "fork", err };
        return -err;
    }
    if (!c.step)
        return pid;
    *why = (struct spawn_failure){ c.step, c.err };
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return -c.err;
}
