/* The doer of life/: one event, its actions, and what the engine, the edges and the clock say. */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gen/limits.h"
#include "sandbox/fleet_internal.h"

enum {
    LATE_MS = 2000, /* more than the engine has: it gives up earlier and says why */
    DESTROY_MS = 10000,
    FREEZE_MS = 5000,
    STOP_MS = 30000, /* what was written is synced to the disk */
    RETRY_MS = 500,
    BUSY_MS = 100,
    HOLD_MS = 1000,
    READY_LEAST_MS = 1000,
};

static void on_clock(struct loop_timer *t);
static void on_engine(struct engine_call *c, const struct engine_answer *a);
static void on_routed(struct route_change *c);

static void set_clock(struct sandbox *s, int64_t ms)
{
    s->clock.fn = on_clock;
    s->clock.data = s;
    (void)loop_timer_start(s->fleet->spec.loop, &s->clock, ms > 0 ? ms : 0);
}

/* -- actions -- */

static int journal(struct sandbox *s, enum life_state from)
{
    struct fleet *f = s->fleet;
    struct store_sandbox r = { .id = s->id,
                               .state = life_state_name(s->state),
                               .created_us = s->created_us,
                               .started_us = s->started_us,
                               .end_us = s->end_us,
                               .has_lost_memory = s->has_lost_memory };
    if (life_is_paused(s->state)) /* what is kept must be known after a loss of power, too */
        store_want_sync(f->spec.store);
    if (from != LIFE_NEW)
        return store_sandbox_set(f->spec.store, &r);
    (void)str_copy(str_of(engine_link_isolation(f->engine)), s->spec.isolation,
                   sizeof s->spec.isolation);
    buf_reset(&f->scratch);
    if (!sandbox_spec_print(&f->scratch, &s->spec) || !(r.spec = buf_cstr(&f->scratch)))
        return -ENOMEM;
    return store_sandbox_add(f->spec.store, &r);
}

static const char *token_of(const struct sandbox *s)
{
    return s->spec.secure ? s->envd_token : NULL;
}

static uint64_t ready_ms(int64_t waited_ms)
{
    int64_t left = LIMIT_SANDBOX_READY_MS - waited_ms;
    return left > READY_LEAST_MS ? (uint64_t)left : READY_LEAST_MS;
}

void fleet_put_create(struct fleet *f, const struct sandbox_spec *p, const char *id,
                      const char *token, bool warm, int64_t waited_ms, struct buf *b)
{
    msg_str(b, EK_TEMPLATE, str_of(p->template.rootfs));
    if (p->template.layers)
        msg_str(b, EK_LAYERS, str_of(p->template.layers));
    msg_u64(b, EK_MEMORY, p->memory_bytes);
    msg_u64(b, EK_CPUS_MILLI, p->cpus_milli);
    msg_u64(b, EK_PIDS, p->pids);
    msg_u64(b, EK_DISK, p->disk_bytes);
    msg_u64(b, EK_INTERNET, !p->is_cut_off);
    buf_reset(&f->scratch);
    (void)sandbox_spec_boot(&f->scratch, p, id, token, warm, clock_wall_us());
    msg_str(b, EK_BOOT, buf_str(&f->scratch));
    if (sandbox_spec_has_start(p))
        msg_u64(b, EK_BOOT_MS, ready_ms(waited_ms));
}

static void ask(struct sandbox *s, enum engine_verb verb, int64_t timeout_ms)
{
    s->asked = verb;
    s->call.fn = on_engine;
    s->call.data = s;
    engine_link_ask(s->fleet->engine, &s->call, timeout_ms);
}

static void ask_engine(struct sandbox *s, enum engine_verb verb, int64_t timeout_ms)
{
    turn_leave(&s->turn); /* a create that still waits for it is not asked for any more */
    msg_str(engine_link_begin(s->fleet->engine, verb), EK_ID, str_of(s->id));
    ask(s, verb, timeout_ms);
}

static void create_now(struct sandbox *s, int64_t waited_ms)
{
    struct buf *b = engine_link_begin(s->fleet->engine, ENGINE_CREATE);
    msg_str(b, EK_ID, str_of(s->id));
    if (s->state == LIFE_BOOTING)
        msg_u64(b, EK_KEPT, 1);
    fleet_put_create(s->fleet, &s->spec, s->id, token_of(s), false, waited_ms, b);
    ask(s, ENGINE_CREATE,
        LATE_MS + (sandbox_spec_has_start(&s->spec) ? (int64_t)ready_ms(waited_ms)
                                                    : LIMIT_SANDBOX_BOOT_MS));
}

/* Gives the sandbox that was started ahead, s->warm_id, the identity of `s`. */
static void ask_claim(struct sandbox *s)
{
    struct fleet *f = s->fleet;
    struct buf *b = engine_link_begin(f->engine, ENGINE_CLAIM);
    msg_str(b, EK_ID, str_of(s->warm_id));
    msg_str(b, EK_NEW_ID, str_of(s->id));
    msg_u64(b, EK_INTERNET, !s->spec.is_cut_off);
    buf_reset(&f->scratch);
    (void)sandbox_spec_boot(&f->scratch, &s->spec, s->id, token_of(s), false, clock_wall_us());
    msg_str(b, EK_BOOT, buf_str(&f->scratch));
    ask(s, ENGINE_CLAIM, LIMIT_SANDBOX_BOOT_MS + LATE_MS);
}

static void on_turn(struct turn *t)
{
    struct sandbox *s = t->data;
    int64_t waited_ms = loop_now_ms(s->fleet->spec.loop) - t->since_ms;
    if (s->state == LIFE_STARTING && fleet_warm_take(s->fleet, &s->spec, true, s->warm_id))
        ask_claim(s);
    else
        create_now(s, waited_ms);
}

/* A first one, or one from its kept disk. */
static void ask_create(struct sandbox *s)
{
    turn_leave(&s->turn); /* of what is asked for again */
    s->turn.fn = on_turn;
    s->turn.data = s;
    if (!sandbox_spec_has_start(&s->spec) || turn_take(&s->fleet->turns, &s->turn))
        create_now(s, 0);
}

void fleet_put_route(const struct sandbox *s, struct buf *b)
{
    enum route_state state = !life_is_paused(s->state) ? ROUTE_RUNNING
                             : s->spec.auto_resume && s->state <= LIFE_RESUMING
                                 ? ROUTE_RESUMABLE /* not from its disk alone (core.md 6.5) */
                                 : ROUTE_PAUSED;
    msg_str(b, RK_ID, str_of(s->id));
    msg_u64(b, RK_STATE, state);
    msg_str(b, RK_DIR, str_of(s->id));
    if (s->spec.has_private_traffic)
        msg_str(b, RK_TRAFFIC_TOKEN, str_of(s->traffic_token));
    if (s->spec.secure)
        msg_str(b, RK_ENVD_TOKEN, str_of(s->envd_token));
    if (s->spec.mask_host[0])
        msg_str(b, RK_MASK_HOST, str_of(s->spec.mask_host));
}

static void publish(struct sandbox *s, enum route_verb verb)
{
    struct buf *b = route_link_begin(s->fleet->routes, verb);
    if (verb == ROUTE_SET)
        fleet_put_route(s, b);
    else
        msg_str(b, RK_ID, str_of(s->id));
    s->change.fn = on_routed;
    s->change.data = s;
    route_link_publish(s->fleet->routes, &s->change);
}

static void begin_run(struct sandbox *s)
{
    int64_t now = clock_wall_us();
    s->has_lost_memory = false;
    listing_remove(&s->fleet->listing, s);
    s->started_us = now;
    s->end_us = now + s->run_timeout_s * 1000000;
    listing_update(&s->fleet->listing, s);
}

static void rest(struct sandbox *s)
{
    int64_t now = clock_wall_us();
    s->end_us = s->end_us < now ? s->end_us : now;
}

static void start_clock(struct sandbox *s)
{
    int64_t ms = (s->end_us - clock_wall_us() + 999) / 1000;
    set_clock(s, ms > s->hold_ms ? ms : s->hold_ms);
    s->hold_ms = 0;
}

static void forget(struct sandbox *s)
{
    /* when this fails the next control process destroys it once more and tries again */
    if (store_sandbox_remove(s->fleet->spec.store, s->id) < 0)
        log_error("sandbox %s stays in the journal", s->id);
}

/* Everything but JOURNAL, which can fail. */
static void act(struct sandbox *s, enum life_action action, const struct fault *why)
{
    static const struct fault gone = { .code = FAULT_NOT_FOUND, .text = "the sandbox was killed" };
    switch (action) {
    case ACT_FORGET:
        forget(s);
        break;
    case ACT_CREATE:
        if (fleet_warm_take(s->fleet, &s->spec, false, s->warm_id))
            ask_claim(s);
        else
            ask_create(s);
        break;
    case ACT_BOOT:
        ask_create(s);
        break;
    case ACT_DESTROY:
        ask_engine(s, ENGINE_DESTROY, DESTROY_MS);
        break;
    case ACT_FREEZE:
        ask_engine(s, ENGINE_FREEZE, FREEZE_MS);
        break;
    case ACT_THAW:
        ask_engine(s, ENGINE_THAW, FREEZE_MS);
        break;
    case ACT_STOP:
        ask_engine(s, ENGINE_STOP, STOP_MS);
        break;
    case ACT_CAPTURE:
        fleet_capture_ask(s);
        break;
    case ACT_PUBLISH:
        publish(s, ROUTE_SET);
        break;
    case ACT_UNPUBLISH:
        publish(s, ROUTE_DROP);
        break;
    case ACT_BEGIN:
        begin_run(s);
        break;
    case ACT_REST:
        rest(s);
        break;
    case ACT_LOSE:
        log_warn("sandbox %s: its memory was lost with the host; its disk is kept", s->id);
        s->has_lost_memory = true;
        break;
    case ACT_CLOCK:
        start_clock(s);
        break;
    case ACT_NO_CLOCK:
        loop_timer_cancel(&s->clock);
        break;
    case ACT_RETRY:
        set_clock(s, RETRY_MS);
        break;
    case ACT_ANSWER:
        fleet_answer(s->fleet, s, NULL);
        break;
    case ACT_FAIL:
        fleet_answer(s->fleet, s, why ? why : &gone);
        break;
    case ACT_JOURNAL:
    case ACT_NONE:
    case ACT_COUNT:
        assert(false && "an action of this place");
    }
}

/* -- the step -- */

static void set_state(struct fleet *f, struct sandbox *s, enum life_state next)
{
    f->counted += (uint32_t)life_is_counted(next) - (uint32_t)life_is_counted(s->state);
    s->state = next;
    /* the first run is listed when it begins, and has a startedAt */
    if (s->started_us)
        listing_update(&f->listing, s);
}

/* Without its record this event may not have its effect: a crash would undo it in silence. */
static bool needs_record(enum life_event e)
{
    return e == LIFE_DO_CREATE || e == LIFE_DO_PAUSE || e == LIFE_DO_EXPIRE_PAUSE ||
           e == LIFE_DO_STOP || e == LIFE_DO_RESUME || e == LIFE_DO_REBOOT ||
           e == LIFE_DO_SNAPSHOT || e == LIFE_DO_STARTED;
}

static const struct fault journal_fault = { .code = FAULT_UNAVAILABLE,
                                            .text = "the journal cannot be written" };

int fleet_step(struct fleet *f, struct sandbox *s, enum life_event event, const struct fault *why)
{
    enum life_state from = s->state;
    struct life_step step = life_step(from, event);
    if (step.outcome != LIFE_TAKEN)
        return (int)step.outcome;
    log_debug("sandbox %s: %s --%s--> %s", s->id, life_state_name(from), life_event_name(event),
              life_state_name(step.next));
    set_state(f, s, step.next);
    for (int i = 0; step.actions[i] != ACT_NONE; i++) {
        if (step.actions[i] != ACT_JOURNAL) {
            act(s, step.actions[i], why);
            continue;
        }
        int r = journal(s, from);
        if (r == 0 || !needs_record(event))
            continue; /* ends and results stand; store/ has logged it */
        set_state(f, s, from);
        if (event != LIFE_DO_STARTED)
            return r;
        return fleet_step(f, s, LIFE_DO_START_FAILED, &journal_fault);
    }
    if (s->state == LIFE_GONE)
        fleet_drop(f, s);
    return LIFE_TAKEN;
}

/* -- what comes back -- */

static void on_routed(struct route_change *c)
{
    struct sandbox *s = c->data;
    (void)fleet_step(s->fleet, s, LIFE_DO_ROUTED, NULL);
}

/* What a client hears when the engine could not make its sandbox. */
static struct fault create_fault(const struct engine_answer *a)
{
    struct fault t = { .code = a->fault, .err = -a->status };
    if (t.code == FAULT_INTERNAL || t.code == FAULT_HOST || t.code == FAULT_NONE)
        t.code = FAULT_CREATE_FAILED;
    (void)snprintf(t.text, sizeof t.text, "Failed to place sandbox: " STR_FMT, STR_ARG(a->text));
    return t;
}

/* The events that an answer to what was asked for in state `s` stands for. */
struct heard {
    enum life_event done, failed;
};
static struct heard heard_of(const struct sandbox *s)
{
    static const struct heard events[] = {
        [ENGINE_CREATE] = { LIFE_DO_STARTED, LIFE_DO_START_FAILED },
        [ENGINE_DESTROY] = { LIFE_DO_DESTROY_DONE, LIFE_DO_DESTROY_FAILED },
        [ENGINE_FREEZE] = { LIFE_DO_FREEZE_DONE, LIFE_DO_FREEZE_FAILED },
        [ENGINE_THAW] = { LIFE_DO_THAW_DONE, LIFE_DO_THAW_FAILED },
        [ENGINE_STOP] = { LIFE_DO_STOP_DONE, LIFE_DO_STOP_FAILED },
    };
    static const struct heard started = { LIFE_DO_STARTED, LIFE_DO_START_FAILED };
    static const struct heard booted = { LIFE_DO_BOOT_DONE, LIFE_DO_BOOT_FAILED };
    if (s->asked == ENGINE_CLAIM)
        return started;
    return s->asked == ENGINE_CREATE && s->state == LIFE_BOOTING ? booted : events[s->asked];
}

/* The one that was started ahead was not there, or ended in the attempt: the client need not know.
 * Unless the outcome is unknown: then both may be there. */
static bool claim_is_replaced(struct sandbox *s, const struct engine_answer *a)
{
    if (s->asked != ENGINE_CLAIM || a->status == 0 || a->status == -ENOTCONN)
        return false;
    log_warn("sandbox %s: claim of %s failed: " STR_FMT, s->id, s->warm_id, STR_ARG(a->text));
    engine_link_destroy(s->fleet->engine, str_of(s->warm_id));
    if (a->status == -ETIMEDOUT || s->state != LIFE_STARTING)
        return false;
    ask_create(s);
    return true;
}

static void on_engine(struct engine_call *c, const struct engine_answer *a)
{
    struct sandbox *s = c->data;
    turn_leave(&s->turn);
    if (claim_is_replaced(s, a))
        return;
    struct heard heard = heard_of(s);
    /* The link broke: whether it was done is known when the engine lists what it has, and every
     * state that waits here asks again then. Only a first create is not waited for. */
    if (a->status == -ENOTCONN && heard.failed != LIFE_DO_START_FAILED)
        return;
    if (a->status == 0) {
        (void)fleet_step(s->fleet, s, heard.done, NULL);
        return;
    }
    if (a->status != -ENOTCONN)
        log_warn("sandbox %s: %s: " STR_FMT, s->id, life_event_name(heard.failed),
                 STR_ARG(a->text));
    if (s->asked == ENGINE_FREEZE)
        s->hold_ms = HOLD_MS;
    if (s->asked == ENGINE_STOP && a->status == -ENOENT)
        heard.failed = LIFE_DO_LOST;
    struct fault why = create_fault(a);
    if (s->asked != ENGINE_CREATE && s->asked != ENGINE_CLAIM) {
        why.code = a->fault;
        (void)snprintf(why.text, sizeof why.text, STR_FMT, STR_ARG(a->text));
    }
    (void)fleet_step(s->fleet, s, heard.failed, &why);
}

static void on_clock(struct loop_timer *t)
{
    struct sandbox *s = t->data;
    bool runs = s->state == LIFE_RUNNING || s->state == LIFE_SNAPSHOTTING;
    if (!runs) { /* ACT_RETRY; ignored when something was begun meanwhile */
        (void)fleet_step(s->fleet, s, LIFE_DO_RETRY, NULL);
        return;
    }
    enum life_event end = !s->spec.auto_pause    ? LIFE_DO_EXPIRE
                          : s->spec.drops_memory ? LIFE_DO_STOP
                                                 : LIFE_DO_EXPIRE_PAUSE;
    int r = fleet_step(s->fleet, s, end, NULL);
    if (r == LIFE_BUSY)
        set_clock(s, BUSY_MS);
    else if (r < 0)
        set_clock(s, HOLD_MS);
}
