#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/op.h"
#include "engine/ns/ns_box.h"
#include "engine/ns/ns_disk.h"
#include "engine/ns/ns_net.h"
#include "gen/limits.h"
#include "ipc/engine_proto.h"
#include "ipc/link.h"

#define PEERS_MAX 256
#define END_STEP_MS 20
#define END_STEPS 500 /* ten seconds for all to die */

enum { PEER_CONTROL = 1, PEER_EDGE = 2 };

/* A listening socket and whom it is for. */
struct port {
    struct engine *engine;
    unsigned kind; /* PEER_* */
    uid_t uid;
    int fd;
    struct loop_fd watch;
};
struct peer {
    struct list node;
    struct engine *engine;
    struct link link;
    struct loop_task reap; /* frees it outside of its own callbacks */
    unsigned kind;
    uint64_t serial; /* names it in asks: a peer that is gone gets no answer */
};
/* A request whose answer comes later. */
struct ask {
    struct list node; /* in box.asks */
    uint64_t peer, tag;
    uint16_t verb;
};
struct engine {
    struct loop *loop;
    struct ns ns;
    struct port ports[2];
    struct list peers;
    uint32_t peer_count;
    uint64_t next_serial;
    struct buf out;
    struct loop_timer end_timer;
    uint32_t end_steps; /* not 0: ending with all sandboxes */
};

/* -- answers -- */

static void reply_begin(struct engine *e, uint16_t verb, uint64_t tag, int status)
{
    msg_begin(&e->out, verb, MSG_REPLY, tag, status);
}

static void reply_send(struct peer *p, const int *fds, int count)
{
    msg_end(&p->engine->out);
    (void)link_send(&p->link, &p->engine->out, fds, count);
}

/* An answer that says what went wrong. */
static void refuse(struct peer *p, const struct msg *m, int status, enum fault_code code,
                   const char *text)
{
    struct engine *e = p->engine;
    reply_begin(e, m->verb, m->tag, status);
    msg_u64(&e->out, EK_FAULT, code);
    msg_str(&e->out, EK_TEXT, str_of(text));
    reply_send(p, NULL, 0);
}

static void accept_plain(struct peer *p, const struct msg *m, int status)
{
    if (status < 0) {
        refuse(p, m, status, FAULT_INTERNAL, strerror(-status));
        return;
    }
    reply_begin(p->engine, m->verb, m->tag, 0);
    reply_send(p, NULL, 0);
}

static struct peer *peer_find(struct engine *e, uint64_t serial)
{
    LIST_EACH(it, &e->peers) {
        struct peer *p = LIST_OF(it, struct peer, node);
        if (p->serial == serial && link_is_open(&p->link))
            return p;
    }
    return NULL;
}

static int ask_add(struct peer *p, const struct msg *m, struct box *b)
{
    struct ask *a = calloc(1, sizeof *a);
    if (!a)
        return RAISE(-ENOMEM);
    *a = (struct ask){ .peer = p->serial, .tag = m->tag, .verb = m->verb };
    list_push(&b->asks, &a->node);
    return 0;
}

/* -- verbs -- */

static void event_send(struct engine *e, struct peer *p)
{
    msg_end(&e->out);
    (void)link_send(&p->link, &e->out, NULL, 0);
}

static void do_hello(struct peer *p, const struct msg *m)
{
    struct engine *e = p->engine;
    MAP_EACH(i, &e->ns.boxes) {
        const struct box *b = e->ns.boxes.slots[i].value;
        if (b->state != BOX_RUNNING)
            continue;
        msg_begin(&e->out, ENGINE_FOUND, 0, 0, 0);
        msg_str(&e->out, EK_ID, str_of(b->id));
        msg_u64(&e->out, EK_FROZEN, b->is_frozen);
        event_send(e, p);
    }
    reply_begin(e, m->verb, m->tag, 0);
    msg_str(&e->out, EK_BOOT_ID, str_of(e->ns.host.boot_id));
    msg_str(&e->out, EK_ISOLATION, STR("namespaces"));
    reply_send(p, NULL, 0);
}

static bool id_is_good(struct str id)
{
    for (size_t i = 0; i < id.n; i++)
        if (!((id.p[i] >= 'a' && id.p[i] <= 'z') || (id.p[i] >= '0' && id.p[i] <= '9')))
            return false;
    return id.n >= 1 && id.n < NS_ID_SIZE;
}

static const char *spec_get(const struct msg *m, struct box_spec *s)
{
    uint64_t internet = 1;
    struct cgroup_limits *l = &s->limits;
    if (!msg_get_str(m, EK_ID, &s->id) || !id_is_good(s->id))
        return "the sandbox id is not 1 to 32 of a-z and 0-9";
    if (!msg_get_str(m, EK_TEMPLATE, &s->template) || !str_starts(s->template, STR("/")))
        return "the template is not an absolute path";
    if (!msg_get_str(m, EK_BOOT, &s->boot) || s->boot.n > LIMIT_SANDBOX_BOOT_SIZE)
        return "the boot message is missing or too long";
    if (!msg_get_u64(m, EK_MEMORY, &l->memory_bytes) || l->memory_bytes < 16u << 20)
        return "a sandbox needs at least 16 MiB of memory";
    if (!msg_get_u64(m, EK_CPUS_MILLI, &l->cpus_milli) || l->cpus_milli < 10 ||
        l->cpus_milli > 1000000)
        return "the processor share is not between 0.01 and 1000";
    if (!msg_get_u64(m, EK_PIDS, &l->pids) || l->pids < 8 || l->pids > 1u << 22)
        return "a sandbox needs at least 8 tasks";
    if (!msg_get_u64(m, EK_DISK, &s->disk_bytes) || s->disk_bytes < 8u << 20 ||
        s->disk_bytes > 1ull << 44 || s->disk_bytes % 4096)
        return "the disk is not between 8 MiB and 16 TiB, in whole pages";
    (void)msg_get_u64(m, EK_INTERNET, &internet);
    s->internet = internet != 0;
    return NULL;
}

static void do_create(struct peer *p, const struct msg *m)
{
    struct box_spec spec = { 0 };
    struct op op = { 0 };
    struct box *b = NULL;
    const char *wrong = spec_get(m, &spec);
    if (wrong) {
        refuse(p, m, -EINVAL, FAULT_INVALID, wrong);
        return;
    }
    int r = ns_box_start(&p->engine->ns, &op, &spec, &b);
    if (r == 0)
        r = ask_add(p, m, b);
    if (r == -EEXIST)
        refuse(p, m, r, FAULT_CONFLICT, "this sandbox exists already");
    else if (r < 0)
        refuse(p, m, r, op.fault.code ? op.fault.code : FAULT_CREATE_FAILED, op.fault.text);
}

static struct box *box_of(struct peer *p, const struct msg *m, bool running)
{
    struct str id;
    struct box *b = msg_get_str(m, EK_ID, &id) ? ns_box_get(&p->engine->ns, id) : NULL;
    return b && (!running || b->state == BOX_RUNNING) ? b : NULL;
}

static void do_destroy(struct peer *p, const struct msg *m)
{
    struct box *b = box_of(p, m, false);
    int r = b ? ask_add(p, m, b) : 0;
    if (!b || r < 0)
        accept_plain(p, m, r);
    else
        ns_box_kill(b);
}

static void do_freeze(struct peer *p, const struct msg *m)
{
    struct box *b = box_of(p, m, true);
    if (!b)
        refuse(p, m, -ENOENT, FAULT_NOT_FOUND, "no such sandbox");
    else
        accept_plain(p, m, ns_box_freeze(b, m->verb == ENGINE_FREEZE));
}

static void do_stats(struct peer *p, const struct msg *m)
{
    struct engine *e = p->engine;
    struct box *b = box_of(p, m, true);
    struct cgroup_usage u;
    uint64_t used = 0, total = 0;
    if (!b) {
        refuse(p, m, -ENOENT, FAULT_NOT_FOUND, "no such sandbox");
        return;
    }
    (void)cgroup_usage(&e->ns.host.cgroups, b->slot, &u);
    CLEANUP(fd_closep) int root = -1;
    if (b->disk < 0) { /* adopted: its overlay tells of the same file system */
        char path[32];
        (void)snprintf(path, sizeof path, "/proc/%d/root", (int)b->pid);
        root = open(path, O_PATH | O_CLOEXEC);
    }
    (void)ns_disk_usage(b->disk >= 0 ? b->disk : root, &used, &total);
    reply_begin(e, m->verb, m->tag, 0);
    msg_u64(&e->out, EK_MEMORY, u.memory_bytes);
    msg_u64(&e->out, EK_MEMORY_CACHE, u.cache_bytes);
    msg_u64(&e->out, EK_CPU_US, u.cpu_us);
    msg_u64(&e->out, EK_PIDS, u.pids);
    msg_u64(&e->out, EK_DISK, used);
    msg_u64(&e->out, EK_DISK_TOTAL, total);
    reply_send(p, NULL, 0);
}

static void do_port(struct peer *p, const struct msg *m)
{
    struct engine *e = p->engine;
    struct box *b = box_of(p, m, true);
    uint64_t count = 0;
    int fds[LINK_FDS], family = 0;
    if (!b || b->netns < 0) {
        refuse(p, m, -ENOENT, FAULT_NOT_FOUND, "no such sandbox");
        return;
    }
    if (!msg_get_u64(m, EK_COUNT, &count) || count < 1 || count > LINK_FDS) {
        refuse(p, m, -EINVAL, FAULT_INVALID, "1 to 16 sockets at a time");
        return;
    }
    int r = ns_net_sockets(&e->ns.host, b->netns, fds, (int)count, &family);
    if (r < 0) {
        accept_plain(p, m, r);
        return;
    }
    reply_begin(e, m->verb, m->tag, 0);
    msg_u64(&e->out, EK_FAMILY, (uint64_t)family);
    reply_send(p, fds, (int)count);
    for (int i = 0; i < (int)count; i++)
        fd_closep(&fds[i]);
}

static const struct {
    uint16_t verb;
    unsigned who;
    void (*fn)(struct peer *p, const struct msg *m);
} verbs[] = {
    { ENGINE_HELLO, PEER_CONTROL, do_hello },           { ENGINE_CREATE, PEER_CONTROL, do_create },
    { ENGINE_DESTROY, PEER_CONTROL, do_destroy },       { ENGINE_FREEZE, PEER_CONTROL, do_freeze },
    { ENGINE_THAW, PEER_CONTROL, do_freeze },           { ENGINE_STATS, PEER_CONTROL, do_stats },
    { ENGINE_PORT, PEER_CONTROL | PEER_EDGE, do_port },
};

static void on_message(struct link *k, const struct msg *m, int *fds, int count)
{
    struct peer *p = k->data;
    (void)fds;
    (void)count;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (verbs[i].verb == m->verb && (verbs[i].who & p->kind) && !(m->flags & MSG_REPLY)) {
            verbs[i].fn(p, m);
            return;
        }
    refuse(p, m, -EOPNOTSUPP, FAULT_FORBIDDEN, "this may not be asked here");
}

/* -- what sandboxes do -- */

static void on_ready(void *data, struct box *b)
{
    struct engine *e = data;
    LIST_EACH_SAFE(it, &b->asks) {
        struct ask *a = LIST_OF(it, struct ask, node);
        struct peer *p = peer_find(e, a->peer);
        if (a->verb != ENGINE_CREATE)
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
        refuse(p, &m, -ECANCELED, FAULT_CONFLICT, "the sandbox was ended while it started");
}

static void on_gone(void *data, struct box *b, const char *reason)
{
    struct engine *e = data;
    bool was_create = false;
    LIST_EACH_SAFE(it, &b->asks) {
        struct ask *a = LIST_OF(it, struct ask, node);
        struct peer *p = peer_find(e, a->peer);
        if (p && a->verb == ENGINE_CREATE)
            reply_failed(p, a, b);
        else if (p) {
            reply_begin(e, a->verb, a->tag, 0);
            reply_send(p, NULL, 0);
        }
        was_create |= a->verb == ENGINE_CREATE;
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

/* -- peers -- */

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
    static const struct box_ops ops = { on_ready, on_gone };
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
    MAP_EACH(i, &e->ns.boxes)
        ns_box_kill(e->ns.boxes.slots[i].value);
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
    MAP_EACH(i, &e->ns.boxes) {
        struct box *b = e->ns.boxes.slots[i].value;
        LIST_EACH_SAFE(it, &b->asks)
            free(LIST_OF(it, struct ask, node));
    }
    if (e->end_steps)
        ns_purge(&e->ns);
    ns_deinit(&e->ns);
    buf_deinit(&e->out);
    free(e);
}
