/* System calls and constants that older C libraries lack (glibc < 2.36, musl), as thin typed
 * wrappers: each returns what the call returns, or a negative errno. Numbers and flags are the
 * kernel's user ABI, named OS_* so that they never clash with a libc that has them. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

#define OS_OPEN_TREE_CLONE 1u
#define OS_OPEN_TREE_CLOEXEC (unsigned)O_CLOEXEC
#define OS_MOVE_MOUNT_F_EMPTY_PATH 0x4u
#define OS_MOVE_MOUNT_T_EMPTY_PATH 0x40u
#define OS_FSOPEN_CLOEXEC 1u
#define OS_FSMOUNT_CLOEXEC 1u
#define OS_FSCONFIG_SET_FLAG 0u
#define OS_FSCONFIG_SET_STRING 1u
#define OS_FSCONFIG_SET_FD 5u
#define OS_FSCONFIG_CMD_CREATE 6u
#define OS_MOUNT_ATTR_RDONLY 0x1u
#define OS_MOUNT_ATTR_NOSUID 0x2u
#define OS_MOUNT_ATTR_NODEV 0x4u
#define OS_MOUNT_ATTR_NOEXEC 0x8u
#define OS_MOUNT_ATTR_IDMAP 0x100000u
#define OS_CLONE_PIDFD 0x1000ull
#define OS_CLONE_CLEAR_SIGHAND 0x100000000ull
#define OS_CLONE_INTO_CGROUP 0x200000000ull

struct os_mount_attr {
    uint64_t set, clear, propagation, userns_fd;
};
struct os_clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

static inline int os_ret(long r) { return r < 0 ? -errno : (int)r; }

/* clone3(2) without a new stack: like fork(2), but libc's fork handlers do not run. The child may
 * only use what is safe between fork and exec. */
static inline int os_clone(struct os_clone_args *a)
{
    return os_ret(syscall(SYS_clone3, a, sizeof *a));
}
static inline int os_pidfd_open(pid_t pid) { return os_ret(syscall(SYS_pidfd_open, pid, 0u)); }
static inline int os_pidfd_signal(int pidfd, int sig)
{
    return os_ret(syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0u));
}
static inline int os_open_tree(int dir, const char *path, unsigned flags)
{
    return os_ret(syscall(SYS_open_tree, dir, path, flags));
}
static inline int os_move_mount(int from, const char *from_path, int to, const char *to_path,
                                unsigned flags)
{
    return os_ret(syscall(SYS_move_mount, from, from_path, to, to_path, flags));
}
static inline int os_fsopen(const char *type)
{
    return os_ret(syscall(SYS_fsopen, type, OS_FSOPEN_CLOEXEC));
}
static inline int os_fsconfig(int fs, unsigned cmd, const char *key, const void *value, int aux)
{
    return os_ret(syscall(SYS_fsconfig, fs, cmd, key, value, aux));
}
static inline int os_fsmount(int fs, unsigned attrs)
{
    return os_ret(syscall(SYS_fsmount, fs, OS_FSMOUNT_CLOEXEC, attrs));
}
static inline int os_mount_setattr(int dir, const char *path, unsigned flags,
                                   const struct os_mount_attr *a)
{
    return os_ret(syscall(SYS_mount_setattr, dir, path, flags, a, sizeof *a));
}
static inline int os_pivot_root(const char *new_root, const char *put_old)
{
    return os_ret(syscall(SYS_pivot_root, new_root, put_old));
}
static inline int os_close_range(unsigned first, unsigned last)
{
    return os_ret(syscall(SYS_close_range, first, last, 0u));
}
static inline int os_execveat(int fd, char *const *argv, char *const *envp)
{
    return os_ret(syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH));
}
