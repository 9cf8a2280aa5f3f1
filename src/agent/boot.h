/* From the boot message to AGENT_READY: the identity, the template's start command, its ready
 * command, and, in a sandbox made ahead, the wait for the real identity (ipc/engine_proto.h). */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "loop/loop.h"

struct agent;

struct boot {
    struct str start, ready; /* commands; empty: none. Owned until they are not needed */
    bool is_warm;            /* made ahead: says AGENT_WARM and waits for a second message */
    int64_t wait_ms;         /* until the ready command is tried again */
    struct loop_timer retry;
    struct loop_fd channel;
    struct buf in; /* of the second message, as far as it came */
};

/* Takes the boot message; waits for it. 0 or a negative errno. */
int boot_take(struct agent *a);
/* Goes on to AGENT_READY, at once when there is nothing to start, otherwise from the loop. Ends the
 * agent when a command fails, after saying why. 0 or a negative errno. */
int boot_go(struct agent *a);
