/* A sandbox of the server's own, to build templates in. No client sees it, it is in no record and
 * no list: whichever the engine has and this process does not know is destroyed. */
#pragma once

#include "sandbox/fleet.h"

/* Lives in its owner's struct. Zero-initialised = there is none. */
struct bench {
    struct fleet *fleet; /* NULL: none */
    struct list node;    /* fleet->benches */
    struct engine_call call;
    char id[33];                    /* directory of its sockets below $STATE/run/s */
    char layer[SANDBOX_LAYER_SIZE]; /* captured last, or being so; held; "": none */
    char *below, *rootfs;           /* layers (NULL: none) and what it stands on, held */
    bool is_found;                  /* by the engine, in the listing under way */
    /* What was asked for is done (fault NULL) or failed; `disk` is the size of a captured layer.
     * Runs from the loop. A bench whose create failed is gone. */
    void (*fn)(struct bench *b, const struct fault *fault, uint64_t disk);
    /* It ended by itself: `why` is for people. It is gone. */
    void (*exited)(struct bench *b, struct str why);
    void *data;
};

/* Makes one of `spec` (borrowed; envs and metadata are left out). fn hears when its agent serves. 0
 * or a negative errno with UNAVAILABLE or CAPACITY in `op`. */
int bench_create(struct fleet *f, struct op *op, struct bench *b, const struct sandbox_spec *spec);
/* Captures its disk as the layer b->layer, which is held until the next capture or the end of the
 * bench: hold it to keep it longer. The bench goes on. */
void bench_capture(struct bench *b);
/* Ends it. Nothing runs afterwards; fine when there is none. */
void bench_destroy(struct bench *b);
