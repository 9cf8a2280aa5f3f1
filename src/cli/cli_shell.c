/* belljar sandbox shell: our terminal is the sandbox's. It is made as it was on every way out. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli_commands.h"
#include "cli/cli_stream.h"

/* The one terminal of this process, as exit handlers can reach it. */
static struct termios before;
static volatile sig_atomic_t is_raw;

static void restore(void)
{
    if (is_raw) {
        is_raw = 0;
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before); /* async-signal-safe */
    }
}

static void on_crash(int signal)
{
    restore();
    (void)raise(signal); /* SA_RESETHAND: now it ends us */
}

static bool make_raw(void)
{
    struct termios t = before;
    cfmakeraw(&t);
    is_raw = 1;
    return tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
}

static bool guard(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    struct sigaction sa = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        (void)sigaction(crashes[i], &sa, NULL);
    return tcgetattr(STDIN_FILENO, &before) == 0 && atexit(restore) == 0;
}

static void size_of(struct winsize *w)
{
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, w) < 0 || w->ws_col == 0 || w->ws_row == 0)
        *w = (struct winsize){ .ws_col = 80, .ws_row = 24 };
}

/* True: the shell goes on. */
static bool on_signal(struct belljar_process *p, int signal)
{
    struct winsize w;
    if (signal == SIGTSTP) { /* from outside: Ctrl-Z is the sandbox's */
        restore();
        (void)raise(SIGSTOP);
        (void)make_raw();
    }
    if (signal == SIGWINCH || signal == SIGTSTP || signal == SIGCONT) {
        size_of(&w);
        (void)belljar_process_resize(p, w.ws_col, w.ws_row);
        return true;
    }
    (void)belljar_process_signal(p, SIGKILL);
    return false;
}

static int attend(struct cli *c, struct cli_stream *s)
{
    for (;;) {
        struct belljar_event e;
        int signal = 0, r = cli_stream_next(s, &e, &signal);
        if (r < 0) {
            restore();
            return cli_server_fail(c);
        }
        if (r == 1 && !on_signal(s->process, signal))
            return 128 + signal;
        if (r == 1)
            continue;
        if (e.kind == BELLJAR_EXITED)
            return cli_exit_of(&e);
        if (!cli_write(STDOUT_FILENO, e.bytes, e.size)) {
            (void)belljar_process_signal(s->process, SIGKILL);
            return 128 + SIGPIPE;
        }
    }
}

/* What was given, and what kind of terminal this is. */
static const struct belljar_pair *variables(struct cli *c, struct arena *a)
{
    const struct belljar_pair *given = cli_pairs(c, "env", a);
    const char *term = getenv("TERM");
    int n = 0, at = 0;
    while (given && given[n].name)
        n++;
    struct belljar_pair *all = arena_alloc(a, sizeof *all * ((size_t)n + 2));
    if (!all)
        return given;
    if (term && term[0])
        all[at++] = (struct belljar_pair){ "TERM", term };
    for (int i = 0; i < n; i++)
        all[at++] = given[i];
    return all;
}

static int run(struct cli *c, struct belljar_sandbox *s)
{
    static const int signals[] = {
        SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, 0
    };
    struct cli_stream stream;
    struct winsize w;
    struct arena a;
    int status;
    if (!guard())
        return cli_fail(c, FAULT_INTERNAL, "cannot look at the terminal: %s", strerror(errno));
    arena_init(&a, 0);
    int r = cli_stream_open(&stream, STDIN_FILENO, signals);
    size_of(&w); /* after the signals are watched: no change is missed */
    const struct belljar_run_options o = { .user = cli_text(c, "user"),
                                           .cwd = cli_text(c, "workdir"),
                                           .envs = variables(c, &a),
                                           .timeout_ms = -1,
                                           .cols = w.ws_col,
                                           .rows = w.ws_row };
    if (r < 0)
        status = cli_fail(c, FAULT_INTERNAL, "cannot watch the terminal: %s", strerror(-r));
    else if ((r = cli_stream_start(&stream, c->server, s, NULL, &o)) != 0)
        status = r > 0 ? 128 + r : cli_server_fail(c);
    else if (!make_raw())
        status = cli_fail(c, FAULT_INTERNAL, "cannot set the terminal: %s", strerror(errno));
    else
        status = attend(c, &stream);
    restore();
    belljar_process_free(stream.process);
    cli_stream_close(&stream);
    arena_deinit(&a);
    return status;
}

int cli_shell_run(struct cli *c)
{
    int status;
    if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
        return cli_fail(c, FAULT_INVALID,
                        "standard input and output are no terminal: 'sandbox exec' needs none");
    struct belljar_sandbox *s = cli_sandbox(c, c->words[0], &status);
    if (!s)
        return status;
    status = run(c, s);
    belljar_sandbox_free(s);
    return status;
}
