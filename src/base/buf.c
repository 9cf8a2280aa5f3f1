#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t limit) { *b = (struct buf){ .limit = limit }; }

void buf_deinit(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ .limit = b->limit };
}

void buf_reset(struct buf *b)
{
    b->at = b->len = 0;
    b->failed = false;
}

/* Makes room behind len without touching the limit. */
static bool grow(struct buf *b, size_t n)
{
    if (b->cap - b->len >= n)
        return true;
    size_t used = b->len - b->at;
    if (b->at && b->cap - used >= n && b->at >= used) { /* moving at most what was consumed */
        memmove(b->p, b->p + b->at, used);
        b->at = 0;
        b->len = used;
        return true;
    }
    size_t want = b->cap ? b->cap : 256;
    while (want - b->len < n) {
        if (want > SIZE_MAX / 2)
            return false;
        want *= 2;
    }
    char *p = realloc(b->p, want);
    if (!p)
        return false;
    b->p = p;
    b->cap = want;
    return true;
}

char *buf_room(struct buf *b, size_t n)
{
    size_t used = b->len - b->at;
    if (b->failed || n > SIZE_MAX / 4 || (b->limit && (used > b->limit || n > b->limit - used)) ||
        !grow(b, n)) {
        b->failed = true;
        return NULL;
    }
    return b->p + b->len;
}

void buf_added(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->len);
    b->len += n;
}

bool buf_append(struct buf *b, struct str s)
{
    if (s.n == 0) /* nothing into nothing would be NULL plus zero */
        return !b->failed;
    char *p = buf_room(b, s.n);
    if (!p)
        return false;
    memcpy(p, s.p, s.n);
    b->len += s.n;
    return true;
}

bool buf_byte(struct buf *b, char c) { return buf_append(b, str_make(&c, 1)); }

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    /* vsnprintf writes a NUL behind the text: room for it, but it is not counted */
    char *p = n < 0 ? NULL : buf_room(b, (size_t)n);
    if (p && !grow(b, (size_t)n + 1)) {
        b->failed = true;
        p = NULL;
    }
    if (p)
        (void)vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
    va_end(again);
    if (!p)
        return false;
    b->len += (size_t)n;
    return true;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len - b->at);
    b->at += n;
    if (b->at == b->len)
        b->at = b->len = 0;
}

const char *buf_cstr(struct buf *b)
{
    if (!grow(b, 1))
        return NULL;
    b->p[b->len] = '\0';
    return b->p + b->at;
}
