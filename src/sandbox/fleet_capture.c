/* Captures of running sandboxes: for a snapshot, which has a record, or for a fork, whose layer
 * lives as long as its children. A capture has an answer of its own: its sandbox may be killed
 * meanwhile, and the layer must not outlive that. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "gen/limits.h"
#include "sandbox/fleet_internal.h"
#include "wire/json.h"

enum { CAPTURE_MS = 60000 /* gigabytes may have been written; the sandbox waits no longer */ };

struct capture {
    struct list node; /* fleet->captures */
    struct fleet *fleet;
    struct engine_call call;
    char id[33];                    /* of the sandbox */
    char layer[SANDBOX_LAYER_SIZE]; /* held */
    char build[SANDBOX_BUILD_SIZE]; /* of the snapshot; "": a fork */
    char template_id[21];
    char tag[TEMPLATE_NAME_SIZE];
    char below[(SANDBOX_LAYER_SIZE + 1) * LIMIT_LAYERS], rootfs[PATH_MAX]; /* it stands on them */
};

static void capture_free(struct capture *c)
{
    engine_call_cancel(&c->call);
    list_remove(&c->node);
    free(c);
}

/* -- records -- */

int fleet_layers_collect(void *data, const struct store_build *b)
{
    struct buf *gone = data;
    struct str root = layers_root(b->rootfs);
    if (strcmp(b->state, "ready") != 0) /* it holds nothing */
        return 0;
    if (b->layers[0])
        (void)buf_printf(gone, "%s%s", buf_used(gone) ? "," : "", b->layers);
    if (root.n)
        (void)buf_printf(gone, "%s" STR_FMT, buf_used(gone) ? "," : "", STR_ARG(root));
    return 0;
}

/* Without memory they stay until the next start. */
void fleet_layers_gone(struct fleet *f, struct buf *gone)
{
    if (buf_used(gone) && !gone->failed)
        layers_release(&f->layers, NULL, buf_cstr(gone));
    buf_deinit(gone);
}

static struct store_build record_of(const struct capture *c)
{
    return (struct store_build){ .id = c->build, .template_id = c->template_id };
}

/* The snapshot is there from now on. 0 or a negative errno: then it is not. */
static int seal(struct capture *c)
{
    struct fleet *f = c->fleet;
    struct store_build b = record_of(c);
    struct buf gone;
    if (!c->build[0])
        return 0;
    if (!layers_hold(&f->layers, c->rootfs, c->below))
        return -ENOMEM;
    b.created_us = clock_wall_us();
    buf_init(&gone, 0);
    int r = store_build_ready(f->spec.store, &b, c->tag, fleet_layers_collect, &gone);
    if (r < 0) {
        layers_release(&f->layers, c->rootfs, c->below);
        buf_reset(&gone);
    }
    fleet_layers_gone(f, &gone);
    store_want_sync(f->spec.store);
    return r;
}

static void discard(struct capture *c)
{
    struct store_build b = record_of(c);
    if (c->build[0] && store_build_remove(c->fleet->spec.store, &b) < 0)
        log_error("snapshot %s stays in the journal until the next start", c->build);
    layers_release(&c->fleet->layers, NULL, c->layer); /* which drops it */
}

static int load_build(void *data, const struct store_build *b)
{
    struct fleet *f = data;
    if (strcmp(b->state, "ready") == 0)
        return layers_hold(&f->layers, b->rootfs, b->layers) ? 0 : -ENOMEM;
    if (strcmp(b->kind, "template") == 0)
        return 0;
    struct capture *c = calloc(1, sizeof *c); /* removed below: not while the store is being read */
    if (!c)
        return -ENOMEM;
    (void)str_copy(str_of(b->id), c->build, sizeof c->build);
    (void)str_copy(str_of(b->template_id), c->template_id, sizeof c->template_id);
    list_init(&c->node);
    list_push(&f->captures, &c->node);
    return 0;
}

int fleet_builds_load(struct fleet *f)
{
    int r = store_build_each(f->spec.store, load_build, f);
    LIST_EACH_SAFE(it, &f->captures) {
        struct capture *c = LIST_OF(it, struct capture, node);
        struct store_build b = record_of(c);
        log_info("snapshot %s was not finished; removing it", c->build);
        if (r == 0)
            r = store_build_remove(f->spec.store, &b);
        capture_free(c);
    }
    return r;
}

void fleet_captures_free(struct fleet *f)
{
    while (!list_empty(&f->captures))
        capture_free(LIST_OF(f->captures.next, struct capture, node));
}

int fleet_tag_remove(struct fleet *f, struct op *op, const char *template_id, const char *tag)
{
    struct buf gone;
    buf_init(&gone, 0);
    int r = store_tag_remove(f->spec.store, template_id, tag, fleet_layers_collect, &gone);
    if (r < 0)
        buf_reset(&gone);
    fleet_layers_gone(f, &gone);
    if (r == 0)
        fleet_warm_flush(f, template_id);
    store_want_sync(f->spec.store);
    return r < 0 ? op_fail(op, FAULT_UNAVAILABLE, -r, "it cannot be removed; nothing was changed")
                 : 0;
}

void fleet_layers_release(struct fleet *f, const char *rootfs, const char *layers)
{
    layers_release(&f->layers, rootfs, layers);
}
bool fleet_layers_hold(struct fleet *f, const char *rootfs, const char *layers)
{
    return layers_hold(&f->layers, rootfs, layers);
}
void fleet_template_changed(struct fleet *f, const char *template_id)
{
    fleet_warm_flush(f, template_id);
}

/* -- captures -- */

static struct fault capture_fault(const struct engine_answer *a, int sealed)
{
    struct fault t = { .code = a->fault, .err = -a->status };
    (void)snprintf(t.text, sizeof t.text, STR_FMT, STR_ARG(a->text));
    if (a->status == -ENOTCONN)
        t = (struct fault){ .code = FAULT_UNAVAILABLE,
                            .text = "the engine was restarted; nothing was captured" };
    else if (a->status == 0)
        t = (struct fault){ .code = FAULT_UNAVAILABLE,
                            .err = -sealed,
                            .text = "the journal cannot be written; nothing was captured" };
    return t;
}

static void on_captured(struct engine_call *call, const struct engine_answer *a)
{
    struct capture *c = call->data;
    struct fleet *f = c->fleet;
    struct sandbox *s = map_get(&f->by_id, str_of(c->id));
    bool is_mine = s && s->capture == c;
    bool is_wanted = is_mine && s->state == LIFE_SNAPSHOTTING;
    int sealed = a->status == 0 && is_wanted ? seal(c) : -ECANCELED;
    bool good = a->status == 0 && sealed == 0;
    if (!good)
        discard(c);
    if (is_mine)
        s->capture = NULL;
    capture_free(c);
    if (!is_wanted)
        return;
    struct fault why = capture_fault(a, sealed);
    if (!good)
        log_warn("sandbox %s: it was not captured: %s", s->id, why.text);
    (void)fleet_step(f, s, good ? LIFE_DO_CAPTURE_DONE : LIFE_DO_CAPTURE_FAILED, &why);
}

void fleet_capture_ask(struct sandbox *s)
{
    struct capture *c = s->capture;
    struct buf *b = engine_link_begin(s->fleet->engine, ENGINE_CAPTURE);
    msg_str(b, EK_ID, str_of(s->id));
    msg_str(b, EK_LAYER, str_of(c->layer));
    c->call.fn = on_captured;
    c->call.data = c;
    engine_link_ask(s->fleet->engine, &c->call, CAPTURE_MS);
}

static int add_record(struct capture *c, struct sandbox *s, const char *name)
{
    char layers[sizeof c->layer + sizeof c->below + 1];
    json_t *own = s->spec.template.config ? NULL : json_object();
    char *config = json_dumps(own ? own : s->spec.template.config, JSON_COMPACT);
    json_decref(own);
    if (!config)
        return -ENOMEM;
    (void)snprintf(layers, sizeof layers, "%s%s%s", c->layer, c->below[0] ? "," : "", c->below);
    struct store_build b = record_of(c);
    b.name = name;
    b.kind = "snapshot";
    b.layers = layers;
    b.rootfs = s->spec.template.rootfs;
    b.config = config;
    b.source = s->id;
    b.created_us = clock_wall_us();
    int r = store_build_add(c->fleet->spec.store, &b);
    free(config);
    return r;
}

static void make_build_id(char out[SANDBOX_BUILD_SIZE])
{
    unsigned char r[16];
    rand_bytes(r, sizeof r);
    r[6] = (unsigned char)(0x40 | (r[6] & 15)); /* RFC 9562: version 4, variant 10 */
    r[8] = (unsigned char)(0x80 | (r[8] & 63));
    (void)snprintf(out, SANDBOX_BUILD_SIZE,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0],
                   r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13],
                   r[14], r[15]);
}

/* The names of what is captured, and its record. 0 or a negative errno. */
static int name_it(struct capture *c, struct sandbox *s, struct sandbox_capture *out,
                   const struct template_ref *ref)
{
    memcpy(out->layer, c->layer, sizeof c->layer);
    if (!ref)
        return 0;
    make_build_id(c->build);
    (void)str_copy(str_of(ref->tag[0] ? ref->tag : TEMPLATE_DEFAULT_TAG), c->tag, sizeof c->tag);
    int r = ref->name[0] ? store_template_by_name(c->fleet->spec.store, ref->name, c->template_id,
                                                  sizeof c->template_id)
                         : 0;
    if (r < 0)
        return r;
    if (r == 0)
        rand_id(c->template_id, sizeof c->template_id - 1);
    memcpy(out->template_id, c->template_id, sizeof c->template_id);
    return add_record(c, s, ref->name[0] ? ref->name : NULL);
}

static struct capture *capture_new(struct sandbox *s)
{
    struct capture *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->layer[0] = 'l';
    rand_id(c->layer + 1, sizeof c->layer - 2);
    if (!layers_hold(&s->fleet->layers, NULL, c->layer)) {
        free(c);
        return NULL;
    }
    c->fleet = s->fleet;
    (void)str_copy(str_of(s->id), c->id, sizeof c->id);
    (void)str_copy(str_of(s->spec.template.layers), c->below, sizeof c->below);
    memcpy(c->rootfs, s->spec.template.rootfs, sizeof c->rootfs);
    list_init(&c->node);
    list_push(&s->fleet->captures, &c->node);
    return c;
}

int fleet_capture(struct fleet *f, struct op *op, struct sandbox *s, const struct template_ref *ref,
                  struct sandbox_capture *out, int64_t deadline_ms, struct sandbox_wait *w)
{
    static const struct fleet_refusal refusal = { "Sandbox", "is paused; connect to it first" };
    enum life_outcome may = life_step(s->state, LIFE_DO_SNAPSHOT).outcome;
    if (may != LIFE_TAKEN)
        return fleet_asked(op, s, (int)may, &refusal, deadline_ms, w);
    if (fleet_must_wait(f, s, deadline_ms, w))
        return -EAGAIN;
    if (template_layer_count(s->spec.template.layers) >= LIMIT_LAYERS)
        return op_fail(op, FAULT_INVALID, EMLINK,
                       "the sandbox stands on %d layers of snapshots already, which is the most",
                       LIMIT_LAYERS);
    struct capture *c = capture_new(s);
    int r = c ? name_it(c, s, out, ref) : -ENOMEM;
    s->capture = c;
    if (r == 0)
        r = fleet_step(f, s, LIFE_DO_SNAPSHOT, NULL);
    if (r < 0 && c) {
        s->capture = NULL;
        discard(c);
        capture_free(c);
    }
    return fleet_asked(op, s, r, &refusal, deadline_ms, w);
}
