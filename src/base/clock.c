#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void) { return now_us(CLOCK_MONOTONIC); }
int64_t clock_mono_ms(void) { return now_us(CLOCK_MONOTONIC) / 1000; }
int64_t clock_wall_us(void) { return now_us(CLOCK_REALTIME); }

void clock_format(int64_t wall_us, char out[CLOCK_RFC3339_SIZE])
{
    int64_t s = wall_us / 1000000, us = wall_us % 1000000;
    if (us < 0) {
        us += 1000000;
        s--;
    }
    time_t t = (time_t)s;
    struct tm tm;
    if (!gmtime_r(&t, &tm))
        memset(&tm, 0, sizeof tm);
    (void)snprintf(out, CLOCK_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
                   (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100,
                   tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100, (int)us);
}

/* Reads exactly `n` digits; moves the cursor. */
static bool digits(const char **p, const char *end, int n, int *out)
{
    int v = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (*p >= end || **p < '0' || **p > '9')
            return false;
        v = v * 10 + (**p - '0');
    }
    *out = v;
    return true;
}

static bool literal(const char **p, const char *end, char c)
{
    if (*p >= end || **p != c)
        return false;
    (*p)++;
    return true;
}

static bool fraction(const char **p, const char *end, int64_t *us)
{
    *us = 0;
    if (!literal(p, end, '.'))
        return true;
    int64_t unit = 100000;
    int seen = 0;
    for (; *p < end && **p >= '0' && **p <= '9' && seen < 9; (*p)++, seen++, unit /= 10)
        *us += (**p - '0') * unit;
    return seen > 0;
}

static bool offset(const char **p, const char *end, int *minutes)
{
    *minutes = 0;
    if (literal(p, end, 'Z') || literal(p, end, 'z'))
        return true;
    int sign = literal(p, end, '+') ? 1 : literal(p, end, '-') ? -1 : 0, h, m;
    if (sign == 0 || !digits(p, end, 2, &h) || !literal(p, end, ':') || !digits(p, end, 2, &m) ||
        h > 23 || m > 59)
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

bool clock_parse(const char *text, size_t len, int64_t *wall_us)
{
    const char *p = text, *end = text + len;
    struct tm tm = { 0 };
    int64_t us;
    int minutes;
    if (!digits(&p, end, 4, &tm.tm_year) || !literal(&p, end, '-') ||
        !digits(&p, end, 2, &tm.tm_mon) || !literal(&p, end, '-') ||
        !digits(&p, end, 2, &tm.tm_mday) || p >= end || !strchr("Tt ", *p++) ||
        !digits(&p, end, 2, &tm.tm_hour) || !literal(&p, end, ':') ||
        !digits(&p, end, 2, &tm.tm_min) || !literal(&p, end, ':') ||
        !digits(&p, end, 2, &tm.tm_sec) || !fraction(&p, end, &us) || !offset(&p, end, &minutes) ||
        p != end)
        return false;
    if (tm.tm_year < 1 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *wall_us = ((int64_t)timegm(&tm) - minutes * 60) * 1000000 + us;
    return true;
}
