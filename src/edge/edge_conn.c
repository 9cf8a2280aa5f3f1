#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "edge/edge.h"
#include "route/route.h"

#define READS_PER_EVENT 4
#define READ_HEAD 65536 /* bytes read at once where a head is expected */
#define LINGER_MS 2000

/* Waits between attempts to reach a port that refuses: a server that is just being started is
 * reached all the same (core.md 6.6), one second in all. */
static const int64_t retry_ms[] = { 100, 200, 300, 400 };
#define RETRIES (sizeof retry_ms / sizeof retry_ms[0])

enum conn_state {
    CONN_HEAD,     /* waiting for a request head */
    CONN_SLEEP,    /* for its sandbox to wake up */
    CONN_CONNECT,  /* for its sandbox: a socket, a connection, or the next attempt */
    CONN_EXCHANGE, /* request and response pass */
    CONN_TUNNEL,   /* after 101: bytes both ways */
    CONN_LINGER,   /* the last answer is being sent; input is read past */
    CONN_DEAD,
};

/* How much of a message body is to come. */
struct body {
    bool chunked, until_close, is_over;
    struct http_chunks chunks;
    int64_t left;
};

/* One client. Invariants: 1. `up` is set in EXCHANGE and TUNNEL, and in CONNECT once it is dialled.
 * 2. On a route's list from the request's start until its end. 3. `head` holds the request head,
 * as it goes to the sandbox, until a byte of the response came: a kept connection that turns out
 * to be closed is replaced, and the head sent again. */
struct edge_conn {
    struct edge *edge;
    struct list link, route_link, wait_link;
    enum conn_state state;
    int fd;
    struct loop_fd watch;
    struct loop_timer timer;  /* retries and time limits */
    struct loop_task task;    /* frees */
    struct buf in, out;       /* from the client, not yet used; to the client */
    struct edge_route *route; /* of the current request */
    struct edge_up *up;
    uint16_t port;
    struct buf head;
    struct body request, response;
    struct edge_stream stream; /* of the response */
    bool to_head, keep_alive, is_answered, sent_body, html;
    bool head_started; /* part of a head came: it has until the timer */
    uint32_t tries;
    bool to_v6; /* this attempt is for ::1 */
};

struct edge_conn *edge_conn_of_route(struct list *l)
{
    return LIST_OF(l, struct edge_conn, route_link);
}
struct edge_conn *edge_conn_of_wait(struct list *l)
{
    return LIST_OF(l, struct edge_conn, wait_link);
}

static void client_input(struct edge_conn *c);
static void conn_update(struct edge_conn *c);
static void dial(struct edge_conn *c);
static void dial_failed(struct edge_conn *c, int err, bool is_v6);

/* -- end -- */

static void on_free(struct loop_task *t)
{
    struct edge_conn *c = t->data;
    list_remove(&c->link);
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    buf_deinit(&c->head);
    free(c);
}

/* Leaves the sandbox: nothing of it is used any more. */
static void leave_route(struct edge_conn *c)
{
    if (c->up)
        edge_up_close(c->up);
    c->up = NULL;
    c->route = NULL;
    list_remove(&c->route_link);
    list_remove(&c->wait_link);
}

static void conn_close(struct edge_conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    leave_route(c);
    c->state = CONN_DEAD;
    c->edge->conn_count--;
    loop_fd_cancel(&c->watch);
    loop_timer_cancel(&c->timer);
    fd_closep(&c->fd);
    if (c->edge->is_synced)
        loop_fd_change(&c->edge->listen_watch, EPOLLIN);
    loop_task_post(c->edge->loop, &c->task);
}

void edge_conn_abort(struct edge_conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    conn_close(c);
}

static void linger(struct edge_conn *c)
{
    leave_route(c);
    c->state = CONN_LINGER;
    buf_reset(&c->in);
    if (!buf_used(&c->out))
        (void)shutdown(c->fd, SHUT_WR);
    (void)loop_timer_start(c->edge->loop, &c->timer, LINGER_MS);
}

/* Ready for the next request of the client. */
static void await_request(struct edge_conn *c)
{
    c->state = CONN_HEAD;
    (void)loop_timer_start(c->edge->loop, &c->timer, LIMIT_HTTP_IDLE_MS);
}

/* Answers the current request without its sandbox. */
static void fail(struct edge_conn *c, int status, const char *message, struct str path)
{
    struct edge_error err = { .status = status,
                              .message = message,
                              .path = path,
                              .html = c->html,
                              .close = !c->keep_alive || !c->request.is_over,
                              .method = c->to_head ? "HEAD" : NULL };
    if (c->is_answered) { /* too late for words */
        edge_conn_abort(c);
        return;
    }
    if (c->route) {
        err.sandbox = str_of(c->route->id);
        err.port = c->port == ROUTE_ENVD_PORT ? 0 : c->port;
    }
    edge_error_put(&c->out, &err);
    leave_route(c);
    buf_reset(&c->head);
    if (err.close)
        linger(c);
    else
        await_request(c);
}

/* -- bytes out -- */

/* Bytes that may be queued towards one slow side, and read at once: less with many connections. */
static size_t queue_most(const struct edge *e)
{
    size_t share = EDGE_QUEUE_ALL / (e->conn_count ? e->conn_count : 1);
    return share > EDGE_QUEUE ? EDGE_QUEUE : share < EDGE_QUEUE_LEAST ? EDGE_QUEUE_LEAST : share;
}

/* Sends at once what fits, queues the rest. False: broken. */
static bool push(int fd, struct buf *queue, struct str data)
{
    while (data.n && !buf_used(queue)) {
        ssize_t n = send(fd, data.p, data.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return false;
        data = str_skip(data, (size_t)n);
    }
    return buf_append(queue, data);
}

static bool flush(int fd, struct buf *queue)
{
    while (buf_used(queue)) {
        struct str s = buf_str(queue);
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        buf_consume(queue, (size_t)n);
    }
    buf_deinit(queue);
    return true;
}

/* -- bodies -- */

/* How many of `data` belong to the body. Negative: malformed. */
static ssize_t body_take(struct body *b, struct edge_stream *stream, struct str data)
{
    if (b->until_close)
        return (ssize_t)data.n;
    if (!b->chunked) {
        size_t n = data.n < (uint64_t)b->left ? data.n : (size_t)b->left;
        b->left -= (int64_t)n;
        b->is_over = b->left == 0;
        return (ssize_t)n;
    }
    size_t at = 0;
    while (at < data.n && !b->is_over) {
        struct str piece;
        size_t used;
        int r = http_chunks_step(&b->chunks, str_skip(data, at), &piece, &used);
        at += used;
        if (r > HTTP_MORE)
            return -1;
        if (stream)
            edge_stream_pass(stream, piece);
        b->is_over = r == HTTP_DONE;
    }
    return (ssize_t)at;
}

static struct body body_of(const struct http_head *h)
{
    return (struct body){ .chunked = h->chunked,
                          .until_close = h->until_close,
                          .left = h->length,
                          .is_over = !h->chunked && !h->until_close && h->length == 0 };
}

/* -- the exchange -- */

/* Request and response are through: the next one, or the end. */
static void exchange_over(struct edge_conn *c, bool up_alive)
{
    bool again = c->keep_alive && c->request.is_over;
    struct edge_up *up = c->up;
    c->up = NULL;
    if (up && up_alive && c->request.is_over)
        edge_up_keep(up);
    else if (up)
        edge_up_close(up);
    leave_route(c);
    buf_deinit(&c->head);
    if (!again) {
        linger(c);
        return;
    }
    await_request(c);
}

/* The sandbox's side ended or broke. */
static void up_gone(struct edge_conn *c)
{
    bool retry = c->up && c->up->is_reused && !c->is_answered && !c->sent_body;
    if (c->state == CONN_TUNNEL) {
        if (buf_used(&c->out))
            linger(c);
        else
            conn_close(c);
    } else if (retry) { /* a kept connection that its server closed: a fresh one */
        edge_up_close(c->up);
        c->up = NULL;
        c->state = CONN_CONNECT;
        dial(c);
    } else if (c->is_answered && c->response.until_close) {
        c->response.is_over = true;
        exchange_over(c, false);
    } else {
        fail(c, 502, "The sandbox closed the connection without an answer", STR_NONE);
    }
}

/* A response head. Returns how many bytes were used, 0 when more are needed, -1 when it is wrong.
 */
static ssize_t response_head(struct edge_conn *c, struct str data)
{
    struct http_head h;
    int r = http_parse_response(data, c->to_head, &h);
    if (r == HTTP_MORE)
        return 0;
    if (r != HTTP_DONE)
        return -1;
    struct str bytes = str_make(data.p, h.size);
    if (!push(c->fd, &c->out, bytes))
        return -1;
    if (h.status < 200 && h.status != 101)
        return (ssize_t)h.size; /* 100 or 103: the real one follows */
    c->is_answered = true;
    c->response = body_of(&h);
    edge_stream_begin(&c->stream, &h);
    c->keep_alive = c->keep_alive && h.keep_alive && !h.until_close;
    if (h.status == 101) {
        c->state = CONN_TUNNEL;
        c->response.is_over = false;
    }
    return (ssize_t)h.size;
}

/* Passes on what the sandbox sent. False: the connection was ended. */
static bool up_data(struct edge_conn *c, struct str data)
{
    while (data.n && (c->state == CONN_EXCHANGE || c->state == CONN_TUNNEL)) {
        ssize_t n;
        if (c->state == CONN_TUNNEL) {
            n = (ssize_t)data.n;
        } else if (!c->is_answered) {
            n = response_head(c, data);
            if (n == 0) {
                buf_append(&c->up->in, data);
                return true;
            }
            if (n < 0) {
                fail(c, 502, "The sandbox answered with something that is not HTTP", STR_NONE);
                return false;
            }
            data = str_skip(data, (size_t)n);
            n = 0;
        } else {
            n = body_take(&c->response, &c->stream, data);
        }
        if (n < 0 || !push(c->fd, &c->out, str_make(data.p, (size_t)n))) {
            edge_conn_abort(c);
            return false;
        }
        data = str_skip(data, (size_t)n);
        if (c->state == CONN_EXCHANGE && c->is_answered && c->response.is_over) {
            exchange_over(c, data.n == 0 && c->keep_alive);
            return false;
        }
    }
    return c->state == CONN_EXCHANGE || c->state == CONN_TUNNEL;
}

static void up_read(struct edge_conn *c)
{
    char *scratch = c->edge->scratch;
    for (int i = 0; i < READS_PER_EVENT && c->up && buf_used(&c->out) < queue_most(c->edge); i++) {
        size_t size = queue_most(c->edge);
        ssize_t n = recv(c->up->fd, scratch, size, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            up_gone(c);
            return;
        }
        struct str data = str_make(scratch, (size_t)n);
        if (buf_used(&c->up->in)) { /* a head that came in pieces */
            struct buf held = c->up->in;
            buf_init(&c->up->in, LIMIT_HTTP_HEAD_SIZE * 2);
            bool fits = buf_append(&held, data);
            bool goes_on = fits && up_data(c, buf_str(&held));
            buf_deinit(&held);
            if (!fits)
                fail(c, 502, "The sandbox answered with something that is not HTTP", STR_NONE);
            if (!goes_on)
                return;
        } else if (!up_data(c, data)) {
            return;
        }
        if ((size_t)n < size)
            return;
    }
}

/* Connected: the head goes out, the body follows as it comes. */
static void exchange_begin(struct edge_conn *c)
{
    c->state = CONN_EXCHANGE;
    c->up->conn = c;
    loop_timer_cancel(&c->timer);
    if (!push(c->up->fd, &c->up->out, buf_str(&c->head)))
        up_gone(c);
}

void edge_conn_on_up(struct edge_conn *c, uint32_t events)
{
    if (c->state == CONN_CONNECT) {
        int r = edge_up_connected(c->up);
        if (r == 0) {
            exchange_begin(c);
        } else {
            bool is_v6 = c->up->is_v6;
            edge_up_close(c->up);
            c->up = NULL;
            dial_failed(c, r, is_v6);
        }
    } else {
        if ((events & EPOLLOUT) && !flush(c->up->fd, &c->up->out)) {
            /* it does not read any more; its answer may be there all the same */
            buf_reset(&c->up->out);
            c->request.is_over = c->request.is_over || c->is_answered;
        }
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            up_read(c);
    }
    client_input(c);
    conn_update(c);
}

/* A stream ends with a word; what else is under way is cut off, as for a killed sandbox. */
void edge_conn_pause(struct edge_conn *c)
{
    bool is_between =
        c->state == CONN_EXCHANGE && c->is_answered && http_chunks_is_between(&c->response.chunks);
    if (!is_between || !edge_stream_end(&c->stream, str_of(c->route->id), &c->out)) {
        edge_conn_abort(c);
        return;
    }
    linger(c);
    conn_update(c);
}

/* -- reaching the sandbox -- */

/* Not reachable this time: again, or the answer that says so. */
static void dial_failed(struct edge_conn *c, int err, bool is_v6)
{
    bool was_v6 = c->to_v6;
    c->to_v6 = false;
    if (was_v6)
        err = -ECONNREFUSED; /* whatever IPv6 said, nothing listens on either */
    if (err == -ECONNREFUSED && is_v6 && !was_v6) {
        c->to_v6 = true; /* a server on ::1 only */
        dial(c);
        return;
    }
    bool again = err == -ECONNREFUSED || err == -EAGAIN || err == -ENOTCONN;
    if (again && c->tries < RETRIES) {
        (void)loop_timer_start(c->edge->loop, &c->timer, retry_ms[c->tries++]);
        return;
    }
    if (err == -ENOTCONN || err == -ETIMEDOUT || err == -ENOBUFS)
        fail(c, 503, "The server cannot reach sandboxes just now; try again", STR_NONE);
    else if (c->port == ROUTE_ENVD_PORT || err == -ESRCH)
        fail(c, 502, "The sandbox was not found", STR_NONE);
    else
        fail(c, 502, "The sandbox is running but port is not open", STR_NONE);
}

static void dial(struct edge_conn *c)
{
    bool is_v6 = false;
    int fd = -1;
    c->up = c->tries || c->to_v6 ? NULL : edge_up_reuse(c->route, c->port);
    if (c->up) {
        exchange_begin(c);
        return;
    }
    if (c->port != ROUTE_ENVD_PORT) {
        fd = edge_port_get(c->edge, c->route, &is_v6);
        if (fd == -EAGAIN) {
            list_push(&c->route->waiting, &c->wait_link);
            return;
        }
        if (fd < 0) {
            dial_failed(c, fd, false);
            return;
        }
    }
    c->up = edge_up_connect(c->edge, c->route, c->port, fd, is_v6, c->to_v6);
    if (!c->up) {
        dial_failed(c, -errno, is_v6);
        return;
    }
    c->up->conn = c;
    if (!c->up->is_connecting)
        exchange_begin(c);
}

void edge_conn_port(struct edge_conn *c, int err)
{
    if (c->state != CONN_CONNECT)
        return;
    if (err < 0)
        dial_failed(c, err, false);
    else
        dial(c);
    client_input(c);
    conn_update(c);
}

/* -- requests -- */

/* The head as the sandbox gets it: as it came, but for a masked Host (core.md 6.3). */
static void put_head(struct edge_conn *c, const struct http_head *h, struct str bytes)
{
    const char *mask = c->port == ROUTE_ENVD_PORT ? NULL : c->route->mask_host;
    buf_reset(&c->head);
    if (!mask) {
        buf_append(&c->head, bytes);
        return;
    }
    buf_printf(&c->head, STR_FMT " " STR_FMT " HTTP/1.%d\r\n", STR_ARG(h->method),
               STR_ARG(h->target), h->minor);
    const char *hole = strstr(mask, "${PORT}");
    int before = hole ? (int)(hole - mask) : (int)strlen(mask);
    buf_printf(&c->head, "Host: %.*s", before, mask);
    if (hole)
        buf_printf(&c->head, "%u%s", c->port, hole + strlen("${PORT}"));
    buf_append(&c->head, STR("\r\n"));
    for (uint32_t i = 0; i < h->field_count; i++) {
        bool host = str_ieq(h->fields[i].name, STR("host"));
        if (str_ieq(h->fields[i].name, STR("x-forwarded-host")))
            continue;
        buf_printf(&c->head, STR_FMT ": " STR_FMT "\r\n",
                   STR_ARG(host ? STR("X-Forwarded-Host") : h->fields[i].name),
                   STR_ARG(h->fields[i].value));
    }
    buf_append(&c->head, STR("\r\n"));
}

/* The traffic token of a sandbox that is not public. NULL: allowed. */
static const char *token_problem(const struct edge_conn *c, const struct http_head *h)
{
    if (!c->route->traffic_token || c->port == ROUTE_ENVD_PORT)
        return NULL;
    struct str given = http_field(h, "e2b-traffic-access-token");
    if (given.n == 0)
        return "Sandbox is secured with traffic access token. Token header "
               "'e2b-traffic-access-token' is missing";
    if (!str_secret_eq(given, str_of(c->route->traffic_token)))
        return "Sandbox is secured with traffic access token. Provided token in header "
               "'e2b-traffic-access-token' is invalid";
    return NULL;
}

/* An unknown or paused sandbox: named in the answer, though there is no route. */
static void fail_not_found(struct edge_conn *c, struct str id)
{
    struct edge_error err = { .status = 502,
                              .message = "The sandbox was not found",
                              .sandbox = id,
                              .html = c->html,
                              .close = !c->keep_alive || !c->request.is_over,
                              .method = c->to_head ? "HEAD" : NULL };
    edge_error_put(&c->out, &err);
    if (err.close)
        linger(c);
    else
        await_request(c);
}

/* Why a request may not wake its sandbox; NULL: it may. Ports that need a token have been looked at
 * before; envd's own check comes too late for a sandbox that sleeps (core.md 6.5). */
static const char *wake_problem(const struct edge_conn *c, const struct http_head *h)
{
    const char *token = c->port == ROUTE_ENVD_PORT ? c->route->envd_token : NULL;
    if (!token || edge_sign_is_by(h, str_of(token)) ||
        str_secret_eq(http_field(h, "x-access-token"), str_of(token)))
        return NULL;
    return "The sandbox is paused, and only a request with its access token resumes it";
}

static void hold(struct edge_conn *c)
{
    c->state = CONN_SLEEP;
    list_push(&c->route->sleepers, &c->wait_link);
    (void)loop_timer_start(c->edge->loop, &c->timer, LIMIT_EDGE_WAKE_MS);
    edge_wake(c->edge, c->route);
}

void edge_conn_woken(struct edge_conn *c, int status)
{
    static const struct {
        int status;
        const char *why;
    } table[] = {
        { 403, "The sandbox is paused and may not be resumed by this request" },
        { 409, "The sandbox is changing its state; try again" },
        { 429, "The sandbox cannot be resumed: too many sandboxes are running" },
        { 503, "The sandbox cannot be resumed just now; try again" },
        { 504, "The sandbox did not resume in time" },
    };
    if (c->state != CONN_SLEEP)
        return;
    loop_timer_cancel(&c->timer);
    if (status == 0) {
        c->state = CONN_CONNECT;
        dial(c);
    }
    if (status == 502) { /* as any request to it now, which names no port */
        fail_not_found(c, str_of(c->route->id));
        leave_route(c);
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            fail(c, status, table[i].why, STR_NONE);
    client_input(c);
    conn_update(c);
}

static void request_begin(struct edge_conn *c, const struct http_head *h, struct str bytes)
{
    struct route_target t;
    const char *why;
    c->request = body_of(h);
    c->response = (struct body){ 0 };
    c->to_head = str_eq(h->method, STR("HEAD"));
    c->html = route_wants_html(h);
    c->keep_alive = h->keep_alive;
    c->is_answered = c->sent_body = c->head_started = false;
    c->tries = 0;
    c->to_v6 = false;
    loop_timer_cancel(&c->timer);
    int r = edge_target_find(c->edge, h, &t, &why);
    if (r) {
        fail(c, r, why, STR_NONE);
        return;
    }
    if (t.port == ROUTE_ENVD_PORT && route_is_internal(h->path)) {
        fail(c, 404,
             "This endpoint is reserved for the E2B control plane and cannot be called here",
             h->path);
        return;
    }
    struct edge_route *route = edge_route_get(c->edge, t.id);
    if (!route || route->state == ROUTE_PAUSED) {
        fail_not_found(c, t.id);
        return;
    }
    c->route = route;
    c->port = t.port;
    list_push(&route->conns, &c->route_link);
    bool sleeps = route->state == ROUTE_RESUMABLE;
    const char *problem = token_problem(c, h);
    if (!problem && sleeps)
        problem = wake_problem(c, h);
    if (problem) {
        fail(c, 403, problem, STR_NONE);
        return;
    }
    put_head(c, h, bytes);
    if (sleeps) {
        hold(c);
        return;
    }
    c->state = CONN_CONNECT;
    dial(c);
}

/* One head at the front of c->in. False: not all there, or refused. */
static bool take_head(struct edge_conn *c)
{
    struct http_head h;
    struct str in = buf_str(&c->in);
    if (in.n == 0)
        return false;
    int r = http_parse_request(in, &h);
    if (r == HTTP_MORE) {
        if (!c->head_started)
            (void)loop_timer_start(c->edge->loop, &c->timer, LIMIT_HTTP_HEAD_MS);
        c->head_started = true;
        return false;
    }
    if (r != HTTP_DONE) {
        c->route = NULL;
        c->keep_alive = c->is_answered = c->html = c->to_head = false;
        fail(c, r, http_reason(r), STR_NONE);
        return false;
    }
    request_begin(c, &h, str_make(in.p, h.size));
    if (c->state != CONN_DEAD && c->state != CONN_LINGER)
        buf_consume(&c->in, h.size);
    return c->state == CONN_EXCHANGE || c->state == CONN_HEAD;
}

/* Passes on what of `in` belongs to the request. Returns how many bytes that were; -1: the
 * connection was ended. */
static ssize_t pass(struct edge_conn *c, struct str in)
{
    ssize_t n = c->state == CONN_TUNNEL ? (ssize_t)in.n : body_take(&c->request, NULL, in);
    if (n < 0) {
        edge_conn_abort(c);
        return -1;
    }
    c->sent_body = true;
    /* the sandbox may stop reading; what it answered is still to be read */
    if (!push(c->up->fd, &c->up->out, str_make(in.p, (size_t)n)))
        c->request.is_over = true;
    return n;
}

/* Passes on request bytes that were read already. False: nothing more can be done now. */
static bool pass_body(struct edge_conn *c)
{
    struct str in = buf_str(&c->in);
    if (in.n == 0 || (c->state == CONN_EXCHANGE && c->request.is_over) ||
        buf_used(&c->up->out) >= queue_most(c->edge))
        return false;
    ssize_t n = pass(c, in);
    if (n < 0)
        return false;
    buf_consume(&c->in, (size_t)n);
    return !c->request.is_over;
}

/* Does what can be done with the bytes in c->in. */
static void client_input(struct edge_conn *c)
{
    bool go = true;
    while (go) {
        switch (c->state) {
        case CONN_HEAD:
            go = take_head(c);
            break;
        case CONN_EXCHANGE:
        case CONN_TUNNEL:
            go = pass_body(c);
            break;
        case CONN_LINGER:
            buf_reset(&c->in);
            go = false;
            break;
        case CONN_SLEEP:
        case CONN_CONNECT:
        case CONN_DEAD:
            go = false;
            break;
        }
    }
}

/* -- the client's events -- */

static bool wants_input(const struct edge_conn *c)
{
    switch (c->state) {
    case CONN_HEAD:
        return buf_used(&c->out) < queue_most(c->edge);
    case CONN_EXCHANGE:
        return !c->request.is_over && buf_used(&c->up->out) < queue_most(c->edge);
    case CONN_TUNNEL:
        return buf_used(&c->up->out) < queue_most(c->edge);
    case CONN_LINGER:
        return true;
    default:
        return false;
    }
}

static void conn_update(struct edge_conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    uint32_t events = (wants_input(c) ? (uint32_t)EPOLLIN : 0u) |
                      (buf_used(&c->out) ? (uint32_t)EPOLLOUT : 0u) |
                      (c->state == CONN_LINGER ? 0u : (uint32_t)EPOLLRDHUP);
    loop_fd_change(&c->watch, events);
    if (!c->up || c->state == CONN_CONNECT)
        return;
    events = (buf_used(&c->out) < queue_most(c->edge) ? (uint32_t)EPOLLIN : 0u) |
             (buf_used(&c->up->out) ? (uint32_t)EPOLLOUT : 0u);
    loop_fd_change(&c->up->watch, events);
}

/* A body goes from the loop's own memory, which is warm, straight to the sandbox; only what belongs
 * to a later request is kept. */
static void client_bytes(struct edge_conn *c, struct str bytes)
{
    bool is_body = c->state == CONN_TUNNEL || (c->state == CONN_EXCHANGE && !c->request.is_over);
    if (is_body && !buf_used(&c->in)) {
        ssize_t n = pass(c, bytes);
        if (n < 0)
            return;
        bytes = str_skip(bytes, (size_t)n);
    }
    if (bytes.n && !buf_append(&c->in, bytes))
        conn_close(c);
    else
        client_input(c);
}

static void client_read(struct edge_conn *c)
{
    char *scratch = c->edge->scratch;
    for (int i = 0; i < READS_PER_EVENT && wants_input(c); i++) {
        size_t size = c->state == CONN_HEAD || buf_used(&c->in) ? READ_HEAD : queue_most(c->edge);
        ssize_t n = recv(c->fd, scratch, size, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) { /* the client is gone: its request ends, its command goes on */
            conn_close(c);
            return;
        }
        client_bytes(c, str_make(scratch, (size_t)n));
        if ((size_t)n < size)
            break;
    }
    if (!buf_used(&c->in))
        buf_deinit(&c->in);
}

static void on_event(struct loop_fd *w, uint32_t events)
{
    struct edge_conn *c = w->data;
    if ((events & EPOLLOUT) && !flush(c->fd, &c->out)) {
        conn_close(c);
        return;
    }
    if (c->state == CONN_LINGER && (events & EPOLLOUT) && !buf_used(&c->out))
        (void)shutdown(c->fd, SHUT_WR);
    if (events & EPOLLIN)
        client_read(c);
    bool waits = c->state == CONN_SLEEP || c->state == CONN_CONNECT ||
                 (c->state == CONN_EXCHANGE && c->request.is_over);
    if ((events & (EPOLLHUP | EPOLLERR)) || ((events & EPOLLRDHUP) && waits)) {
        conn_close(c);
        return;
    }
    conn_update(c);
}

static void on_timer(struct loop_timer *t)
{
    struct edge_conn *c = t->data;
    if (c->state == CONN_SLEEP) {
        list_remove(&c->wait_link);
        edge_conn_woken(c, 504);
        return;
    }
    if (c->state != CONN_CONNECT) {
        conn_close(c);
        return;
    }
    dial(c);
    client_input(c);
    conn_update(c);
}

void edge_conn_open(struct edge *e, int fd)
{
    struct edge_conn *c = calloc(1, sizeof *c);
    if (!c) {
        fd_closep(&fd);
        return;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on); /* clients that vanished */
    c->edge = e;
    c->fd = fd;
    c->watch = (struct loop_fd){ .fn = on_event, .data = c };
    c->timer = (struct loop_timer){ .fn = on_timer, .data = c };
    c->task = (struct loop_task){ .fn = on_free, .data = c };
    list_init(&c->route_link);
    list_init(&c->wait_link);
    buf_init(&c->in, EDGE_QUEUE);
    list_push(&e->conns, &c->link);
    e->conn_count++;
    if (loop_fd_start(e->loop, &c->watch, fd, EPOLLIN | EPOLLRDHUP) < 0) {
        conn_close(c);
        return;
    }
    (void)loop_timer_start(e->loop, &c->timer, LIMIT_HTTP_HEAD_MS);
}

void edge_conns_abort(struct edge *e)
{
    LIST_EACH(it, &e->conns)
        edge_conn_abort(LIST_OF(it, struct edge_conn, link));
}
