#include "ipc/link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "gen/limits.h"

struct link_out {
    struct list node;
    int fds[LINK_FDS];
    int fd_count;
    size_t size;
    char bytes[];
};

static void out_free(struct link_out *o)
{
    list_remove(&o->node);
    for (int i = 0; i < o->fd_count; i++)
        fd_closep(&o->fds[i]);
    free(o);
}

void link_close(struct link *k)
{
    if (!k->loop)
        return;
    loop_fd_cancel(&k->watch);
    LIST_EACH_SAFE(it, &k->out)
        out_free(LIST_OF(it, struct link_out, node));
    k->out_len = 0;
    fd_closep(&k->fd);
    k->loop = NULL;
}

static void broken(struct link *k)
{
    if (!k->loop)
        return;
    link_close(k);
    k->ops->on_closed(k);
}

/* One sendmsg. 0, -EAGAIN, or another negative errno: the link is broken. */
static int send_now(int fd, struct str bytes, const int *fds, int fd_count)
{
    struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes.p, .iov_len = bytes.n };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * LINK_FDS)] = { 0 };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (fd_count > 0) {
        h.msg_control = control;
        h.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count),
                               .cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)fd_count);
    }
    ssize_t n;
    do
        n = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static void flush(struct link *k)
{
    while (!list_empty(&k->out)) {
        struct link_out *o = LIST_OF(k->out.next, struct link_out, node);
        int r = send_now(k->fd, str_make(o->bytes, o->size), o->fds, o->fd_count);
        if (r == -EAGAIN)
            break;
        if (r < 0) {
            broken(k);
            return;
        }
        out_free(o);
        k->out_len--;
    }
    loop_fd_change(&k->watch, list_empty(&k->out) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

/* Collects the descriptors of a received message; returns how many. */
static int take_fds(struct msghdr *h, int *fds)
{
    int count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        int n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + sizeof(int) * (size_t)i, sizeof fd);
            if (count < LINK_FDS)
                fds[count++] = fd;
            else
                (void)close(fd);
        }
    }
    return count;
}

/* Receives one message. False when there is none now or the link is gone. */
static bool receive(struct link *k)
{
    static _Thread_local char bytes[LIMIT_IPC_MESSAGE_SIZE];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * LINK_FDS)];
    struct iovec iov = { .iov_base = bytes, .iov_len = sizeof bytes };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(k->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    int fds[LINK_FDS], count = n >= 0 ? take_fds(&h, fds) : 0;
    struct msg m;
    bool good = n > 0 && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
                msg_parse(str_make(bytes, (size_t)n), &m);
    if (good)
        k->ops->on_message(k, &m, fds, count);
    for (int i = 0; i < count; i++)
        fd_closep(&fds[i]);
    if (!good) {
        if (n > 0)
            log_warn("pid %d sent a malformed message; link closed", (int)k->peer_pid);
        broken(k);
    }
    return good && k->loop;
}

static void on_ready(struct loop_fd *w, uint32_t events)
{
    struct link *k = w->data;
    if (events & EPOLLOUT)
        flush(k);
    if (!k->loop)
        return;
    /* a few at a time, so that one busy peer does not starve the rest of the loop */
    for (int i = 0; i < 16 && receive(k); i++)
        ;
}

int link_open(struct link *k, struct loop *l, int fd, const struct link_ops *ops, void *data)
{
    *k = (struct link){ .ops = ops, .data = data, .fd = fd };
    list_init(&k->out);
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
        k->peer_pid = cred.pid;
        k->peer_uid = cred.uid;
    }
    int size = LIMIT_IPC_MESSAGE_SIZE * 2;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    k->watch = (struct loop_fd){ .fn = on_ready, .data = k };
    int r = loop_fd_start(l, &k->watch, fd, EPOLLIN);
    if (r < 0) {
        fd_closep(&k->fd);
        return TRACE(r);
    }
    k->loop = l;
    return 0;
}

int link_send(struct link *k, const struct buf *b, const int *fds, int fd_count)
{
    struct str bytes = buf_str(b);
    assert(fd_count >= 0 && fd_count <= LINK_FDS);
    if (!k->loop)
        return -ENOTCONN;
    if (b->failed || bytes.n > LIMIT_IPC_MESSAGE_SIZE)
        return RAISE(-EMSGSIZE);
    if (list_empty(&k->out) && send_now(k->fd, bytes, fds, fd_count) == 0)
        return 0;
    /* a broken peer is found by the watch: on_closed must not run inside this call */
    struct link_out *o = k->out_len < LIMIT_IPC_QUEUE ? malloc(sizeof *o + bytes.n) : NULL;
    if (!o) {
        (void)shutdown(k->fd, SHUT_RDWR);
        return RAISE(-ENOBUFS);
    }
    *o = (struct link_out){ .size = bytes.n };
    memcpy(o->bytes, bytes.p, bytes.n);
    for (; o->fd_count < fd_count; o->fd_count++)
        o->fds[o->fd_count] = dup(fds[o->fd_count]);
    list_push(&k->out, &o->node);
    k->out_len++;
    loop_fd_change(&k->watch, EPOLLIN | EPOLLOUT);
    return 0;
}

static int address(const char *path, struct sockaddr_un *sa)
{
    *sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
    return str_copy(str_of(path), sa->sun_path, sizeof sa->sun_path) ? 0 : -ENAMETOOLONG;
}

int link_connect(const char *path)
{
    struct sockaddr_un sa;
    if (address(path, &sa) < 0)
        return RAISE(-ENAMETOOLONG);
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return RAISE(-errno);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return -errno; /* the peer is not up yet: its caller tries again */
    return TAKE_FD(fd);
}

int link_listen(const char *path, uid_t uid)
{
    struct sockaddr_un sa;
    if (address(path, &sa) < 0)
        return RAISE(-ENAMETOOLONG);
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return RAISE(-errno);
    (void)unlink(path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || chmod(path, 0600) < 0 ||
        chown(path, uid, (gid_t)-1) < 0 || listen(fd, 64) < 0)
        return RAISE(-errno);
    return TAKE_FD(fd);
}
