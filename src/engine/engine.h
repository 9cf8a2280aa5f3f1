/* The engine: the only program with privilege. It answers the verbs of ipc/engine_proto.h on two
 * sockets under STATE/run and keeps nothing that it could not find again after a kill -9. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "os/os_cgroup.h"

struct engine_config {
    const char *state;   /* directory of everything kept */
    const char *agent;   /* path of belljar-agent */
    const char *network; /* IPv4 network of the sandboxes, "10.200.0.0/16" */
    const char *prefix;  /* names interfaces, cgroups and the nftables table of this server */
    uint32_t control_uid, edge_uid; /* who may ask at engine.sock and ports.sock, besides root */
    uint32_t uid_base;              /* slot n has the host ids uid_base + n * 65536 .. + 65535 */
    uint32_t slots;                 /* sandboxes at once */
    uint32_t pool;                  /* networks and disks made ahead */
    struct cgroup_limits typical;   /* what most sandboxes have: the pool is made for them */
    uint64_t typical_disk;          /* bytes */
    const char *site_files;         /* directory of files of this host for every sandbox, or NULL */
    bool with_parent;               /* end when the process that started this one ends */
    bool overlay_paths; /* build overlays as kernels before 6.13 need it (found out by itself; a
                           test forces it) */
};

struct engine;

/* Prepares the host (private mount namespace, cgroups, firewall), adopts what is alive, removes
 * what is not, and starts listening. 0, or a negative errno after saying why in the log. */
int engine_new(struct engine **out, struct loop *l, const struct engine_config *config);
/* Ends every sandbox (the disks of frozen ones are kept), then stops the loop; engine_free then
 * gives back what was made ahead, too. */
void engine_end(struct engine *e);
/* Stops listening. Sandboxes go on, unless engine_end was called. */
void engine_free(struct engine *e);
