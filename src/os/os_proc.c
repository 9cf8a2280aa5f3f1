#include "os/os_proc.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"
#include "os/os_file.h"
#include "os/os_sys.h"

int proc_start_time(pid_t pid, uint64_t *ticks)
{
    char path[32], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    ssize_t n = file_get(AT_FDCWD, path, text, sizeof text);
    if (n < 0)
        return (int)n;
    /* The name (field 2) is in parentheses and may hold anything; count from the last one. */
    char *p = strrchr(text, ')');
    if (!p)
        return RAISE(-EBADMSG);
    struct str rest = str_of(p + 2), field = STR_NONE;
    for (int i = 3; i <= 22; i++)
        (void)str_cut(rest, ' ', &field, &rest);
    return str_to_u64(field, UINT64_MAX, ticks) ? 0 : RAISE(-EBADMSG);
}

int proc_boot_id(char out[PROC_BOOT_ID_SIZE])
{
    ssize_t n = file_get(AT_FDCWD, "/proc/sys/kernel/random/boot_id", out, PROC_BOOT_ID_SIZE);
    if (n < 36)
        return RAISE(n < 0 ? (int)n : -EBADMSG);
    out[36] = 0;
    return 0;
}

int proc_cpu_ticks(uint64_t *idle, uint64_t *all)
{
    char text[256];
    ssize_t n = file_get(AT_FDCWD, "/proc/stat", text, sizeof text);
    if (n < 0)
        return (int)n;
    if (!str_starts(str_of(text), STR("cpu ")))
        return RAISE(-EBADMSG);
    *idle = *all = 0;
    char *at = text + 4;
    for (int i = 0; i < 8; i++) { /* user nice system idle iowait irq softirq steal */
        uint64_t v = strtoull(at, &at, 10);
        *all += v;
        *idle += i == 3 || i == 4 ? v : 0;
    }
    return 0;
}

int proc_namespace(pid_t pid, const char *kind)
{
    char path[64];
    if (pid)
        (void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    else
        (void)snprintf(path, sizeof path, "/proc/thread-self/ns/%s", kind);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? RAISE(-errno) : fd;
}

int proc_map_ids(pid_t pid, uint32_t base, uint32_t count)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/%d/uid_map", (int)pid);
    int r = file_putf(AT_FDCWD, path, "0 %u %u", base, count);
    if (r < 0)
        return RAISE(r);
    (void)snprintf(path, sizeof path, "/proc/%d/gid_map", (int)pid);
    return TRACE(file_putf(AT_FDCWD, path, "0 %u %u", base, count));
}

int proc_userns_new(uint32_t base, uint32_t count)
{
    int pidfd = -1;
    struct os_clone_args a = { .flags = CLONE_NEWUSER | OS_CLONE_PIDFD,
                               .pidfd = (uint64_t)(uintptr_t)&pidfd };
    int pid = os_clone(&a);
    if (pid == 0) {
        (void)pause(); /* killed below; a signal that ends it early only fails the caller */
        _exit(0);
    }
    if (pid < 0)
        return RAISE(pid);
    int r = proc_map_ids(pid, base, count);
    int fd = r < 0 ? r : proc_namespace(pid, "user");
    (void)os_pidfd_signal(pidfd, SIGKILL);
    (void)waitid(P_PIDFD, (id_t)pidfd, NULL, WEXITED | __WALL);
    (void)close(pidfd);
    return TRACE(fd);
}

void proc_close_others(const int *keep, int count)
{
    unsigned from = 3;
    for (;;) {
        int next = -1; /* the lowest kept one at or above `from` */
        for (int i = 0; i < count; i++)
            if (keep[i] >= (int)from && (next < 0 || keep[i] < next))
                next = keep[i];
        if (next < 0)
            break;
        if ((unsigned)next > from)
            (void)os_close_range(from, (unsigned)next - 1);
        from = (unsigned)next + 1;
    }
    (void)os_close_range(from, ~0u);
}
