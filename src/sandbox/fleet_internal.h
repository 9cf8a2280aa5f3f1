/* Inside sandbox/ only: the fleet and the step that moves one sandbox. */
#pragma once

#include "base/map.h"
#include "sandbox/fleet.h"
#include "sandbox/layers.h"
#include "sandbox/turns.h"

struct fleet {
    struct fleet_spec spec;
    unsigned char seed[32];
    struct engine_link *engine;
    struct route_link *routes;
    struct map by_id;
    struct listing listing;
    uint32_t counted, parked_count;
    struct layers layers;
    struct list captures; /* struct capture */
    struct list benches;  /* struct bench */
    struct list drops;    /* struct drop, fleet_drop.c */
    struct map warm;      /* struct warm_kind, fleet_warm.c */
    uint64_t warm_bytes;
    struct turns turns; /* of what has a start command */
    struct loop_timer warm_tick;
    struct loop_task warm_task;
    struct list parked;      /* sandboxes that wait for the engine before they begin */
    struct list dead;        /* sandboxes to free */
    struct list answers;     /* sandbox_wait to call */
    struct list wakes;       /* requests of edges, fleet_wake.c */
    struct loop_task finish; /* calls `answers`, then frees `dead` */
    struct loop_timer tidy, stats;
    uint32_t stats_next; /* index in the listing of the one sampled last */
    struct buf scratch;
};

/* Lets `event` happen to `s` and carries the actions out. The outcome, or a negative errno when the
 * journal could not be written and nothing was changed. `why` (may be NULL) is what those hear
 * whose operation fails by it. `s` stays valid until the end of the round, whatever becomes of it.
 */
int fleet_step(struct fleet *f, struct sandbox *s, enum life_event event, const struct fault *why);

/* A sandbox in state NEW that is in by_id; takes over `spec` when it succeeds. NULL: memory. */
struct sandbox *fleet_add(struct fleet *f, const char *id, struct sandbox_spec *spec);
/* Out of every index; freed at the end of the round. */
void fleet_drop(struct fleet *f, struct sandbox *s);

void fleet_wait_add(struct sandbox *s, struct sandbox_wait *w, int64_t deadline_ms);
/* Everybody who waits for `s` hears, at the end of the round. */
void fleet_answer(struct fleet *f, struct sandbox *s, const struct fault *fault);

/* Fields of the route of `s` into `b`. */
void fleet_put_route(const struct sandbox *s, struct buf *b);

/* -- fleet_verbs.c -- */

/* "Sandbox 'id' is already running": around the id. */
struct fleet_refusal {
    const char *before, *after;
};
/* Turns the outcome of a request into the answer that fleet.h promises. */
int fleet_asked(struct op *op, struct sandbox *s, int outcome, const struct fleet_refusal *refusal,
                int64_t deadline_ms, struct sandbox_wait *w);
/* While the engine is away nothing is begun: the state would change and then nothing would happen.
 * True: `w` hears when it is there. */
bool fleet_must_wait(struct fleet *f, struct sandbox *s, int64_t deadline_ms,
                     struct sandbox_wait *w);

/* -- fleet_warm.c -- */

int fleet_warm_start(struct fleet *f);
void fleet_warm_stop(struct fleet *f);
/* A sandbox of `spec` is about to be created, or (`again`) waited to be. True: the one called `id`
 * can be claimed for it, and is the caller's. */
bool fleet_warm_take(struct fleet *f, const struct sandbox_spec *spec, bool again,
                     char id[IDENTITY_ID_SIZE]);
void fleet_warm_exited(struct fleet *f, struct str id);
void fleet_warm_forget(struct fleet *f); /* the engine went away: all of them are destroyed then */
void fleet_warm_flush(struct fleet *f, const char *template_id); /* it is deleted */
void fleet_warm_balance(struct fleet *f);

/* Fields of a create for `spec` but for the id: into `b`. `waited_ms` is off the time that it has
 * to become ready. */
void fleet_put_create(struct fleet *f, const struct sandbox_spec *spec, const char *id,
                      const char *token, bool warm, int64_t waited_ms, struct buf *b);

/* -- bench.c -- */

bool fleet_bench_found(struct fleet *f, struct str id);
void fleet_bench_exited(struct fleet *f, struct str id, struct str why);
void fleet_bench_sweep(struct fleet *f); /* those that the engine did not list have ended */

/* -- fleet_drop.c -- */

/* Nobody holds the layer or root file system `name` any more: the engine drops it. */
void fleet_drop_layer(struct fleet *f, struct str name);
void fleet_drops_free(struct fleet *f);

/* -- fleet_capture.c -- */

/* ACT_CAPTURE: asks the engine for s->capture. */
void fleet_capture_ask(struct sandbox *s);
/* Reads the builds of the store: holds the layers of the finished ones, removes the others. 0 or a
 * negative errno. */
int fleet_builds_load(struct fleet *f);
void fleet_captures_free(struct fleet *f);

/* Starts sampling. 0 or a negative errno. */
int fleet_stats_start(struct fleet *f);

void fleet_on_wake(void *data, struct str id, uint32_t peer, uint64_t tag);
void fleet_wakes_free(struct fleet *f);
