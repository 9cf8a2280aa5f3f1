#include "agent/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/spawn.h"
#include "base/cleanup.h"
#include "gen/limits.h"

#define PIECE_SIZE 65536
#define PIECES_PER_EVENT 4 /* then the others get a turn */

struct head {
    int64_t size;
    int32_t result, unused;
};

struct worker {
    struct worker_spec spec;
    int fd;
    struct loop_fd watch;
    struct head head;
    size_t head_size; /* bytes of it that have come */
    int64_t left;
};

/* -- the other process -- */

static void write_all(int fd, struct str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            _exit(1); /* nobody wants it any more */
        s = str_skip(s, (size_t)n);
    }
}

__attribute__((noreturn)) static void child_main(const struct worker_spec *spec, int fd)
{
    struct buf out;
    spawn_child_cgroups(spec->agent->cgroup_fds);
    /* a connection that the agent closes must end, though this process has a copy of it */
    (void)dup2(fd, STDIN_FILENO);
    (void)syscall(SYS_close_range, STDERR_FILENO + 1u, ~0u, 0u);
    buf_init(&out, 0);
    struct head h = { .result = spec->job(spec->data, &out) };
    if (out.failed) {
        h.result = -ENOMEM;
        buf_deinit(&out);
    }
    h.size = (int64_t)buf_used(&out);
    write_all(STDIN_FILENO, str_make((const char *)&h, sizeof h));
    write_all(STDIN_FILENO, buf_str(&out));
    _exit(0);
}

/* -- the agent -- */

void worker_forget(struct worker *w)
{
    if (!w)
        return;
    w->spec.agent->worker_count--;
    loop_fd_cancel(&w->watch);
    fd_closep(&w->fd);
    free(w);
}

static void finish(struct worker *w)
{
    struct worker_spec spec = w->spec;
    bool has_result = w->head_size == sizeof w->head;
    int64_t size = w->head.size, left = w->left;
    int result = w->head.result;
    worker_forget(w);
    if (!has_result)
        spec.on_result(spec.data, -ECHILD, 0);
    else if (size == 0)
        spec.on_result(spec.data, result, 0);
    else
        spec.on_end(spec.data, left == 0);
}

/* False: the rest has not come, or never will. */
static bool read_head(struct worker *w)
{
    ssize_t n = TEMP_FAILURE_RETRY(
        read(w->fd, (char *)&w->head + w->head_size, sizeof w->head - w->head_size));
    if (n < 0 && errno == EAGAIN)
        return false;
    w->head_size += n > 0 ? (size_t)n : 0;
    if (n > 0 && w->head_size < sizeof w->head)
        return false;
    w->left = w->head.size;
    if (n <= 0 || w->left == 0) {
        finish(w);
        return false;
    }
    w->spec.on_result(w->spec.data, w->head.result, w->left);
    return true;
}

static void on_readable(struct loop_fd *watch, uint32_t events)
{
    static char piece[PIECE_SIZE];
    struct worker *w = watch->data;
    (void)events;
    if (w->head_size < sizeof w->head && !read_head(w))
        return;
    for (int i = 0; i < PIECES_PER_EVENT; i++) {
        ssize_t n = TEMP_FAILURE_RETRY(read(w->fd, piece, sizeof piece));
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            finish(w);
            return;
        }
        w->left -= n;
        if (!w->spec.on_bytes(w->spec.data, str_make(piece, (size_t)n))) {
            loop_fd_cancel(&w->watch); /* not only paused: a hang-up would be told over and over */
            return;
        }
    }
}

void worker_resume(struct worker *w)
{
    if (!w->watch.loop && loop_fd_start(w->spec.agent->loop, &w->watch, w->fd, EPOLLIN) < 0)
        finish(w);
}

int worker_start(const struct worker_spec *spec, struct worker **out)
{
    int ends[2];
    if (spec->agent->worker_count >= LIMIT_AGENT_WORKERS)
        return -EAGAIN;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    CLEANUP(fd_closep) int mine = ends[0];
    CLEANUP(fd_closep) int theirs = ends[1];
    CLEANUP(freep) struct worker *w = calloc(1, sizeof *w);
    if (!w || fcntl(mine, F_SETFL, O_NONBLOCK) < 0)
        return -ENOMEM;
    *w = (struct worker){ .spec = *spec, .watch = { .fn = on_readable, .data = w } };
    int r = loop_fd_start(spec->agent->loop, &w->watch, mine, EPOLLIN);
    if (r < 0)
        return r;
    pid_t pid = fork();
    if (pid == 0)
        child_main(spec, theirs);
    if (pid < 0) {
        loop_fd_cancel(&w->watch);
        return -EAGAIN;
    }
    w->fd = TAKE_FD(mine);
    spec->agent->worker_count++;
    *out = TAKE_PTR(w);
    return 0;
}
