/* belljar template build: a Dockerfile to a template, with the log as it comes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"

struct build {
    struct cli *c;
    int64_t began_ms;
    bool is_terminal, has_status; /* of standard error: its last line will be written over */
};

/* -- Ctrl-C: the first cancels the build, a second one leaves at once -- */

static int wake[2] = { -1, -1 };
static volatile sig_atomic_t came; /* the first signal */

static void on_signal(int signal)
{
    static const char text[] = "\ncancelling the build; another Ctrl-C leaves it as it is\n";
    if (came)
        _exit(128 + signal);
    came = signal;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(wake[1], "", 1);
}

/* The descriptor that the library listens to, or -1: then a signal ends us. */
static int guard(void)
{
    static const int signals[] = { SIGINT, SIGTERM };
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESTART }, before;
    if (pipe2(wake, O_CLOEXEC) < 0)
        return -1;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaction(signals[i], &sa, NULL); /* one that nohup ignores stays so */
    return wake[0];
}

/* -- the log -- */

/* Lines of the log, each with the time since the beginning. On a terminal what is said for the
 * curious only shows that it goes on: the next line takes its place. */
static void on_log(void *data, const char *level, const char *line)
{
    struct build *u = data;
    bool is_detail = strcmp(level, "debug") == 0 && !cli_flag(u->c, "verbose");
    if (is_detail && !u->is_terminal)
        return;
    if (u->has_status)
        (void)fputs("\r\x1b[K", stderr);
    fprintf(stderr, "%6.1fs  ", (double)(clock_mono_ms() - u->began_ms) / 1000);
    if (strcmp(level, "warn") == 0 || strcmp(level, "error") == 0)
        fprintf(stderr, "%s: ", level);
    /* a line that is to be written over may not be wider than the screen */
    struct str text = str_of(line);
    if (is_detail && text.n > 60)
        text.n = 60;
    cli_put_clean(stderr, text);
    (void)fputc(is_detail ? '\r' : '\n', stderr);
    u->has_status = is_detail;
}

/* The Dockerfile: what -f names, else the first that is there. */
static int open_file(struct cli *c, const char *dir, char name[512])
{
    static const char *const names[] = { "e2b.Dockerfile", "Dockerfile" };
    const char *given = cli_text(c, "file");
    if (given) {
        (void)snprintf(name, 512, "%s", given);
        return cli_open(given);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(name, 512, "%s/%s", dir, names[i]);
        int fd = cli_open(name);
        if (fd >= 0 || errno != ENOENT)
            return fd;
    }
    return -1;
}

static int say_done(struct cli *c, const char *id, const char *name)
{
    if (cli_flag(c, "json")) {
        json_t *v = json_pack("{s:s, s:s}", "templateID", id, "name", name);
        (void)cli_print_json(v);
        json_decref(v);
        return 0;
    }
    cli_put_clean(stdout, str_of(id));
    (void)fputc('\n', stdout);
    return 0;
}

static int build(struct cli *c, const char *dir, const char *file, const char *text)
{
    struct build u = { .c = c,
                       .began_ms = clock_mono_ms(),
                       .is_terminal = isatty(STDERR_FILENO) == 1 };
    struct belljar *b = cli_server(c);
    struct arena a;
    if (!b)
        return fault_exit(FAULT_UNAUTHENTICATED);
    arena_init(&a, 0);
    const struct belljar_build_options o = { .name = cli_text(c, "name"),
                                             .context = dir,
                                             .file = file,
                                             .args = cli_pairs(c, "build-arg", &a),
                                             .start = cli_text(c, "start"),
                                             .ready = cli_text(c, "ready"),
                                             .cpus = cli_number(c, "cpus"),
                                             .memory_mb = cli_number(c, "memory"),
                                             .skips_cache = cli_flag(c, "no-cache"),
                                             .on_log = on_log,
                                             .data = &u };
    belljar_set_stop(b, guard());
    CLEANUP(freep) char *id = belljar_build(b, text, &o);
    if (u.has_status)
        (void)fputs("\r\x1b[K", stderr);
    int status = id ? say_done(c, id, o.name) : cli_server_fail(c);
    if (!id && belljar_errno(b) == ECANCELED)
        status = came ? 128 + came : CLI_FAILED;
    arena_deinit(&a);
    return status;
}

int cli_build_run(struct cli *c)
{
    const char *dir = c->word_count ? c->words[0] : ".";
    char name[512];
    struct stat st;
    struct buf text;
    if (!cli_text(c, "name"))
        return cli_fail(c, FAULT_INVALID, "what it will be called: --name NAME");
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return cli_fail(c, FAULT_NOT_FOUND, "%s: %s", dir,
                        S_ISREG(st.st_mode) ? "that is a file; -f names the Dockerfile"
                                            : "no such directory");
    CLEANUP(fd_closep) int fd = open_file(c, dir, name);
    if (fd < 0)
        return cli_fail(c, errno == ENOENT ? FAULT_NOT_FOUND : FAULT_INVALID, "%s: %s", name,
                        strerror(errno));
    buf_init(&text, CLI_SOURCE_SIZE);
    int status = cli_read_text(c, name, fd, &text);
    if (status == 0)
        status = build(c, dir, name, buf_cstr(&text));
    buf_deinit(&text);
    return status;
}
