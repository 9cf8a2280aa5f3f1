#include <signal.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_process.h"
#include "gen/limits.h"

struct output {
    const struct belljar_run_options *o;
    struct buf out, err;
    size_t size_max;
};

/* False: it does not fit. */
static bool take_output(struct output *to, const struct belljar_event *e)
{
    bool is_err = e->kind == BELLJAR_STDERR;
    void (*tell)(void *, const char *, size_t) = is_err ? to->o->on_stderr : to->o->on_stdout;
    if (tell) {
        tell(to->o->data, e->bytes, e->size);
        return true;
    }
    return e->size <= to->size_max - buf_used(&to->out) - buf_used(&to->err) &&
           buf_append(is_err ? &to->err : &to->out, str_make(e->bytes, e->size));
}

/* How long the server may still take to say that the time is over. */
static int time_left(const struct belljar_process *p, int64_t start)
{
    if (p->timeout_ms < 0)
        return -1;
    int64_t left = start + p->timeout_ms + LIMIT_CLIENT_GRACE_MS - clock_mono_ms();
    return left > 0 ? (int)left : 0;
}

static int listen_to(struct belljar_process *p, struct output *to, struct belljar_result *result)
{
    struct belljar_event e = { .kind = BELLJAR_NOTHING };
    int64_t start = clock_mono_ms();
    while (e.kind != BELLJAR_EXITED) {
        int rc = belljar_process_next(p, -1, time_left(p, start), &e);
        if (rc == -EINTR)
            continue;
        if (rc == -ECANCELED)
            return client_process_give_up(p);
        if (rc < 0)
            return rc;
        if (e.kind == BELLJAR_NOTHING) {
            (void)belljar_process_signal(p, SIGKILL);
            return client_fail(p->s->b, ETIMEDOUT,
                               "the command did not end after %d ms: timeout_ms may be larger",
                               p->timeout_ms);
        }
        if (e.kind != BELLJAR_EXITED && !take_output(to, &e)) {
            (void)belljar_process_signal(p, SIGKILL);
            return client_fail(p->s->b, EMSGSIZE,
                               "the command was killed: its output is more than %zu bytes "
                               "(size_max may be larger, or callbacks take it)",
                               to->size_max);
        }
    }
    result->exit_code = e.exit_code;
    result->error = TAKE_PTR(p->error);
    return 0;
}

/* Gives away the bytes, with a NUL behind them. */
static bool give(struct buf *b, char **out, size_t *size)
{
    *size = buf_used(b);
    *out = buf_cstr(b) ? b->p : NULL; /* nothing was consumed: at == 0 */
    if (*out)
        b->p = NULL;
    buf_deinit(b);
    return *out != NULL;
}

int belljar_run(struct belljar_sandbox *s, const char *command, const struct belljar_run_options *o,
                struct belljar_result *out)
{
    static const struct belljar_run_options none = { 0 };
    struct output to = { .o = o ? o : &none };
    *out = (struct belljar_result){ 0 };
    to.size_max = to.o->size_max ? to.o->size_max : LIMIT_CLIENT_OUTPUT_SIZE;
    buf_init(&to.out, 0);
    buf_init(&to.err, 0);
    struct belljar_process *p = belljar_start(s, command, to.o);
    int rc = p ? listen_to(p, &to, out) : client_last(s->b);
    belljar_process_free(p);
    bool is_kept = give(&to.out, &out->out, &out->out_size);
    is_kept = give(&to.err, &out->err, &out->err_size) && is_kept;
    return rc ? rc : is_kept ? 0 : client_no_memory(s->b);
}

void belljar_result_free(struct belljar_result *r)
{
    if (!r)
        return;
    free(r->out);
    free(r->err);
    free(r->error);
    *r = (struct belljar_result){ 0 };
}
