#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static const char *log_name = "belljar";
static enum log_level log_min = LOG_INFO;

void log_init(const char *name, enum log_level level)
{
    log_name = name;
    log_min = level;
    const char *env = getenv("BELLJAR_LOG");
    for (int i = LOG_DEBUG; env && i <= LOG_ERROR; i++)
        if (strcmp(env, level_names[i]) == 0)
            log_min = (enum log_level)i;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (level < log_min)
        return;
    int saved = errno;
    char line[1024], when[CLOCK_RFC3339_SIZE];
    clock_format(clock_wall_us(), when);
    int head = snprintf(line, sizeof line, "%s %-5s %s: ", when, level_names[level], log_name);
    size_t at = (size_t)head;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line + at, sizeof line - at - 1, fmt, ap);
    va_end(ap);
    size_t end = at + (n > 0 ? (size_t)n : 0);
    if (end > sizeof line - 2)
        end = sizeof line - 2;
    for (size_t i = at; i < end; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[end++] = '\n';
    ssize_t done = write(STDERR_FILENO, line, end);
    (void)done; /* a log line that cannot be written has nowhere to be reported */
    errno = saved;
}
