/* Durable records behind verbs. SQLite in WAL mode, one connection, one thread.
 *
 * A verb that returned 0 survives the death of every process. Not necessarily the loss of power:
 * commits are not synced one by one (docs/decisions/0003-journal.md), so the last moments before it
 * may be missing, but never half there. Times are wall microseconds. */
#pragma once

#include <stdint.h>

#include "base/op.h"
#include "base/str.h"

struct store;

/* Opens the database at `path`, creating or migrating it; only one process may have it open. 0 or a
 * negative errno with the sentence in `op` (in use, unwritable, of a newer belljar, damaged). */
int store_open(struct op *op, const char *path, struct store **out);
void store_close(struct store *s); /* NULL is fine */

/* Copies what the log has gathered into the database file and syncs it, when there is enough to be
 * worth it. Blocks for milliseconds: call it in quiet moments. */
void store_tidy(struct store *s);

/* The 32 secret bytes called `name`, made at the first call. 0 or a negative errno. */
int store_secret(struct store *s, const char *name, unsigned char out[32]);

/* One sandbox as the journal knows it. Strings are borrowed in both directions. */
struct store_sandbox {
    const char *id;
    const char *state; /* as life_state_name says */
    const char *spec;  /* JSON, the caller's */
    int64_t created_us, started_us, end_us;
};

/* Adds the record. 0 or a negative errno (-EEXIST: the id is taken). */
int store_sandbox_add(struct store *s, const struct store_sandbox *r);
/* Replaces state, started_us and end_us of record r->id (spec and created_us are ignored). */
int store_sandbox_set(struct store *s, const struct store_sandbox *r);
/* Replaces spec of record `id`. */
int store_sandbox_set_spec(struct store *s, const char *id, const char *spec);
/* Removes the record; 0 also when there is none. */
int store_sandbox_remove(struct store *s, const char *id);
/* Calls `fn` with every record, in order of creation; a result other than 0 ends it and is
 * returned. `fn` must not use the store. */
int store_sandbox_each(struct store *s, int (*fn)(void *data, const struct store_sandbox *r),
                       void *data);

/* What was answered to a request with an Idempotency-Key. */
struct store_answer {
    unsigned char request[32]; /* hash of the request */
    int64_t created_us;
    int status; /* HTTP status; 0: no answer yet */
    char *body; /* the caller frees after get */
};
/* 1: *out is filled; 0: the key is unknown; or a negative errno. */
int store_answer_get(struct store *s, const char *key, struct store_answer *out);
/* Reserves `key` for `request`. 0 or a negative errno (-EEXIST). */
int store_answer_reserve(struct store *s, const char *key, const unsigned char request[32],
                         int64_t created_us);
/* Records the answer of a reserved key. `body` need not be terminated. 0 or a negative errno. */
int store_answer_set(struct store *s, const char *key, int status, struct str body);
/* Forgets keys first used before `created_us`. 0 or a negative errno. */
int store_answer_expire(struct store *s, int64_t created_us);
