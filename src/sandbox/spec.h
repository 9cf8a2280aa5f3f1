/* What a sandbox was created as: everything the client asked for, with every default filled in, and
 * what the server decided. Kept in the journal as JSON. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "sandbox/template.h"

/* Invariants: 1. the json members are never NULL, except network and template.config. 2. envs and
 * metadata are objects of strings. 3. mask_host is "" or from network. */
struct sandbox_spec {
    struct template template;
    int64_t timeout_s; /* of each run; > 0 */
    bool secure;       /* envd needs a token */
    int internet;      /* -1: not asked for, otherwise 0 or 1 */
    bool is_cut_off;   /* no traffic to the world: internet 0, or everything denied */
    bool auto_pause, auto_resume;
    bool drops_memory;        /* auto_pause keeps the disk only */
    bool has_private_traffic; /* ports need a token */
    bool is_one_off; /* nobody will ask for one like it: none is started ahead; not journalled */
    char mask_host[256];
    char isolation[32]; /* what the engine that made it calls its walls: "namespaces" */
    json_t *envs, *metadata, *mounts;
    json_t *network; /* as asked for, to echo; NULL: not asked for */
    uint64_t memory_bytes, cpus_milli, disk_bytes, pids;
};

/* Empty members, no limits. False: memory is out. Balance with deinit in both cases. */
bool sandbox_spec_init(struct sandbox_spec *s);
void sandbox_spec_deinit(struct sandbox_spec *s);

/* Appends the spec as JSON. False: b->failed. */
bool sandbox_spec_print(struct buf *b, const struct sandbox_spec *s);
/* Reads what print wrote; init first. False: it is something else. */
bool sandbox_spec_parse(struct str text, struct sandbox_spec *s);
/* A second one like `from`; init `to` first. False: memory is out. */
bool sandbox_spec_copy(const struct sandbox_spec *from, struct sandbox_spec *to);
/* A text of template.config; NULL: none. */
const char *sandbox_spec_config(const struct sandbox_spec *s, const char *key);
/* It has a command to wait for until it counts as started. */
bool sandbox_spec_has_start(const struct sandbox_spec *s);

/* Appends the boot message for the agent of sandbox `id` (ipc/engine_proto.h); `token` NULL: open.
 * `warm`: it is to wait for a second one. */
bool sandbox_spec_boot(struct buf *b, const struct sandbox_spec *s, const char *id,
                       const char *token, bool warm, int64_t now_us);
