/* Manual pages and the reference page. */
#include <ctype.h>
#include <string.h>

#include "cli/cli.h"

/* What one page is about: the program, a group, or a command that is in none. */
struct topic {
    const struct cli_group *group;
    const struct cli_command *command;
};

static bool has(const struct topic *t, const struct cli_command *c)
{
    if (t->command)
        return c == t->command;
    return c->group && t->group && strcmp(c->group, t->group->name) == 0;
}

/* -- roff -- */

/* Text as roff takes it: hyphens are signs, backslashes are none of its own, no line begins a
 * request. */
static void put_roff(struct buf *b, const char *text)
{
    if (*text == '.' || *text == '\'')
        (void)buf_append(b, STR("\\&"));
    for (const char *p = text; *p; p++) {
        if (*p == '-')
            (void)buf_append(b, STR("\\-"));
        else if (*p == '\\')
            (void)buf_append(b, STR("\\e"));
        else
            (void)buf_byte(b, *p);
        if (*p == '\n' && (p[1] == '.' || p[1] == '\''))
            (void)buf_append(b, STR("\\&"));
    }
}

/* Paragraphs; lines that are indented stay as they are. */
static void put_paragraphs(struct buf *b, const char *text)
{
    bool is_verbatim = false;
    while (*text) {
        size_t n = strcspn(text, "\n");
        char line[512];
        (void)snprintf(line, sizeof line, "%.*s", (int)n, text);
        bool indented = line[0] == ' ';
        if (indented != is_verbatim && n)
            (void)buf_append(b, indented ? STR(".nf\n") : STR(".fi\n"));
        is_verbatim = n ? indented : is_verbatim;
        if (!n)
            (void)buf_append(b, STR(".PP\n"));
        put_roff(b, line);
        (void)buf_append(b, n ? STR("\n") : STR(""));
        text += n + (text[n] == '\n');
    }
    if (is_verbatim)
        (void)buf_append(b, STR(".fi\n"));
}

static void put_sentence(struct buf *b, const char *text)
{
    char first[2] = { (char)toupper((unsigned char)text[0]) };
    put_roff(b, first);
    put_roff(b, text + 1);
    (void)buf_append(b, STR(".\n"));
}

static void put_option(struct buf *b, const struct cli_option *o)
{
    (void)buf_append(b, STR(".TP\n"));
    if (o->letter)
        (void)buf_printf(b, "\\fB\\-%c\\fR, ", o->letter);
    (void)buf_append(b, STR("\\fB\\-\\-"));
    put_roff(b, o->name);
    (void)buf_append(b, STR("\\fR"));
    if (o->value)
        (void)buf_printf(b, " \\fI%s\\fR", o->value);
    (void)buf_byte(b, '\n');
    put_sentence(b, o->text);
    if (o->standard) {
        (void)buf_append(b, STR("Default: "));
        put_roff(b, o->standard);
        (void)buf_append(b, STR(".\n"));
    }
    if (o->kind == CLI_PAIR)
        (void)buf_append(b, STR("May be given again and again.\n"));
}

static void put_command_man(struct buf *b, const struct cli_program *p, const struct cli_command *c)
{
    const struct cli_option *o;
    struct buf usage;
    buf_init(&usage, 0);
    cli_put_usage(&usage, p, c);
    (void)buf_append(b, STR(".SS \""));
    put_roff(b, buf_cstr(&usage));
    (void)buf_append(b, STR("\"\n"));
    buf_deinit(&usage);
    put_sentence(b, c->text);
    if (c->more) {
        (void)buf_append(b, STR(".PP\n"));
        put_paragraphs(b, c->more);
    }
    for (size_t i = 0; (o = cli_option_at(c, i)); i++)
        put_option(b, o);
}

static void put_exits(struct buf *b)
{
    (void)buf_append(b, STR(".SH EXIT STATUS\n"
                            "Of a command in a sandbox, its own. Else:\n"));
    int last = -1;
    for (int exit = 0; exit < 128; exit++)
        for (int i = 0; i < FAULT_COUNT; i++) {
            if (fault_exit((enum fault_code)i) != exit)
                continue;
            if (exit != last)
                (void)buf_printf(b, ".TP\n.B %d\n", exit);
            else
                (void)buf_append(b, STR(".br\n"));
            last = exit;
            put_roff(b, fault_name((enum fault_code)i));
            (void)buf_append(b, STR(": "));
            put_sentence(b, fault_remedy((enum fault_code)i));
        }
}

static void put_title(struct buf *b, const struct cli_program *p, const char *topic,
                      const char *text)
{
    (void)buf_append(b, STR(".TH \""));
    for (const char *s = p->name; *s; s++)
        (void)buf_byte(b, (char)toupper((unsigned char)*s));
    (void)buf_append(b, topic ? STR("\\-") : STR(""));
    for (const char *s = topic ? topic : ""; *s; s++)
        (void)buf_byte(b, (char)toupper((unsigned char)*s));
    (void)buf_printf(b, "\" 1 \"\" \"%s %s\"\n.SH NAME\n%s%s%s \\- ", p->name, p->version, p->name,
                     topic ? "\\-" : "", topic ? topic : "");
    put_roff(b, text);
    (void)buf_byte(b, '\n');
}

static void put_list(struct buf *b, const struct cli_program *p)
{
    struct cli_cursor it = { 0 };
    for (const struct cli_command *c; (c = cli_next(p, &it));) {
        (void)buf_printf(b, ".TP\n.B %s%s%s %s\n", p->name, c->group ? " " : "",
                         c->group ? c->group : "", c->name);
        put_sentence(b, c->text);
    }
}

bool cli_put_man(struct buf *b, const struct cli_program *p, const char *topic)
{
    struct cli_cursor it = { 0 };
    struct topic t = { 0 };
    if (!topic) {
        put_title(b, p, NULL, p->text);
        (void)buf_printf(b, ".SH SYNOPSIS\n.B %s\n\\fICOMMAND\\fR [options] ...\n.SH DESCRIPTION\n",
                         p->name);
        put_paragraphs(b, p->more);
        (void)buf_append(b, STR(".SH COMMANDS\n"));
        put_list(b, p);
        put_exits(b);
        return true;
    }
    t.group = cli_find_group(p, topic);
    t.command = t.group ? NULL : cli_find(p, NULL, topic);
    if (!t.group && !t.command)
        return false;
    put_title(b, p, t.group ? t.group->name : topic, t.group ? t.group->text : t.command->text);
    (void)buf_append(b, STR(".SH COMMANDS\n"));
    for (const struct cli_command *c; (c = cli_next(p, &it));)
        if (has(&t, c))
            put_command_man(b, p, c);
    put_exits(b);
    (void)buf_printf(b, ".SH SEE ALSO\n.BR %s (1)\n", p->name);
    return true;
}

/* -- Markdown -- */

static void put_command_markdown(struct buf *b, const struct cli_program *p,
                                 const struct cli_command *c)
{
    const struct cli_option *o;
    (void)buf_printf(b, "\n### %s%s%s\n\n    ", c->group ? c->group : "", c->group ? " " : "",
                     c->name);
    cli_put_usage(b, p, c);
    (void)buf_printf(b, "\n\n%c%s.\n", toupper((unsigned char)c->text[0]), c->text + 1);
    if (c->more)
        (void)buf_printf(b, "\n%s\n", c->more);
    (void)buf_append(b, STR("\n| option | | default |\n| --- | --- | --- |\n"));
    for (size_t i = 0; (o = cli_option_at(c, i)); i++) {
        (void)buf_append(b, STR("| "));
        if (o->letter)
            (void)buf_printf(b, "`-%c`, ", o->letter);
        (void)buf_printf(b, "`--%s%s%s` | %s%s | %s |\n", o->name, o->value ? " " : "",
                         o->value ? o->value : "", o->text,
                         o->kind == CLI_PAIR ? "; again and again" : "",
                         o->standard ? o->standard : "");
    }
}

void cli_put_markdown(struct buf *b, const struct cli_program *p)
{
    (void)buf_printf(b,
                     "# Command line\n\nWhat `%s` can do. Made from the tables of `src/cli`; do "
                     "not edit.\n\n%s\n\n## %s\n",
                     p->name, p->more, p->name);
    for (const struct cli_group *g = NULL;; g = g ? g + 1 : p->groups) {
        struct cli_cursor it = { 0 };
        if (g && !g->name)
            break;
        if (g)
            (void)buf_printf(b, "\n## %s %s\n\n%c%s.\n", p->name, g->name,
                             toupper((unsigned char)g->text[0]), g->text + 1);
        for (const struct cli_command *c; (c = cli_next(p, &it));)
            if (g ? c->group && strcmp(c->group, g->name) == 0 : !c->group)
                put_command_markdown(b, p, c);
    }
    (void)buf_append(b, STR("\n## Exit status\n\nOf a command in a sandbox, its own. Else that of "
                            "[the fault](faults.md).\n"));
}
