/* The query of a list (core.md 2.3): what a client may ask for, decoded and checked. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/op.h"

struct list_query {
    bool wants_running, wants_paused;
    bool is_ascending;        /* by startedAt */
    uint32_t limit;           /* 1..LIMIT_LIST_PAGE */
    int64_t started_after_us; /* INT64_MIN: any */
    struct str template;      /* decoded, not parsed; empty: any */
    json_t *metadata;         /* object of strings that must match; NULL: any. The caller decrefs */
    bool has_token;           /* go on behind this one: */
    int64_t token_us;
    struct str token_id;
};

/* Reads `query`; strings are the arena's. 0 or -EINVAL with the sentence in `op` (metadata is NULL
 * then). */
int list_query_parse(struct op *op, struct arena *a, struct str query, struct list_query *out);

/* Prints the token that goes on behind (started_us, id). */
#define LIST_TOKEN_SIZE 64
void list_token_print(char out[LIST_TOKEN_SIZE], bool is_ascending, int64_t started_us,
                      const char *id);
