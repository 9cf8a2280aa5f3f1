/* What every unit test includes first: cmocka with its prerequisites, and a few comparisons. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

/* A struct str against a literal, shown as text when they differ. */
#define assert_str(got, want)                                                                      \
    do {                                                                                           \
        char *assert_str_copy_ = str_dup(got);                                                     \
        assert_string_equal(assert_str_copy_, (want));                                             \
        free(assert_str_copy_);                                                                    \
    } while (0)
