/* How many sandboxes of one kind to start ahead: for templates whose start command takes long.
 * Pure: times are given. fleet_warm.c makes, hands out and gives back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised: nobody has asked yet. */
struct warm_demand {
    double rate;       /* creates per second, halved every WARM_HALF_MS */
    int64_t asked_ms;  /* the last create; monotonic */
    int64_t start_ms;  /* how long one takes to start, lately; 0: not known */
    int64_t failed_ms; /* the last one that did not start; 0: it went well since */
    uint32_t failures; /* in a row */
};

enum {
    WARM_HALF_MS = 40000,  /* demand of so long ago counts half */
    WARM_IDLE_MS = 600000, /* asked for by nobody for so long: nothing is kept */
    WARM_RETRY_MS = 5000,  /* after a failure, twice as long after each */
    WARM_RETRY_MAX_MS = 600000,
};

/* Somebody creates one, warm or not. */
void warm_asked(struct warm_demand *d, int64_t now_ms);
/* One was started ahead in `took_ms`, or could not be. */
void warm_started(struct warm_demand *d, int64_t took_ms);
void warm_failed(struct warm_demand *d, int64_t now_ms);

/* How many should be there, ready or being started; at most `most`. Enough for what is asked while
 * another one starts, twice over, and one while anybody has asked lately. */
uint32_t warm_wanted(const struct warm_demand *d, int64_t now_ms, uint32_t most);
/* False: the last one failed not long enough ago to try again. */
bool warm_may_try(const struct warm_demand *d, int64_t now_ms);
