/* The life of a sandbox as a pure state machine: (state, event) to a next state and a list of
 * actions, from one table. It knows no clock, no descriptor and no other sandbox; sandbox/ carries
 * the actions out, in their order, and reports what happened as the next event.
 *
 * Why it is safe to die at any point: ACT_JOURNAL always stands before the action it announces, and
 * every state has an answer to FOUND, FROZEN, KEPT and LOST, which is what control hears
 * from the engine after either of them was started anew. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* X(id, name in the journal) */
#define LIFE_STATES(X)                                                                             \
    X(NEW, "new")           /* not asked for yet */                                                \
    X(STARTING, "starting") /* the engine is making it; nobody knows its id */                     \
    X(RUNNING, "running")                                                                          \
    X(PAUSING, "pausing") /* edges are being told, then the engine freezes it */                   \
    X(PAUSED, "paused")                                                                            \
    X(RESUMING, "resuming")         /* the engine thaws it */                                      \
    X(STOPPING, "stopping")         /* edges are being told, then the engine ends its processes */ \
    X(STOPPED, "stopped")           /* only its disk is kept */                                    \
    X(DROPPING, "dropping")         /* its memory is given up, then it boots */                    \
    X(BOOTING, "booting")           /* the engine boots it from its disk */                        \
    X(SNAPSHOTTING, "snapshotting") /* it stands still while the engine captures it */             \
    X(KILLING, "killing")           /* edges are being told, then the engine destroys it */        \
    X(GONE, "gone")

/* X(id, name) */
#define LIFE_EVENTS(X)                                                                             \
    X(CREATE, "create")             /* asked for */                                                \
    X(PAUSE, "pause")               /* asked for */                                                \
    X(STOP, "stop")                 /* asked for, or its time is up: a pause without its memory */ \
    X(RESUME, "resume")             /* asked for */                                                \
    X(REBOOT, "reboot")             /* asked for: a resume without its memory */                   \
    X(SNAPSHOT, "snapshot")         /* asked for */                                                \
    X(KILL, "kill")                 /* asked for */                                                \
    X(EXPIRE, "expire")             /* its time is up and it is to be killed */                    \
    X(EXPIRE_PAUSE, "expire-pause") /* its time is up and it is to be paused */                    \
    X(LOADED, "loaded")             /* read from the journal by a new control process */           \
    X(STARTED, "started")           /* engine: it is there and its agent is initialised */         \
    X(START_FAILED, "start-failed") /* engine: refused, or no answer in time */                    \
    X(ROUTED, "routed")             /* every edge knows what was published last */                 \
    X(FREEZE_DONE, "freeze-done")                                                                  \
    X(FREEZE_FAILED, "freeze-failed")                                                              \
    X(THAW_DONE, "thaw-done")                                                                      \
    X(THAW_FAILED, "thaw-failed")                                                                  \
    X(STOP_DONE, "stop-done")                                                                      \
    X(STOP_FAILED, "stop-failed")                                                                  \
    X(BOOT_DONE, "boot-done")                                                                      \
    X(BOOT_FAILED, "boot-failed")                                                                  \
    X(CAPTURE_DONE, "capture-done")                                                                \
    X(CAPTURE_FAILED, "capture-failed")                                                            \
    X(EXITED, "exited") /* engine: it ended by itself */                                           \
    X(DESTROY_DONE, "destroy-done")                                                                \
    X(DESTROY_FAILED, "destroy-failed")                                                            \
    X(RETRY, "retry")   /* the retry clock rang */                                                 \
    X(FOUND, "found")   /* engine, after HELLO: it has it, running */                              \
    X(FROZEN, "frozen") /* engine, after HELLO: it has it, frozen */                               \
    X(KEPT, "kept")     /* engine, after HELLO: it has its disk and nothing else */                \
    X(LOST, "lost")     /* engine, after HELLO or when asked: it does not have it */

/* X(id, name) */
#define LIFE_ACTIONS(X)                                                                            \
    X(NONE, "")                                                                                    \
    X(JOURNAL, "journal") /* make the new state (and times) durable */                             \
    X(FORGET, "forget")   /* remove it from the journal */                                         \
    X(CREATE, "engine-create")                                                                     \
    X(DESTROY, "engine-destroy")                                                                   \
    X(FREEZE, "engine-freeze")                                                                     \
    X(THAW, "engine-thaw")                                                                         \
    X(STOP, "engine-stop")                                                                         \
    X(BOOT, "engine-boot") /* a create from the kept disk */                                       \
    X(CAPTURE, "engine-capture")                                                                   \
    X(PUBLISH, "publish")     /* the route in its new state, to every edge */                      \
    X(UNPUBLISH, "unpublish") /* drop the route at every edge; its connections end */              \
    X(BEGIN, "begin")         /* a run begins: startedAt is now, endAt follows */                  \
    X(REST, "rest")           /* a run ends: endAt is now, unless it has passed */                 \
    X(LOSE, "lose-memory")    /* its memory was lost, and not because somebody asked for it */     \
    X(CLOCK, "clock")         /* expire at endAt */                                                \
    X(NO_CLOCK, "no-clock")                                                                        \
    X(RETRY, "retry-clock") /* ring RETRY in a while */                                            \
    X(ANSWER, "answer")     /* those who wait for the operation: it is done */                     \
    X(FAIL, "fail")         /* those who wait for the operation: it failed */

enum life_state {
#define X(id, name) LIFE_##id,
    LIFE_STATES(X)
#undef X
        LIFE_STATE_COUNT
};
enum life_event {
#define X(id, name) LIFE_DO_##id,
    LIFE_EVENTS(X)
#undef X
        LIFE_EVENT_COUNT
};
enum life_action {
#define X(id, name) ACT_##id,
    LIFE_ACTIONS(X)
#undef X
        ACT_COUNT
};

/* What became of an event. */
enum life_outcome {
    LIFE_TAKEN,   /* next and actions hold */
    LIFE_JOIN,    /* the operation asked for is under way: wait for it with the others */
    LIFE_BUSY,    /* another operation is under way: ask again when it has ended */
    LIFE_REFUSED, /* not possible in this state, which does not end by itself */
    LIFE_IGNORED, /* a late answer that changes nothing any more */
};

#define LIFE_ACTIONS_MAX 7
struct life_step {
    enum life_outcome outcome;
    enum life_state next;
    enum life_action actions[LIFE_ACTIONS_MAX + 1]; /* ends with ACT_NONE */
};

struct life_step life_step(enum life_state state, enum life_event event);

/* Facts of a state. */
bool life_is_visible(enum life_state s); /* clients may see it */
bool life_is_paused(enum life_state s);  /* reported as paused; otherwise as running */
bool life_is_counted(
    enum life_state s); /* uses one of the places for sandboxes; a disk alone does not */

const char *life_state_name(enum life_state s);
const char *life_event_name(enum life_event e);
const char *life_action_name(enum life_action a);
/* False: no state has that name. */
bool life_state_parse(const char *name, enum life_state *out);

/* Prints one step as a line, "running --pause--> pausing: journal, ...". For traces and tests. */
void life_print(struct buf *out, enum life_state from, enum life_event event,
                const struct life_step *step);
/* Prints the changes of state as a Mermaid drawing in Markdown. */
void life_draw(struct buf *out);
