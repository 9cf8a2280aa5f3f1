/* belljar up: `belljar serve` in the background, proved by one real sandbox. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "cli/cli_print.h"
#include "client/belljar.h"
#include "main/belljar/commands.h"
#include "main/belljar/host.h"
#include "main/belljar/serve.h"

#define PROOF "proof-42"
#define PROOF_S 60 /* that the sandbox lives at most */
#define LOG_TAIL 4096

static void nap(void)
{
    const struct timespec step = { .tv_nsec = 20000000 };
    (void)nanosleep(&step, NULL);
}

/* -- start -- */

/* In the child: a session of its own, nothing of ours open, what it says in the log. */
static void child_serve(const char *log, const char *config)
{
    int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0 || setsid() < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
        dup2(out, 2) < 0)
        _exit(127);
    const char *const argv[] = { "belljar", "serve", config ? "--config" : NULL, config, NULL };
    (void)close_range(3, ~0u, 0);
    (void)execv("/proc/self/exe", (char *const *)argv);
    _exit(127);
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

/* The last of what it has said since the log was `from` bytes long is why it does not run. */
static void show_log(const char *log, off_t from)
{
    char tail[LOG_TAIL + 1];
    CLEANUP(fd_closep) int fd = open(log, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    bool is_cut = size - from > LOG_TAIL;
    from = is_cut ? size - LOG_TAIL : from;
    ssize_t n = fd < 0 ? 0 : pread(fd, tail, LOG_TAIL, from);
    if (n <= 0)
        return;
    tail[n] = '\0';
    char *line = is_cut ? strchr(tail, '\n') : tail;
    fprintf(stderr, "%s", line ? line : tail);
}

/* The server's pid, or -1 after it said why. `pid` of one that runs already is taken. */
static pid_t start(struct cli *c, const struct config *config, const char *log)
{
    char dir[320];
    pid_t pid = serve_running(config->state);
    if (pid > 0)
        return pid;
    (void)snprintf(dir, sizeof dir, "%s/log", config->state);
    (void)mkdir(config->state, 0711); /* `serve` sees to it that they are right */
    (void)mkdir(dir, 0700);
    pid = fork();
    if (pid == 0)
        child_serve(log, cli_text(c, "config"));
    if (pid < 0)
        (void)cli_fail(c, FAULT_INTERNAL, "cannot start a process: %s", strerror(errno));
    return pid;
}

/* -- wait and prove -- */

static bool is_alive(pid_t pid)
{
    int status;
    (void)waitpid(pid, &status, WNOHANG); /* it may be a child of ours */
    return kill(pid, 0) == 0;
}

static bool answers(struct belljar *b)
{
    char *text = belljar_request(b, "GET", "/health", NULL, NULL);
    free(text);
    return text;
}

/* The exports are written by the server when it starts: an old file may be there before. */
static struct belljar *wait_for(const struct config *config, pid_t pid, int seconds)
{
    int64_t until = clock_mono_ms() + (int64_t)seconds * 1000;
    for (; clock_mono_ms() < until && is_alive(pid); nap()) {
        struct host_exports e;
        if (serve_running(config->state) != pid || !host_exports_read(config, &e))
            continue;
        struct belljar *b = host_open(&e, 10000);
        if (b && answers(b))
            return b;
        belljar_close(b);
    }
    return NULL;
}

/* A sandbox, a command in it, its end. 0 or the exit status. */
static int prove(struct cli *c, struct belljar *b)
{
    const struct belljar_create_options o = { .from = "base", .timeout_s = PROOF_S };
    struct belljar_result r = { 0 };
    struct belljar_sandbox *s = belljar_create(b, &o);
    bool good = s && belljar_run(s, "echo proof-$((6*7))", NULL, &r) == 0 && r.exit_code == 0 &&
                strcmp(r.out, PROOF "\n") == 0;
    if (!good)
        (void)cli_fail(c, FAULT_HOST, "the server answers, but a sandbox did not work: %s",
                       r.out ? "its command printed something else" : belljar_error(b));
    if (s && belljar_kill(s) < 0 && good)
        good = cli_fail(c, FAULT_HOST, "the sandbox could not be ended: %s", belljar_error(b)) == 0;
    belljar_result_free(&r);
    belljar_sandbox_free(s);
    return good ? 0 : fault_exit(FAULT_HOST);
}

/* -- the command -- */

/* The exports as the server wrote them. */
static int say(struct cli *c, const struct config *config, pid_t pid)
{
    char path[320], line[512];
    json_t *v = json_pack("{s:s, s:i}", "state", config->state, "pid", (int)pid);
    (void)snprintf(path, sizeof path, "%s/env", config->state);
    CLEANUP(file_closep) FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        struct str name, value, s = str_make(line, strcspn(line, "\r\n"));
        if (!cli_flag(c, "json"))
            printf("%s", line);
        if (str_starts(s, STR("export ")) && str_cut(str_skip(s, 7), '=', &name, &value))
            (void)json_object_setn_new(v, name.p, name.n, json_stringn(value.p, value.n));
    }
    if (cli_flag(c, "json"))
        (void)cli_print_json(v);
    json_decref(v);
    return 0;
}

int up_run(struct cli *c)
{
    struct config config;
    char log[320], path[320];
    if (config_load(&c->op, &config, cli_text(c, "config")) < 0)
        return cli_fail_op(c);
    (void)snprintf(log, sizeof log, "%s/log/server.log", config.state);
    (void)snprintf(path, sizeof path, "%s/templates/base/rootfs", config.state);
    if (geteuid() != 0)
        return cli_fail(c, FAULT_HOST, "the server must be started as root");
    if (access(path, F_OK) < 0)
        return cli_fail(c, FAULT_HOST, "there is no template 'base' in %s: 'make up' makes it",
                        config.state);
    off_t said = size_of(log);
    pid_t pid = start(c, &config, log);
    if (pid < 0)
        return fault_exit(FAULT_INTERNAL);
    struct belljar *b = wait_for(&config, pid, cli_number(c, "wait"));
    if (!b) {
        show_log(log, said);
        return cli_fail(c, FAULT_HOST, "the server does not answer; its log is %s", log);
    }
    int status = prove(c, b);
    belljar_close(b);
    return status ? status : say(c, &config, pid);
}
