/* Golden text: what a decider prints, kept in tests/golden and compared byte for byte. */
#pragma once

#include <stdio.h>

#include "base/buf.h"
#include "tests.h"

/* Compares `got` with $GOLDEN_DIR/`name`; with GOLDEN_UPDATE set, writes the file instead. */
static inline void assert_golden(const char *name, struct str got)
{
    const char *dir = getenv("GOLDEN_DIR");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir ? dir : "tests/golden", name);
    if (getenv("GOLDEN_UPDATE")) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(got.p, 1, got.n, out), got.n);
        assert_int_equal(fclose(out), 0);
        return;
    }
    FILE *in = fopen(path, "r");
    if (!in)
        fail_msg("%s is not there; make golden writes it", path);
    struct buf want;
    buf_init(&want, 0);
    for (int c; (c = fgetc(in)) != EOF;)
        (void)buf_byte(&want, (char)c);
    (void)fclose(in);
    char *w = str_dup(buf_str(&want)), *g = str_dup(got);
    assert_string_equal(g, w);
    free(w);
    free(g);
    buf_deinit(&want);
}
