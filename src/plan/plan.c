#include "plan/plan.h"

#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "base/err.h"

/* realism.md 2: what leaks from the host or lets root inside act on it. */
const struct plan_mask plan_masks[] = {
    { "/proc/kcore", PLAN_MASK_FILE },         { "/proc/keys", PLAN_MASK_FILE },
    { "/proc/key-users", PLAN_MASK_FILE },     { "/proc/timer_list", PLAN_MASK_FILE },
    { "/proc/sysrq-trigger", PLAN_MASK_FILE }, { "/proc/kallsyms", PLAN_MASK_FILE },
    { "/proc/kmsg", PLAN_MASK_FILE },          { "/proc/sched_debug", PLAN_MASK_FILE },
    { "/proc/latency_stats", PLAN_MASK_FILE }, { "/proc/config.gz", PLAN_MASK_FILE },
    { "/proc/kpagecount", PLAN_MASK_FILE },    { "/proc/kpageflags", PLAN_MASK_FILE },
    { "/proc/kpagecgroup", PLAN_MASK_FILE },   { "/proc/slabinfo", PLAN_MASK_FILE },
    { "/proc/vmallocinfo", PLAN_MASK_FILE },   { "/proc/acpi", PLAN_MASK_DIR },
    { "/proc/scsi", PLAN_MASK_DIR },           { "/proc/asound", PLAN_MASK_DIR },
    { "/sys/firmware", PLAN_MASK_DIR },        { "/sys/kernel/security", PLAN_MASK_DIR },
    { "/sys/kernel/debug", PLAN_MASK_DIR },    { "/sys/devices/virtual/powercap", PLAN_MASK_DIR },
    { "/proc/bus", PLAN_MASK_READ_ONLY },      { "/proc/fs", PLAN_MASK_READ_ONLY },
    { "/proc/irq", PLAN_MASK_READ_ONLY },
};
const size_t plan_mask_count = sizeof plan_masks / sizeof *plan_masks;

/* What services and package managers need (realism.md 1). Without CAP_SYS_ADMIN nothing can be
 * mounted or unmounted, so the masks hold; without CAP_MKNOD, NET_ADMIN, SYS_TIME, SYS_RESOURCE
 * nothing is lost that the user namespace would grant anyway. */
static const int caps_kept[] = {
    CAP_CHOWN,    CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,     CAP_FSETID,
    CAP_KILL,     CAP_SETGID,       CAP_SETUID,          CAP_SETPCAP,    CAP_NET_BIND_SERVICE,
    CAP_NET_RAW,  CAP_IPC_LOCK,     CAP_IPC_OWNER,       CAP_SYS_CHROOT, CAP_SYS_PTRACE,
    CAP_SYS_NICE, CAP_LEASE,        CAP_AUDIT_WRITE,     CAP_SETFCAP,
};

uint64_t plan_caps(void)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < sizeof caps_kept / sizeof *caps_kept; i++)
        mask |= 1ull << caps_kept[i];
    return mask;
}

/* -- building -- */

#define OPS_MAX 64

static void add(struct plan *p, struct plan_op op)
{
    if (p->count < OPS_MAX)
        p->ops[p->count++] = op;
}

static void add_masks(struct plan *p, const struct plan_host *host)
{
    for (size_t i = 0; i < plan_mask_count; i++) {
        const struct plan_mask *m = &plan_masks[i];
        const char *path = m->path + 1; /* relative to the new root */
        if (!(host->has >> i & 1))
            continue;
        if (m->how == PLAN_MASK_FILE)
            add(p, (struct plan_op){ PLAN_BIND, .a = path, .b = "dev/null" });
        else if (m->how == PLAN_MASK_READ_ONLY)
            add(p, (struct plan_op){ PLAN_BIND, .a = path, .b = path, .n = 1 });
        else /* one for all: each file system costs time at the birth and end of every cgroup */
            add(p, (struct plan_op){ PLAN_BIND, .a = path, .b = host->empty, .n = 1 });
    }
}

static void add_mounts(struct plan *p, const char *shm, const char *run)
{
    const uint64_t plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    add(p, (struct plan_op){ PLAN_MOUNT, .a = "proc", .b = "proc", .n = plain });
    add(p, (struct plan_op){ PLAN_ATTACH, PLAN_FD_SYS, .a = "sys" });
    add(p, (struct plan_op){ PLAN_ATTACH, PLAN_FD_DEV, .a = "dev" });
    add(p, (struct plan_op){ PLAN_MOUNT, .a = "dev/pts", .b = "devpts",
                             .c = "newinstance,gid=5,mode=620,ptmxmode=666",
                             .n = MS_NOSUID | MS_NOEXEC });
    add(p, (struct plan_op){ PLAN_MOUNT, .a = "dev/shm", .b = "tmpfs", .c = shm,
                             .n = MS_NOSUID | MS_NODEV });
    add(p, (struct plan_op){ PLAN_MOUNT, .a = "dev/mqueue", .b = "mqueue", .n = plain });
    add(p, (struct plan_op){ PLAN_MOUNT, .a = "run", .b = "tmpfs", .c = run,
                             .n = MS_NOSUID | MS_NODEV });
    add(p, (struct plan_op){ PLAN_ATTACH, PLAN_FD_BOOT_ID, .a = "proc/sys/kernel/random/boot_id" });
}

int plan_build(const struct plan_spec *spec, const struct plan_host *host, struct arena *a,
               struct plan *p)
{
    const char *shm = arena_printf(a, "mode=1777,size=%llu", (unsigned long long)spec->shm_bytes);
    const char *run = arena_printf(a, "mode=755,size=%llu", (unsigned long long)spec->run_bytes);
    *p = (struct plan){ .ops = arena_alloc(a, OPS_MAX * sizeof *p->ops) };
    if (!shm || !run || !p->ops)
        return RAISE(-ENOMEM);
    add(p, (struct plan_op){ PLAN_WAIT, PLAN_FD_BOOT });
    add(p, (struct plan_op){ PLAN_IDENTITY });
    add(p, (struct plan_op){ PLAN_CGROUP_NS });
    add(p, (struct plan_op){ PLAN_HOSTNAME, .a = spec->hostname });
    add(p, (struct plan_op){ PLAN_ROOT, PLAN_FD_ROOT, .a = host->attach });
    add_mounts(p, shm, run);
    add_masks(p, host);
    add(p, (struct plan_op){ PLAN_PIVOT });
    add(p, (struct plan_op){ PLAN_LIMIT, .n = RLIMIT_NOFILE, .m = host->open_files });
    add(p, (struct plan_op){ PLAN_LIMIT, .n = RLIMIT_CORE, .m = 0 });
    /* The filter before the capabilities: loading it needs CAP_SYS_ADMIN. */
    add(p, (struct plan_op){ PLAN_SYSFILTER });
    add(p, (struct plan_op){ PLAN_CAPS, .n = plan_caps() });
    add(p, (struct plan_op){ PLAN_WAIT, PLAN_FD_BOOT });
    add(p, (struct plan_op){ PLAN_HAND_OVER, PLAN_FD_BOOT });
    return 0;
}

/* -- printing -- */

static const char *const kind_names[PLAN_KINDS] = {
    "wait", "identity", "cgroup-ns", "hostname",  "root", "attach",    "mount",
    "bind", "pivot",    "limit",     "sysfilter", "caps", "hand-over",
};
static const char *const fd_names[PLAN_FDS] = { NULL, "boot", "root", "dev", "sys", "boot-id" };

static void flags_print(uint64_t flags, struct buf *out)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } names[] = {
        { MS_RDONLY, "ro" }, { MS_NOSUID, "nosuid" }, { MS_NODEV, "nodev" }, { MS_NOEXEC, "noexec" }
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (flags & names[i].bit)
            (void)buf_printf(out, " %s", names[i].name);
}

void plan_op_print(const struct plan_op *op, struct buf *out)
{
    (void)buf_printf(out, "%s", op->kind < PLAN_KINDS ? kind_names[op->kind] : "?");
    if (op->fd != PLAN_FD_NONE && op->fd < PLAN_FDS)
        (void)buf_printf(out, " <%s>", fd_names[op->fd]);
    if (op->a)
        (void)buf_printf(out, " %s", op->a);
    if (op->b)
        (void)buf_printf(out, " %s", op->b);
    if (op->c)
        (void)buf_printf(out, " (%s)", op->c);
    if (op->kind == PLAN_MOUNT)
        flags_print(op->n, out);
    if (op->kind == PLAN_BIND && op->n)
        (void)buf_printf(out, " ro");
    if (op->kind == PLAN_LIMIT)
        (void)buf_printf(out, " %s %llu", op->n == RLIMIT_CORE ? "core" : "open-files",
                         (unsigned long long)op->m);
    if (op->kind == PLAN_CAPS)
        for (unsigned i = 0; i < 64; i++)
            if (op->n >> i & 1)
                (void)buf_printf(out, " %u", i);
}

void plan_print(const struct plan *p, struct buf *out)
{
    for (size_t i = 0; i < p->count; i++) {
        plan_op_print(&p->ops[i], out);
        (void)buf_byte(out, '\n');
    }
}
