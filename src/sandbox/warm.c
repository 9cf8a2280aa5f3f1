#include "sandbox/warm.h"

enum {
    START_GUESS_MS = 2000,
    MEAN_MS = WARM_HALF_MS * 2, /* the line begins as steep: what comes often adds up to its rate */
};

/* Halves, and a straight line between two of them. */
static double faded(const struct warm_demand *d, int64_t now_ms)
{
    double rate = d->rate;
    int64_t age = now_ms - d->asked_ms;
    for (; age >= WARM_HALF_MS && rate > 0; age -= WARM_HALF_MS)
        rate /= 2;
    return age > 0 ? rate * (1 - 0.5 * (double)age / (double)WARM_HALF_MS) : rate;
}

void warm_asked(struct warm_demand *d, int64_t now_ms)
{
    d->rate = faded(d, now_ms) + 1000.0 / (double)MEAN_MS;
    d->asked_ms = now_ms;
}

void warm_started(struct warm_demand *d, int64_t took_ms)
{
    d->start_ms = d->start_ms ? (3 * d->start_ms + took_ms) / 4 : took_ms;
    d->failures = 0;
    d->failed_ms = 0;
}

void warm_failed(struct warm_demand *d, int64_t now_ms)
{
    d->failures++;
    d->failed_ms = now_ms;
}

uint32_t warm_wanted(const struct warm_demand *d, int64_t now_ms, uint32_t most)
{
    if (d->rate <= 0 || now_ms - d->asked_ms > WARM_IDLE_MS)
        return 0;
    double start_s = (double)(d->start_ms ? d->start_ms : START_GUESS_MS) / 1000;
    double want = 2 * faded(d, now_ms) * start_s;
    if (want >= (double)most)
        return most;
    uint32_t whole = (uint32_t)want;
    whole += whole < want;
    return whole < 1 ? 1 : whole;
}

bool warm_may_try(const struct warm_demand *d, int64_t now_ms)
{
    int64_t wait = WARM_RETRY_MS;
    for (uint32_t i = 1; i < d->failures && wait < WARM_RETRY_MAX_MS; i++)
        wait *= 2;
    wait = wait < WARM_RETRY_MAX_MS ? wait : WARM_RETRY_MAX_MS;
    return d->failures == 0 || now_ms - d->failed_ms >= wait;
}
