/* POST /sandboxes/{id}/fork: its disk is captured once, then children are created from it, each
 * with the configuration of its parent and an identity of its own. */
#include <string.h>

#include "api/api_internal.h"

enum { WAIT_MS = 65000, TIMEOUT_S = 300, CHILDREN = 100 };

struct child {
    struct sandbox_wait wait;
    bool is_done, has_failed;
    char id[33];
    struct fault fault;
};

struct work {
    struct api_call *call;
    int64_t timeout_s;
    uint32_t count, done;
    bool is_captured; /* the layer is this call's */
    struct sandbox_capture made;
    struct sandbox_spec parent; /* what children are made like */
    struct child children[];
};

static void work_free(void *data)
{
    struct work *k = data;
    for (uint32_t i = 0; i < k->count; i++)
        if (!sandbox_wait_abandon(&k->children[i].wait))
            sandbox_wait_cancel(&k->children[i].wait); /* they live their time, unheard of */
    if (k->is_captured)
        fleet_layers_release(k->call->api->spec.fleet, NULL, k->made.layer);
    sandbox_spec_deinit(&k->parent);
    free(k);
}

static void put_child(struct api_call *c, struct buf *b, const struct child *child)
{
    struct sandbox *s =
        child->has_failed ? NULL : fleet_find(c->api->spec.fleet, str_of(child->id));
    static const struct fault gone = { .code = FAULT_CREATE_FAILED,
                                       .text = "Failed to place sandbox: it was killed" };
    const struct fault *f = child->has_failed ? &child->fault : &gone;
    if (s) {
        (void)buf_append(b, STR("{\"sandbox\":"));
        api_put_answer(b, s);
    } else {
        json_t *text = json_string(f->text);
        (void)buf_printf(b, "{\"error\":{\"code\":%d,\"message\":", fault_status(f->code));
        char *quoted = json_dumps(text, JSON_ENCODE_ANY);
        (void)buf_append(b, quoted ? str_of(quoted) : STR("\"\""));
        (void)buf_append(b, STR("}"));
        free(quoted);
        json_decref(text);
    }
    (void)buf_append(b, STR("," API_CONTENTS "}"));
}

static void answer(struct work *k)
{
    struct api_call *c = k->call;
    struct buf *b = &c->api->out;
    buf_reset(b);
    for (uint32_t i = 0; i < k->count; i++) {
        (void)buf_append(b, i ? STR(",") : STR("["));
        put_child(c, b, &k->children[i]);
    }
    (void)buf_append(b, STR("]"));
    api_reply(c, 201, NULL, buf_str(b));
}

static void child_ended(struct work *k, struct child *child, const struct fault *fault)
{
    child->has_failed = fault != NULL;
    if (fault)
        child->fault = *fault;
    if (++k->done == k->count)
        answer(k);
}

static void on_child(struct sandbox_wait *w, struct sandbox *s, const struct fault *fault)
{
    static const struct fault killed = { .code = FAULT_CREATE_FAILED,
                                         .text = "Failed to place sandbox: it was killed" };
    struct work *k = w->data;
    struct child *child = LIST_OF(w, struct child, wait);
    if (s && !fault)
        (void)str_copy(str_of(s->id), child->id, sizeof child->id);
    child_ended(k, child, fault ? fault : s ? NULL : &killed);
}

static int create_child(struct work *k, struct child *child, struct op *op)
{
    struct api_call *c = k->call;
    struct sandbox_spec spec;
    bool good = sandbox_spec_init(&spec) && sandbox_spec_copy(&k->parent, &spec);
    spec.is_one_off = true;
    child->wait.fn = on_child;
    child->wait.data = k;
    int r = good ? fleet_create(c->api->spec.fleet, op, &spec, c->deadline_ms, &child->wait)
                 : op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    if (r < 0)
        sandbox_spec_deinit(&spec);
    return r;
}

/* The parent's configuration on one layer more. False: memory is out. */
static bool like_parent(struct work *k, const struct sandbox *s)
{
    struct sandbox_spec *p = &k->parent;
    struct buf b;
    buf_init(&b, 0);
    if (!sandbox_spec_init(p) || !sandbox_spec_copy(&s->spec, p))
        return false;
    p->timeout_s = k->timeout_s;
    (void)buf_printf(&b, "%s%s%s", k->made.layer, p->template.layers ? "," : "",
                     p->template.layers ? p->template.layers : "");
    free(p->template.layers);
    p->template.layers = b.failed ? NULL : str_dup(buf_str(&b));
    buf_deinit(&b);
    return p->template.layers != NULL;
}

static void on_captured(struct sandbox_wait *w, struct sandbox *s, const struct fault *fault)
{
    struct api_call *c = w->data;
    struct work *k = c->work;
    if (!fault && s) {
        k->is_captured = true;
        if (!like_parent(k, s))
            (void)op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    } else {
        c->op.fault = fault ? *fault
                            : (struct fault){ .code = FAULT_NOT_FOUND,
                                              .text = "the sandbox was killed meanwhile" };
    }
    if (c->op.fault.code != FAULT_NONE || !c->http) {
        if (c->op.fault.code == FAULT_NONE)
            (void)op_fail(&c->op, FAULT_UNAVAILABLE, ECANCELED, "the client is gone");
        api_reply_fault(c);
        return;
    }
    struct op ops[CHILDREN] = { 0 };
    uint32_t count = k->count, failed = 0;
    for (uint32_t i = 0; i < count; i++)
        if (create_child(k, &k->children[i], &ops[i]) < 0) {
            k->children[i].has_failed = true;
            k->children[i].fault = ops[i].fault;
            failed++;
        }
    k->done = failed;
    if (failed == count)
        answer(k);
}

static void fork_it(struct api_call *c)
{
    struct work *k = c->work;
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    if (!c->deadline_ms)
        c->deadline_ms = loop_now_ms(c->api->spec.loop) + WAIT_MS;
    api_wait_init(c, on_captured);
    int r = fleet_capture(c->api->spec.fleet, &c->op, s, NULL, &k->made, c->deadline_ms, &c->wait);
    if (r == -EAGAIN)
        api_wait_again(c, fork_it);
    else if (r < 0)
        api_reply_fault(c);
}

static int read_count(struct api_call *c, const json_t *body, int64_t *count)
{
    uint32_t max = fleet_max(c->api->spec.fleet);
    int r = api_field_int(&c->op, body, "count", count);
    if (r < 0)
        return r;
    if (*count < 1 || *count > CHILDREN)
        return api_invalid(&c->op, "count must be from 1 to %d", CHILDREN);
    if (*count >= max)
        return op_fail(&c->op, FAULT_INVALID, EDQUOT,
                       "count must be below the maximum number of concurrent sandboxes (%u)", max);
    return 0;
}

static void take_fork(struct api_call *c, const json_t *body)
{
    int64_t count = 1, timeout_s = TIMEOUT_S;
    int r = api_field_timeout(&c->op, body, false, &timeout_s);
    if (r >= 0)
        r = read_count(c, body, &count);
    struct work *k = r < 0 ? NULL : calloc(1, sizeof *k + (size_t)count * sizeof k->children[0]);
    if (r == 0 && !k)
        r = op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    if (r < 0) {
        api_reply_fault(c);
        return;
    }
    k->call = c;
    k->timeout_s = timeout_s;
    k->count = (uint32_t)count;
    c->work = k;
    c->work_free = work_free;
    fork_it(c);
}

void api_sandbox_fork(struct api_call *c) { api_take_body(c, true, take_fork); }
