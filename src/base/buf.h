/* A growable byte buffer with a limit: appended at the end, consumed from the front. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Invariants: 1. at <= len <= cap. 2. len - at <= limit. 3. `failed` stays set until reset. */
struct buf {
    char *p;
    size_t at;    /* first byte not yet consumed */
    size_t len;   /* end of the bytes */
    size_t cap;   /* bytes allocated */
    size_t limit; /* most unconsumed bytes; 0 = no limit */
    bool failed;  /* an append did not fit or memory was out; later appends do nothing */
};

void buf_init(struct buf *b, size_t limit);
void buf_deinit(struct buf *b); /* frees; the buffer may be used again */
void buf_reset(struct buf *b);  /* empties and clears `failed`, keeps the memory */

/* All appends return false, and set b->failed, when the limit or memory is reached; then nothing
 * of that append was added. A run of appends may be checked once, at the end, by b->failed. */
bool buf_append(struct buf *b, struct str s);
bool buf_byte(struct buf *b, char c);
__attribute__((format(printf, 2, 3))) bool buf_printf(struct buf *b, const char *fmt, ...);

/* Room for `n` more bytes; NULL when it does not fit. buf_added says how many were written. */
char *buf_room(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

/* Drops `n` bytes from the front. */
void buf_consume(struct buf *b, size_t n);

static inline struct str buf_str(const struct buf *b)
{
    /* NULL plus zero is undefined */
    return str_make(b->p ? b->p + b->at : NULL, b->len - b->at);
}
static inline size_t buf_used(const struct buf *b) { return b->len - b->at; }

/* The bytes with a NUL behind them (not counted); NULL when memory is out. */
const char *buf_cstr(struct buf *b);
