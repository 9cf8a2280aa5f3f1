/* belljar run: code in a sandbox with a code interpreter. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"
#include "cli/cli_stream.h"
#include "wire/connect.h"
#include "wire/json.h"

#define SLACK_S 60        /* that a sandbox of ours lives longer than its code may run */
#define TIMEOUT_S 2000000 /* in milliseconds it is an int */

static const struct {
    const char *end, *language;
} languages[] = { { ".py", "python" },     { ".js", "javascript" }, { ".mjs", "javascript" },
                  { ".ts", "typescript" }, { ".r", "r" },           { ".R", "r" },
                  { ".sh", "bash" },       { ".bash", "bash" },     { ".java", "java" } };
static const struct {
    const char *format, *end;
    bool is_text;
} images[] = { { "png", "png", false },
               { "jpeg", "jpg", false },
               { "svg", "svg", true },
               { "pdf", "pdf", false } };
#define COUNT(rows) (sizeof rows / sizeof *rows)

/* -- the code -- */

static const char *language_of(const char *file)
{
    size_t n = strlen(file);
    for (size_t i = 0; i < COUNT(languages); i++) {
        size_t m = strlen(languages[i].end);
        if (n > m && strcmp(file + n - m, languages[i].end) == 0)
            return languages[i].language;
    }
    return NULL;
}

/* 0, or the exit status. */
static int read_code(struct cli *c, const char *file, struct buf *out)
{
    CLEANUP(fd_closep) int fd = cli_open(file);
    if (fd < 0)
        return cli_fail(c, errno == ENOENT ? FAULT_NOT_FOUND : FAULT_INVALID, "%s: %s", file,
                        strerror(errno));
    return cli_read_text(c, file, fd, out);
}

/* -- the sandbox: ended with us, however we end -- */

struct guard {
    struct cli *c;
    char id[64]; /* of one that is ours */
    sigset_t signals;
    atomic_bool is_ending; /* the thread ends the process: whoever waited says nothing of it */
};
static struct guard guard; /* the thread that watches may outlive run() */

/* Ctrl-C while the other thread waits for the code: the sandbox is ended by a connection of this
 * thread, then we are. */
static void *watch(void *data)
{
    struct guard *g = data;
    struct cli c = { .program = g->c->program, .command = g->c->command };
    int signal = 0;
    memcpy(c.values, g->c->values, sizeof c.values);
    c.value_count = g->c->value_count;
    if (sigwait(&g->signals, &signal) == 0) {
        g->is_ending = true;
        char path[128];
        (void)snprintf(path, sizeof path, "/sandboxes/%s", g->id);
        if (g->id[0])
            (void)cli_call(&c, "DELETE", path, NULL, NULL);
        _exit(128 + signal);
    }
    return NULL;
}

static void guard_start(struct guard *g)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch, g) == 0)
        (void)pthread_detach(thread);
    else
        (void)pthread_sigmask(SIG_UNBLOCK, &g->signals, NULL);
}

static void guard_init(struct guard *g, struct cli *c)
{
    g->c = c;
    (void)sigemptyset(&g->signals);
    (void)sigaddset(&g->signals, SIGINT);
    (void)sigaddset(&g->signals, SIGTERM);
    (void)sigaddset(&g->signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &g->signals, NULL);
}

/* -- what it shows -- */

/* "dir/plot.py" to "plot"; code that is in no file is called "result". */
static void stem(const char *file, char out[128])
{
    const char *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    size_t n = strrchr(name, '.') && strrchr(name, '.') != name
                   ? (size_t)(strrchr(name, '.') - name)
                   : strlen(name);
    if (!file[0] || strcmp(file, "-") == 0)
        (void)snprintf(out, 128, "result");
    else
        (void)snprintf(out, 128, "%.*s", (int)(n < 120 ? n : 120), name);
}

/* Saves picture `number` and says so. False: it said why not. */
static bool save(struct cli *c, const char *prefix, int number, size_t kind, const char *value)
{
    struct arena a;
    char name[512];
    struct str bytes = str_of(value);
    arena_init(&a, 0);
    (void)snprintf(name, sizeof name, "%s-%d.%s", prefix, number, images[kind].end);
    bool good = images[kind].is_text || connect_base64_parse(&a, str_of(value), &bytes);
    if (!good) {
        (void)cli_fail(c, FAULT_INTERNAL, "%s: the sandbox sent no base64", name);
    } else {
        CLEANUP(fd_closep) int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        good = fd >= 0 && cli_write(fd, bytes.p, bytes.n);
        if (!good)
            (void)cli_fail(c, FAULT_INVALID, "%s: %s", name, strerror(errno));
        else
            fprintf(stderr, "saved %s\n", name);
    }
    arena_deinit(&a);
    return good;
}

/* Of the result whose first format is at `first`; the others follow it. */
static const char *format_of(const struct belljar_execution *e, size_t first, const char *format)
{
    int result = e->shown[first].result;
    for (size_t i = first; i < e->shown_count && e->shown[i].result == result; i++)
        if (strcmp(e->shown[i].format, format) == 0)
            return e->shown[i].value;
    return NULL;
}

/* The picture of a result is saved; the text of one without a picture printed. */
static int show(struct cli *c, const char *prefix, const struct belljar_execution *e)
{
    int last = -1, number = 0, status = 0;
    for (size_t i = 0; i < e->shown_count; i++) {
        const char *text, *picture = NULL;
        if (e->shown[i].result == last)
            continue;
        last = e->shown[i].result;
        text = format_of(e, i, "text");
        for (size_t k = 0; k < COUNT(images) && !picture; k++) {
            picture = format_of(e, i, images[k].format);
            if (picture && !save(c, prefix, ++number, k, picture))
                status = fault_exit(FAULT_INVALID);
        }
        if (!picture && text)
            (void)printf("%s\n", text);
    }
    return status;
}

static json_t *results_json(const struct belljar_execution *e)
{
    json_t *all = json_array();
    for (size_t i = 0; i < e->shown_count; i++) {
        const struct belljar_shown *s = &e->shown[i];
        while (json_array_size(all) <= (size_t)s->result)
            (void)json_array_append_new(all, json_object());
        json_t *one = json_array_get(all, (size_t)s->result);
        (void)json_object_set_new(one, s->format, json_string(s->value));
        (void)json_object_set_new(one, "isMain", json_boolean(s->is_main));
    }
    return all;
}

static int print_json(const struct belljar_execution *e)
{
    json_t *error = e->error_name ? json_pack("{s:s, s:s?, s:s?}", "name", e->error_name, "value",
                                              e->error_value, "traceback", e->traceback)
                                  : json_null();
    json_t *v = json_pack("{s:s?, s:s?, s:o, s:o}", "stdout", e->out, "stderr", e->err, "results",
                          results_json(e), "error", error);
    (void)cli_print_json(v);
    json_decref(v);
    return e->error_name ? CLI_FAILED : 0;
}

static void on_stdout(void *data, const char *text)
{
    (void)data;
    (void)cli_write(STDOUT_FILENO, text, strlen(text));
}

static void on_stderr(void *data, const char *text)
{
    (void)data;
    (void)cli_write(STDERR_FILENO, text, strlen(text));
}

/* -- all of it -- */

static int execute(struct cli *c, struct belljar_sandbox *s, const char *file, const char *code,
                   const char *language)
{
    struct arena a;
    char name[128];
    bool is_json = cli_flag(c, "json");
    int seconds = cli_number(c, "timeout"), status;
    struct belljar_execution e = { 0 };
    arena_init(&a, 0);
    stem(file, name);
    const struct belljar_code_options o = { .language = language,
                                            .envs = cli_pairs(c, "env", &a),
                                            .timeout_ms = seconds * 1000,
                                            .on_stdout = is_json ? NULL : on_stdout,
                                            .on_stderr = is_json ? NULL : on_stderr };
    int r = belljar_run_code(s, code, &o, &e);
    while (guard.is_ending)
        (void)pause();
    if (r < 0) {
        status = cli_server_fail(c);
    } else if (is_json) {
        status = print_json(&e);
    } else {
        status = show(c, cli_text(c, "output") ? cli_text(c, "output") : name, &e);
        (void)fflush(stdout);
        if (e.error_name) {
            fprintf(stderr, "%s\n", e.traceback && e.traceback[0] ? e.traceback : e.error_name);
            status = CLI_FAILED;
        }
    }
    belljar_execution_free(&e);
    arena_deinit(&a);
    return status;
}

static int in_new_sandbox(struct cli *c, struct guard *g, const char *file, const char *code,
                          const char *language)
{
    const struct belljar_create_options o = { .from = cli_text(c, "template"),
                                              .timeout_s = cli_number(c, "timeout") + SLACK_S };
    struct belljar *b = cli_server(c);
    if (!b)
        return fault_exit(FAULT_UNAUTHENTICATED);
    struct belljar_sandbox *s = belljar_create(b, &o);
    if (!s)
        return cli_server_fail(c);
    if (!cli_flag(c, "keep"))
        (void)snprintf(g->id, sizeof g->id, "%s", belljar_id(s));
    guard_start(g);
    int status = execute(c, s, file, code, language);
    if (cli_flag(c, "keep"))
        fprintf(stderr, "kept %s\n", belljar_id(s));
    else
        (void)belljar_kill(s); /* if it cannot be, its time ends it */
    belljar_sandbox_free(s);
    return status;
}

static int run(struct cli *c)
{
    const char *code = cli_text(c, "code"), *file = c->word_count ? c->words[0] : "",
               *id = cli_text(c, "sandbox"), *language = cli_text(c, "language");
    struct buf text;
    int status = 0;
    if (!code == !c->word_count)
        return cli_fail(c, FAULT_INVALID, "what is to run: FILE, - for standard input, or -c CODE");
    if (cli_number(c, "timeout") < 1 || cli_number(c, "timeout") > TIMEOUT_S)
        return cli_fail(c, FAULT_INVALID, "--timeout is from 1 to %d seconds", TIMEOUT_S);
    buf_init(&text, CLI_SOURCE_SIZE);
    if (!code)
        status = read_code(c, file, &text);
    if (status == 0 && !code)
        code = buf_cstr(&text);
    if (!language)
        language = language_of(file);
    if (!language && file[0] && strcmp(file, "-") != 0 && status == 0)
        status = cli_fail(c, FAULT_INVALID, "%s: which language? --language says it", file);
    if (status == 0 && !id) {
        guard_init(&guard, c);
        status = in_new_sandbox(c, &guard, file, code, language);
    } else if (status == 0) {
        struct belljar_sandbox *s = cli_sandbox(c, id, &status);
        if (s)
            status = execute(c, s, file, code, language);
        belljar_sandbox_free(s);
    }
    buf_deinit(&text);
    return status;
}

static const struct cli_option run_options[] = {
    { "code", 'c', "CODE", CLI_TEXT, "the code itself, in place of a file", NULL },
    { "language", 'l', "NAME", CLI_TEXT,
      "python, javascript, typescript, r, bash, java; else by the file's name, else python", NULL },
    { "sandbox", 's', "ID", CLI_TEXT, "run it there; what it defines stays", NULL },
    { "template", 0, "NAME", CLI_TEXT, "what the sandbox is made from", "code-interpreter-v1" },
    { "env", 'e', "NAME=VALUE", CLI_PAIR, "a variable of this run", NULL },
    { "timeout", 't', "SECONDS", CLI_NUMBER, "how long it may take", "300" },
    { "output", 'o', "PREFIX", CLI_FILE, "pictures are PREFIX-1.png and so on; else by the file",
      NULL },
    { "keep", 0, NULL, CLI_FLAG, "do not end the sandbox; its id is on standard error", NULL },
    { NULL },
};
static const struct cli_option no_options[] = { { NULL } };

const struct cli_command cli_run_commands[] = {
    { NULL, "run", "[FILE | -]", 0, 1, CLI_FILES, CLI_SERVER | CLI_JSON,
      "run code in a sandbox and show what it shows",
      "Output comes as it is printed; then the value of the last expression. Pictures are saved\n"
      "as FILE-1.png, FILE-2.png ... here. When the code fails, its traceback is on standard\n"
      "error and the exit status is 1.\n"
      "\n"
      "    belljar run plot.py\n"
      "    belljar run -c '1 + 1'\n"
      "    echo 'console.log(1)' | belljar run -l javascript -",
      run_options, run },
    { NULL, "completion", "SHELL", 1, 1, CLI_SHELLS, 0, "print the completion of bash, zsh or fish",
      "    belljar completion bash >/etc/bash_completion.d/belljar\n"
      "    belljar completion zsh >\"${fpath[1]}/_belljar\"\n"
      "    belljar completion fish >~/.config/fish/completions/belljar.fish",
      no_options, cli_completion_run },
    { 0 },
};
