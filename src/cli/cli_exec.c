/* belljar sandbox exec: a command, its input, its two outputs, its end. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_stream.h"
#include "gen/limits.h"

struct exec {
    struct cli *c;
    struct cli_stream stream;
    struct buf out, err; /* --json */
    bool is_too_long;    /* these */
    int ended_by;        /* a signal of ours; 0: none */
};

/* One word is a line for the shell; several are quoted, so that they arrive as they are. */
static void put_line(struct buf *b, const char **words, int count)
{
    for (int i = 0; i < count; i++) {
        if (count == 1) {
            (void)buf_append(b, str_of(words[i]));
            return;
        }
        (void)buf_append(b, i ? STR(" '") : STR("'"));
        for (const char *p = words[i]; *p; p++)
            (void)buf_append(b, *p == '\'' ? STR("'\\''") : str_make(p, 1));
        (void)buf_byte(b, '\'');
    }
}

static void stop(struct exec *e, int signal)
{
    e->ended_by = signal;
    belljar_set_stop(e->c->server, e->stream.signals); /* a second one waits for nothing */
    (void)belljar_process_signal(e->stream.process, SIGKILL);
}

static void take(struct exec *e, const struct belljar_event *ev)
{
    bool is_out = ev->kind == BELLJAR_STDOUT;
    if (cli_flag(e->c, "json")) {
        bool fits = buf_append(is_out ? &e->out : &e->err, str_make(ev->bytes, ev->size));
        if (!fits && !e->is_too_long)
            stop(e, SIGKILL);
        e->is_too_long |= !fits;
    } else if (!cli_write(is_out ? STDOUT_FILENO : STDERR_FILENO, ev->bytes, ev->size) &&
               !e->ended_by)
        stop(e, SIGPIPE); /* nobody reads: as if it had written there itself */
}

static int finish(struct exec *e, const struct belljar_event *ev)
{
    int status = e->ended_by ? 128 + e->ended_by : cli_exit_of(ev);
    if (!cli_flag(e->c, "json")) {
        if (ev->exit_code < 0 && ev->error && !e->ended_by)
            (void)cli_fail(e->c, FAULT_NONE, "the command ended by %s", ev->error);
        return status;
    }
    if (e->is_too_long)
        return cli_fail(e->c, FAULT_TOO_LARGE,
                        "the command was killed: its output is more than %d MiB, which --json "
                        "keeps whole; without it, it is passed on",
                        LIMIT_CLIENT_OUTPUT_SIZE >> 20);
    json_t *v =
        json_pack("{s:o, s:o, s:i, s:s?}", "stdout", cli_json_text(buf_str(&e->out)), "stderr",
                  cli_json_text(buf_str(&e->err)), "exitCode", ev->exit_code, "error", ev->error);
    (void)cli_print_json(v);
    json_decref(v);
    return status;
}

static int attend(struct exec *e)
{
    for (;;) {
        struct belljar_event ev;
        int signal = 0, r = cli_stream_next(&e->stream, &ev, &signal);
        if (r == -ECANCELED && e->ended_by)
            return 128 + e->ended_by;
        if (r < 0)
            return cli_server_fail(e->c);
        if (r == 1)
            stop(e, signal);
        else if (ev.kind == BELLJAR_EXITED)
            return finish(e, &ev);
        else
            take(e, &ev);
    }
}

static int run(struct exec *e, struct belljar_sandbox *s)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, 0 };
    struct cli *c = e->c;
    struct arena a;
    struct buf line;
    int seconds = cli_number(c, "timeout"), status;
    bool reads = isatty(STDIN_FILENO) != 1;
    arena_init(&a, 0);
    buf_init(&line, 0);
    put_line(&line, c->words + 1, c->word_count - 1);
    const struct belljar_run_options o = { .user = cli_text(c, "user"),
                                           .cwd = cli_text(c, "workdir"),
                                           .envs = cli_pairs(c, "env", &a),
                                           .timeout_ms =
                                               seconds > 2000000 || !seconds ? -1 : seconds * 1000,
                                           .has_stdin = reads };
    int r = cli_stream_open(&e->stream, reads ? STDIN_FILENO : -1, signals);
    if (r < 0)
        status = cli_fail(c, FAULT_INTERNAL, "cannot watch standard input: %s", strerror(-r));
    else if ((r = cli_stream_start(&e->stream, c->server, s, buf_cstr(&line), &o)) != 0)
        status = r > 0 ? 128 + r : cli_server_fail(c);
    else
        status = attend(e);
    belljar_process_free(e->stream.process);
    cli_stream_close(&e->stream);
    buf_deinit(&line);
    arena_deinit(&a);
    return status;
}

int cli_exec_run(struct cli *c)
{
    struct exec e = { .c = c };
    int status;
    struct belljar_sandbox *s = cli_sandbox(c, c->words[0], &status);
    if (!s)
        return status;
    buf_init(&e.out, LIMIT_CLIENT_OUTPUT_SIZE);
    buf_init(&e.err, LIMIT_CLIENT_OUTPUT_SIZE);
    status = run(&e, s);
    buf_deinit(&e.out);
    buf_deinit(&e.err);
    belljar_sandbox_free(s);
    return status;
}
