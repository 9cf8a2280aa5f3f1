/* Layers: what sandboxes had written when they were captured, as ext4 images under STATE/layers.
 *
 *   NAME           durable
 *   NAME.BOOT_ID   whole, but a power cut may take it: only good while the host has this boot id
 *   NAME.new       being made
 *
 * A sandbox stands on the directory `up` of the image. Each is mounted once, read-only; the mount
 * is kept for the next create. Sandboxes hold what they stand on: the name may go at any time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "engine/ns/ns_host.h"
#include "gen/limits.h"

#define NS_LAYER_SIZE 33

struct ns_layers {
    const struct ns_host *host;
    struct {
        char name[NS_LAYER_SIZE]; /* "": free */
        int mount;
        uint64_t used; /* when, counted in uses */
    } open[LIMIT_LAYERS_OPEN];
    uint64_t uses;
};

void ns_layers_init(struct ns_layers *l, const struct ns_host *h);
void ns_layers_deinit(struct ns_layers *l);

/* The mount of a layer, not the caller's. -ENOENT: no such layer; another negative errno. */
int ns_layer_get(struct ns_layers *l, struct str name);
/* Remembers a mount made elsewhere; takes it. */
void ns_layer_put(struct ns_layers *l, struct str name, int mount);
/* Its name is gone afterwards. 0 or a negative errno; unknown: 0. */
int ns_layer_drop(struct ns_layers *l, struct str name);

bool ns_layer_exists(const struct ns_host *h, struct str name);
/* Calls fn once for each layer. */
void ns_layers_each(const struct ns_host *h, void (*fn)(void *data, const char *name), void *data);
/* Removes what is half made or may be torn: at start. */
void ns_layers_clean(const struct ns_host *h);

/* -- for a worker: these wait for disks -- */

/* Creates NAME.new: a descriptor for writing, or a negative errno. */
int ns_layer_begin(const struct ns_host *h, const char *name);
void ns_layer_undo(const struct ns_host *h, const char *name);  /* removes NAME.new */
int ns_layer_finish(const struct ns_host *h, const char *name); /* it is whole: NAME.BOOT_ID */
int ns_layer_settle(const struct ns_host *h, const char *name); /* makes it durable: NAME */
int ns_layer_mount(const struct ns_host *h, const char *name);  /* a new mount of it */
int ns_layer_remove(const struct ns_host *h, const char *name); /* its name, durable or not */
