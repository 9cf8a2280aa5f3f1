#include "agent/metrics.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Up to `size` - 1 bytes with a NUL. */
static bool read_text(const char *path, char *out, size_t size)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

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
    char text[512];
    uint64_t v[8] = { 0 }, all = 0;
    char *at = text;
    if (!read_text("/proc/stat", text, sizeof text) || strncmp(text, "cpu ", 4) != 0)
        return 0;
    at += 4;
    for (size_t i = 0; i < 8; i++)
        all += v[i] = strtoull(at, &at, 10);
    uint64_t busy = all - v[3] - v[4]; /* idle, iowait */
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
    (void)read_text("/proc/meminfo", text, sizeof text);
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
