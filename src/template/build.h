/* Inside template/ only: one build under way. */
#pragma once

#include "base/arena.h"
#include "recipe/recipe.h"
#include "sandbox/bench.h"
#include "template/builds.h"
#include "template/guest.h"

struct builds {
    struct builds_spec spec;
    struct uploads uploads;
    struct list active; /* struct build */
    struct loop_timer sweep;
    int run_dir; /* $STATE/run/s */
};

enum log_of { LOG_OF_DEBUG, LOG_OF_INFO, LOG_OF_WARN, LOG_OF_ERROR };

struct build_log {
    struct store_log *at; /* step and message are its own */
    uint32_t count, room;
    int64_t last_us;
};
/* Appends a line; beyond the limit nothing but errors. Control bytes become '?'. */
void build_log_add(struct build_log *l, enum log_of level, const char *step, struct str text);
void build_log_deinit(struct build_log *l);
struct store_logs build_log_all(const struct build_log *l);

/* Invariants: 1. in all->active from its start until it is freed. 2. `layers` is held, and so is
 * base.rootfs while holds_base. */
struct build {
    struct list node;
    struct builds *all;
    char id[37], template_id[21], name[TEMPLATE_NAME_SIZE];
    char tags[4096];
    int64_t cpus, memory_mb, started_ms;
    struct build_log log;
    struct arena arena;
    struct recipe recipe;
    struct template base;
    bool holds_base;
    struct recipe_context context;
    char (*keys)[RECIPE_KEY_SIZE]; /* [0] of the base, [n] after step n */
    char *layers;                  /* so far, above base.rootfs; NULL: none */
    uint32_t at;                   /* steps done */
    char step[12];                 /* "base", "1", "finalize" */
    char prefix[32];               /* of its lines: "builder 1/3" */
    struct recipe_op op;
    bool is_prepared;
    bool is_primed; /* sandboxes of it are being started ahead */
    struct bench bench;
    void (*opened)(struct build *b);   /* the bench serves */
    void (*captured)(struct build *b); /* b->bench.layer is there */
    int tries;                         /* of an engine that is not there */
    uint64_t layer_bytes;
    struct guest_run run, start;
    void (*ran)(struct build *b); /* the command of `run` has exited */
    struct http_fetch upload;
    const char *ready;
    int64_t ready_deadline_ms, ready_wait_ms;
    struct loop_timer timer, deadline;
    struct loop_task begin;
    struct build_image *image; /* being pulled; NULL: none */
};

/* -- build_run.c -- */

void build_begin(struct build *b);
/* Ends with a failure: `b` is freed. 0, or a negative errno when the record lacks it: it is then
 * unfinished until the next start. */
__attribute__((format(printf, 2, 3))) int build_fail(struct build *b, const char *fmt, ...);
void build_free(struct build *b);
__attribute__((format(printf, 3, 4))) void build_say(struct build *b, enum log_of level,
                                                     const char *fmt, ...);

/* -- build_kept.c -- */

struct kept_kind {
    const char *name;
    int64_t bytes_max;
    uint32_t count_max;
};
extern const struct kept_kind kept_steps, kept_images;
/* Keeps `value` (taken; NULL: memory was out), an object whose "layers" it holds, under `key`.
 * What cannot be kept is made again. */
void build_keep(struct builds *all, const struct kept_kind *kind, const char *key, json_t *value,
                uint64_t bytes);
/* 1: *out, to be freed, has the layers of `key`; 0: nothing is kept under it; or < 0. */
int build_kept_layers(struct builds *all, const struct kept_kind *kind, const char *key,
                      char **out);
/* Holds the layers of all that is kept. 0 or a negative errno. */
int build_kept_load(struct builds *all);

/* -- build_cache.c -- */

/* The furthest step whose result is kept: sets at, layers (held) and context. */
void build_cache_find(struct build *b);
/* Keeps b->layers and the context as the result of step b->at. */
void build_cache_keep(struct build *b);
/* b->layers becomes `layers`, which it takes; NULL: memory is out. False: then, or it is not held.
 */
bool build_set_layers(struct build *b, char *layers);

void build_base_found(struct build *b); /* b->base is set */

/* -- build_image.c -- */

/* b->recipe.image is no built-in one: gets it, sets b->base, goes on with build_base_found. */
void build_image_start(struct build *b);
void build_image_free(struct build *b);

/* -- build_finish.c -- */

/* The steps are done: finishes, captures, tries the start and ready command, makes it ready. */
void build_finish(struct build *b);

/* -- shared by the two -- */

void build_open(struct build *b, void (*then)(struct build *b));
void build_capture(struct build *b, void (*then)(struct build *b));
void build_exec(struct build *b, void (*then)(struct build *b));
