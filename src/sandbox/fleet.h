/* All sandboxes of this server: drives life/ for each of them with timers, the journal, the engine
 * and the edges. Answers come through struct sandbox_wait, never inside the call that asked. */
#pragma once

#include "sandbox/sandbox.h"
#include "store/store.h"

struct fleet_spec {
    struct loop *loop;
    struct store *store;
    const char *state;       /* $STATE; templates are below it */
    const char *engine_path; /* socket of the engine */
    int routes_fd;           /* listening socket for edges; taken */
    uint32_t sandbox_max;    /* alive at once */
    uint64_t warm_bytes;     /* memory limits of sandboxes started ahead, together; 0: none */
};

/* Loads the journal and begins: timers run, edges are served, the engine is looked for. Strings of
 * the spec must outlive the fleet. 0 or a negative errno with the sentence in `op`. */
int fleet_new(struct op *op, const struct fleet_spec *spec, struct fleet **out);
void fleet_free(struct fleet *f); /* sandboxes live on; waits never hear anything */

/* The sandbox, when clients may see it; NULL otherwise. */
struct sandbox *fleet_find(const struct fleet *f, struct str id);

/* Creates a sandbox of `spec` (taken when 0 is returned; left empty then). `w` hears when it runs
 * and every edge knows it. While the engine is away it waits, until `deadline_ms` (monotonic).
 * Otherwise a negative errno with the fault in `op`: LIMIT, or UNAVAILABLE when nothing was done.
 */
int fleet_create(struct fleet *f, struct op *op, struct sandbox_spec *spec, int64_t deadline_ms,
                 struct sandbox_wait *w);

/* Ends it. From now on it cannot be found; `w` hears when its processes are dead. */
int fleet_kill(struct fleet *f, struct op *op, struct sandbox *s, int64_t deadline_ms,
               struct sandbox_wait *w);

/* Pauses, resumes for `timeout_s`. Without `memory` only its disk is kept, or used: it boots when
 * it is resumed. 0: `w` hears when it is done. -EALREADY with CONFLICT: it is in that state.
 * -EAGAIN: something else is under way, or the engine is away; nothing was begun, and `w` hears
 * when to ask again. Others as above. */
int fleet_pause(struct fleet *f, struct op *op, struct sandbox *s, bool memory, int64_t deadline_ms,
                struct sandbox_wait *w);
int fleet_resume(struct fleet *f, struct op *op, struct sandbox *s, int64_t timeout_s, bool memory,
                 int64_t deadline_ms, struct sandbox_wait *w);

#define SANDBOX_LAYER_SIZE 21 /* 'l', 19 of [a-z0-9], NUL */
#define SANDBOX_BUILD_SIZE 37 /* a UUID, NUL */
#define SANDBOX_ROOT_SIZE 34  /* of an imported root file system: '.', 32 of [0-9a-f], NUL */
struct sandbox_capture {
    char layer[SANDBOX_LAYER_SIZE];
    char template_id[21]; /* of a snapshot */
};
/* Captures the disk of a running sandbox, which goes on afterwards. With `ref` as a snapshot: a
 * build of the template that ref->name is ("": a new one without a name), tagged ref->tag. Without
 * it the layer is the caller's, who releases it. *out holds once `w` hears that it is done. Returns
 * as fleet_pause; CONFLICT also when it is paused. */
int fleet_capture(struct fleet *f, struct op *op, struct sandbox *s, const struct template_ref *ref,
                  struct sandbox_capture *out, int64_t deadline_ms, struct sandbox_wait *w);
/* Layers (commas between) and the root file system (NULL: none, or the built-in one) that something
 * else needs: held until released. False: memory. */
bool fleet_layers_hold(struct fleet *f, const char *rootfs, const char *layers);
void fleet_layers_release(struct fleet *f, const char *rootfs, const char *layers);
/* The engine has been told to drop one of them and has not answered yet: though it is held now, it
 * may go. */
bool fleet_layers_leave(const struct fleet *f, const char *rootfs, const char *layers);
/* What is named in `gone` is needed once less; frees the buffer. */
void fleet_layers_gone(struct fleet *f, struct buf *gone);
/* For the verbs of store/ that remove builds: appends what they held to the struct buf `data`. */
int fleet_layers_collect(void *data, const struct store_build *b);
/* A template changed: what was started ahead for it is destroyed. */
void fleet_template_changed(struct fleet *f, const char *template_id);
/* Somebody will soon create one like `spec` (borrowed): one is started ahead. */
void fleet_warm_prime(struct fleet *f, const struct sandbox_spec *spec);
/* Removes a tag of a template, or all of it (NULL), from the store; its layers go when the last
 * sandbox on them has ended. 0 or a negative errno with UNAVAILABLE in `op`. */
int fleet_tag_remove(struct fleet *f, struct op *op, const char *template_id, const char *tag);

/* Sets the end of a running sandbox to `end_us` (wall), journalled; a past one ends it at once. It
 * is clamped to the longest life. -ERANGE with INVALID: that has been reached already. */
int fleet_set_end(struct fleet *f, struct op *op, struct sandbox *s, int64_t end_us);

/* The visible sandboxes that a list has to look at, as listing_find. */
void fleet_view(struct fleet *f, const json_t *metadata, const char *template_id,
                struct listing_view *out);

struct fleet_counts {
    uint32_t known, counted, running; /* all; using a place; reported as running */
    uint32_t edges;
    bool has_engine;
};
struct fleet_counts fleet_count(const struct fleet *f);
/* Sandboxes started ahead, by template and limits. */
struct warm_counts {
    uint32_t ready, starting, wanted;
    uint64_t claimed, missed, failed; /* creates that found one, that did not; starts that failed */
};
struct warm_report {
    const char *template_id; /* valid until the loop goes on */
    struct warm_counts counts;
    int64_t start_ms; /* what a create from one saves, about */
};
/* At most `most` rows; how many there are. */
uint32_t fleet_warm_count(const struct fleet *f, struct warm_report *out, uint32_t most);

struct templates fleet_templates(const struct fleet *f);
uint32_t fleet_max(const struct fleet *f); /* sandboxes alive at once */
