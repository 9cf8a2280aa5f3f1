#include "net/http_client.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

enum { READ_SIZE = 65536, SENDS_PER_ROUND = 16 };

void http_fetch_cancel(struct http_fetch *f)
{
    if (!f->loop)
        return;
    loop_fd_cancel(&f->watch);
    loop_timer_cancel(&f->timer);
    fd_closep(&f->fd);
    fd_closep(&f->file);
    buf_deinit(&f->out);
    buf_deinit(&f->in);
    f->loop = NULL;
}

static void end(struct http_fetch *f, int r)
{
    http_fetch_cancel(f);
    f->ops->on_end(f, r);
}

/* -- the answer -- */

/* Hands out what is in f->in. 1 goes on, 0 the answer is complete, or a negative errno. When the
 * callback ended the fetch f->loop is NULL. */
static int take_body(struct http_fetch *f)
{
    for (;;) {
        struct str in = buf_str(&f->in), piece = in;
        size_t used = in.n;
        int r = HTTP_MORE;
        if (f->is_chunked) {
            r = http_chunks_step(&f->chunks, in, &piece, &used);
            if (r != HTTP_DONE && r != HTTP_MORE)
                return RAISE(-EPROTO);
        } else if (!f->until_close && (int64_t)in.n > f->body_left) {
            piece.n = used = (size_t)f->body_left;
        }
        if (piece.n)
            f->ops->on_body(f, piece);
        if (!f->loop)
            return 1;
        buf_consume(&f->in, used);
        f->body_left -= f->is_chunked || f->until_close ? 0 : (int64_t)used;
        if (r == HTTP_DONE || (!f->is_chunked && !f->until_close && f->body_left == 0))
            return 0;
        if (!used || !buf_used(&f->in))
            return 1;
    }
}

static int take_head(struct http_fetch *f)
{
    struct http_head h;
    int r = http_parse_response(buf_str(&f->in), false, &h);
    if (r == HTTP_MORE)
        return buf_used(&f->in) > LIMIT_HTTP_HEAD_SIZE ? RAISE(-EPROTO) : 1;
    if (r != HTTP_DONE || h.status < 200)
        return RAISE(-EPROTO);
    f->status = h.status;
    f->is_chunked = h.chunked;
    f->until_close = h.until_close;
    f->body_left = h.length;
    buf_consume(&f->in, h.size);
    return take_body(f);
}

static int take(struct http_fetch *f) { return f->status ? take_body(f) : take_head(f); }

static int receive(struct http_fetch *f)
{
    char *room = buf_room(&f->in, READ_SIZE);
    if (!room)
        return RAISE(-ENOMEM);
    ssize_t n = recv(f->fd, room, READ_SIZE, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    if (n == 0)
        return f->status && f->until_close ? 0 : -ECONNRESET;
    buf_added(&f->in, (size_t)n);
    return take(f);
}

/* -- the request -- */

static int send_some(struct http_fetch *f)
{
    for (int i = 0; i < SENDS_PER_ROUND && (buf_used(&f->out) || f->file_left); i++) {
        struct str s = buf_str(&f->out);
        ssize_t n = s.n ? send(f->fd, s.p, s.n, MSG_NOSIGNAL)
                        : sendfile(f->fd, f->file, &f->file_at, (size_t)f->file_left);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n < 0)
            return -errno;
        if (n == 0 && !s.n)
            return RAISE(-EIO); /* the file shrank */
        if (s.n)
            buf_consume(&f->out, (size_t)n);
        else
            f->file_left -= n;
    }
    return 0;
}

static void on_event(struct loop_fd *w, uint32_t events)
{
    struct http_fetch *f = w->data;
    int r = 1;
    if (f->idle_ms)
        (void)loop_timer_start(f->loop, &f->timer, f->idle_ms);
    /* a refusal may come before all was sent, and the sending fail because of it */
    int sent = events & EPOLLOUT ? send_some(f) : 0;
    if (sent < 0)
        f->file_left = 0;
    if (sent < 0 || events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        r = receive(f);
    if (!f->loop)
        return;
    if (r == 1 && sent < 0)
        r = sent;
    if (r <= 0)
        end(f, r);
    else
        loop_fd_change(w, EPOLLIN | (buf_used(&f->out) || f->file_left ? (uint32_t)EPOLLOUT : 0));
}

static void on_timer(struct loop_timer *t) { end(t->data, -ETIMEDOUT); }

static int dial(struct http_fetch *f, const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    if (!str_copy(str_of(path), sa.sun_path, sizeof sa.sun_path))
        return RAISE(-ENAMETOOLONG);
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (f->fd < 0 || connect(f->fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return RAISE(-errno);
    return 0;
}

int http_fetch_start(struct http_fetch *f, const struct http_fetch_spec *spec)
{
    const struct http_fetch_ops *ops = f->ops;
    void *data = f->data;
    *f = (struct http_fetch){ .loop = spec->loop, .ops = ops, .data = data, .fd = -1 };
    f->file = spec->file;
    f->file_left = spec->file >= 0 ? spec->file_size : 0;
    f->idle_ms = spec->idle_ms;
    f->watch = (struct loop_fd){ .fn = on_event, .data = f };
    f->timer = (struct loop_timer){ .fn = on_timer, .data = f };
    buf_init(&f->out, 0);
    buf_init(&f->in, 2 * READ_SIZE + LIMIT_HTTP_HEAD_SIZE);
    (void)buf_printf(&f->out,
                     "%s " STR_FMT " HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n%s"
                     "Content-Length: %lld\r\n\r\n",
                     spec->method, STR_ARG(spec->target), spec->fields ? spec->fields : "",
                     spec->file >= 0 ? (long long)spec->file_size : (long long)spec->body.n);
    if (spec->file < 0)
        (void)buf_append(&f->out, spec->body);
    int r = f->out.failed ? RAISE(-ENOMEM) : dial(f, spec->path);
    if (r == 0)
        r = loop_fd_start(f->loop, &f->watch, f->fd, EPOLLIN | EPOLLOUT);
    if (r == 0 && f->idle_ms)
        r = loop_timer_start(f->loop, &f->timer, f->idle_ms);
    if (r < 0)
        http_fetch_cancel(f);
    return TRACE(r);
}
