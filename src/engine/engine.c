#include "engine/engine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/op.h"
#include "engine/ns/ns_capture.h"
#include "engine/ns/ns_kept.h"
#include "engine/ns/ns_pause.h"
#include "gen/limits.h"

#define PEERS_MAX 256
#define END_STEP_MS 20
#define END_STEPS 500 /* ten seconds for all to die */

/* -- what sandboxes do -- */

static struct peer *peer_find(struct engine *e, uint64_t serial)
{
    LIST_EACH(it, &e->peers) {
        struct peer *p = LIST_OF(it, struct peer, node);
        if (p->serial == serial && link_is_open(&p->link))
            return p;
    }
    return NULL;
}

static bool waits_for_ready(const struct ask *a)
{
    return a->verb == ENGINE_CREATE || a->verb == ENGINE_CLAIM;
}

static void on_ready(void *data, struct box *b)
{
    struct engine *e = data;
    LIST_EACH_SAFE(it, &b->asks) {
        struct ask *a = LIST_OF(it, struct ask, node);
        struct peer *p = peer_find(e, a->peer);
        if (!waits_for_ready(a))
            continue;
        if (p) {
            reply_begin(e, a->verb, a->tag, 0);
            msg_u64(&e->out, EK_PID, (uint64_t)b->pid);
            reply_send(p, NULL, 0);
        }
        list_remove(&a->node);
        free(a);
    }
}

/* The first cause of a boot that failed; a request to end it is one as well. */
static void reply_failed(struct peer *p, const struct ask *a, const struct box *b)
{
    const struct fault *f = &b->op.fault;
    struct msg m = { .verb = a->verb, .tag = a->tag };
    if (f->code != FAULT_NONE)
        refuse(p, &m, f->err ? -f->err : -EIO, f->code, f->text);
    else
        refuse(p, &m, -ECANCELED, FAULT_CONFLICT, "the sandbox was ended meanwhile");
}

static void on_gone(void *data, struct box *b, const char *reason)
{
    struct engine *e = data;
    bool was_create = false;
    LIST_EACH_SAFE(it, &b->asks) {
        struct ask *a = LIST_OF(it, struct ask, node);
        struct peer *p = peer_find(e, a->peer);
        if (p && a->verb != ENGINE_DESTROY)
            reply_failed(p, a, b);
        else if (p) {
            reply_begin(e, a->verb, a->tag, 0);
            reply_send(p, NULL, 0);
        }
        was_create |= waits_for_ready(a);
        list_remove(&a->node);
        free(a);
    }
    if (b->is_asked || was_create)
        return;
    LIST_EACH(it, &e->peers) {
        struct peer *p = LIST_OF(it, struct peer, node);
        if (p->kind != PEER_CONTROL || !link_is_open(&p->link))
            continue;
        msg_begin(&e->out, ENGINE_EXITED, 0, 0, 0);
        msg_str(&e->out, EK_ID, str_of(b->id));
        msg_str(&e->out, EK_REASON, str_of(reason));
        event_send(e, p);
    }
}

/* Who waited for its stop and who waits for its end hear the same. */
static void on_kept(void *data, struct box *b, int status)
{
    struct engine *e = data;
    LIST_EACH_SAFE(it, &b->asks) {
        struct ask *a = LIST_OF(it, struct ask, node);
        struct peer *p = peer_find(e, a->peer);
        struct msg m = { .verb = a->verb, .tag = a->tag };
        if (p && b->is_destroyed && a->verb == ENGINE_STOP)
            refuse(p, &m, -ECANCELED, FAULT_CONFLICT, "the sandbox was ended meanwhile");
        else if (p)
            accept_plain(p, &m, a->verb == ENGINE_STOP ? status : 0);
        list_remove(&a->node);
        free(a);
    }
}

static void on_paused(void *data, struct list *asks, uint64_t freed)
{
    struct engine *e = data;
    LIST_EACH_SAFE(it, asks) {
        struct ask *a = LIST_OF(it, struct ask, node);
        struct peer *p = peer_find(e, a->peer);
        if (p) {
            reply_begin(e, a->verb, a->tag, 0);
            msg_u64(&e->out, EK_MEMORY_FREED, freed);
            reply_send(p, NULL, 0);
        }
        list_remove(&a->node);
        free(a);
    }
}

static void on_captured(void *data, struct capture *c, int status)
{
    struct engine *e = data;
    char text[128];
    (void)snprintf(text, sizeof text, "capturing its disk: %s", ns_work_text(status));
    LIST_EACH_SAFE(it, &c->asks) {
        struct ask *a = LIST_OF(it, struct ask, node);
        struct peer *p = peer_find(e, a->peer);
        struct msg m = { .verb = a->verb, .tag = a->tag };
        if (p && status < 0)
            refuse(p, &m, status, FAULT_INTERNAL, text);
        else if (p) {
            reply_begin(e, a->verb, a->tag, 0);
            msg_u64(&e->out, EK_DISK, c->bytes);
            reply_send(p, NULL, 0);
        }
        list_remove(&a->node);
        free(a);
    }
}

/* -- peers -- */

static void on_message(struct link *k, const struct msg *m, int *fds, int count)
{
    (void)fds;
    (void)count;
    engine_verb(k->data, m);
}

static void peer_reap(struct loop_task *t)
{
    struct peer *p = t->data;
    link_close(&p->link);
    list_remove(&p->node);
    p->engine->peer_count--;
    free(p);
}

static void on_closed(struct link *k)
{
    struct peer *p = k->data;
    loop_task_post(p->engine->loop, &p->reap);
}

static void peer_new(struct port *port, int fd)
{
    static const struct link_ops ops = { on_message, on_closed };
    struct engine *e = port->engine;
    struct peer *p = calloc(1, sizeof *p);
    if (!p || e->peer_count == PEERS_MAX) {
        (void)close(fd);
        free(p);
        return;
    }
    *p = (struct peer){ .engine = e, .kind = port->kind, .serial = ++e->next_serial };
    p->reap = (struct loop_task){ .fn = peer_reap, .data = p };
    list_push(&e->peers, &p->node);
    e->peer_count++;
    int r = link_open(&p->link, e->loop, fd, &ops, p);
    /* The socket's mode lets only its owner connect; this is the second lock. */
    if (r == 0 && p->link.peer_uid != 0 && p->link.peer_uid != port->uid) {
        log_warn("user %u may not speak to the engine", (unsigned)p->link.peer_uid);
        r = -EPERM;
    }
    if (r < 0)
        loop_task_post(e->loop, &p->reap);
}

static void on_accept(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct port *port = w->data;
    int fd = accept4(port->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        peer_new(port, fd);
}

static int port_open(struct engine *e, struct port *port, unsigned kind, uid_t uid,
                     const char *name)
{
    char path[256];
    *port = (struct port){ .engine = e, .kind = kind, .uid = uid, .fd = -1 };
    int n = snprintf(path, sizeof path, "%s/run/%s", e->ns.host.config->state, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return RAISE(-ENAMETOOLONG);
    port->fd = link_listen(path, uid);
    if (port->fd < 0)
        return TRACE(port->fd);
    port->watch = (struct loop_fd){ .fn = on_accept, .data = port };
    return TRACE(loop_fd_start(e->loop, &port->watch, port->fd, EPOLLIN));
}

int engine_new(struct engine **out, struct loop *l, const struct engine_config *config)
{
    static const struct box_ops ops = { on_ready, on_gone, on_kept, on_captured, on_paused };
    CLEANUP(freep) struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return RAISE(-ENOMEM);
    e->loop = l;
    e->ports[0].fd = e->ports[1].fd = -1;
    list_init(&e->peers);
    buf_init(&e->out, LIMIT_IPC_MESSAGE_SIZE);
    int r = ns_init(&e->ns, l, config, &ops, e);
    if (r == 0)
        r = port_open(e, &e->ports[0], PEER_CONTROL, config->control_uid, "engine.sock");
    if (r == 0)
        r = port_open(e, &e->ports[1], PEER_EDGE, config->edge_uid, "ports.sock");
    if (r < 0)
        return TRACE(r); /* the process ends; nothing has been started that would not be found */
    *out = TAKE_PTR(e);
    return 0;
}

static void on_end(struct loop_timer *t)
{
    struct engine *e = t->data;
    MAP_EACH(i, &e->ns.boxes) {
        struct box *b = e->ns.boxes.slots[i].value;
        if (!b->is_frozen || ns_kept_stop(b) < 0)
            ns_box_kill(b);
    }
    if (e->ns.boxes.len == 0 || ++e->end_steps > END_STEPS)
        loop_stop(e->loop);
    else
        (void)loop_timer_start(e->loop, t, END_STEP_MS);
}

void engine_end(struct engine *e)
{
    if (e->end_steps)
        return;
    e->end_steps = 1;
    for (int i = 0; i < 2; i++) /* nobody may ask for another one */
        loop_fd_cancel(&e->ports[i].watch);
    e->end_timer = (struct loop_timer){ .fn = on_end, .data = e };
    (void)loop_timer_start(e->loop, &e->end_timer, 0);
}

static void asks_free(struct list *asks)
{
    LIST_EACH_SAFE(it, asks)
        free(LIST_OF(it, struct ask, node));
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    loop_timer_cancel(&e->end_timer);
    for (int i = 0; i < 2; i++) {
        loop_fd_cancel(&e->ports[i].watch);
        fd_closep(&e->ports[i].fd);
    }
    LIST_EACH_SAFE(it, &e->peers) {
        struct peer *p = LIST_OF(it, struct peer, node);
        loop_task_cancel(&p->reap);
        link_close(&p->link);
        list_remove(&p->node);
        free(p);
    }
    MAP_EACH(i, &e->ns.boxes)
        asks_free(&((struct box *)e->ns.boxes.slots[i].value)->asks);
    LIST_EACH(it, &e->ns.pauses)
        asks_free(&LIST_OF(it, struct pause, node)->asks);
    LIST_EACH(it, &e->ns.captures)
        asks_free(&LIST_OF(it, struct capture, node)->asks);
    if (e->end_steps)
        ns_purge(&e->ns);
    ns_deinit(&e->ns);
    buf_deinit(&e->out);
    free(e);
}
