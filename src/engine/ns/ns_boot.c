#include "engine/ns/ns_boot.h"

#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_child.h"
#include "engine/ns/ns_site.h"
#include "engine/ns/ns_start.h"
#include "ipc/engine_proto.h"

#define FAILED_HEAD 5u /* AGENT_FAILED and the length of its sentence */

int ns_boot_open(struct box *b, struct str message, int *child)
{
    int pair[2], size = 2 * LIMIT_SANDBOX_BOOT_SIZE;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return RAISE(-errno);
    b->boot = pair[0];
    *child = pair[1];
    if (message.n > 65536) /* the whole message has to fit: the engine does not wait */
        (void)setsockopt(b->boot, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return 0;
}

int ns_boot_go(struct box *b)
{
    const char go = NS_GO;
    return send(b->boot, &go, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : RAISE(-errno);
}

int ns_boot_send(struct box *b, bool with_go, struct str message)
{
    struct buf out;
    buf_init(&out, message.n + 16);
    uint32_t n = (uint32_t)message.n;
    if (with_go)
        (void)buf_byte(&out, NS_GO);
    (void)buf_append(&out, str_make((const char *)&n, sizeof n));
    (void)buf_append(&out, message);
    ssize_t sent = out.failed ? -1 : send(b->boot, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    int r = sent == (ssize_t)out.len ? 0 : RAISE(sent < 0 ? -errno : -EAGAIN);
    buf_deinit(&out);
    return r;
}

/* -- what comes back: hostile bytes -- */

/* The child's own failure, before it became the agent. */
static void child_failed(struct box *b)
{
    struct ns_failure f;
    struct arena a;
    struct plan p;
    struct buf text;
    memcpy(&f, b->said, sizeof f);
    arena_init(&a, 65536);
    buf_init(&text, 256);
    struct plan_spec spec = { NS_HOSTNAME, 0, NS_RUN_BYTES };
    if (plan_build(&spec, &b->ns->host.plan, &a, &p) == 0 && f.op < p.count)
        plan_op_print(&p.ops[f.op], &text);
    const char *step = buf_cstr(&text);
    (void)op_fail(&b->op, FAULT_CREATE_FAILED, f.error, "starting the sandbox: %s: %s",
                  step ? step : "?", strerror(f.error));
    buf_deinit(&text);
    arena_deinit(&a);
    ns_box_end(b);
}

static void agent_failed(struct box *b)
{
    (void)op_fail(&b->op, FAULT_CREATE_FAILED, 0, "%.*s", (int)(b->said_len - FAILED_HEAD),
                  b->said + FAILED_HEAD);
    ns_box_end(b);
}

static void agent_ready(struct box *b)
{
    ns_boot_unwatch(b);
    fd_closep(&b->boot);
    ns_box_ready(b);
}

static void agent_warm(struct box *b)
{
    if (!b->is_warm || b->state != BOX_BOOTING) {
        (void)op_fail(&b->op, FAULT_CREATE_FAILED, 0, "the agent is warm where nobody asked");
        ns_box_end(b);
        return;
    }
    b->said_len = 0;
    loop_timer_cancel(&b->deadline);
    b->state = BOX_RUNNING;
    b->ns->ops->on_ready(b->ns->data, b);
}

static size_t failed_size(const struct box *b)
{
    uint32_t n;
    if (b->said_len < FAILED_HEAD)
        return FAILED_HEAD;
    memcpy(&n, b->said + 1, sizeof n);
    return FAILED_HEAD + (n < NS_SAID_SIZE - FAILED_HEAD ? n : NS_SAID_SIZE - FAILED_HEAD);
}

/* By its first byte: how long a message is, and what it does. */
static bool said_handle(struct box *b)
{
    static const struct {
        unsigned char tag;
        size_t size; /* 0: it tells */
        void (*fn)(struct box *b);
    } rows[] = { { AGENT_READY, 1, agent_ready },
                 { AGENT_WARM, 1, agent_warm },
                 { AGENT_FAILED, 0, agent_failed },
                 { NS_FAILED, sizeof(struct ns_failure), child_failed } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((unsigned char)b->said[0] == rows[i].tag) {
            if (b->said_len >= (rows[i].size ? rows[i].size : failed_size(b)))
                rows[i].fn(b);
            return true;
        }
    return false;
}

void ns_boot_read(struct box *b)
{
    if (!b->boot_watch.loop)
        return;
    ssize_t n = read(b->boot, b->said + b->said_len, sizeof b->said - b->said_len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    b->said_len += n > 0 ? (size_t)n : 0;
    if (n > 0 && said_handle(b))
        return;
    (void)op_fail(&b->op, FAULT_CREATE_FAILED, 0, "the agent closed its boot channel");
    ns_box_end(b);
}

static void on_boot(struct loop_fd *w, uint32_t events)
{
    (void)events;
    ns_boot_read(w->data);
}

static void on_deadline(struct loop_timer *t)
{
    struct box *b = t->data;
    (void)op_fail(&b->op, FAULT_CREATE_FAILED, ETIMEDOUT, "the agent was not ready within %u ms",
                  (unsigned)b->boot_ms);
    ns_box_end(b);
}

int ns_boot_watch(struct box *b)
{
    struct loop *l = b->ns->loop;
    b->said_len = 0;
    b->boot_watch.fn = on_boot;
    b->deadline.fn = on_deadline;
    b->boot_watch.data = b->deadline.data = b;
    int r = b->boot_watch.loop ? 0 : loop_fd_start(l, &b->boot_watch, b->boot, EPOLLIN);
    return r < 0 ? TRACE(r) : TRACE(loop_timer_start(l, &b->deadline, (int64_t)b->boot_ms));
}

void ns_boot_unwatch(struct box *b)
{
    loop_timer_cancel(&b->deadline);
    loop_fd_cancel(&b->boot_watch);
}
