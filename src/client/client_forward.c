/* Tunnels between a sandbox and descriptors of the caller, all in one poll(2). */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/client_internal.h"
#include "gen/limits.h"

enum { PIECE_SIZE = 65536, ROUNDS = 8 };

/* One tunnel and what it is coupled to. */
struct couple {
    struct belljar_tunnel *t;
    int in, out;            /* the same for a socket */
    char *held;             /* from the tunnel, not yet written to `out` */
    size_t held_at, held_n; /* of PIECE_SIZE */
    bool is_in_over;
    bool has_more; /* from the tunnel, perhaps: it was somebody else's turn */
};

/* SIGPIPE is the program's: a socket is not to raise it. */
static ssize_t put(int fd, const char *bytes, size_t size)
{
    ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 && errno == ENOTSOCK ? write(fd, bytes, size) : n;
}

static bool is_for_later(int err) { return err == EAGAIN || err == EINTR; }

static int local_failed(const struct couple *c, int err)
{
    return client_fail(client_tunnel_owner(c->t), err, "this side of the tunnel: %s",
                       strerror(err));
}

/* From the caller to the tunnel. 0, or an error. */
static int pass_in(struct couple *c)
{
    char bytes[PIECE_SIZE];
    if (belljar_tunnel_events(c->t) & POLLOUT) /* what it has is not gone yet */
        return 0;
    ssize_t n = read(c->in, bytes, sizeof bytes);
    if (n < 0)
        return is_for_later(errno) ? 0 : local_failed(c, errno);
    if (n == 0) {
        c->is_in_over = true;
        return belljar_tunnel_end(c->t);
    }
    long rc = belljar_tunnel_write(c->t, bytes, (size_t)n);
    return rc < 0 ? (int)rc : 0;
}

enum { OVER = 1 };

static int write_held(struct couple *c)
{
    while (c->held_at < c->held_n) {
        ssize_t n = put(c->out, c->held + c->held_at, c->held_n - c->held_at);
        if (n < 0)
            return is_for_later(errno) ? -EAGAIN : local_failed(c, errno);
        c->held_at += (size_t)n;
    }
    c->held_at = c->held_n = 0;
    return 0;
}

/* From the tunnel to the caller. OVER: all of it was passed on. */
static int pass_out(struct couple *c)
{
    c->has_more = false;
    for (int i = 0; i < ROUNDS; i++) {
        int rc = write_held(c);
        if (rc < 0)
            return rc == -EAGAIN ? 0 : rc;
        long n = belljar_tunnel_read(c->t, c->held, PIECE_SIZE);
        if (n == -EAGAIN)
            return 0;
        if (n <= 0)
            return n < 0 ? (int)n : OVER;
        c->held_n = (size_t)n;
    }
    c->has_more = true;
    return 0;
}

/* What it waits for: three places of a poll. Those that are not wanted are -1. */
static void want(const struct couple *c, struct pollfd p[3])
{
    short events = belljar_tunnel_events(c->t);
    bool is_blocked = c->held_at < c->held_n;
    p[0] =
        (struct pollfd){ .fd = c->is_in_over || (events & POLLOUT) ? -1 : c->in, .events = POLLIN };
    p[1] = (struct pollfd){ .fd = is_blocked ? c->out : -1, .events = POLLOUT };
    p[2] = (struct pollfd){ .fd = belljar_tunnel_fd(c->t),
                            .events = (short)(is_blocked ? events & ~POLLIN : events) };
    if (!p[2].events)
        p[2].fd = -1; /* a hang-up would be told again and again */
}

static int turn(struct couple *c, const struct pollfd p[3])
{
    int rc = p[0].fd >= 0 && p[0].revents ? pass_in(c) : 0;
    /* what is decoded, or decrypted, already makes no descriptor readable: asked every time */
    return rc ? rc : pass_out(c);
}

int belljar_tunnel_pass(struct belljar_tunnel *t, int in, int out)
{
    struct couple c = { .t = t, .in = in, .out = out, .held = malloc(PIECE_SIZE) };
    struct pollfd p[3] = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } };
    int rc = c.held ? 0 : -ENOMEM;
    while (rc == 0) {
        rc = turn(&c, p);
        if (rc)
            break;
        want(&c, p);
        if (poll(p, 3, c.has_more ? 0 : -1) < 0)
            rc = local_failed(&c, errno);
    }
    free(c.held);
    return rc == OVER ? 0 : rc;
}

/* -- many of them -- */

struct forward {
    struct belljar_sandbox *s;
    int listener, port;
    struct couple *couples;
    struct pollfd *polls; /* of the listener, of what stops it, then three for each */
    size_t count, size;
};

static void drop(struct forward *f, size_t i)
{
    struct couple *c = &f->couples[i];
    belljar_tunnel_free(c->t);
    (void)close(c->in);
    free(c->held);
    *c = f->couples[--f->count];
}

static bool has_room(struct forward *f)
{
    if (f->count < f->size)
        return true;
    size_t size = f->size ? 2 * f->size : 8;
    struct couple *couples = realloc(f->couples, size * sizeof *couples);
    if (couples)
        f->couples = couples;
    struct pollfd *polls = couples ? realloc(f->polls, (2 + 3 * size) * sizeof *polls) : NULL;
    if (!polls)
        return false;
    f->polls = polls;
    f->size = size;
    return true;
}

/* A connection for which there is no tunnel is closed, as by a server that does not listen. 0, or
 * why nothing can be forwarded any more. */
static int add(struct forward *f)
{
    int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return is_for_later(errno) || errno == ECONNABORTED
                   ? 0
                   : client_fail(f->s->b, errno, "no connection can be taken: %s", strerror(errno));
    struct belljar_tunnel *t = belljar_tunnel(f->s, f->port);
    char *held = t ? malloc(PIECE_SIZE) : NULL;
    if (!held || !has_room(f)) {
        int rc = t ? client_no_memory(f->s->b) : client_last(f->s->b);
        belljar_tunnel_free(t);
        free(held);
        (void)close(fd);
        return rc == -EHOSTDOWN || rc == -ENOMEM ? rc : 0;
    }
    f->couples[f->count++] = (struct couple){ .t = t, .in = fd, .out = fd, .held = held };
    return 0;
}

enum { LISTENER, STOP, COUPLES }; /* of the polls */

static int forward_turn(struct forward *f)
{
    for (size_t i = f->count; i-- > 0;) {
        int rc = turn(&f->couples[i], f->polls + COUPLES + 3 * i);
        if (rc)
            drop(f, i);
        if (rc == -EHOSTDOWN)
            return rc;
    }
    return f->polls[LISTENER].revents ? add(f) : 0;
}

/* Whether there is something that no descriptor would tell. */
static bool want_all(struct forward *f, int stop)
{
    bool has_more = false;
    f->polls[LISTENER] = (struct pollfd){ .fd = f->listener, .events = POLLIN };
    f->polls[STOP] = (struct pollfd){ .fd = stop, .events = POLLIN };
    for (size_t i = 0; i < f->count; i++) {
        want(&f->couples[i], f->polls + COUPLES + 3 * i);
        has_more |= f->couples[i].has_more;
    }
    return has_more;
}

int belljar_forward(struct belljar_sandbox *s, int listener, int port, int stop)
{
    struct forward f = { .s = s, .listener = listener, .port = port };
    int rc = has_room(&f) ? 0 : client_no_memory(s->b);
    while (rc == 0) {
        bool has_more = want_all(&f, stop);
        if (poll(f.polls, COUPLES + 3 * f.count, has_more ? 0 : -1) < 0)
            rc = client_fail(s->b, errno, "waiting: %s", strerror(errno));
        else if (f.polls[STOP].revents)
            break;
        else
            rc = forward_turn(&f);
    }
    while (f.count)
        drop(&f, f.count - 1);
    free(f.couples);
    free(f.polls);
    return rc;
}
