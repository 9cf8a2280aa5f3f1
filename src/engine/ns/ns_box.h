/* A sandbox of the namespace engine, from create to its end.
 *
 *   ns_box    its states and its end       ns_start    from specification to first process
 *   ns_boot   until its agent is ready     ns_kept     without a process: stopped, booted again
 *   ns_pause  frozen, durably              ns_capture  its disk as a layer */
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
#include "engine/ns/ns_zygote.h"
#include "loop/loop.h"

enum box_state {
    BOX_PREPARING, /* its kept disk is being opened; no process yet */
    BOX_BOOTING,   /* until the agent is ready, or has taken its new identity */
    BOX_RUNNING,
    BOX_DYING,
    BOX_KEEPING, /* no process any more, its disk is being kept */
};

#define NS_SAID_SIZE 1029 /* a tag, a length and the sentence of an agent that failed */

struct ns;
struct capture;
struct kept_spec;
/* Invariants: 1. slot is NS_NO_SLOT until the first process is started. 2. from_kept: until it is
 * ready its image is STATE/kept/ID. 3. work runs only in PREPARING and KEEPING; the box is not
 * freed meanwhile. */
struct box {
    struct ns *ns;
    char id[NS_ID_SIZE];
    enum box_state state;
    bool is_asked;     /* its end was asked for */
    bool is_destroyed; /* and nothing of it may stay */
    bool is_stopping;  /* its disk is kept when it has ended */
    bool is_frozen;
    bool is_warm;     /* made ahead; waits for its identity */
    bool is_net_ours; /* its network is as the pool made it, and may be used again */
    bool from_kept;
    uint32_t slot;
    pid_t pid;
    int pidfd, boot, netns, disk; /* boot: -1 after the ready byte; disk: -1 when not to be had */
    uint64_t disk_bytes, inode;   /* of its image */
    uint64_t boot_ms;
    char said[NS_SAID_SIZE]; /* by the agent on its boot channel, and not yet understood */
    size_t said_len;
    struct loop_fd pid_watch, boot_watch;
    struct loop_timer deadline;
    struct ns_work work;
    struct kept_spec *spec; /* of one that boots from its kept disk */
    uint32_t disk_number;   /* of one that is being kept */
    unsigned keep_tries;
    uint64_t pause_number; /* of its last freeze */
    struct op op;          /* why its boot failed */
    struct list asks;      /* requests that wait for it; the owner of the callbacks keeps them */
};

/* Callbacks run from the loop, never from inside a call below. */
struct box_ops {
    /* The agent is ready, or warm. */
    void (*on_ready)(void *data, struct box *b);
    /* It has ended and is cleaned up; `reason` "oom", "agent" or "killed". It is freed afterwards.
     */
    void (*on_gone)(void *data, struct box *b, const char *reason);
    /* It has ended and its disk is kept, or `status` says why not durably. Freed afterwards. */
    void (*on_kept)(void *data, struct box *b, int status);
    /* Its layer can be used, or `status` says why there is none. */
    void (*on_captured)(void *data, struct capture *c, int status);
    /* It is frozen; `freed` bytes of memory went back to the host. */
    void (*on_paused)(void *data, struct list *asks, uint64_t freed);
};

struct ns {
    struct ns_host host;
    struct ns_pool pool;
    struct ns_zygote zygote;
    struct ns_workers workers;
    struct ns_layers layers;
    struct list captures; /* struct capture, see ns_capture.h */
    struct list pauses;   /* struct pause, see ns_pause.h */
    struct list removals; /* struct removal, ns_root.c */
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
    uint64_t disk_bytes; /* a kept disk has its own size */
    uint64_t boot_ms;
    bool internet, is_warm;
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

/* Gives a warm sandbox its identity; on_ready or on_gone follow. -ENOENT: not warm, -EEXIST: the
 * new id is taken; then nothing has changed. Otherwise it ends, and `op` says why. */
int ns_box_claim(struct box *b, struct op *op, const struct box_spec *identity);

/* Ends it; on_gone follows (on_kept when it is stopping). */
void ns_box_kill(struct box *b);
/* The same, and a disk of it that is kept goes as well. */
void ns_box_destroy(struct box *b);

/* Watches a sandbox found alive by its record. 0, or a negative errno: then it is dead or not ours.
 */
int ns_box_adopt(struct ns *n, const struct ns_record *r);

/* -- for the other files of a sandbox -- */

struct box *ns_box_new(struct ns *n, struct str id);
/* Frees it, and with it what the engine holds of the sandbox; the sandbox goes on. */
void ns_box_close(struct box *b);
int ns_box_watch(struct box *b);
void ns_box_ready(struct box *b);
void ns_box_end(struct box *b); /* kills its processes, once */
/* Releases all it has, calls on_gone (or on_kept, `reason` NULL) and frees it. */
void ns_box_gone(struct box *b, const char *reason, int status);
