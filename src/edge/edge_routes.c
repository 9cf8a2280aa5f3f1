#include <stdlib.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "edge/edge.h"

#define RETRY_MS 50

struct edge_route *edge_route_get(struct edge *e, struct str id) { return map_get(&e->routes, id); }

/* Ends every connection to the sandbox. To a killed one abruptly, so that clients look at /health
 * (core.md 3.1). */
static void end_connections(struct edge_route *r, void (*end)(struct edge_conn *c))
{
    while (!list_empty(&r->conns))
        end(edge_conn_of_route(r->conns.next));
    while (!list_empty(&r->idle))
        edge_up_close(LIST_OF(r->idle.next, struct edge_up, link));
    while (r->spare_count)
        fd_closep(&r->spare[--r->spare_count]);
}

static void route_free(struct edge *e, struct edge_route *r)
{
    (void)map_remove(&e->routes, str_of(r->id));
    if (r->envd_token)
        (void)map_remove(&e->tokens, str_of(r->envd_token));
    edge_wake_end(r, 502);
    end_connections(r, edge_conn_abort);
    free(r->traffic_token);
    free(r->mask_host);
    free(r->envd_token);
    free(r);
}

static int route_new(struct edge *e, struct str id, struct edge_route **out)
{
    struct edge_route *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    list_init(&r->conns);
    list_init(&r->idle);
    list_init(&r->waiting);
    list_init(&r->sleepers);
    if (!str_copy(id, r->id, sizeof r->id) || !map_put(&e->routes, str_of(r->id), r)) {
        free(r);
        return RAISE(-EINVAL);
    }
    *out = r;
    return 0;
}

/* An optional string of a message: replaces *slot. */
static void take_optional(const struct msg *m, uint16_t key, char **slot)
{
    struct str s;
    free(*slot);
    *slot = msg_get_str(m, key, &s) ? str_dup(s) : NULL;
}

/* Without memory it is found by its host name all the same. */
static void take_token(struct edge *e, const struct msg *m, struct edge_route *r)
{
    if (r->envd_token)
        (void)map_remove(&e->tokens, str_of(r->envd_token));
    take_optional(m, RK_ENVD_TOKEN, &r->envd_token);
    if (r->envd_token)
        (void)map_put(&e->tokens, str_of(r->envd_token), r);
}

static int on_set(struct edge *e, const struct msg *m)
{
    struct str id, dir;
    uint64_t state;
    if (!msg_get_str(m, RK_ID, &id) || !msg_get_str(m, RK_DIR, &dir) ||
        !msg_get_u64(m, RK_STATE, &state) || str_find(dir, '/') != dir.n)
        return RAISE(-EINVAL);
    struct edge_route *r = edge_route_get(e, id);
    int made = r ? 0 : route_new(e, id, &r);
    if (made < 0)
        return TRACE(made);
    if (!str_copy(dir, r->dir, sizeof r->dir))
        return RAISE(-EINVAL);
    if (r->state == ROUTE_RUNNING && state != ROUTE_RUNNING)
        end_connections(r, edge_conn_pause);
    r->state = (enum route_state)state;
    r->seen = e->sync;
    take_optional(m, RK_TRAFFIC_TOKEN, &r->traffic_token);
    take_optional(m, RK_MASK_HOST, &r->mask_host);
    take_token(e, m, r);
    edge_wake_changed(e, r);
    return 0;
}

static int on_drop(struct edge *e, const struct msg *m)
{
    struct str id;
    if (!msg_get_str(m, RK_ID, &id))
        return RAISE(-EINVAL);
    struct edge_route *r = edge_route_get(e, id);
    if (r)
        route_free(e, r);
    return 0;
}

/* The table is whole: what was not named again is gone. */
static int on_synced(struct edge *e, const struct msg *m)
{
    (void)m;
    bool again = true;
    while (again) { /* the map may not change while it is walked */
        struct edge_route *stale = NULL;
        MAP_EACH(i, &e->routes) {
            struct edge_route *r = e->routes.slots[i].value;
            if (r->seen != e->sync)
                stale = r;
        }
        again = stale != NULL;
        if (stale)
            route_free(e, stale);
    }
    if (!e->is_synced)
        log_info("%u routes known; accepting", e->routes.len);
    e->is_synced = true;
    loop_fd_change(&e->listen_watch, EPOLLIN);
    return 0;
}

static const struct {
    uint16_t verb;
    int (*fn)(struct edge *e, const struct msg *m);
} verbs[] = {
    { ROUTE_SET, on_set },
    { ROUTE_DROP, on_drop },
    { ROUTE_SYNCED, on_synced },
};

static void on_message(struct link *k, const struct msg *m, int *fds, int fd_count)
{
    (void)fds;
    (void)fd_count;
    struct edge *e = k->data;
    int r = -ENOSYS;
    if (m->flags & MSG_REPLY) {
        if (m->verb == ROUTE_WAKE)
            edge_wake_answer(e, m);
        return;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (verbs[i].verb == m->verb)
            r = verbs[i].fn(e, m);
    if (m->tag == 0)
        return;
    msg_begin(&e->msg, m->verb, MSG_REPLY, m->tag, r);
    msg_end(&e->msg);
    (void)link_send(k, &e->msg, NULL, 0);
}

static void on_closed(struct link *k)
{
    struct edge *e = k->data;
    log_warn("control is away; serving the routes that are known");
    MAP_EACH(i, &e->routes)
        ((struct edge_route *)e->routes.slots[i].value)->wake_tag = 0; /* nobody will answer */
    (void)loop_timer_start(e->loop, &e->control_retry, RETRY_MS);
}

static void on_retry(struct loop_timer *t)
{
    static const struct link_ops ops = { .on_message = on_message, .on_closed = on_closed };
    struct edge *e = t->data;
    int fd = link_connect(e->spec.routes_path);
    e->sync++;
    if (fd < 0 || link_open(&e->control, e->loop, fd, &ops, e) < 0)
        (void)loop_timer_start(e->loop, &e->control_retry, RETRY_MS);
}

void edge_routes_start(struct edge *e)
{
    map_init(&e->routes);
    map_init(&e->tokens);
    e->control_retry = (struct loop_timer){ .fn = on_retry, .data = e };
    (void)loop_timer_start(e->loop, &e->control_retry, 0);
}

void edge_routes_deinit(struct edge *e)
{
    link_close(&e->control);
    loop_timer_cancel(&e->control_retry);
    e->sync++;
    (void)on_synced(e, NULL);
    map_deinit(&e->routes);
    map_deinit(&e->tokens);
}
