#include "sandbox/route_link.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/map.h"
#include "ipc/link.h"

enum { PEERS = 64 }; /* bits of route_change.waiting */

struct route_peer {
    struct route_link *owner;
    struct link link;
    uint32_t number; /* of the connection: slots are used again */
};

struct route_link {
    struct loop *loop;
    const struct route_link_ops *ops;
    void *data;
    int fd;
    struct loop_fd watch;
    struct loop_timer timer; /* for the oldest of `changes` */
    struct list changes;     /* oldest first */
    struct map by_tag;
    struct buf out;
    uint64_t next_tag;
    uint32_t next_number, peer_count;
    bool is_telling; /* inside on_edge */
    struct route_peer peers[PEERS];
};

static struct str key_of(const struct route_change *c)
{
    return str_make((const char *)&c->tag, sizeof c->tag);
}

void route_change_cancel(struct route_change *c)
{
    if (!c->link)
        return;
    (void)map_remove(&c->link->by_tag, key_of(c));
    list_remove(&c->node);
    loop_task_cancel(&c->task);
    c->link = NULL;
}

static void on_done(struct loop_task *t)
{
    struct route_change *c = t->data;
    route_change_cancel(c);
    c->fn(c);
}

/* Edge `slot` has replied, or is gone. */
static void heard(struct route_change *c, uint32_t slot)
{
    c->waiting &= ~(UINT64_C(1) << slot);
    if (c->waiting == 0)
        loop_task_post(c->link->loop, &c->task);
}

static void peer_gone(struct route_peer *p)
{
    struct route_link *k = p->owner;
    uint32_t slot = (uint32_t)(p - k->peers);
    k->peer_count--;
    log_info("edge %u is gone", p->number);
    LIST_EACH(it, &k->changes)
        heard(LIST_OF(it, struct route_change, node), slot);
}

static void on_closed(struct link *l) { peer_gone(l->data); }

static void on_message(struct link *l, const struct msg *m, int *fds, int fd_count)
{
    struct route_peer *p = l->data;
    struct route_link *k = p->owner;
    struct str id;
    (void)fds;
    (void)fd_count;
    if (m->flags & MSG_REPLY) {
        struct route_change *c =
            map_get(&k->by_tag, str_make((const char *)&m->tag, sizeof m->tag));
        if (c)
            heard(c, (uint32_t)(p - k->peers));
    } else if (m->verb == ROUTE_WAKE && m->tag && msg_get_str(m, RK_ID, &id)) {
        k->ops->on_wake(k->data, id, p->number, m->tag);
    } else if (m->tag) {
        msg_begin(&k->out, m->verb, MSG_REPLY, m->tag, -ENOSYS);
        msg_end(&k->out);
        (void)link_send(l, &k->out, NULL, 0);
    }
}

static const struct link_ops peer_ops = { .on_message = on_message, .on_closed = on_closed };

static void on_timer(struct loop_timer *t)
{
    struct route_link *k = t->data;
    int64_t now = loop_now_ms(k->loop);
    uint64_t late = 0;
    LIST_EACH(it, &k->changes) {
        struct route_change *c = LIST_OF(it, struct route_change, node);
        if (c->due_ms > now) {
            (void)loop_timer_start(k->loop, &k->timer, c->due_ms - now);
            break;
        }
        late |= c->waiting;
    }
    for (uint32_t slot = 0; slot < PEERS; slot++) {
        if (!(late & (UINT64_C(1) << slot)))
            continue;
        log_error("edge %u (pid %d) does not acknowledge routes; cut off", k->peers[slot].number,
                  (int)k->peers[slot].link.peer_pid);
        link_close(&k->peers[slot].link);
        peer_gone(&k->peers[slot]);
    }
}

struct buf *route_link_begin(struct route_link *k, enum route_verb verb)
{
    /* what a new edge is told needs no reply: changes queue behind it */
    msg_begin(&k->out, (uint16_t)verb, 0, k->is_telling ? 0 : ++k->next_tag, 0);
    return &k->out;
}

void route_link_publish(struct route_link *k, struct route_change *c)
{
    route_change_cancel(c);
    c->link = k;
    c->tag = k->next_tag;
    c->waiting = 0;
    c->due_ms = loop_now_ms(k->loop) + ROUTE_ACK_MS;
    c->task.fn = on_done;
    c->task.data = c;
    list_init(&c->node);
    msg_end(&k->out);
    bool kept = map_put(&k->by_tag, key_of(c), c);
    for (uint32_t slot = 0; kept && slot < PEERS; slot++)
        if (link_is_open(&k->peers[slot].link) &&
            link_send(&k->peers[slot].link, &k->out, NULL, 0) == 0)
            c->waiting |= UINT64_C(1) << slot;
    if (c->waiting == 0) {
        loop_task_post(k->loop, &c->task);
        return;
    }
    if (!k->timer.loop)
        (void)loop_timer_start(k->loop, &k->timer, ROUTE_ACK_MS);
    list_push(&k->changes, &c->node);
}

void route_link_tell(struct route_link *k, struct route_peer *peer)
{
    msg_end(&k->out);
    (void)link_send(&peer->link, &k->out, NULL, 0);
}

static void on_accept(struct loop_fd *w, uint32_t events)
{
    struct route_link *k = w->data;
    (void)events;
    int fd = accept4(k->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct route_peer *p = NULL;
    for (uint32_t slot = 0; slot < PEERS && !p; slot++)
        if (!link_is_open(&k->peers[slot].link))
            p = &k->peers[slot];
    if (!p) {
        log_error("more than %d edges; one refused", PEERS);
        fd_closep(&fd);
        return;
    }
    *p = (struct route_peer){ .owner = k, .number = ++k->next_number };
    if (link_open(&p->link, k->loop, fd, &peer_ops, p) < 0)
        return;
    k->peer_count++;
    log_info("edge %u (pid %d) is there", p->number, (int)p->link.peer_pid);
    k->is_telling = true;
    k->ops->on_edge(k->data, p);
    (void)route_link_begin(k, ROUTE_SYNCED);
    route_link_tell(k, p);
    k->is_telling = false;
}

void route_wake_answer(struct route_link *k, uint32_t peer, uint64_t tag, const struct fault *fault)
{
    for (uint32_t slot = 0; slot < PEERS; slot++) {
        struct route_peer *p = &k->peers[slot];
        if (p->number != peer || !link_is_open(&p->link))
            continue;
        bool good = fault->code == FAULT_NONE;
        msg_begin(&k->out, ROUTE_WAKE, MSG_REPLY, tag, good ? 0 : -ECANCELED);
        if (!good) {
            msg_u64(&k->out, RK_FAULT, fault->code);
            msg_str(&k->out, RK_TEXT, str_of(fault->text));
        }
        msg_end(&k->out);
        (void)link_send(&p->link, &k->out, NULL, 0);
    }
}

struct route_link *route_link_new(struct loop *l, int fd, const struct route_link_ops *ops,
                                  void *data)
{
    struct route_link *k = calloc(1, sizeof *k);
    if (!k) {
        fd_closep(&fd);
        return NULL;
    }
    k->loop = l;
    k->ops = ops;
    k->data = data;
    k->fd = fd;
    k->watch = (struct loop_fd){ .fn = on_accept, .data = k };
    k->timer = (struct loop_timer){ .fn = on_timer, .data = k };
    list_init(&k->changes);
    map_init(&k->by_tag);
    buf_init(&k->out, 0);
    int r = loop_fd_start(l, &k->watch, fd, EPOLLIN);
    if (r < 0) {
        route_link_free(k);
        errno = -r;
        return NULL;
    }
    return k;
}

void route_link_free(struct route_link *k)
{
    if (!k)
        return;
    for (uint32_t slot = 0; slot < PEERS; slot++)
        link_close(&k->peers[slot].link);
    LIST_EACH_SAFE(it, &k->changes)
        route_change_cancel(LIST_OF(it, struct route_change, node));
    loop_timer_cancel(&k->timer);
    loop_fd_cancel(&k->watch);
    fd_closep(&k->fd);
    map_deinit(&k->by_tag);
    buf_deinit(&k->out);
    free(k);
}

uint32_t route_link_edges(const struct route_link *k) { return k->peer_count; }
