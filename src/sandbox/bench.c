#include "sandbox/bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/rand.h"
#include "gen/limits.h"
#include "sandbox/fleet_internal.h"

enum { CAPTURE_MS = 120000, LATE_MS = 2000 };

static struct fault fault_of(const struct engine_answer *a)
{
    struct fault t = { .code = a->fault, .err = -a->status };
    (void)snprintf(t.text, sizeof t.text, STR_FMT, STR_ARG(a->text));
    if (a->status == -ENOTCONN)
        t = (struct fault){ .code = FAULT_UNAVAILABLE, .text = "the engine was restarted" };
    return t;
}

/* It is not there any more, or must not be. */
static void forget(struct bench *b)
{
    struct fleet *f = b->fleet;
    if (!f)
        return;
    engine_call_cancel(&b->call);
    list_remove(&b->node);
    if (b->layer[0])
        layers_release(&f->layers, NULL, b->layer);
    layers_release(&f->layers, b->rootfs, b->below);
    free(TAKE_PTR(b->below));
    free(TAKE_PTR(b->rootfs));
    b->layer[0] = '\0';
    b->fleet = NULL;
}

void bench_destroy(struct bench *b)
{
    struct fleet *f = b->fleet;
    if (f && f->engine)
        engine_link_destroy(f->engine, str_of(b->id));
    forget(b);
}

static void on_created(struct engine_call *call, const struct engine_answer *a)
{
    struct bench *b = call->data;
    struct fault fault = fault_of(a);
    if (a->status < 0)
        bench_destroy(b);
    b->fn(b, a->status < 0 ? &fault : NULL, 0);
}

int bench_create(struct fleet *f, struct op *op, struct bench *b, const struct sandbox_spec *spec)
{
    if (!engine_link_is_up(f->engine))
        return op_fail(op, FAULT_UNAVAILABLE, ENOTCONN, "the sandbox engine is not there");
    b->below = spec->template.layers ? str_dup(str_of(spec->template.layers)) : NULL;
    b->rootfs = str_dup(str_of(spec->template.rootfs));
    if ((spec->template.layers && !b->below) || !b->rootfs ||
        !layers_hold(&f->layers, b->rootfs, b->below)) {
        free(TAKE_PTR(b->below));
        free(TAKE_PTR(b->rootfs));
        return op_fail(op, FAULT_CAPACITY, ENOMEM, "out of memory");
    }
    b->fleet = f;
    b->layer[0] = '\0';
    identity_make_id(b->id);
    b->id[0] = 'b';
    list_init(&b->node);
    list_push(&f->benches, &b->node);
    struct buf *out = engine_link_begin(f->engine, ENGINE_CREATE);
    msg_str(out, EK_ID, str_of(b->id));
    fleet_put_create(f, spec, b->id, NULL, false, 0, out);
    b->call.fn = on_created;
    b->call.data = b;
    engine_link_ask(f->engine, &b->call, LIMIT_SANDBOX_BOOT_MS + LATE_MS);
    return 0;
}

static void on_captured(struct engine_call *call, const struct engine_answer *a)
{
    struct bench *b = call->data;
    struct fault fault = fault_of(a);
    uint64_t disk = 0;
    if (a->status < 0) {
        layers_release(&b->fleet->layers, NULL, b->layer); /* which drops it */
        b->layer[0] = '\0';
    } else if (a->m) {
        (void)msg_get_u64(a->m, EK_DISK, &disk);
    }
    b->fn(b, a->status < 0 ? &fault : NULL, disk);
}

void bench_capture(struct bench *b)
{
    struct fleet *f = b->fleet;
    char layer[SANDBOX_LAYER_SIZE] = "l";
    rand_id(layer + 1, sizeof layer - 2);
    if (b->layer[0])
        layers_release(&f->layers, NULL, b->layer);
    memcpy(b->layer, layer, sizeof layer);
    struct buf *out = engine_link_begin(f->engine, ENGINE_CAPTURE);
    msg_str(out, EK_ID, str_of(b->id));
    msg_str(out, EK_LAYER, str_of(b->layer));
    if (!layers_hold(&f->layers, NULL, b->layer))
        b->layer[0] = '\0'; /* it is dropped at the next start */
    b->call.fn = on_captured;
    b->call.data = b;
    engine_link_ask(f->engine, &b->call, CAPTURE_MS);
}

/* -- used by the fleet -- */

bool fleet_bench_found(struct fleet *f, struct str id)
{
    LIST_EACH(it, &f->benches) {
        struct bench *b = LIST_OF(it, struct bench, node);
        if (!str_eq(str_of(b->id), id))
            continue;
        b->is_found = true;
        return true;
    }
    return false;
}

static void ended(struct bench *b, struct str why)
{
    forget(b);
    b->exited(b, why);
}

void fleet_bench_exited(struct fleet *f, struct str id, struct str why)
{
    LIST_EACH(it, &f->benches) {
        struct bench *b = LIST_OF(it, struct bench, node);
        if (str_eq(str_of(b->id), id)) {
            ended(b, why);
            return;
        }
    }
}

void fleet_bench_sweep(struct fleet *f)
{
    for (bool again = true; again;) {
        struct bench *lost = NULL;
        LIST_EACH(it, &f->benches) {
            struct bench *b = LIST_OF(it, struct bench, node);
            if (!b->is_found && !lost)
                lost = b;
        }
        again = lost != NULL;
        if (lost)
            ended(lost, STR("the engine has lost it"));
    }
    LIST_EACH(it, &f->benches)
        LIST_OF(it, struct bench, node)->is_found = false;
}
