/* What is kept for later builds and stands on layers: results of steps, images. Each row holds its
 * layers; the longest unused go first. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "gen/limits.h"
#include "template/build.h"
#include "wire/json.h"

const struct kept_kind kept_steps = { "step", LIMIT_BUILD_CACHE_SIZE, LIMIT_BUILD_CACHE_STEPS };
const struct kept_kind kept_images = { "image", INT64_MAX, LIMIT_IMAGES_KNOWN };

static char *layers_of(const char *value)
{
    struct str layers;
    json_t *v = json_parse(str_of(value), NULL);
    char *out = json_get_str(v, "layers", &layers) == 1 ? str_dup(layers) : NULL;
    json_decref(v);
    return out;
}

static int take_layers(void *data, const struct store_kept *k)
{
    char **out = data;
    *out = layers_of(k->value);
    return 0;
}

int build_kept_layers(struct builds *all, const struct kept_kind *kind, const char *key, char **out)
{
    *out = NULL;
    int r = store_kept_get(all->spec.store, kind->name, key, clock_wall_us(), take_layers, out);
    return r == 1 && !*out ? 0 : r;
}

/* -- room -- */

struct oldest {
    int64_t bytes;
    uint32_t count;
    char key[96];
    char *layers;
};

static int find_oldest(void *data, const struct store_kept *k)
{
    struct oldest *o = data;
    o->bytes += k->bytes;
    if (o->count++)
        return 0;
    o->layers = layers_of(k->value);
    return str_copy(str_of(k->key), o->key, sizeof o->key) ? 0 : -EOVERFLOW;
}

/* One stays, however large. */
static void make_room(struct builds *all, const struct kept_kind *kind)
{
    for (bool again = true; again;) {
        struct oldest o = { 0 };
        again = store_kept_each(all->spec.store, kind->name, find_oldest, &o) == 0 && o.count > 1 &&
                (o.bytes > kind->bytes_max || o.count > kind->count_max) &&
                store_kept_remove(all->spec.store, kind->name, o.key) == 0;
        if (again)
            fleet_layers_release(all->spec.fleet, NULL, o.layers);
        free(o.layers);
    }
}

void build_keep(struct builds *all, const struct kept_kind *kind, const char *key, json_t *value,
                uint64_t bytes)
{
    CLEANUP(freep) char *before = NULL;
    CLEANUP(freep) char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    CLEANUP(freep) char *layers = text ? layers_of(text) : NULL;
    json_decref(value);
    if (!layers || !fleet_layers_hold(all->spec.fleet, NULL, layers))
        return; /* it is made again next time */
    int r = build_kept_layers(all, kind, key, &before);
    if (r >= 0)
        r = store_kept_put(
            all->spec.store,
            &(struct store_kept){ kind->name, key, text, (int64_t)bytes, clock_wall_us() });
    fleet_layers_release(all->spec.fleet, NULL, r < 0 ? layers : before);
    make_room(all, kind);
}

static int hold(void *data, const struct store_kept *k)
{
    struct builds *all = data;
    CLEANUP(freep) char *layers = layers_of(k->value);
    return fleet_layers_hold(all->spec.fleet, NULL, layers) ? 0 : -ENOMEM;
}

int build_kept_load(struct builds *all)
{
    int r = store_kept_each(all->spec.store, kept_steps.name, hold, all);
    return r < 0 ? r : store_kept_each(all->spec.store, kept_images.name, hold, all);
}
