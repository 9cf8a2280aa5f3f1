/* The boot channel: what the engine and the agent of a sandbox say to each other until it is ready
 * (ipc/engine_proto.h, "The agent's side"). */
#pragma once

#include "engine/ns/ns_box.h"

/* Opens it; *child gets the agent's end. 0 or a negative errno. */
int ns_boot_open(struct box *b, struct str message, int *child);
/* The go for a child whose ids are mapped. 0 or a negative errno. */
int ns_boot_go(struct box *b);
/* One write: the second go, to be the agent, then length and message. To an agent that is warm:
 * without. */
int ns_boot_send(struct box *b, bool with_go, struct str message);
/* Watches it: ready, warm or failed within b->boot_ms. */
int ns_boot_watch(struct box *b);
void ns_boot_unwatch(struct box *b);
/* Hears what the agent has said, if it is watched: what it said last may explain its end. */
void ns_boot_read(struct box *b);
