#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/process.h"
#include "base/cleanup.h"
#include "gen/limits.h"

struct input {
    struct list link;
    struct rpc_call *call; /* NULL: it does not wait */
    size_t size, at;
    char bytes[];
};

static bool is_stream(const struct rpc_call *c) { return c->method->kind == RPC_CLIENT_STREAM; }

/* Everything of `in` is written, or never will be. */
static void input_done(struct process *p, struct input *in, int err)
{
    struct rpc_call *c = in->call;
    p->input_bytes -= in->size;
    list_remove(&in->link);
    free(in);
    if (!c)
        return;
    c->ops = NULL;
    if (err)
        rpc_fail(c, CONNECT_INTERNAL, "error writing to %s: %s", p->is_pty ? "tty" : "stdin",
                 strerror(err));
    else if (is_stream(c))
        http_call_resume(c->http);
    else
        rpc_reply(c, &schema_empty_spec, &(struct schema_empty){ 0 });
}

static void input_close(struct process *p)
{
    loop_fd_cancel(&p->input_watch);
    fd_closep(&p->input);
}

static void fail_all(struct process *p, int err)
{
    while (!list_empty(&p->inputs))
        input_done(p, LIST_OF(p->inputs.next, struct input, link), err);
}

void process_input_drop(struct process *p)
{
    input_close(p);
    fail_all(p, EPIPE);
}

/* Writes what the pipe takes. 0: all; EAGAIN: it is full; another errno: it is broken. */
static int write_some(int fd, const char *bytes, size_t size, size_t *at)
{
    while (*at < size) {
        ssize_t n = write(fd, bytes + *at, size - *at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        *at += (size_t)n;
    }
    return 0;
}

static void on_writable(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct process *p = w->data;
    while (!list_empty(&p->inputs)) {
        struct input *in = LIST_OF(p->inputs.next, struct input, link);
        int err = write_some(p->input, in->bytes, in->size, &in->at);
        if (err == EAGAIN)
            return;
        if (err) {
            input_close(p);
            fail_all(p, err);
            return;
        }
        input_done(p, in, 0);
    }
    loop_fd_cancel(w);
    if (p->input_close)
        input_close(p);
}

static void call_gone(struct rpc_call *c) { process_input_forget(c); }
static const struct rpc_ops waiting_ops = { .on_gone = call_gone };

void process_input_forget(struct rpc_call *c)
{
    struct process *p = process_by_serial(c->agent, c->target);
    if (!p)
        return;
    LIST_EACH(it, &p->inputs) {
        struct input *in = LIST_OF(it, struct input, link);
        if (in->call == c)
            in->call = NULL; /* what it sent is written all the same */
    }
}

/* Keeps the rest for when the pipe has room. */
static bool input_keep(struct process *p, struct rpc_call *c, struct str rest)
{
    if (p->input_bytes + rest.n > 2u * LIMIT_RPC_MESSAGE_SIZE)
        return false;
    struct input *in = malloc(sizeof *in + rest.n);
    if (!in)
        return false;
    *in = (struct input){ .call = c, .size = rest.n };
    memcpy(in->bytes, rest.p, rest.n);
    p->input_watch.fn = on_writable;
    p->input_watch.data = p;
    if (!p->input_watch.loop &&
        loop_fd_start(p->agent->loop, &p->input_watch, p->input, EPOLLOUT) < 0) {
        free(in);
        return false;
    }
    p->input_bytes += rest.n;
    list_push(&p->inputs, &in->link);
    c->target = p->serial;
    c->ops = &waiting_ops;
    if (is_stream(c))
        http_call_pause(c->http);
    return true;
}

void process_input_write(struct process *p, struct rpc_call *c, struct str bytes)
{
    size_t at = 0;
    int err = 0;
    const char *to = p->is_pty ? "tty" : "stdin";
    if (p->input < 0 || p->input_close) {
        rpc_fail(c, CONNECT_INTERNAL, "error writing to %s: %s not enabled or closed", to, to);
        return;
    }
    if (list_empty(&p->inputs))
        err = write_some(p->input, bytes.p, bytes.n, &at);
    else
        err = bytes.n ? EAGAIN : 0;
    if (err == EAGAIN) {
        if (!input_keep(p, c, str_skip(bytes, at)))
            rpc_fail(c, CONNECT_RESOURCE_EXHAUSTED, "error writing to %s: too much is waiting", to);
        return;
    }
    if (err) {
        input_close(p);
        rpc_fail(c, CONNECT_INTERNAL, "error writing to %s: %s", to, strerror(err));
    } else if (!is_stream(c)) {
        rpc_reply(c, &schema_empty_spec, &(struct schema_empty){ 0 });
    }
}

void process_input_close(struct process *p)
{
    p->input_close = true;
    if (list_empty(&p->inputs))
        input_close(p);
}
