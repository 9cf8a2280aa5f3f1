/* Samples what running sandboxes use: each one every STATS_MS, a few per tick, so that the engine
 * never gets thousands of questions at once. */
#include "base/clock.h"
#include "gen/limits.h"
#include "sandbox/fleet_internal.h"

enum { TICK_MS = 100, STATS_MS = 5000, ASK_MS = 2000 };

static uint64_t field(const struct msg *m, uint16_t key)
{
    uint64_t v;
    return m && msg_get_u64(m, key, &v) ? v : 0;
}

static void on_stats(struct engine_call *c, const struct engine_answer *a)
{
    struct sandbox *s = c->data;
    if (a->status < 0)
        return; /* the next tick asks again */
    struct metric sample = { .at_us = clock_wall_us(),
                             .memory = field(a->m, EK_MEMORY),
                             .memory_cache = field(a->m, EK_MEMORY_CACHE),
                             .disk = field(a->m, EK_DISK),
                             .disk_total = field(a->m, EK_DISK_TOTAL) };
    if (sample.disk_total == 0)
        sample.disk_total = s->spec.disk_bytes;
    (void)metrics_add(&s->metrics, sample, field(a->m, EK_CPU_US), s->spec.cpus_milli,
                      s->started_us);
}

static void ask(struct fleet *f, struct sandbox *s)
{
    s->stats_asked_ms = loop_now_ms(f->spec.loop);
    msg_str(engine_link_begin(f->engine, ENGINE_STATS), EK_ID, str_of(s->id));
    s->stats.fn = on_stats;
    s->stats.data = s;
    engine_link_ask(f->engine, &s->stats, ASK_MS);
}

static void on_tick(struct loop_timer *t)
{
    struct fleet *f = t->data;
    int64_t now = loop_now_ms(f->spec.loop);
    const struct listing_rows *all = &f->listing.all;
    uint32_t share = all->len * TICK_MS / STATS_MS + 1;
    for (uint32_t i = 0; engine_link_is_up(f->engine) && i < share && all->len; i++) {
        f->stats_next = f->stats_next + 1 < all->len ? f->stats_next + 1 : 0;
        struct sandbox *s = all->at[f->stats_next];
        if (s->state == LIFE_RUNNING && !s->stats.link &&
            (s->stats_asked_ms == 0 || now - s->stats_asked_ms >= STATS_MS))
            ask(f, s);
    }
    (void)loop_timer_start(f->spec.loop, &f->stats, TICK_MS);
}

int fleet_stats_start(struct fleet *f)
{
    f->stats = (struct loop_timer){ .fn = on_tick, .data = f };
    return loop_timer_start(f->spec.loop, &f->stats, TICK_MS);
}
