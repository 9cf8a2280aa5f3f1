#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_answer.h"
#include "client/client_internal.h"
#include "gen/limits.h"
#include "wire/uri.h"

enum { CODE_MS = 300000 };

/* One run, while its lines come. */
struct cell {
    struct client_call call;
    struct belljar_sandbox *s;
    const struct belljar_code_options *o;
    struct belljar_execution *result;
    struct buf out, err;
    size_t scanned; /* bytes at the front of call.in without an end of line */
    size_t size;    /* of all that was kept */
    int results;
};

static json_t *make_request(const char *code, const struct belljar_code_options *o)
{
    json_t *body = json_pack("{s:s, s:s*, s:s*}", "code", code, "language", o->language,
                             "context_id", o->context);
    if (body && o->envs && json_object_set_new(body, "env_vars", client_pairs(o->envs)) < 0) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

/* -- lines -- */

static int take_text(struct cell *c, const json_t *line, bool is_err)
{
    CLEANUP(freep) char *text = client_answer_text(line, "text");
    void (*tell)(void *, const char *) = is_err ? c->o->on_stderr : c->o->on_stdout;
    if (!text)
        return -EPROTO;
    if (tell)
        tell(c->o->data, text);
    else if (!buf_append(is_err ? &c->err : &c->out, str_of(text)))
        return -ENOMEM;
    return 0;
}

static int take_error(struct cell *c, const json_t *line)
{
    struct belljar_execution *r = c->result;
    if (r->error_name) /* the first is the one that counts */
        return 0;
    r->error_name = client_answer_text(line, "name");
    r->error_value = client_answer_text(line, "value");
    r->traceback = client_answer_text(line, "traceback");
    return r->error_name && r->error_value && r->traceback ? 0 : -EPROTO;
}

static int take_kind(struct cell *c, const json_t *line, enum client_line_kind kind)
{
    json_t *count = json_object_get(line, "execution_count");
    switch (kind) {
    case CLIENT_LINE_STDOUT:
    case CLIENT_LINE_STDERR:
        return take_text(c, line, kind == CLIENT_LINE_STDERR);
    case CLIENT_LINE_RESULT:
        return client_answer_shown(line, c->results++, &c->result->shown, &c->result->shown_count);
    case CLIENT_LINE_ERROR:
        return take_error(c, line);
    case CLIENT_LINE_COUNT:
        c->result->execution_count = (long)json_integer_value(count);
        return json_is_integer(count) ? 0 : -EPROTO;
    default:
        return 0;
    }
}

static int take_line(struct cell *c, struct str text)
{
    struct belljar *b = c->s->b;
    enum client_line_kind kind;
    json_t *line;
    if (text.n == 0)
        return 0;
    int rc = client_answer_line(text, &line, &kind);
    bool is_told = (kind == CLIENT_LINE_STDOUT && c->o->on_stdout) ||
                   (kind == CLIENT_LINE_STDERR && c->o->on_stderr);
    if (!is_told)
        c->size += text.n;
    if (!rc && c->size > LIMIT_CLIENT_CELL_SIZE)
        rc = client_fail(b, EMSGSIZE, "the results of the cell are more than %d bytes",
                         LIMIT_CLIENT_CELL_SIZE);
    else if (!rc && (rc = take_kind(c, line, kind)) == -ENOMEM)
        rc = client_no_memory(b);
    json_decref(line);
    return rc == -EPROTO
               ? client_fail(b, EPROTO, "the code interpreter says what cannot be understood")
               : rc;
}

/* All whole lines. What was looked through is not looked through again. */
static int take_lines(struct cell *c)
{
    struct client_call *call = &c->call;
    int rc = 0;
    for (;;) {
        struct str in = buf_str(&call->in), fresh = str_skip(in, c->scanned);
        size_t at = str_find(fresh, '\n');
        if (at == fresh.n) {
            c->scanned = in.n;
            break;
        }
        rc = take_line(c, str_make(in.p, c->scanned + at));
        buf_consume(&call->in, c->scanned + at + 1);
        c->scanned = 0;
        if (rc < 0)
            return rc;
    }
    if (buf_used(&call->in) >= call->in_max)
        return client_fail(c->s->b, EMSGSIZE, "a result of the cell is more than %zu bytes",
                           call->in_max);
    client_call_resume(call);
    return 0;
}

/* -- the run -- */

static int end(struct cell *c)
{
    struct client_call *call = &c->call;
    int rc;
    if (!call->is_done || call->code != CURLE_OK)
        return client_sandbox_broken(c->s, client_call_broken(call));
    if (call->status == 200)
        return take_line(c, buf_str(&call->in)); /* the last may lack its end of line */
    rc = client_call_refused(call);
    if (rc == -ECONNREFUSED)
        return client_fail(c->s->b, ECONNREFUSED,
                           "the sandbox has no code interpreter: the template "
                           "code-interpreter-v1 has one ('make up' on the server makes it)");
    return rc;
}

static int listen_to(struct cell *c, int timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    for (;;) {
        int rc = client_drive(c->s->b);
        if (!rc && c->call.status == 200)
            rc = take_lines(c);
        if (rc < 0)
            return rc;
        if (c->call.is_done || c->call.silent_ms >= c->call.quiet_ms)
            return end(c);
        int64_t left = until - clock_mono_ms();
        if (timeout_ms >= 0 && left <= 0) /* leaving interrupts it */
            return client_fail(c->s->b, ETIMEDOUT,
                               "the cell was interrupted after %d ms: timeout_ms may be larger",
                               timeout_ms);
        if (c->call.status == 200)
            c->call.quiet_ms = LIMIT_CLIENT_QUIET_MS;
        rc = client_wait(&c->call, -1, timeout_ms < 0 ? -1 : (int)left);
        if (rc < 0 && rc != -EINTR)
            return rc;
    }
}

static int start(struct cell *c, json_t *request, struct buf *body)
{
    int rc = client_body(c->s->b, request, body);
    if (!rc)
        rc = client_sandbox_call(&c->call, c->s, "POST", CLIENT_PORT_CODE, "/execute");
    c->call.is_stream = true;
    c->call.in_max = LIMIT_CLIENT_CELL_SIZE;
    return rc ? rc : client_call_start(&c->call, "application/json", buf_str(body));
}

static char *give(struct buf *b)
{
    char *out = buf_cstr(b) ? TAKE_PTR(b->p) : NULL;
    buf_deinit(b);
    return out;
}

int belljar_run_code(struct belljar_sandbox *s, const char *code,
                     const struct belljar_code_options *o, struct belljar_execution *out)
{
    static const struct belljar_code_options none = { 0 };
    struct cell c = { .s = s, .o = o ? o : &none, .result = out };
    struct buf body;
    *out = (struct belljar_execution){ 0 };
    c.call = (struct client_call){ .b = s->b, .in_fd = -1, .out_fd = -1 };
    s->b->status = 0;
    buf_init(&c.out, 0);
    buf_init(&c.err, 0);
    buf_init(&body, 0);
    int rc = client_need(s->b, code, "the code");
    if (!rc)
        rc = start(&c, make_request(code, c.o), &body);
    if (!rc)
        rc = listen_to(&c, c.o->timeout_ms ? c.o->timeout_ms : CODE_MS);
    client_call_deinit(&c.call);
    buf_deinit(&body);
    out->out = give(&c.out);
    out->err = give(&c.err);
    return rc ? rc : out->out && out->err ? 0 : client_no_memory(s->b);
}

void belljar_execution_free(struct belljar_execution *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->shown_count; i++) {
        free(e->shown[i].format);
        free(e->shown[i].value);
    }
    free(e->shown);
    free(e->out);
    free(e->err);
    free(e->error_name);
    free(e->error_value);
    free(e->traceback);
    *e = (struct belljar_execution){ 0 };
}

/* -- contexts -- */

/* One request about contexts. Steals body (NULL: none). */
static int ask(struct belljar_sandbox *s, const char *method, const char *path, json_t *body,
               json_t **answer)
{
    struct client_call c = { .b = s->b, .in_fd = -1, .out_fd = -1 };
    struct buf text;
    buf_init(&text, 0);
    int rc = body ? client_body(s->b, body, &text) : 0;
    if (!rc)
        rc = client_sandbox_call(&c, s, method, CLIENT_PORT_CODE, path);
    if (!rc)
        rc = client_call_start(&c, body ? "application/json" : NULL, buf_str(&text));
    if (!rc)
        rc = client_call_finish(&c);
    if (!rc && c.status != 200)
        rc = client_call_refused(&c);
    if (!rc && answer)
        rc = client_parse(&c, answer);
    client_call_deinit(&c);
    buf_deinit(&text);
    return client_sandbox_broken(s, rc);
}

char *belljar_context(struct belljar_sandbox *s, const char *language, const char *cwd)
{
    json_t *answer = NULL;
    char *id = NULL;
    json_t *body = json_pack("{s:s*, s:s*}", "language", language, "cwd", cwd);
    if (!body)
        (void)client_body(s->b, NULL, NULL);
    else if (ask(s, "POST", "/contexts", body, &answer) == 0 &&
             !(id = client_answer_text(answer, "id")))
        (void)client_fail(s->b, EPROTO, "the code interpreter names no context");
    json_decref(answer);
    return id;
}

int belljar_context_remove(struct belljar_sandbox *s, const char *id)
{
    struct buf path;
    int rc = client_need(s->b, id && id[0] ? id : NULL, "the id of the context");
    if (rc)
        return rc;
    buf_init(&path, 0);
    (void)buf_append(&path, STR("/contexts/"));
    uri_encode(&path, str_of(id));
    const char *text = path.failed ? NULL : buf_cstr(&path);
    rc = text ? ask(s, "DELETE", text, NULL, NULL) : client_no_memory(s->b);
    buf_deinit(&path);
    return rc;
}
