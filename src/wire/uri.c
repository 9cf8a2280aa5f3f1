#include "wire/uri.h"

#include <errno.h>
#include <string.h>

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool uri_decode(struct arena *a, struct str in, bool plus, struct str *out)
{
    char *p = arena_alloc(a, in.n + 1);
    size_t n = 0;
    if (!p)
        return false;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] == '\0')
            return false;
        if (in.p[i] == '%') {
            int hi = in.n - i > 2 ? nibble(in.p[i + 1]) : -1;
            int lo = in.n - i > 2 ? nibble(in.p[i + 2]) : -1;
            if (hi < 0 || lo < 0 || hi + lo == 0)
                return false;
            p[n++] = (char)(hi * 16 + lo);
            i += 2;
        } else {
            p[n++] = plus && in.p[i] == '+' ? ' ' : in.p[i];
        }
    }
    *out = str_make(p, n);
    return true;
}

void uri_encode(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c));
        if (is_plain)
            (void)buf_byte(b, (char)c);
        else
            (void)buf_printf(b, "%%%02X", c);
    }
}

bool uri_query_next(struct str *rest, struct str *name, struct str *value)
{
    struct str pair;
    do {
        if (rest->n == 0)
            return false;
        (void)str_cut(*rest, '&', &pair, rest);
    } while (pair.n == 0);
    (void)str_cut(pair, '=', name, value);
    return true;
}

int uri_query_get(struct arena *a, struct str query, const char *name, struct str *out)
{
    struct str k, v, want = str_of(name);
    while (uri_query_next(&query, &k, &v)) {
        struct str key;
        if (!uri_decode(a, k, true, &key))
            return -EINVAL;
        if (str_eq(key, want))
            return uri_decode(a, v, true, out) ? 1 : -EINVAL;
    }
    *out = STR_NONE;
    return 0;
}
