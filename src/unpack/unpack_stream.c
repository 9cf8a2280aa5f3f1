#include "unpack/unpack_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { IN_SIZE = 1 << 17 };
enum coding { PLAIN, GZIP, ZSTD };

struct unpack_stream {
    int fd;
    int pipe;     /* from the helper; -1: there is none */
    pid_t helper; /* decompresses, while this process writes files */
    enum coding coding;
    z_stream z;
    ZSTD_DStream *zstd;
    size_t at, len;
    bool is_open; /* inside a member or frame */
    unsigned char in[IN_SIZE];
};

static ssize_t fill(struct unpack_stream *s)
{
    ssize_t n;
    do
        n = read(s->fd, s->in, IN_SIZE);
    while (n < 0 && errno == EINTR);
    s->at = 0;
    s->len = n > 0 ? (size_t)n : 0;
    return n < 0 ? -errno : n;
}

static ssize_t decode(struct unpack_stream *s, void *to, size_t n);

static void helper_main(struct unpack_stream *s, int out)
{
    static char piece[IN_SIZE];
    ssize_t n;
    while ((n = decode(s, piece, sizeof piece)) > 0)
        for (ssize_t done = 0, w; done < n; done += w)
            if ((w = write(out, piece + done, (size_t)(n - done))) <= 0)
                _exit(2);
    _exit(n < 0);
}

/* Without a helper, for whatever reason, it is done here. */
static void helper_start(struct unpack_stream *s)
{
    enum { PIPE_SIZE = 1 << 20 };
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    (void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE);
    s->helper = fork();
    if (s->helper == 0) {
        (void)close(ends[0]);
        helper_main(s, ends[1]);
    }
    (void)close(ends[1]);
    if (s->helper > 0)
        s->pipe = ends[0];
    else
        (void)close(ends[0]);
}

struct unpack_stream *unpack_stream_open(int fd)
{
    static const unsigned char gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
    struct unpack_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->fd = fd;
    s->pipe = -1;
    bool good = lseek(fd, 0, SEEK_SET) == 0 && fill(s) >= 0;
    if (good && s->len >= sizeof gzip && memcmp(s->in, gzip, sizeof gzip) == 0) {
        good = inflateInit2(&s->z, 15 + 16) == Z_OK;
        s->coding = good ? GZIP : PLAIN;
    } else if (good && s->len >= sizeof zstd && memcmp(s->in, zstd, sizeof zstd) == 0) {
        s->coding = ZSTD;
        s->zstd = ZSTD_createDStream();
        good = s->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, 27));
    }
    if (good && s->coding != PLAIN)
        helper_start(s);
    if (good)
        return s;
    unpack_stream_close(s);
    return NULL;
}

/* 0 when it came to the end, and what it read was whole. Its pipe is closed: it cannot wait. */
static int helper_end(struct unpack_stream *s)
{
    int status = 0;
    (void)close(s->pipe);
    s->pipe = -1;
    while (waitpid(s->helper, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBADMSG;
}

void unpack_stream_close(struct unpack_stream *s)
{
    if (!s)
        return;
    if (s->pipe >= 0)
        (void)helper_end(s);
    if (s->coding == GZIP)
        (void)inflateEnd(&s->z);
    (void)ZSTD_freeDStream(s->zstd);
    free(s);
}

static ssize_t read_plain(struct unpack_stream *s, void *to, size_t n)
{
    size_t have = s->len - s->at < n ? s->len - s->at : n;
    memcpy(to, s->in + s->at, have);
    s->at += have;
    return (ssize_t)have;
}

static ssize_t read_gzip(struct unpack_stream *s, void *to, size_t n)
{
    s->z.next_in = s->in + s->at;
    s->z.avail_in = (uInt)(s->len - s->at);
    s->z.next_out = to;
    s->z.avail_out = (uInt)n;
    int r = inflate(&s->z, Z_NO_FLUSH);
    s->at = s->len - s->z.avail_in;
    s->is_open = r != Z_STREAM_END;
    if (r == Z_STREAM_END)
        (void)inflateReset(&s->z); /* another member may follow */
    return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR ? (ssize_t)(n - s->z.avail_out)
                                                              : -EBADMSG;
}

static ssize_t read_zstd(struct unpack_stream *s, void *to, size_t n)
{
    ZSTD_inBuffer in = { s->in, s->len, s->at };
    ZSTD_outBuffer out = { to, n, 0 };
    size_t r = ZSTD_decompressStream(s->zstd, &out, &in);
    s->at = in.pos;
    s->is_open = r != 0;
    return ZSTD_isError(r) ? -EBADMSG : (ssize_t)out.pos;
}

ssize_t unpack_stream_read(struct unpack_stream *s, void *to, size_t n)
{
    if (s->pipe < 0)
        return s->helper ? 0 : decode(s, to, n);
    ssize_t got;
    do
        got = read(s->pipe, to, n);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got > 0 ? got : helper_end(s);
}

static ssize_t decode(struct unpack_stream *s, void *to, size_t n)
{
    static ssize_t (*const readers[])(struct unpack_stream * s, void *to, size_t n) = {
        [PLAIN] = read_plain, [GZIP] = read_gzip, [ZSTD] = read_zstd
    };
    for (;;) {
        bool is_end = false;
        if (s->at == s->len) {
            ssize_t r = fill(s);
            if (r < 0)
                return r;
            is_end = r == 0;
        }
        if (is_end && (s->coding == PLAIN || !s->is_open))
            return 0;
        ssize_t got = readers[s->coding](s, to, n);
        if (got != 0)
            return got;
        if (is_end)
            return -EBADMSG;
    }
}
