#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "edge/edge.h"
#include "route/route.h"

/* The kernel says "writable" of a unix socket when a quarter of its buffer is left: with the usual
 * 208 KiB edge and agent took turns. The kernel caps this at twice net.core.wmem_max. */
#define EDGE_ENVD_BUFFER (1 << 20)
#define IDLE_ENVD_MS 60000 /* envd keeps idle connections longer than this */
#define IDLE_PORT_MS 2000  /* servers of users: many close theirs after 5 s */
#define IDLE_MAX 32u       /* kept per sandbox */

void edge_up_close(struct edge_up *up)
{
    list_remove(&up->link);
    loop_timer_cancel(&up->timer);
    loop_fd_cancel(&up->watch);
    fd_closep(&up->fd);
    buf_deinit(&up->out);
    buf_deinit(&up->in);
    free(up);
}

static void on_event(struct loop_fd *w, uint32_t events)
{
    struct edge_up *up = w->data;
    if (up->conn)
        edge_conn_on_up(up->conn, events);
    else
        edge_up_close(up); /* an idle one that speaks or hangs up is of no use */
}

static void on_idle(struct loop_timer *t) { edge_up_close(t->data); }

/* The sandbox's own loopback, by IPv4 (through a dual-stack socket as ::ffff:127.0.0.1) or IPv6. A
 * socket that was refused by one cannot ask the other: the kernel has made it of that family. */
static int connect_port(struct edge_up *up, bool to_v6)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET,
                              .sin_port = htons(up->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                               .sin6_port = htons(up->port),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    if (!to_v6)
        v6.sin6_addr = (struct in6_addr){ .s6_addr = { [10] = 0xff, 0xff, 127, 0, 0, 1 } };
    int r = up->is_v6 ? connect(up->fd, (struct sockaddr *)&v6, sizeof v6)
                      : connect(up->fd, (struct sockaddr *)&v4, sizeof v4);
    return r < 0 ? -errno : 0;
}

static int connect_envd(struct edge_up *up)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int size = EDGE_ENVD_BUFFER;
    (void)setsockopt(up->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    (void)snprintf(sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/%s/envd.sock",
                   up->edge->run_fd, up->route->dir);
    return connect(up->fd, (struct sockaddr *)&sa, sizeof sa) < 0 ? -errno : 0;
}

struct edge_up *edge_up_connect(struct edge *e, struct edge_route *r, uint16_t port, int fd,
                                bool is_v6, bool to_v6)
{
    struct edge_up *up = calloc(1, sizeof *up);
    if (!up) {
        fd_closep(&fd);
        errno = ENOMEM;
        return NULL;
    }
    *up = (struct edge_up){ .edge = e, .route = r, .port = port, .fd = fd, .is_v6 = is_v6 };
    list_init(&up->link);
    up->watch = (struct loop_fd){ .fn = on_event, .data = up };
    up->timer = (struct loop_timer){ .fn = on_idle, .data = up };
    if (port == ROUTE_ENVD_PORT)
        up->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    (void)setsockopt(up->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on unix sockets */
    int state = up->fd < 0                ? -errno
                : port == ROUTE_ENVD_PORT ? connect_envd(up)
                                          : connect_port(up, to_v6);
    up->is_connecting = state == -EINPROGRESS;
    if (up->is_connecting)
        state = 0;
    if (state == 0 && loop_fd_start(e->loop, &up->watch, up->fd, EPOLLOUT) < 0)
        state = -ENOMEM;
    if (state < 0) {
        edge_up_close(up);
        errno = -state;
        return NULL;
    }
    return up;
}

int edge_up_connected(struct edge_up *up)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (!up->is_connecting)
        return 0;
    if (getsockopt(up->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    up->is_connecting = false;
    return -err;
}

struct edge_up *edge_up_reuse(struct edge_route *r, uint16_t port)
{
    for (struct list *it = r->idle.prev; it != &r->idle; it = it->prev) {
        struct edge_up *up = LIST_OF(it, struct edge_up, link);
        if (up->port != port)
            continue;
        list_remove(&up->link);
        loop_timer_cancel(&up->timer);
        up->is_reused = true;
        return up;
    }
    return NULL;
}

void edge_up_keep(struct edge_up *up)
{
    struct edge_route *r = up->route;
    uint32_t count = 0;
    LIST_EACH(it, &r->idle)
        count++;
    if (buf_used(&up->out) || buf_used(&up->in)) {
        edge_up_close(up);
        return;
    }
    up->conn = NULL;
    buf_deinit(&up->out);
    buf_deinit(&up->in);
    if (count >= IDLE_MAX)
        edge_up_close(LIST_OF(r->idle.next, struct edge_up, link));
    list_push(&r->idle, &up->link);
    loop_fd_change(&up->watch, EPOLLIN | EPOLLRDHUP);
    (void)loop_timer_start(up->edge->loop, &up->timer,
                           up->port == ROUTE_ENVD_PORT ? IDLE_ENVD_MS : IDLE_PORT_MS);
}
