/* The janitor: a process of low priority that does what takes long, so that the engine's one thread
 * never waits: berths and disks made ahead, what ended sandboxes leave behind. When it dies it is
 * started again; what it was asked is then lost and asked anew by the pool. */
#pragma once

#include <stdint.h>

#include "engine/ns/ns_berth.h"
#include "engine/ns/ns_host.h"
#include "ipc/link.h"

enum janitor_verb {
    JANITOR_BERTH =
        1,          /* make a berth: JK_SLOT, limits -> the same with its descriptors, or status */
    JANITOR_DISK,   /* make a disk: JK_SIZE -> the disk */
    JANITOR_RETIRE, /* clean up after a sandbox: JK_SLOT, JK_SIZE of the disk; JK_HAS tells which
                       descriptors come along (disk, network); JK_REMAKE what to make anew of
                       them (berth, disk) -> JK_REMAKE, and JK_HAS for what was made */
};
enum janitor_key {
    JK_SLOT = 1,
    JK_SIZE,
    JK_ID,
    JK_HAS,
    JK_REMAKE,
    JK_MEMORY,
    JK_CPUS,
    JK_PIDS,
    JK_MASK
};
enum { JANITOR_HAS_DISK = 1, JANITOR_HAS_NET = 2, JANITOR_HAS_BERTH = 4 };

/* Starts it: a fork that runs until the returned socket is closed. The socket, for a link, or a
 * negative errno. */
int ns_janitor_start(const struct ns_host *h);

/* A berth's descriptors in a message: those that exist, with a mask of which (JK_MASK). */
int ns_berth_pack(const struct berth *b, int fds[BERTH_FDS], uint64_t *mask);
/* Takes them: *fds are set to -1 as they are taken. Returns how many. */
int ns_berth_unpack(struct berth *b, int *fds, int count, uint64_t mask);
/* The limits of a message; 0 for those it does not name. */
struct cgroup_limits janitor_limits_get(const struct msg *m);
