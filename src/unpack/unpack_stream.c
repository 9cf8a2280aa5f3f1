#include "unpack/unpack_stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { IN_SIZE = 1 << 17 };
enum coding { PLAIN, GZIP, ZSTD };

struct unpack_stream {
    int fd;
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

struct unpack_stream *unpack_stream_open(int fd)
{
    static const unsigned char gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
    struct unpack_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->fd = fd;
    bool good = lseek(fd, 0, SEEK_SET) == 0 && fill(s) >= 0;
    if (good && s->len >= sizeof gzip && memcmp(s->in, gzip, sizeof gzip) == 0) {
        good = inflateInit2(&s->z, 15 + 16) == Z_OK;
        s->coding = good ? GZIP : PLAIN;
    } else if (good && s->len >= sizeof zstd && memcmp(s->in, zstd, sizeof zstd) == 0) {
        s->coding = ZSTD;
        s->zstd = ZSTD_createDStream();
        good = s->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, 27));
    }
    if (good)
        return s;
    unpack_stream_close(s);
    return NULL;
}

void unpack_stream_close(struct unpack_stream *s)
{
    if (!s)
        return;
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
