/* Results of steps, kept for later builds: layers and what the next step sees. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "template/build.h"
#include "wire/json.h"

bool build_set_layers(struct build *b, char *layers)
{
    if (!layers || !fleet_layers_hold(b->all->spec.fleet, NULL, layers)) {
        free(layers);
        return false;
    }
    fleet_layers_release(b->all->spec.fleet, NULL, b->layers);
    free(b->layers);
    b->layers = layers;
    return true;
}

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
        int r = store_kept_get(b->all->spec.store, kept_steps.name, b->keys[n], clock_wall_us(),
                               take, &f);
        if (r == 1 && f.is_good) {
            b->at = n;
            return;
        }
    }
}

void build_cache_keep(struct build *b)
{
    const struct recipe_context *c = &b->context;
    build_keep(b->all, &kept_steps, b->keys[b->at],
               json_pack("{s:s, s:s, s:s, s:O}", "layers", b->layers, "user", c->user, "workdir",
                         c->workdir, "envs", c->envs),
               b->layer_bytes + 1);
}
