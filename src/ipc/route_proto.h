/* What control tells the edge: which sandboxes can be reached, and how.
 *
 * Control listens at $STATE/run/routes.sock (the manager makes the socket, control inherits it).
 * Each edge process connects and keeps connecting again for ever. On a new link control sends one
 * ROUTE_SET per sandbox with tag 0, then ROUTE_SYNCED; an edge that was connected before keeps
 * serving what it knew until then and drops, at ROUTE_SYNCED, whatever was not named again. After
 * that come changes, in the order in which they hold.
 *
 * A message with a tag other than 0 is answered at once (MSG_REPLY, same verb and tag, status 0)
 * after it took effect: requests that arrive later see it. Control answers its own client only when
 * every edge has replied; an edge that does not for ROUTE_ACK_MS is cut off and starts anew.
 * Verbs are idempotent. Unknown verbs with a tag are answered with -ENOSYS, without one ignored;
 * unknown keys are ignored. */
#pragma once

#define ROUTE_ACK_MS 200 /* an edge does no blocking work; longer means it hangs */

enum route_verb {
    ROUTE_SET = 1, /* RK_ID RK_STATE RK_DIR [RK_TRAFFIC_TOKEN] [RK_ENVD_TOKEN] [RK_MASK_HOST]
                      [RK_HTTPS_PORTS]: adds the route or replaces all of it. Connections that are
                      open stay open, except that a change away from ROUTE_RUNNING ends them. */
    ROUTE_DROP,    /* RK_ID: forgets it and aborts its connections abruptly (reset; never a graceful
                      end: core.md 3.1). Unknown: 0. */
    ROUTE_SYNCED,  /* the table is complete. Tag set: answered like the others. */
    ROUTE_WAKE,    /* edge -> control, RK_ID: a request came for a route in ROUTE_RESUMABLE, and the
                      edge has found its tokens good (core.md 6.5). Control resumes (requests join),
                      sends ROUTE_SET with ROUTE_RUNNING, then replies: 0, or a negative errno with
                      RK_FAULT and RK_TEXT. An edge may as well treat ROUTE_RESUMABLE as
                      ROUTE_PAUSED. */
};

enum route_state {
    ROUTE_RUNNING = 1, /* connect */
    ROUTE_PAUSED,      /* as if it did not exist: 502 (core.md 6.2) */
    ROUTE_RESUMABLE,   /* paused; hold the request and ROUTE_WAKE */
};

enum route_key {
    RK_ID = 1,        /* str, [a-z0-9]{1,32} */
    RK_STATE,         /* u64, enum route_state */
    RK_DIR,           /* str, name of its directory below $STATE/run/s/: envd.sock is in it */
    RK_TRAFFIC_TOKEN, /* str; present: ports other than 49983 need it (core.md 6.3) */
    RK_ENVD_TOKEN,    /* str; absent: envd is open. The edge only uses it to find the sandbox that a
                         signed URL without an id is for (delta.md 8); envd itself checks tokens. */
    RK_MASK_HOST,     /* str; Host for ports other than 49983, "${PORT}" not yet replaced */
    RK_HTTPS_PORTS,   /* str, "443,8443": ports to speak TLS to (delta.md 5). Reserved. */
    RK_FAULT,         /* u64, enum fault_code */
    RK_TEXT,          /* str, sentence for a human */
};
