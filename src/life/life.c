#include "life/life.h"

#include <string.h>

struct row {
    enum life_state from;
    enum life_event event;
    enum life_outcome outcome;
    enum life_state to;
    enum life_action actions[LIFE_ACTIONS_MAX];
};

#define TAKE(from, event, to, ...)                                                                 \
    {                                                                                              \
        LIFE_##from, LIFE_DO_##event, LIFE_TAKEN, LIFE_##to, { __VA_ARGS__ }                       \
    }
#define OTHER(from, event, outcome)                                                                \
    {                                                                                              \
        LIFE_##from, LIFE_DO_##event, LIFE_##outcome, LIFE_##from, { ACT_NONE }                    \
    }
/* The same way out of every state that can be reached by clients. FAIL tells those whose operation
 * this ends; in a state without operation nobody waits. */
#define ENDS(from, event)                                                                          \
    TAKE(from, event, KILLING, ACT_FAIL, ACT_JOURNAL, ACT_NO_CLOCK, ACT_UNPUBLISH)
/* The host was started anew, and the disk is all that is left of it. */
#define LOSES_MEMORY(from)                                                                         \
    TAKE(from, KEPT, STOPPED, ACT_FAIL, ACT_NO_CLOCK, ACT_REST, ACT_LOSE, ACT_JOURNAL, ACT_PUBLISH)

/* One row, one line. */
/* clang-format off */
static const struct row rows[] = {
    TAKE(NEW, CREATE, STARTING, ACT_JOURNAL, ACT_CREATE),

    /* The clock starts only now: the time to start is not the client's. Whoever dies between the
     * journal and the answer leaves a sandbox that lives its time and no longer. */
    TAKE(STARTING, STARTED, RUNNING, ACT_BEGIN, ACT_JOURNAL, ACT_CLOCK, ACT_PUBLISH),
    TAKE(STARTING, START_FAILED, KILLING, ACT_JOURNAL, ACT_FAIL, ACT_DESTROY),
    TAKE(STARTING, KILL, KILLING, ACT_FAIL, ACT_JOURNAL, ACT_DESTROY),
    TAKE(STARTING, EXITED, KILLING, ACT_FAIL, ACT_JOURNAL, ACT_DESTROY),
    /* whoever asked for it is gone with the process that was asked, or has been told to ask anew */
    TAKE(STARTING, FOUND, KILLING, ACT_FAIL, ACT_JOURNAL, ACT_DESTROY),
    TAKE(STARTING, FROZEN, KILLING, ACT_FAIL, ACT_JOURNAL, ACT_DESTROY),
    TAKE(STARTING, KEPT, KILLING, ACT_FAIL, ACT_JOURNAL, ACT_DESTROY),
    TAKE(STARTING, LOST, KILLING, ACT_FAIL, ACT_JOURNAL, ACT_DESTROY),

    TAKE(RUNNING, LOADED, RUNNING, ACT_CLOCK, ACT_PUBLISH),
    TAKE(RUNNING, ROUTED, RUNNING, ACT_ANSWER),
    TAKE(RUNNING, PAUSE, PAUSING, ACT_JOURNAL, ACT_NO_CLOCK, ACT_PUBLISH),
    TAKE(RUNNING, EXPIRE_PAUSE, PAUSING, ACT_JOURNAL, ACT_NO_CLOCK, ACT_PUBLISH),
    TAKE(RUNNING, STOP, STOPPING, ACT_JOURNAL, ACT_NO_CLOCK, ACT_PUBLISH),
    TAKE(RUNNING, SNAPSHOT, SNAPSHOTTING, ACT_JOURNAL, ACT_CAPTURE),
    OTHER(RUNNING, FOUND, IGNORED),
    TAKE(RUNNING, FROZEN, RUNNING, ACT_THAW), /* a pause that was taken back before a crash */
    LOSES_MEMORY(RUNNING),
    ENDS(RUNNING, KILL),
    ENDS(RUNNING, EXPIRE),
    ENDS(RUNNING, EXITED),
    ENDS(RUNNING, LOST),

    /* First the edges, then the freezer: no request may reach a sandbox that does not move. */
    TAKE(PAUSING, ROUTED, PAUSING, ACT_FREEZE),
    TAKE(PAUSING, FREEZE_DONE, PAUSED, ACT_REST, ACT_JOURNAL, ACT_ANSWER),
    /* The freeze may happen too late to be heard of: thaw it in any case. */
    TAKE(PAUSING, FREEZE_FAILED, RUNNING, ACT_FAIL, ACT_JOURNAL, ACT_THAW, ACT_CLOCK, ACT_PUBLISH),
    TAKE(PAUSING, LOADED, PAUSING, ACT_PUBLISH),
    TAKE(PAUSING, FOUND, PAUSING, ACT_PUBLISH),
    TAKE(PAUSING, FROZEN, PAUSING, ACT_PUBLISH),
    OTHER(PAUSING, PAUSE, JOIN),
    OTHER(PAUSING, STOP, BUSY),
    OTHER(PAUSING, RESUME, BUSY),
    OTHER(PAUSING, REBOOT, BUSY),
    OTHER(PAUSING, SNAPSHOT, BUSY),
    LOSES_MEMORY(PAUSING),
    ENDS(PAUSING, KILL),
    ENDS(PAUSING, EXITED),
    ENDS(PAUSING, LOST),

    TAKE(PAUSED, LOADED, PAUSED, ACT_PUBLISH),
    TAKE(PAUSED, ROUTED, PAUSED, ACT_ANSWER),
    TAKE(PAUSED, RESUME, RESUMING, ACT_JOURNAL, ACT_THAW),
    TAKE(PAUSED, REBOOT, DROPPING, ACT_JOURNAL, ACT_STOP),
    /* it runs where nobody sees it; the retry clock is longer than edges may take to hear of it */
    TAKE(PAUSED, FOUND, PAUSED, ACT_PUBLISH, ACT_RETRY),
    OTHER(PAUSED, FROZEN, IGNORED),
    TAKE(PAUSED, FREEZE_FAILED, PAUSED, ACT_RETRY),
    TAKE(PAUSED, RETRY, PAUSED, ACT_FREEZE),
    LOSES_MEMORY(PAUSED),
    ENDS(PAUSED, KILL),
    ENDS(PAUSED, EXITED),
    ENDS(PAUSED, LOST),

    TAKE(RESUMING, THAW_DONE, RUNNING, ACT_BEGIN, ACT_JOURNAL, ACT_CLOCK, ACT_PUBLISH),
    /* the thaw may happen too late to be heard of: freeze it in any case */
    TAKE(RESUMING, THAW_FAILED, PAUSED, ACT_FAIL, ACT_JOURNAL, ACT_PUBLISH, ACT_RETRY),
    TAKE(RESUMING, LOADED, RESUMING, ACT_PUBLISH),
    TAKE(RESUMING, FOUND, RESUMING, ACT_THAW),
    TAKE(RESUMING, FROZEN, RESUMING, ACT_THAW),
    OTHER(RESUMING, RESUME, JOIN),
    OTHER(RESUMING, PAUSE, BUSY),
    OTHER(RESUMING, STOP, BUSY),
    OTHER(RESUMING, REBOOT, BUSY),
    OTHER(RESUMING, SNAPSHOT, BUSY),
    LOSES_MEMORY(RESUMING),
    ENDS(RESUMING, KILL),
    ENDS(RESUMING, EXITED),
    ENDS(RESUMING, LOST),

    /* A stop is not taken back: it is asked for until it is done, as a kill is. Whether it ended by
     * itself meanwhile is told by the answer (LOST). */
    TAKE(STOPPING, ROUTED, STOPPING, ACT_STOP),
    TAKE(STOPPING, STOP_DONE, STOPPED, ACT_REST, ACT_JOURNAL, ACT_ANSWER),
    TAKE(STOPPING, STOP_FAILED, STOPPING, ACT_FAIL, ACT_RETRY),
    TAKE(STOPPING, RETRY, STOPPING, ACT_STOP),
    TAKE(STOPPING, LOADED, STOPPING, ACT_PUBLISH),
    TAKE(STOPPING, FOUND, STOPPING, ACT_PUBLISH),
    TAKE(STOPPING, FROZEN, STOPPING, ACT_PUBLISH),
    TAKE(STOPPING, KEPT, STOPPED, ACT_REST, ACT_JOURNAL, ACT_ANSWER),
    OTHER(STOPPING, STOP, JOIN),
    OTHER(STOPPING, PAUSE, BUSY),
    OTHER(STOPPING, RESUME, BUSY),
    OTHER(STOPPING, REBOOT, BUSY),
    OTHER(STOPPING, SNAPSHOT, BUSY),
    OTHER(STOPPING, EXITED, IGNORED),
    ENDS(STOPPING, KILL),
    ENDS(STOPPING, LOST),

    TAKE(STOPPED, LOADED, STOPPED, ACT_PUBLISH),
    TAKE(STOPPED, ROUTED, STOPPED, ACT_ANSWER),
    TAKE(STOPPED, RESUME, BOOTING, ACT_JOURNAL, ACT_BOOT),
    TAKE(STOPPED, REBOOT, BOOTING, ACT_JOURNAL, ACT_BOOT),
    /* a boot that was given up has come to its end */
    TAKE(STOPPED, FOUND, STOPPING, ACT_JOURNAL, ACT_PUBLISH),
    TAKE(STOPPED, FROZEN, STOPPING, ACT_JOURNAL, ACT_PUBLISH),
    OTHER(STOPPED, KEPT, IGNORED),
    OTHER(STOPPED, EXITED, IGNORED),
    ENDS(STOPPED, KILL),
    ENDS(STOPPED, LOST),

    TAKE(DROPPING, STOP_DONE, BOOTING, ACT_JOURNAL, ACT_BOOT),
    TAKE(DROPPING, STOP_FAILED, STOPPING, ACT_FAIL, ACT_JOURNAL, ACT_RETRY),
    TAKE(DROPPING, LOADED, DROPPING, ACT_PUBLISH),
    TAKE(DROPPING, FOUND, DROPPING, ACT_STOP),
    TAKE(DROPPING, FROZEN, DROPPING, ACT_STOP),
    TAKE(DROPPING, KEPT, BOOTING, ACT_JOURNAL, ACT_BOOT),
    OTHER(DROPPING, REBOOT, JOIN),
    OTHER(DROPPING, RESUME, JOIN),
    OTHER(DROPPING, PAUSE, BUSY),
    OTHER(DROPPING, STOP, BUSY),
    OTHER(DROPPING, SNAPSHOT, BUSY),
    OTHER(DROPPING, EXITED, IGNORED),
    ENDS(DROPPING, KILL),
    ENDS(DROPPING, LOST),

    TAKE(BOOTING, BOOT_DONE, RUNNING, ACT_BEGIN, ACT_JOURNAL, ACT_CLOCK, ACT_PUBLISH),
    /* it may come up too late to be heard of: stop it in any case; the disk is kept */
    TAKE(BOOTING, BOOT_FAILED, STOPPING, ACT_FAIL, ACT_JOURNAL, ACT_STOP),
    TAKE(BOOTING, LOADED, BOOTING, ACT_PUBLISH),
    /* alive, but whether it became ready nobody has heard: once more from the beginning */
    TAKE(BOOTING, FOUND, DROPPING, ACT_JOURNAL, ACT_STOP),
    TAKE(BOOTING, FROZEN, DROPPING, ACT_JOURNAL, ACT_STOP),
    TAKE(BOOTING, KEPT, BOOTING, ACT_BOOT),
    OTHER(BOOTING, RESUME, JOIN),
    OTHER(BOOTING, REBOOT, JOIN),
    OTHER(BOOTING, PAUSE, BUSY),
    OTHER(BOOTING, STOP, BUSY),
    OTHER(BOOTING, SNAPSHOT, BUSY),
    OTHER(BOOTING, EXITED, IGNORED),
    ENDS(BOOTING, KILL),
    ENDS(BOOTING, LOST),

    TAKE(SNAPSHOTTING, CAPTURE_DONE, RUNNING, ACT_JOURNAL, ACT_ANSWER),
    /* the engine thaws it by itself; unless it died in between */
    TAKE(SNAPSHOTTING, CAPTURE_FAILED, RUNNING, ACT_JOURNAL, ACT_FAIL, ACT_THAW),
    TAKE(SNAPSHOTTING, LOADED, SNAPSHOTTING, ACT_PUBLISH),
    TAKE(SNAPSHOTTING, FOUND, RUNNING, ACT_FAIL, ACT_JOURNAL, ACT_CLOCK),
    TAKE(SNAPSHOTTING, FROZEN, RUNNING, ACT_FAIL, ACT_JOURNAL, ACT_CLOCK, ACT_THAW),
    OTHER(SNAPSHOTTING, SNAPSHOT, BUSY),
    OTHER(SNAPSHOTTING, PAUSE, BUSY),
    OTHER(SNAPSHOTTING, STOP, BUSY),
    OTHER(SNAPSHOTTING, RESUME, BUSY),
    OTHER(SNAPSHOTTING, REBOOT, BUSY),
    OTHER(SNAPSHOTTING, EXPIRE_PAUSE, BUSY),
    LOSES_MEMORY(SNAPSHOTTING),
    ENDS(SNAPSHOTTING, KILL),
    ENDS(SNAPSHOTTING, EXPIRE),
    ENDS(SNAPSHOTTING, EXITED),
    ENDS(SNAPSHOTTING, LOST),

    /* First the edges, then the end: requests after it find no route instead of a dead socket. */
    TAKE(KILLING, ROUTED, KILLING, ACT_DESTROY),
    TAKE(KILLING, DESTROY_DONE, GONE, ACT_FORGET, ACT_ANSWER),
    TAKE(KILLING, DESTROY_FAILED, KILLING, ACT_RETRY),
    TAKE(KILLING, RETRY, KILLING, ACT_DESTROY),
    TAKE(KILLING, FOUND, KILLING, ACT_DESTROY),
    TAKE(KILLING, FROZEN, KILLING, ACT_DESTROY),
    TAKE(KILLING, KEPT, KILLING, ACT_DESTROY),
    TAKE(KILLING, LOST, KILLING, ACT_DESTROY), /* what is left of it is cleaned up all the same */
};
/* clang-format on */

/* Requests are refused where no row speaks of them; what engine and edges say late is ignored. */
static bool is_request(enum life_event e) { return e <= LIFE_DO_KILL; }

struct life_step life_step(enum life_state state, enum life_event event)
{
    /* one look-up per pair, made at the first call: the scan would be 150 rows each time */
    static unsigned char at[LIFE_STATE_COUNT][LIFE_EVENT_COUNT];
    static bool ready;
    _Static_assert(sizeof rows / sizeof *rows < 255, "row number + 1 fits a byte");
    for (size_t i = 0; !ready && i < sizeof rows / sizeof *rows; i++)
        at[rows[i].from][rows[i].event] = (unsigned char)(i + 1);
    ready = true;

    unsigned char n = at[state][event];
    if (n == 0)
        return (struct life_step){ .outcome = is_request(event) ? LIFE_REFUSED : LIFE_IGNORED,
                                   .next = state };
    const struct row *r = &rows[n - 1];
    struct life_step s = { .outcome = r->outcome, .next = r->to };
    memcpy(s.actions, r->actions, sizeof r->actions);
    return s;
}

bool life_is_visible(enum life_state s) { return s >= LIFE_RUNNING && s <= LIFE_SNAPSHOTTING; }
bool life_is_paused(enum life_state s) { return s >= LIFE_PAUSING && s <= LIFE_BOOTING; }
bool life_is_counted(enum life_state s)
{
    return s >= LIFE_STARTING && s <= LIFE_SNAPSHOTTING && s != LIFE_STOPPED;
}

const char *life_state_name(enum life_state s)
{
    static const char *const names[] = {
#define X(id, name) name,
        LIFE_STATES(X)
#undef X
    };
    return names[s];
}

const char *life_event_name(enum life_event e)
{
    static const char *const names[] = {
#define X(id, name) name,
        LIFE_EVENTS(X)
#undef X
    };
    return names[e];
}

const char *life_action_name(enum life_action a)
{
    static const char *const names[] = {
#define X(id, name) name,
        LIFE_ACTIONS(X)
#undef X
    };
    return names[a];
}

bool life_state_parse(const char *name, enum life_state *out)
{
    for (int s = 0; s < LIFE_STATE_COUNT; s++)
        if (strcmp(name, life_state_name((enum life_state)s)) == 0) {
            *out = (enum life_state)s;
            return true;
        }
    return false;
}

static void print_actions(struct buf *out, const enum life_action *actions, const char *between)
{
    for (int i = 0; actions[i] != ACT_NONE; i++)
        (void)buf_printf(out, "%s%s", i ? between : "", life_action_name(actions[i]));
}

void life_print(struct buf *out, enum life_state from, enum life_event event,
                const struct life_step *step)
{
    static const char *const words[] = { "", "join", "busy", "refused", "ignored" };
    (void)buf_printf(out, "%s --%s--> ", life_state_name(from), life_event_name(event));
    if (step->outcome != LIFE_TAKEN) {
        (void)buf_printf(out, "(%s)\n", words[step->outcome]);
        return;
    }
    (void)buf_printf(out, "%s%s", life_state_name(step->next),
                     step->actions[0] == ACT_NONE ? "" : ": ");
    print_actions(out, step->actions, ", ");
    (void)buf_append(out, STR("\n"));
}

/* The events that lead from `from` to `to`, on one line. */
static void draw_arrow(struct buf *out, enum life_state from, enum life_state to)
{
    bool is_first = true;
    for (int e = 0; e < LIFE_EVENT_COUNT; e++) {
        struct life_step s = life_step(from, (enum life_event)e);
        if (s.outcome != LIFE_TAKEN || s.next != to)
            continue;
        if (is_first)
            (void)buf_printf(out, "    %s --> %s: ", life_state_name(from), life_state_name(to));
        (void)buf_printf(out, "%s%s", is_first ? "" : ", ", life_event_name((enum life_event)e));
        is_first = false;
    }
    if (!is_first)
        (void)buf_append(out, STR("\n"));
}

void life_draw(struct buf *out)
{
    (void)buf_append(out, STR("```mermaid\nstateDiagram-v2\n    [*] --> new\n"));
    for (int from = 0; from < LIFE_STATE_COUNT; from++)
        for (int to = 0; to < LIFE_STATE_COUNT; to++)
            if (from != to)
                draw_arrow(out, (enum life_state)from, (enum life_state)to);
    (void)buf_append(out, STR("    gone --> [*]\n```\n"));
}
