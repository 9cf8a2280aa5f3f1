#include "sandbox/fleet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "gen/limits.h"
#include "sandbox/fleet_internal.h"

enum { TIDY_MS = 5000 };

/* -- waits -- */

void sandbox_wait_cancel(struct sandbox_wait *w)
{
    if (!w->sandbox)
        return;
    list_remove(&w->node);
    loop_timer_cancel(&w->timer);
    w->sandbox = NULL;
}

bool sandbox_wait_abandon(struct sandbox_wait *w)
{
    struct sandbox *s = w->sandbox;
    if (!s || s->state != LIFE_NEW)
        return false;
    fleet_drop(s->fleet, s);
    sandbox_wait_cancel(w);
    return true;
}

static void wait_end(struct sandbox_wait *w)
{
    struct sandbox *s = w->sandbox;
    sandbox_wait_cancel(w);
    w->fn(w, life_is_visible(s->state) ? s : NULL, w->has_failed ? &w->fault : NULL);
}

static void on_wait_timer(struct loop_timer *t)
{
    struct sandbox_wait *w = t->data;
    struct sandbox *s = w->sandbox;
    w->has_failed = true;
    w->fault = (struct fault){ .code = FAULT_TIMEOUT, .text = "no answer in time" };
    if (s->state == LIFE_NEW) { /* it has not begun, so nothing was changed */
        w->fault = (struct fault){ .code = FAULT_UNAVAILABLE,
                                   .text = "the sandbox engine is not there, try again shortly" };
        fleet_drop(s->fleet, s);
    }
    wait_end(w);
}

void fleet_wait_add(struct sandbox *s, struct sandbox_wait *w, int64_t deadline_ms)
{
    struct loop *l = s->fleet->spec.loop;
    assert(!w->sandbox);
    w->sandbox = s;
    w->has_failed = false;
    w->timer.fn = on_wait_timer;
    w->timer.data = w;
    list_init(&w->node);
    list_push(&s->waits, &w->node);
    if (deadline_ms) {
        int64_t left = deadline_ms - loop_now_ms(l);
        (void)loop_timer_start(l, &w->timer, left > 0 ? left : 0);
    }
}

void fleet_answer(struct fleet *f, struct sandbox *s, const struct fault *fault)
{
    LIST_EACH_SAFE(it, &s->waits) {
        struct sandbox_wait *w = LIST_OF(it, struct sandbox_wait, node);
        w->has_failed = fault != NULL;
        if (fault)
            w->fault = *fault;
        loop_timer_cancel(&w->timer);
        list_remove(&w->node);
        list_push(&f->answers, &w->node);
        loop_task_post(f->spec.loop, &f->finish);
    }
}

static void sandbox_free(struct sandbox *s)
{
    LIST_EACH_SAFE(it, &s->waits) /* only when the fleet ends */
        sandbox_wait_cancel(LIST_OF(it, struct sandbox_wait, node));
    engine_call_cancel(&s->call);
    turn_leave(&s->turn);
    engine_call_cancel(&s->stats);
    route_change_cancel(&s->change);
    loop_timer_cancel(&s->clock);
    metrics_deinit(&s->metrics);
    listing_leave(&s->fleet->listing, s);
    layers_release(&s->fleet->layers, s->spec.template.rootfs, s->spec.template.layers);
    sandbox_spec_deinit(&s->spec);
    for (size_t i = 0; i < sizeof s->view / sizeof *s->view; i++)
        free(s->view[i]);
    free(s);
}

static void on_finish(struct loop_task *t)
{
    struct fleet *f = t->data;
    while (!list_empty(&f->answers))
        wait_end(LIST_OF(f->answers.next, struct sandbox_wait, node));
    while (!list_empty(&f->dead)) {
        struct sandbox *s = LIST_OF(f->dead.next, struct sandbox, node);
        list_remove(&s->node);
        sandbox_free(s);
    }
}

/* -- indexes -- */

void fleet_view(struct fleet *f, const json_t *metadata, const char *template_id,
                struct listing_view *out)
{
    listing_find(&f->listing, metadata, template_id, out);
}

struct sandbox *fleet_find(const struct fleet *f, struct str id)
{
    struct sandbox *s = map_get(&f->by_id, id);
    return s && life_is_visible(s->state) ? s : NULL;
}

struct sandbox *fleet_add(struct fleet *f, const char *id, struct sandbox_spec *spec)
{
    struct sandbox *s = calloc(1, sizeof *s);
    bool holds = s && layers_hold(&f->layers, spec->template.rootfs, spec->template.layers);
    if (!holds || !str_copy(str_of(id), s->id, sizeof s->id) ||
        !map_put(&f->by_id, str_of(s->id), s)) {
        if (holds)
            layers_release(&f->layers, spec->template.rootfs, spec->template.layers);
        free(s);
        return NULL;
    }
    s->fleet = f;
    s->spec = *spec;
    if (!listing_join(&f->listing, s)) {
        (void)map_remove(&f->by_id, str_of(s->id));
        layers_release(&f->layers, spec->template.rootfs, spec->template.layers);
        free(s);
        return NULL;
    }
    *spec = (struct sandbox_spec){ 0 };
    s->run_timeout_s = s->spec.timeout_s;
    list_init(&s->waits);
    list_init(&s->node);
    identity_make_token(f->seed, IDENTITY_ENVD, str_of(s->id), s->envd_token);
    identity_make_token(f->seed, IDENTITY_TRAFFIC, str_of(s->id), s->traffic_token);
    return s;
}

void fleet_drop(struct fleet *f, struct sandbox *s)
{
    if (s->state == LIFE_NEW)
        f->parked_count--;
    s->state = LIFE_GONE;
    (void)map_remove(&f->by_id, str_of(s->id));
    listing_leave(&f->listing, s);
    loop_timer_cancel(&s->clock);
    engine_call_cancel(&s->call);
    engine_call_cancel(&s->stats);
    route_change_cancel(&s->change);
    list_remove(&s->node);
    list_push(&f->dead, &s->node);
    loop_task_post(f->spec.loop, &f->finish);
}

struct fleet_counts fleet_count(const struct fleet *f)
{
    return (struct fleet_counts){ .known = f->by_id.len,
                                  .counted = f->counted,
                                  .running = f->listing.all.running,
                                  .edges = route_link_edges(f->routes),
                                  .has_engine = engine_link_is_up(f->engine) };
}

uint32_t fleet_max(const struct fleet *f) { return f->spec.sandbox_max; }
struct templates fleet_templates(const struct fleet *f)
{
    return (struct templates){ .state = f->spec.state, .store = f->spec.store };
}

/* -- the engine and the edges speak first -- */

static void on_found(void *data, const struct engine_found *found)
{
    struct fleet *f = data;
    struct sandbox *s = map_get(&f->by_id, found->id);
    if (!s && fleet_bench_found(f, found->id))
        return;
    if (!s) {
        if (!found->is_warm)
            log_warn("the engine has an unknown sandbox " STR_FMT "; destroying it",
                     STR_ARG(found->id));
        engine_link_destroy(f->engine, found->id);
        return;
    }
    s->is_found = true;
    s->is_frozen = found->is_frozen;
    s->is_kept = found->is_kept;
}

static void on_layer(void *data, struct str name)
{
    struct fleet *f = data;
    if (layers_has(&f->layers, name))
        return;
    log_info("nobody needs layer " STR_FMT "; dropping it", STR_ARG(name));
    fleet_drop_layer(f, name);
}

static void on_layer_free(void *data, struct str name)
{
    struct fleet *f = data;
    if (f->engine)
        fleet_drop_layer(f, name);
}

static bool is_idle(const struct sandbox *s)
{
    return (s->state == LIFE_RUNNING || s->state == LIFE_PAUSED || s->state == LIFE_STOPPED) &&
           !s->change.link;
}

static void on_up(void *data)
{
    static const struct fault restarted = { .code = FAULT_UNAVAILABLE,
                                            .text = "the engine was restarted meanwhile" };
    struct fleet *f = data;
    uint32_t found = 0, lost = 0;
    fleet_bench_sweep(f);
    MAP_EACH(i, &f->by_id) {
        struct sandbox *s = f->by_id.slots[i].value;
        bool is_lost = !s->is_found && s->state != LIFE_NEW && s->state != LIFE_KILLING;
        if (is_lost)
            log_warn("sandbox %s was %s and the engine has lost it", s->id,
                     life_state_name(s->state));
        found += s->is_found;
        lost += is_lost;
        (void)fleet_step(f, s,
                         !s->is_found   ? LIFE_DO_LOST
                         : s->is_kept   ? LIFE_DO_KEPT
                         : s->is_frozen ? LIFE_DO_FROZEN
                                        : LIFE_DO_FOUND,
                         is_lost ? NULL : &restarted);
        s->is_found = s->is_frozen = s->is_kept = false;
        if (is_idle(s)) /* who waits for it waits for the engine: fleet_pause, fleet_resume */
            fleet_answer(f, s, NULL);
    }
    log_info("the engine is there: %u sandboxes found, %u lost", found, lost);
    LIST_EACH_SAFE(it, &f->parked) {
        struct sandbox *s = LIST_OF(it, struct sandbox, node);
        list_remove(&s->node);
        f->parked_count--;
        LIST_EACH(w, &s->waits) /* from here on the engine's time counts */
            loop_timer_cancel(&LIST_OF(w, struct sandbox_wait, node)->timer);
        if (fleet_step(f, s, LIFE_DO_CREATE, NULL) < 0) {
            struct fault fault = { .code = FAULT_UNAVAILABLE,
                                   .text = "the journal cannot be written" };
            fleet_answer(f, s, &fault);
            f->parked_count++;
            fleet_drop(f, s);
        }
    }
}

static void on_down(void *data)
{
    fleet_warm_forget(data);
    log_warn("the engine went away; sandboxes go on without it");
}

static void on_exited(void *data, struct str id, struct str reason)
{
    struct fleet *f = data;
    struct sandbox *s = map_get(&f->by_id, id);
    log_info("sandbox " STR_FMT " ended by itself: " STR_FMT, STR_ARG(id), STR_ARG(reason));
    struct fault why = { .code = FAULT_CREATE_FAILED };
    (void)snprintf(why.text, sizeof why.text,
                   "Failed to place sandbox: it ended at once (" STR_FMT ")", STR_ARG(reason));
    fleet_warm_exited(f, id);
    fleet_bench_exited(f, id, reason);
    if (s)
        (void)fleet_step(f, s, LIFE_DO_EXITED, s->state == LIFE_STARTING ? &why : NULL);
}

static void on_edge(void *data, struct route_peer *peer)
{
    struct fleet *f = data;
    for (uint32_t i = 0; i < f->listing.all.len; i++) {
        fleet_put_route(f->listing.all.at[i], route_link_begin(f->routes, ROUTE_SET));
        route_link_tell(f->routes, peer);
    }
}

/* -- beginning and end -- */

static int load_one(void *data, const struct store_sandbox *r)
{
    struct fleet *f = data;
    struct sandbox_spec spec;
    enum life_state state;
    if (!sandbox_spec_init(&spec) || !sandbox_spec_parse(str_of(r->spec), &spec) ||
        !life_state_parse(r->state, &state)) {
        sandbox_spec_deinit(&spec);
        log_error("sandbox %s in the journal is not understood; it is left alone", r->id);
        return 0;
    }
    struct sandbox *s = fleet_add(f, r->id, &spec);
    if (!s) {
        sandbox_spec_deinit(&spec);
        return -ENOMEM;
    }
    s->created_us = r->created_us;
    s->started_us = r->started_us;
    s->end_us = r->end_us;
    s->has_lost_memory = r->has_lost_memory;
    s->state = state;
    f->counted += life_is_counted(state);
    listing_update(&f->listing, s);
    return 0;
}

static void on_tidy(struct loop_timer *t)
{
    struct fleet *f = t->data;
    store_tidy(f->spec.store);
    (void)loop_timer_start(f->spec.loop, &f->tidy, TIDY_MS);
}

static int fleet_start(struct op *op, struct fleet *f)
{
    static const struct engine_link_ops engine_ops = { .on_found = on_found,
                                                       .on_layer = on_layer,
                                                       .on_up = on_up,
                                                       .on_down = on_down,
                                                       .on_exited = on_exited };
    static const struct route_link_ops route_ops = { .on_edge = on_edge, .on_wake = fleet_on_wake };
    struct loop *l = f->spec.loop;
    f->routes = route_link_new(l, TAKE_FD(f->spec.routes_fd), &route_ops, f);
    f->engine = engine_link_new(l, f->spec.engine_path, &engine_ops, f);
    if (!f->routes || !f->engine)
        return op_fail(op, FAULT_HOST, ENOMEM, "the links to engine and edge cannot be made");
    if (store_secret(f->spec.store, "seed", f->seed) < 0 || fleet_builds_load(f) < 0 ||
        store_sandbox_each(f->spec.store, load_one, f) < 0)
        return op_fail(op, FAULT_HOST, EIO, "the journal cannot be read");
    MAP_EACH(i, &f->by_id)
        (void)fleet_step(f, f->by_id.slots[i].value, LIFE_DO_LOADED, NULL);
    log_info("%u sandboxes in the journal, %u running", f->by_id.len, f->listing.all.running);
    int r = fleet_stats_start(f);
    if (r == 0)
        r = fleet_warm_start(f);
    return r < 0 ? r : loop_timer_start(l, &f->tidy, TIDY_MS);
}

int fleet_new(struct op *op, const struct fleet_spec *spec, struct fleet **out)
{
    struct fleet *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f)
        return op_fail(op, FAULT_HOST, ENOMEM, "out of memory");
    f->spec = *spec;
    map_init(&f->by_id);
    list_init(&f->parked);
    list_init(&f->dead);
    list_init(&f->answers);
    list_init(&f->wakes);
    list_init(&f->captures);
    list_init(&f->benches);
    list_init(&f->drops);
    map_init(&f->warm);
    listing_init(&f->listing);
    layers_init(&f->layers, on_layer_free, f);
    turns_init(&f->turns, spec->loop);
    buf_init(&f->scratch, 0);
    f->finish = (struct loop_task){ .fn = on_finish, .data = f };
    f->tidy = (struct loop_timer){ .fn = on_tidy, .data = f };
    int r = fleet_start(op, f);
    if (r < 0) {
        fleet_free(f);
        return r;
    }
    *out = f;
    return 0;
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    loop_timer_cancel(&f->tidy);
    loop_timer_cancel(&f->stats);
    fleet_wakes_free(f);
    while (!list_empty(&f->answers))
        sandbox_wait_cancel(LIST_OF(f->answers.next, struct sandbox_wait, node));
    on_finish(&f->finish);
    loop_task_cancel(&f->finish);
    engine_link_free(TAKE_PTR(f->engine)); /* from here on no layer is dropped */
    fleet_captures_free(f);
    fleet_drops_free(f);
    fleet_warm_stop(f);
    MAP_EACH(i, &f->by_id)
        sandbox_free(f->by_id.slots[i].value);
    map_deinit(&f->by_id);
    turns_deinit(&f->turns);
    layers_deinit(&f->layers);
    route_link_free(f->routes);
    buf_deinit(&f->scratch);
    listing_deinit(&f->listing);
    free(f);
}
