/* The names that a layer has brought so far, and the directories above them: whiteouts are about
 * what was there before (OCI image specification), wherever they stand in the layer. Kept as
 * hashes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct unpack_seen {
    uint64_t *slots; /* 0: free */
    uint64_t cap, len;
    uint64_t seed;
};
void unpack_seen_init(struct unpack_seen *s);
void unpack_seen_deinit(struct unpack_seen *s);
/* `path` is clean: parts with one '/' between. False: memory. */
bool unpack_seen_add(struct unpack_seen *s, struct str path);
bool unpack_seen_has(const struct unpack_seen *s, struct str path);
