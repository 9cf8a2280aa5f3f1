/* Results of steps, kept for later builds: layers and what the next step sees. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "gen/limits.h"
#include "template/build.h"
#include "wire/json.h"

#define KIND "step"

bool build_set_layers(struct build *b, char *layers)
{
    if (!layers || !fleet_layers_hold(b->all->spec.fleet, layers)) {
        free(layers);
        return false;
    }
    fleet_layer_release(b->all->spec.fleet, b->layers);
    free(b->layers);
    b->layers = layers;
    return true;
}

/* -- finding -- */

struct found {
    struct build *b;
    bool is_good;
};

static int take(void *data, const struct store_kept *k)
{
    struct found *f = data;
    struct str layers, user, dir;
    json_t *v = json_parse(str_of(k->value), NULL), *envs;
    struct recipe_context *c = &f->b->context;
    f->is_good = v && json_get_str(v, "layers", &layers) == 1 &&
                 json_get_str(v, "user", &user) == 1 && json_get_str(v, "workdir", &dir) == 1 &&
                 json_get_map(v, "envs", &envs) == 1 && str_copy(user, c->user, sizeof c->user) &&
                 str_copy(dir, c->workdir, sizeof c->workdir) &&
                 build_set_layers(f->b, str_dup(layers));
    if (f->is_good) {
        json_decref(c->envs);
        c->envs = json_incref(envs);
    }
    json_decref(v);
    return 0;
}

void build_cache_find(struct build *b)
{
    uint32_t most = 0;
    while (most < b->recipe.step_count && !b->recipe.steps[most].is_forced)
        most++;
    for (uint32_t n = most; n > 0; n--) {
        struct found f = { .b = b };
        int r = store_kept_get(b->all->spec.store, KIND, b->keys[n], clock_wall_us(), take, &f);
        if (r == 1 && f.is_good) {
            b->at = n;
            return;
        }
    }
}

/* -- keeping -- */

struct oldest {
    int64_t bytes;
    uint32_t count;
    char key[RECIPE_KEY_SIZE];
    char *layers;
};

static char *layers_of(const char *value)
{
    struct str layers;
    json_t *v = json_parse(str_of(value), NULL);
    char *out = json_get_str(v, "layers", &layers) == 1 ? str_dup(layers) : NULL;
    json_decref(v);
    return out;
}

static int find_oldest(void *data, const struct store_kept *k)
{
    struct oldest *o = data;
    o->bytes += k->bytes;
    if (o->count++)
        return 0;
    o->layers = layers_of(k->value);
    return str_copy(str_of(k->key), o->key, sizeof o->key) ? 0 : -EOVERFLOW;
}

static void make_room(struct builds *all)
{
    for (bool again = true; again;) {
        struct oldest o = { 0 };
        again = store_kept_each(all->spec.store, KIND, find_oldest, &o) == 0 && o.count > 1 &&
                ((uint64_t)o.bytes > LIMIT_BUILD_CACHE_SIZE || o.count > LIMIT_BUILD_CACHE_STEPS) &&
                store_kept_remove(all->spec.store, KIND, o.key) == 0;
        if (again)
            fleet_layer_release(all->spec.fleet, o.layers);
        free(o.layers);
    }
}

static int take_layers(void *data, const struct store_kept *k)
{
    char **out = data;
    *out = layers_of(k->value);
    return 0;
}

void build_cache_keep(struct build *b)
{
    struct builds *all = b->all;
    const struct recipe_context *c = &b->context;
    const char *key = b->keys[b->at];
    int64_t now = clock_wall_us();
    CLEANUP(freep) char *before = NULL;
    json_t *v = json_pack("{s:s, s:s, s:s, s:O}", "layers", b->layers, "user", c->user, "workdir",
                          c->workdir, "envs", c->envs);
    CLEANUP(freep) char *value = v ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    if (!value || !fleet_layers_hold(all->spec.fleet, b->layers))
        return; /* it is made again next time */
    int r = store_kept_get(all->spec.store, KIND, key, now, take_layers, &before);
    if (r >= 0)
        r = store_kept_put(
            all->spec.store,
            &(struct store_kept){ KIND, key, value, (int64_t)b->layer_bytes + 1, now });
    fleet_layer_release(all->spec.fleet, r < 0 ? b->layers : before);
    make_room(all);
}

static int hold(void *data, const struct store_kept *k)
{
    struct builds *all = data;
    CLEANUP(freep) char *layers = layers_of(k->value);
    return fleet_layers_hold(all->spec.fleet, layers) ? 0 : -ENOMEM;
}

int build_cache_load(struct builds *all)
{
    return store_kept_each(all->spec.store, KIND, hold, all);
}
