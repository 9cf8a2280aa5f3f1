#include "os/os_service.h"

#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"

int os_service_drop(uid_t uid, gid_t gid)
{
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    return 0;
}

/* What libc, OpenSSL's hashes, SQLite and the loop use on x86-64 and arm64. */
static const int allowed[] = {
    SCMP_SYS(accept4),       SCMP_SYS(access),        SCMP_SYS(brk),
    SCMP_SYS(clock_getres),  SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(close),         SCMP_SYS(connect),       SCMP_SYS(dup),
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),     SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_wait),    SCMP_SYS(eventfd2),      SCMP_SYS(exit),
    SCMP_SYS(exit_group),    SCMP_SYS(faccessat),     SCMP_SYS(fallocate),
    SCMP_SYS(fcntl),         SCMP_SYS(fdatasync),     SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),       SCMP_SYS(fsync),         SCMP_SYS(ftruncate),
    SCMP_SYS(futex),         SCMP_SYS(getdents64),    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),       SCMP_SYS(getgid),        SCMP_SYS(getpeername),
    SCMP_SYS(getpid),        SCMP_SYS(getrandom),     SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),    SCMP_SYS(gettid),        SCMP_SYS(gettimeofday),
    SCMP_SYS(getuid),        SCMP_SYS(lseek),         SCMP_SYS(lstat),
    SCMP_SYS(madvise),       SCMP_SYS(mmap),          SCMP_SYS(mprotect),
    SCMP_SYS(mremap),        SCMP_SYS(munmap),        SCMP_SYS(nanosleep),
    SCMP_SYS(newfstatat),    SCMP_SYS(open),          SCMP_SYS(openat),
    SCMP_SYS(pipe2),         SCMP_SYS(poll),          SCMP_SYS(ppoll),
    SCMP_SYS(pread64),       SCMP_SYS(pwrite64),      SCMP_SYS(read),
    SCMP_SYS(readlink),      SCMP_SYS(readlinkat),    SCMP_SYS(readv),
    SCMP_SYS(recvfrom),      SCMP_SYS(recvmsg),       SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),          SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),  SCMP_SYS(sched_yield),   SCMP_SYS(sendfile),
    SCMP_SYS(sendmsg),       SCMP_SYS(sendto),        SCMP_SYS(set_robust_list),
    SCMP_SYS(setsockopt),    SCMP_SYS(shutdown),      SCMP_SYS(sigaltstack),
    SCMP_SYS(signalfd4),     SCMP_SYS(socket),        SCMP_SYS(splice),
    SCMP_SYS(stat),          SCMP_SYS(statx),         SCMP_SYS(sysinfo),
    SCMP_SYS(tgkill),        SCMP_SYS(uname),         SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),      SCMP_SYS(write),         SCMP_SYS(writev),
};

int os_service_seccomp(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!ctx)
        return RAISE(-ENOMEM);
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof allowed / sizeof allowed[0]; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return TRACE(r);
}
