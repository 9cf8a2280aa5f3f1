/* One sandbox as control knows it, and what waits for it. fleet.h has the verbs. */
#pragma once

#include "base/list.h"
#include "base/op.h"
#include "life/life.h"
#include "sandbox/engine_link.h"
#include "sandbox/identity.h"
#include "sandbox/listing.h"
#include "sandbox/metrics.h"
#include "sandbox/route_link.h"
#include "sandbox/spec.h"
#include "sandbox/turns.h"

struct fleet;
struct sandbox;

/* Somebody who waits for an operation; lives in the waiter's struct. Zero-initialised = idle. */
struct sandbox_wait {
    struct sandbox *sandbox; /* NULL: idle */
    struct list node;
    struct loop_timer timer;
    /* Runs once, from the loop. `fault` NULL: done. `sandbox` is NULL when it is gone (killed, or
     * never came to be); otherwise valid during the call. The wait is idle again. */
    void (*fn)(struct sandbox_wait *w, struct sandbox *sandbox, const struct fault *fault);
    void *data;
    bool has_failed;
    struct fault fault; /* when has_failed */
};
void sandbox_wait_cancel(struct sandbox_wait *w);
/* Nobody will hear: a create that has not begun, for the engine is away, is taken back, the wait is
 * idle and true is returned. What has begun goes on, and the wait with it. */
bool sandbox_wait_abandon(struct sandbox_wait *w);

/* Invariants: 1. in fleet->by_id from creation until it is freed. 2. listed exactly while
 * life_is_visible(state). 3. started_us and end_us hold from the first run on. */
struct sandbox {
    struct fleet *fleet;
    char id[33];
    enum life_state state;
    struct sandbox_spec spec;
    struct listing_place place;
    char envd_token[IDENTITY_TOKEN_SIZE], traffic_token[IDENTITY_TOKEN_SIZE];
    int64_t created_us, started_us, end_us; /* wall */
    int64_t run_timeout_s;                  /* of the run that begins next */
    int64_t hold_ms; /* the clock rings not before this: a pause failed just now */
    bool is_found, is_frozen, is_kept; /* by the engine, in the listing under way */
    bool has_lost_memory;              /* unasked for, while it stands still */
    struct capture *capture;           /* while state is SNAPSHOTTING */
    struct loop_timer clock;
    struct engine_call call;
    enum engine_verb asked;         /* by `call` */
    struct turn turn;               /* of a create with a start command: before and during `call` */
    char warm_id[IDENTITY_ID_SIZE]; /* while asked is ENGINE_CLAIM: which one */
    struct route_change change;
    struct engine_call stats;
    int64_t stats_asked_ms;
    struct metrics metrics;
    struct list waits; /* sandbox_wait */
    struct list node;  /* fleet->parked while state is NEW, fleet->dead when it is GONE */
    void *view[3];     /* rendered by api/ for its own use; freed with the sandbox */
};
