/* Templates that were made elsewhere: their files are in place already. */
#include <linux/limits.h> /* PATH_MAX; <limits.h> would find gen/limits.h first */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "gen/limits.h"
#include "template/build.h"
#include "wire/json.h"

static int invalid(struct op *op, const char *what)
{
    return op_fail(op, FAULT_INVALID, EINVAL, "validation error: %s", what);
}

static bool is_of(struct str s, const char *bytes, size_t most)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(bytes, s.p[i], strlen(bytes)))
            return false;
    return s.n && s.n <= most;
}

/* The absolute path of the root file system called `name`. */
static int find_rootfs(struct op *op, const struct builds *all, struct str name, char out[PATH_MAX])
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/templates/" STR_FMT "/rootfs", all->spec.state,
                     STR_ARG(name));
    bool is_name = is_of(name, "0123456789abcdefghijklmnopqrstuvwxyz-_.", 128) &&
                   !str_eq(name, STR(".")) && !str_eq(name, STR(".."));
    if (!is_name || n >= (int)sizeof path)
        return invalid(op, "rootfs must be a name below the server's templates");
    return realpath(path, out)
               ? 0
               : op_fail(op, FAULT_NOT_FOUND, ENOENT, "there is no root file system '" STR_FMT "'",
                         STR_ARG(name));
}

/* "a,b" of ["a","b"]. NULL: op has why. */
static char *join_layers(struct op *op, const json_t *layers)
{
    struct buf b;
    size_t i;
    json_t *v;
    buf_init(&b, 0);
    bool good = json_is_array(layers) && json_array_size(layers) < LIMIT_LAYERS;
    json_array_foreach(layers, i, v)
    {
        struct str name = str_make(json_string_value(v), json_string_length(v));
        good = good && json_is_string(v) &&
               is_of(name, "0123456789abcdefghijklmnopqrstuvwxyz", SANDBOX_LAYER_SIZE - 1);
        if (good && i)
            (void)buf_byte(&b, ',');
        if (good)
            (void)buf_append(&b, name);
    }
    char *out = good && !b.failed ? str_dup(buf_str(&b)) : NULL;
    buf_deinit(&b);
    if (!good)
        (void)invalid(op, "layers must be an array of names, and not too many");
    else if (!out)
        (void)op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    return out;
}

/* Whether the name stands for just this already. */
static bool is_same(const struct builds *all, struct str name, const char *rootfs,
                    const char *layers, const json_t *config, struct build_made *out)
{
    struct templates in = fleet_templates(all->spec.fleet);
    struct template_ref ref;
    struct template t = { 0 };
    struct op op = { 0 };
    bool same = template_ref_parse(name, &ref) == 0 && template_find(&op, &in, &ref, &t) == 0 &&
                strcmp(t.rootfs, rootfs) == 0 && strcmp(t.layers ? t.layers : "", layers) == 0 &&
                json_equal(t.config, config);
    if (same) {
        *out = (struct build_made){ 0 };
        (void)str_copy(str_of(t.id), out->template_id, sizeof out->template_id);
        (void)str_copy(str_of(t.alias), out->name, sizeof out->name);
    }
    template_deinit(&t);
    return same;
}

static int record(struct builds *all, struct op *op, const struct build_made *made,
                  const struct store_build *b)
{
    struct buf gone;
    const struct store_log line = { clock_wall_us(), LOG_OF_INFO, "", "Imported from a file" };
    buf_init(&gone, 0);
    int r = store_job_done(all->spec.store, b, made->tags, (struct store_logs){ &line, 1 },
                           fleet_layers_collect, &gone);
    if (r < 0) {
        buf_deinit(&gone);
        return op_fail(op, FAULT_UNAVAILABLE, -r, "the template cannot be recorded");
    }
    fleet_layers_gone(all->spec.fleet, &gone);
    store_want_sync(all->spec.store);
    return 0;
}

int builds_import(struct builds *all, struct op *op, const struct build_import *from,
                  struct build_made *out)
{
    char rootfs[PATH_MAX];
    struct build_request q = { .name = from->name, .cpus = 2, .memory_mb = 1024 };
    CLEANUP(freep) char *layers = join_layers(op, from->layers), *text = NULL;
    json_t *config = template_config(from->config);
    int r = !layers ? -EINVAL : find_rootfs(op, all, from->rootfs, rootfs);
    (void)json_get_int(config, "cpus", &q.cpus);
    (void)json_get_int(config, "memoryMB", &q.memory_mb);
    if (r == 0 && (q.cpus > 32 || q.memory_mb < 128 || q.memory_mb > INT32_MAX))
        r = invalid(op, "cpus must be 1 to 32, memoryMB 128 or more");
    /* whatever becomes of it, what was placed for it is needed, or dropped */
    bool is_held = r == 0 && fleet_layers_hold(all->spec.fleet, rootfs, layers);
    if (r == 0 && !is_held)
        r = op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    bool same = r == 0 && is_same(all, from->name, rootfs, layers, config, out);
    if (r == 0 && !same)
        text = json_dumps(config, JSON_COMPACT);
    if (r == 0 && !same && !text)
        r = op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    if (r == 0 && !same)
        r = builds_request(all, op, &q, out);
    if (r == 0 && !same) {
        const struct store_build b = { .id = out->build_id,
                                       .template_id = out->template_id,
                                       .layers = layers,
                                       .rootfs = rootfs,
                                       .config = text,
                                       .created_us = clock_wall_us() };
        r = record(all, op, out, &b);
    }
    if (is_held && (r < 0 || same))
        fleet_layers_release(all->spec.fleet, rootfs, layers);
    if (r == 0)
        out->is_settled = !fleet_layers_leave(all->spec.fleet, rootfs, layers);
    json_decref(config);
    return r;
}
