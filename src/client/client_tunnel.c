/* A TCP connection through POST /tunnel (docs/tunnel.md): a request whose body and answer are both
 * chunked and flow at once. curl connects, and encrypts when it must; the request is ours, for curl
 * does not let a call rest in both directions. */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_answer.h"
#include "client/client_internal.h"
#include "gen/limits.h"
#include "wire/http.h"

enum { PIECE_SIZE = 65536 };

struct belljar_tunnel {
    struct belljar_sandbox *s;
    struct client_call call; /* its curl has the connection */
    int fd, port;
    struct buf in, out; /* as it came, not yet decoded; framed, not yet sent */
    struct http_chunks chunks;
    bool has_ended, is_over;
};

static int lost(struct belljar_tunnel *t)
{
    int rc = client_fail(t->s->b, ECONNRESET, "the tunnel to port %d broke", t->port);
    return client_sandbox_broken(t->s, rc);
}

/* Sends what it can. 0, or an error. */
static int flush(struct belljar_tunnel *t)
{
    while (buf_used(&t->out)) {
        struct str s = buf_str(&t->out);
        size_t n = 0;
        CURLcode code = curl_easy_send(t->call.curl, s.p, s.n, &n);
        if (code == CURLE_AGAIN)
            return 0;
        if (code != CURLE_OK)
            return lost(t);
        buf_consume(&t->out, n);
    }
    return 0;
}

/* Reads more into `in`: -EAGAIN when there is none now. */
static int fill(struct belljar_tunnel *t)
{
    char *room = buf_room(&t->in, PIECE_SIZE);
    size_t n = 0;
    if (!room)
        return client_no_memory(t->s->b);
    CURLcode code = curl_easy_recv(t->call.curl, room, PIECE_SIZE, &n);
    if (code == CURLE_AGAIN)
        return -EAGAIN;
    if (code != CURLE_OK || n == 0)
        return lost(t);
    buf_added(&t->in, n);
    return 0;
}

/* -- opening -- */

static int connect_to(struct belljar_tunnel *t)
{
    struct client_call *c = &t->call;
    curl_socket_t fd = CURL_SOCKET_BAD;
    int rc = client_sandbox_call(c, t->s, "POST", CLIENT_PORT_ENVD, "/tunnel");
    if (rc < 0)
        return rc;
    (void)curl_easy_setopt(c->curl, CURLOPT_CONNECT_ONLY, 1L);
    (void)curl_easy_setopt(c->curl, CURLOPT_HTTPPROXYTUNNEL, 1L);
    c->code = curl_easy_perform(c->curl);
    c->is_done = true;
    if (c->code != CURLE_OK)
        return client_call_broken(c);
    (void)curl_easy_getinfo(c->curl, CURLINFO_ACTIVESOCKET, &fd);
    t->fd = (int)fd;
    return 0;
}

/* host[:port] and the path in front of ours, from the URL of the sandbox. */
static int put_head(struct belljar_tunnel *t)
{
    CLEANUP(freep) char *base = client_sandbox_url(t->s, CLIENT_PORT_ENVD);
    const char *host = base ? strstr(base, "://") : NULL;
    if (!host)
        return client_no_memory(t->s->b);
    host += 3;
    int n = (int)strcspn(host, "/");
    (void)buf_printf(&t->out, "POST %s/tunnel?port=%d HTTP/1.1\r\nHost: %.*s\r\n", host + n,
                     t->port, n, host);
    for (struct curl_slist *f = t->call.fields; f; f = f->next)
        if (f->data[strcspn(f->data, ":") + 1]) /* "Expect:" tells curl something, not the server */
            (void)buf_printf(&t->out, "%s\r\n", f->data);
    (void)buf_append(&t->out, STR("User-Agent: belljar-c/" BELLJAR_VERSION
                                  "\r\nTransfer-Encoding: chunked\r\n\r\n"));
    return t->out.failed ? client_no_memory(t->s->b) : 0;
}

static int wait_socket(struct belljar_tunnel *t, int64_t until)
{
    struct pollfd p[] = { { .fd = t->fd, .events = belljar_tunnel_events(t) },
                          { .fd = t->s->b->stop, .events = POLLIN } };
    int64_t left = until - clock_mono_ms();
    if (left <= 0 || poll(p, 2, (int)left) == 0)
        return client_fail(t->s->b, ETIMEDOUT, "no answer about port %d within %d ms", t->port,
                           t->s->b->timeout_ms);
    return client_stopped(t->s->b);
}

/* An answer that is an error: its body, as far as it comes, has the sentence. */
static int refused(struct belljar_tunnel *t, const struct http_head *h, int64_t until)
{
    char text[4096], why[512];
    size_t n = 0;
    int status = h->status;
    bool is_chunked = h->chunked;
    int64_t length = h->length;
    buf_consume(&t->in, h->size); /* h is no more */
    while (n < sizeof text && (is_chunked || (int64_t)n < length)) {
        long got;
        if (is_chunked) {
            got = belljar_tunnel_read(t, text + n, sizeof text - n);
        } else {
            struct str in = buf_str(&t->in);
            got = (long)(in.n < sizeof text - n ? in.n : sizeof text - n);
            memcpy(text + n, in.n ? in.p : "", (size_t)got);
            buf_consume(&t->in, (size_t)got);
            if (got == 0)
                got = fill(t) == -EAGAIN ? -EAGAIN : buf_used(&t->in) ? 0 : -ECONNRESET;
        }
        if (got == -EAGAIN && wait_socket(t, until) == 0)
            continue;
        if (got < 0 || (got == 0 && is_chunked))
            break;
        n += (size_t)got;
    }
    int err = client_answer_error(status, str_make(text, n), why, sizeof why);
    t->s->b->status = status;
    return client_fail(t->s->b, err, "%s (%d)", why[0] ? why : "the server opens no tunnel",
                       status);
}

static int take_head(struct belljar_tunnel *t)
{
    int64_t until = clock_mono_ms() + t->s->b->timeout_ms;
    struct http_head h;
    for (;;) {
        int rc = flush(t);
        if (rc == 0)
            rc = fill(t);
        if (rc == -EAGAIN)
            rc = wait_socket(t, until);
        else if (rc == 0) {
            int parsed = http_parse_response(buf_str(&t->in), false, &h);
            if (parsed == HTTP_DONE)
                break;
            if (parsed != HTTP_MORE || buf_used(&t->in) > LIMIT_HTTP_HEAD_SIZE)
                rc = client_fail(t->s->b, EPROTO, "the server's answer is not HTTP");
        }
        if (rc < 0)
            return rc;
    }
    if (h.status != 200)
        return refused(t, &h, until);
    if (!h.chunked)
        return client_fail(t->s->b, EPROTO, "the server answers, but opens no tunnel");
    t->s->b->status = 200;
    buf_consume(&t->in, h.size);
    return 0;
}

struct belljar_tunnel *belljar_tunnel(struct belljar_sandbox *s, int port)
{
    struct belljar_tunnel *t = calloc(1, sizeof *t);
    if (!t) {
        (void)client_no_memory(s->b);
        return NULL;
    }
    t->s = client_sandbox_ref(s);
    t->port = port;
    t->fd = -1;
    buf_init(&t->in, 0);
    buf_init(&t->out, 0);
    int rc = connect_to(t);
    if (rc == 0)
        rc = put_head(t);
    if (rc == 0)
        rc = take_head(t);
    if (rc == 0)
        return t;
    belljar_tunnel_free(t);
    return NULL;
}

void belljar_tunnel_free(struct belljar_tunnel *t)
{
    if (!t)
        return;
    if (t->call.curl) /* not for the next call: it has our connection */
        curl_easy_cleanup(TAKE_PTR(t->call.curl));
    client_call_deinit(&t->call);
    buf_deinit(&t->in);
    buf_deinit(&t->out);
    belljar_sandbox_free(t->s);
    free(t);
}

/* -- bytes -- */

struct belljar *client_tunnel_owner(const struct belljar_tunnel *t) { return t->s->b; }

int belljar_tunnel_fd(const struct belljar_tunnel *t) { return t->fd; }

short belljar_tunnel_events(const struct belljar_tunnel *t)
{
    return (short)(POLLIN | (buf_used(&t->out) ? POLLOUT : 0));
}

long belljar_tunnel_read(struct belljar_tunnel *t, void *bytes, size_t size)
{
    int rc = flush(t);
    while (rc == 0 && !t->is_over) {
        struct str in = buf_str(&t->in), data;
        size_t used = 0;
        /* not more than fits can come out of as much */
        int r =
            http_chunks_step(&t->chunks, str_make(in.p, in.n < size ? in.n : size), &data, &used);
        if (r > HTTP_MORE)
            return client_fail(t->s->b, EPROTO, "what comes through the tunnel is malformed");
        t->is_over = r == HTTP_DONE;
        size_t n = data.n;
        if (n)
            memcpy(bytes, data.p, n);
        buf_consume(&t->in, used);
        if (n)
            return (long)n;
        if (!t->is_over && used == 0)
            rc = fill(t);
    }
    return rc;
}

long belljar_tunnel_write(struct belljar_tunnel *t, const void *bytes, size_t size)
{
    if (t->has_ended || t->is_over)
        return client_fail(t->s->b, EPIPE, "the tunnel to port %d has ended", t->port);
    int rc = size ? client_need(t->s->b, bytes, "what is written") : 0;
    if (!rc)
        rc = flush(t);
    if (rc < 0)
        return rc;
    if (buf_used(&t->out))
        return -EAGAIN;
    struct str s = str_make(bytes, size < PIECE_SIZE ? size : PIECE_SIZE);
    if (s.n == 0)
        return 0;
    (void)buf_printf(&t->out, "%zx\r\n", s.n);
    (void)buf_append(&t->out, s);
    (void)buf_append(&t->out, STR("\r\n"));
    if (t->out.failed)
        return client_no_memory(t->s->b);
    rc = flush(t);
    return rc < 0 ? rc : (long)s.n;
}

int belljar_tunnel_end(struct belljar_tunnel *t)
{
    if (t->has_ended)
        return 0;
    t->has_ended = true;
    if (!buf_append(&t->out, STR("0\r\n\r\n")))
        return client_no_memory(t->s->b);
    return flush(t);
}
