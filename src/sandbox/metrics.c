#include "sandbox/metrics.h"

#include <stdlib.h>

#include "gen/limits.h"

/* Of four samples of the older half two stay: what is old is needed less finely. */
static void thin_out(struct metrics *m)
{
    uint32_t half = m->len / 2, kept = 0;
    for (uint32_t i = 0; i < m->len; i++)
        if (i >= half || i % 2 == 0)
            m->at[kept++] = m->at[i];
    m->len = kept;
}

bool metrics_add(struct metrics *m, struct metric sample, uint64_t cpu_us, uint64_t cpus_milli,
                 int64_t started_us)
{
    if (m->len == LIMIT_METRICS_SAMPLES)
        thin_out(m);
    if (m->len == m->cap) {
        uint32_t cap = m->cap ? m->cap * 2 : 8;
        cap = cap > LIMIT_METRICS_SAMPLES ? LIMIT_METRICS_SAMPLES : cap;
        struct metric *at = realloc(m->at, cap * sizeof *at);
        if (!at)
            return false;
        m->at = at;
        m->cap = cap;
    }
    int64_t since =
        m->len && m->at[m->len - 1].at_us > started_us ? m->at[m->len - 1].at_us : started_us;
    double span_us = (double)(sample.at_us - since) * (double)cpus_milli / 1000;
    uint64_t used = cpu_us > m->cpu_us ? cpu_us - m->cpu_us : 0;
    sample.cpu_pct = span_us > 0 ? 100.0 * (double)used / span_us : 0;
    if (sample.cpu_pct > 100)
        sample.cpu_pct = 100;
    m->cpu_us = cpu_us;
    m->at[m->len++] = sample;
    return true;
}

void metrics_deinit(struct metrics *m)
{
    free(m->at);
    *m = (struct metrics){ 0 };
}
