#include "engine/engine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/op.h"
#include "engine/ns/ns_capture.h"
#include "engine/ns/ns_disk.h"
#include "engine/ns/ns_kept.h"
#include "engine/ns/ns_net.h"
#include "engine/ns/ns_pause.h"
#include "engine/ns/ns_root.h"
#include "gen/limits.h"

#define BOOT_MS_MAX 86400000u

/* -- answers -- */

void reply_begin(struct engine *e, uint16_t verb, uint64_t tag, int status)
{
    msg_begin(&e->out, verb, MSG_REPLY, tag, status);
}

void reply_send(struct peer *p, const int *fds, int count)
{
    msg_end(&p->engine->out);
    (void)link_send(&p->link, &p->engine->out, fds, count);
}

void refuse(struct peer *p, const struct msg *m, int status, enum fault_code code, const char *text)
{
    struct engine *e = p->engine;
    reply_begin(e, m->verb, m->tag, status);
    msg_u64(&e->out, EK_FAULT, code);
    msg_str(&e->out, EK_TEXT, str_of(text));
    reply_send(p, NULL, 0);
}

void accept_plain(struct peer *p, const struct msg *m, int status)
{
    if (status < 0) {
        refuse(p, m, status, FAULT_INTERNAL, strerror(-status));
        return;
    }
    reply_begin(p->engine, m->verb, m->tag, 0);
    reply_send(p, NULL, 0);
}

void event_send(struct engine *e, struct peer *p)
{
    msg_end(&e->out);
    (void)link_send(&p->link, &e->out, NULL, 0);
}

static int ask_add(struct peer *p, const struct msg *m, struct list *asks)
{
    struct ask *a = calloc(1, sizeof *a);
    if (!a)
        return RAISE(-ENOMEM);
    *a = (struct ask){ .peer = p->serial, .tag = m->tag, .verb = m->verb };
    list_push(asks, &a->node);
    return 0;
}

/* -- verbs -- */

static void hello_layer(void *data, const char *name)
{
    struct peer *p = data;
    msg_begin(&p->engine->out, ENGINE_LAYER, 0, 0, 0);
    msg_str(&p->engine->out, EK_LAYER, str_of(name));
    event_send(p->engine, p);
}

static void found_send(struct peer *p, const char *id, uint16_t key, uint64_t value)
{
    struct buf *out = &p->engine->out;
    msg_begin(out, ENGINE_FOUND, 0, 0, 0);
    msg_str(out, EK_ID, str_of(id));
    msg_u64(out, key, value);
    event_send(p->engine, p);
}

/* What boots from its kept disk is kept until it is ready. */
static void hello_kept(void *data, const char *id)
{
    struct peer *p = data;
    const struct box *b = ns_box_get(&p->engine->ns, str_of(id));
    if (!b || (b->state != BOX_RUNNING && !b->is_stopping))
        found_send(p, id, EK_KEPT, 1);
}

static void hello_boxes(struct peer *p)
{
    struct engine *e = p->engine;
    MAP_EACH(i, &e->ns.boxes) {
        const struct box *b = e->ns.boxes.slots[i].value;
        if (b->is_stopping && !b->is_destroyed)
            found_send(p, b->id, EK_KEPT, 1);
        else if ((b->state == BOX_RUNNING || b->state == BOX_BOOTING) && b->is_warm)
            found_send(p, b->id, EK_WARM, 1); /* nobody else knows it, also while it starts */
        else if (b->state == BOX_RUNNING)
            found_send(p, b->id, EK_FROZEN, b->is_frozen);
    }
}

static void do_hello(struct peer *p, const struct msg *m)
{
    struct engine *e = p->engine;
    hello_boxes(p);
    ns_kept_each(&e->ns.host, hello_kept, p);
    ns_layers_each(&e->ns.host, hello_layer, p);
    ns_roots_each(&e->ns.host, hello_layer, p);
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

static uint64_t number_or(const struct msg *m, uint16_t key, uint64_t absent)
{
    uint64_t n;
    return msg_get_u64(m, key, &n) ? n : absent;
}

static const char *layers_get(const struct msg *m, struct box_spec *s)
{
    struct str rest;
    if (!msg_get_str(m, EK_LAYERS, &rest))
        return NULL;
    while (rest.n) {
        if (s->layer_count == LIMIT_LAYERS)
            return "a sandbox stands on more layers than the limit LAYERS allows; build a template "
                   "of them";
        struct str *one = &s->layers[s->layer_count++];
        (void)str_cut(rest, ',', one, &rest);
        if (!id_is_good(*one))
            return "the name of a layer is not 1 to 32 of a-z and 0-9";
    }
    return NULL;
}

static const char *spec_get(const struct msg *m, struct box_spec *s)
{
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
    s->boot_ms = number_or(m, EK_BOOT_MS, LIMIT_SANDBOX_BOOT_MS);
    if (s->boot_ms < 1 || s->boot_ms > BOOT_MS_MAX)
        return "the time to become ready is not between 1 ms and a day";
    s->internet = number_or(m, EK_INTERNET, 1) != 0;
    s->is_warm = number_or(m, EK_WARM, 0) != 0;
    return layers_get(m, s);
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
    int r = number_or(m, EK_KEPT, 0) ? ns_kept_boot(&p->engine->ns, &op, &spec, &b)
                                     : ns_box_start(&p->engine->ns, &op, &spec, &b);
    if (r == 0)
        r = ask_add(p, m, &b->asks);
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
    struct str id;
    struct box *b = box_of(p, m, false);
    int r = b ? ask_add(p, m, &b->asks) : 0;
    if (!b && msg_get_str(m, EK_ID, &id))
        r = ns_kept_remove(&p->engine->ns.host, id);
    if (!b || r < 0)
        accept_plain(p, m, r);
    else
        ns_box_destroy(b);
}

static void do_freeze(struct peer *p, const struct msg *m)
{
    struct box *b = box_of(p, m, true);
    struct pause *waits = NULL;
    if (!b) {
        refuse(p, m, -ENOENT, FAULT_NOT_FOUND, "no such sandbox");
        return;
    }
    int r = m->verb == ENGINE_FREEZE ? ns_pause_freeze(b, &waits) : ns_pause_thaw(b);
    if (!waits || (r = ask_add(p, m, &waits->asks)) < 0)
        accept_plain(p, m, r);
}

static void do_stop(struct peer *p, const struct msg *m)
{
    struct str id;
    struct box *b = box_of(p, m, false);
    bool is_kept = !b && msg_get_str(m, EK_ID, &id) && ns_kept_has(&p->engine->ns.host, id);
    int r = is_kept ? 0 : b ? ns_kept_stop(b) : -ENOENT;
    if (r == -ENOENT)
        refuse(p, m, r, FAULT_NOT_FOUND, "no such sandbox");
    else if (is_kept || r < 0 || (r = ask_add(p, m, &b->asks)) < 0)
        accept_plain(p, m, r);
}

static void do_claim(struct peer *p, const struct msg *m)
{
    struct box *b = box_of(p, m, true);
    struct box_spec identity = { 0 };
    struct op op = { 0 };
    if (!msg_get_str(m, EK_NEW_ID, &identity.id) || !id_is_good(identity.id) ||
        !msg_get_str(m, EK_BOOT, &identity.boot) || identity.boot.n > LIMIT_SANDBOX_BOOT_SIZE) {
        refuse(p, m, -EINVAL, FAULT_INVALID, "the new id or the boot message is missing or wrong");
        return;
    }
    identity.internet = number_or(m, EK_INTERNET, 1) != 0;
    int r = b ? ns_box_claim(b, &op, &identity) : -ENOENT;
    if (r == -ENOENT)
        refuse(p, m, r, FAULT_NOT_FOUND, "no such warm sandbox");
    else if (r == -EEXIST)
        refuse(p, m, r, FAULT_CONFLICT, "this sandbox exists already");
    else if (r < 0)
        refuse(p, m, r, op.fault.code, op.fault.text);
    else if ((r = ask_add(p, m, &b->asks)) < 0)
        accept_plain(p, m, r);
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

static void do_capture(struct peer *p, const struct msg *m)
{
    struct box *b = box_of(p, m, true);
    struct capture *c = NULL;
    struct op op = { 0 };
    struct str layer;
    if (!msg_get_str(m, EK_LAYER, &layer) || !id_is_good(layer)) {
        refuse(p, m, -EINVAL, FAULT_INVALID, "the name of the layer is not 1 to 32 of a-z and 0-9");
        return;
    }
    if (!b) {
        refuse(p, m, -ENOENT, FAULT_NOT_FOUND, "no such sandbox");
        return;
    }
    int r = ns_capture_start(b, layer, &op, &c);
    if (r < 0)
        refuse(p, m, r, op.fault.code, op.fault.text);
    else if ((r = ask_add(p, m, &c->asks)) < 0)
        accept_plain(p, m, r);
}

static void do_drop(struct peer *p, const struct msg *m)
{
    struct ns *n = &p->engine->ns;
    struct str layer;
    bool is_named = msg_get_str(m, EK_LAYER, &layer);
    if (is_named && ns_root_is(layer)) {
        accept_plain(p, m, ns_root_drop(n, layer));
        return;
    }
    if (!is_named || !id_is_good(layer)) {
        refuse(p, m, -EINVAL, FAULT_INVALID, "the name of the layer is not 1 to 32 of a-z and 0-9");
        return;
    }
    ns_capture_cancel(n, layer);
    accept_plain(p, m, ns_layer_drop(&n->layers, layer));
}

static const struct {
    uint16_t verb;
    unsigned who;
    void (*fn)(struct peer *p, const struct msg *m);
} verbs[] = {
    { ENGINE_HELLO, PEER_CONTROL, do_hello },
    { ENGINE_CREATE, PEER_CONTROL, do_create },
    { ENGINE_DESTROY, PEER_CONTROL, do_destroy },
    { ENGINE_FREEZE, PEER_CONTROL, do_freeze },
    { ENGINE_THAW, PEER_CONTROL, do_freeze },
    { ENGINE_STATS, PEER_CONTROL, do_stats },
    { ENGINE_PORT, PEER_CONTROL | PEER_EDGE, do_port },
    { ENGINE_CAPTURE, PEER_CONTROL, do_capture },
    { ENGINE_DROP, PEER_CONTROL, do_drop },
    { ENGINE_STOP, PEER_CONTROL, do_stop },
    { ENGINE_CLAIM, PEER_CONTROL, do_claim },
};

void engine_verb(struct peer *p, const struct msg *m)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (verbs[i].verb == m->verb && (verbs[i].who & p->kind) && !(m->flags & MSG_REPLY)) {
            verbs[i].fn(p, m);
            return;
        }
    refuse(p, m, -EOPNOTSUPP, FAULT_FORBIDDEN, "this may not be asked here");
}
