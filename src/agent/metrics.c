#include "agent/metrics.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

#include "os/os_file.h"
#include "os/os_proc.h"

/* "name:   123 kB" in bytes. */
static uint64_t meminfo(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

/* Share of the processors' time used since the last call, in percent of one processor. */
static double cpu_used(long processors)
{
    static uint64_t last_busy, last_all;
    uint64_t idle, all;
    if (proc_cpu_ticks(&idle, &all) < 0)
        return 0;
    uint64_t busy = all - idle;
    uint64_t d_busy = busy - last_busy, d_all = all - last_all;
    last_busy = busy;
    last_all = all;
    return d_all ? (double)d_busy * 100.0 * (double)processors / (double)d_all : 0;
}

void metrics_put(struct buf *b)
{
    char text[4096];
    struct statvfs fs = { 0 };
    cpu_set_t set;
    long processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    if (file_get(AT_FDCWD, "/proc/meminfo", text, sizeof text) < 0)
        text[0] = 0;
    (void)statvfs("/", &fs);
    uint64_t total = meminfo(text, "MemTotal:"), available = meminfo(text, "MemAvailable:");
    uint64_t cache = meminfo(text, "\nCached:"), used = total > available ? total - available : 0;
    uint64_t disk = fs.f_blocks * fs.f_frsize, disk_used = disk - fs.f_bfree * fs.f_frsize;
    (void)buf_printf(b,
                     "{\"ts\":%lld,\"cpu_count\":%ld,\"cpu_used_pct\":%.2f,\"mem_total\":%llu,"
                     "\"mem_used\":%llu,\"mem_cache\":%llu,\"mem_total_mib\":%llu,"
                     "\"mem_used_mib\":%llu,\"disk_used\":%llu,\"disk_total\":%llu}",
                     (long long)time(NULL), processors, cpu_used(processors),
                     (unsigned long long)total, (unsigned long long)used, (unsigned long long)cache,
                     (unsigned long long)(total >> 20), (unsigned long long)(used >> 20),
                     (unsigned long long)disk_used, (unsigned long long)disk);
}
