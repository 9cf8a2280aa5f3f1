/* Routes that let a sandbox stand still and go on: pause, resume, connect. */
#include "api/api_internal.h"
#include "base/clock.h"

enum { WAIT_MS = 20000, TIMEOUT_S = 300 };

static int64_t deadline(struct api_call *c, const struct sandbox *s)
{
    bool starts = sandbox_spec_has_start(&s->spec); /* anew, should it boot from its disk */
    if (!c->deadline_ms)
        c->deadline_ms =
            loop_now_ms(c->api->spec.loop) + WAIT_MS + (starts ? LIMIT_SANDBOX_READY_MS : 0);
    return c->deadline_ms;
}

/* `memory` of a body that has been checked. */
static bool asked_memory(struct api_call *c)
{
    bool memory = true;
    struct op ignored = { 0 };
    (void)api_field_bool(&ignored, c->body, "memory", &memory);
    return memory;
}

static int check_memory(struct op *op, const json_t *body)
{
    bool ignored;
    return api_field_bool(op, body, "memory", &ignored);
}

/* -- pause -- */

static void on_paused(struct sandbox_wait *w, struct sandbox *s, const struct fault *fault)
{
    struct api_call *c = w->data;
    (void)s;
    if (fault) {
        c->op.fault = *fault;
        api_reply_fault(c);
    } else {
        api_reply_empty(c);
    }
}

static void pause_it(struct api_call *c)
{
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    api_wait_init(c, on_paused);
    int r = fleet_pause(c->api->spec.fleet, &c->op, s, asked_memory(c), deadline(c, s), &c->wait);
    if (r == -EAGAIN)
        api_wait_again(c, pause_it);
    else if (r < 0)
        api_reply_fault(c);
}

static void take_pause(struct api_call *c, const json_t *body)
{
    if (check_memory(&c->op, body) < 0)
        api_reply_fault(c);
    else
        pause_it(c);
}

void api_sandbox_pause(struct api_call *c) { api_take_body(c, true, take_pause); }

/* -- resume and connect -- */

static int64_t asked_timeout(struct api_call *c)
{
    int64_t timeout_s = TIMEOUT_S;
    struct op ignored = { 0 };
    (void)api_field_timeout(&ignored, c->body, true, &timeout_s);
    return timeout_s;
}

static void on_resumed(struct sandbox_wait *w, struct sandbox *s, const struct fault *fault)
{
    struct api_call *c = w->data;
    if (s && !fault) {
        api_reply_sandbox(c, 201, s);
        return;
    }
    c->op.fault = fault ? *fault : (struct fault){ .code = FAULT_NOT_FOUND, .text = "killed" };
    api_reply_fault(c);
}

static void resume_it(struct api_call *c)
{
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    api_wait_init(c, on_resumed);
    int r = fleet_resume(c->api->spec.fleet, &c->op, s, asked_timeout(c), asked_memory(c),
                         deadline(c, s), &c->wait);
    if (r == -EAGAIN)
        api_wait_again(c, resume_it);
    else if (r < 0)
        api_reply_fault(c);
}

static void take_resume(struct api_call *c, const json_t *body)
{
    int64_t timeout_s;
    if (api_field_timeout(&c->op, body, false, &timeout_s) < 0 || check_memory(&c->op, body) < 0)
        api_reply_fault(c);
    else
        resume_it(c);
}

void api_sandbox_resume(struct api_call *c) { api_take_body(c, true, take_resume); }

/* Joins a sandbox: a running one lives longer if need be, never shorter; a paused one goes on. */
static void connect_it(struct api_call *c)
{
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    bool is_settled = s->state == LIFE_RUNNING || s->state == LIFE_SNAPSHOTTING;
    if (!is_settled) {
        api_wait_init(c, on_resumed);
        int r = fleet_resume(c->api->spec.fleet, &c->op, s, asked_timeout(c), asked_memory(c),
                             deadline(c, s), &c->wait);
        if (r == -EAGAIN)
            api_wait_again(c, connect_it);
        else if (r < 0)
            api_reply_fault(c);
        return;
    }
    int64_t end_us = clock_wall_us() + asked_timeout(c) * 1000000;
    if (end_us > s->end_us && fleet_set_end(c->api->spec.fleet, &c->op, s, end_us) < 0)
        api_reply_fault(c);
    else
        api_reply_sandbox(c, 200, s);
}

static void take_connect(struct api_call *c, const json_t *body)
{
    int64_t timeout_s;
    int r = api_field_timeout(&c->op, body, c->version == 1, &timeout_s);
    if (r == 0 && c->version == 1)
        r = api_invalid(&c->op, "timeout is missing");
    if (r >= 0)
        r = check_memory(&c->op, body);
    if (r < 0)
        api_reply_fault(c);
    else
        connect_it(c);
}

void api_sandbox_connect_v1(struct api_call *c) { api_take_body(c, false, take_connect); }

void api_sandbox_connect_v2(struct api_call *c)
{
    c->version = 2;
    api_take_body(c, true, take_connect);
}
