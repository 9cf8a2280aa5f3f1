/* Tests of the client library: a table of functions, a line each. The server is the one that the
 * environment names. */
#pragma once

#include <belljar.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failed;

static inline bool check_that(bool is_true, const char *what, const char *file, int line,
                              const struct belljar *b)
{
    if (!is_true && check_failed++ < 10) /* the first tell enough */
        printf("# %s:%d: %s (last error: %s)\n", file, line, what, b ? belljar_error(b) : "");
    return is_true;
}

/* Every test has a `b` at hand: the file's own server. */
#define CHECK(cond) check_that((cond), #cond, __FILE__, __LINE__, b)
#define CHECK_TEXT(got, want) CHECK(check_text(got, want))
#define CHECK_HAS(got, want) CHECK(check_has(got, want))

static struct belljar *b;

static inline bool check_text(const char *got, const char *want)
{
    bool is_good = got && strcmp(got, want) == 0;
    if (!is_good)
        printf("# got \"%.200s\" instead of \"%.200s\"\n", got ? got : "(nothing)", want);
    return is_good;
}
static inline bool check_has(const char *got, const char *want)
{
    bool is_good = got && strstr(got, want);
    if (!is_good)
        printf("# \"%.200s\" lacks \"%.200s\"\n", got ? got : "(nothing)", want);
    return is_good;
}

struct check {
    const char *name;
    void (*fn)(void);
};

/* The status of main. */
static inline int check_all(const struct check *tests, size_t count)
{
    int bad = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < count; i++) {
        check_failed = 0;
        tests[i].fn();
        printf("%s %s\n", check_failed ? "FAIL" : "ok", tests[i].name);
        bad += check_failed != 0;
    }
    return bad ? 1 : 0;
}
