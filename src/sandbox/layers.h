/* Who needs which layer of the engine: builds and sandboxes hold layers by name, and a layer that
 * nobody holds any more is told to its owner, who drops it. Pure but for that call. */
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

/* Each name of `list` (commas between; NULL or "": none) is held once more. False: memory is out,
 * nothing is held. */
bool layers_hold(struct layers *l, const char *list);
/* The opposite; what is held no more is told to on_free. */
void layers_release(struct layers *l, const char *list);
bool layers_has(const struct layers *l, struct str name);
