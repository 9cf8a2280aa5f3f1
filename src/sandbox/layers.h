/* Who needs which layer and which imported root file system of the engine: builds and sandboxes
 * hold them by name, and what nobody holds any more is told to its owner, who drops it. Pure but
 * for that call. */
#pragma once

#include <stdbool.h>

#include "base/map.h"

struct layers {
    struct map by_name; /* struct layer */
    void (*on_free)(void *data, struct str name);
    void *data;
};

void layers_init(struct layers *l, void (*on_free)(void *data, struct str name), void *data);
void layers_deinit(struct layers *l); /* frees nothing of the engine's */

/* The name under which the root file system at `rootfs` (absolute, or NULL) is held: that of an
 * import, '.' and digits of its sum. Of the built-in ones, which nobody drops: empty. */
struct str layers_root(const char *rootfs);
/* Each name of `list` (commas between; NULL or "": none) and that of `rootfs` is held once more.
 * False: memory is out, nothing is held. */
bool layers_hold(struct layers *l, const char *rootfs, const char *list);
/* The opposite; what is held no more is told to on_free. */
void layers_release(struct layers *l, const char *rootfs, const char *list);
bool layers_has(const struct layers *l, struct str name);
