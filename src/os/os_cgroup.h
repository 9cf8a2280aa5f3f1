/* Control groups, v1 and v2 behind one interface. A group belongs to one slot of the engine and has
 * two levels: process 1 of the sandbox in the outer one, the commands it starts in an inner one, so
 * that commands that use up their tasks or memory leave the agent able to answer.
 *
 *   v1      TREE/belljar-PREFIX/SLOT        process 1, for each controller's tree
 *           TREE/belljar-PREFIX/SLOT/cmd    commands (memory, pids)
 *   v2      TREE/belljar-PREFIX/SLOT/agent  process 1 (v2 wants processes in leaves)
 *           TREE/belljar-PREFIX/SLOT/cmd    commands
 * Where limits are v1 but a v2 tree without controllers is mounted beside, that one is used too: it
 * can freeze, kill, count processor time, and take a child in at clone.
 *
 * A group with memory costs the kernel 1 KiB for every 64 super blocks that the host ever had at
 * once (the maps of its shrinkers never get smaller): nothing on most hosts, 1.1 MiB a group on one
 * where some ten thousand sandboxes had stood at once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_TREES 6
#define CGROUP_AGENT_PIDS 16 /* tasks kept for the agent */
#define CGROUP_LEFT_MEMORY                                                                         \
    (4u << 20) /* of an earlier tenant's caches that the next one is charged */
#define CGROUP_AGENT_MEMORY (24u << 20) /* bytes kept for the agent; less in small sandboxes */

enum { CGROUP_MEMORY = 1, CGROUP_PIDS = 2, CGROUP_CPU = 4, CGROUP_FREEZER = 8, CGROUP_V2 = 16 };

struct cgroup_tree {
    unsigned has; /* CGROUP_* */
    int dir;      /* descriptor of TREE/belljar-PREFIX */
};
struct cgroup_host {
    struct cgroup_tree trees[CGROUP_TREES];
    int count;
    bool created_files; /* the trees are plain directories: a test */
};
struct cgroup_limits {
    uint64_t memory_bytes, cpus_milli, pids;
};
struct cgroup_usage {
    uint64_t memory_bytes, cache_bytes, cpu_us, pids, oom_kills;
};

/* Finds the trees this host has and makes belljar-PREFIX in each. `root` is NULL, or a directory to
 * be taken as a v2 tree (tests). 0 or a negative errno; -ENOTSUP when memory or pids are missing.
 */
int cgroup_host_open(struct cgroup_host *h, const char *prefix, const char *root);
void cgroup_host_close(struct cgroup_host *h);
/* Removes belljar-PREFIX from each tree; fails quietly where slots are left. Before the close. */
void cgroup_host_remove(const struct cgroup_host *h, const char *prefix);

/* Makes the directories of `slot`. Existing ones are fine. */
int cgroup_make(const struct cgroup_host *h, uint32_t slot);
int cgroup_limit(const struct cgroup_host *h, uint32_t slot, const struct cgroup_limits *l);
/* The directory to clone process 1 into (CLONE_INTO_CGROUP), or -1 when there is no v2 tree. */
int cgroup_clone_dir(const struct cgroup_host *h, uint32_t slot);
/* Puts `pid` into the trees that cgroup_clone_dir does not cover (`cloned`), or into all. */
int cgroup_attach(const struct cgroup_host *h, uint32_t slot, pid_t pid, bool cloned);
/* Write ends of the inner groups' cgroup.procs for the agent. Their count or a negative errno. */
int cgroup_command_fds(const struct cgroup_host *h, uint32_t slot, int fds[CGROUP_TREES]);

int cgroup_freeze(const struct cgroup_host *h, uint32_t slot, bool frozen);
bool cgroup_is_frozen(const struct cgroup_host *h, uint32_t slot); /* asked to be */
bool cgroup_is_still(const struct cgroup_host *h, uint32_t slot);  /* every process has stopped */
int cgroup_usage(const struct cgroup_host *h, uint32_t slot, struct cgroup_usage *u);
/* Gives back what the kernel can take from the commands: cache, and what swap has room for. Takes
 * as long as that takes. The agent's share stays: it is needed first when it goes on. */
void cgroup_reclaim(const struct cgroup_host *h, uint32_t slot);
/* Kills all that is inside. */
int cgroup_kill(const struct cgroup_host *h, uint32_t slot);
/* Removes the directories. -EBUSY while a process is left. Missing ones are fine. */
int cgroup_remove(const struct cgroup_host *h, uint32_t slot);
/* The same before another cgroup_make of the slot, but memory groups of v1 that are as good as new
 * stay: making and ending one costs the kernel work for every mounted file system. */
int cgroup_recycle(const struct cgroup_host *h, uint32_t slot);
/* Calls fn for each slot that has a directory in any tree (a slot may come more than once). */
void cgroup_each(const struct cgroup_host *h, void (*fn)(void *data, uint32_t slot), void *data);
