/* The zygote: belljar-agent, started once and waiting, from which the first process of every
 * sandbox is cloned. It has a handful of descriptors and two mounts, and no tenant's data; a clone
 * of the engine would copy thousands of descriptors, the host's mounts and other tenants' messages,
 * and an exec of the agent costs half a millisecond of libc start (each CPUID traps in a virtual
 * machine). Sandboxes' agents share their memory layout with it (SECURITY.md). */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "engine/ns/ns_child.h"
#include "engine/ns/ns_host.h"

#define NS_ZYGOTE_NAME "belljar-agent-zygote" /* argv[0] of it; its clones cut it short */

struct ns_zygote {
    const struct ns_host *host;
    pid_t pid;
    int channel; /* -1: not there */
};

/* What of a clone differs from sandbox to sandbox. Descriptors stay the caller's. */
struct zygote_spec {
    uint64_t shm_bytes;
    int fds[PLAN_FDS];             /* by role */
    int handed[NS_HANDED];         /* become descriptors 3, 4, 5 ... of the agent */
    int handed_count, group_count; /* of them the last group_count are cgroups of commands */
    int netns;
    int group; /* cgroup to be born in, or -1 */
};

/* Starts it. 0 or a negative errno. */
int ns_zygote_open(struct ns_zygote *z, const struct ns_host *h);
void ns_zygote_close(struct ns_zygote *z); /* its clones live on */

/* Clones a process that waits for NS_GO on its boot channel and is a child of the caller; starts
 * another zygote first when this one has ended. 0, or a negative errno. */
int ns_zygote_clone(struct ns_zygote *z, const struct zygote_spec *spec, pid_t *pid, int *pidfd);

/* Inside belljar-agent, when started as NS_ZYGOTE_NAME: serves until the engine is gone. Returns 0
 * in each clone when its plan is carried out: it is the agent from then on. A negative errno when
 * the zygote itself is at its end. */
int ns_zygote_run(char *name);
