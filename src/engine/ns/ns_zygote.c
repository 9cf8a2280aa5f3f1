#include "engine/ns/ns_zygote.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_zygote_internal.h"
#include "os/os_proc.h"

#define ANSWER_S 2 /* a clone takes 0.2 ms */
#define HIGH 100

int zygote_send(int channel, const struct iovec *parts, int part_count, const int *fds, int count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(ZYGOTE_FDS * sizeof(int))] = { 0 };
    struct msghdr h = { .msg_iov = (struct iovec *)(uintptr_t)parts,
                        .msg_iovlen = (size_t)part_count };
    if (count > 0) {
        h.msg_control = control;
        h.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
    }
    return sendmsg(channel, &h, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

ssize_t zygote_receive(int channel, void *out, size_t size, int *fds, int *count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(ZYGOTE_FDS * sizeof(int))];
    struct iovec part = { out, size };
    struct msghdr h = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t n;
    *count = 0;
    do
        n = recvmsg(channel, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS) {
        *count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)*count * sizeof(int));
    }
    return n < 0 ? -errno : n;
}

/* -- starting it -- */

static _Noreturn void exec_zygote(const struct ns_host *h, int channel)
{
    char name[] = NS_ZYGOTE_NAME;
    char *const argv[] = { name, NULL }, *const envp[] = { NULL };
    /* out of the way of the fixed numbers first */
    int up[] = { fcntl(channel, F_DUPFD_CLOEXEC, HIGH), fcntl(h->netns, F_DUPFD_CLOEXEC, HIGH) };
    const int keep[] = { ZYGOTE_CHANNEL, ZYGOTE_NETNS };
    (void)setsid();
    if (dup2(up[0], ZYGOTE_CHANNEL) == ZYGOTE_CHANNEL &&
        dup2(up[1], ZYGOTE_NETNS) == ZYGOTE_NETNS) {
        proc_close_others(keep, 2);
        (void)execve(h->config->agent, argv, envp);
    }
    _exit(127);
}

static int say_hello(struct ns_zygote *z)
{
    const struct ns_host *h = z->host;
    struct zygote_hello hello = { h->plan.has, h->plan.open_files, h->filter.len };
    const struct iovec parts[] = { { &hello, sizeof hello },
                                   { h->filter.filter, h->filter.len * sizeof *h->filter.filter } };
    struct zygote_reply reply = { -EPIPE };
    int fds[ZYGOTE_FDS], count;
    int r = zygote_send(z->channel, parts, 2, NULL, 0);
    if (r == 0 && zygote_receive(z->channel, &reply, sizeof reply, fds, &count) != sizeof reply)
        r = -EPIPE;
    return r < 0 ? RAISE(r) : reply.pid < 0 ? RAISE(reply.pid) : 0;
}

int ns_zygote_open(struct ns_zygote *z, const struct ns_host *h)
{
    int pair[2];
    struct timeval limit = { .tv_sec = ANSWER_S };
    *z = (struct ns_zygote){ .host = h, .channel = -1 };
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return RAISE(-errno);
    z->pid = fork();
    if (z->pid == 0)
        exec_zygote(h, pair[1]);
    (void)close(pair[1]);
    z->channel = pair[0];
    (void)setsockopt(z->channel, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    int r = z->pid < 0 ? RAISE(-errno) : say_hello(z);
    if (r < 0) {
        log_error("the zygote %s cannot be started: %s", h->config->agent, strerror(-r));
        ns_zygote_close(z);
    }
    return r;
}

void ns_zygote_close(struct ns_zygote *z)
{
    fd_closep(&z->channel);
    if (z->pid > 0) {
        (void)kill(z->pid, SIGKILL);
        (void)waitpid(z->pid, NULL, 0);
    }
    z->pid = 0;
}

/* -- clones -- */

static int ask(struct ns_zygote *z, const struct zygote_spec *s, struct zygote_reply *reply,
               int *pidfd)
{
    int fds[ZYGOTE_FDS], count = 0;
    struct zygote_request q = { s->shm_bytes, (uint32_t)s->handed_count, (uint32_t)s->group_count,
                                s->group >= 0 };
    const struct iovec part = { &q, sizeof q };
    for (int i = PLAN_FD_NONE + 1; i < PLAN_FDS; i++)
        fds[count++] = s->fds[i];
    for (int i = 0; i < s->handed_count; i++)
        fds[count++] = s->handed[i];
    fds[count++] = s->netns;
    if (s->group >= 0)
        fds[count++] = s->group;
    int r = zygote_send(z->channel, &part, 1, fds, count);
    if (r == 0 && zygote_receive(z->channel, reply, sizeof *reply, fds, &count) != sizeof *reply)
        r = -EPIPE;
    if (r == 0 && count == 1)
        *pidfd = fds[0];
    return r;
}

int ns_zygote_clone(struct ns_zygote *z, const struct zygote_spec *spec, pid_t *pid, int *pidfd)
{
    struct zygote_reply reply = { -EPIPE };
    int r = z->channel < 0 ? -EPIPE : ask(z, spec, &reply, pidfd);
    if (r < 0) {
        /* Whatever it did last is not known: its clone, if there is one, ends with its channel. */
        log_warn("the zygote does not answer; starting another");
        ns_zygote_close(z);
        r = ns_zygote_open(z, z->host);
        if (r == 0)
            r = ask(z, spec, &reply, pidfd);
    }
    if (r < 0 || reply.pid < 0)
        return RAISE(r < 0 ? r : reply.pid);
    *pid = reply.pid;
    return 0;
}
