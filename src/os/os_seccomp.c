#include "os/os_seccomp.h"

#include <asm/ioctls.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "os/os_sys.h"

/* Denied with EPERM, whatever the arguments. */
static const char *const denied[] = {
    /* Mounts: what is masked in /proc and /sys must stay masked. */
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "open_tree",
    "open_tree_attr",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    /* Other namespaces. */
    "setns",
    /* Kernel interfaces with a long record of holes, of no use to a program in a sandbox. */
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "lookup_dcookie",
    "kcmp",
    "uselib",
    "nfsservctl",
    "vm86",
    "vm86old",
    "modify_ldt",
    "_sysctl",
    "sysfs",
    "ustat",
    "fanotify_init",
    /* The kernel's key rings know nothing of containers. */
    "keyctl",
    "add_key",
    "request_key",
    /* The machine itself. */
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "swapon",
    "swapoff",
    "reboot",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "vhangup",
    "iopl",
    "ioperm",
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
    "open_by_handle_at",
    "name_to_handle_at",
    "move_pages",
    "migrate_pages",
    "mbind",
    "set_mempolicy",
    "set_mempolicy_home_node",
};

/* Denied with ENOSYS: the caller falls back to something older, as glibc does for clone3, whose
 * flags a filter cannot see, and libuv for io_uring, which passes by every filter. */
static const char *const absent[] = { "clone3", "io_uring_setup", "io_uring_enter",
                                      "io_uring_register" };

static const unsigned long namespace_flags[] = { CLONE_NEWNS,     CLONE_NEWUTS, CLONE_NEWIPC,
                                                 CLONE_NEWUSER,   CLONE_NEWPID, CLONE_NEWNET,
                                                 CLONE_NEWCGROUP, 0x80 /* CLONE_NEWTIME */ };

static int deny(scmp_filter_ctx c, uint32_t action, const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr < 0)
        return 0; /* not a call of this architecture, or newer than libseccomp */
    int r = seccomp_rule_add_array(c, action, nr, 0, NULL);
    return r < 0 ? RAISE(r) : 0;
}

static int deny_if(scmp_filter_ctx c, const char *name, struct scmp_arg_cmp cmp)
{
    int nr = seccomp_syscall_resolve_name(name);
    int r = nr < 0 ? nr : seccomp_rule_add_array(c, SCMP_ACT_ERRNO(EPERM), nr, 1, &cmp);
    return r < 0 ? RAISE(r) : 0;
}

static int rules_add(scmp_filter_ctx c)
{
    int r = 0;
    for (size_t i = 0; i < sizeof denied / sizeof *denied && r == 0; i++)
        r = deny(c, SCMP_ACT_ERRNO(EPERM), denied[i]);
    for (size_t i = 0; i < sizeof absent / sizeof *absent && r == 0; i++)
        r = deny(c, SCMP_ACT_ERRNO(ENOSYS), absent[i]);
    /* A new user namespace would give back every capability taken away, and the kernel code that
     * only such a root reaches. Namespaces of other kinds need one first. */
    for (size_t i = 0; i < sizeof namespace_flags / sizeof *namespace_flags && r == 0; i++) {
        unsigned long f = namespace_flags[i];
        r = deny_if(c, "unshare", SCMP_A0(SCMP_CMP_MASKED_EQ, f, f));
        if (r == 0 && f != 0x80) /* in clone(2) this bit is part of the exit signal */
            r = deny_if(c, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, f, f));
    }
    /* Pushing input into another's terminal. The kernel looks at 32 bits of the request. */
    if (r == 0)
        r = deny_if(c, "ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI));
    if (r == 0)
        r = deny_if(c, "ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCLINUX));
    /* gdb and setarch may turn address randomisation off; making all memory executable is an old
     * system's quirk that weakens the program that asks. 0xffffffff only asks what is set. */
    if (r == 0)
        r = deny_if(
            c, "personality",
            SCMP_A0(SCMP_CMP_MASKED_EQ, READ_IMPLIES_EXEC | 0x80000000u, READ_IMPLIES_EXEC));
    return TRACE(r);
}

static int export_program(scmp_filter_ctx c, struct sock_fprog *prog)
{
    CLEANUP(fd_closep) int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return RAISE(-errno);
    int r = seccomp_export_bpf(c, fd);
    struct stat st;
    if (r < 0 || fstat(fd, &st) < 0)
        return RAISE(r < 0 ? r : -errno);
    CLEANUP(freep) struct sock_filter *code = malloc((size_t)st.st_size);
    if (!code)
        return RAISE(-ENOMEM);
    if (pread(fd, code, (size_t)st.st_size, 0) != st.st_size)
        return RAISE(-EIO);
    prog->len = (unsigned short)((size_t)st.st_size / sizeof *code);
    prog->filter = TAKE_PTR(code);
    return 0;
}

int sysfilter_build(struct sock_fprog *prog)
{
    *prog = (struct sock_fprog){ 0 };
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (!c)
        return RAISE(-ENOMEM);
    /* Calls of another architecture (i386, x32) would pass by the numbers above. */
    int r = seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    /* A binary tree instead of a list: fewer steps for each call of a program. */
    if (r == 0)
        (void)seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = rules_add(c);
    if (r == 0)
        r = export_program(c, prog);
    seccomp_release(c);
    return TRACE(r);
}
