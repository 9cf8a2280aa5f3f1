/* The last part of a build: finish, capture, try the start and ready command, make it ready. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "gen/limits.h"
#include "template/build.h"
#include "wire/json.h"

enum { READY_FIRST_MS = 50, READY_MOST_MS = 2000 };

/* -- ready -- */

static const char *command_of(const struct build *b, const char *key, struct str own)
{
    const char *text = json_string_value(json_object_get(b->base.config, key));
    if (b->recipe.has_start) /* either of them replaces both */
        return own.n ? own.p : NULL;
    return text;
}

/* What sandboxes of it are made from. NULL: memory. */
static json_t *config_of(const struct build *b)
{
    const struct recipe_context *c = &b->context;
    json_t *envs = json_object_get(b->base.config, "envs");
    return json_pack("{s:s*, s:s*, s:s, s:s*, s:O*, s:O, s:I, s:I}", "startCmd",
                     command_of(b, "startCmd", b->recipe.start), "readyCmd",
                     command_of(b, "readyCmd", b->recipe.ready), "user", c->user, "workdir",
                     c->workdir[0] ? c->workdir : NULL, "envs", envs, "buildEnvs", c->envs, "cpus",
                     (json_int_t)b->cpus, "memoryMB", (json_int_t)b->memory_mb);
}

/* The first create finds one started ahead. */
static void prime(struct build *b, json_t *config)
{
    const struct builds_spec *has = &b->all->spec;
    struct sandbox_spec spec;
    bool good = sandbox_spec_init(&spec);
    memcpy(spec.template.id, b->template_id, sizeof b->template_id);
    memcpy(spec.template.rootfs, b->base.rootfs, sizeof b->base.rootfs);
    spec.template.has_cas = b->base.has_cas;
    spec.template.layers = str_dup(str_of(b->layers));
    spec.template.config = json_incref(config);
    spec.memory_bytes = (uint64_t)b->memory_mb << 20;
    spec.cpus_milli = (uint64_t)b->cpus * 1000;
    spec.disk_bytes = has->disk_bytes;
    spec.pids = has->pids;
    b->is_primed = good && spec.template.layers;
    if (b->is_primed)
        fleet_warm_prime(has->fleet, &spec);
    sandbox_spec_deinit(&spec);
}

static void done(struct build *b)
{
    struct builds *all = b->all;
    struct buf gone;
    int64_t took_s = (loop_now_ms(all->spec.loop) - b->started_ms + 500) / 1000;
    json_t *config = config_of(b);
    CLEANUP(freep) char *text = config ? json_dumps(config, JSON_COMPACT) : NULL;
    json_decref(config);
    if (!text || !fleet_layers_hold(all->spec.fleet, b->base.rootfs, b->layers)) {
        build_fail(b, "out of memory");
        return;
    }
    build_say(b, LOG_OF_INFO, "Build finished, took %llds", (long long)took_s);
    const struct store_build record = { .id = b->id,
                                        .template_id = b->template_id,
                                        .layers = b->layers,
                                        .rootfs = b->base.rootfs,
                                        .config = text,
                                        .created_us = clock_wall_us() };
    buf_init(&gone, 0);
    int r = store_job_done(all->spec.store, &record, b->tags, build_log_all(&b->log),
                           fleet_layers_collect, &gone);
    if (r < 0) {
        buf_deinit(&gone);
        fleet_layers_release(all->spec.fleet, b->base.rootfs, b->layers);
        build_fail(b, "it cannot be recorded");
        return;
    }
    fleet_layers_gone(all->spec.fleet, &gone);
    store_want_sync(all->spec.store);
    log_info("build %s of template %s is ready after %lld s", b->id, b->template_id,
             (long long)took_s);
    build_free(b);
}

/* -- the start and ready command -- */

static void try_ready(struct build *b);

static void on_retry(struct loop_timer *t) { try_ready(t->data); }

static void on_ready_ran(struct build *b)
{
    struct loop *l = b->all->spec.loop;
    if (b->run.exit_code == 0) {
        build_say(b, LOG_OF_INFO, "Template is ready");
        done(b);
        return;
    }
    if (loop_now_ms(l) >= b->ready_deadline_ms) {
        build_fail(b, "ready command failed: ready command timed out after %ds",
                   LIMIT_SANDBOX_READY_MS / 1000);
        return;
    }
    build_say(b, LOG_OF_DEBUG, "Template is not ready: %s", b->run.status);
    b->timer.fn = on_retry;
    b->timer.data = b;
    (void)loop_timer_start(l, &b->timer, b->ready_wait_ms);
    b->ready_wait_ms = b->ready_wait_ms * 2 < READY_MOST_MS ? b->ready_wait_ms * 2 : READY_MOST_MS;
}

static void on_late(struct loop_timer *t)
{
    build_fail(t->data, "ready command failed: ready command timed out after %ds",
               LIMIT_SANDBOX_READY_MS / 1000);
}

static struct recipe_op own_op(struct build *b, const char *command, bool is_quiet)
{
    return (struct recipe_op){ .command = str_of(command),
                               .user = str_of(b->context.user),
                               .workdir = str_of(b->context.workdir),
                               .is_login = true,
                               .has_envs = true,
                               .is_quiet = is_quiet };
}

static void try_ready(struct build *b)
{
    b->op = own_op(b, b->ready, true);
    build_exec(b, on_ready_ran);
}

static void on_start_line(struct guest_run *g, enum guest_stream stream, struct str line)
{
    build_say(g->data, LOG_OF_INFO, "[start] [%s]: " STR_FMT,
              stream == GUEST_OUT ? "stdout" : "stderr", STR_ARG(line));
}

/* It may end well before the ready command succeeds: whatever it started goes on. */
static void on_start_done(struct guest_run *g, const char *why)
{
    struct build *b = g->data;
    if (why)
        build_fail(b, "start command failed: %s", why);
    else if (g->exit_code != 0)
        build_fail(b, "start command failed: %s", g->status);
}

static void start(struct build *b)
{
    const char *command = command_of(b, "startCmd", b->recipe.start);
    int64_t now = loop_now_ms(b->all->spec.loop);
    b->ready = command_of(b, "readyCmd", b->recipe.ready);
    if (!b->ready)
        b->ready = "sleep 1"; /* long enough to see a start command that fails at once */
    memcpy(b->prefix, "ready", 6);
    b->ready_wait_ms = READY_FIRST_MS;
    b->ready_deadline_ms = now + LIMIT_SANDBOX_READY_MS;
    b->deadline.fn = on_late;
    (void)loop_timer_start(b->all->spec.loop, &b->deadline, LIMIT_SANDBOX_READY_MS);
    if (command) {
        struct guest in = builds_guest(b->all, b->bench.id);
        struct recipe_op op = own_op(b, command, false);
        json_t *envs = recipe_envs(&b->context);
        build_say(b, LOG_OF_INFO, "Running start command: %s", command);
        b->start.on_line = on_start_line;
        b->start.on_done = on_start_done;
        b->start.data = b;
        int r = guest_run_start(&b->start, &in, &op, envs);
        json_decref(envs);
        if (r < 0) {
            build_fail(b, "start command failed: %s", strerror(-r));
            return;
        }
    }
    build_say(b, LOG_OF_INFO, "Waiting for template to be ready: %s", b->ready);
    try_ready(b);
}

/* -- finish -- */

static void on_captured(struct build *b)
{
    struct buf text;
    const char *below = b->bench.below;
    buf_init(&text, 0);
    (void)buf_printf(&text, "%s%s%s", b->bench.layer, below ? "," : "", below ? below : "");
    bool good = !text.failed && build_set_layers(b, str_dup(buf_str(&text)));
    json_t *config = config_of(b);
    buf_deinit(&text);
    if (!good || !config) {
        json_decref(config);
        build_fail(b, "out of memory");
        return;
    }
    bool starts = json_object_get(config, "startCmd") || json_object_get(config, "readyCmd");
    if (starts)
        prime(b, config);
    json_decref(config);
    if (starts)
        build_open(b, start);
    else
        done(b);
}

static void on_finished(struct build *b)
{
    if (b->run.exit_code != 0) {
        struct str said = buf_str(&b->run.lines[GUEST_ERR]);
        build_fail(b, "the template cannot be finished: " STR_FMT,
                   STR_ARG(said.n < 300 ? said : str_make(said.p, 300)));
        return;
    }
    build_capture(b, on_captured);
}

void build_finish(struct build *b)
{
    memcpy(b->step, "finalize", 9);
    build_say(b, LOG_OF_INFO, "[finalize] Finalizing template build");
    struct str script = recipe_finish(&b->arena, b->template_id, b->id);
    b->op = (struct recipe_op){
        .command = script, .user = STR("root"), .workdir = STR("/"), .is_quiet = true
    };
    build_exec(b, on_finished);
}
