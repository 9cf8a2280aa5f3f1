/* Frozen sandboxes. Behind the answer a worker gives memory back and makes the disk durable; a mark
 * beside the record then promises that what a reboot takes is the memory only:
 *
 *   pausing.N  frozen for the Nth time, not yet durable     paused  durable
 *
 * The worker renames the one to the other. A thaw removes both first, so a worker that comes too
 * late finds nothing to rename. */
#pragma once

#include "engine/ns/ns_box.h"

struct pause {
    struct ns *ns;
    struct list node; /* in ns.pauses */
    struct ns_work work;
    struct loop_timer deadline;
    char id[NS_ID_SIZE];
    uint64_t number;
    bool is_answered;
    struct list asks; /* requests that wait for it; the owner of the callbacks keeps them */
};

/* Freezes `b`; on_paused follows for *out, soon. *out NULL: it was frozen before. 0 or a negative
 * errno: it goes on. */
int ns_pause_freeze(struct box *b, struct pause **out);
int ns_pause_thaw(struct box *b);

/* Found again: makes durable what is frozen and not yet; thaws what only a capture held. */
void ns_pause_adopt(struct box *b);

void ns_pauses_deinit(struct ns *n); /* after its workers */
