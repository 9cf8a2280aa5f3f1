/* --help of the program, a group, a command. */
#include <string.h>

#include "cli/cli.h"

#define LABEL_SIZE 80
#define NAME_COLUMN 24 /* where explanations begin, unless names are longer */

static void option_label(const struct cli_option *o, char out[LABEL_SIZE])
{
    char letter[8] = "    ";
    if (o->letter)
        (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
    (void)snprintf(out, LABEL_SIZE, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
                   o->value ? o->value : "");
}

static void put_row(struct buf *b, const char *label, int width, const char *text)
{
    (void)buf_printf(b, "  %-*s  %s", width, label, text);
}

static bool is_in(const struct cli_command *c, const struct cli_group *g)
{
    return g ? c->group && strcmp(c->group, g->name) == 0 : !c->group;
}

void cli_put_usage(struct buf *b, const struct cli_program *p, const struct cli_command *c)
{
    (void)buf_printf(b, "%s %s%s%s [options]%s%s", p->name, c->group ? c->group : "",
                     c->group ? " " : "", c->name, c->arguments[0] ? " " : "", c->arguments);
}

static void put_commands(struct buf *b, const struct cli_program *p, const struct cli_group *g)
{
    struct cli_cursor it = { 0 };
    for (const struct cli_command *c; (c = cli_next(p, &it));) {
        char label[LABEL_SIZE];
        if (!is_in(c, g))
            continue;
        (void)snprintf(label, sizeof label, "%s %s", c->name, c->arguments);
        put_row(b, label, NAME_COLUMN, c->text);
        (void)buf_byte(b, '\n');
    }
}

static void put_group(struct buf *b, const struct cli_program *p, const struct cli_group *g)
{
    (void)buf_printf(b, "\n%s %s", p->name, g->name);
    if (g->alias)
        (void)buf_printf(b, " (or %s)", g->alias);
    (void)buf_printf(b, ": %s\n", g->text);
    put_commands(b, p, g);
}

void cli_put_help(struct buf *b, const struct cli_program *p)
{
    (void)buf_printf(b, "%s %s: %s\n\nusage: %s COMMAND [options] ...\n\n", p->name, p->version,
                     p->text, p->name);
    put_commands(b, p, NULL);
    for (const struct cli_group *g = p->groups; g->name; g++)
        put_group(b, p, g);
    (void)buf_printf(b,
                     "\n%s COMMAND --help says more of one, %s --version which this is,\n"
                     "%s --man [COMMAND] prints the manual page.\n",
                     p->name, p->name, p->name);
}

void cli_put_group_help(struct buf *b, const struct cli_program *p, const struct cli_group *g)
{
    (void)buf_printf(b, "usage: %s %s COMMAND [options] ...\n", p->name, g->name);
    put_group(b, p, g);
    (void)buf_printf(b, "\n%s %s COMMAND --help says more of one.\n", p->name, g->name);
}

void cli_put_command_help(struct buf *b, const struct cli_program *p, const struct cli_command *c)
{
    const struct cli_option *o;
    char label[LABEL_SIZE];
    size_t width = 0;
    (void)buf_append(b, STR("usage: "));
    cli_put_usage(b, p, c);
    (void)buf_printf(b, "\n\n%s\n", c->text);
    if (c->more)
        (void)buf_printf(b, "\n%s\n", c->more);
    (void)buf_append(b, STR("\noptions:\n"));
    for (size_t i = 0; (o = cli_option_at(c, i)); i++) {
        option_label(o, label);
        width = strlen(label) > width ? strlen(label) : width;
    }
    for (size_t i = 0; (o = cli_option_at(c, i)); i++) {
        option_label(o, label);
        put_row(b, label, (int)width, o->text);
        if (o->standard)
            (void)buf_printf(b, " (%s)", o->standard);
        (void)buf_append(b, o->kind == CLI_PAIR ? STR("; again and again\n") : STR("\n"));
    }
}
