/* From a specification to a running first process: root, network, record, clone. */
#pragma once

#include "engine/ns/ns_box.h"

#define NS_RUN_BYTES (64u << 20) /* of /run inside */

/* Starts `b` as `spec` says, on the disk it has or on one from the pool; its boot channel is open
 * then. On failure `op` says why, no process is left, and what `b` was given is to be released. */
int ns_start(struct ns *n, struct op *op, struct box *b, const struct box_spec *spec);
