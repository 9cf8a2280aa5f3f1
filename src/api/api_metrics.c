/* GET /sandboxes/{id}/metrics and GET /sandboxes/metrics (core.md 2.7). */
#include "api/api_internal.h"
#include "base/clock.h"
#include "wire/uri.h"

enum { IDS = 100 };

static void put_metric(struct buf *b, const struct sandbox *s, const struct metric *m)
{
    char at[CLOCK_RFC3339_SIZE];
    clock_format(m->at_us, at);
    (void)buf_printf(b,
                     "{\"timestamp\":\"%s\",\"timestampUnix\":%lld,\"cpuCount\":%llu,"
                     "\"cpuUsedPct\":%.2f,\"memUsed\":%llu,\"memTotal\":%llu,\"memCache\":%llu,"
                     "\"diskUsed\":%llu,\"diskTotal\":%llu}",
                     at, (long long)(m->at_us / 1000000),
                     (unsigned long long)((s->spec.cpus_milli + 999) / 1000), m->cpu_pct,
                     (unsigned long long)m->memory, (unsigned long long)s->spec.memory_bytes,
                     (unsigned long long)m->memory_cache, (unsigned long long)m->disk,
                     (unsigned long long)m->disk_total);
}

/* `name` of the query in unix seconds, `absent` without. */
static int read_time(struct api_call *c, const char *name, int64_t absent, int64_t *out)
{
    struct str text;
    int r = uri_query_get(&c->arena, c->query, name, &text);
    *out = absent;
    if (r == 0)
        return 0;
    if (r < 0 || !str_to_i64(text, out) || *out < 0 || *out > INT32_MAX * INT64_C(2))
        return api_invalid(&c->op, "%s must be a time in seconds", name);
    return 0;
}

void api_sandbox_metrics(struct api_call *c)
{
    int64_t start, end;
    int r = read_time(c, "start", 0, &start);
    if (r == 0)
        r = read_time(c, "end", INT32_MAX * INT64_C(2), &end);
    if (r == 0 && start > end)
        r = api_invalid(&c->op, "start must not be after end");
    if (r < 0) {
        api_reply_fault(c);
        return;
    }
    struct sandbox *s = api_sandbox(c);
    if (!s)
        return;
    struct buf *b = &c->api->out;
    bool is_first = true;
    buf_reset(b);
    (void)buf_append(b, STR("["));
    for (uint32_t i = 0; i < s->metrics.len; i++) {
        const struct metric *m = &s->metrics.at[i];
        if (m->at_us / 1000000 < start || m->at_us / 1000000 > end)
            continue;
        if (!is_first)
            (void)buf_append(b, STR(","));
        is_first = false;
        put_metric(b, s, m);
    }
    (void)buf_append(b, STR("]"));
    api_reply(c, 200, NULL, buf_str(b));
}

void api_sandboxes_metrics(struct api_call *c)
{
    struct str ids, text, id;
    struct buf *b = &c->api->out;
    int count = 0;
    bool is_first = true;
    if (uri_query_get(&c->arena, c->query, "sandbox_ids", &ids) < 0)
        ids = STR_NONE;
    buf_reset(b);
    (void)buf_append(b, STR("{\"sandboxes\":{"));
    while (ids.n) {
        (void)str_cut(ids, ',', &text, &ids);
        if (++count > IDS || !identity_parse_id(text, &id)) {
            (void)api_invalid(&c->op, "sandbox_ids must be up to %d sandbox ids with commas", IDS);
            api_reply_fault(c);
            return;
        }
        struct sandbox *s = fleet_find(c->api->spec.fleet, id);
        if (!s || s->metrics.len == 0)
            continue;
        (void)buf_printf(b, "%s\"%s\":", is_first ? "" : ",", s->id);
        is_first = false;
        put_metric(b, s, &s->metrics.at[s->metrics.len - 1]);
    }
    (void)buf_append(b, STR("}}"));
    api_reply(c, 200, NULL, buf_str(b));
}
