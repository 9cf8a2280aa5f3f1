#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "gen/limits.h"
#include "interp/kernel_internal.h"
#include "os/os_file.h"
#include "os/os_sys.h"

#define READ_SIZE 65536
#define READS_PER_EVENT 32   /* more than a pipe holds */
#define KEPT_SIZE (1u << 20) /* an empty buffer may stay so large */
#define HIGH 100 /* descriptors of a child are moved out of the way of the fixed numbers first */
/* Above the server's 500: when memory runs out a kernel goes first. */
#define OOM_SCORE STR("800")

enum { FD_REQUEST = 3, FD_REPLY = 4, FD_INTERRUPT = 5, FDS = 6 };

/* -- descriptors -- */

bool kernel_pipe_read(struct kernel_pipe *p)
{
    for (int i = 0; i < READS_PER_EVENT; i++) {
        char *room = buf_room(&p->in, READ_SIZE);
        ssize_t n = room ? read(p->fd, room, READ_SIZE) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        buf_added(&p->in, (size_t)n);
        if (n < READ_SIZE)
            return true;
    }
    return true;
}

int kernel_pipe_start(struct kernel *k, struct kernel_pipe *p, int fd, loop_fd_fn fn)
{
    *p = (struct kernel_pipe){ .kernel = k, .fd = fd, .watch = { .fn = fn, .data = p } };
    buf_init(&p->in, LIMIT_INTERP_MESSAGE_SIZE);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return TRACE(loop_fd_start(k->spec.loop, &p->watch, fd, EPOLLIN));
}

void kernel_pipe_consume(struct kernel_pipe *p, size_t n)
{
    buf_consume(&p->in, n);
    if (!buf_used(&p->in) && p->in.cap > KEPT_SIZE)
        buf_deinit(&p->in);
}

void kernel_pipe_close(struct kernel_pipe *p)
{
    loop_fd_cancel(&p->watch);
    buf_deinit(&p->in);
    if (p->kernel)
        fd_closep(&p->fd);
}

static void queue_flush(struct kernel_queue *q)
{
    while (buf_used(&q->out)) {
        struct str s = buf_str(&q->out);
        ssize_t n = write(q->fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) /* broken: the end of its process tells, or an interrupt without effect */
            n = (ssize_t)s.n;
        buf_consume(&q->out, (size_t)n);
    }
    if (!buf_used(&q->out))
        buf_deinit(&q->out);
}

static void on_writable(struct loop_fd *w, uint32_t events)
{
    struct kernel_queue *q = w->data;
    (void)events;
    queue_flush(q);
    if (!buf_used(&q->out))
        loop_fd_cancel(w);
}

void kernel_queue_send(struct kernel *k, struct kernel_queue *q)
{
    queue_flush(q);
    if (!buf_used(&q->out) || q->watch.loop)
        return;
    q->watch = (struct loop_fd){ .fn = on_writable, .data = q };
    (void)loop_fd_start(k->spec.loop, &q->watch, q->fd, EPOLLOUT);
}

/* -- the process -- */

static void child_exec(const struct kernel *k, char *const *argv, const int fds[FDS])
{
    int up[FDS];
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setsid(); /* an interrupt reaches what the cell has started, too */
    (void)file_put(AT_FDCWD, "/proc/self/oom_score_adj", OOM_SCORE);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a server that is started anew makes its own */
    for (int i = 0; i < FDS; i++)
        up[i] = fds[i] >= 0 ? fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH) : -1;
    for (int i = 0; i < FDS; i++)
        if (up[i] >= 0)
            (void)dup2(up[i], i);
    int kept = k->spec.language->kind == LANGUAGE_JUPYTER ? 3 : FDS;
    (void)os_close_range((unsigned)kept, ~0u);
    if (chdir(k->spec.cwd) == 0)
        (void)execvp(argv[0], argv);
    _exit(127);
}

static int make_argv(const struct kernel *k, const char *connection, char *argv[16])
{
    int n = 0;
    for (const char *const *a = k->spec.language->argv; *a && n < 15; a++) {
        const char *word = strcmp(*a, "{connection}") == 0 ? connection : *a;
        argv[n++] = (char *)(uintptr_t)word;
    }
    argv[n] = NULL;
    return n;
}

struct ends {
    int ours[FDS], childs[FDS];
};

static int open_end(struct ends *e, int number, bool child_reads)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return RAISE(-errno);
    e->ours[number] = fds[child_reads];
    e->childs[number] = fds[!child_reads];
    return 0;
}

static int open_ends(const struct language *l, struct ends *e)
{
    bool shell = l->kind == LANGUAGE_SHELL, adapter = l->kind == LANGUAGE_ADAPTER;
    for (int i = 0; i < FDS; i++)
        e->ours[i] = e->childs[i] = -1;
    int r = 0;
    if (l->is_raw)
        r = open_end(e, 1, false);
    if (r == 0 && l->is_raw)
        r = open_end(e, 2, false);
    if (r == 0 && (shell || adapter))
        r = open_end(e, shell ? 0 : FD_REQUEST, true);
    if (r == 0 && (shell || adapter))
        r = open_end(e, FD_REPLY, false);
    if (r == 0 && adapter)
        r = open_end(e, FD_INTERRUPT, true);
    for (int i = 0; i < 3 && r == 0; i++)
        if (e->childs[i] < 0 && (e->childs[i] = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
            r = RAISE(-errno);
    return r;
}

static void ends_close(struct ends *e)
{
    for (int i = 0; i < FDS; i++) {
        fd_closep(&e->ours[i]);
        fd_closep(&e->childs[i]);
    }
}

static void on_pid(struct loop_fd *w, uint32_t events)
{
    struct kernel *k = w->data;
    int status = 0;
    char why[64];
    (void)events;
    loop_fd_cancel(w);
    if (waitpid(k->pid, &status, WNOHANG) == k->pid)
        k->pid = 0;
    k->wire->drain(k);
    kernel_drain(k);
    if (WIFSIGNALED(status))
        (void)snprintf(why, sizeof why, "signal: %s", strsignal(WTERMSIG(status)));
    else
        (void)snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
    k->spec.on_dead(k->spec.data, why);
}

/* -- output of the process -- */

static void pass_output(struct kernel *k, int which)
{
    struct kernel_pipe *p = &k->output[which];
    struct str text = buf_str(&p->in);
    size_t n = text.n;
    /* A character may be cut in two: its first bytes wait for the rest (RFC 3629). */
    for (size_t back = 1; k->is_busy && back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)text.p[n - back];
        if (c < 0x80)
            break;
        if (c >= 0xc0) {
            size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            n -= need > back ? back : 0;
            break;
        }
    }
    if (n && k->is_busy)
        kernel_emit(k, &(struct kernel_event){ .kind = which ? KERNEL_ERR : KERNEL_OUT,
                                               .text = str_make(text.p, n) });
    kernel_pipe_consume(p, n); /* between cells it belongs to nobody */
}

static void on_output(struct loop_fd *w, uint32_t events)
{
    struct kernel_pipe *p = w->data;
    struct kernel *k = p->kernel;
    (void)events;
    bool goes_on = kernel_pipe_read(p);
    pass_output(k, p == &k->output[1]);
    if (!goes_on)
        loop_fd_cancel(&p->watch);
}

void kernel_drain(struct kernel *k)
{
    for (int i = 0; i < 2; i++) {
        struct kernel_pipe *p = &k->output[i];
        /* once round is the whole pipe, unless something in the background goes on writing */
        if (!p->kernel)
            continue;
        (void)kernel_pipe_read(p);
        pass_output(k, i);
    }
}

/* -- for the wires -- */

void kernel_ready(struct kernel *k)
{
    kernel_drain(k); /* greetings are no output */
    k->is_ready = true;
    k->spec.on_ready(k->spec.data);
}

void kernel_break(struct kernel *k, const char *why)
{
    if (k->pid <= 0)
        return;
    log_warn("a %s kernel is ended: %s", k->spec.language->name, why);
    (void)kill(-k->pid, SIGKILL);
    (void)kill(k->pid, SIGKILL);
}

void kernel_emit(struct kernel *k, const struct kernel_event *e)
{
    k->spec.on_event(k->spec.data, e);
}

void kernel_done(struct kernel *k)
{
    if (!k->is_busy)
        return;
    kernel_drain(k);
    k->is_busy = false;
    kernel_emit(k, &(struct kernel_event){ .kind = KERNEL_DONE });
}

/* -- the interface -- */

static int start(struct kernel *k)
{
    const struct language *l = k->spec.language;
    char connection[128], *argv[16];
    struct ends e;
    (void)snprintf(connection, sizeof connection, "%s.json", k->path);
    (void)make_argv(k, connection, argv);
    int r = open_ends(l, &e);
    pid_t pid = r < 0 ? r : fork();
    if (pid == 0)
        child_exec(k, argv, e.childs);
    if (r == 0 && pid < 0)
        r = RAISE(-errno);
    if (r < 0) {
        ends_close(&e);
        return r;
    }
    k->pid = pid;
    k->pidfd = os_pidfd_open(pid);
    k->pid_watch = (struct loop_fd){ .fn = on_pid, .data = k };
    r = k->pidfd < 0 ? RAISE(k->pidfd)
                     : loop_fd_start(k->spec.loop, &k->pid_watch, k->pidfd, EPOLLIN);
    for (int i = 0; i < 2 && r == 0; i++)
        if (e.ours[i + 1] >= 0)
            r = kernel_pipe_start(k, &k->output[i], TAKE_FD(e.ours[i + 1]), on_output);
    int request = l->kind == LANGUAGE_SHELL ? 0 : FD_REQUEST;
    k->request.fd = TAKE_FD(e.ours[request]);
    if (k->request.fd >= 0)
        (void)fcntl(k->request.fd, F_SETFL, O_WRONLY | O_NONBLOCK);
    k->interrupt = TAKE_FD(e.ours[FD_INTERRUPT]);
    k->reply.fd = TAKE_FD(e.ours[FD_REPLY]);
    ends_close(&e);
    return r;
}

struct kernel *kernel_new(const struct kernel_spec *spec)
{
    static const struct kernel_wire *const wires[] = { [LANGUAGE_JUPYTER] = &kernel_jupyter,
                                                       [LANGUAGE_ADAPTER] = &kernel_adapter,
                                                       [LANGUAGE_SHELL] = &kernel_shell };
    struct kernel *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->spec = *spec;
    k->wire = wires[spec->language->kind];
    k->pidfd = k->interrupt = k->reply.fd = k->request.fd = -1;
    char id[RAND_UUID_SIZE];
    jupyter_init(&k->jupyter);
    rand_uuid(id);
    (void)snprintf(k->path, sizeof k->path, "%s/%s", spec->dir, id);
    int r = spec->language->kind == LANGUAGE_JUPYTER ? kernel_jupyter_prepare(k) : 0;
    if (r == 0)
        r = start(k);
    if (r == 0)
        r = k->wire->open(k);
    if (r == 0)
        return k;
    kernel_free(k);
    errno = -r;
    return NULL;
}

void kernel_free(struct kernel *k)
{
    if (!k)
        return;
    k->wire->close(k);
    loop_fd_cancel(&k->pid_watch);
    for (int i = 0; i < 2; i++)
        kernel_pipe_close(&k->output[i]);
    if (k->pid > 0) {
        (void)kill(-k->pid, SIGKILL);
        (void)kill(k->pid, SIGKILL); /* before its setsid */
        (void)waitpid(k->pid, NULL, 0);
    }
    loop_fd_cancel(&k->request.watch);
    buf_deinit(&k->request.out);
    fd_closep(&k->request.fd);
    fd_closep(&k->interrupt);
    fd_closep(&k->reply.fd);
    fd_closep(&k->pidfd);
    free(k);
}

void kernel_run(struct kernel *k, struct str code, bool silent)
{
    k->is_busy = true;
    k->is_silent = silent;
    k->wire->run(k, code, silent);
}

void kernel_env(struct kernel *k, const json_t *set, const json_t *unset)
{
    k->is_busy = true;
    k->is_silent = true;
    k->wire->env(k, set, unset);
}

void kernel_interrupt(struct kernel *k)
{
    if (k->pid <= 0)
        return;
    if (k->spec.language->by_signal)
        (void)kill(-k->pid, SIGINT);
    else if (write(k->interrupt, "!", 1) != 1)
        log_warn("a kernel cannot be interrupted: %s", strerror(errno));
}

void kernel_pause(struct kernel *k, bool paused)
{
    if (k->is_paused == paused)
        return;
    k->is_paused = paused;
    for (int i = 0; i < 2; i++)
        if (k->output[i].kernel && k->output[i].watch.loop)
            loop_fd_change(&k->output[i].watch, paused ? 0 : EPOLLIN);
    k->wire->pause(k, paused);
}
