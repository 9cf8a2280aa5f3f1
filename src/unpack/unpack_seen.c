#include "unpack/unpack_seen.h"

#include <stdlib.h>
#include <string.h>

#include "base/rand.h"

void unpack_seen_init(struct unpack_seen *s)
{
    *s = (struct unpack_seen){ 0 };
    rand_bytes(&s->seed, sizeof s->seed);
}

void unpack_seen_deinit(struct unpack_seen *s) { free(s->slots); }

/* FNV-1a and the last mixing of MurmurHash3. A clash would keep one file that a layer removes. */
static uint64_t hash_of(const struct unpack_seen *s, struct str path)
{
    uint64_t h = s->seed;
    for (size_t i = 0; i < path.n; i++)
        h = (h ^ (unsigned char)path.p[i]) * UINT64_C(0x100000001b3);
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 33;
    return h ? h : 1;
}

/* The slot that holds `h`, or the free one where it belongs. */
static uint64_t *slot_of(const struct unpack_seen *s, uint64_t h)
{
    uint64_t at = h & (s->cap - 1);
    while (s->slots[at] && s->slots[at] != h)
        at = (at + 1) & (s->cap - 1);
    return &s->slots[at];
}

static bool grow(struct unpack_seen *s)
{
    enum { FIRST = 4096 };
    struct unpack_seen more = *s;
    more.cap = s->cap ? s->cap * 2 : FIRST;
    more.slots = calloc(more.cap, sizeof *more.slots);
    if (!more.slots)
        return false;
    for (uint64_t i = 0; i < s->cap; i++)
        if (s->slots[i])
            *slot_of(&more, s->slots[i]) = s->slots[i];
    free(s->slots);
    *s = more;
    return true;
}

/* True also when it is there already; *is_new tells. */
static bool add_one(struct unpack_seen *s, struct str path, bool *is_new)
{
    if (s->len >= s->cap / 2 && !grow(s))
        return false;
    uint64_t h = hash_of(s, path), *slot = slot_of(s, h);
    *is_new = *slot == 0;
    s->len += *is_new;
    *slot = h;
    return true;
}

bool unpack_seen_add(struct unpack_seen *s, struct str path)
{
    bool is_new = true, good = add_one(s, path, &is_new);
    for (size_t n = path.n; good && n > 0; n--) /* a parent that is there has its own */
        if (path.p[n - 1] == '/') {
            good = add_one(s, str_make(path.p, n - 1), &is_new);
            if (!is_new)
                break;
        }
    return good;
}

bool unpack_seen_has(const struct unpack_seen *s, struct str path)
{
    return s->cap && *slot_of(s, hash_of(s, path)) != 0;
}
