/* Typed reading of JSON objects over jansson: one call per field, one sentence per mistake. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Parses one JSON value (duplicate keys refused, depth and size bounded by jansson and the caller).
 * NULL: not JSON; `why` (may be NULL) then holds a short sentence. json_decref the result. */
json_t *json_parse(struct str text, char why[160]);

/* 1: present and of the type; 0: absent or null; -EINVAL: another type. Strings are borrowed. */
int json_get_str(const json_t *object, const char *key, struct str *out);
int json_get_int(const json_t *object, const char *key, int64_t *out);
int json_get_bool(const json_t *object, const char *key, bool *out);
/* An object whose values are all strings. */
int json_get_map(const json_t *object, const char *key, json_t **out);

/* Appends `value` compactly. False: b->failed. Steals no reference. */
bool json_put(struct buf *b, const json_t *value);
