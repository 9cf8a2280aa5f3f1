/* Sandboxes started ahead, for templates with a start command: made when creates of their kind are
 * seen, handed out through ENGINE_CLAIM, given back when nobody asks any more. No client sees one
 * before it is claimed, and no create depends on one: without, it is slower. They live in memory
 * only: whichever the engine has and this process does not know is destroyed. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "gen/limits.h"
#include "sandbox/fleet_internal.h"
#include "sandbox/warm.h"

enum { TICK_MS = 1000 };

/* Everything that was decided before a claim: who differs in it is of another kind. */
struct warm_kind {
    struct list ones;
    struct fleet *fleet;
    struct sandbox_spec spec; /* nobody's: no metadata, no environment */
    struct warm_demand demand;
    struct warm_counts counts;
    char *key;
    bool is_held; /* the layers and root file system of `spec` */
};

struct warm_one {
    struct list node; /* kind->ones, oldest first */
    struct warm_kind *kind;
    struct engine_call call;
    struct turn turn; /* while it is being started */
    char id[IDENTITY_ID_SIZE];
    int64_t asked_ms;
    bool is_ready;
};

static int64_t now_of(const struct fleet *f) { return loop_now_ms(f->spec.loop); }

/* -- kinds -- */

static char *key_of(const struct sandbox_spec *p)
{
    struct buf b;
    buf_init(&b, 0);
    (void)buf_printf(&b, "%s\n%s\n%s\n%llu %llu %llu %llu\n", p->template.id, p->template.rootfs,
                     p->template.layers ? p->template.layers : "",
                     (unsigned long long)p->memory_bytes, (unsigned long long)p->cpus_milli,
                     (unsigned long long)p->disk_bytes, (unsigned long long)p->pids);
    char *config = json_dumps(p->template.config, JSON_COMPACT | JSON_SORT_KEYS);
    (void)buf_append(&b, str_of(config));
    char *key = config && !b.failed ? str_dup(buf_str(&b)) : NULL;
    free(config);
    buf_deinit(&b);
    return key;
}

static bool copy_kind(struct sandbox_spec *to, const struct sandbox_spec *from)
{
    if (!sandbox_spec_init(to) || !sandbox_spec_copy(from, to))
        return false;
    (void)json_object_clear(to->envs);
    (void)json_object_clear(to->metadata);
    return true;
}

static void kind_free(struct warm_kind *k)
{
    (void)map_remove(&k->fleet->warm, str_of(k->key));
    if (k->is_held)
        layers_release(&k->fleet->layers, k->spec.template.rootfs, k->spec.template.layers);
    sandbox_spec_deinit(&k->spec);
    free(k->key);
    free(k);
}

/* The kind of `spec`, made when it is new; NULL: memory is out, or there are many already. */
static struct warm_kind *kind_get(struct fleet *f, const struct sandbox_spec *spec)
{
    char *key = key_of(spec);
    struct warm_kind *k = key ? map_get(&f->warm, str_of(key)) : NULL;
    if (k || !key || f->warm.len >= LIMIT_WARM_KINDS) {
        free(key);
        return k;
    }
    k = calloc(1, sizeof *k);
    if (!k) {
        free(key);
        return NULL;
    }
    k->fleet = f;
    k->key = key;
    list_init(&k->ones);
    k->is_held = copy_kind(&k->spec, spec) &&
                 layers_hold(&f->layers, k->spec.template.rootfs, k->spec.template.layers);
    if (k->is_held && map_put(&f->warm, str_of(k->key), k))
        return k;
    kind_free(k);
    return NULL;
}

/* -- one -- */

static void one_free(struct warm_one *o)
{
    engine_call_cancel(&o->call);
    turn_leave(&o->turn);
    list_remove(&o->node);
    o->kind->counts.ready -= o->is_ready;
    o->kind->counts.starting -= !o->is_ready;
    o->kind->fleet->warm_bytes -= o->kind->spec.memory_bytes;
    free(o);
}

static void give_back(struct warm_one *o)
{
    engine_link_destroy(o->kind->fleet->engine, str_of(o->id));
    one_free(o);
}

static void on_made(struct engine_call *call, const struct engine_answer *a)
{
    struct warm_one *o = call->data;
    struct warm_kind *k = o->kind;
    int64_t now = now_of(k->fleet);
    turn_leave(&o->turn);
    if (a->status == 0) {
        o->is_ready = true;
        k->counts.starting--;
        k->counts.ready++;
        warm_started(&k->demand, now - o->asked_ms);
        fleet_warm_balance(k->fleet);
        return;
    }
    if (a->status != -ENOTCONN) {
        log_warn("template %s: none could be started ahead: " STR_FMT, k->spec.template.id,
                 STR_ARG(a->text));
        warm_failed(&k->demand, now);
        k->counts.failed++;
    }
    give_back(o); /* whatever is left of it */
}

static void start_one(struct warm_kind *k)
{
    struct fleet *f = k->fleet;
    struct warm_one *o = calloc(1, sizeof *o);
    if (!o)
        return;
    o->kind = k;
    identity_make_id(o->id);
    o->id[0] = 'w';
    o->asked_ms = now_of(f);
    o->call.fn = on_made;
    o->call.data = o;
    list_init(&o->node);
    list_push(&k->ones, &o->node);
    (void)turn_take(&f->turns, &o->turn); /* they are free */
    k->counts.starting++;
    f->warm_bytes += k->spec.memory_bytes;
    struct buf *b = engine_link_begin(f->engine, ENGINE_CREATE);
    msg_str(b, EK_ID, str_of(o->id));
    msg_u64(b, EK_WARM, 1);
    fleet_put_create(f, &k->spec, o->id, NULL, true, 0, b);
    engine_link_ask(f->engine, &o->call, LIMIT_SANDBOX_READY_MS + 2000);
}

static struct warm_one *oldest(struct warm_kind *k, bool is_ready)
{
    LIST_EACH(it, &k->ones) {
        struct warm_one *o = LIST_OF(it, struct warm_one, node);
        if (o->is_ready == is_ready)
            return o;
    }
    return NULL;
}

static void balance(struct warm_kind *k)
{
    struct fleet *f = k->fleet;
    int64_t now = now_of(f);
    uint32_t wanted = warm_wanted(&k->demand, now, UINT32_MAX);
    k->counts.wanted = wanted;
    struct warm_one *spare = oldest(k, true);
    if (k->counts.ready > wanted && spare)
        give_back(spare);
    /* creates that wait for the processors come first */
    while (k->counts.ready + k->counts.starting < wanted && turns_are_free(&f->turns) &&
           f->warm_bytes + k->spec.memory_bytes <= f->spec.warm_bytes &&
           warm_may_try(&k->demand, now)) {
        uint32_t before = k->counts.starting;
        start_one(k);
        if (k->counts.starting == before)
            break;
    }
}

void fleet_warm_balance(struct fleet *f)
{
    if (!engine_link_is_up(f->engine))
        return;
    MAP_EACH(i, &f->warm)
        balance(f->warm.slots[i].value);
}

/* -- used by the fleet -- */

bool fleet_warm_take(struct fleet *f, const struct sandbox_spec *spec, bool again,
                     char id[IDENTITY_ID_SIZE])
{
    if (spec->is_one_off || !sandbox_spec_config(spec, "startCmd") || !f->spec.warm_bytes)
        return false;
    struct warm_kind *k = kind_get(f, spec);
    struct warm_one *o = k ? oldest(k, true) : NULL;
    if (!k)
        return false;
    if (!again)
        warm_asked(&k->demand, now_of(f));
    if (o) {
        memcpy(id, o->id, sizeof o->id);
        k->counts.claimed++;
        one_free(o);
    } else if (!again) {
        k->counts.missed++;
    }
    loop_task_post(f->spec.loop, &f->warm_task); /* not before the claim is on its way */
    return o != NULL;
}

void fleet_warm_prime(struct fleet *f, const struct sandbox_spec *spec)
{
    struct warm_kind *k =
        sandbox_spec_config(spec, "startCmd") && f->spec.warm_bytes ? kind_get(f, spec) : NULL;
    if (!k)
        return;
    warm_asked(&k->demand, now_of(f));
    loop_task_post(f->spec.loop, &f->warm_task);
}

void fleet_warm_exited(struct fleet *f, struct str id)
{
    MAP_EACH(i, &f->warm) {
        struct warm_kind *k = f->warm.slots[i].value;
        LIST_EACH_SAFE(it, &k->ones) {
            struct warm_one *o = LIST_OF(it, struct warm_one, node);
            if (o->is_ready && str_eq(str_of(o->id), id))
                one_free(o);
        }
    }
}

static void forget_ones(struct warm_kind *k)
{
    while (!list_empty(&k->ones))
        one_free(LIST_OF(k->ones.next, struct warm_one, node));
}

void fleet_warm_forget(struct fleet *f)
{
    MAP_EACH(i, &f->warm)
        forget_ones(f->warm.slots[i].value);
}

void fleet_warm_flush(struct fleet *f, const char *template_id)
{
    for (bool again = true; again;) {
        struct warm_kind *found = NULL;
        MAP_EACH(i, &f->warm) {
            struct warm_kind *k = f->warm.slots[i].value;
            if (strcmp(k->spec.template.id, template_id) == 0)
                found = k;
        }
        again = found != NULL;
        while (found && !list_empty(&found->ones))
            give_back(LIST_OF(found->ones.next, struct warm_one, node));
        if (found)
            kind_free(found);
    }
}

/* Kinds that nobody asks for hold a layer and a name: they go with their last sandbox. */
static void drop_idle(struct fleet *f)
{
    struct warm_kind *idle = NULL;
    MAP_EACH(i, &f->warm) {
        struct warm_kind *k = f->warm.slots[i].value;
        if (list_empty(&k->ones) && k->counts.wanted == 0)
            idle = k;
    }
    if (idle)
        kind_free(idle);
}

static void on_tick(struct loop_timer *t)
{
    struct fleet *f = t->data;
    fleet_warm_balance(f);
    drop_idle(f);
    (void)loop_timer_start(f->spec.loop, &f->warm_tick, TICK_MS);
}

static void on_task(struct loop_task *t) { fleet_warm_balance(t->data); }

int fleet_warm_start(struct fleet *f)
{
    f->warm_tick = (struct loop_timer){ .fn = on_tick, .data = f };
    f->warm_task = (struct loop_task){ .fn = on_task, .data = f };
    return f->spec.warm_bytes ? loop_timer_start(f->spec.loop, &f->warm_tick, TICK_MS) : 0;
}

void fleet_warm_stop(struct fleet *f)
{
    loop_timer_cancel(&f->warm_tick);
    loop_task_cancel(&f->warm_task);
    while (f->warm.len)
        MAP_EACH(i, &f->warm) {
            struct warm_kind *k = f->warm.slots[i].value;
            forget_ones(k);
            kind_free(k);
            break;
        }
    map_deinit(&f->warm);
}

uint32_t fleet_warm_count(const struct fleet *f, struct warm_report *out, uint32_t most)
{
    uint32_t n = 0;
    MAP_EACH(i, &f->warm) {
        const struct warm_kind *k = f->warm.slots[i].value;
        if (n < most)
            out[n++] = (struct warm_report){ .template_id = k->spec.template.id,
                                             .counts = k->counts,
                                             .start_ms = k->demand.start_ms };
    }
    return n;
}
