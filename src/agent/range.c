#include "agent/range.h"

#include <stdlib.h>
#include <time.h>

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* "Sun, 06 Nov 1994 08:49:37 GMT" only: the obsolete forms are nobody's any more. */
static bool parse_date(struct str s, int64_t *out)
{
    struct tm tm = { 0 };
    uint64_t day, year, hour, minute, second;
    if (s.n != 29 || memcmp(s.p + 25, " GMT", 4) != 0)
        return false;
    for (tm.tm_mon = 0; tm.tm_mon < 12; tm.tm_mon++)
        if (memcmp(s.p + 8, months + tm.tm_mon * 3, 3) == 0)
            break;
    if (tm.tm_mon == 12 || !str_to_u64(str_make(s.p + 5, 2), 31, &day) ||
        !str_to_u64(str_make(s.p + 12, 4), 9999, &year) ||
        !str_to_u64(str_make(s.p + 17, 2), 23, &hour) ||
        !str_to_u64(str_make(s.p + 20, 2), 59, &minute) ||
        !str_to_u64(str_make(s.p + 23, 2), 60, &second))
        return false;
    tm.tm_mday = (int)day;
    tm.tm_year = (int)year - 1900;
    tm.tm_hour = (int)hour;
    tm.tm_min = (int)minute;
    tm.tm_sec = (int)second;
    *out = timegm(&tm);
    return true;
}

/* "bytes=a-b", "a-", "-n". 206 and 416 set; 200: not a range we serve. */
static struct range parse_range(struct str spec, int64_t size)
{
    struct range whole = { 200, 0, size };
    struct str from, to;
    uint64_t a = 0, b = 0;
    if (!str_starts(spec, STR("bytes=")))
        return whole;
    spec = str_trim(str_skip(spec, 6));
    if (memchr(spec.p, ',', spec.n) || !str_cut(spec, '-', &from, &to))
        return whole;
    if ((from.n && !str_to_u64(from, INT64_MAX, &a)) || (to.n && !str_to_u64(to, INT64_MAX, &b)))
        return whole;
    if (!from.n && !to.n)
        return whole;
    int64_t first = (int64_t)a, last = to.n ? (int64_t)b : size - 1;
    if (!from.n) {
        first = (int64_t)b < size ? size - (int64_t)b : 0;
        last = size - 1;
    }
    if (from.n && to.n && last < first)
        return whole;
    if (first >= size || (!from.n && b == 0))
        return (struct range){ 416, 0, 0 };
    if (last >= size)
        last = size - 1;
    return (struct range){ 206, first, last - first + 1 };
}

struct range range_decide(const struct http_head *h, int64_t size, int64_t modified_s)
{
    int64_t at;
    struct str unmodified = http_field(h, "if-unmodified-since");
    struct str modified = http_field(h, "if-modified-since");
    struct str spec = http_field(h, "range"), condition = http_field(h, "if-range");
    if (unmodified.n && parse_date(unmodified, &at) && modified_s > at)
        return (struct range){ 412, 0, 0 };
    if (modified.n && !http_field(h, "if-none-match").p && parse_date(modified, &at) &&
        modified_s <= at)
        return (struct range){ 304, 0, 0 };
    bool use = spec.n && (!condition.n || (parse_date(condition, &at) && at == modified_s));
    return use ? parse_range(spec, size) : (struct range){ 200, 0, size };
}

void range_put(const struct range *r, int64_t size, int64_t modified_s, struct buf *fields)
{
    time_t t = modified_s;
    struct tm tm;
    if (gmtime_r(&t, &tm))
        (void)buf_printf(fields, "Last-Modified: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
                         days + tm.tm_wday * 3, tm.tm_mday, months + tm.tm_mon * 3,
                         tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    (void)buf_append(fields, STR("Accept-Ranges: bytes\r\n"));
    if (r->status == 206)
        (void)buf_printf(fields, "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)r->offset,
                         (long long)(r->offset + r->length - 1), (long long)size);
    else if (r->status == 416)
        (void)buf_printf(fields, "Content-Range: bytes */%lld\r\n", (long long)size);
}

/* "q=0", "q=0.0" ... */
static bool is_refused(struct str params)
{
    struct str q = str_trim(params);
    if (!str_starts(q, STR("q=0")))
        return false;
    for (size_t i = 3; i < q.n; i++)
        if (q.p[i] != '.' && q.p[i] != '0')
            return false;
    return true;
}

bool range_accepts_identity(const struct http_head *h)
{
    struct str rest = http_field(h, "accept-encoding"), one, name, params;
    bool star_refused = false;
    while (rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        params = STR_NONE;
        (void)str_cut(one, ';', &name, &params);
        if (str_ieq(str_trim(name), STR("identity")))
            return !is_refused(params);
        if (str_eq(str_trim(name), STR("*")) && is_refused(params))
            star_refused = true;
    }
    return !star_refused;
}
