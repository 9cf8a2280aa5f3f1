/* What a sandbox used, over time: a bounded series that gets thinner with age. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct metric {
    int64_t at_us;  /* wall clock */
    double cpu_pct; /* of all its processors, since the sample before; 0..100 */
    uint64_t memory, memory_cache, disk, disk_total; /* bytes */
};

/* Zero-initialised = empty. */
struct metrics {
    struct metric *at; /* oldest first */
    uint32_t len, cap;
    uint64_t cpu_us; /* total at the last sample */
};

/* Adds a sample whose processor time in total is `cpu_us`, for a sandbox of `cpus_milli` that runs
 * since `started_us`. When the series is full every second one of its older half goes. False:
 * memory is out, nothing was added. */
bool metrics_add(struct metrics *m, struct metric sample, uint64_t cpu_us, uint64_t cpus_milli,
                 int64_t started_us);
void metrics_deinit(struct metrics *m);
