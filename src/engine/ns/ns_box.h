/* A sandbox of the namespace engine, from create to its end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/op.h"
#include "engine/ns/ns_host.h"
#include "engine/ns/ns_layer.h"
#include "engine/ns/ns_pool.h"
#include "engine/ns/ns_record.h"
#include "engine/ns/ns_worker.h"
#include "loop/loop.h"

enum box_state { BOX_BOOTING, BOX_RUNNING, BOX_DYING };

struct ns;
struct capture;
struct box {
    struct ns *ns;
    char id[NS_ID_SIZE];
    enum box_state state;
    bool is_asked; /* its end was asked for */
    bool is_frozen;
    bool is_net_ours; /* its network is as the pool made it, and may be used again */
    uint32_t slot;
    pid_t pid;
    int pidfd, boot, netns, disk; /* boot: -1 after the ready byte; disk: -1 when adopted */
    uint64_t disk_bytes;
    struct loop_fd pid_watch, boot_watch;
    struct loop_timer deadline;
    struct op op;     /* why its boot failed */
    struct list asks; /* requests that wait for it; the owner of the callbacks keeps them */
};

/* Callbacks run from the loop, never from inside a call below. */
struct box_ops {
    /* The agent is ready. */
    void (*on_ready)(void *data, struct box *b);
    /* It has ended and is cleaned up; `reason` "oom", "agent" or "killed". It is freed afterwards.
     */
    void (*on_gone)(void *data, struct box *b, const char *reason);
    /* Its layer can be used, or `status` says why there is none. */
    void (*on_captured)(void *data, struct capture *c, int status);
};

struct ns {
    struct ns_host host;
    struct ns_pool pool;
    struct ns_workers workers;
    struct ns_layers layers;
    struct list captures; /* struct capture, see ns_capture.h */
    struct loop *loop;
    struct map boxes; /* by id */
    int lock;         /* held while this engine lives */
    const struct box_ops *ops;
    void *data;
};

struct box_spec {
    struct str id, template, boot;
    struct cgroup_limits limits;
    struct str layers[LIMIT_LAYERS]; /* above the template, topmost first */
    uint32_t layer_count;
    uint64_t disk_bytes;
    bool internet;
};

/* Prepares the host, adopts the sandboxes that live, removes what is left of others, fills the pool
 * for sandboxes of `typical` size. 0 or a negative errno. */
int ns_init(struct ns *n, struct loop *l, const struct engine_config *config,
            const struct box_ops *ops, void *data);
void ns_deinit(struct ns *n); /* forgets the sandboxes; they go on */
/* Gives back what was made ahead and the firewall's table. For the end of a server whose sandboxes
 * have ended; ns_deinit follows. */
void ns_purge(struct ns *n);

struct box *ns_box_get(struct ns *n, struct str id);

/* Starts a sandbox; on_ready or on_gone follow. -EEXIST when it is known. On another failure
 * nothing is left and `op` says why. */
int ns_box_start(struct ns *n, struct op *op, const struct box_spec *spec, struct box **out);

/* Ends it; on_gone follows. */
void ns_box_kill(struct box *b);
int ns_box_freeze(struct box *b, bool frozen);

/* Watches a sandbox found alive by its record. 0, or a negative errno: then it is dead or not ours.
 */
int ns_box_adopt(struct ns *n, const struct ns_record *r);
