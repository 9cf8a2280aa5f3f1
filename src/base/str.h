/* Borrowed byte strings: pointer and length, not terminated, never owned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
#define STR_FMT "%.*s" /* with STR_ARG */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *s) { return (struct str){ s, s ? strlen(s) : 0 }; }
static inline struct str str_make(const char *p, size_t n) { return (struct str){ p, n }; }
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline struct str str_skip(struct str s, size_t n)
{
    size_t by = n >= s.n ? s.n : n;
    return (struct str){ by ? s.p + by : s.p, s.n - by };
}

/* ASCII case-insensitive equality (HTTP field names, RFC 9110 5.1). */
bool str_ieq(struct str a, struct str b);

/* Equality in time that depends on the lengths only; for secrets. */
bool str_secret_eq(struct str a, struct str b);

/* Index of the first `c`, or s.n. */
size_t str_find(struct str s, char c);

/* Cuts `s` at the first `sep`: *head gets what is before, *tail what is after. Returns false and
 * gives all of `s` to *head when there is none. */
bool str_cut(struct str s, char sep, struct str *head, struct str *tail);

/* Without leading and trailing spaces and tabs. */
struct str str_trim(struct str s);

/* Decimal digits only, no sign, no more than `max`. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *out);

/* Optional '-', decimal digits, within int64. */
bool str_to_i64(struct str s, int64_t *out);

/* Copies with a terminating NUL; NULL when memory is out. The caller frees. */
char *str_dup(struct str s);

/* Copies into `out` of `size` bytes with a NUL. False when it does not fit or holds a NUL. */
bool str_copy(struct str s, char *out, size_t size);

/* Length of the UTF-8 character at the front (RFC 3629: shortest form, no surrogates), or 0 when it
 * is none. `s` is not empty. */
size_t str_utf8(struct str s);
