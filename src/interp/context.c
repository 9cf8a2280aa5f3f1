#include "interp/context.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "gen/limits.h"
#include "interp/envs.h"
#include "interp/line.h"

#define KEEPALIVE_MS 5000
#define RETRIES 3
#define PATIENCE_MS 3000 /* until the next interrupt, */
#define INTERRUPTS 5     /* and after so many the kernel is ended */

static void pump(struct context *c);
static void kernel_start(struct context *c);

/* -- lines to the client -- */

static void on_drain(struct http_call *http)
{
    struct execution *x = http->data;
    if (x->context->kernel)
        kernel_pause(x->context->kernel, false);
}

/* Sends what `put` has appended. */
static void send_line(struct execution *x, struct buf *line)
{
    if (x->http && !line->failed && !http_reply_write(x->http, buf_str(line)) && x->context->kernel)
        kernel_pause(x->context->kernel, true);
    buf_deinit(line);
    if (x->http)
        (void)loop_timer_start(x->context->spec.loop, &x->keepalive, KEEPALIVE_MS);
}

static void send_error(struct execution *x, const char *name, const char *value, struct str trace)
{
    struct buf line;
    buf_init(&line, 0);
    x->has_error = true;
    (void)line_put_error(&line, name, value, trace);
    send_line(x, &line);
}

static void send_word(struct execution *x, const char *word)
{
    struct buf line;
    buf_init(&line, 0);
    (void)line_put_word(&line, word);
    send_line(x, &line);
}

static void on_keepalive(struct loop_timer *t)
{
    struct execution *x = t->data;
    if (http_reply_queued(x->http) == 0) /* else a reader that does not read would pile them up */
        send_word(x, "keepalive");
    else
        (void)loop_timer_start(x->context->spec.loop, t, KEEPALIVE_MS);
}

/* -- executions -- */

static void execution_free(struct execution *x)
{
    list_remove(&x->link);
    loop_timer_cancel(&x->keepalive);
    json_decref(x->request);
    free(x);
}

/* The last line, and the end of the stream. */
static void execution_end(struct execution *x)
{
    struct http_call *http = x->http;
    struct context *c = x->context;
    if (http) {
        send_word(x, "end_of_execution");
        if (c->kernel)
            kernel_pause(c->kernel, false);
        x->http = NULL;
        http_reply_end(http);
    }
    execution_free(x);
}

static struct execution *current(struct context *c)
{
    bool is_under_way = c->step >= CONTEXT_ASK && c->step <= CONTEXT_CODE;
    return is_under_way && !list_empty(&c->queue) ? LIST_OF(c->queue.next, struct execution, link)
                                                  : NULL;
}

static void interrupt(struct context *c)
{
    c->interrupts++;
    if (c->interrupts > INTERRUPTS) {
        log_warn("context %s: the cell does not end; its kernel is started anew", c->id);
        loop_task_post(c->spec.loop, &c->renew);
        return;
    }
    kernel_interrupt(c->kernel);
    (void)loop_timer_start(c->spec.loop, &c->patience, PATIENCE_MS);
}

static void on_patience(struct loop_timer *t) { interrupt(t->data); }

/* The client is gone: what it asked for is worth nothing any more (code-interpreter.md 8). */
static void on_gone(struct http_call *http)
{
    struct execution *x = http->data;
    struct context *c = x->context;
    x->http = NULL;
    loop_timer_cancel(&x->keepalive);
    if (x != current(c)) {
        execution_free(x);
        return;
    }
    if (c->kernel)
        kernel_pause(c->kernel, false);
    if (c->step == CONTEXT_CODE)
        interrupt(c);
}

void context_execute(struct context *c, struct http_call *http, json_t *request, struct str token)
{
    static const struct http_call_ops ops = { .on_drain = on_drain, .on_gone = on_gone };
    struct execution *x = calloc(1, sizeof *x);
    if (!x) {
        json_decref(request);
        http_reply(http, 503, "text/plain; charset=utf-8", NULL, STR("Out of memory"));
        return;
    }
    json_t *code = json_object_get(request, "code"), *env = json_object_get(request, "env_vars");
    *x = (struct execution){ .context = c, .http = http, .request = request, .token = token };
    x->code = str_make(json_string_value(code), json_string_length(code));
    x->env = json_object_size(env) ? env : NULL;
    x->keepalive = (struct loop_timer){ .fn = on_keepalive, .data = x };
    http->data = x;
    http->ops = &ops;
    http_reply_begin(http, 200, NULL, "Cache-Control: no-store\r\n", -1);
    (void)loop_timer_start(c->spec.loop, &x->keepalive, KEEPALIVE_MS);
    list_push(&c->queue, &x->link);
    pump(c);
}

/* -- one after another -- */

static void on_envs(void *data, const json_t *envs)
{
    struct context *c = data;
    c->ask = NULL;
    c->is_guess = !envs;
    c->globals = envs ? json_deep_copy(envs) : json_object();
    pump(c);
}

/* What is to be taken back after a run: variables go, or become the sandbox's again. */
static void take_back(struct context *c)
{
    json_t *set = json_object(), *unset = json_array();
    const char *name;
    json_t *value;
    json_object_foreach(c->undo, name, value)
    {
        json_t *global = json_object_get(c->globals, name);
        if (global)
            (void)json_object_set(set, name, global);
        else
            (void)json_array_append_new(unset, json_string(name));
    }
    json_decref(c->undo);
    c->undo = NULL;
    c->step = CONTEXT_UNSET;
    kernel_env(c->kernel, set, unset);
    json_decref(set);
    json_decref(unset);
}

static void forget_guess(struct context *c)
{
    if (!c->is_guess)
        return;
    json_decref(c->globals);
    c->globals = NULL;
    c->has_globals = c->is_guess = false;
}

/* The end of the one under way, as far as the kernel is concerned. */
static void leave(struct context *c, struct execution *x)
{
    c->undo = x->is_env_set ? json_deep_copy(x->env) : NULL;
    c->step = CONTEXT_IDLE;
    forget_guess(c);
    execution_end(x);
}

/* The next step of the first in the queue. */
static void pump(struct context *c)
{
    if (!c->is_ready || c->ask || (c->step != CONTEXT_IDLE && c->step != CONTEXT_ASK))
        return;
    if (c->undo) {
        take_back(c);
        return;
    }
    if (list_empty(&c->queue)) {
        c->step = CONTEXT_IDLE;
        return;
    }
    struct execution *x = LIST_OF(c->queue.next, struct execution, link);
    if (!c->globals) {
        c->step = CONTEXT_ASK;
        c->ask = envs_ask(c->spec.loop, x->token, on_envs, c);
        if (c->ask)
            return;
        c->is_guess = true;
        c->globals = json_object();
    }
    if (!c->has_globals) {
        c->has_globals = true;
        c->step = CONTEXT_GLOBAL;
        kernel_env(c->kernel, c->globals, NULL);
    } else if (!x->http) { /* it left before its cell began */
        leave(c, x);
        pump(c);
    } else if (x->env && !x->is_env_set) {
        x->is_env_set = true;
        c->step = CONTEXT_ENV;
        kernel_env(c->kernel, x->env, NULL);
    } else {
        c->step = CONTEXT_CODE;
        c->interrupts = 0;
        kernel_run(c->kernel, x->code, false);
    }
}

/* -- the kernel speaks -- */

static void on_done(struct context *c)
{
    enum context_step step = c->step;
    loop_timer_cancel(&c->patience);
    if (step == CONTEXT_CODE) {
        leave(c, current(c));
    }
    c->step = CONTEXT_IDLE;
    pump(c);
}

static void on_event(void *data, const struct kernel_event *e)
{
    struct context *c = data;
    struct execution *x = c->step == CONTEXT_CODE ? current(c) : NULL;
    struct buf line;
    buf_init(&line, 0);
    if (e->kind == KERNEL_DONE) {
        on_done(c);
        return;
    }
    if (!x || !x->http)
        return;
    switch (e->kind) {
    case KERNEL_COUNT:
        (void)line_put_count(&line, e->count);
        break;
    case KERNEL_OUT:
    case KERNEL_ERR:
        (void)line_put_text(&line, e->kind == KERNEL_OUT ? "stdout" : "stderr", e->text,
                            clock_wall_us());
        break;
    case KERNEL_RESULT:
        (void)line_put_result(&line, e->data, e->is_main);
        break;
    case KERNEL_ERROR:
        (void)line_put_error(&line, e->name, e->value, e->text);
        x->has_error = true;
        break;
    case KERNEL_DONE:
        break;
    }
    send_line(x, &line);
}

static void answer_waits(struct context *c, const char *why)
{
    while (!list_empty(&c->waits)) {
        struct context_wait *w = LIST_OF(c->waits.next, struct context_wait, link);
        list_remove(&w->link);
        w->fn(w, c, why);
    }
}

static void on_ready(void *data)
{
    struct context *c = data;
    c->is_ready = c->was_ready = true;
    c->failures = 0;
    answer_waits(c, NULL);
    pump(c);
}

/* -- kernels begin and end -- */

/* Ends what ran in the kernel that is gone, with the reason. */
static void fail_current(struct context *c, const char *name, const char *value)
{
    struct execution *x = current(c);
    loop_timer_cancel(&c->patience);
    c->step = CONTEXT_IDLE;
    c->is_ready = c->has_globals = false;
    json_decref(c->globals);
    json_decref(c->undo);
    c->globals = c->undo = NULL;
    envs_cancel(c->ask);
    c->ask = NULL;
    if (!x)
        return;
    if (!x->has_error)
        send_error(x, name, value, STR(""));
    execution_end(x);
}

static void on_dead(void *data, const char *why)
{
    struct context *c = data;
    log_warn("context %s: its %s kernel has ended: %s", c->id, c->spec.language->name, why);
    (void)snprintf(c->why, sizeof c->why, "the %s kernel ended at once: %s", c->spec.language->name,
                   why);
    c->failures += !c->is_ready;
    loop_task_post(c->spec.loop, &c->renew);
}

static void on_renew(struct loop_task *t)
{
    struct context *c = t->data;
    fail_current(c, "ContextRestarting", "Context was restarted");
    kernel_free(c->kernel);
    c->kernel = NULL;
    if (c->failures < RETRIES) {
        kernel_start(c);
        return;
    }
    while (!list_empty(&c->queue)) {
        struct execution *x = LIST_OF(c->queue.next, struct execution, link);
        send_error(x, "ContextRestarting", c->why, STR(""));
        execution_end(x);
    }
    answer_waits(c, c->why);
}

static void kernel_start(struct context *c)
{
    struct kernel_spec spec = { .loop = c->spec.loop,
                                .language = c->spec.language,
                                .cwd = c->cwd,
                                .dir = c->spec.dir,
                                .on_ready = on_ready,
                                .on_event = on_event,
                                .on_dead = on_dead,
                                .data = c };
    c->kernel = kernel_new(&spec);
    if (c->kernel)
        return;
    c->failures++;
    (void)snprintf(c->why, sizeof c->why, "the %s kernel cannot be started",
                   c->spec.language->name);
    loop_task_post(c->spec.loop, &c->renew);
}

void context_restart(struct context *c)
{
    fail_current(c, "UnexpectedEndOfExecution",
                 "Connection to the execution was closed before the execution was finished");
    loop_task_cancel(&c->renew);
    c->failures = 0;
    kernel_free(c->kernel);
    kernel_start(c);
}

bool context_is_given_up(const struct context *c) { return !c->kernel && !c->renew.loop; }

/* -- the whole -- */

struct context *context_new(const struct context_spec *spec)
{
    struct context *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->spec = *spec;
    if (!str_copy(spec->cwd, c->cwd, sizeof c->cwd)) {
        free(c);
        return NULL;
    }
    list_init(&c->link);
    list_init(&c->queue);
    list_init(&c->waits);
    rand_uuid(c->id);
    c->renew = (struct loop_task){ .fn = on_renew, .data = c };
    c->patience = (struct loop_timer){ .fn = on_patience, .data = c };
    kernel_start(c);
    return c;
}

void context_free(struct context *c)
{
    if (!c)
        return;
    loop_task_cancel(&c->renew);
    while (!list_empty(&c->queue)) {
        struct execution *x = LIST_OF(c->queue.next, struct execution, link);
        send_error(x, "UnexpectedEndOfExecution",
                   "Connection to the execution was closed before the execution was finished",
                   STR(""));
        execution_end(x);
    }
    fail_current(c, "", "");
    answer_waits(c, "the context was removed");
    kernel_free(c->kernel);
    list_remove(&c->link);
    free(c);
}

void context_wait(struct context *c, struct context_wait *w)
{
    list_init(&w->link);
    list_push(&c->waits, &w->link);
    if (context_is_given_up(c)) {
        c->failures = 0;
        kernel_start(c);
    }
}

void context_wait_cancel(struct context_wait *w) { list_remove(&w->link); }
