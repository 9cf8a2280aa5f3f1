/* GET /belljar/status: how the server is, in numbers. Ours, not E2B's. */
#include "api/api_internal.h"

void api_status(struct api_call *c)
{
    struct fleet *f = c->api->spec.fleet;
    struct fleet_counts n = fleet_count(f);
    struct warm_report warm[LIMIT_WARM_KINDS];
    uint32_t kinds = fleet_warm_count(f, warm, LIMIT_WARM_KINDS);
    struct buf *b = &c->api->out;
    buf_reset(b);
    (void)buf_printf(b,
                     "{\"engine\":%s,\"edges\":%u,\"sandboxes\":{\"known\":%u,\"counted\":%u,"
                     "\"running\":%u},\"warm\":[",
                     n.has_engine ? "true" : "false", n.edges, n.known, n.counted, n.running);
    for (uint32_t i = 0; i < kinds; i++) {
        const struct warm_counts *w = &warm[i].counts;
        (void)buf_printf(b,
                         "%s{\"templateID\":\"%s\",\"ready\":%u,\"starting\":%u,\"wanted\":%u,"
                         "\"claimed\":%llu,\"missed\":%llu,\"failed\":%llu,\"startMs\":%lld}",
                         i ? "," : "", warm[i].template_id, w->ready, w->starting, w->wanted,
                         (unsigned long long)w->claimed, (unsigned long long)w->missed,
                         (unsigned long long)w->failed, (long long)warm[i].start_ms);
    }
    (void)buf_append(b, STR("]}"));
    api_reply(c, 200, NULL, buf_str(b));
}
