#include "sandbox/engine_link.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/map.h"
#include "ipc/link.h"

enum {
    RECONNECT_MS = 50, /* a restarted engine listens within this, mostly */
    HELLO_MS = 10000,
};

struct engine_link {
    struct loop *loop;
    const char *path;
    const struct engine_link_ops *ops;
    void *data;
    struct link link;
    struct loop_timer timer; /* connect again, or give up waiting for HELLO */
    struct map calls;        /* by tag */
    struct buf out;
    uint64_t next_tag, hello_tag;
    bool is_up, said_down;
    char isolation[32];
};

static struct str key_of(const struct engine_call *c)
{
    return str_make((const char *)&c->tag, sizeof c->tag);
}

void engine_call_cancel(struct engine_call *c)
{
    if (!c->link)
        return;
    (void)map_remove(&c->link->calls, key_of(c));
    loop_timer_cancel(&c->timer);
    c->link = NULL;
}

static void finish(struct engine_call *c, const struct engine_answer *a)
{
    engine_call_cancel(c);
    c->fn(c, a);
}

static void on_call_timer(struct loop_timer *t)
{
    struct engine_call *c = t->data;
    struct engine_answer a = { .status = -ETIMEDOUT,
                               .fault = FAULT_TIMEOUT,
                               .text = STR("the engine did not answer in time") };
    if (!c->link->is_up)
        a = (struct engine_answer){ .status = -ENOTCONN,
                                    .fault = FAULT_UNAVAILABLE,
                                    .text = STR("the engine is not there") };
    finish(c, &a);
}

struct buf *engine_link_begin(struct engine_link *k, enum engine_verb verb)
{
    msg_begin(&k->out, (uint16_t)verb, 0, ++k->next_tag, 0);
    return &k->out;
}

void engine_link_ask(struct engine_link *k, struct engine_call *c, int64_t timeout_ms)
{
    engine_call_cancel(c);
    c->link = k;
    c->tag = k->next_tag;
    c->timer.fn = on_call_timer;
    c->timer.data = c;
    msg_end(&k->out);
    /* a failure is told from the loop, as every other answer */
    if (!k->is_up || !map_put(&k->calls, key_of(c), c) || link_send(&k->link, &k->out, NULL, 0) < 0)
        timeout_ms = 0;
    (void)loop_timer_start(k->loop, &c->timer, timeout_ms);
}

static void tell(struct engine_link *k, enum engine_verb verb, enum engine_key key, struct str name)
{
    struct buf *b = engine_link_begin(k, verb);
    msg_str(b, (uint16_t)key, name);
    msg_end(b);
    if (link_is_open(&k->link))
        (void)link_send(&k->link, b, NULL, 0);
}

void engine_link_destroy(struct engine_link *k, struct str id)
{
    tell(k, ENGINE_DESTROY, EK_ID, id);
}

static void on_reply(struct engine_link *k, const struct msg *m)
{
    struct engine_answer a = { .status = m->status, .m = m };
    uint64_t fault;
    if (m->status < 0) {
        a.fault = FAULT_INTERNAL;
        if (msg_get_u64(m, EK_FAULT, &fault) && fault > FAULT_NONE && fault < FAULT_COUNT)
            a.fault = (enum fault_code)fault;
        if (!msg_get_str(m, EK_TEXT, &a.text))
            a.text = STR("the engine failed without a reason");
    }
    struct engine_call *c = map_get(&k->calls, str_make((const char *)&m->tag, sizeof m->tag));
    if (c)
        finish(c, &a);
    else if (m->status < 0)
        log_warn("engine, to nobody in particular: " STR_FMT, STR_ARG(a.text));
}

static bool flag(const struct msg *m, uint16_t key)
{
    uint64_t v;
    return msg_get_u64(m, key, &v) && v != 0;
}

static void on_message(struct link *l, const struct msg *m, int *fds, int fd_count)
{
    struct engine_link *k = l->data;
    struct str id = STR_NONE, reason = STR_NONE;
    (void)fds;
    (void)fd_count;
    if (m->flags & MSG_REPLY) {
        if (m->tag != k->hello_tag) {
            on_reply(k, m);
            return;
        }
        loop_timer_cancel(&k->timer);
        k->hello_tag = 0;
        k->is_up = true;
        k->said_down = false;
        if (!msg_get_str(m, EK_ISOLATION, &id) || !str_copy(id, k->isolation, sizeof k->isolation))
            k->isolation[0] = '\0';
        k->ops->on_up(k->data);
        return;
    }
    if (m->verb == ENGINE_LAYER && !k->is_up && msg_get_str(m, EK_LAYER, &id))
        k->ops->on_layer(k->data, id);
    if (!msg_get_str(m, EK_ID, &id))
        return;
    if (m->verb == ENGINE_FOUND && !k->is_up) {
        struct engine_found found = { .id = id,
                                      .is_frozen = flag(m, EK_FROZEN),
                                      .is_kept = flag(m, EK_KEPT),
                                      .is_warm = flag(m, EK_WARM) };
        k->ops->on_found(k->data, &found);
    } else if (m->verb == ENGINE_EXITED) {
        (void)msg_get_str(m, EK_REASON, &reason);
        k->ops->on_exited(k->data, id, reason);
    }
}

/* Everything that waits hears that the link broke, then the owner. */
static void went_down(struct engine_link *k)
{
    bool was_up = k->is_up;
    k->is_up = false;
    static const struct engine_answer broke = { .status = -ENOTCONN,
                                                .fault = FAULT_UNAVAILABLE,
                                                .text = { "the engine was restarted", 24 } };
    /* an answer may start other calls: those go to the timer, not into this map */
    for (bool again = true; again;) {
        again = false;
        MAP_EACH(i, &k->calls) {
            finish(k->calls.slots[i].value, &broke);
            again = true;
            break;
        }
    }
    if (was_up)
        k->ops->on_down(k->data);
    if (!k->said_down)
        log_warn("the engine at %s is not there; waiting for it", k->path);
    k->said_down = true;
    (void)loop_timer_start(k->loop, &k->timer, RECONNECT_MS);
}

static void on_closed(struct link *l) { went_down(l->data); }

static void connect_now(struct engine_link *k)
{
    static const struct link_ops ops = { .on_message = on_message, .on_closed = on_closed };
    int fd = link_connect(k->path);
    if (fd < 0 || link_open(&k->link, k->loop, fd, &ops, k) < 0) {
        went_down(k);
        return;
    }
    struct buf *b = engine_link_begin(k, ENGINE_HELLO);
    k->hello_tag = k->next_tag;
    msg_end(b);
    (void)link_send(&k->link, b, NULL, 0);
    (void)loop_timer_start(k->loop, &k->timer, HELLO_MS);
}

static void on_timer(struct loop_timer *t)
{
    struct engine_link *k = t->data;
    if (link_is_open(&k->link)) {
        log_error("the engine does not answer; connecting anew");
        link_close(&k->link);
    }
    connect_now(k);
}

struct engine_link *engine_link_new(struct loop *l, const char *path,
                                    const struct engine_link_ops *ops, void *data)
{
    struct engine_link *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    *k = (struct engine_link){ .loop = l, .path = path, .ops = ops, .data = data };
    k->timer = (struct loop_timer){ .fn = on_timer, .data = k };
    map_init(&k->calls);
    buf_init(&k->out, 0);
    (void)loop_timer_start(l, &k->timer, 0);
    return k;
}

void engine_link_free(struct engine_link *k)
{
    if (!k)
        return;
    link_close(&k->link);
    loop_timer_cancel(&k->timer);
    MAP_EACH(i, &k->calls) {
        struct engine_call *c = k->calls.slots[i].value;
        loop_timer_cancel(&c->timer);
        c->link = NULL;
    }
    map_deinit(&k->calls);
    buf_deinit(&k->out);
    free(k);
}

bool engine_link_is_up(const struct engine_link *k) { return k->is_up; }
const char *engine_link_isolation(const struct engine_link *k) { return k->isolation; }
