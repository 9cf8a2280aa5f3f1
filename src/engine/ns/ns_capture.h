/* Capturing: the image of a sandbox's disk becomes a layer, by a worker.
 *
 * Its processes stand still between two system calls; then syncfs makes the image that of one
 * moment. FIFREEZE would do it as well, but waits for three RCU grace periods, 52 ms here against
 * 0.2: it is for processes that do not stand still in time (one that waits for a disk). The worker
 * freezes the processes, the engine thaws them, unless they are to stay frozen. */
#pragma once

#include "base/list.h"
#include "engine/ns/ns_box.h"
#include "engine/ns/ns_worker.h"

struct capture {
    struct ns *ns;
    struct list node; /* in ns.captures */
    struct ns_work work;
    char id[NS_ID_SIZE], layer[NS_LAYER_SIZE];
    uint32_t slot;
    uint64_t bytes; /* copied; not 0: the sandbox goes on again */
    bool is_answered;
    struct list asks; /* requests that wait for it; the owner of the callbacks keeps them */
};

/* Captures `b` as `layer`; on_captured follows. *out is the one under way when the same was asked
 * before. -EEXIST: there is such a layer; another negative errno with the sentence in `op`. */
int ns_capture_start(struct box *b, struct str layer, struct op *op, struct capture **out);

/* Ends the capture that makes `layer`, if any. */
void ns_capture_cancel(struct ns *n, struct str layer);

/* Makes durable what an earlier engine of this boot left whole only. */
void ns_captures_settle(struct ns *n);

void ns_captures_deinit(struct ns *n); /* after its workers */

/* True while a worker may hold the processes of `b` still. */
bool ns_capture_holds(const struct box *b);
