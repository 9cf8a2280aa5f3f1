/* The lines of an execution's stream (code-interpreter.md 3, 5): one JSON object each, ASCII only,
 * for clients decode each piece of the network by itself. Pure. All append a whole line. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

bool line_put_count(struct buf *b, int64_t count);
/* `type` "stdout" or "stderr"; `now_us` wall. Bytes that are not UTF-8 become U+FFFD. */
bool line_put_text(struct buf *b, const char *type, struct str text, int64_t now_us);
/* `data`: MIME type -> value. */
bool line_put_result(struct buf *b, const json_t *data, bool is_main);
bool line_put_error(struct buf *b, const char *name, const char *value, struct str traceback);
bool line_put_json(struct buf *b, const json_t *value); /* no line, but ASCII too */
bool line_put_word(struct buf *b, const char *type);    /* "keepalive", "end_of_execution" */

/* The bytes with all that is not UTF-8 replaced. False: memory. */
bool line_repair(struct buf *b, struct str s);
