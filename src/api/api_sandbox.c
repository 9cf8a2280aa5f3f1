/* Routes about one sandbox that answer at once, and kill. */
#include "api/api_internal.h"
#include "base/clock.h"

enum { KILL_MS = 10000, REFRESH_MIN_S = 15, REFRESH_MAX_S = 3600 };

void api_health(struct api_call *c) { api_reply_empty(c); }

struct sandbox *api_sandbox(struct api_call *c)
{
    struct str id;
    struct sandbox *s = NULL;
    if (!identity_parse_id(c->id, &id))
        (void)op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid sandbox ID");
    else if (!(s = fleet_find(c->api->spec.fleet, id)))
        (void)op_fail(&c->op, FAULT_NOT_FOUND, ENOENT,
                      "Sandbox \"" STR_FMT "\" doesn't exist or you don't have access to it",
                      STR_ARG(id));
    if (!s)
        api_reply_fault(c);
    return s;
}

void api_sandbox_get(struct api_call *c)
{
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    struct buf *b = &c->api->out;
    buf_reset(b);
    if (api_put_sandbox(b, s, true)) {
        api_reply(c, 200, NULL, buf_str(b));
        return;
    }
    (void)op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    api_reply_fault(c);
}

/* It is dead, or will be: the kill is in the journal and no edge has its route any more. */
static void on_killed(struct sandbox_wait *w, struct sandbox *s, const struct fault *fault)
{
    (void)s;
    (void)fault;
    api_reply_empty(w->data);
}

void api_sandbox_kill(struct api_call *c)
{
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    api_wait_init(c, on_killed);
    if (fleet_kill(c->api->spec.fleet, &c->op, s, loop_now_ms(c->api->spec.loop) + KILL_MS,
                   &c->wait) < 0)
        api_reply_fault(c);
}

/* The sandbox when its end can be set; NULL: answered already. */
static struct sandbox *timed_sandbox(struct api_call *c)
{
    struct sandbox *s = api_sandbox(c);
    if (!s || s->state == LIFE_RUNNING)
        return s;
    if (s->state == LIFE_PAUSED ||
        s->state == LIFE_STOPPED) /* old SDKs take this for "resume it" (delta.md 13) */
        (void)op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "Sandbox \"%s\" is not running", s->id);
    else
        (void)op_fail(&c->op, FAULT_CONFLICT, EBUSY, "Sandbox \"%s\" is changing its state", s->id);
    api_reply_fault(c);
    return NULL;
}

static void set_end(struct api_call *c, struct sandbox *s, int64_t end_us)
{
    if (fleet_set_end(c->api->spec.fleet, &c->op, s, end_us) < 0)
        api_reply_fault(c);
    else
        api_reply_empty(c);
}

static void take_timeout(struct api_call *c, const json_t *body)
{
    int64_t timeout_s;
    int r = api_field_int(&c->op, body, "timeout", &timeout_s);
    if (r == 0)
        r = api_invalid(&c->op, "timeout is missing");
    else if (r == 1 && timeout_s < 0)
        r = api_invalid(&c->op, "timeout must not be negative");
    if (r < 0) {
        api_reply_fault(c);
        return;
    }
    struct sandbox *s = timed_sandbox(c);
    if (s)
        set_end(c, s, clock_wall_us() + timeout_s * 1000000);
}

void api_sandbox_timeout(struct api_call *c) { api_take_body(c, false, take_timeout); }

static void take_refresh(struct api_call *c, const json_t *body)
{
    int64_t duration_s = REFRESH_MIN_S;
    int r = api_field_int(&c->op, body, "duration", &duration_s);
    if (r == 1 && (duration_s < 0 || duration_s > REFRESH_MAX_S))
        r = api_invalid(&c->op, "duration must be from 0 to %d", REFRESH_MAX_S);
    if (r < 0) {
        api_reply_fault(c);
        return;
    }
    struct sandbox *s = timed_sandbox(c);
    if (!s)
        return;
    if (duration_s < REFRESH_MIN_S)
        duration_s = REFRESH_MIN_S;
    int64_t end_us = clock_wall_us() + duration_s * 1000000;
    if (end_us > s->end_us)
        set_end(c, s, end_us);
    else
        api_reply_empty(c);
}

void api_sandbox_refresh(struct api_call *c) { api_take_body(c, true, take_refresh); }
