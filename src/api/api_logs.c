/* GET /sandboxes/{id}/logs, v1 and v2 (core.md 2.8): what the agent keeps of its commands, asked
 * for when somebody wants it. The agent is not believed: its answer is bounded and looked at entry
 * by entry. */
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "template/guest.h"
#include "wire/json.h"
#include "wire/uri.h"

#define LOGGER "process"
enum {
    ANSWER_SIZE = 8 * LIMIT_JOURNAL_SIZE, /* JSON makes six bytes of one at worst */
    ENTRIES = 1000,
    ANSWER_MS = 5000, /* for all of it: an agent may send byte by byte, for ever */
};

enum level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR, LEVELS };
static const char *const levels[LEVELS] = { "debug", "info", "warn", "error" };

struct logs {
    struct http_fetch fetch;
    struct loop_timer late;
    struct loop_task refused; /* the answer is too much */
    struct api_call *call;
    struct buf answer;
    int64_t from_ms, to_ms; /* both included */
    int64_t limit;
    struct str search; /* of the call's arena */
    enum level least;
    bool is_backward;
};

static void logs_free(void *data)
{
    struct logs *l = data;
    http_fetch_cancel(&l->fetch);
    loop_timer_cancel(&l->late);
    loop_task_cancel(&l->refused);
    buf_deinit(&l->answer);
    free(l);
}

/* -- one entry -- */

struct entry {
    int64_t at_ms, pid;
    struct str type, text;
    enum level level;
};

static bool read_entry(const json_t *v, struct entry *e)
{
    static const char *const types[] = { "process_start", "stdout", "stderr", "pty",
                                         "process_end" };
    bool is_known = false;
    if (json_get_int(v, "at", &e->at_ms) != 1 || json_get_int(v, "pid", &e->pid) != 1 ||
        json_get_str(v, "type", &e->type) != 1 || json_get_str(v, "text", &e->text) != 1)
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        is_known |= str_eq(e->type, str_of(types[i]));
    bool has_failed = str_eq(e->type, STR("process_end")) && !str_eq(e->text, STR("exit status 0"));
    e->level = has_failed ? LEVEL_WARN : LEVEL_INFO;
    return is_known && e->at_ms > 0 && e->at_ms < INT64_MAX / 1000;
}

static bool is_wanted(const struct logs *l, const struct entry *e)
{
    return e->at_ms >= l->from_ms && e->at_ms <= l->to_ms && e->level >= l->least &&
           (!l->search.n || memmem(e->text.p, e->text.n, l->search.p, l->search.n));
}

/* The form of v2, and of logEntries of v1. */
static json_t *view(const struct entry *e)
{
    return json_pack("{s:o, s:s, s:s%, s:{s:s, s:s%, s:o}}", "timestamp", api_time(e->at_ms * 1000),
                     "level", levels[e->level], "message", e->text.p, e->text.n, "fields", "logger",
                     LOGGER, "event_type", e->type.p, e->type.n, "pid",
                     json_sprintf("%lld", (long long)e->pid));
}

/* The form of v1: JSON in JSON, which the command line parses. */
static json_t *view_line(const struct entry *e)
{
    json_t *v = json_pack("{s:s, s:s, s:s%, s:s%, s:I}", "level", levels[e->level], "logger",
                          LOGGER, "message", e->text.p, e->text.n, "event_type", e->type.p,
                          e->type.n, "pid", (json_int_t)e->pid);
    char *line = v ? json_dumps(v, JSON_COMPACT) : NULL;
    json_t *out =
        json_pack("{s:o, s:s}", "timestamp", api_time(e->at_ms * 1000), "line", line ? line : "{}");
    free(line);
    json_decref(v);
    return out;
}

/* -- the answer -- */

static void reply(struct api_call *c, const struct logs *l, const json_t *all)
{
    json_t *entries = json_array(), *lines = json_array();
    size_t count = json_array_size(all);
    for (size_t i = 0; i < count && json_array_size(entries) < (size_t)l->limit; i++) {
        struct entry e;
        if (!read_entry(json_array_get(all, l->is_backward ? count - 1 - i : i), &e) ||
            !is_wanted(l, &e))
            continue;
        (void)json_array_append_new(entries, view(&e));
        if (c->version == 1)
            (void)json_array_append_new(lines, view_line(&e));
    }
    if (c->version == 2)
        json_decref(lines);
    api_reply_json(c, 200, NULL,
                   c->version == 2 ? json_pack("{s:o}", "logs", entries)
                                   : json_pack("{s:o, s:o}", "logs", lines, "logEntries", entries));
}

static void fail(struct logs *l, int err)
{
    (void)op_fail(&l->call->op, FAULT_UNAVAILABLE, err,
                  "the sandbox does not answer what its logs are");
    api_reply_fault(l->call);
}

static void on_refused(struct loop_task *t) { fail(t->data, EMSGSIZE); }
static void on_late(struct loop_timer *t) { fail(t->data, ETIMEDOUT); }

static void on_body(struct http_fetch *f, struct str piece)
{
    struct logs *l = f->data;
    if (buf_append(&l->answer, piece))
        return;
    http_fetch_cancel(f); /* the rest may have no end */
    loop_task_post(l->call->api->spec.loop, &l->refused);
}

static void on_end(struct http_fetch *f, int r)
{
    struct logs *l = f->data;
    bool good = r == 0 && f->status == 200;
    json_t *all = good ? json_parse(buf_str(&l->answer), NULL) : NULL;
    if (json_is_array(all))
        reply(l->call, l, all);
    else
        fail(l, r < 0 ? -r : EPROTO);
    json_decref(all);
}

/* -- the question -- */

static int read_number(struct api_call *c, const char *name, int64_t least, int64_t *out)
{
    struct str text;
    int r = uri_query_get(&c->arena, c->query, name, &text);
    if (r == 0 || (r == 1 && !text.n))
        return 0;
    if (r < 0 || !str_to_i64(text, out) || *out < least)
        return api_invalid(&c->op, "%s must be an integer of at least %d", name, (int)least);
    return 1;
}

static int read_query(struct api_call *c, struct logs *l)
{
    struct str level, direction;
    int64_t at = 0;
    l->to_ms = INT64_MAX;
    l->limit = ENTRIES;
    int r = read_number(c, c->version == 2 ? "cursor" : "start", 0, &at);
    bool has_cursor = r == 1;
    if (r >= 0)
        r = read_number(c, "limit", 1, &l->limit);
    if (l->limit > ENTRIES)
        l->limit = ENTRIES;
    if (r < 0)
        return r;
    if (uri_query_get(&c->arena, c->query, "level", &level) < 0 ||
        uri_query_get(&c->arena, c->query, "search", &l->search) < 0 ||
        uri_query_get(&c->arena, c->query, "direction", &direction) < 0)
        return api_invalid(&c->op, "the query is not well encoded");
    while (level.n && l->least < LEVELS && !str_eq(level, str_of(levels[l->least])))
        l->least++;
    if (l->least == LEVELS)
        return api_invalid(&c->op, "level must be debug, info, warn or error");
    if (direction.n && !str_eq(direction, STR("forward")) && !str_eq(direction, STR("backward")))
        return api_invalid(&c->op, "direction must be forward or backward");
    l->is_backward = c->version == 2 && !str_eq(direction, STR("forward"));
    if (!l->is_backward)
        l->from_ms = at;
    else if (has_cursor)
        l->to_ms = at;
    return 0;
}

static void ask(struct api_call *c, int version)
{
    static const struct http_fetch_ops ops = { .on_body = on_body, .on_end = on_end };
    c->version = version;
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    struct logs *l = calloc(1, sizeof *l);
    int r = l ? 0 : op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    if (l) {
        buf_init(&l->answer, ANSWER_SIZE);
        l->call = c;
        l->fetch.ops = &ops;
        l->fetch.data = l->late.data = l->refused.data = l;
        l->late.fn = on_late;
        l->refused.fn = on_refused;
        c->work = l;
        c->work_free = logs_free;
        r = read_query(c, l);
    }
    if (r == 0 && life_is_paused(s->state))
        r = op_fail(&c->op, FAULT_CONFLICT, EBUSY,
                    "Sandbox \"%s\" is paused, and its logs are inside: connect to it first",
                    s->id);
    if (r == 0) {
        struct guest in = builds_guest(c->api->spec.builds, s->id);
        r = guest_get(&l->fetch, &in, STR("/logs"));
        if (r == 0)
            r = loop_timer_start(c->api->spec.loop, &l->late, ANSWER_MS);
        if (r < 0)
            (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the sandbox cannot be asked");
    }
    if (r < 0)
        api_reply_fault(c);
}

void api_sandbox_logs_v1(struct api_call *c) { ask(c, 1); }
void api_sandbox_logs_v2(struct api_call *c) { ask(c, 2); }
