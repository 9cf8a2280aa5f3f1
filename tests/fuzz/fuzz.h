/* What every target shares: FUZZ_PARSER names the parser that gets the input, so that each has its
 * own corpus and its own time. */
#pragma once

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct fuzz_parser {
    const char *name;
    void (*fn)(struct str in);
};

#define FUZZ_MAIN(parsers)                                                                         \
    static const struct fuzz_parser *chosen;                                                       \
    int LLVMFuzzerInitialize(int *argc, char ***argv)                                              \
    {                                                                                              \
        const char *name = getenv("FUZZ_PARSER");                                                  \
        (void)argc;                                                                                \
        (void)argv;                                                                                \
        for (size_t i = 0; name && i < sizeof parsers / sizeof *parsers; i++)                      \
            if (strcmp(parsers[i].name, name) == 0)                                                \
                chosen = &parsers[i];                                                              \
        if (!chosen)                                                                               \
            fprintf(stderr, "FUZZ_PARSER names no parser of this target\n");                       \
        return chosen ? 0 : (exit(2), 1);                                                          \
    }                                                                                              \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                   \
    {                                                                                              \
        if (size) /* an empty one would be a NULL pointer */                                       \
            chosen->fn(str_make((const char *)data, size));                                        \
        return 0;                                                                                  \
    }
