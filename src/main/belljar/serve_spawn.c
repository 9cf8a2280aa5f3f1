#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "main/belljar/serve.h"
#include "os/os_service.h"

#define SHORT_LIFE_MS 5000
#define RETRY_MAX_MS 5000

void service_init(struct service *s, struct loop *loop, const char *name, const char *lib,
                  uid_t uid, gid_t gid)
{
    *s = (struct service){
        .name = name, .loop = loop, .lib = lib, .uid = uid, .gid = gid, .fds = { -1, -1, -1, -1 }
    };
    s->argv[s->argc++] = strdup(name);
}

void service_arg(struct service *s, const char *option, const char *value)
{
    if (s->argc + 3 > SERVE_ARGS)
        abort();
    s->argv[s->argc++] = strdup(option);
    s->argv[s->argc++] = strdup(value);
}

void service_arg_number(struct service *s, const char *option, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    service_arg(s, option, text);
}

void service_arg_fd(struct service *s, const char *option, int fd)
{
    size_t i = 0;
    while (i < 4 && s->fds[i] >= 0)
        i++;
    if (i == 4)
        abort();
    s->fds[i] = fd;
    service_arg_number(s, option, (uint64_t)fd);
}

/* Between fork and exec: only what is async-signal-safe. Exits with 126 or 127 on failure. */
static _Noreturn void child_exec(const struct service *s, int program)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* a ^C at the manager's terminal is for the manager */
    for (size_t i = 0; i < 4; i++)
        if (s->fds[i] >= 0)
            (void)fcntl(s->fds[i], F_SETFD, 0);
    int r = s->uid ? os_service_drop(s->uid, s->gid) : prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (r < 0)
        _exit(126);
    /* by descriptor: an unprivileged user may have no path to the build directory */
    (void)syscall(SYS_execveat, program, "", s->argv, environ, AT_EMPTY_PATH);
    _exit(127);
}

static void retry_later(struct service *s)
{
    unsigned shift = s->failures < 6 ? s->failures : 6;
    int64_t wait = s->failures ? 50 << shift : 0;
    (void)loop_timer_start(s->loop, &s->retry, wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
}

static void on_retry(struct loop_timer *t) { service_start(t->data); }

void service_start(struct service *s)
{
    char path[512];
    s->retry = (struct loop_timer){ .fn = on_retry, .data = s };
    (void)snprintf(path, sizeof path, "%s/%s", s->lib, s->name);
    CLEANUP(fd_closep) int program = open(path, O_PATH | O_CLOEXEC);
    s->started_ms = clock_mono_ms();
    pid_t pid = program < 0 ? -1 : fork();
    if (pid == 0)
        child_exec(s, program);
    if (pid < 0) {
        log_error("cannot start %s: %s", path, strerror(errno));
        s->failures++;
        retry_later(s);
        return;
    }
    s->pid = pid;
    log_info("%s started as process %d", s->name, (int)pid);
}

void service_ended(struct service *s, int status)
{
    bool was_short = clock_mono_ms() - s->started_ms < SHORT_LIFE_MS;
    s->pid = 0;
    bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    s->failures = was_short ? s->failures + 1 : 0;
    if (was_killed && s->failures > 1) /* from outside: not by what it does itself */
        s->failures = 1;
    if (WIFSIGNALED(status))
        log_warn("%s ended by signal %d; restarting", s->name, WTERMSIG(status));
    else
        log_warn("%s ended with status %d; restarting", s->name, WEXITSTATUS(status));
    retry_later(s);
}

void service_stop(struct service *s, int signal)
{
    loop_timer_cancel(&s->retry);
    if (s->pid > 0)
        (void)kill(s->pid, signal);
}
