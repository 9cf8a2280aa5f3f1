#include "agent/gunzip.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/buf.h"

#define OUT_SIZE 65536u

struct gunzip {
    z_stream z;
    bool whole; /* a member has ended and no other has begun */
    unsigned char out[OUT_SIZE];
};

struct gunzip *gunzip_new(void)
{
    struct gunzip *g = malloc(sizeof *g);
    if (!g)
        return NULL;
    memset(&g->z, 0, sizeof g->z);
    g->whole = false;
    if (inflateInit2(&g->z, 16 + MAX_WBITS) == Z_OK) /* 16: gzip only */
        return g;
    free(g);
    return NULL;
}

void gunzip_free(struct gunzip *g)
{
    if (!g)
        return;
    (void)inflateEnd(&g->z);
    free(g);
}

bool gunzip_is_whole(const struct gunzip *g) { return g->whole; }

bool gunzip_step(struct gunzip *g, struct str in, bool (*fn)(void *data, struct str piece),
                 void *data)
{
    while (in.n) {
        if (g->whole && inflateReset(&g->z) != Z_OK)
            return false;
        g->whole = false;
        uInt take = in.n > 1u << 30 ? 1u << 30 : (uInt)in.n;
        g->z.next_in = (Bytef *)(uintptr_t)in.p;
        g->z.avail_in = take;
        g->z.next_out = g->out;
        g->z.avail_out = OUT_SIZE;
        int r = inflate(&g->z, Z_NO_FLUSH);
        size_t used = take - g->z.avail_in, got = OUT_SIZE - g->z.avail_out;
        if (r != Z_OK && r != Z_STREAM_END)
            return false;
        in = str_skip(in, used);
        if (got && !fn(data, str_make((const char *)g->out, got)))
            return false;
        /* output may be left inside zlib when the input is used up exactly */
        while (r == Z_OK && in.n == 0 && g->z.avail_out == 0) {
            g->z.next_out = g->out;
            g->z.avail_out = OUT_SIZE;
            r = inflate(&g->z, Z_NO_FLUSH);
            if (r == Z_BUF_ERROR)
                break;
            if (r != Z_OK && r != Z_STREAM_END)
                return false;
            got = OUT_SIZE - g->z.avail_out;
            if (got && !fn(data, str_make((const char *)g->out, got)))
                return false;
        }
        g->whole = r == Z_STREAM_END;
    }
    return true;
}

static bool collect(void *data, struct str piece) { return buf_append(data, piece); }

bool gunzip_all(struct arena *a, struct str in, size_t limit, struct str *out)
{
    struct gunzip *g = gunzip_new();
    struct buf b;
    buf_init(&b, limit);
    bool ok = g && gunzip_step(g, in, collect, &b) && (g->whole || in.n == 0);
    if (ok) {
        char *p = arena_str(a, buf_str(&b));
        *out = str_make(p, buf_used(&b));
        ok = p != NULL;
    }
    buf_deinit(&b);
    gunzip_free(g);
    return ok;
}
