/* Percent-encoding and queries (RFC 3986, and '+' for space in queries). Pure. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* Decodes %XX (and '+' when `plus`) into the arena, NUL-terminated behind. False: a broken escape,
 * a NUL (encoded or not), or memory. */
bool uri_decode(struct arena *a, struct str in, bool plus, struct str *out);

/* Appends `text` so that it may stand as a value in a query, or as a part of a path (RFC 3986: what
 * is not unreserved is escaped). */
void uri_encode(struct buf *b, struct str text);

/* The next name=value of a query; start with *rest = the query. False at the end. Not decoded. */
bool uri_query_next(struct str *rest, struct str *name, struct str *value);

/* The first parameter `name`, decoded. 1 found, 0 absent (*out empty), -EINVAL broken encoding. */
int uri_query_get(struct arena *a, struct str query, const char *name, struct str *out);
