/* Simulator of one sandbox's life: random requests, late and lost messages, failing journal writes,
 * and crashes of control, engine and host between any two steps, in virtual time. Afterwards calm:
 * whatever happened, what control, journal, engine and edges hold must agree, nobody may wait for
 * ever, and a kill must leave nothing. A failure prints the seed; SIM_SEED=n runs that one loudly,
 * SIM_SECONDS=n runs longer (10 by default). */
#include <stdio.h>

#include "base/clock.h"
#include "life/life.h"
#include "tests.h"

enum held { HELD_NONE, HELD_RUNNING, HELD_FROZEN, HELD_KEPT };
enum route { ROUTE_NONE, ROUTE_OPEN, ROUTE_PAUSED };
enum { QUEUE = 64, SIM_DROP = ACT_COUNT, SIM_EXITED }; /* words of the engine that are no action */

struct asked {
    int verb; /* enum life_action or SIM_ */
    int tag;
    bool good;    /* in replies */
    bool is_lost; /* in replies: the engine does not have it */
};
struct queue {
    struct asked at[QUEUE];
    int len;
};

struct world {
    uint64_t rng, seed;
    bool is_loud;
    /* control; lost when it crashes */
    bool control_up;
    enum life_state state;
    bool clock, retry, is_linked;
    int call_tag; /* the reply it waits for; 0: none */
    enum life_action call_verb;
    int capture_tag; /* the capture it waits for, and its layer; 0: none */
    int change_tag;  /* the change of route it waits for; 0: none */
    int waiting;     /* clients that hear at the next answer */
    int last_tag;
    /* on disk */
    bool is_recorded;
    enum life_state journal;
    int layers[QUEUE], layer_count; /* layers of the engine that no record names */
    /* engine, and what is between */
    enum held held;
    struct queue to_engine, from_engine;
    /* edge, and what is between: verb PUBLISH or UNPUBLISH, good: open */
    enum route route;
    struct queue to_edge;
    /* what clients have been promised */
    bool was_running, may_end;
};

static uint64_t random_below(struct world *w, uint64_t n)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return w->rng % n;
}
static bool chance(struct world *w, uint64_t one_in) { return random_below(w, one_in) == 0; }

#define SAY(...)                                                                                   \
    do {                                                                                           \
        if (w->is_loud)                                                                            \
            print_message(__VA_ARGS__);                                                            \
    } while (0)
#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what))                                                                               \
            fail_msg("SIM_SEED=%llu: %s (state %s, journal %s, held %d, route %d)",                \
                     (unsigned long long)w->seed, #what, life_state_name(w->state),                \
                     w->is_recorded ? life_state_name(w->journal) : "-", (int)w->held,             \
                     (int)w->route);                                                               \
    } while (0)

static void layer_add(struct world *w, int tag)
{
    MUST(w->layer_count < QUEUE);
    w->layers[w->layer_count++] = tag;
}
static void layer_remove(struct world *w, int tag)
{
    for (int i = 0; i < w->layer_count; i++)
        if (w->layers[i] == tag)
            w->layers[i] = w->layers[--w->layer_count];
}

static void push(struct world *w, struct queue *q, struct asked a)
{
    MUST(q->len < QUEUE);
    q->at[q->len++] = a;
}
static struct asked pop(struct queue *q)
{
    struct asked a = q->at[0];
    q->len--;
    memmove(q->at, q->at + 1, sizeof *q->at * (size_t)q->len);
    return a;
}

/* -- control: what fleet_step does -- */

static int happen(struct world *w, enum life_event e);

static bool needs_record(enum life_event e)
{
    return e == LIFE_DO_CREATE || e == LIFE_DO_PAUSE || e == LIFE_DO_EXPIRE_PAUSE ||
           e == LIFE_DO_RESUME || e == LIFE_DO_SNAPSHOT || e == LIFE_DO_STARTED ||
           e == LIFE_DO_STOP || e == LIFE_DO_REBOOT;
}

static void ask_engine(struct world *w, enum life_action verb)
{
    w->call_tag = ++w->last_tag;
    w->call_verb = verb;
    if (w->is_linked)
        push(w, &w->to_engine, (struct asked){ .verb = (int)verb, .tag = w->call_tag });
}

/* Its answer does not come through call_tag: the sandbox may be killed meanwhile, and the layer
 * must not outlive that. */
static void ask_capture(struct world *w)
{
    w->capture_tag = ++w->last_tag;
    if (w->is_linked)
        push(w, &w->to_engine, (struct asked){ .verb = ACT_CAPTURE, .tag = w->capture_tag });
}

static void ask_drop(struct world *w, int layer)
{
    if (w->is_linked) /* otherwise it is found at the next HELLO */
        push(w, &w->to_engine, (struct asked){ .verb = SIM_DROP, .tag = layer });
}

static void ask_edge(struct world *w, enum life_action verb)
{
    w->change_tag = ++w->last_tag;
    push(w, &w->to_edge,
         (struct asked){
             .verb = (int)verb, .tag = w->change_tag, .good = !life_is_paused(w->state) });
}

static void act(struct world *w, enum life_action a)
{
    switch (a) {
    case ACT_FORGET:
        if (!chance(w, 50))
            w->is_recorded = false;
        break;
    case ACT_CREATE:
    case ACT_DESTROY:
    case ACT_FREEZE:
    case ACT_THAW:
    case ACT_STOP:
    case ACT_BOOT:
        ask_engine(w, a);
        break;
    case ACT_CAPTURE:
        ask_capture(w);
        break;
    case ACT_PUBLISH:
    case ACT_UNPUBLISH:
        ask_edge(w, a);
        break;
    case ACT_CLOCK:
        w->clock = true;
        break;
    case ACT_NO_CLOCK:
        w->clock = false;
        break;
    case ACT_RETRY:
        w->retry = true;
        break;
    case ACT_ANSWER:
        if (w->state == LIFE_RUNNING && w->waiting)
            w->was_running = true;
        w->waiting = 0;
        break;
    case ACT_FAIL:
        w->waiting = 0;
        break;
    default:
        break;
    }
}

static int happen(struct world *w, enum life_event e)
{
    enum life_state from = w->state;
    struct life_step s = life_step(from, e);
    SAY("  %s --%s--> %s (outcome %d)\n", life_state_name(from), life_event_name(e),
        life_state_name(s.next), (int)s.outcome);
    if (s.outcome != LIFE_TAKEN)
        return (int)s.outcome;
    w->state = s.next;
    for (int i = 0; s.actions[i] != ACT_NONE; i++) {
        if (s.actions[i] != ACT_JOURNAL) {
            act(w, s.actions[i]);
            continue;
        }
        bool is_written = !chance(w, 40);
        if (is_written) {
            w->is_recorded = true;
            w->journal = w->state;
        } else if (needs_record(e)) {
            SAY("  the journal cannot be written\n");
            w->state = from;
            return e == LIFE_DO_STARTED ? happen(w, LIFE_DO_START_FAILED) : -1;
        }
    }
    return LIFE_TAKEN;
}

/* A client asks; it waits when its operation was begun or joined. */
static void request(struct world *w, enum life_event e)
{
    if (!w->control_up || (!w->is_linked && e != LIFE_DO_KILL))
        return;
    int r = happen(w, e);
    if (r == LIFE_TAKEN || r == LIFE_JOIN)
        w->waiting++;
    if (e == LIFE_DO_KILL && r == LIFE_TAKEN)
        w->may_end = true;
}

/* -- the others -- */

static const struct {
    enum life_action verb;
    enum life_event done, failed;
} verbs[] = { { ACT_CREATE, LIFE_DO_STARTED, LIFE_DO_START_FAILED },
              { ACT_DESTROY, LIFE_DO_DESTROY_DONE, LIFE_DO_DESTROY_FAILED },
              { ACT_FREEZE, LIFE_DO_FREEZE_DONE, LIFE_DO_FREEZE_FAILED },
              { ACT_THAW, LIFE_DO_THAW_DONE, LIFE_DO_THAW_FAILED },
              { ACT_STOP, LIFE_DO_STOP_DONE, LIFE_DO_STOP_FAILED },
              { ACT_BOOT, LIFE_DO_BOOT_DONE, LIFE_DO_BOOT_FAILED } };

static void hear_engine(struct world *w, int verb, bool good, bool is_lost)
{
    w->call_tag = 0;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if ((int)verbs[i].verb == verb)
            (void)happen(w, is_lost ? LIFE_DO_LOST : good ? verbs[i].done : verbs[i].failed);
}

/* A layer is sealed by its record, or dropped. */
static void hear_capture(struct world *w, int layer, bool good)
{
    w->capture_tag = 0;
    bool seals = good && w->state == LIFE_SNAPSHOTTING && !chance(w, 40);
    if (seals)
        layer_remove(w, layer);
    else
        ask_drop(w, layer);
    (void)happen(w, seals ? LIFE_DO_CAPTURE_DONE : LIFE_DO_CAPTURE_FAILED);
}

static bool thaw_follows(const struct world *w)
{
    for (int i = 0; i < w->to_engine.len; i++)
        if (w->to_engine.at[i].verb == ACT_THAW || w->to_engine.at[i].verb == ACT_DESTROY)
            return true;
    return false;
}

static void engine_works(struct world *w, bool calm)
{
    struct asked a = pop(&w->to_engine);
    /* a thaw is one write to a file of the kernel: it may be late, but it does not fail */
    a.good = calm || a.verb == ACT_THAW || !chance(w, 12);
    bool is_alive = w->held == HELD_RUNNING || w->held == HELD_FROZEN;
    if (a.verb == ACT_CREATE && a.good)
        a.good = w->held == HELD_NONE;
    if (a.verb == ACT_BOOT && a.good)
        a.good = w->held == HELD_KEPT;
    if (a.good && (a.verb == ACT_CREATE || a.verb == ACT_BOOT))
        w->held = HELD_RUNNING;
    if (a.good && a.verb == ACT_DESTROY)
        w->held = HELD_NONE;
    if (a.verb == ACT_STOP) {
        a.is_lost = w->held == HELD_NONE;
        w->held = a.good && is_alive ? HELD_KEPT : w->held;
    }
    if (a.verb == ACT_FREEZE || a.verb == ACT_THAW || a.verb == ACT_CAPTURE)
        a.good = a.good && is_alive;
    if (a.good && a.verb == ACT_CAPTURE)
        layer_add(w, a.tag);
    if (a.verb == SIM_DROP)
        layer_remove(w, a.tag);
    if (a.good && a.verb == ACT_FREEZE) {
        /* no request may meet a sandbox that does not move */
        MUST(w->route != ROUTE_OPEN || thaw_follows(w));
        w->held = HELD_FROZEN;
    }
    if (a.good && a.verb == ACT_THAW)
        w->held = HELD_RUNNING;
    SAY("  engine: %s %s\n",
        a.verb == SIM_DROP ? "drop" : life_action_name((enum life_action)a.verb),
        a.good ? "done" : "failed");
    push(w, &w->from_engine, a);
}

static void edge_works(struct world *w)
{
    struct asked a = pop(&w->to_edge);
    w->route = a.verb == ACT_UNPUBLISH ? ROUTE_NONE : a.good ? ROUTE_OPEN : ROUTE_PAUSED;
    if (w->control_up && a.tag == w->change_tag) {
        w->change_tag = 0;
        (void)happen(w, LIFE_DO_ROUTED);
    }
}

static void link_breaks(struct world *w)
{
    /* what is on its way arrives or does not */
    while (w->to_engine.len && !chance(w, 3))
        engine_works(w, false);
    w->to_engine.len = w->from_engine.len = 0;
    w->is_linked = false;
    if (w->control_up && w->call_tag && w->call_verb == ACT_CREATE)
        hear_engine(w, ACT_CREATE, false, false);
    w->call_tag = 0;
    if (w->control_up && w->capture_tag)
        hear_capture(w, w->capture_tag, false);
}

static void engine_dies(struct world *w)
{
    SAY("engine dies\n");
    /* in the middle of a capture: what it froze stays frozen */
    bool captures = w->to_engine.len && w->to_engine.at[0].verb == ACT_CAPTURE && chance(w, 2);
    if (captures)
        (void)pop(&w->to_engine);
    if (captures && w->held == HELD_RUNNING)
        w->held = HELD_FROZEN;
    link_breaks(w);
}

static void control_dies(struct world *w)
{
    SAY("control dies\n");
    link_breaks(w);
    while (w->to_edge.len && !chance(w, 3))
        edge_works(w);
    w->to_edge.len = 0;
    w->control_up = w->clock = w->retry = false;
    w->waiting = w->change_tag = w->capture_tag = 0;
    w->state = LIFE_NEW;
}

/* Everything dies. What was frozen was made durable; of what ran there may be something or not. */
static void host_dies(struct world *w)
{
    SAY("the host is started anew\n");
    control_dies(w);
    w->route = ROUTE_NONE;
    if (w->held == HELD_FROZEN || (w->held == HELD_RUNNING && chance(w, 2)))
        w->held = HELD_KEPT;
    if (w->held == HELD_RUNNING) {
        w->held = HELD_NONE;
        w->may_end = true;
    }
}

static void control_starts(struct world *w)
{
    SAY("control starts\n");
    w->control_up = true;
    w->state = w->is_recorded ? w->journal : LIFE_GONE;
    (void)happen(w, LIFE_DO_LOADED);
    /* a new link of the edge: told everything, drops the rest */
    push(w, &w->to_edge,
         (struct asked){ .verb = life_is_visible(w->state) ? ACT_PUBLISH : ACT_UNPUBLISH,
                         .good = !life_is_paused(w->state) });
}

static void link_starts(struct world *w)
{
    SAY("link; the engine has %d\n", (int)w->held);
    w->is_linked = true;
    for (int i = 0; i < w->layer_count; i++)
        ask_drop(w, w->layers[i]);
    if (w->state == LIFE_GONE || w->state == LIFE_NEW) {
        if (w->held != HELD_NONE) /* unknown to control */
            push(w, &w->to_engine, (struct asked){ .verb = ACT_DESTROY });
        return;
    }
    (void)happen(w, w->held == HELD_NONE     ? LIFE_DO_LOST
                    : w->held == HELD_KEPT   ? LIFE_DO_KEPT
                    : w->held == HELD_FROZEN ? LIFE_DO_FROZEN
                                             : LIFE_DO_FOUND);
}

static void loses_it(struct world *w)
{
    SAY("the sandbox ends by itself\n");
    w->held = HELD_NONE;
    w->may_end = true;
    if (w->is_linked) /* otherwise it is missing in the list after HELLO */
        push(w, &w->from_engine, (struct asked){ .verb = SIM_EXITED });
}

/* -- time -- */

/* One thing that can happen without anybody asking. False: nothing is left to do. */
static bool progress(struct world *w, bool calm)
{
    if (w->to_edge.len && chance(w, 2)) {
        edge_works(w);
        return true;
    }
    if (w->to_engine.len && chance(w, 2)) {
        engine_works(w, calm);
        return true;
    }
    if (w->from_engine.len) {
        struct asked a = pop(&w->from_engine);
        if (w->control_up && a.verb == SIM_EXITED)
            (void)happen(w, LIFE_DO_EXITED);
        else if (w->control_up && a.tag && a.tag == w->call_tag)
            hear_engine(w, a.verb, a.good, a.is_lost);
        else if (w->control_up && a.verb == ACT_CAPTURE && a.tag == w->capture_tag)
            hear_capture(w, a.tag, a.good);
        return true;
    }
    if (w->retry && w->control_up && !w->change_tag) { /* edges answer sooner, or are cut off */
        w->retry = false;
        (void)happen(w, LIFE_DO_RETRY);
        return true;
    }
    return w->to_edge.len || w->to_engine.len;
}

static void trouble(struct world *w)
{
    static const enum life_event wishes[] = { LIFE_DO_PAUSE,    LIFE_DO_RESUME, LIFE_DO_SNAPSHOT,
                                              LIFE_DO_RESUME,   LIFE_DO_PAUSE,  LIFE_DO_STOP,
                                              LIFE_DO_SNAPSHOT, LIFE_DO_RESUME, LIFE_DO_REBOOT };
    switch (random_below(w, 16)) {
    case 0:
        if (w->control_up)
            control_dies(w);
        break;
    case 1:
        if (w->is_linked)
            engine_dies(w);
        break;
    case 2:
        if (chance(w, 6) && (w->held == HELD_RUNNING || w->held == HELD_FROZEN))
            loses_it(w);
        else if (chance(w, 4))
            host_dies(w);
        break;
    case 3:
        if (w->control_up && w->call_tag && w->is_linked) {
            SAY("no answer in time\n");
            hear_engine(w, (int)w->call_verb, false, false);
        }
        break;
    case 6:
        if (w->control_up && w->capture_tag && w->is_linked) {
            SAY("no capture in time\n");
            hear_capture(w, w->capture_tag, false);
        }
        break;
    case 4:
        if (chance(w, 8))
            request(w, LIFE_DO_KILL);
        break;
    case 5:
        if (w->control_up && w->clock && chance(w, 3)) {
            static const enum life_event ends[] = { LIFE_DO_EXPIRE, LIFE_DO_EXPIRE_PAUSE,
                                                    LIFE_DO_STOP };
            enum life_event e = ends[random_below(w, 3)];
            w->may_end |= e == LIFE_DO_EXPIRE;
            int r = happen(w, e);
            w->clock = r == LIFE_BUSY || r < 0; /* rings again soon */
        }
        break;
    default:
        request(w, wishes[random_below(w, sizeof wishes / sizeof *wishes)]);
    }
}

static void settle(struct world *w)
{
    if (!w->control_up)
        control_starts(w);
    if (!w->is_linked)
        link_starts(w);
    for (int i = 0; progress(w, true); i++)
        MUST(i < 10000);
}

static void check(struct world *w)
{
    static const struct {
        enum life_state state;
        enum held held;
        enum route route;
    } legal[] = { { LIFE_RUNNING, HELD_RUNNING, ROUTE_OPEN },
                  { LIFE_PAUSED, HELD_FROZEN, ROUTE_PAUSED },
                  { LIFE_STOPPED, HELD_KEPT, ROUTE_PAUSED },
                  { LIFE_GONE, HELD_NONE, ROUTE_NONE },
                  { LIFE_NEW, HELD_NONE, ROUTE_NONE } };
    bool is_legal = false;
    for (size_t i = 0; i < sizeof legal / sizeof *legal; i++)
        is_legal |=
            w->state == legal[i].state && w->held == legal[i].held && w->route == legal[i].route;
    MUST(is_legal);
    MUST(w->state != LIFE_RUNNING || w->clock);
    MUST(w->waiting == 0);
    MUST(w->layer_count == 0); /* every layer has a record, or is gone */
    if (w->was_running && !w->may_end)
        MUST(life_is_visible(w->state)); /* no crash of ours may end what a client has */
}

static void live(uint64_t seed, bool is_loud)
{
    struct world world = { .rng = seed * 0x9e3779b97f4a7c15u + 1, .seed = seed }, *w = &world;
    w->is_loud = is_loud;
    w->control_up = true;
    w->is_linked = true;
    request(w, LIFE_DO_CREATE);
    int steps = 1 + (int)random_below(w, 120);
    for (int i = 0; i < steps; i++) {
        if (!w->control_up && chance(w, 3))
            control_starts(w);
        if (w->control_up && !w->is_linked && chance(w, 3))
            link_starts(w);
        if (chance(w, 3))
            trouble(w);
        else
            (void)progress(w, false);
    }
    settle(w);
    check(w);
    w->may_end = true;
    if (w->state != LIFE_GONE && w->state != LIFE_NEW)
        MUST(happen(w, LIFE_DO_KILL) == LIFE_TAKEN);
    settle(w);
    if (w->is_recorded) { /* the record could not be removed: the next control process does it */
        control_dies(w);
        w->to_edge.len = 0;
        for (int i = 0; i < 100 && w->is_recorded; i++) {
            settle(w);
            if (w->is_recorded)
                control_dies(w);
        }
    }
    MUST(!w->is_recorded && w->held == HELD_NONE && w->route == ROUTE_NONE);
}

static void lives_end_well(void **state)
{
    (void)state;
    const char *one = getenv("SIM_SEED"), *seconds = getenv("SIM_SECONDS");
    if (one) {
        live(strtoull(one, NULL, 10), true);
        return;
    }
    int64_t start = clock_mono_ms(), length = (seconds ? atoi(seconds) : 10) * 1000;
    uint64_t first = (uint64_t)clock_wall_us(), n = 0;
    for (; clock_mono_ms() - start < length; n++)
        live(first + n, false);
    print_message("# %llu lives from seed %llu\n", (unsigned long long)n,
                  (unsigned long long)first);
    assert_true(n > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(lives_end_well) };
    return cmocka_run_group_tests_name("life-sim", tests, NULL, NULL);
}
