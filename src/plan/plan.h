/* What process 1 of a sandbox does between clone and exec, as a list of operations. Pure: a spec
 * and facts of the host in, a list out; it prints itself. engine/ns carries it out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

enum plan_kind {
    PLAN_WAIT,     /* until the engine has set up ids and groups, then the record: a byte on `fd` */
    PLAN_IDENTITY, /* become 0:0 of the new user namespace, no groups, own session */
    PLAN_CGROUP_NS, /* a cgroup namespace whose root is where the engine has put us */
    PLAN_HOSTNAME,  /* `a` */
    PLAN_ROOT,      /* attach mount `fd` at directory `a` of the old root and enter it */
    PLAN_ATTACH,    /* attach mount `fd` at `a` of the new root */
    PLAN_MOUNT,     /* a new file system of type `b` at `a`, options `c`, MS_* flags `n` */
    PLAN_BIND,      /* `b` over `a`, read-only when n is not 0 */
    PLAN_PIVOT,     /* the new root becomes "/", the old one is gone */
    PLAN_LIMIT,     /* resource limit `n` (RLIMIT_*), soft and hard `m` */
    PLAN_SYSFILTER, /* load the system call filter */
    PLAN_CAPS,      /* keep only the capabilities of mask `n`, now and after any exec */
    PLAN_HAND_OVER, /* give the agent its descriptors, close the rest */
    PLAN_KINDS,
};

/* Descriptors by role; the engine knows the numbers. */
enum plan_fd {
    PLAN_FD_NONE,
    PLAN_FD_BOOT,
    PLAN_FD_ROOT,
    PLAN_FD_DEV,
    PLAN_FD_SYS,
    PLAN_FD_BOOT_ID,
    PLAN_FDS
};

struct plan_op {
    enum plan_kind kind;
    enum plan_fd fd;
    const char *a, *b, *c;
    uint64_t n, m;
};
struct plan {
    struct plan_op *ops;
    size_t count;
};

/* Bits of plan_host.has: files of /proc and /sys that this kernel has (plan_probe). */
struct plan_host {
    uint64_t has;
    uint64_t open_files; /* hard limit of descriptors; cannot be raised inside */
    const char *attach;  /* directory of the host where the root is attached on its way */
    const char *empty;   /* directory of the host that is empty and cannot be written to */
};
struct plan_spec {
    const char *hostname;
    uint64_t shm_bytes, run_bytes;
};

/* What is hidden or made read-only inside: one row each. plan_host.has bit i speaks of row i. */
struct plan_mask {
    const char *path;
    enum { PLAN_MASK_FILE, PLAN_MASK_DIR, PLAN_MASK_READ_ONLY } how;
};
extern const struct plan_mask plan_masks[];
extern const size_t plan_mask_count;

/* The capabilities a sandbox keeps, as a mask. Each is over its own user namespace only. */
uint64_t plan_caps(void);

/* Builds the plan. Strings are borrowed from spec and host or come from `a`. 0 or -ENOMEM. */
int plan_build(const struct plan_spec *spec, const struct plan_host *host, struct arena *a,
               struct plan *out);

/* One line per operation. */
void plan_print(const struct plan *p, struct buf *out);
void plan_op_print(const struct plan_op *op, struct buf *out);
