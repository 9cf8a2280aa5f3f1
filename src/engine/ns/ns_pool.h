/* Slots, and berths and disks made ahead by the janitor. An empty pool means that create makes its
 * own: slower, never a failure. */
#pragma once

#include <stdint.h>

#include "engine/ns/ns_berth.h"
#include "engine/ns/ns_janitor.h"
#include "ipc/link.h"
#include "loop/loop.h"

enum slot_state { SLOT_FREE, SLOT_MAKING, SLOT_READY, SLOT_USED, SLOT_RETIRING };

/* Invariants: 1. ready[0..ready_count) are SLOT_READY. 2. disks[] are empty and of disk_size.
 * 3. making_* count what the janitor was asked for and has not answered. */
struct ns_pool {
    const struct ns_host *host;
    struct loop *loop;
    struct link janitor;
    struct loop_timer restart, quiet;
    struct buf out;
    uint64_t tag;
    unsigned char *slots; /* enum slot_state, host->config->slots of them */
    uint32_t next_slot;
    uint32_t cap; /* how many to keep ready */
    struct berth *ready;
    int *disks;
    uint32_t ready_count, disk_count, making_berths, making_disks;
    uint64_t disk_size;
    uint32_t other_sizes; /* disks of another size asked for in a row */
    struct cgroup_limits limits;
};

int ns_pool_init(struct ns_pool *p, const struct ns_host *h, struct loop *l);
void ns_pool_deinit(struct ns_pool *p);
/* Gives back everything made ahead; no slot is used from now on. */
void ns_pool_empty(struct ns_pool *p);

/* Marks an adopted sandbox's slot. Before ns_pool_fill. False: out of range or taken. */
bool ns_pool_adopt(struct ns_pool *p, uint32_t slot);
bool ns_pool_is_used(const struct ns_pool *p, uint32_t slot);
/* Starts making things ahead, for sandboxes of that size. */
void ns_pool_fill(struct ns_pool *p, const struct cgroup_limits *limits, uint64_t disk_size);

/* A berth with these limits; -ENOSPC when all slots are taken. */
int ns_pool_berth(struct ns_pool *p, const struct cgroup_limits *limits, struct berth *out);
/* A disk: its descriptor. */
int ns_pool_disk(struct ns_pool *p, uint64_t size);

/* A sandbox has ended: its slot, disk and network (each -1 or taken) come back. Its processes are
 * dead, its directory is STATE/run/b/SLOT again. */
void ns_pool_retire(struct ns_pool *p, uint32_t slot, int disk, uint64_t disk_size, int netns);
