/* What commands did lately: their starts, output and ends, for GET /sandboxes/{id}/logs (core.md
 * 2.8). Bounded: the oldest goes. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"

enum journal_kind { JOURNAL_START, JOURNAL_OUT, JOURNAL_ERR, JOURNAL_PTY, JOURNAL_END };

struct journal {
    struct list entries; /* the oldest first */
    size_t bytes;
};
void journal_init(struct journal *j);
/* `text` is cut; what memory has no room for is left out. */
void journal_add(struct journal *j, enum journal_kind kind, pid_t pid, struct str text);
/* Appends all of it: [{"at":unix ms,"type":"stdout","pid":7,"text":"..."}]. */
void journal_put(const struct journal *j, struct buf *b);
