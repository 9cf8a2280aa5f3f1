#include "cli/cli_stream.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

static int watch(struct cli_stream *s, int fd)
{
    struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
    return epoll_ctl(s->poll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int cli_stream_open(struct cli_stream *s, int in, const int *signals)
{
    *s = (struct cli_stream){ .poll = -1, .signals = -1, .in = in };
    (void)sigemptyset(&s->set);
    for (; *signals; signals++)
        (void)sigaddset(&s->set, *signals);
    if (sigprocmask(SIG_BLOCK, &s->set, NULL) < 0)
        return -errno;
    (void)signal(SIGPIPE, SIG_IGN); /* who no longer reads us is told by write(2) */
    s->signals = signalfd(-1, &s->set, SFD_CLOEXEC | SFD_NONBLOCK);
    s->poll = epoll_create1(EPOLL_CLOEXEC);
    int r = s->signals < 0 || s->poll < 0 ? -errno : watch(s, s->signals);
    if (r == 0 && in >= 0) {
        r = watch(s, in);
        s->is_file = r == -EPERM;
        r = s->is_file ? 0 : r;
    }
    return r;
}

int cli_stream_start(struct cli_stream *s, struct belljar *b, struct belljar_sandbox *box,
                     const char *command, const struct belljar_run_options *o)
{
    static const int others[] = { SIGWINCH, SIGTSTP, SIGCONT };
    struct signalfd_siginfo info;
    sigset_t ends = s->set;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        (void)sigdelset(&ends, others[i]);
    CLEANUP(fd_closep) int stop = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    belljar_set_stop(b, stop);
    s->process = belljar_start(box, command, o);
    belljar_set_stop(b, -1);
    if (!s->process && belljar_errno(b) == ECANCELED && stop >= 0 &&
        read(stop, &info, sizeof info) == (ssize_t)sizeof info)
        return (int)info.ssi_signo;
    return s->process ? 0 : -belljar_errno(b);
}

void cli_stream_close(struct cli_stream *s)
{
    fd_closep(&s->poll);
    fd_closep(&s->signals);
}

/* Passes a piece of input on. 0 or a negative errno. */
static int pass(struct cli_stream *s)
{
    char piece[CLI_PIECE];
    ssize_t n = read(s->in, piece, sizeof piece);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n > 0) {
        /* one that no longer reads, or has ended: its end will be told */
        (void)belljar_process_write(s->process, piece, (size_t)n);
        return 0;
    }
    if (!s->is_file)
        (void)epoll_ctl(s->poll, EPOLL_CTL_DEL, s->in, NULL);
    s->in = -1;
    s->is_file = false;
    (void)belljar_process_close_stdin(s->process);
    return 0;
}

/* What is readable: a signal first. 1: *signal; 0: input was passed on, or nothing was there. */
static int serve(struct cli_stream *s, int *signal)
{
    struct signalfd_siginfo info;
    if (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        *signal = (int)info.ssi_signo;
        return 1;
    }
    struct pollfd p = { .fd = s->in, .events = POLLIN };
    if (s->in >= 0 && (s->is_file || poll(&p, 1, 0) > 0))
        return pass(s);
    return 0;
}

int cli_stream_next(struct cli_stream *s, struct belljar_event *e, int *signal)
{
    for (;;) {
        int r = belljar_process_next(s->process, s->poll, s->is_file ? 0 : -1, e);
        if (r < 0)
            return r;
        if (e->kind != BELLJAR_READABLE && e->kind != BELLJAR_NOTHING)
            return 0;
        if ((r = serve(s, signal)) != 0)
            return r;
    }
}

bool cli_write(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t n = write(fd, bytes, size);
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        if (n < 0 && errno == EAGAIN)
            (void)poll(&p, 1, -1);
        else if (n < 0 && errno != EINTR)
            return false;
        bytes += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

int cli_exit_of(const struct belljar_event *e)
{
    static const struct {
        const char *text;
        int signal;
    } ends[] = {
        { "killed", SIGKILL },  { "terminated", SIGTERM }, { "segmentation fault", SIGSEGV },
        { "aborted", SIGABRT }, { "interrupt", SIGINT },   { "hangup", SIGHUP }
    };
    if (e->exit_code >= 0)
        return e->exit_code & 0xff;
    for (size_t i = 0; e->error && i < sizeof ends / sizeof *ends; i++)
        if (strstr(e->error, ends[i].text))
            return 128 + ends[i].signal;
    return 128;
}
