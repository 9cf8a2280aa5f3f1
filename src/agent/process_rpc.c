#include "agent/process_rpc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/process.h"
#include "agent/pty.h"
#include "agent/schema.h"

static void reply_empty(struct rpc_call *c)
{
    rpc_reply(c, &schema_empty_spec, &(struct schema_empty){ 0 });
}

/* The process the client means. NULL: the call was failed. */
static struct process *selected(struct rpc_call *c, const struct schema_selector *sel, bool alive)
{
    if (!sel || (!sel->has_pid && !sel->has_tag)) {
        rpc_fail(c, CONNECT_UNIMPLEMENTED, "a process is selected by pid or tag");
        return NULL;
    }
    struct process *p = process_find(c->agent, sel, alive);
    if (!p && sel->has_pid)
        rpc_fail(c, CONNECT_NOT_FOUND, "process with pid %u not found", sel->pid);
    else if (!p)
        rpc_fail(c, CONNECT_NOT_FOUND, "process with tag " STR_FMT " not found", STR_ARG(sel->tag));
    return p;
}

static void do_start(struct rpc_call *c)
{
    const struct schema_start *req = c->request;
    struct user user;
    struct str cwd;
    struct process *p = NULL;
    enum connect_code code = CONNECT_INTERNAL;
    char why[512];
    if (!req->process || req->process->cmd.n == 0) {
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "a command is required");
        return;
    }
    if (!rpc_user(c, &user) || !rpc_path(c, &user, req->process->cwd, &cwd))
        return;
    if (process_start(c->agent, req, &user, cwd, &p, &code, why) != PROCESS_STARTED) {
        rpc_fail(c, code, "%s", why);
        return;
    }
    if (c->timeout_ms)
        process_expire_after(p, c->timeout_ms);
    process_output_subscribe(p, c, &process_output_start_ops);
}

static void do_connect(struct rpc_call *c)
{
    const struct schema_select *req = c->request;
    struct process *p = selected(c, req->process, false);
    if (p)
        process_output_subscribe(p, c, &process_output_connect_ops);
}

static void do_list(struct rpc_call *c)
{
    struct agent *a = c->agent;
    struct schema_info *infos = arena_alloc(&c->mem, a->process_count * sizeof *infos);
    uint32_t n = 0;
    if (!infos) {
        rpc_fail(c, CONNECT_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    LIST_EACH(it, &a->processes) {
        struct process *p = LIST_OF(it, struct process, link);
        if (n < a->process_count)
            infos[n++] = (struct schema_info){ &p->config, (uint32_t)p->pid, p->tag, p->has_tag };
    }
    struct schema_list_reply reply = { { infos, n } };
    rpc_reply(c, &schema_list_reply_spec, &reply);
}

static void do_update(struct rpc_call *c)
{
    const struct schema_update *req = c->request;
    struct process *p = selected(c, req->process, true);
    if (!p)
        return;
    if (!req->pty || !req->pty->size) {
        reply_empty(c);
        return;
    }
    if (!p->is_pty || p->input < 0) {
        rpc_fail(c, CONNECT_INTERNAL, "error resizing tty: tty not assigned to process");
        return;
    }
    int r = pty_resize(p->input, req->pty->size);
    if (r < 0)
        rpc_fail(c, CONNECT_INTERNAL, "error resizing tty: %s", strerror(-r));
    else
        reply_empty(c);
}

/* Writes to the process, or fails the call when the kind of input is not the process's. */
static void write_input(struct rpc_call *c, struct process *p, const struct schema_input *in)
{
    bool has = in && (in->has_input || in->has_pty);
    if (!has)
        rpc_fail(c, CONNECT_UNIMPLEMENTED, "invalid input type");
    else if (in->has_pty && !p->is_pty)
        rpc_fail(c, CONNECT_INTERNAL, "error writing to tty: tty not assigned to process");
    else if (in->has_input && p->is_pty)
        rpc_fail(c, CONNECT_INTERNAL, "error writing to stdin: tty assigned to process");
    else
        process_input_write(p, c, in->has_pty ? in->pty : in->input);
}

static void do_send_input(struct rpc_call *c)
{
    const struct schema_send_input *req = c->request;
    struct process *p = selected(c, req->process, true);
    if (p)
        write_input(c, p, req->input);
}

/* One message of the stream, or its end. */
static void do_stream_input(struct rpc_call *c)
{
    const struct schema_stream_input *req = c->request;
    if (!req) {
        process_input_forget(c);
        reply_empty(c);
        return;
    }
    if (req->start) {
        struct schema_selector *sel = req->start->process;
        struct process *p = selected(c, sel, true);
        if (p)
            c->target = p->serial;
        return;
    }
    if (!req->data)
        return;
    struct process *p = process_by_serial(c->agent, c->target);
    if (!c->target)
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "the first message must be start");
    else if (!p)
        rpc_fail(c, CONNECT_NOT_FOUND, "the process has ended");
    else
        write_input(c, p, req->data->input);
}

static void do_close_stdin(struct rpc_call *c)
{
    const struct schema_select *req = c->request;
    struct process *p = selected(c, req->process, true);
    if (!p)
        return;
    if (p->is_pty) {
        rpc_fail(c, CONNECT_UNKNOWN,
                 "error closing stdin: cannot close stdin for PTY process, send Ctrl+D (0x04) "
                 "instead");
        return;
    }
    process_input_close(p);
    reply_empty(c);
}

static void do_send_signal(struct rpc_call *c)
{
    const struct schema_signal *req = c->request;
    struct process *p = selected(c, req->process, true);
    if (!p)
        return;
    if (req->signal != SIGKILL && req->signal != SIGTERM) {
        rpc_fail(c, CONNECT_UNIMPLEMENTED, "invalid signal: %d", req->signal);
        return;
    }
    int r = process_signal(p, req->signal);
    if (r == -ESRCH)
        rpc_fail(c, CONNECT_NOT_FOUND, "process with pid %d not found", p->pid);
    else if (r < 0)
        rpc_fail(c, CONNECT_INTERNAL, "error sending signal: %s", strerror(-r));
    else
        reply_empty(c);
}

#define METHOD(name, kind, spec, fn)                                                               \
    {                                                                                              \
        "/process.Process/" name, kind, &spec, fn                                                  \
    }

const struct rpc_method process_rpc_methods[] = {
    METHOD("Start", RPC_SERVER_STREAM, schema_start_spec, do_start),
    METHOD("Connect", RPC_SERVER_STREAM, schema_select_spec, do_connect),
    METHOD("List", RPC_UNARY, schema_empty_spec, do_list),
    METHOD("Update", RPC_UNARY, schema_update_spec, do_update),
    METHOD("SendInput", RPC_UNARY, schema_send_input_spec, do_send_input),
    METHOD("StreamInput", RPC_CLIENT_STREAM, schema_stream_input_spec, do_stream_input),
    METHOD("SendSignal", RPC_UNARY, schema_signal_spec, do_send_signal),
    METHOD("CloseStdin", RPC_UNARY, schema_select_spec, do_close_stdin),
    { NULL, RPC_UNARY, NULL, NULL },
};
