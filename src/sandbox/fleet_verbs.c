/* What clients may ask of the fleet. */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gen/limits.h"
#include "sandbox/fleet_internal.h"

static int journal_failed(struct op *op, int r)
{
    return op_fail(op, FAULT_UNAVAILABLE, -r, "the journal cannot be written; nothing was changed");
}

int fleet_create(struct fleet *f, struct op *op, struct sandbox_spec *spec, int64_t deadline_ms,
                 struct sandbox_wait *w)
{
    if (f->counted + f->parked_count >= f->spec.sandbox_max)
        return op_fail(op, FAULT_LIMIT, EDQUOT,
                       "you have reached the maximum number of concurrent E2B sandboxes (%u)",
                       f->spec.sandbox_max);
    char id[IDENTITY_ID_SIZE];
    identity_make_id(id);
    struct sandbox *s = f->by_id.len < LIMIT_SANDBOX_KNOWN ? fleet_add(f, id, spec) : NULL;
    if (!s)
        return op_fail(op, FAULT_CAPACITY, ENOMEM,
                       "Failed to place sandbox: this server knows too many sandboxes already");
    s->created_us = clock_wall_us();
    if (!engine_link_is_up(f->engine)) {
        f->parked_count++;
        list_push(&f->parked, &s->node);
        fleet_wait_add(s, w, deadline_ms);
        return 0;
    }
    int r = fleet_step(f, s, LIFE_DO_CREATE, NULL);
    if (r < 0) {
        f->parked_count++; /* as fleet_drop expects of a NEW one */
        layers_release(&f->layers, s->spec.template.rootfs, s->spec.template.layers);
        *spec = s->spec;
        s->spec = (struct sandbox_spec){ 0 };
        fleet_drop(f, s);
        return journal_failed(op, r);
    }
    fleet_wait_add(s, w, 0);
    return 0;
}

int fleet_kill(struct fleet *f, struct op *op, struct sandbox *s, int64_t deadline_ms,
               struct sandbox_wait *w)
{
    int r = fleet_step(f, s, LIFE_DO_KILL, NULL);
    if (r != LIFE_TAKEN)
        return op_fail(op, FAULT_NOT_FOUND, ENOENT,
                       "Sandbox \"%s\" doesn't exist or you don't have access to it", s->id);
    fleet_wait_add(s, w, deadline_ms);
    return 0;
}

int fleet_asked(struct op *op, struct sandbox *s, int outcome, const struct fleet_refusal *refusal,
                int64_t deadline_ms, struct sandbox_wait *w)
{
    if (outcome < 0)
        return journal_failed(op, outcome);
    if (outcome == LIFE_REFUSED)
        return op_fail(op, FAULT_CONFLICT, EALREADY, "%s '%s' %s", refusal->before, s->id,
                       refusal->after);
    fleet_wait_add(s, w, deadline_ms);
    return outcome == LIFE_BUSY ? -EAGAIN : 0;
}

bool fleet_must_wait(struct fleet *f, struct sandbox *s, int64_t deadline_ms,
                     struct sandbox_wait *w)
{
    if (engine_link_is_up(f->engine))
        return false;
    fleet_wait_add(s, w, deadline_ms);
    return true;
}

int fleet_pause(struct fleet *f, struct op *op, struct sandbox *s, bool memory, int64_t deadline_ms,
                struct sandbox_wait *w)
{
    static const struct fleet_refusal refusal = { "Error pausing sandbox - sandbox",
                                                  "is already paused" };
    if (s->state == LIFE_RUNNING && fleet_must_wait(f, s, deadline_ms, w))
        return -EAGAIN;
    int r = fleet_step(f, s, memory ? LIFE_DO_PAUSE : LIFE_DO_STOP, NULL);
    return fleet_asked(op, s, r, &refusal, deadline_ms, w);
}

/* A sandbox of which only the disk is there needs a place to run in. */
static int check_place(struct fleet *f, struct op *op, const struct sandbox *s)
{
    if (s->state != LIFE_STOPPED || f->counted + f->parked_count < f->spec.sandbox_max)
        return 0;
    return op_fail(op, FAULT_LIMIT, EDQUOT,
                   "you have reached the maximum number of concurrent E2B sandboxes (%u)",
                   f->spec.sandbox_max);
}

int fleet_resume(struct fleet *f, struct op *op, struct sandbox *s, int64_t timeout_s, bool memory,
                 int64_t deadline_ms, struct sandbox_wait *w)
{
    static const struct fleet_refusal refusal = { "Sandbox", "is already running" };
    if (s->state == LIFE_RUNNING && s->change.link) { /* resumed, and edges are being told */
        fleet_wait_add(s, w, deadline_ms);
        return 0;
    }
    bool rests = s->state == LIFE_PAUSED || s->state == LIFE_STOPPED;
    if (rests && fleet_must_wait(f, s, deadline_ms, w))
        return -EAGAIN;
    int r = check_place(f, op, s);
    if (r < 0)
        return r;
    int64_t before = s->run_timeout_s;
    bool joins = s->state == LIFE_RESUMING || s->state == LIFE_DROPPING || s->state == LIFE_BOOTING;
    if (rests || (joins && timeout_s > before))
        s->run_timeout_s = timeout_s;
    r = fleet_step(f, s, memory ? LIFE_DO_RESUME : LIFE_DO_REBOOT, NULL);
    if (r < 0)
        s->run_timeout_s = before;
    return fleet_asked(op, s, r, &refusal, deadline_ms, w);
}

int fleet_set_end(struct fleet *f, struct op *op, struct sandbox *s, int64_t end_us)
{
    int64_t most = s->started_us + (int64_t)LIMIT_SANDBOX_TIMEOUT_MAX_S * 1000000;
    int64_t before = s->end_us, now = clock_wall_us();
    assert(life_is_visible(s->state) && !life_is_paused(s->state));
    if (now >= most)
        return op_fail(op, FAULT_INVALID, ERANGE, "Max instance length exceeded");
    s->end_us = end_us < most ? end_us : most;
    struct store_sandbox r = { .id = s->id,
                               .state = life_state_name(s->state),
                               .started_us = s->started_us,
                               .end_us = s->end_us,
                               .has_lost_memory = s->has_lost_memory };
    int journalled = store_sandbox_set(f->spec.store, &r);
    if (journalled < 0) {
        s->end_us = before;
        return journal_failed(op, journalled);
    }
    int64_t ms = (s->end_us - now + 999) / 1000;
    (void)loop_timer_start(f->spec.loop, &s->clock, ms > 0 ? ms : 0);
    return 0;
}
