/* A sandbox as JSON. What never changes is rendered once per sandbox and kept in its view[]; a row
 * of a list is kept until its times or its state change: a page of 100 then costs 100 copies. */
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "wire/json.h"

enum { VIEW_COMMON, VIEW_DETAIL, VIEW_ROW, API_ALIAS_SIZE = TEMPLATE_NAME_SIZE + 16 };

struct row {
    int64_t started_us, end_us; /* it was rendered for these */
    bool is_paused;
    size_t n;
    char text[]; /* an object without its closing brace */
};

/* Keeps what is in `b` as view `which` of `s`. NULL: memory is out. */
static const char *keep(struct sandbox *s, int which, struct buf *b)
{
    s->view[which] = b->failed ? NULL : str_dup(buf_str(b));
    return s->view[which];
}

/* A template without a name gives no alias. */
static const char *put_alias(const struct sandbox_spec *p, char out[API_ALIAS_SIZE])
{
    out[0] = '\0';
    if (p->template.alias[0])
        (void)snprintf(out, API_ALIAS_SIZE, "\"alias\":\"%s\",", p->template.alias);
    return out;
}

/* Members that lists and details share, without braces. */
static const char *view_common(struct sandbox *s)
{
    if (s->view[VIEW_COMMON])
        return s->view[VIEW_COMMON];
    const struct sandbox_spec *p = &s->spec;
    char alias[API_ALIAS_SIZE];
    struct buf b;
    buf_init(&b, 0);
    (void)buf_printf(&b,
                     "\"templateID\":\"%s\",%s\"sandboxID\":\"%s\",\"clientID\":\"%s\","
                     "\"envdVersion\":\"%s\",\"cpuCount\":%llu,\"memoryMB\":%llu,"
                     "\"diskSizeMB\":%llu,\"metadata\":",
                     p->template.id, put_alias(p, alias), s->id, API_CLIENT_ID, API_ENVD_VERSION,
                     (unsigned long long)((p->cpus_milli + 999) / 1000),
                     (unsigned long long)(p->memory_bytes >> 20),
                     (unsigned long long)(p->disk_bytes >> 20));
    (void)json_put(&b, p->metadata);
    (void)buf_append(&b, STR(",\"volumeMounts\":"));
    (void)json_put(&b, p->mounts);
    const char *kept = keep(s, VIEW_COMMON, &b);
    buf_deinit(&b);
    return kept;
}

/* Members that only the details have; begins with a comma. */
static const char *view_detail(struct sandbox *s)
{
    if (s->view[VIEW_DETAIL])
        return s->view[VIEW_DETAIL];
    const struct sandbox_spec *p = &s->spec;
    struct buf b;
    buf_init(&b, 0);
    if (p->secure)
        (void)buf_printf(&b, ",\"envdAccessToken\":\"%s\"", s->envd_token);
    if (p->has_private_traffic)
        (void)buf_printf(&b, ",\"trafficAccessToken\":\"%s\"", s->traffic_token);
    (void)buf_printf(&b,
                     ",\"domain\":null,\"allowInternetAccess\":%s,"
                     "\"lifecycle\":{\"autoResume\":%s,\"onTimeout\":\"%s\"}",
                     p->internet < 0 ? "null"
                     : p->internet   ? "true"
                                     : "false",
                     p->auto_resume ? "true" : "false", p->auto_pause ? "pause" : "kill");
    if (p->isolation[0]) /* ours; a namespace sandbox shares the host's kernel, and users may ask */
        (void)buf_printf(&b, ",\"isolation\":\"%s\"", p->isolation);
    if (p->network) {
        (void)buf_append(&b, STR(",\"network\":"));
        (void)json_put(&b, p->network);
    }
    const char *kept = keep(s, VIEW_DETAIL, &b);
    buf_deinit(&b);
    return kept;
}

/* NULL: memory is out. */
static const struct row *view_row(struct sandbox *s)
{
    struct row *r = s->view[VIEW_ROW];
    bool is_paused = life_is_paused(s->state);
    if (r && r->started_us == s->started_us && r->end_us == s->end_us && r->is_paused == is_paused)
        return r;
    const char *common = view_common(s);
    char started[CLOCK_RFC3339_SIZE], end[CLOCK_RFC3339_SIZE], rest[160];
    if (!common)
        return NULL;
    clock_format(s->started_us, started);
    clock_format(s->end_us, end);
    int n = snprintf(rest, sizeof rest, ",\"startedAt\":\"%s\",\"endAt\":\"%s\",\"state\":\"%s\"",
                     started, end, is_paused ? "paused" : "running");
    size_t head = strlen(common), tail = (size_t)n;
    r = realloc(r, sizeof *r + 1 + head + tail);
    if (!r)
        return NULL;
    s->view[VIEW_ROW] = r;
    *r = (struct row){ s->started_us, s->end_us, is_paused, 1 + head + tail };
    r->text[0] = '{';
    memcpy(r->text + 1, common, head);
    memcpy(r->text + 1 + head, rest, tail);
    return r;
}

bool api_put_sandbox(struct buf *b, struct sandbox *s, bool is_detail)
{
    const struct row *r = view_row(s);
    const char *detail = is_detail ? view_detail(s) : "";
    if (!r || !detail)
        return false;
    (void)buf_append(b, str_make(r->text, r->n));
    (void)buf_append(b, str_of(detail));
    if (is_detail && life_is_paused(s->state)) /* ours: what a resume will find */
        (void)buf_printf(b, ",\"memory\":\"%s\"",
                         s->has_lost_memory          ? "lost"
                         : s->state <= LIFE_RESUMING ? "kept"
                                                     : "none");
    return buf_append(b, STR("}"));
}

void api_put_answer(struct buf *b, struct sandbox *s)
{
    char alias[API_ALIAS_SIZE];
    (void)buf_printf(b,
                     "{\"templateID\":\"%s\",%s\"sandboxID\":\"%s\","
                     "\"clientID\":\"%s\",\"envdVersion\":\"%s\",\"domain\":null",
                     s->spec.template.id, put_alias(&s->spec, alias), s->id, API_CLIENT_ID,
                     API_ENVD_VERSION);
    if (s->spec.secure)
        (void)buf_printf(b, ",\"envdAccessToken\":\"%s\"", s->envd_token);
    if (s->spec.has_private_traffic)
        (void)buf_printf(b, ",\"trafficAccessToken\":\"%s\"", s->traffic_token);
    (void)buf_append(b, STR("}"));
}

void api_reply_sandbox(struct api_call *c, int status, struct sandbox *s)
{
    struct buf *b = &c->api->out;
    buf_reset(b);
    api_put_answer(b, s);
    api_reply(c, status, NULL, buf_str(b));
}
