/* From words to an exit status. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"

static int fail(const struct cli *c, enum fault_code code, const char *text)
{
    const struct cli_command *k = c->command;
    (void)fflush(stdout);
    fprintf(stderr, "%s: ", c->program->name);
    if (k && code == FAULT_INVALID)
        fprintf(stderr, "%s%s%s: ", k->group ? k->group : "", k->group ? " " : "", k->name);
    cli_put_clean(stderr, str_of(text));
    (void)fputc('\n', stderr);
    return fault_exit(code);
}

int cli_fail(struct cli *c, enum fault_code code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return fail(c, code, text);
}

int cli_fail_op(struct cli *c) { return fail(c, c->op.fault.code, c->op.fault.text); }

int cli_open(const char *file)
{
    return strcmp(file, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : open(file, O_RDONLY | O_CLOEXEC);
}

int cli_read_text(struct cli *c, const char *name, int fd, struct buf *out)
{
    for (;;) {
        char *p = buf_room(out, CLI_SOURCE_PIECE);
        ssize_t n = p ? read(fd, p, CLI_SOURCE_PIECE) : 0;
        if (!p)
            return cli_fail(c, FAULT_TOO_LARGE, "%s: more than %d MiB", name,
                            CLI_SOURCE_SIZE >> 20);
        if (n < 0 && errno != EINTR)
            return cli_fail(c, FAULT_INVALID, "%s: %s", name, strerror(errno));
        if (n == 0)
            break;
        buf_added(out, n > 0 ? (size_t)n : 0);
    }
    if (buf_used(out) && memchr(buf_str(out).p, 0, buf_used(out)))
        return cli_fail(c, FAULT_INVALID, "%s: that is no text", name);
    return 0;
}

static int put(struct buf *b)
{
    struct str s = buf_str(b);
    bool good = !b->failed && fwrite(s.p, 1, s.n, stdout) == s.n && fflush(stdout) == 0;
    buf_deinit(b);
    return good ? 0 : fault_exit(FAULT_INTERNAL);
}

/* How it is used: help of what was named, as far as it was understood. */
static int help(struct cli *c)
{
    struct buf b;
    buf_init(&b, 0);
    if (c->command)
        cli_put_command_help(&b, c->program, c->command);
    else if (c->word_count)
        cli_put_group_help(&b, c->program, cli_find_group(c->program, c->words[0]));
    else
        cli_put_help(&b, c->program);
    return put(&b);
}

static int misused(struct cli *c)
{
    int status = cli_fail_op(c);
    const struct cli_command *k = c->command;
    if (k) {
        struct buf b;
        buf_init(&b, 0);
        cli_put_usage(&b, c->program, k);
        fprintf(stderr, "usage: %s\n", buf_cstr(&b));
        buf_deinit(&b);
    }
    fprintf(stderr, "'%s%s%s%s%s --help' says more\n", c->program->name, k && k->group ? " " : "",
            k && k->group ? k->group : "", k ? " " : "", k ? k->name : "");
    return status;
}

int cli_completion_run(struct cli *c)
{
    struct buf b;
    buf_init(&b, 0);
    if (cli_put_completion(&b, c->program, c->words[0]))
        return put(&b);
    return cli_fail(c, FAULT_INVALID,
                    "there is no completion of '%s'; of bash, zsh and fish there is", c->words[0]);
}

/* What has a manual page: groups, and commands in none. For `make install`. */
static void put_topics(struct buf *b, const struct cli_program *p)
{
    struct cli_cursor it = { 0 };
    for (const struct cli_group *g = p->groups; g->name; g++)
        (void)buf_printf(b, "%s\n", g->name);
    for (const struct cli_command *k; (k = cli_next(p, &it));)
        if (!k->group)
            (void)buf_printf(b, "%s\n", k->name);
}

/* --version, --man [TOPIC], and what only our build asks for: --topics, --markdown. -1: none of
 * them. */
static int page(struct cli *c, int count, char **words)
{
    struct buf b;
    buf_init(&b, 0);
    if (count == 1 && strcmp(words[0], "--version") == 0) {
        (void)buf_printf(&b, "%s %s\n", c->program->name, c->program->version);
        return put(&b);
    }
    if (count == 1 && strcmp(words[0], "--topics") == 0) {
        put_topics(&b, c->program);
        return put(&b);
    }
    if (count == 1 && strcmp(words[0], "--markdown") == 0) {
        cli_put_markdown(&b, c->program);
        return put(&b);
    }
    if (count < 1 || count > 2 || strcmp(words[0], "--man") != 0)
        return -1;
    if (cli_put_man(&b, c->program, count == 2 ? words[1] : NULL))
        return put(&b);
    return cli_fail(c, FAULT_NOT_FOUND, "there is no manual page of '%s'", words[1]);
}

int cli_main(const struct cli_program *p, int argc, char **argv)
{
    struct cli c = { .program = p };
    CLEANUP(freep) const char **room = calloc((size_t)argc + 1, sizeof *room);
    if (!room)
        return cli_fail(&c, FAULT_INTERNAL, "memory is out");
    int status = page(&c, argc - 1, argv + 1);
    if (status >= 0)
        return status;
    if (cli_parse(&c, argv + 1, argc - 1, room) < 0)
        return misused(&c);
    if (c.wants_help)
        return help(&c);
    status = c.command->run(&c);
    cli_server_close(&c);
    return fflush(stdout) == 0 ? status : fault_exit(FAULT_INTERNAL);
}
