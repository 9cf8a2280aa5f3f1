/* Hash map from byte strings to pointers. Keys are borrowed: the value usually holds its key.
 * Open addressing with a per-process random seed, so that foreign keys cannot be made to clash. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct map_slot {
    struct str key;
    void *value; /* NULL = free */
    uint64_t hash;
};
struct map {
    struct map_slot *slots;
    uint32_t cap, len; /* cap is 0 or a power of two */
};

void map_init(struct map *m);
void map_deinit(struct map *m); /* frees the table, not the values */

void *map_get(const struct map *m, struct str key); /* NULL when absent */
/* Adds or replaces. `value` is not NULL; `key` must live as long as the entry. False: no memory. */
bool map_put(struct map *m, struct str key, void *value);
void *map_remove(struct map *m, struct str key); /* the value that was there, or NULL */

/* Every value once, in no order; the map may not change meanwhile. */
#define MAP_EACH(i, m)                                                                             \
    for (uint32_t i = 0; i < (m)->cap; i++)                                                        \
        if ((m)->slots[i].value)
