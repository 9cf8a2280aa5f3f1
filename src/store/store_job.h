/* Builds of templates that clients asked for: their state, log and result; what templates look like
 * in lists; and what is kept for later builds. Strings are borrowed in both directions, in
 * callbacks for as long as they run; a callback may not use the store. */
#pragma once

#include "store/store.h"

/* Invariants: 1. its build's layers and rootfs are "" but in state "ready". 2. `finished_us` is 0
 * until its state is "ready", "error" or "retired" (ready once, and no tag names it any more). */
struct store_job {
    const char *id, *template_id, *name; /* name NULL: the template has none */
    const char *state;                   /* "waiting", "building" and those above */
    const char *tags;                    /* it gets when it is ready; commas between */
    const char *reason, *step;           /* of an error; "" otherwise */
    int64_t cpus, memory_mb;
    int64_t created_us, updated_us, finished_us;
};
typedef int (*store_job_fn)(void *data, const struct store_job *j);

struct store_log {
    int64_t at_us;
    int level; /* 0 debug, 1 info, 2 warn, 3 error */
    const char *step, *message;
};
struct store_logs {
    const struct store_log *at;
    uint32_t count;
};
typedef int (*store_log_fn)(void *data, const struct store_log *l);

/* Adds a waiting job, and its template when there is none of that id. 0 or a negative errno. */
int store_job_add(struct store *s, const struct store_job *j);
/* Calls `fn` with the job. 1, 0 when there is none, or < 0. */
int store_job_get(struct store *s, const char *id, store_job_fn fn, void *data);

struct store_job_page {
    const char *template_id, *state; /* NULL: any */
    int64_t before_us;               /* (created_us, id) below this; 0: all */
    const char *before_id;
    uint32_t limit;
};
/* Newest first. 0, what `fn` returned, or a negative errno. */
int store_job_each(struct store *s, const struct store_job_page *p, store_job_fn fn, void *data);
/* It is building from now on. */
int store_job_start(struct store *s, const char *id, int64_t now_us);
/* It failed, with its log. j: id, template_id, reason, step, finished_us. */
int store_job_fail(struct store *s, const struct store_job *j, struct store_logs logs);
/* It is ready: b has id, template_id, layers, rootfs, config, created_us (now), and each of `tags`
 * names it. `gone` as in store_build_ready. */
int store_job_done(struct store *s, const struct store_build *b, const char *tags,
                   struct store_logs logs, store_build_fn gone, void *data);
/* Lines of at least `level`, from the `offset`th on. */
int store_log_page(struct store *s, const char *id, int level, int64_t offset, uint32_t limit,
                   store_log_fn fn, void *data);

/* -- templates and tags -- */

struct store_template {
    const char *id, *name; /* name NULL: none */
    const char *kind;
    bool is_public;
    int64_t created_us, updated_us;
    const char *build_id;    /* that its default tag names; NULL: none */
    const char *build_state; /* of its newest build */
    int64_t build_count, cpus, memory_mb;
};
typedef int (*store_template_fn)(void *data, const struct store_template *t);

/* Templates (not snapshots) that have or had a build, or get one: newest first, below (before_us,
 * before_id) unless before_us is 0. */
int store_template_page(struct store *s, int64_t before_us, const char *before_id, uint32_t limit,
                        store_template_fn fn, void *data);
/* 1, 0 when there is none, or < 0. */
int store_template_get(struct store *s, const char *id, store_template_fn fn, void *data);
int store_template_set_public(struct store *s, const char *id, bool is_public, int64_t now_us);
/* Tags of a template, sorted: (tag, build_id, created_us) of each. */
int store_tag_each(struct store *s, const char *template_id, store_build_fn fn, void *data);
/* Each of `tags` (commas between) names the build from now on; `gone` as in store_build_ready. */
int store_tag_put(struct store *s, const char *template_id, const char *build_id, const char *tags,
                  int64_t now_us, store_build_fn gone, void *data);

/* -- kept for later: results of steps, uploaded files -- */

struct store_kept {
    const char *kind, *key, *value;
    int64_t bytes, used_us;
};
typedef int (*store_kept_fn)(void *data, const struct store_kept *k);
/* 1 and used at `now_us`; 0 when it is not there; or < 0. */
int store_kept_get(struct store *s, const char *kind, const char *key, int64_t now_us,
                   store_kept_fn fn, void *data);
int store_kept_put(struct store *s, const struct store_kept *k);
int store_kept_remove(struct store *s, const char *kind, const char *key);
/* The longest unused first. */
int store_kept_each(struct store *s, const char *kind, store_kept_fn fn, void *data);
