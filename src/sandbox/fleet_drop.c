/* What nobody holds any more goes. An import may just take it up: it asks until no answer of the
 * engine is due (fleet_layers_leave), and looks then whether all is there. A root file system it
 * has locked meanwhile: the engine says so and is asked again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sandbox/fleet_internal.h"

enum { DROP_MS = 30000, AGAIN_MS = 2000 };

struct drop {
    struct list node; /* fleet->drops */
    struct fleet *fleet;
    struct engine_call call;
    struct loop_timer again;
    bool is_asked_anew; /* since the engine was asked: there may be another of the name */
    bool has_said;
    char name[SANDBOX_ROOT_SIZE];
};

static void drop_free(struct drop *d)
{
    engine_call_cancel(&d->call);
    loop_timer_cancel(&d->again);
    list_remove(&d->node);
    free(d);
}

static void on_dropped(struct engine_call *call, const struct engine_answer *a)
{
    struct drop *d = call->data;
    bool is_there = a->status < 0 && a->status != -ENOENT;
    bool is_odd = is_there && a->status != -EBUSY && a->status != -ENOTCONN;
    if (is_odd && !d->has_said)
        log_warn("%s cannot be removed: " STR_FMT, d->name, STR_ARG(a->text));
    d->has_said = d->has_said || is_odd;
    if (is_there || d->is_asked_anew)
        (void)loop_timer_start(d->fleet->spec.loop, &d->again, AGAIN_MS);
    else
        drop_free(d);
}

static void ask(struct drop *d)
{
    struct buf *b = engine_link_begin(d->fleet->engine, ENGINE_DROP);
    d->is_asked_anew = false;
    msg_str(b, EK_LAYER, str_of(d->name));
    d->call.fn = on_dropped;
    d->call.data = d;
    engine_link_ask(d->fleet->engine, &d->call, DROP_MS);
}

static void on_again(struct loop_timer *t)
{
    struct drop *d = t->data;
    if (layers_has(&d->fleet->layers, str_of(d->name)))
        drop_free(d);
    else
        ask(d);
}

static struct drop *find(const struct fleet *f, struct str name)
{
    LIST_EACH(it, &f->drops) {
        struct drop *d = LIST_OF(it, struct drop, node);
        if (str_eq(str_of(d->name), name))
            return d;
    }
    return NULL;
}

void fleet_drop_layer(struct fleet *f, struct str name)
{
    struct drop *d = find(f, name);
    if (d) {
        d->is_asked_anew = true;
        return;
    }
    d = calloc(1, sizeof *d);
    if (!d || !str_copy(name, d->name, sizeof d->name)) { /* the next engine tells of it */
        free(d);
        return;
    }
    d->fleet = f;
    d->again = (struct loop_timer){ .fn = on_again, .data = d };
    list_init(&d->node);
    list_push(&f->drops, &d->node);
    ask(d);
}

bool fleet_layers_leave(const struct fleet *f, const char *rootfs, const char *layers)
{
    struct str rest = str_of(layers), name = layers_root(rootfs);
    const struct drop *d = name.n ? find(f, name) : NULL;
    while (!(d && d->call.link) && rest.n) {
        (void)str_cut(rest, ',', &name, &rest);
        d = find(f, name);
    }
    return d && d->call.link;
}

void fleet_drops_free(struct fleet *f)
{
    while (!list_empty(&f->drops))
        drop_free(LIST_OF(f->drops.next, struct drop, node));
}
