/* Kernels of the Jupyter protocol: shell and iopub of one, over unix sockets. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "gen/limits.h"
#include "interp/kernel_internal.h"

#define RETRY_MS 3 /* until its sockets are there */
#define AGAIN_MS 50
#define REFUSALS_MOST 40
#define REASK_MS 500 /* until it is sure that we are subscribed */

static const struct {
    int number;
    const char *type;
} sockets[KERNEL_CHANNELS] = {
    [KERNEL_SHELL] = { JUPYTER_SHELL, "DEALER" }, [KERNEL_IOPUB] = { JUPYTER_IOPUB, "SUB" }
};

int kernel_jupyter_prepare(struct kernel *k)
{
    char path[128];
    struct buf text;
    buf_init(&text, 4096);
    (void)snprintf(path, sizeof path, "%s.json", k->path);
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && jupyter_put_connection(&text, &k->jupyter, k->path);
    struct str s = buf_str(&text);
    ok = ok && write(fd, s.p, s.n) == (ssize_t)s.n;
    buf_deinit(&text);
    return ok ? 0 : RAISE(-EIO);
}

static void ask(struct kernel *k, const char *type, const json_t *content)
{
    struct kernel_channel *c = &k->channels[KERNEL_SHELL];
    rand_uuid(k->msg_id);
    (void)jupyter_put(&c->queue.out, &k->jupyter, type, k->msg_id, content);
    kernel_queue_send(k, &c->queue);
}

static void ask_to_run(struct kernel *k)
{
    struct str code = buf_str(&k->cell);
    json_t *content = json_pack("{s:s%, s:b, s:b, s:{}, s:b, s:b}", "code", code.n ? code.p : "",
                                code.n, "silent", k->is_silent, "store_history", !k->is_silent,
                                "user_expressions", "stop_on_error", 0, "allow_stdin", 0);
    k->is_accepted = k->has_error = false;
    ask(k, "execute_request", content);
    json_decref(content);
}

/* -- what it says -- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void on_stream(struct kernel *k, const json_t *content)
{
    bool is_err = strcmp(text_of(content, "name"), "stderr") == 0;
    json_t *text = json_object_get(content, "text");
    kernel_emit(k, &(struct kernel_event){
                       .kind = is_err ? KERNEL_ERR : KERNEL_OUT,
                       .text = str_make(json_string_value(text), json_string_length(text)) });
}

static void on_display(struct kernel *k, const json_t *content)
{
    kernel_emit(k, &(struct kernel_event){ .kind = KERNEL_RESULT,
                                           .data = json_object_get(content, "data") });
}

static void on_result(struct kernel *k, const json_t *content)
{
    kernel_emit(k, &(struct kernel_event){ .kind = KERNEL_RESULT,
                                           .is_main = true,
                                           .data = json_object_get(content, "data") });
}

static void on_input(struct kernel *k, const json_t *content)
{
    k->is_accepted = true;
    kernel_emit(k, &(struct kernel_event){
                       .kind = KERNEL_COUNT,
                       .count = json_integer_value(json_object_get(content, "execution_count")) });
}

static void on_error(struct kernel *k, const json_t *content)
{
    struct buf traceback;
    json_t *line;
    size_t i;
    if (k->has_error)
        return;
    k->has_error = true;
    buf_init(&traceback, LIMIT_INTERP_MESSAGE_SIZE);
    json_array_foreach(json_object_get(content, "traceback"), i, line)(void)
        buf_append(&traceback, str_of(json_string_value(line)));
    kernel_emit(k, &(struct kernel_event){ .kind = KERNEL_ERROR,
                                           .name = text_of(content, "ename"),
                                           .value = text_of(content, "evalue"),
                                           .text = buf_str(&traceback) });
    buf_deinit(&traceback);
}

static void on_status(struct kernel *k, const json_t *content)
{
    const char *state = text_of(content, "execution_state");
    if (!k->is_ready && strcmp(state, "idle") == 0) {
        loop_timer_cancel(&k->retry);
        kernel_ready(k);
    } else if (strcmp(state, "busy") == 0) {
        k->is_accepted = k->is_accepted || k->is_silent;
    } else if (strcmp(state, "idle") == 0 && k->is_accepted) {
        kernel_done(k);
    }
}

static const struct {
    const char *type;
    void (*fn)(struct kernel *k, const json_t *content);
    bool when_silent;
} says[] = {
    { "stream", on_stream, false },         { "display_data", on_display, false },
    { "execute_result", on_result, false }, { "update_display_data", on_display, false },
    { "execute_input", on_input, false },   { "error", on_error, false },
    { "status", on_status, true },
};

static void on_published(struct kernel *k, const struct jupyter_msg *m)
{
    /* Of an earlier cell: a thread that it left behind. Before it is ready, of an earlier question.
     */
    if (k->is_ready && strcmp(m->parent_id, k->msg_id) != 0)
        return;
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++)
        if (strcmp(says[i].type, m->type) == 0 && (says[i].when_silent || !k->is_silent))
            says[i].fn(k, m->content);
}

static void again(struct loop_timer *t) { ask_to_run(t->data); }

/* The reply to a cell says what was published already, but for a cell that was not run at all. */
static void on_replied(struct kernel *k, const struct jupyter_msg *m)
{
    const char *status = text_of(m->content, "status");
    if (strcmp(m->parent_id, k->msg_id) != 0 || strncmp(status, "abort", 5) != 0 || !k->is_busy)
        return;
    if (k->refusals++ < REFUSALS_MOST) {
        k->retry = (struct loop_timer){ .fn = again, .data = k };
        (void)loop_timer_start(k->spec.loop, &k->retry, AGAIN_MS);
        return;
    }
    kernel_emit(k, &(struct kernel_event){ .kind = KERNEL_ERROR,
                                           .name = "ExecutionAborted",
                                           .value = "Execution was aborted",
                                           .text = STR("") });
    kernel_done(k);
}

static void on_frame(struct kernel *k, struct kernel_channel *c, const struct zmtp_frame *f)
{
    struct jupyter_msg m;
    int r = jupyter_read(&c->reader, &k->jupyter, f, &m);
    if (r == JUPYTER_WRONG)
        log_warn("a message of a kernel was dropped: not signed by it, too long, or no JSON");
    if (r != JUPYTER_MESSAGE)
        return;
    if (c == &k->channels[KERNEL_IOPUB])
        on_published(k, &m);
    else
        on_replied(k, &m);
    jupyter_msg_deinit(&m);
}

static void on_channel(struct loop_fd *w, uint32_t events)
{
    struct kernel_pipe *p = w->data;
    struct kernel *k = p->kernel;
    struct kernel_channel *c = LIST_OF(p, struct kernel_channel, pipe);
    struct zmtp_frame f;
    size_t used;
    (void)events;
    bool goes_on = kernel_pipe_read(p);
    int r = ZMTP_FRAME;
    while (r == ZMTP_FRAME) {
        r = zmtp_step(&c->zmtp, buf_str(&p->in), LIMIT_INTERP_MESSAGE_SIZE / 2, &f, &used);
        if (r == ZMTP_FRAME)
            on_frame(k, c, &f);
        kernel_pipe_consume(p, used);
    }
    if (c == &k->channels[KERNEL_IOPUB] && c->zmtp.is_ready && !c->is_subscribed) {
        c->is_subscribed = true;
        (void)zmtp_frame_put(&c->queue.out, STR("\x01"), false); /* to everything */
        kernel_queue_send(k, &c->queue);
    }
    if (goes_on && r != ZMTP_WRONG)
        return;
    loop_fd_cancel(w);
    kernel_break(k, r == ZMTP_WRONG ? "a message is too long or no ZMTP" : "its socket is closed");
}

static void jupyter_drain(struct kernel *k)
{
    struct kernel_pipe *p = &k->channels[KERNEL_IOPUB].pipe;
    if (p->watch.loop)
        on_channel(&p->watch, 0);
}

/* -- connecting -- */

static int channel_connect(struct kernel *k, int which)
{
    struct kernel_channel *c = &k->channels[which];
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s-%d", k->path, sockets[which].number);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        return -errno;
    c->queue.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int r = kernel_pipe_start(k, &c->pipe, TAKE_FD(fd), on_channel);
    if (r < 0 || c->queue.fd < 0)
        return r < 0 ? r : RAISE(-EMFILE);
    (void)zmtp_hello_put(&c->queue.out, sockets[which].type);
    kernel_queue_send(k, &c->queue);
    return 0;
}

/* First the sockets, then a question whose answer shows that iopub reaches us. */
static void on_retry(struct loop_timer *t)
{
    struct kernel *k = t->data;
    for (int i = 0; i < KERNEL_CHANNELS; i++)
        if (!k->channels[i].pipe.kernel && channel_connect(k, i) < 0) {
            (void)loop_timer_start(k->spec.loop, t, RETRY_MS);
            return;
        }
    /* libzmq ends a connection on which a message comes before it has said READY itself */
    if (!k->channels[KERNEL_SHELL].zmtp.is_ready || !k->channels[KERNEL_IOPUB].is_subscribed) {
        (void)loop_timer_start(k->spec.loop, t, RETRY_MS);
        return;
    }
    json_t *nothing = json_object();
    k->is_silent = true;
    ask(k, "kernel_info_request", nothing);
    json_decref(nothing);
    (void)loop_timer_start(k->spec.loop, t, REASK_MS);
}

static int jupyter_open(struct kernel *k)
{
    k->retry = (struct loop_timer){ .fn = on_retry, .data = k };
    return TRACE(loop_timer_start(k->spec.loop, &k->retry, RETRY_MS));
}

static void jupyter_close(struct kernel *k)
{
    char path[128];
    loop_timer_cancel(&k->retry);
    buf_deinit(&k->cell);
    for (int i = 0; i < KERNEL_CHANNELS; i++) {
        struct kernel_channel *c = &k->channels[i];
        if (c->pipe.kernel)
            fd_closep(&c->queue.fd);
        loop_fd_cancel(&c->queue.watch);
        kernel_pipe_close(&c->pipe);
        buf_deinit(&c->queue.out);
        jupyter_reader_deinit(&c->reader);
    }
    for (int i = JUPYTER_SHELL; i <= JUPYTER_HEARTBEAT; i++) {
        (void)snprintf(path, sizeof path, "%s-%d", k->path, i);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s.json", k->path);
    (void)unlink(path);
}

/* -- cells -- */

static void jupyter_run(struct kernel *k, struct str code, bool silent)
{
    (void)silent;
    k->refusals = 0;
    buf_reset(&k->cell);
    (void)buf_append(&k->cell, code);
    ask_to_run(k);
}

static void jupyter_env(struct kernel *k, const json_t *set, const json_t *unset)
{
    struct buf code;
    buf_init(&code, 0);
    language_put_env(&code, k->spec.language, set, unset);
    jupyter_run(k, buf_str(&code), true);
    buf_deinit(&code);
}

static void jupyter_pause(struct kernel *k, bool paused)
{
    struct kernel_pipe *p = &k->channels[KERNEL_IOPUB].pipe;
    if (p->watch.loop)
        loop_fd_change(&p->watch, paused ? 0 : EPOLLIN);
}

const struct kernel_wire kernel_jupyter = { jupyter_open,  jupyter_run,   jupyter_env,
                                            jupyter_pause, jupyter_drain, jupyter_close };
