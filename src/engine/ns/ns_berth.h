/* A berth: all of a sandbox that does not depend on which one it will be, made ahead. It belongs to
 * a slot, which gives its ids, address, interface and cgroups. */
#pragma once

#include "engine/ns/ns_host.h"

enum berth_fd {
    BERTH_USERNS, /* id mapping of the slot */
    BERTH_NETNS,
    BERTH_SYS,     /* mount of sysfs */
    BERTH_DEV,     /* mount of /dev */
    BERTH_BOOT_ID, /* mount of one file */
    BERTH_ENVD,    /* listening sockets for the agent */
    BERTH_HOST,
    BERTH_TCP,
    BERTH_CMD, /* and up to CGROUP_COMMANDS: write ends of cgroup.procs */
    BERTH_FDS = BERTH_CMD + 3,
};

struct berth {
    uint32_t slot;
    struct cgroup_limits limits; /* as written into its groups */
    int fds[BERTH_FDS];          /* -1: none */
};

void berth_init(struct berth *b);
void berth_deinit(struct berth *b); /* closes; cgroups and directory stay, see ns_berth_clear */

/* Makes all of it. `netns` is a namespace to use again if it is clean, or -1; taken in every case.
 * `limits` are written ahead. 0 or a negative errno, then nothing is left. */
int ns_berth_make(const struct ns_host *h, uint32_t slot, int netns,
                  const struct cgroup_limits *limits, struct berth *out);

/* Removes what a slot has outside of descriptors: cgroups (-EBUSY while something lives in them)
 * and STATE/run/b/SLOT. `again`: for another berth in
 * the same slot, which may find some of it. */
int ns_berth_clear(const struct ns_host *h, uint32_t slot, bool again);
