#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "edge/edge.h"
#include "ipc/engine_proto.h"

#define RETRY_MS 50
#define ASK_COUNT 4u /* sockets asked for at a time: a browser opens about six */
#define ASK_DEADLINE_MS 5000

/* A question to the engine. It outlives the route when that is dropped meanwhile: it holds the id.
 */
struct port_ask {
    struct edge *edge;
    char key[24]; /* tag in decimal, the key in edge.port_asks */
    char id[40];
    struct loop_timer timer;
};

static void ask_free(struct port_ask *a)
{
    (void)map_remove(&a->edge->port_asks, str_of(a->key));
    loop_timer_cancel(&a->timer);
    free(a);
}

/* Tells everyone who waits for a socket of the route. */
static void wake_waiting(struct edge_route *r, int err)
{
    r->asking = false;
    struct list waiting;
    list_init(&waiting);
    while (!list_empty(&r->waiting)) {
        struct list *it = r->waiting.next;
        list_remove(it);
        list_push(&waiting, it);
    }
    while (!list_empty(&waiting)) {
        struct edge_conn *c = edge_conn_of_wait(waiting.next);
        list_remove(waiting.next);
        edge_conn_port(c, err);
    }
}

static void ask_ended(struct port_ask *a, int err)
{
    struct edge_route *r = edge_route_get(a->edge, str_of(a->id));
    ask_free(a);
    if (r)
        wake_waiting(r, err);
}

static void on_timer(struct loop_timer *t) { ask_ended(t->data, -ETIMEDOUT); }

static int ask(struct edge *e, struct edge_route *r)
{
    CLEANUP(freep) struct port_ask *a = calloc(1, sizeof *a);
    if (!a || e->port_asks.len >= LIMIT_EDGE_PENDING)
        return RAISE(-ENOBUFS);
    uint64_t tag = ++e->next_tag;
    a->edge = e;
    (void)snprintf(a->key, sizeof a->key, "%llu", (unsigned long long)tag);
    (void)str_copy(str_of(r->id), a->id, sizeof a->id);
    a->timer = (struct loop_timer){ .fn = on_timer, .data = a };
    msg_begin(&e->msg, ENGINE_PORT, 0, tag, 0);
    msg_str(&e->msg, EK_ID, str_of(r->id));
    msg_u64(&e->msg, EK_COUNT, ASK_COUNT);
    msg_end(&e->msg);
    int sent = link_send(&e->engine, &e->msg, NULL, 0);
    if (sent < 0)
        return TRACE(sent);
    if (!map_put(&e->port_asks, str_of(a->key), a))
        return RAISE(-ENOMEM);
    (void)loop_timer_start(e->loop, &a->timer, ASK_DEADLINE_MS);
    r->asking = true;
    (void)TAKE_PTR(a);
    return 0;
}

int edge_port_get(struct edge *e, struct edge_route *r, bool *is_v6)
{
    if (r->spare_count) {
        *is_v6 = r->spare_v6;
        return TAKE_FD(r->spare[--r->spare_count]);
    }
    int sent = r->asking ? 0 : ask(e, r);
    return sent < 0 ? TRACE(sent) : -EAGAIN;
}

static void on_message(struct link *k, const struct msg *m, int *fds, int fd_count)
{
    struct edge *e = k->data;
    char key[24];
    (void)snprintf(key, sizeof key, "%llu", (unsigned long long)m->tag);
    struct port_ask *a = map_get(&e->port_asks, str_of(key));
    if (!a || m->verb != ENGINE_PORT)
        return; /* asked too long ago: the link closes the descriptors */
    struct edge_route *r = edge_route_get(e, str_of(a->id));
    uint64_t family;
    (void)msg_get_u64(m, EK_FAMILY, &family);
    for (int i = 0; r && i < fd_count && r->spare_count < 16; i++) {
        r->spare_v6 = family == AF_INET6;
        r->spare[r->spare_count++] = TAKE_FD(fds[i]);
    }
    ask_ended(a, m->status < 0 ? m->status : fd_count ? 0 : -EPROTO);
}

static void on_closed(struct link *k)
{
    struct edge *e = k->data;
    log_warn("the engine is away");
    bool again = true;
    while (again) {
        struct port_ask *a = NULL;
        MAP_EACH(i, &e->port_asks)
            a = e->port_asks.slots[i].value;
        again = a != NULL;
        if (a)
            ask_ended(a, -ENOTCONN);
    }
    (void)loop_timer_start(e->loop, &e->engine_retry, RETRY_MS);
}

static void on_retry(struct loop_timer *t)
{
    static const struct link_ops ops = { .on_message = on_message, .on_closed = on_closed };
    struct edge *e = t->data;
    int fd = link_connect(e->spec.ports_path);
    if (fd < 0 || link_open(&e->engine, e->loop, fd, &ops, e) < 0)
        (void)loop_timer_start(e->loop, &e->engine_retry, RETRY_MS);
}

void edge_ports_start(struct edge *e)
{
    map_init(&e->port_asks);
    e->engine_retry = (struct loop_timer){ .fn = on_retry, .data = e };
    (void)loop_timer_start(e->loop, &e->engine_retry, 0);
}

void edge_ports_deinit(struct edge *e)
{
    if (link_is_open(&e->engine)) {
        link_close(&e->engine);
        on_closed(&e->engine);
    }
    loop_timer_cancel(&e->engine_retry);
    map_deinit(&e->port_asks);
}
