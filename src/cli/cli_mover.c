#include "cli/cli_mover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli_print.h"
#include "cli/cli_stream.h"

#define SHOW_MS 200

void cli_mover_init(struct cli_mover *m)
{
    *m = (struct cli_mover){ .fd = -1, .pipe = -1, .end = -1 };
}

static void show(struct cli_mover *m, bool is_end)
{
    char text[CLI_TEXT_SIZE];
    int64_t now = clock_mono_ms();
    if (!m->shows || (!is_end && now - m->shown_ms < SHOW_MS))
        return;
    if (is_end)
        (void)fputs("\r\x1b[K", stderr);
    else
        fprintf(stderr, "\r\x1b[K%s", cli_size_text((int64_t)m->bytes, text));
    m->shown_ms = now;
}

__attribute__((format(printf, 3, 4))) static void fail(struct cli_mover *m, enum fault_code code,
                                                       const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(m->why, sizeof m->why, fmt, ap);
    va_end(ap);
    m->fault = code;
}

/* -- to the pipe -- */

static void pack(struct cli_mover *m)
{
    struct archive_reader *r = malloc(sizeof *r);
    struct buf out;
    buf_init(&out, 0);
    int rc = !r ? -ENOMEM
             : m->kind == CLI_PACK
                 ? archive_reader_init_one(r, str_of(m->path), str_of(m->as), &out)
                 : archive_reader_init(r, str_of(m->path));
    for (bool more = rc == 0; more;) {
        more = archive_reader_step(r, &out);
        m->bytes = r->bytes;
        show(m, false);
        if (out.failed || !cli_write(m->end, buf_str(&out).p, buf_used(&out)))
            break; /* the other side does not read any more, and says why */
        buf_reset(&out);
    }
    if (rc == -ENOTSUP)
        fail(m, FAULT_INVALID, "%s is no file and no directory", m->path);
    else if (rc < 0)
        fail(m, FAULT_INVALID, "cannot read %s: %s", m->path, strerror(-rc));
    else if (r->error)
        fail(m, FAULT_INVALID, "cannot read %s: %s", r->name,
             r->error == -ESTALE ? "it became shorter meanwhile; copy again" : strerror(-r->error));
    else if (r->left_out)
        fail(m, FAULT_FORBIDDEN, "%llu could not be read and were left out, first %s",
             (unsigned long long)r->left_out, r->first_left_out);
    if (r)
        archive_reader_deinit(r);
    free(r);
    buf_deinit(&out);
}

/* -- from the pipe -- */

static ssize_t take(const struct cli_mover *m, char *piece)
{
    ssize_t n;
    do
        n = read(m->end, piece, ARCHIVE_CHUNK);
    while (n < 0 && errno == EINTR);
    return n;
}

static void unpack_failed(struct cli_mover *m, const struct archive_writer *w, int r)
{
    struct str at = w->tar.entry.path;
    int n = at.n < 300 ? (int)at.n : 300;
    if (r == ARCHIVE_MALFORMED)
        fail(m, FAULT_INTERNAL, "what the sandbox sent is no tar stream");
    else if (r == ARCHIVE_OUTSIDE)
        fail(m, FAULT_INTERNAL, "refused: '%.*s' of the sandbox leads outside the target", n, at.p);
    else if (r == ARCHIVE_TOO_MANY)
        fail(m, FAULT_TOO_LARGE, "more than %d files and directories", LIMIT_ARCHIVE_ENTRIES);
    else
        fail(m, FAULT_INVALID, "cannot make '%.*s': %s", n, at.p, strerror(-r));
}

static void unpack(struct cli_mover *m)
{
    struct archive_writer w;
    char *piece = malloc(ARCHIVE_CHUNK);
    mode_t mask = umask(0);
    (void)umask(mask);
    archive_writer_init(&w, TAKE_FD(m->fd), NULL, mask);
    int r = piece ? 0 : -ENOMEM;
    for (ssize_t n; r == 0 && (n = take(m, piece)) > 0;) {
        r = archive_writer_take(&w, str_make(piece, (size_t)n));
        m->bytes = w.bytes;
        show(m, false);
    }
    if (r)
        unpack_failed(m, &w, r);
    m->is_cut = !archive_writer_is_done(&w);
    archive_writer_deinit(&w);
    free(piece);
}

bool cli_mover_empty(int fd) { return ftruncate(fd, 0) == 0 || errno == EINVAL; }

static void save(struct cli_mover *m)
{
    char *piece = malloc(ARCHIVE_CHUNK);
    bool good = piece;
    for (ssize_t n; good && (n = take(m, piece)) > 0;) {
        good = (m->bytes || cli_mover_empty(m->fd)) && cli_write(m->fd, piece, (size_t)n);
        m->bytes += (uint64_t)n;
        show(m, false);
    }
    if (!good)
        fail(m, FAULT_INVALID, "cannot write %s: %s", m->path, strerror(errno));
    free(piece);
}

/* -- the thread -- */

static void *move(void *data)
{
    static void (*const kinds[])(struct cli_mover *) = {
        [CLI_PACK] = pack, [CLI_PACK_CONTENTS] = pack, [CLI_UNPACK] = unpack, [CLI_SAVE] = save
    };
    struct cli_mover *m = data;
    kinds[m->kind](m);
    show(m, true);
    fd_closep(&m->end);
    return NULL;
}

int cli_mover_start(struct cli_mover *m)
{
    bool is_out = m->kind == CLI_PACK || m->kind == CLI_PACK_CONTENTS;
    int ends[2];
    (void)signal(SIGPIPE, SIG_IGN); /* the side that stops is told by write(2) */
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    m->end = ends[is_out];
    m->pipe = ends[!is_out];
    m->shown_ms = clock_mono_ms();
    int err = pthread_create(&m->thread, NULL, move, m);
    m->is_running = err == 0;
    return -err;
}

void cli_mover_join(struct cli_mover *m)
{
    fd_closep(&m->pipe);
    if (m->is_running)
        (void)pthread_join(m->thread, NULL);
    m->is_running = false;
}

void cli_mover_deinit(struct cli_mover *m)
{
    cli_mover_join(m);
    fd_closep(&m->end);
    fd_closep(&m->fd);
}
