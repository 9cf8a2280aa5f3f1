#include "edge/edge.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"

#define RETRY_ACCEPT_MS 100

static void on_accept_retry(struct loop_timer *t)
{
    struct edge *e = t->data;
    loop_fd_change(&e->listen_watch, EPOLLIN);
}

static void on_accept(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct edge *e = w->data;
    for (int i = 0; i < 64; i++) {
        if (e->conn_count >= LIMIT_HTTP_CONNS) {
            loop_fd_change(w, 0); /* until one closes; the others wait in the backlog */
            return;
        }
        int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            edge_conn_open(e, fd);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            log_warn("cannot accept a connection: %s", strerror(errno));
            loop_fd_change(w, 0);
            (void)loop_timer_start(e->loop, &e->accept_retry, RETRY_ACCEPT_MS);
        }
        return;
    }
}

int edge_init(struct edge *e, struct loop *loop, const struct edge_spec *spec)
{
    e->loop = loop;
    e->spec = *spec;
    list_init(&e->conns);
    buf_init(&e->msg, 0);
    e->accept_retry = (struct loop_timer){ .fn = on_accept_retry, .data = e };
    e->run_fd = open(spec->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (e->run_fd < 0)
        return RAISE(-errno);
    e->listen_watch = (struct loop_fd){ .fn = on_accept, .data = e };
    int r = loop_fd_start(loop, &e->listen_watch, spec->listen_fd, 0);
    if (r < 0)
        return TRACE(r);
    edge_routes_start(e);
    edge_ports_start(e);
    return 0;
}

void edge_deinit(struct edge *e)
{
    edge_routes_deinit(e);
    edge_ports_deinit(e);
    edge_conns_abort(e);
    loop_timer_cancel(&e->accept_retry);
    loop_fd_cancel(&e->listen_watch);
    fd_closep(&e->spec.listen_fd);
    fd_closep(&e->run_fd);
    buf_deinit(&e->msg);
}
