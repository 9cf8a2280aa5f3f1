/* Sandboxes without a process: STATE/kept/ID is the image of the disk.
 *
 * An image has one name at any time, and moves by rename: STATE/disks/N while a sandbox lives on
 * it, STATE/kept/ID from the end of a stop until a sandbox booted from it is ready. What an engine
 * that dies leaves between two steps is told by the record of the sandbox and its mark
 * NS_MARK_STOP. */
#pragma once

#include "engine/ns/ns_box.h"

bool ns_kept_has(const struct ns_host *h, struct str id);
void ns_kept_each(const struct ns_host *h, void (*fn)(void *data, const char *id), void *data);
int ns_kept_remove(const struct ns_host *h, struct str id); /* fine when there is none */

/* Ends `b` and keeps its disk; on_kept follows. 0, also when that is under way; -ENOENT when it
 * ends already; another negative errno: nothing has changed. */
int ns_kept_stop(struct box *b);
/* Its processes are dead: keeps its disk. */
void ns_kept_begin(struct box *b);

/* Boots the kept sandbox spec->id; on_ready or on_gone follow. 0, also when that is under way;
 * -ENOENT: none is kept, -EEXIST: it lives, -EAGAIN: it is still being kept. */
int ns_kept_boot(struct ns *n, struct op *op, const struct box_spec *spec, struct box **out);
/* It lives again: `disk` gets the name of one in use. */
int ns_kept_leave(const struct ns_host *h, const char *id, int disk);

/* The image a record speaks of, open for reading; *is_kept: it is STATE/kept/ID. */
int ns_kept_image(const struct ns_host *h, const struct ns_record *r, bool *is_kept);
/* At start, for the record of a sandbox that is dead: keeps its disk where that was promised.
 * True when it is kept. */
bool ns_kept_recover(const struct ns_host *h, const struct ns_record *r);
