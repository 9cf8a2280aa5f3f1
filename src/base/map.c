#include "base/map.h"

#include <stdlib.h>

#include "base/rand.h"

static uint64_t hash_of(struct str key)
{
    static uint64_t seed;
    while (seed == 0)
        rand_bytes(&seed, sizeof seed);
    uint64_t h = seed ^ (key.n * 0x9e3779b97f4a7c15u);
    for (size_t i = 0; i < key.n; i++) {
        h = (h ^ (unsigned char)key.p[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

void map_init(struct map *m) { *m = (struct map){ 0 }; }

void map_deinit(struct map *m)
{
    free(m->slots);
    map_init(m);
}

/* The slot that holds `key`, or the free one where it belongs. */
static uint32_t find(const struct map_slot *slots, uint32_t cap, struct str key, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (cap - 1);
    while (slots[i].value && !(slots[i].hash == hash && str_eq(slots[i].key, key)))
        i = (i + 1) & (cap - 1);
    return i;
}

void *map_get(const struct map *m, struct str key)
{
    return m->cap ? m->slots[find(m->slots, m->cap, key, hash_of(key))].value : NULL;
}

static bool grow(struct map *m)
{
    uint32_t cap = m->cap ? m->cap * 2 : 16;
    struct map_slot *slots = calloc(cap, sizeof *slots);
    if (!slots)
        return false;
    MAP_EACH(i, m)
        slots[find(slots, cap, m->slots[i].key, m->slots[i].hash)] = m->slots[i];
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    return true;
}

bool map_put(struct map *m, struct str key, void *value)
{
    if ((m->len + 1) * 4 > m->cap * 3 && !grow(m))
        return false;
    uint64_t hash = hash_of(key);
    struct map_slot *s = &m->slots[find(m->slots, m->cap, key, hash)];
    m->len += s->value ? 0 : 1;
    *s = (struct map_slot){ .key = key, .value = value, .hash = hash };
    return true;
}

void *map_remove(struct map *m, struct str key)
{
    if (!m->cap)
        return NULL;
    uint32_t i = find(m->slots, m->cap, key, hash_of(key));
    void *value = m->slots[i].value;
    if (!value)
        return NULL;
    m->len--;
    m->slots[i].value = NULL;
    /* close the gap: entries behind it may have been pushed past their place */
    for (uint32_t j = (i + 1) & (m->cap - 1); m->slots[j].value; j = (j + 1) & (m->cap - 1)) {
        uint32_t home = (uint32_t)m->slots[j].hash & (m->cap - 1);
        if (((j - home) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
            m->slots[i] = m->slots[j];
            m->slots[j].value = NULL;
            i = j;
        }
    }
    return value;
}
