#include "base/op.h"
#include "edge/edge.h"

/* What control says of a sandbox that it did not wake, as core.md 6.2 words it for clients. */
static int status_of(const struct msg *m)
{
    static const struct {
        enum fault_code fault;
        int status;
    } table[] = {
        { FAULT_NOT_FOUND, 502 }, { FAULT_FORBIDDEN, 403 }, { FAULT_CONFLICT, 409 },
        { FAULT_LIMIT, 429 },     { FAULT_TIMEOUT, 504 },
    };
    uint64_t fault = FAULT_INTERNAL;
    (void)msg_get_u64(m, RK_FAULT, &fault);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].fault == fault)
            return table[i].status;
    return 503;
}

void edge_wake(struct edge *e, struct edge_route *r)
{
    if (r->wake_tag || !link_is_open(&e->control))
        return; /* others asked already; or the next link's first news of it asks */
    r->wake_tag = ++e->next_tag;
    msg_begin(&e->msg, ROUTE_WAKE, 0, r->wake_tag, 0);
    msg_str(&e->msg, RK_ID, str_of(r->id));
    msg_end(&e->msg);
    (void)link_send(&e->control, &e->msg, NULL, 0);
}

void edge_wake_end(struct edge_route *r, int status)
{
    r->wake_tag = 0;
    while (!list_empty(&r->sleepers)) {
        struct edge_conn *c = edge_conn_of_wait(r->sleepers.next);
        list_remove(r->sleepers.next);
        edge_conn_woken(c, status);
    }
}

void edge_wake_answer(struct edge *e, const struct msg *m)
{
    MAP_EACH(i, &e->routes) {
        struct edge_route *r = e->routes.slots[i].value;
        if (m->tag == 0 || r->wake_tag != m->tag)
            continue;
        /* it runs: control said so before, unless it was paused once more since */
        edge_wake_end(r, m->status < 0 ? status_of(m) : r->state == ROUTE_RUNNING ? 0 : 502);
        return;
    }
}

void edge_wake_changed(struct edge *e, struct edge_route *r)
{
    if (r->state == ROUTE_RUNNING)
        edge_wake_end(r, 0);
    else if (r->state == ROUTE_PAUSED)
        edge_wake_end(r, 502);
    else if (!list_empty(&r->sleepers)) /* a new control process, which was not asked */
        edge_wake(e, r);
}
