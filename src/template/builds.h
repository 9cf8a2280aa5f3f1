/* Builds of templates: asked for, started, watched. A build runs in sandboxes of its own (bench.h),
 * step by step; results are kept as layers and found again by their keys. Whoever dies meanwhile, a
 * build is ready or it is not: control journals "building" first, and its successor fails it. */
#pragma once

#include <jansson.h>

#include "sandbox/fleet.h"
#include "store/store_job.h"
#include "template/guest.h"
#include "template/uploads.h"

struct builds;

struct builds_spec {
    struct loop *loop;
    struct fleet *fleet;
    struct store *store;
    const char *state;         /* $STATE; outlives the builds */
    uint64_t disk_bytes, pids; /* of a sandbox */
};

/* 0 or a negative errno with the sentence in `op`. */
int builds_new(struct op *op, const struct builds_spec *spec, struct builds **out);
void builds_free(struct builds *all); /* builds under way are failed by the next one */

struct uploads *builds_uploads(struct builds *all);
/* A sandbox whose agent is spoken to; `id` outlives it. */
struct guest builds_guest(const struct builds *all, const char *id);

struct build_request {
    struct str name;    /* [namespace/]name[:tag] */
    const json_t *tags; /* array of strings; NULL: none */
    int64_t cpus, memory_mb;
};
struct build_made {
    char template_id[21], build_id[37];
    char name[TEMPLATE_NAME_SIZE];
    char tags[4096]; /* commas between */
    bool is_settled; /* of builds_import: nothing of it is being dropped any more */
};
/* Adds a waiting build. Waiting ones that share a tag are failed. 0 or a negative errno with the
 * fault in `op`: INVALID, CONFLICT (the name is somebody else's), LIMIT. */
int builds_request(struct builds *all, struct op *op, const struct build_request *r,
                   struct build_made *out);

/* Starts it; builds of the template under way that share a tag are cancelled. `body` is read before
 * the return. 0, or a negative errno with INVALID or NOT_FOUND. */
int builds_start(struct builds *all, struct op *op, const char *template_id, const char *build_id,
                 const json_t *body);
struct build_import {
    struct str name, rootfs; /* rootfs: a name below $STATE/templates */
    const json_t *layers;    /* array of names, topmost first */
    const json_t *config;
};
/* Adds a ready build of what is in place. out->build_id is "": the name stands for just that
 * already. Who placed it asks until it is settled, and looks then whether it is there. 0 or a
 * negative errno with the fault in `op`. */
int builds_import(struct builds *all, struct op *op, const struct build_import *from,
                  struct build_made *out);

/* Ends a build that waits or is under way: it is an error, and what it made so far is gone but for
 * the results of its steps. 0, or a negative errno with NOT_FOUND, CONFLICT (it has ended already)
 * or UNAVAILABLE in `op`. */
int builds_cancel(struct builds *all, struct op *op, const char *template_id, const char *build_id);
/* The template is being deleted: its builds end. */
void builds_cancel_template(struct builds *all, const char *template_id);

/* The log of a build, under way or not, as store_log_page. */
int builds_log_page(struct builds *all, const char *build_id, int level, int64_t offset,
                    uint32_t limit, store_log_fn fn, void *data);

/* Reads tags ("a", "b") to "a,b" without repetition, in lower case. 0 or a negative errno with
 * INVALID in `op`. */
int builds_parse_tags(struct op *op, const json_t *tags, struct str first, char out[4096]);
