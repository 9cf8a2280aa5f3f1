/* POST /tunnel?port=N: the body of the request goes to a TCP port on the sandbox's 127.0.0.1, what
 * comes from there is the body of the answer, both at once. 502 when nothing listens.
 *
 * The end of the request's body is passed on as the end of our side of the connection; the end of
 * the other side ends the answer, and with it the tunnel: HTTP has no half of a call left then. A
 * connection that breaks cuts the client's. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/rest.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "gen/limits.h"
#include "wire/uri.h"

enum { READ_SIZE = 65536, READS_PER_EVENT = 4 };

struct tunnel {
    struct agent *agent;
    struct http_call *http;
    struct loop_fd watch;
    int fd, port;
    struct buf held; /* bytes that the port did not take yet; the client waits meanwhile */
    bool is_connected;
    bool is_full;   /* the client does not take what comes from the port */
    bool has_ended; /* the client said all it will */
    bool is_deaf;   /* the port takes no more: what the client still says is dropped */
};

static void tunnel_free(struct tunnel *t)
{
    loop_fd_cancel(&t->watch);
    fd_closep(&t->fd);
    buf_deinit(&t->held);
    t->agent->tunnel_count--;
    free(t);
}

static void watch(struct tunnel *t)
{
    bool writes = !t->is_connected || buf_used(&t->held);
    uint32_t events = (writes ? (uint32_t)EPOLLOUT : 0u) |
                      (t->is_connected && !t->is_full ? (uint32_t)EPOLLIN : 0u);
    if (!events)
        loop_fd_cancel(&t->watch); /* a hang-up would be told again and again */
    else if (t->watch.loop)
        loop_fd_change(&t->watch, events);
    else if (loop_fd_start(t->agent->loop, &t->watch, t->fd, events) < 0)
        http_call_break(t->http); /* on_gone follows */
}

/* -- to the port -- */

/* Before it is connected this would give the connection up. */
static void shut_when_said(struct tunnel *t)
{
    if (t->is_connected && t->has_ended && !buf_used(&t->held))
        (void)shutdown(t->fd, SHUT_WR);
}

/* How many of the bytes the port took. When it takes no more for ever, what it said before that is
 * still to be read. */
static size_t say(struct tunnel *t, struct str s)
{
    size_t at = 0;
    while (at < s.n && !t->is_deaf) {
        ssize_t n = send(t->fd, s.p + at, s.n - at, MSG_NOSIGNAL);
        if (n >= 0)
            at += (size_t)n;
        else if (errno == EAGAIN)
            return at;
        else
            t->is_deaf = errno != EINTR;
    }
    return s.n;
}

static void on_body(struct http_call *c, struct str piece)
{
    struct tunnel *t = c->data;
    size_t taken = say(t, piece);
    if (taken == piece.n)
        return;
    if (!buf_append(&t->held, str_skip(piece, taken))) {
        http_call_break(c);
        return;
    }
    http_call_pause(c);
    watch(t);
}

static void say_held(struct tunnel *t)
{
    if (!buf_used(&t->held))
        return;
    buf_consume(&t->held, say(t, buf_str(&t->held)));
    if (buf_used(&t->held))
        return;
    buf_deinit(&t->held);
    shut_when_said(t);
    http_call_resume(t->http);
}

static void on_end(struct http_call *c)
{
    struct tunnel *t = c->data;
    t->has_ended = true;
    shut_when_said(t);
}

/* -- from the port -- */

/* False: it is over, and the tunnel is gone. */
static bool listen_to(struct tunnel *t)
{
    static char bytes[READ_SIZE]; /* of one thread */
    for (int i = 0; i < READS_PER_EVENT && !t->is_full; i++) {
        ssize_t n = recv(t->fd, bytes, sizeof bytes, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n <= 0) {
            struct http_call *c = t->http;
            bool is_end = n == 0;
            tunnel_free(t);
            if (is_end)
                http_reply_end(c);
            else
                http_call_abort(c);
            return false;
        }
        t->is_full = !http_reply_write(t->http, str_make(bytes, (size_t)n));
    }
    return true;
}

static void on_drain(struct http_call *c)
{
    struct tunnel *t = c->data;
    t->is_full = false;
    watch(t);
}

static void on_gone(struct http_call *c) { tunnel_free(c->data); }

/* -- the connection -- */

/* Answers; the tunnel is gone. */
static void refuse(struct tunnel *t)
{
    struct http_call *c = t->http;
    struct buf b;
    buf_init(&b, 0);
    (void)buf_printf(&b,
                     "{\"code\":502,\"message\":\"nothing listens on port %d of the sandbox\","
                     "\"port\":%d}",
                     t->port, t->port);
    tunnel_free(t);
    rest_reply(c, 502, buf_str(&b));
    buf_deinit(&b);
}

static void on_event(struct loop_fd *w, uint32_t events)
{
    struct tunnel *t = w->data;
    if (!t->is_connected) {
        int err = 0;
        socklen_t n = sizeof err;
        if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0 || err) {
            refuse(t);
            return;
        }
        t->is_connected = true;
        http_reply_begin(t->http, 200, "application/octet-stream", "Cache-Control: no-store\r\n",
                         -1);
        http_call_resume(t->http);
        shut_when_said(t);
    } else {
        if (events & EPOLLOUT)
            say_held(t);
        if ((events & ~(uint32_t)EPOLLOUT) && !listen_to(t))
            return;
    }
    watch(t);
}

static int start(struct tunnel *t)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)t->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    t->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0)
        return -errno;
    (void)setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    t->watch.fn = on_event;
    t->watch.data = t;
    /* whether it succeeded or not is told by the first event */
    if (connect(t->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        return -errno;
    return loop_fd_start(t->agent->loop, &t->watch, t->fd, EPOLLOUT);
}

void rest_tunnel(struct agent *a, struct http_call *c)
{
    static const struct http_call_ops ops = {
        .on_body = on_body, .on_end = on_end, .on_drain = on_drain, .on_gone = on_gone
    };
    struct arena mem;
    struct str text;
    uint64_t port = 0;
    arena_init(&mem, LIMIT_HTTP_HEAD_SIZE);
    bool is_port = uri_query_get(&mem, c->head.query, "port", &text) == 1 &&
                   str_to_u64(text, 65535, &port) && port;
    arena_deinit(&mem);
    if (!is_port) {
        rest_fail(c, 400, "the query lacks port=1..65535");
        return;
    }
    if (a->tunnel_count >= LIMIT_TUNNELS) {
        rest_fail(c, 429, "too many tunnels are open: %d", LIMIT_TUNNELS);
        return;
    }
    struct tunnel *t = malloc(sizeof *t);
    if (!t) {
        rest_fail(c, 503, "out of memory");
        return;
    }
    *t = (struct tunnel){ .agent = a, .http = c, .fd = -1, .port = (int)port };
    a->tunnel_count++;
    buf_init(&t->held, 0); /* at most the piece that did not go: the client is paused then */
    int r = start(t);
    if (r == -ECONNREFUSED) {
        refuse(t);
    } else if (r < 0) {
        tunnel_free(t);
        rest_fail(c, 503, "no tunnel can be made now");
    } else {
        c->data = t;
        c->ops = &ops;
        http_call_pause(c);
        http_call_rest(c);
    }
}
