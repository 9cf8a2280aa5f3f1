/* Memory that is freed all at once. Deciders take their memory from the arena they are given. */
#pragma once

#include <stddef.h>

#include "base/str.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used, limit;         /* bytes handed out; most it may hand out (0 = no limit) */
};

void arena_init(struct arena *a, size_t limit);
void arena_deinit(struct arena *a);

/* Zeroed, 16-byte aligned; NULL when the limit or memory is reached. */
void *arena_alloc(struct arena *a, size_t n);
/* A copy with a NUL behind it (not counted); NULL as above. */
char *arena_str(struct arena *a, struct str s);
__attribute__((format(printf, 2, 3))) char *arena_printf(struct arena *a, const char *fmt, ...);
