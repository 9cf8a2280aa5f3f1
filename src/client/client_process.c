#include <signal.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_process.h"
#include "gen/limits.h"
#include "wire/connect.h"
#include "wire/json.h"

static void put_envs(json_t *envs, const struct belljar_pair *defaults)
{
    for (; defaults->name; defaults++)
        if (!json_object_get(envs, defaults->name))
            (void)json_object_set_new(envs, defaults->name, json_string(defaults->value));
}

/* {"process":{..},"stdin":..} or with "pty"; NULL as of json_pack. */
static json_t *start_body(const char *command, const struct belljar_run_options *o)
{
    static const struct belljar_pair terminal[] = {
        { "TERM", "xterm-256color" }, { "LANG", "C.UTF-8" }, { "LC_ALL", "C.UTF-8" }, { 0 }
    };
    bool is_terminal = o->cols > 0 && o->rows > 0;
    json_t *envs = client_pairs(o->envs);
    if (envs && is_terminal)
        put_envs(envs, terminal);
    /* "o" steals envs, also when the rest fails */
    json_t *process = command ? json_pack("{s:s, s:[s,s,s], s:o, s:s*}", "cmd", "/bin/bash", "args",
                                          "-l", "-c", command, "envs", envs, "cwd", o->cwd)
                              : json_pack("{s:s, s:[s,s], s:o, s:s*}", "cmd", "/bin/bash", "args",
                                          "-i", "-l", "envs", envs, "cwd", o->cwd);
    if (is_terminal)
        return json_pack("{s:o, s:{s:{s:i, s:i}}}", "process", process, "pty", "size", "cols",
                         o->cols, "rows", o->rows);
    return json_pack("{s:o, s:b}", "process", process, "stdin", o->has_stdin);
}

/* The first event tells the pid. */
static int wait_start(struct belljar_process *p)
{
    json_t *message = NULL;
    struct client_event e = { .kind = CLIENT_EVENT_NONE };
    struct belljar *b = p->s->b;
    int64_t until = client_until(b->timeout_ms);
    int rc;
    do {
        json_decref(message);
        rc = client_stream_next(&p->stream, -1, until, &message);
        if (rc == 0 && !client_answer_event(&p->mem, message, &e))
            rc = -EPROTO;
        if (rc == 0 && e.kind == CLIENT_EVENT_NONE && clock_mono_ms() >= until)
            rc = CLIENT_TIMED_OUT;
    } while (rc == -EINTR || (rc == 0 && e.kind == CLIENT_EVENT_NONE));
    if (rc == CLIENT_TIMED_OUT)
        rc = client_stream_late(&p->stream);
    if (rc == CLIENT_ENDED || rc == -EPROTO || (rc == 0 && e.kind != CLIENT_EVENT_START))
        rc = client_fail(b, EPROTO, "the sandbox does not say that the process started");
    if (rc == 0)
        p->pid = e.pid;
    json_decref(message);
    p->stream.call.quiet_ms = LIMIT_CLIENT_QUIET_MS;
    return rc;
}

int client_process_give_up(struct belljar_process *p)
{
    struct belljar *b = p->s->b;
    struct client_grace g = client_grace_begin(b);
    if (!p->is_attached && (p->pid || wait_start(p) == 0))
        (void)belljar_process_signal(p, SIGKILL);
    client_grace_end(b, g);
    b->status = 0;
    return client_given_up(b);
}

static struct belljar_process *open_process(struct belljar_sandbox *s, const char *method,
                                            const struct belljar_run_options *o, json_t *body,
                                            bool is_attached)
{
    struct belljar_process *p = calloc(1, sizeof *p);
    s->b->status = 0;
    if (!p) {
        json_decref(body);
        (void)client_no_memory(s->b);
        return NULL;
    }
    p->s = client_sandbox_ref(s);
    p->timeout_ms = o->timeout_ms ? o->timeout_ms : CLIENT_RUN_MS;
    p->is_terminal = o->cols > 0 && o->rows > 0;
    p->is_attached = is_attached;
    arena_init(&p->mem, LIMIT_CLIENT_MESSAGE_SIZE);
    int rc = client_stream_open(&p->stream, s, method, o->user, body, p->timeout_ms);
    if (rc == 0 && (rc = wait_start(p)) == -ECANCELED)
        (void)client_process_give_up(p);
    if (rc == 0)
        return p;
    belljar_process_free(p);
    return NULL;
}

struct belljar_process *belljar_start(struct belljar_sandbox *s, const char *command,
                                      const struct belljar_run_options *o)
{
    static const struct belljar_run_options none = { 0 };
    if (!o)
        o = &none;
    if (!command && (o->cols <= 0 || o->rows <= 0)) {
        s->b->status = 0;
        (void)client_fail(s->b, EINVAL, "without a command, cols and rows of its terminal are due");
        return NULL;
    }
    return open_process(s, "process.Process/Start", o, start_body(command, o), false);
}

static json_t *selector(int pid) { return json_pack("{s:i}", "pid", pid); }

struct belljar_process *belljar_attach(struct belljar_sandbox *s, int pid)
{
    static const struct belljar_run_options forever = { .timeout_ms = -1 };
    return open_process(s, "process.Process/Connect", &forever,
                        json_pack("{s:o}", "process", selector(pid)), true);
}

void belljar_process_free(struct belljar_process *p)
{
    if (!p)
        return;
    client_stream_close(&p->stream);
    json_decref(p->message);
    arena_deinit(&p->mem);
    free(p->error);
    belljar_sandbox_free(p->s);
    free(p);
}

int belljar_process_pid(const struct belljar_process *p) { return p->pid; }

/* -- events -- */

/* 1: *out has it; 0: there is nothing to tell. */
static int take(struct belljar_process *p, struct belljar_event *out)
{
    struct client_event e;
    if (!client_answer_event(&p->mem, p->message, &e))
        return client_fail(p->s->b, EPROTO, "the sandbox sends an event that is none");
    if (e.kind == CLIENT_EVENT_DATA) {
        p->is_terminal |= e.data == BELLJAR_TERMINAL;
        *out = (struct belljar_event){ .kind = e.data,
                                       .bytes = e.bytes.n ? e.bytes.p : "",
                                       .size = e.bytes.n };
        return e.bytes.n > 0;
    }
    if (e.kind != CLIENT_EVENT_END)
        return 0;
    p->has_exited = true;
    p->exit_code = e.exit_code;
    free(p->error);
    p->error = NULL;
    if (e.error.n && !(p->error = str_dup(e.error)))
        return client_no_memory(p->s->b);
    return 0; /* told when the stream ended too: then the connection can be used again */
}

static int timed_out(struct belljar_process *p, int rc)
{
    if (rc != -ETIMEDOUT || p->timeout_ms < 0 || p->stream.call.silent_ms >= LIMIT_CLIENT_QUIET_MS)
        return rc;
    return client_fail(p->s->b, ETIMEDOUT,
                       "the command was killed after %d ms: timeout_ms may be larger",
                       p->timeout_ms);
}

int belljar_process_next(struct belljar_process *p, int fd, int timeout_ms,
                         struct belljar_event *out)
{
    int64_t until = client_until(timeout_ms);
    int rc = 0;
    *out = (struct belljar_event){ .kind = BELLJAR_NOTHING };
    /* in turn with its events: a process that floods must not keep a person's ^C out */
    if (fd >= 0 && !p->was_readable)
        rc = client_poll_fd(fd);
    if (rc < 0)
        return client_fail(p->s->b, -rc, "descriptor %d is not open", fd);
    while (rc == 0) {
        json_decref(p->message);
        p->message = NULL;
        arena_deinit(&p->mem);
        rc = client_stream_next(&p->stream, fd, until, &p->message);
        if (rc != 0)
            break;
        rc = take(p, out);
        if (rc != 0) {
            p->was_readable = false;
            return rc < 0 ? rc : 0;
        }
        if (clock_mono_ms() >= until)
            rc = CLIENT_TIMED_OUT;
    }
    p->was_readable = rc == CLIENT_READABLE;
    if (rc == CLIENT_READABLE)
        out->kind = BELLJAR_READABLE;
    if (rc == CLIENT_READABLE || rc == CLIENT_TIMED_OUT)
        return 0;
    if (rc == CLIENT_ENDED && !p->has_exited)
        return client_fail(p->s->b, EPROTO, "the sandbox does not say how the process ended");
    if (rc != CLIENT_ENDED)
        return timed_out(p, rc);
    *out = (struct belljar_event){
        .kind = BELLJAR_EXITED, .bytes = "", .exit_code = p->exit_code, .error = p->error
    };
    return 0;
}

/* -- what is done to it -- */

static int send_input(struct belljar_process *p, const char *kind, struct str bytes)
{
    struct buf text;
    buf_init(&text, 0);
    connect_base64_put(&text, bytes);
    const char *base64 = buf_cstr(&text);
    json_t *body =
        base64 ? json_pack("{s:o, s:{s:s}}", "process", selector(p->pid), "input", kind, base64)
               : NULL;
    int rc = client_rpc(p->s, "process.Process/SendInput", NULL, body, NULL);
    buf_deinit(&text);
    return rc;
}

int belljar_process_write(struct belljar_process *p, const void *bytes, size_t size)
{
    struct str left = str_make(bytes, size);
    int bad = size ? client_need(p->s->b, bytes, "what is written") : 0;
    if (bad)
        return bad;
    while (left.n) {
        struct str piece =
            str_make(left.p, left.n < LIMIT_CLIENT_INPUT_SIZE ? left.n : LIMIT_CLIENT_INPUT_SIZE);
        int rc = send_input(p, p->is_terminal ? "pty" : "stdin", piece);
        if (rc == -EREMOTEIO && p->is_attached && !p->is_terminal) {
            rc = send_input(p, "pty", piece); /* nobody said yet which it is */
            p->is_terminal = rc == 0;
        }
        if (rc < 0)
            return rc;
        left = str_skip(left, piece.n);
    }
    return 0;
}

int belljar_process_close_stdin(struct belljar_process *p)
{
    return client_rpc(p->s, "process.Process/CloseStdin", NULL,
                      json_pack("{s:o}", "process", selector(p->pid)), NULL);
}

int belljar_process_resize(struct belljar_process *p, int cols, int rows)
{
    return client_rpc(p->s, "process.Process/Update", NULL,
                      json_pack("{s:o, s:{s:{s:i, s:i}}}", "process", selector(p->pid), "pty",
                                "size", "cols", cols, "rows", rows),
                      NULL);
}

int belljar_process_signal(struct belljar_process *p, int signal)
{
    if (signal != SIGTERM && signal != SIGKILL) {
        p->s->b->status = 0;
        return client_fail(p->s->b, EINVAL, "only SIGTERM and SIGKILL can be sent");
    }
    return client_rpc(p->s, "process.Process/SendSignal", NULL,
                      json_pack("{s:o, s:s}", "process", selector(p->pid), "signal",
                                signal == SIGKILL ? "SIGNAL_SIGKILL" : "SIGNAL_SIGTERM"),
                      NULL);
}
