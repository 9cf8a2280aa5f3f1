/* Decompression of gzip bodies, bounded. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

struct gunzip;

/* NULL when memory is out. */
struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g);
/* Decompresses a piece and gives what came out to fn, in pieces of up to 64 KiB; stops when fn
 * returns false. False: not gzip, or stopped. Bytes behind the last member are refused. */
bool gunzip_step(struct gunzip *g, struct str in, bool (*fn)(void *data, struct str piece),
                 void *data);
/* True when what was given so far is one or more whole members. */
bool gunzip_is_whole(const struct gunzip *g);

/* All of `in` into the arena. False: not gzip, truncated, or more than `limit` bytes. */
bool gunzip_all(struct arena *a, struct str in, size_t limit, struct str *out);
