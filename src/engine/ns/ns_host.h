/* What all parts of the namespace engine share: the server's names and numbers, descriptors of its
 * directories, the system call filter. Made once at start, the janitor process has a copy. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "os/os_cgroup.h"
#include "os/os_proc.h"
#include "plan/plan.h"

#define NS_IDS 65536u /* ids of one sandbox */

struct ns_host {
    const struct engine_config *config;
    struct cgroup_host cgroups;
    struct sock_fprog filter;
    struct plan_host plan;
    uint32_t network; /* first address, host byte order */
    int state;        /* STATE */
    int sandboxes;    /* STATE/run/s: one directory a sandbox: envd.sock host.sock record */
    int berths;       /* STATE/run/b: the same, named by slot, before a sandbox has them */
    int disks;        /* STATE/disks: images in use, see ns_disk.h */
    int layers;       /* STATE/layers: images of snapshots, see ns_layer.h */
    int kept;         /* STATE/kept: disks of sandboxes without a process, by id */
    int netns;        /* the host's own network namespace */
    uint32_t mtu;     /* of its way to the world: a larger packet would be lost in silence */
    char boot_id[PROC_BOOT_ID_SIZE];
    char attach[256]; /* overlays by path: where parts are attached; "" = by descriptor */
};

/* Opens and makes all of the above. 0 or a negative errno. */
int ns_host_init(struct ns_host *h, const struct engine_config *config);
void ns_host_deinit(struct ns_host *h);

/* Its descriptors, for a process that keeps only these. Returns how many. */
#define NS_HOST_FDS (7 + CGROUP_TREES)
int ns_host_fds(const struct ns_host *h, int out[NS_HOST_FDS]);

static inline uint32_t ns_host_uid(const struct ns_host *h, uint32_t slot)
{
    return h->config->uid_base + slot * NS_IDS;
}
