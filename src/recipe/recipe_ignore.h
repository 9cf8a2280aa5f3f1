/* Patterns of files: .dockerignore and sources of COPY (Go's filepath.Match). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* One part of a path (no slash in it) against * ? [a-z] [^a-z] and \ before any of them. Takes time
 * that grows with the product of both lengths at most. */
bool recipe_match_name(struct str pattern, struct str name);
bool recipe_is_pattern(struct str part); /* otherwise it is a name, perhaps with \ in it */

struct recipe_ignore {
    struct str *patterns; /* without "!" */
    bool *is_exception;   /* "!": what it matches is taken again */
    uint32_t count;
    bool has_exceptions;
};
/* Reads the text of a .dockerignore; strings are the arena's. 0, -ENOMEM, or -E2BIG: it has more
 * than LIMIT_IGNORE_PATTERNS. */
int recipe_ignore_parse(struct arena *a, struct str text, struct recipe_ignore *out);
/* Whether `path` ("a/b", relative to the directory of the file) is left out: the last pattern that
 * matches it or a directory above it decides. "**" stands for any number of directories. */
bool recipe_ignore_has(const struct recipe_ignore *i, struct str path);
