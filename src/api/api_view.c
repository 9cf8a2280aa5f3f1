/* A sandbox as JSON. What never changes is rendered once per sandbox and kept in its view[]. */
#include <stdlib.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "wire/json.h"

enum { VIEW_COMMON, VIEW_DETAIL };

/* Keeps what is in `b` as view `which` of `s`. NULL: memory is out. */
static const char *keep(struct sandbox *s, int which, struct buf *b)
{
    s->view[which] = b->failed ? NULL : str_dup(buf_str(b));
    return s->view[which];
}

/* Members that lists and details share, without braces. */
static const char *view_common(struct sandbox *s)
{
    if (s->view[VIEW_COMMON])
        return s->view[VIEW_COMMON];
    const struct sandbox_spec *p = &s->spec;
    struct buf b;
    buf_init(&b, 0);
    (void)buf_printf(
        &b,
        "\"templateID\":\"%s\",\"alias\":\"%s\",\"sandboxID\":\"%s\",\"clientID\":\"%s\","
        "\"envdVersion\":\"%s\",\"cpuCount\":%llu,\"memoryMB\":%llu,"
        "\"diskSizeMB\":%llu,\"metadata\":",
        p->template.id, p->template.alias, s->id, API_CLIENT_ID, API_ENVD_VERSION,
        (unsigned long long)((p->cpus_milli + 999) / 1000),
        (unsigned long long)(p->memory_bytes >> 20), (unsigned long long)(p->disk_bytes >> 20));
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
    if (p->network) {
        (void)buf_append(&b, STR(",\"network\":"));
        (void)json_put(&b, p->network);
    }
    const char *kept = keep(s, VIEW_DETAIL, &b);
    buf_deinit(&b);
    return kept;
}

bool api_put_sandbox(struct buf *b, struct sandbox *s, bool is_detail)
{
    char started[CLOCK_RFC3339_SIZE], end[CLOCK_RFC3339_SIZE];
    const char *common = view_common(s), *detail = is_detail ? view_detail(s) : "";
    if (!common || !detail)
        return false;
    clock_format(s->started_us, started);
    clock_format(s->end_us, end);
    (void)buf_append(b, STR("{"));
    (void)buf_append(b, str_of(common));
    (void)buf_append(b, STR(",\"startedAt\":\""));
    (void)buf_append(b, str_of(started));
    (void)buf_append(b, STR("\",\"endAt\":\""));
    (void)buf_append(b, str_of(end));
    (void)buf_append(b, STR("\",\"state\":\""));
    (void)buf_append(b, life_is_paused(s->state) ? STR("paused") : STR("running"));
    (void)buf_append(b, STR("\""));
    (void)buf_append(b, str_of(detail));
    return buf_append(b, STR("}"));
}

void api_reply_sandbox(struct api_call *c, int status, struct sandbox *s)
{
    struct buf *b = &c->api->out;
    buf_reset(b);
    (void)buf_printf(b,
                     "{\"templateID\":\"%s\",\"alias\":\"%s\",\"sandboxID\":\"%s\","
                     "\"clientID\":\"%s\",\"envdVersion\":\"%s\",\"domain\":null",
                     s->spec.template.id, s->spec.template.alias, s->id, API_CLIENT_ID,
                     API_ENVD_VERSION);
    if (s->spec.secure)
        (void)buf_printf(b, ",\"envdAccessToken\":\"%s\"", s->envd_token);
    if (s->spec.has_private_traffic)
        (void)buf_printf(b, ",\"trafficAccessToken\":\"%s\"", s->traffic_token);
    (void)buf_append(b, STR("}"));
    api_reply(c, status, NULL, buf_str(b));
}
