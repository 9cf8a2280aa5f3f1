#include "engine/ns/ns_worker.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "gen/limits.h"
#include "os/os_proc.h"

struct message {
    uint64_t value;
    int32_t status;
    uint32_t is_end;
};

/* -- in the process -- */

static volatile sig_atomic_t is_over;

static void on_term(int signal)
{
    (void)signal;
    is_over = 1;
}

bool ns_work_is_over(void) { return is_over != 0; }

static void message_send(int channel, const struct message *m, int fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { (void *)(uintptr_t)m, sizeof *m };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (fd >= 0) {
        h.msg_control = control;
        h.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    (void)sendmsg(channel, &h, MSG_NOSIGNAL);
}

void ns_work_report(const struct ns_work *w, uint64_t value, int fd)
{
    message_send(w->channel, &(struct message){ .value = value }, fd);
}

static _Noreturn void child_run(const struct ns_host *h, struct ns_work *w, pid_t parent)
{
    struct sigaction term = { .sa_handler = on_term };
    sigset_t none;
    (void)sigaction(SIGTERM, &term, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* a terminal's signals are the engine's to judge */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        is_over = 1;
    int keep[NS_HOST_FDS + 2] = { w->channel, w->fd };
    proc_close_others(keep, 2 + ns_host_fds(h, keep + 2));
    int r = w->ops->run(h, w);
    message_send(w->channel, &(struct message){ .status = r, .is_end = 1 }, -1);
    _exit(r < 0 ? 1 : 0);
}

/* -- in the engine -- */

static void work_end(struct ns_work *w, int status)
{
    struct ns_workers *ws = w->all;
    list_remove(&w->node);
    w->all = NULL;
    loop_task_post(ws->loop, &ws->pump);
    w->ops->on_end(w, status);
}

/* False at the end of the channel. */
static bool message_take(struct ns_work *w, struct message *m, int *fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = { m, sizeof *m };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    if (recvmsg(w->channel, &h, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof *m)
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    return true;
}

static void on_channel(struct loop_fd *watch, uint32_t events)
{
    (void)events;
    struct ns_work *w = watch->data;
    struct message m;
    CLEANUP(fd_closep) int fd = -1;
    if (message_take(w, &m, &fd)) {
        if (m.is_end)
            w->status = m.status;
        else
            w->ops->on_report(w, m.value, &fd);
        return;
    }
    loop_fd_cancel(&w->watch);
    fd_closep(&w->channel);
    (void)waitpid(w->pid, NULL, 0); /* the channel is closed on its way out */
    w->pid = 0;
    w->all->running--;
    work_end(w, w->status);
}

static int work_fork(struct ns_workers *ws, struct ns_work *w)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return RAISE(-errno);
    pid_t parent = getpid();
    w->status = -EPIPE;
    w->channel = pair[1];
    w->pid = fork();
    if (w->pid == 0)
        child_run(ws->host, w, parent);
    int e = errno;
    (void)close(pair[1]);
    w->channel = pair[0];
    if (w->pid < 0) {
        fd_closep(&w->channel);
        w->pid = 0;
        return RAISE(-e);
    }
    if (w->gives_fd)
        fd_closep(&w->fd);
    ws->running++;
    w->watch = (struct loop_fd){ .fn = on_channel, .data = w };
    return TRACE(loop_fd_start(ws->loop, &w->watch, w->channel, EPOLLIN));
}

/* False while an earlier work of its slot is under way. */
static bool is_turn(const struct ns_workers *ws, const struct ns_work *w)
{
    LIST_EACH(it, &ws->works) {
        const struct ns_work *other = LIST_OF(it, struct ns_work, node);
        if (other == w)
            return true;
        if (w->slot != NS_NO_SLOT && other->slot == w->slot)
            return false;
    }
    return true;
}

static void on_pump(struct loop_task *t)
{
    struct ns_workers *ws = t->data;
    LIST_EACH(it, &ws->works) {
        struct ns_work *w = LIST_OF(it, struct ns_work, node);
        bool has_room = ws->running < LIMIT_ENGINE_WORKERS || w->is_cancelled || !w->ops->run;
        if (w->pid || !has_room || !is_turn(ws, w))
            continue;
        int r = w->is_cancelled ? -ECANCELED : w->ops->run ? work_fork(ws, w) : 0;
        if (w->pid)
            continue;
        work_end(w, r); /* it may have changed the list; the pump was posted again */
        return;
    }
}

void ns_workers_init(struct ns_workers *ws, const struct ns_host *h, struct loop *l)
{
    *ws = (struct ns_workers){ .host = h, .loop = l };
    ws->pump = (struct loop_task){ .fn = on_pump, .data = ws };
    list_init(&ws->works);
}

void ns_workers_deinit(struct ns_workers *ws)
{
    if (!ws->loop)
        return;
    loop_task_cancel(&ws->pump);
    LIST_EACH_SAFE(it, &ws->works) {
        struct ns_work *w = LIST_OF(it, struct ns_work, node);
        loop_fd_cancel(&w->watch);
        if (w->pid)
            (void)kill(w->pid, SIGTERM);
        fd_closep(&w->channel);
        list_remove(&w->node);
        w->all = NULL;
    }
}

void ns_work_start(struct ns_workers *ws, struct ns_work *w)
{
    w->all = ws;
    w->pid = 0;
    w->channel = -1;
    w->is_cancelled = false;
    list_push(&ws->works, &w->node);
    loop_task_post(ws->loop, &ws->pump);
}

void ns_work_cancel(struct ns_work *w)
{
    if (!ns_work_is_started(w) || w->is_cancelled)
        return;
    w->is_cancelled = true;
    if (w->pid)
        (void)kill(w->pid, SIGTERM);
    else
        loop_task_post(w->all->loop, &w->all->pump);
}

bool ns_workers_have(const struct ns_workers *ws, uint32_t slot)
{
    LIST_EACH(it, &ws->works)
        if (LIST_OF(it, struct ns_work, node)->slot == slot)
            return true;
    return false;
}

void ns_workers_cancel(struct ns_workers *ws, uint32_t slot)
{
    LIST_EACH(it, &ws->works) {
        struct ns_work *w = LIST_OF(it, struct ns_work, node);
        if (w->slot == slot && w->ops->run)
            ns_work_cancel(w);
    }
}

const char *ns_work_text(int status)
{
    return status == -EPIPE ? "the process that did it died" : strerror(-status);
}
