#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/process.h"
#include "base/cleanup.h"

#define PIPE_CHUNK 32768
#define PTY_CHUNK 16384
#define PRESSED_CHUNK 4096 /* while much is waiting for slow readers, of this or other commands */
#define CHUNKS_PER_EVENT 8 /* then the others get a turn */
#define AFTER_KILL_SIZE                                                                            \
    131072 /* read after a killed leader, when others hold its pipe: two pipefuls */

static char chunk[PIPE_CHUNK];

/* -- events to subscribers -- */

static bool send_event(struct rpc_call *c, const struct schema_event *ev)
{
    struct schema_event_reply reply = { (struct schema_event *)(uintptr_t)ev };
    return rpc_send(c, &schema_event_reply_spec, &reply);
}

static bool has_slow(const struct process *p)
{
    LIST_EACH(it, &p->subs)
        if (LIST_OF(it, struct rpc_call, link)->slow)
            return true;
    return false;
}

static size_t chunk_size(const struct process *p)
{
    if (!list_empty(&p->subs) &&
        http_reply_is_pressed(LIST_OF(p->subs.next, struct rpc_call, link)->http))
        return PRESSED_CHUNK;
    return p->is_pty ? PTY_CHUNK : PIPE_CHUNK;
}

static void send_data(struct process *p, int which, struct str bytes)
{
    struct schema_event_data data = { 0 };
    struct schema_event ev = { .data = &data };
    data.has_pty = p->is_pty;
    data.has_out = !p->is_pty && which == PROCESS_OUT;
    data.has_err = !p->is_pty && which == PROCESS_ERR;
    data.out = data.err = data.pty = bytes;
    journal_add(&p->agent->journal,
                p->is_pty              ? JOURNAL_PTY
                : which == PROCESS_OUT ? JOURNAL_OUT
                                       : JOURNAL_ERR,
                p->pid, bytes);
    LIST_EACH(it, &p->subs)
        (void)send_event(LIST_OF(it, struct rpc_call, link), &ev);
}

/* As Go's os.ProcessState prints them, which is what the SDKs show. */
static const char *signal_text(int sig, char room[32])
{
    static const char *const names[] = {
        [SIGHUP] = "hangup",
        [SIGINT] = "interrupt",
        [SIGQUIT] = "quit",
        [SIGILL] = "illegal instruction",
        [SIGTRAP] = "trace/breakpoint trap",
        [SIGABRT] = "aborted",
        [SIGBUS] = "bus error",
        [SIGFPE] = "floating point exception",
        [SIGKILL] = "killed",
        [SIGUSR1] = "user defined signal 1",
        [SIGSEGV] = "segmentation fault",
        [SIGUSR2] = "user defined signal 2",
        [SIGPIPE] = "broken pipe",
        [SIGALRM] = "alarm clock",
        [SIGTERM] = "terminated",
    };
    if (sig > 0 && (size_t)sig < sizeof names / sizeof names[0] && names[sig])
        return names[sig];
    (void)snprintf(room, 32, "signal %d", sig);
    return room;
}

#define STATUS_SIZE 96
static void print_status(int status, char out[STATUS_SIZE])
{
    char room[32];
    if (WIFEXITED(status))
        (void)snprintf(out, STATUS_SIZE, "exit status %d", WEXITSTATUS(status));
    else
        (void)snprintf(out, STATUS_SIZE, "signal: %s%s", signal_text(WTERMSIG(status), room),
                       WCOREDUMP(status) ? " (core dumped)" : "");
}

static void send_end(struct process *p, struct rpc_call *c)
{
    char text[STATUS_SIZE];
    bool exited = WIFEXITED(p->status);
    print_status(p->status, text);
    struct schema_event_end end = { .exit_code = exited ? WEXITSTATUS(p->status) : -1,
                                    .exited = exited,
                                    .status = str_of(text),
                                    .error = str_of(text),
                                    .has_error = p->status != 0 };
    struct schema_event ev = { .end = &end };
    (void)send_event(c, &ev);
    rpc_end(c);
}

void process_output_end(struct process *p)
{
    char text[STATUS_SIZE];
    print_status(p->status, text);
    journal_add(&p->agent->journal, JOURNAL_END, p->pid, str_of(text));
    LIST_EACH_SAFE(it, &p->subs) {
        list_remove(it);
        send_end(p, LIST_OF(it, struct rpc_call, link));
    }
}

/* -- subscribers -- */

static void on_gone(struct rpc_call *c)
{
    list_remove(&c->link);
    process_output_pump(c->data);
}

static void on_drain(struct rpc_call *c) { process_output_pump(c->data); }

static void on_keepalive(struct rpc_call *c)
{
    struct schema_empty nothing;
    struct schema_event ev = { .keepalive = &nothing };
    (void)send_event(c, &ev);
}

/* Only the call that started the command kills it (core.md 3.1, deadlines). */
static void on_start_deadline(struct rpc_call *c)
{
    struct process *p = c->data;
    (void)process_signal(p, SIGKILL);
    list_remove(&c->link);
    rpc_fail(c, CONNECT_DEADLINE_EXCEEDED, "context deadline exceeded");
    process_output_pump(p);
}

const struct rpc_ops process_output_start_ops = { .on_gone = on_gone,
                                                  .on_drain = on_drain,
                                                  .on_deadline = on_start_deadline,
                                                  .on_keepalive = on_keepalive };
const struct rpc_ops process_output_connect_ops = { .on_gone = on_gone,
                                                    .on_drain = on_drain,
                                                    .on_keepalive = on_keepalive };

void process_output_subscribe(struct process *p, struct rpc_call *c, const struct rpc_ops *ops)
{
    struct schema_event_start start = { (uint32_t)p->pid };
    struct schema_event ev = { .start = &start };
    c->data = p;
    c->ops = ops;
    (void)send_event(c, &ev);
    if (p->ended)
        send_end(p, c);
    else
        list_push(&p->subs, &c->link);
}

/* -- streams -- */

static void stream_close(struct process_stream *s)
{
    loop_fd_cancel(&s->watch);
    fd_closep(&s->fd);
}

void process_output_close(struct process *p)
{
    for (int i = 0; i < PROCESS_STREAMS; i++)
        stream_close(&p->streams[i]);
}

bool process_output_is_over(const struct process *p)
{
    return p->streams[PROCESS_OUT].fd < 0 && p->streams[PROCESS_ERR].fd < 0;
}

/* Reads what there is, up to a bound; closes the stream at its end. */
static void stream_read(struct process_stream *s)
{
    struct process *p = s->process;
    for (int i = 0; i < CHUNKS_PER_EVENT && s->fd >= 0; i++) {
        bool enough = p->reaped && p->cancelled;
        ssize_t n = read(s->fd, chunk, chunk_size(p));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (enough)
                stream_close(s);
            return;
        }
        if (n <= 0) { /* a terminal that nobody has open any more says EIO */
            stream_close(s);
            return;
        }
        send_data(p, s->which, str_make(chunk, (size_t)n));
        p->after_reaped += enough ? (size_t)n : 0;
        if (p->after_reaped > AFTER_KILL_SIZE)
            stream_close(s);
        if (has_slow(p))
            return;
    }
}

static void on_readable(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct process_stream *s = w->data;
    stream_read(s);
    if (has_slow(s->process))
        process_output_pump(s->process);
    process_check_end(s->process);
}

/* A paused stream is not watched at all: a hang-up would be reported over and over. */
void process_output_pump(struct process *p)
{
    bool pause = has_slow(p);
    for (int i = 0; i < PROCESS_STREAMS; i++) {
        struct process_stream *s = &p->streams[i];
        if (pause) {
            loop_fd_cancel(&s->watch);
            continue;
        }
        if (s->fd >= 0 && p->reaped)
            stream_read(s);
        if (s->fd >= 0 && !s->watch.loop && !has_slow(p) &&
            loop_fd_start(p->agent->loop, &s->watch, s->fd, EPOLLIN) < 0)
            stream_close(s);
    }
    process_check_end(p);
}

int process_output_open(struct process *p, enum process_output which, int fd)
{
    struct process_stream *s = &p->streams[which];
    *s = (struct process_stream){ .process = p, .fd = fd, .which = (int)which };
    s->watch = (struct loop_fd){ .fn = on_readable, .data = s };
    int r = loop_fd_start(p->agent->loop, &s->watch, fd, EPOLLIN);
    if (r < 0)
        fd_closep(&s->fd);
    return r;
}
