#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_SIZE 4080u

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, cap;
    _Alignas(16) char mem[];
};

void arena_init(struct arena *a, size_t limit) { *a = (struct arena){ .limit = limit }; }

void arena_deinit(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t need = (n + 15u) & ~(size_t)15u;
    if (need < n || (a->limit && need > a->limit - a->used))
        return NULL;
    struct arena_chunk *c = a->chunks;
    if (!c || need > c->cap - c->used) {
        size_t cap = need > CHUNK_SIZE ? need : CHUNK_SIZE;
        if (cap > SIZE_MAX - sizeof *c)
            return NULL;
        c = malloc(sizeof *c + cap);
        if (!c)
            return NULL;
        *c = (struct arena_chunk){ .next = a->chunks, .cap = cap };
        a->chunks = c;
    }
    void *p = c->mem + c->used;
    c->used += need;
    a->used += need;
    return memset(p, 0, n);
}

char *arena_str(struct arena *a, struct str s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
    if (p && s.n)
        memcpy(p, s.p, s.n);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p)
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}
