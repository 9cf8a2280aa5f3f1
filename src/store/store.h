/* Durable records behind verbs. SQLite in WAL mode, one connection, one thread.
 *
 * A verb that returned 0 survives the death of every process. Not necessarily the loss of power:
 * commits are not synced one by one (docs/decisions/0003-journal.md), so the last moments before it
 * may be missing, but never half there. Times are wall microseconds. */
#pragma once

#include <stdbool.h>
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
/* What was written last must outlive a loss of power: the next store_tidy syncs it. */
void store_want_sync(struct store *s);

/* The 32 secret bytes called `name`, made at the first call. 0 or a negative errno. */
int store_secret(struct store *s, const char *name, unsigned char out[32]);

/* One sandbox as the journal knows it. Strings are borrowed in both directions. */
struct store_sandbox {
    const char *id;
    const char *state; /* as life_state_name says */
    const char *spec;  /* JSON, the caller's */
    int64_t created_us, started_us, end_us;
    bool has_lost_memory; /* it stands still and its memory is gone, unasked for */
};

/* Adds the record. 0 or a negative errno (-EEXIST: the id is taken). */
int store_sandbox_add(struct store *s, const struct store_sandbox *r);
/* Replaces state, times and has_lost_memory of record r->id (spec and created_us are ignored). */
int store_sandbox_set(struct store *s, const struct store_sandbox *r);
/* Replaces spec of record `id`. */
int store_sandbox_set_spec(struct store *s, const char *id, const char *spec);
/* Removes the record; 0 also when there is none. */
int store_sandbox_remove(struct store *s, const char *id);
/* Calls `fn` with every record, in order of creation; a result other than 0 ends it and is
 * returned. `fn` must not use the store. */
int store_sandbox_each(struct store *s, int (*fn)(void *data, const struct store_sandbox *r),
                       void *data);

/* A template has builds, and tags that name one build each. Snapshots are templates, too. Strings
 * are borrowed, in callbacks for as long as they run; a callback may not use the store. */
struct store_build {
    const char *id, *template_id;
    const char *name;   /* of the template; NULL: it has none */
    const char *kind;   /* "snapshot", "template" */
    const char *state;  /* "capturing", "ready" */
    const char *layers; /* of the engine, topmost first, commas between; "": none */
    const char *rootfs; /* below them */
    const char *config; /* JSON, the caller's */
    const char *source; /* id of the sandbox it was made of; "": none */
    const char *tag;    /* NULL: none; one of several */
    int64_t created_us; /* of the tag, or of the build without one */
};
/* The answer 0 goes on, another one ends the reading and is returned. */
typedef int (*store_build_fn)(void *data, const struct store_build *b);

/* Adds an unfinished build, and its template when there is none of that id. `state` and `tag` are
 * ignored. 0 or a negative errno. */
int store_build_add(struct store *s, const struct store_build *b);
/* The build is finished and `tag` of its template names it from now on. A build that has no tag any
 * more by that is removed; `gone` hears of it, and what it heard holds when 0 is returned. 0 or a
 * negative errno. */
int store_build_ready(struct store *s, const struct store_build *b, const char *tag,
                      store_build_fn gone, void *data);
/* Removes a build, and its template when that was the last one. 0 also when there is none. */
int store_build_remove(struct store *s, const struct store_build *b);
/* Every build. */
int store_build_each(struct store *s, store_build_fn fn, void *data);
/* Copies the id of the template called `name`, or with that id, to `id`. 1 found, 0 not, < 0. */
int store_template_by_name(struct store *s, const char *name, char *id, size_t size);
int store_template_by_id(struct store *s, const char *name, char *id, size_t size);
/* Calls `fn` with the build that `tag` of the template names. 1, or 0 when there is none, or < 0.
 */
int store_build_tagged(struct store *s, const char *template_id, const char *tag, store_build_fn fn,
                       void *data);
/* Removes the tag (all tags when NULL) and the builds that have none any more; `gone` as
 * above. 0 or a negative errno. */
int store_tag_remove(struct store *s, const char *template_id, const char *tag, store_build_fn gone,
                     void *data);

struct store_page {
    const char *kind, *source, *template_id, *tag; /* NULL: any; not kind */
    int64_t before_us;                             /* (created_us, id) below this; INT64_MAX: all */
    const char *before_id;
    uint32_t limit;
};
/* Finished builds by tag, newest first. 0, what `fn` returned, or a negative errno. */
int store_build_page(struct store *s, const struct store_page *p, store_build_fn fn, void *data);

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
