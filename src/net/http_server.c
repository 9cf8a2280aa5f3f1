#include "net/http_server.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#define READ_SIZE 65536u          /* one read(2): the default size of a pipe and of a good splice */
#define READS_PER_EVENT 8         /* then the others get a turn */
#define FILE_PER_ROUND (4u << 20) /* sendfile bytes of one connection in one round */
#define LINGER_MS 2000      /* reading past a body that was refused, so that the answer arrives */
#define DISCARD_SIZE 262144 /* of such a body, to keep the connection; past it, it is closed */
#define IN_SIZE (LIMIT_HTTP_HEAD_SIZE + READ_SIZE * 2)
#define RETRY_ACCEPT_MS 100 /* when descriptors or connections ran out */

enum phase {
    PHASE_HEAD,   /* waiting for a request */
    PHASE_BODY,   /* reading its body */
    PHASE_REPLY,  /* the body was read; the reply goes on */
    PHASE_LINGER, /* the last reply was sent; reading past what still comes */
    PHASE_DEAD,   /* closed; freed at the end of the round */
};

struct listener {
    struct list link;
    struct http_server *server;
    struct loop_fd watch;
    int fd, tag;
};

struct http_server {
    struct http_server_spec spec;
    struct list listeners, conns;
    uint32_t conn_count;
    size_t queued; /* bytes in the `out` of all connections, as last counted */
    struct loop_timer accept_timer;
    bool stopped;
    char scratch[READ_SIZE];
};

/* Invariants: 1. `call.ops` is set exactly while the handler may be called. 2. Bytes of a later
 * request stay in `in` until the call has ended. 3. Nothing is freed or sent inside a handler's
 * call: that is what `task` is for. */
struct http_conn {
    struct list link;
    struct http_server *server;
    int fd, tag;
    enum phase phase;
    struct loop_fd watch;
    struct loop_timer timer;
    int64_t deadline_ms;
    struct loop_task task;
    struct buf in, out;
    size_t counted; /* of `out`, in server->queued */
    char *head;     /* bytes that call.head points into */
    struct http_call call;
    struct http_chunks chunks;
    int64_t body_left;
    uint32_t discarded; /* bytes of body read after the reply was over */
    int file;
    off_t file_at;
    int64_t file_left;
    struct buf collected;
    size_t collect_max;
    void (*collect_fn)(struct http_call *c, struct str body);
    void (*collect_gone)(struct http_call *c);
    bool in_call, paused, rests, reply_over, reply_chunked, reply_bare, want_drain, close_after,
        cut;
};

static void process(struct http_conn *c, struct str data);

static struct loop *loop_of(const struct http_conn *c) { return c->server->spec.loop; }

static void later(struct http_conn *c) { loop_task_post(loop_of(c), &c->task); }

static void set_deadline(struct http_conn *c, int64_t ms)
{
    /* the timer is not moved for every request: it looks at the deadline when it fires */
    c->deadline_ms = loop_now_ms(loop_of(c)) + ms;
    if (!c->timer.loop || c->timer.due_ms > c->deadline_ms)
        (void)loop_timer_start(loop_of(c), &c->timer, ms);
}

/* -- the end of a connection -- */

static void conn_free(struct http_conn *c)
{
    c->server->queued -= c->counted;
    list_remove(&c->link);
    loop_task_cancel(&c->task);
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    buf_deinit(&c->collected);
    fd_closep(&c->file);
    free(c->head);
    free(c);
}

static void accept_more(struct http_server *s);

/* Closes now; tells the handler when it still has the call; frees at the end of the round. */
static void conn_close(struct http_conn *c)
{
    if (c->phase == PHASE_DEAD)
        return;
    c->phase = PHASE_DEAD;
    loop_fd_cancel(&c->watch);
    loop_timer_cancel(&c->timer);
    fd_closep(&c->fd);
    c->server->conn_count--;
    const struct http_call_ops *ops = c->call.ops;
    c->call.ops = NULL;
    if (ops && ops->on_gone)
        ops->on_gone(&c->call);
    accept_more(c->server);
    later(c);
}

/* Which events the connection needs now. */
static void conn_watch(struct http_conn *c)
{
    if (c->phase == PHASE_DEAD)
        return;
    bool reads = c->phase == PHASE_HEAD || c->phase == PHASE_LINGER ||
                 (c->phase == PHASE_BODY && !c->paused);
    bool writes = buf_used(&c->out) || c->file_left > 0;
    /* once the answer is complete it is sent even to a client that closed its sending side */
    bool asks = !c->reply_over && !c->file_left;
    loop_fd_change(&c->watch, (asks ? (uint32_t)EPOLLRDHUP : 0u) |
                                  (reads ? (uint32_t)EPOLLIN : 0u) |
                                  (writes ? (uint32_t)EPOLLOUT : 0u));
}

/* -- sending -- */

/* False: the connection broke and was closed. */
static bool send_out(struct http_conn *c)
{
    while (buf_used(&c->out)) {
        struct str s = buf_str(&c->out);
        ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL | (c->file_left > 0 ? MSG_MORE : 0));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0) {
            conn_close(c);
            return false;
        }
        buf_consume(&c->out, (size_t)n);
    }
    if (c->out.cap > LIMIT_HTTP_HEAD_SIZE)
        buf_deinit(&c->out);
    return true;
}

static bool send_file(struct http_conn *c)
{
    uint32_t round = 0;
    while (c->file_left > 0 && !buf_used(&c->out) && round < FILE_PER_ROUND) {
        size_t want = c->file_left < FILE_PER_ROUND ? (size_t)c->file_left : FILE_PER_ROUND;
        ssize_t n = sendfile(c->fd, c->file, &c->file_at, want);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return true;
        if (n <= 0) { /* 0: the file shrank; the promised length cannot be kept */
            conn_close(c);
            return false;
        }
        c->file_left -= n;
        round += (uint32_t)n;
        if (c->file_left == 0) {
            fd_closep(&c->file);
            c->reply_over = true;
        }
    }
    return true;
}

/* -- between requests -- */

static void collected_free(struct http_conn *c)
{
    buf_deinit(&c->collected);
    c->collect_fn = NULL;
}

/* The reply is complete and sent, as far as it will be: next request or the end. */
static void call_over(struct http_conn *c)
{
    bool unread = c->phase == PHASE_BODY;
    collected_free(c);
    free(TAKE_PTR(c->head));
    c->reply_over = c->reply_chunked = c->reply_bare = c->paused = c->want_drain = c->rests = false;
    c->chunks = (struct http_chunks){ 0 };
    c->discarded = 0;
    if (unread || c->close_after || c->server->stopped) {
        c->phase = PHASE_LINGER;
        (void)shutdown(c->fd, SHUT_WR);
        set_deadline(c, LINGER_MS);
        return;
    }
    c->phase = PHASE_HEAD;
    set_deadline(c, LIMIT_HTTP_IDLE_MS);
}

static void count_out(struct http_conn *c)
{
    c->server->queued += buf_used(&c->out) - c->counted;
    c->counted = buf_used(&c->out);
}

static bool is_pressed(const struct http_server *s) { return s->queued > LIMIT_HTTP_OUT_TOTAL; }

static void drained(struct http_conn *c)
{
    size_t most = is_pressed(c->server) ? 0 : LIMIT_HTTP_OUT_SIZE / 2;
    if (!c->want_drain || http_reply_queued(&c->call) > most)
        return;
    c->want_drain = false;
    if (c->call.ops && c->call.ops->on_drain)
        c->call.ops->on_drain(&c->call);
}

/* Sends what is queued, then goes on with what has been read already. */
static void conn_turn(struct http_conn *c)
{
    if (c->phase == PHASE_DEAD) {
        conn_free(c);
        return;
    }
    if (c->cut) {
        struct linger hard = { .l_onoff = 1, .l_linger = 0 };
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        conn_close(c);
        return;
    }
    if (!send_out(c) || !send_file(c))
        return;
    count_out(c);
    drained(c);
    if (c->phase == PHASE_DEAD)
        return;
    bool spent = c->phase == PHASE_REPLY ||
                 (c->phase == PHASE_BODY && (c->close_after || c->discarded > DISCARD_SIZE));
    if (c->reply_over && spent && !buf_used(&c->out))
        call_over(c);
    if (buf_used(&c->in) && (c->phase == PHASE_HEAD || (c->phase == PHASE_BODY && !c->paused))) {
        struct buf held = c->in;
        buf_init(&c->in, IN_SIZE);
        process(c, buf_str(&held));
        buf_deinit(&held);
    }
    conn_watch(c);
}

static void on_task(struct loop_task *t) { conn_turn(t->data); }

/* -- replies -- */

static struct http_conn *conn_of(const struct http_call *call) { return call->conn; }

/* Its body may not be read to the end: who would send another request behind it must know. */
static bool is_left_unread(const struct http_conn *c, int status)
{
    if (c->phase != PHASE_BODY || c->body_left == 0)
        return false;
    bool is_long = c->body_left < 0 || c->body_left > DISCARD_SIZE; /* < 0: chunked */
    /* a client that waits for "continue" may never send it */
    return c->call.head.expect_continue || (status >= 400 && is_long);
}

static void reply_head(struct http_call *call, int status, const char *type, const char *fields,
                       int64_t length)
{
    struct http_conn *c = conn_of(call);
    struct buf *out = &c->out;
    bool bodyless = status == 204 || status == 304 || status < 200;
    assert(!call->is_replying);
    call->is_replying = true;
    if (is_left_unread(c, status))
        c->close_after = true;
    c->reply_chunked = length < 0 && call->head.minor == 1 && !bodyless;
    c->reply_bare = bodyless || str_eq(call->head.method, STR("HEAD"));
    if (!call->head.keep_alive || (length < 0 && call->head.minor == 0))
        c->close_after = true;
    http_put_status(out, status);
    if (type)
        http_put_field(out, "Content-Type", str_of(type));
    if (c->server->spec.fields)
        buf_append(out, str_of(c->server->spec.fields));
    if (fields)
        buf_append(out, str_of(fields));
    if (c->reply_chunked)
        buf_append(out, STR("Transfer-Encoding: chunked\r\n"));
    else if (length >= 0 && !bodyless)
        buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
    if (c->close_after)
        buf_append(out, STR("Connection: close\r\n"));
    buf_append(out, STR("\r\n"));
    if (out->failed)
        c->cut = true;
    later(c);
}

void http_reply_begin(struct http_call *call, int status, const char *type, const char *fields,
                      int64_t length)
{
    reply_head(call, status, type, fields, length);
}

size_t http_reply_queued(const struct http_call *call) { return buf_used(&conn_of(call)->out); }

bool http_reply_write(struct http_call *call, struct str piece)
{
    struct http_conn *c = conn_of(call);
    assert(call->is_replying && !c->reply_over);
    if (piece.n && !c->reply_bare) {
        if (c->reply_chunked)
            buf_printf(&c->out, "%zx\r\n", piece.n);
        buf_append(&c->out, piece);
        if (c->reply_chunked)
            buf_append(&c->out, STR("\r\n"));
    }
    if (c->out.failed)
        c->cut = true;
    later(c);
    count_out(c);
    size_t most = is_pressed(c->server) ? 0 : LIMIT_HTTP_OUT_SIZE;
    c->want_drain = http_reply_queued(call) > most;
    return !c->want_drain;
}

bool http_reply_is_pressed(const struct http_call *call)
{
    return is_pressed(conn_of(call)->server);
}

void http_reply_end(struct http_call *call)
{
    struct http_conn *c = conn_of(call);
    assert(call->is_replying && !c->reply_over);
    if (c->reply_chunked && !c->reply_bare)
        buf_append(&c->out, STR("0\r\n\r\n"));
    if (c->out.failed)
        c->cut = true;
    c->reply_over = true;
    c->paused = false;
    call->ops = NULL;
    if (c->phase == PHASE_BODY)
        set_deadline(c, LINGER_MS);
    later(c);
}

void http_reply(struct http_call *call, int status, const char *type, const char *fields,
                struct str body)
{
    struct http_conn *c = conn_of(call);
    reply_head(call, status, type, fields, (int64_t)body.n);
    if (!c->reply_bare)
        buf_append(&c->out, body);
    http_reply_end(call);
}

void http_reply_file(struct http_call *call, int fd, off_t offset, int64_t length)
{
    struct http_conn *c = conn_of(call);
    assert(call->is_replying && !c->reply_over && c->file < 0);
    if (length == 0 || c->reply_bare) {
        fd_closep(&fd);
        http_reply_end(call);
        return;
    }
    c->file = fd;
    c->file_at = offset;
    c->file_left = length;
    call->ops = NULL;
    later(c);
}

void http_call_abort(struct http_call *call)
{
    struct http_conn *c = conn_of(call);
    call->ops = NULL;
    c->cut = true;
    later(c);
}

void http_call_break(struct http_call *call)
{
    conn_of(call)->cut = true;
    later(conn_of(call));
}

int http_call_tag(const struct http_call *call) { return conn_of(call)->tag; }

void http_call_pause(struct http_call *call)
{
    conn_of(call)->paused = true;
    later(conn_of(call));
}

void http_call_resume(struct http_call *call)
{
    conn_of(call)->paused = false;
    later(conn_of(call));
}

void http_call_rest(struct http_call *call) { conn_of(call)->rests = true; }

/* -- collecting a body -- */

static void collect_body(struct http_call *call, struct str piece)
{
    struct http_conn *c = conn_of(call);
    if (buf_append(&c->collected, piece))
        return;
    void (*gone)(struct http_call *) = c->collect_gone;
    http_reply(call, 413, "application/json", NULL,
               STR("{\"code\":413,\"message\":\"the request body is too large\"}"));
    if (gone)
        gone(call);
}

static void collect_end(struct http_call *call)
{
    struct http_conn *c = conn_of(call);
    c->collect_fn(call, buf_str(&c->collected));
}

static void collect_gone(struct http_call *call)
{
    struct http_conn *c = conn_of(call);
    if (c->collect_gone)
        c->collect_gone(call);
}

void http_call_collect(struct http_call *call, size_t limit,
                       void (*fn)(struct http_call *c, struct str body),
                       void (*on_gone)(struct http_call *c))
{
    static const struct http_call_ops ops = { .on_body = collect_body,
                                              .on_end = collect_end,
                                              .on_gone = collect_gone };
    struct http_conn *c = conn_of(call);
    buf_init(&c->collected, limit);
    c->collect_fn = fn;
    c->collect_gone = on_gone;
    call->ops = &ops;
}

/* -- requests -- */

/* A head that cannot be served: one answer, then the end. */
static void refuse(struct http_conn *c, int status)
{
    struct buf body;
    buf_init(&body, 0);
    buf_printf(&body, "{\"code\":%d,\"message\":\"%s\"}", status, http_reason(status));
    c->call = (struct http_call){ .conn = c, .head = { .minor = 1, .length = 0 } };
    c->close_after = true;
    c->phase = PHASE_REPLY;
    http_reply(&c->call, status, "application/json", NULL, buf_str(&body));
    buf_deinit(&body);
}

/* Moves the views of a head from `old` to its copy. */
static void head_rebase(struct http_head *h, const char *old, const char *copy)
{
    struct str *views[] = { &h->method, &h->target, &h->path, &h->query, &h->reason };
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
        if (views[i]->p)
            views[i]->p = copy + (views[i]->p - old);
    for (uint32_t i = 0; i < h->field_count; i++) {
        h->fields[i].name.p = copy + (h->fields[i].name.p - old);
        h->fields[i].value.p = copy + (h->fields[i].value.p - old);
    }
}

static void body_done(struct http_conn *c)
{
    c->phase = PHASE_REPLY;
    if (c->call.ops && c->call.ops->on_end)
        c->call.ops->on_end(&c->call);
    if (c->reply_over)
        later(c);
}

/* Takes a whole head from the front of `data`. False: more is needed, or it was refused. */
static bool take_head(struct http_conn *c, struct str *data)
{
    c->call = (struct http_call){ .conn = c };
    int r = http_parse_request(*data, &c->call.head);
    if (r == HTTP_MORE) {
        if (c->timer.loop && c->deadline_ms > loop_now_ms(loop_of(c)) + LIMIT_HTTP_HEAD_MS)
            set_deadline(c, LIMIT_HTTP_HEAD_MS);
        return false;
    }
    struct http_head *h = &c->call.head;
    c->head = r ? NULL : malloc(h->size);
    if (!c->head) {
        refuse(c, r ? r : 503);
        *data = STR_NONE;
        return false;
    }
    memcpy(c->head, data->p, h->size);
    head_rebase(h, data->p, c->head);
    *data = str_skip(*data, h->size);
    c->body_left = h->chunked ? -1 : h->length;
    c->phase = PHASE_BODY;
    set_deadline(c, LIMIT_AGENT_BODY_MS);
    c->server->spec.on_call(&c->call, c->server->spec.data);
    assert(c->call.ops || c->reply_over || c->cut || c->file_left > 0 || c->phase == PHASE_DEAD);
    if (c->phase != PHASE_BODY)
        return c->phase != PHASE_DEAD;
    if (c->body_left == 0)
        body_done(c);
    else if (h->expect_continue && !c->call.is_replying && c->call.ops) {
        buf_append(&c->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
        later(c);
    }
    return c->phase != PHASE_DEAD;
}

/* Takes a piece of the body. False: malformed. */
static bool take_body(struct http_conn *c, struct str *data)
{
    struct str piece;
    size_t used;
    int r = HTTP_MORE;
    if (c->call.head.chunked) {
        r = http_chunks_step(&c->chunks, *data, &piece, &used);
    } else {
        used = data->n < (uint64_t)c->body_left ? data->n : (size_t)c->body_left;
        piece = str_make(data->p, used);
        c->body_left -= (int64_t)used;
        r = c->body_left ? HTTP_MORE : HTTP_DONE;
    }
    *data = str_skip(*data, used);
    if (r > HTTP_MORE)
        return false;
    if (c->reply_over) {
        c->discarded += (uint32_t)used;
        if (c->discarded > DISCARD_SIZE)
            later(c);
    } else if (piece.n && c->call.ops && c->call.ops->on_body) {
        c->call.ops->on_body(&c->call, piece);
    }
    if (r == HTTP_DONE && c->phase == PHASE_BODY)
        body_done(c);
    return true;
}

/* A malformed body: the sender cannot be understood any more. */
static void body_broken(struct http_conn *c)
{
    const struct http_call_ops *ops = c->call.ops;
    c->call.ops = NULL;
    if (ops && ops->on_gone)
        ops->on_gone(&c->call);
    if (c->call.is_replying)
        conn_close(c);
    else
        refuse(c, 400);
}

/* Goes through `data` as far as the state allows; keeps the rest for later. */
static void process(struct http_conn *c, struct str data)
{
    bool go = true;
    while (go && data.n && !c->cut) {
        switch (c->phase) {
        case PHASE_HEAD:
            go = take_head(c, &data);
            break;
        case PHASE_BODY:
            if (c->paused)
                go = false;
            else if (!take_body(c, &data)) {
                body_broken(c);
                go = false;
                data = STR_NONE;
            }
            break;
        case PHASE_LINGER:
        case PHASE_DEAD:
            data = STR_NONE;
            break;
        case PHASE_REPLY:
            go = false;
            break;
        }
    }
    if (data.n && c->phase != PHASE_DEAD && !buf_append(&c->in, data))
        conn_close(c);
}

/* -- events -- */

static void read_some(struct http_conn *c)
{
    char *scratch = c->server->scratch;
    for (int i = 0; i < READS_PER_EVENT; i++) {
        bool reads = c->phase == PHASE_HEAD || c->phase == PHASE_LINGER ||
                     (c->phase == PHASE_BODY && !c->paused);
        if (!reads || c->cut)
            return;
        ssize_t n = recv(c->fd, scratch, READ_SIZE, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            conn_close(c);
            return;
        }
        if (c->phase == PHASE_BODY && !c->reply_over)
            set_deadline(c, LIMIT_AGENT_BODY_MS);
        if (buf_used(&c->in)) { /* a head that came in pieces */
            struct buf held = c->in;
            buf_init(&c->in, IN_SIZE);
            if (buf_append(&held, str_make(scratch, (size_t)n)))
                process(c, buf_str(&held));
            else
                conn_close(c);
            buf_deinit(&held);
        } else {
            process(c, str_make(scratch, (size_t)n));
        }
        if ((size_t)n < READ_SIZE)
            return;
    }
}

static void on_event(struct loop_fd *w, uint32_t events)
{
    struct http_conn *c = w->data;
    if (events & EPOLLIN)
        read_some(c);
    if (c->phase == PHASE_DEAD)
        return;
    /* a client that hung up is not waiting for its answer */
    bool waits = c->phase == PHASE_REPLY && !c->reply_over && !c->file_left;
    if ((events & (EPOLLHUP | EPOLLERR)) || ((events & EPOLLRDHUP) && waits)) {
        conn_close(c);
        return;
    }
    if (events & EPOLLOUT)
        later(c);
    conn_watch(c);
}

static void on_timer(struct loop_timer *t)
{
    struct http_conn *c = t->data;
    int64_t left = c->deadline_ms - loop_now_ms(loop_of(c));
    bool with_handler = !c->reply_over && (c->phase == PHASE_REPLY || c->paused || c->rests);
    if (with_handler)
        left = LIMIT_HTTP_IDLE_MS; /* the handler has its own deadlines */
    if (left > 0)
        (void)loop_timer_start(loop_of(c), &c->timer, left);
    else
        conn_close(c);
}

static int conn_new(struct http_server *s, int fd, int tag)
{
    struct http_conn *c = calloc(1, sizeof *c);
    if (!c) {
        fd_closep(&fd);
        return -ENOMEM;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on unix sockets */
    c->server = s;
    c->fd = fd;
    c->tag = tag;
    c->file = -1;
    buf_init(&c->in, IN_SIZE);
    buf_init(&c->out, 0);
    c->watch = (struct loop_fd){ .fn = on_event, .data = c };
    c->timer = (struct loop_timer){ .fn = on_timer, .data = c };
    c->task = (struct loop_task){ .fn = on_task, .data = c };
    list_push(&s->conns, &c->link);
    s->conn_count++;
    int r = loop_fd_start(s->spec.loop, &c->watch, fd, EPOLLIN | EPOLLRDHUP);
    if (r < 0) {
        conn_close(c);
        return TRACE(r);
    }
    set_deadline(c, LIMIT_HTTP_HEAD_MS);
    return 0;
}

/* -- listeners -- */

static void accept_pause(struct http_server *s, bool pause)
{
    LIST_EACH(it, &s->listeners) {
        struct listener *l = LIST_OF(it, struct listener, link);
        loop_fd_change(&l->watch, pause ? 0 : EPOLLIN);
    }
}

static void accept_more(struct http_server *s)
{
    if (!s->stopped && !s->accept_timer.loop)
        accept_pause(s, s->conn_count >= s->spec.conns_max);
}

static void on_accept_timer(struct loop_timer *t) { accept_more(t->data); }

static void on_accept(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct listener *l = w->data;
    struct http_server *s = l->server;
    for (int i = 0; i < 64 && s->conn_count < s->spec.conns_max; i++) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
            return;
        if (fd < 0) {
            log_warn("cannot accept a connection: %s", strerror(errno));
            accept_pause(s, true);
            (void)loop_timer_start(s->spec.loop, &s->accept_timer, RETRY_ACCEPT_MS);
            return;
        }
        (void)conn_new(s, fd, l->tag);
    }
    accept_more(s);
}

struct http_server *http_server_new(const struct http_server_spec *spec)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->spec = *spec;
    s->accept_timer = (struct loop_timer){ .fn = on_accept_timer, .data = s };
    list_init(&s->listeners);
    list_init(&s->conns);
    return s;
}

int http_server_listen(struct http_server *s, int fd, int tag)
{
    struct listener *l = calloc(1, sizeof *l);
    if (!l) {
        fd_closep(&fd);
        return RAISE(-ENOMEM);
    }
    *l = (struct listener){ .server = s, .fd = fd, .tag = tag };
    l->watch = (struct loop_fd){ .fn = on_accept, .data = l };
    int r = loop_fd_start(s->spec.loop, &l->watch, fd, EPOLLIN);
    if (r < 0) {
        fd_closep(&l->fd);
        free(l);
        return TRACE(r);
    }
    list_push(&s->listeners, &l->link);
    return 0;
}

void http_server_stop(struct http_server *s)
{
    s->stopped = true;
    loop_timer_cancel(&s->accept_timer);
    LIST_EACH_SAFE(it, &s->listeners) {
        struct listener *l = LIST_OF(it, struct listener, link);
        loop_fd_cancel(&l->watch);
        fd_closep(&l->fd);
        list_remove(it);
        free(l);
    }
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    http_server_stop(s);
    LIST_EACH_SAFE(it, &s->conns) {
        struct http_conn *c = LIST_OF(it, struct http_conn, link);
        conn_close(c);
        conn_free(c);
    }
    free(s);
}
