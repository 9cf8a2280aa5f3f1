/* Requests of edges to wake a paused sandbox (core.md 6.5): they join one resume. */
#include <stdlib.h>

#include "sandbox/fleet_internal.h"

enum {
    WAKE_MS = 12000,      /* the edge holds a client's request meanwhile */
    WAKE_TIMEOUT_S = 300, /* shortest life after waking up */
    WAKE_ROUNDS = 3,      /* other operations it waits for */
};

struct wake {
    struct list node;
    struct fleet *fleet;
    struct sandbox_wait wait;
    uint32_t peer;
    uint64_t tag;
    int rounds;
    bool is_again; /* the wait ends with "ask again" */
};

static void wake_end(struct wake *w, const struct fault *fault)
{
    route_wake_answer(w->fleet->routes, w->peer, w->tag, fault);
    list_remove(&w->node);
    free(w);
}

/* From its disk alone it does not wake up by itself (core.md 6.5), whatever an edge believes. */
static bool may_wake(const struct sandbox *s)
{
    return s->spec.auto_resume && (!life_is_paused(s->state) || s->state <= LIFE_RESUMING);
}

static const struct fault refused = { .code = FAULT_NOT_FOUND,
                                      .text = "the sandbox does not wake up by itself" };

static void wake_ask(struct wake *w, struct sandbox *s)
{
    if (!may_wake(s)) {
        wake_end(w, &refused);
        return;
    }
    struct op op = { 0 };
    int64_t timeout_s = s->spec.timeout_s > WAKE_TIMEOUT_S ? s->spec.timeout_s : WAKE_TIMEOUT_S;
    int64_t deadline = loop_now_ms(w->fleet->spec.loop) + WAKE_MS;
    int r = fleet_resume(w->fleet, &op, s, timeout_s, true, deadline, &w->wait);
    w->is_again = r == -EAGAIN;
    if (r == 0 || r == -EAGAIN)
        return;
    if (r == -EALREADY)
        op.fault = (struct fault){ .code = FAULT_NONE };
    wake_end(w, &op.fault);
}

static void on_waited(struct sandbox_wait *wait, struct sandbox *s, const struct fault *fault)
{
    struct wake *w = wait->data;
    static const struct fault gone = { .code = FAULT_NOT_FOUND, .text = "the sandbox is gone" },
                              none = { .code = FAULT_NONE };
    if (s && w->is_again && ++w->rounds <= WAKE_ROUNDS)
        wake_ask(w, s);
    else
        wake_end(w, fault ? fault : s ? &none : &gone);
}

void fleet_on_wake(void *data, struct str id, uint32_t peer, uint64_t tag)
{
    struct fleet *f = data;
    struct sandbox *s = fleet_find(f, id);
    struct wake *w = s && may_wake(s) ? calloc(1, sizeof *w) : NULL;
    if (!w) {
        route_wake_answer(f->routes, peer, tag, &refused);
        return;
    }
    *w = (struct wake){ .fleet = f, .peer = peer, .tag = tag };
    w->wait = (struct sandbox_wait){ .fn = on_waited, .data = w };
    list_init(&w->node);
    list_push(&f->wakes, &w->node);
    wake_ask(w, s);
}

void fleet_wakes_free(struct fleet *f)
{
    while (!list_empty(&f->wakes)) {
        struct wake *w = LIST_OF(f->wakes.next, struct wake, node);
        sandbox_wait_cancel(&w->wait);
        list_remove(&w->node);
        free(w);
    }
}
