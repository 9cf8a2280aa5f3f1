/* The flow of a build: base, prepare, then step by step; build_finish.c has the rest. Every wait is
 * one of three (a bench opens, a command runs, a capture ends) and goes on in the function that was
 * given; a failure of any ends the build. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "gen/limits.h"
#include "template/build.h"
#include "wire/json.h"

enum { AGAIN_MS = 250, TRIES = 80 };

static void next_step(struct build *b);

/* -- log and end -- */

void build_say(struct build *b, enum log_of level, const char *fmt, ...)
{
    char text[LIMIT_BUILD_LINE_SIZE + 1];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0)
        build_log_add(&b->log, level, b->step,
                      str_make(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1));
}

void build_free(struct build *b)
{
    list_remove(&b->node);
    build_image_free(b);
    loop_task_cancel(&b->begin);
    loop_timer_cancel(&b->timer);
    loop_timer_cancel(&b->deadline);
    guest_run_deinit(&b->run);
    guest_run_deinit(&b->start);
    http_fetch_cancel(&b->upload);
    bench_destroy(&b->bench);
    fleet_layers_release(b->all->spec.fleet, NULL, b->layers);
    if (b->holds_base)
        fleet_layers_release(b->all->spec.fleet, b->base.rootfs, NULL);
    free(b->layers);
    template_deinit(&b->base);
    json_decref(b->context.envs);
    build_log_deinit(&b->log);
    arena_deinit(&b->arena);
    free(b);
}

int build_fail(struct build *b, const char *fmt, ...)
{
    char why[LIMIT_BUILD_LINE_SIZE];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    build_say(b, LOG_OF_ERROR, "Build failed: %s", why);
    log_info("build %s of template %s failed: %.200s", b->id, b->template_id, why);
    const struct store_job j = { .id = b->id,
                                 .template_id = b->template_id,
                                 .reason = why,
                                 .step = b->step,
                                 .finished_us = clock_wall_us() };
    int r = store_job_fail(b->all->spec.store, &j, build_log_all(&b->log));
    if (r < 0)
        log_error("build %s stays unfinished in the journal until the next start", b->id);
    if (b->is_primed)
        fleet_template_changed(b->all->spec.fleet, b->template_id);
    build_free(b);
    return r;
}

/* -- the three waits -- */

static void on_again(struct loop_timer *t)
{
    struct build *b = t->data;
    if (b->captured)
        build_capture(b, b->captured);
    else
        build_open(b, b->opened);
}

/* The engine is being restarted: what it was asked for is asked again. True: it will be. */
static bool try_again(struct build *b, const struct fault *fault)
{
    if (fault->code != FAULT_UNAVAILABLE || b->tries++ >= TRIES)
        return false;
    b->timer.fn = on_again;
    b->timer.data = b;
    return loop_timer_start(b->all->spec.loop, &b->timer, AGAIN_MS) == 0;
}

static void on_bench(struct bench *bench, const struct fault *fault, uint64_t disk)
{
    struct build *b = bench->data;
    void (*then)(struct build * of) = b->captured ? b->captured : b->opened;
    if (fault && try_again(b, fault))
        return;
    b->tries = 0;
    b->captured = b->opened = NULL;
    b->layer_bytes = disk;
    if (fault)
        build_fail(b, "%s", fault->text);
    else
        then(b);
}

static void on_exited(struct bench *bench, struct str why)
{
    struct build *b = bench->data;
    bool is_oom = str_eq(why, STR("oom"));
    build_fail(b,
               is_oom ? "it ran out of memory (%lld MB): ask for more (memoryMB)"
                      : "the sandbox of the build ended by itself (%lld MB of memory)",
               (long long)b->memory_mb);
}

static int make_spec(struct build *b, struct sandbox_spec *spec)
{
    const struct builds_spec *has = &b->all->spec;
    if (!sandbox_spec_init(spec))
        return -ENOMEM;
    spec->timeout_s = LIMIT_BUILD_RUN_S;
    spec->memory_bytes = (uint64_t)b->memory_mb << 20;
    if (b->image && spec->memory_bytes < LIMIT_IMAGE_MEMORY_SIZE)
        spec->memory_bytes = LIMIT_IMAGE_MEMORY_SIZE;
    spec->cpus_milli = (uint64_t)b->cpus * 1000;
    spec->disk_bytes = has->disk_bytes;
    spec->pids = has->pids;
    memcpy(spec->template.id, b->template_id, sizeof b->template_id);
    memcpy(spec->template.rootfs, b->base.rootfs, sizeof b->base.rootfs);
    spec->template.has_cas = b->base.has_cas;
    json_t *envs = json_object_get(b->base.config, "envs");
    spec->template.config = envs ? json_pack("{s:O}", "envs", envs) : NULL;
    spec->template.layers = b->layers ? str_dup(str_of(b->layers)) : NULL;
    return b->layers && !spec->template.layers ? -ENOMEM : 0;
}

void build_open(struct build *b, void (*then)(struct build *b))
{
    struct op op = { 0 };
    struct sandbox_spec spec;
    bench_destroy(&b->bench);
    b->opened = then;
    b->bench.fn = on_bench;
    b->bench.exited = on_exited;
    b->bench.data = b;
    int r = make_spec(b, &spec);
    if (r == 0)
        r = bench_create(b->all->spec.fleet, &op, &b->bench, &spec);
    sandbox_spec_deinit(&spec);
    if (r < 0 && !try_again(b, &op.fault))
        build_fail(b, "%s", op.fault.text[0] ? op.fault.text : "out of memory");
}

void build_capture(struct build *b, void (*then)(struct build *b))
{
    b->captured = then;
    bench_capture(&b->bench);
}

static struct guest guest_of(struct build *b) { return builds_guest(b->all, b->bench.id); }

static void on_line(struct guest_run *g, enum guest_stream stream, struct str line)
{
    struct build *b = g->data;
    build_say(b, LOG_OF_INFO, "[%s] [%s]: " STR_FMT, b->prefix,
              stream == GUEST_OUT ? "stdout" : "stderr", STR_ARG(line));
}

static void on_ran(struct guest_run *g, const char *why)
{
    struct build *b = g->data;
    if (why)
        build_fail(b, "%s", why);
    else
        b->ran(b);
}

void build_exec(struct build *b, void (*then)(struct build *b))
{
    struct guest in = guest_of(b);
    json_t *envs = b->op.has_envs ? recipe_envs(&b->context) : NULL;
    b->ran = then;
    b->run.on_line = on_line;
    b->run.on_done = on_ran;
    b->run.data = b;
    int r = guest_run_start(&b->run, &in, &b->op, envs);
    json_decref(envs);
    if (r < 0)
        build_fail(b, "the sandbox of the build cannot be reached: %s", strerror(-r));
}

/* -- base -- */

/* Images that are our built-in templates under another name. */
static const struct {
    const char *image, *name;
} known_images[] = {
    { "e2bdev/base", "base" },
    { "e2bdev/code-interpreter", "code-interpreter-v1" },
};

/* The built-in template that an image is; NULL: none. */
static const char *builtin_of(struct str image)
{
    static const struct str hosts[] = { { "docker.io/", 10 }, { "index.docker.io/", 16 } };
    struct str name, tag;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (str_starts(image, hosts[i]))
            image = str_skip(image, hosts[i].n);
    (void)str_cut(image, '@', &image, &tag);
    (void)str_cut(image, ':', &name, &tag);
    for (size_t i = 0; i < sizeof known_images / sizeof *known_images; i++)
        if (str_eq(name, str_of(known_images[i].image)))
            return known_images[i].name;
    return NULL;
}

static int find_base(struct build *b, struct op *op, struct str text)
{
    struct templates in = fleet_templates(b->all->spec.fleet);
    struct template_ref ref;
    if (template_ref_parse(text, &ref) < 0)
        return op_fail(op, FAULT_INVALID, EINVAL, "invalid template reference: " STR_FMT,
                       STR_ARG(text.n < 100 ? text : str_make(text.p, 100)));
    return template_find(op, &in, &ref, &b->base);
}

/* What the first step sees: the base's, as the user 'user'. */
static bool begin_context(struct build *b)
{
    struct recipe_context *c = &b->context;
    const char *dir = json_string_value(json_object_get(b->base.config, "workdir"));
    json_t *envs = json_object_get(b->base.config, "buildEnvs");
    memcpy(c->user, "user", 5);
    c->envs = envs ? json_copy(envs) : json_object();
    return c->envs && (!dir || str_copy(str_of(dir), c->workdir, sizeof c->workdir));
}

static bool make_keys(struct build *b)
{
    uint32_t n = b->recipe.step_count;
    b->keys = arena_alloc(&b->arena, (n + 1) * sizeof *b->keys);
    if (!b->keys)
        return false;
    recipe_key_base(b->keys[0], str_of(b->base.rootfs), str_of(b->base.layers), &b->context);
    for (uint32_t i = 0; i < n; i++)
        recipe_key_step(b->keys[i + 1], b->keys[i], &b->recipe.steps[i]);
    return true;
}

/* Where the next line belongs: step `n` of the recipe, from 1. */
static void enter_step(struct build *b, uint32_t n)
{
    (void)snprintf(b->step, sizeof b->step, "%u", n);
    (void)snprintf(b->prefix, sizeof b->prefix, "builder %u/%u", n, b->recipe.step_count);
}

static void say_step(struct build *b, uint32_t n, bool is_cached)
{
    struct buf text;
    buf_init(&text, LIMIT_BUILD_LINE_SIZE);
    recipe_step_print(&text, &b->recipe.steps[n - 1]);
    struct str s = buf_str(&text);
    enter_step(b, n);
    build_say(b, LOG_OF_INFO, "%s[%s] " STR_FMT " [%.12s]", is_cached ? "CACHED " : "", b->prefix,
              STR_ARG(s.n < 1000 ? s : str_make(s.p, 1000)), b->keys[n]);
    buf_deinit(&text);
}

/* Mistakes in the steps are told before anything runs. */
static bool check_steps(struct build *b)
{
    char why[RECIPE_WHY_SIZE];
    for (uint32_t i = 0; i < b->recipe.step_count; i++) {
        const struct recipe_step *s = &b->recipe.steps[i];
        enter_step(b, i + 1);
        if (!recipe_check(s, why)) {
            build_fail(b, "%s", why);
            return false;
        }
        char hash[UPLOAD_HASH_SIZE];
        if (s->kind == RECIPE_COPY &&
            (!str_copy(s->files, hash, sizeof hash) || !uploads_has(&b->all->uploads, hash))) {
            build_fail(b, "the files of COPY '" STR_FMT "' have not been uploaded",
                       STR_ARG(s->args[0].n < 200 ? s->args[0] : str_make(s->args[0].p, 200)));
            return false;
        }
    }
    memcpy(b->step, "base", 5);
    return true;
}

static void on_prepared(struct build *b)
{
    if (b->run.exit_code != 0) {
        struct str said = buf_str(&b->run.lines[GUEST_ERR]);
        build_fail(b, "the base cannot be used: " STR_FMT,
                   STR_ARG(said.n < 300 ? said : str_make(said.p, 300)));
        return;
    }
    b->is_prepared = true;
    next_step(b);
}

/* The bench stands on the base itself: what every template has is made first. */
static void prepare(struct build *b)
{
    b->op = (struct recipe_op){ .command = str_of(recipe_prepare()),
                                .user = STR("root"),
                                .workdir = STR("/"),
                                .is_quiet = true };
    build_exec(b, on_prepared);
}

void build_begin(struct build *b)
{
    struct op op = { 0 };
    struct str image = b->recipe.image, from = b->recipe.from;
    const char *builtin = image.n ? builtin_of(image) : NULL;
    memcpy(b->step, "base", 5);
    build_say(b, LOG_OF_INFO, "Building template %s/%s", b->template_id, b->id);
    build_say(b, LOG_OF_INFO, "[base] FROM %s" STR_FMT, from.n ? "TEMPLATE " : "",
              STR_ARG(from.n ? from : image));
    if (!check_steps(b))
        return;
    if (image.n && !builtin) {
        build_image_start(b);
        return;
    }
    if (builtin)
        build_say(b, LOG_OF_INFO,
                  "[base] image " STR_FMT " is the built-in template '%s': nothing is pulled",
                  STR_ARG(image), builtin);
    if (find_base(b, &op, builtin ? str_of(builtin) : from) < 0)
        build_fail(b, "%s", op.fault.text);
    else
        build_base_found(b);
}

void build_base_found(struct build *b)
{
    bool has_layers = b->base.layers != NULL;
    b->holds_base = fleet_layers_hold(b->all->spec.fleet, b->base.rootfs, NULL);
    if (!b->holds_base || !begin_context(b) || !make_keys(b) ||
        (has_layers && !build_set_layers(b, str_dup(str_of(b->base.layers))))) {
        build_fail(b, "out of memory");
        return;
    }
    build_say(b, LOG_OF_INFO, "[base] DEFAULT USER user");
    build_cache_find(b);
    b->is_prepared = b->at > 0;
    for (uint32_t i = 1; i <= b->at; i++)
        say_step(b, i, true);
    build_open(b, b->is_prepared ? next_step : prepare);
}

/* -- steps -- */

/* A layer more for the template; NULL: memory. */
static char *stacked(const struct build *b)
{
    struct buf text;
    buf_init(&text, 0);
    const char *below = b->bench.below;
    (void)buf_printf(&text, "%s%s%s", b->bench.layer, below ? "," : "", below ? below : "");
    char *out = text.failed ? NULL : str_dup(buf_str(&text));
    buf_deinit(&text);
    return out;
}

static void on_captured(struct build *b)
{
    if (!build_set_layers(b, stacked(b))) {
        build_fail(b, "out of memory");
        return;
    }
    build_cache_keep(b);
    /* On a sandbox of its own the next step's layer holds what that step did, no more. When they
     * are many, steps go on in this one, and the layers hold what all of them did. */
    if (template_layer_count(b->layers) < LIMIT_BUILD_LAYERS)
        build_open(b, next_step);
    else
        next_step(b);
}

static void on_step_ran(struct build *b)
{
    const struct recipe_step *s = &b->recipe.steps[b->at];
    if (b->run.exit_code != 0) {
        struct buf why;
        buf_init(&why, 0);
        recipe_failure_print(&why, s, b->run.status, buf_str(&b->run.lines[GUEST_ERR]));
        const char *text = buf_cstr(&why);
        build_fail(b, "%s", text ? text : "out of memory");
        buf_deinit(&why);
        return;
    }
    if (!recipe_apply(s, buf_str(&b->run.lines[GUEST_OUT]), &b->context)) {
        build_fail(b, "the step was not understood");
        return;
    }
    b->at++;
    if (b->op.is_layer)
        build_capture(b, on_captured);
    else
        next_step(b);
}

static void on_no_body(struct http_fetch *f, struct str piece)
{
    (void)f;
    (void)piece;
}

static void on_uploaded(struct http_fetch *f, int r)
{
    struct build *b = f->data;
    if (r < 0 || f->status != 200)
        build_fail(b, "the files of COPY cannot be written: %s",
                   f->status == 507 ? "the disk is full"
                   : r < 0          ? strerror(-r)
                                    : "the sandbox refused them");
    else
        build_exec(b, on_step_ran);
}

static void upload(struct build *b, const struct recipe_step *s)
{
    static const struct http_fetch_ops ops = { .on_body = on_no_body, .on_end = on_uploaded };
    char hash[UPLOAD_HASH_SIZE] = "";
    int64_t size = 0;
    struct guest in = guest_of(b);
    (void)str_copy(s->files, hash, sizeof hash);
    int fd = uploads_read(&b->all->uploads, hash, &size);
    b->upload.ops = &ops;
    b->upload.data = b;
    int r = fd < 0 ? fd : guest_upload(&b->upload, &in, RECIPE_FILES, fd, size);
    if (r < 0)
        build_fail(b, "the files of COPY cannot be read: %s", strerror(-r));
}

static void next_step(struct build *b)
{
    while (b->at < b->recipe.step_count) {
        const struct recipe_step *s = &b->recipe.steps[b->at];
        say_step(b, b->at + 1, false);
        int r = recipe_plan(&b->arena, s, &b->context, &b->op);
        if (r == RECIPE_DONE && b->op.has_files) {
            upload(b, s);
            return;
        }
        if (r == RECIPE_DONE) {
            build_exec(b, on_step_ran);
            return;
        }
        if (r < 0 || !recipe_apply(s, STR_NONE, &b->context)) {
            build_fail(b, r < 0 ? "out of memory" : "its text is not UTF-8");
            return;
        }
        b->at++;
    }
    build_finish(b);
}
