/* Words to a command and its values. Every mistake names what was given and what was meant. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

#define NAMES 64   /* of commands or options that one word is compared with */
#define LETTERS 24 /* of a word that is compared */

static const struct cli_option common[] = {
    { "help", 'h', NULL, CLI_FLAG, "say what it does and what it takes", NULL },
    { NULL },
};
static const struct cli_option of_json[] = {
    { "json", 0, NULL, CLI_FLAG, "print JSON, for programs", NULL },
    { NULL },
};
static const struct cli_option of_config[] = {
    { "config", 0, "FILE", CLI_FILE, "settings of the server (name=value lines)", NULL },
    { NULL },
};
static const struct cli_option of_server[] = {
    { "url", 0, "URL", CLI_TEXT, "the API of the server (E2B_API_URL)", NULL },
    { "sandbox-url", 0, "URL", CLI_TEXT, "where its sandboxes are reached (E2B_SANDBOX_URL)",
      NULL },
    { "key", 0, "KEY", CLI_TEXT, "API key (E2B_API_KEY)", NULL },
    { NULL },
};
static const struct {
    unsigned flag;
    const struct cli_option *rows;
} shared[] = {
    { CLI_JSON, of_json }, { CLI_CONFIG, of_config }, { CLI_SERVER, of_server }, { 0, common }
};

const struct cli_command *cli_next(const struct cli_program *p, struct cli_cursor *it)
{
    while (p->tables[it->table]) {
        const struct cli_command *row = &p->tables[it->table][it->row++];
        if (row->name)
            return row;
        *it = (struct cli_cursor){ .table = it->table + 1 };
    }
    return NULL;
}

const struct cli_option *cli_option_at(const struct cli_command *command, size_t index)
{
    const struct cli_option *o = command->options;
    for (; o && o->name; o++)
        if (index-- == 0)
            return o;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        if (shared[i].flag && !(command->flags & shared[i].flag))
            continue;
        for (o = shared[i].rows; o->name; o++)
            if (index-- == 0)
                return o;
    }
    return NULL;
}

const struct cli_group *cli_find_group(const struct cli_program *p, const char *name)
{
    for (const struct cli_group *g = p->groups; g->name; g++)
        if (strcmp(g->name, name) == 0 || (g->alias && strcmp(g->alias, name) == 0))
            return g;
    return NULL;
}

const struct cli_command *cli_find(const struct cli_program *p, const char *group, const char *name)
{
    struct cli_cursor it = { 0 };
    const struct cli_group *g = group ? cli_find_group(p, group) : NULL;
    if (group && !g)
        return NULL;
    for (const struct cli_command *c; (c = cli_next(p, &it));)
        if (strcmp(c->name, name) == 0 &&
            (g ? c->group && strcmp(c->group, g->name) == 0 : !c->group))
            return c;
    return NULL;
}

/* How many letters must be added, taken away, replaced or swapped with the next one. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][LETTERS + 1], n = strlen(a), m = strlen(b);
    if (n > LETTERS || m > LETTERS)
        return LETTERS;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *last = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = before[j - 2] + 1 < best ? before[j - 2] + 1 : best;
            now[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *cli_nearest(const char *given, const char *const *names)
{
    const char *best = NULL;
    size_t n = strlen(given), least = n / 3 + 2; /* more differ than that: it was something else */
    for (; *names; names++) {
        /* the beginning of a name is a good guess as well */
        size_t d = n > 1 && strncmp(given, *names, n) == 0 ? 1 : distance(given, *names);
        if (d < least && d < strlen(*names)) {
            least = d;
            best = *names;
        }
    }
    return best;
}

static int wrong(struct cli *c, const char *what, const char *given, const char *const *names)
{
    const char *near = cli_nearest(given, names);
    return op_fail(&c->op, FAULT_INVALID, EINVAL, "there is no %s '%.80s'%s%s%s", what, given,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* -- options -- */

static const struct cli_option *by_name(const struct cli_command *command, struct str name)
{
    const struct cli_option *o;
    for (size_t i = 0; (o = cli_option_at(command, i)); i++)
        if (str_eq(str_of(o->name), name))
            return o;
    return NULL;
}

static int no_option(struct cli *c, struct str name)
{
    const char *names[NAMES + 1] = { NULL };
    char given[128] = "--", marked[NAMES][LETTERS + 3];
    const struct cli_option *o;
    for (size_t i = 0; i < NAMES && (o = cli_option_at(c->command, i)); i++) {
        (void)snprintf(marked[i], sizeof marked[i], "--%s", o->name);
        names[i] = marked[i];
    }
    (void)snprintf(given + 2, sizeof given - 2, STR_FMT, STR_ARG(name));
    return wrong(c, "option", given, names);
}

static int add(struct cli *c, const struct cli_option *o, const char *text)
{
    uint64_t number;
    if (strcmp(o->name, "help") == 0)
        c->wants_help = true;
    if (c->value_count == CLI_VALUES)
        return op_fail(&c->op, FAULT_INVALID, E2BIG, "more than %d options", CLI_VALUES);
    if (o->kind == CLI_NUMBER && !str_to_u64(str_of(text), INT32_MAX, &number))
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "--%s takes a whole number, not '%.80s'",
                       o->name, text);
    if (o->kind == CLI_PAIR && (text[0] == '=' || !strchr(text, '=')))
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "--%s takes NAME=VALUE, not '%.80s'", o->name,
                       text);
    if (o->kind != CLI_FLAG && !text[0])
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "--%s takes %s, not an empty text", o->name,
                       o->value);
    c->values[c->value_count++] = (struct cli_value){ o, text };
    return 0;
}

/* The option at words[*at], and its value, which may be the next word. */
static int take_long(struct cli *c, char *const *words, int count, int *at)
{
    struct str name, value;
    bool has_value = str_cut(str_of(words[*at] + 2), '=', &name, &value);
    const struct cli_option *o = by_name(c->command, name);
    if (!o)
        return no_option(c, name);
    if (o->kind == CLI_FLAG)
        return has_value ? op_fail(&c->op, FAULT_INVALID, EINVAL, "--%s takes no value", o->name)
                         : add(c, o, "");
    if (has_value)
        return add(c, o, value.p);
    if (*at + 1 >= count)
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "--%s takes %s", o->name, o->value);
    return add(c, o, words[++*at]);
}

/* -x, -xyz of flags, -xVALUE, -x VALUE */
static int take_short(struct cli *c, char *const *words, int count, int *at)
{
    const char *p = words[*at] + 1;
    for (int r = 0; *p; p++) {
        const struct cli_option *o;
        for (size_t i = 0; (o = cli_option_at(c->command, i)) && o->letter != *p; i++)
            ;
        if (!o)
            return op_fail(&c->op, FAULT_INVALID, EINVAL, "there is no option '-%c'",
                           *p >= ' ' && *p < 0x7f ? *p : '?');
        if (o->kind != CLI_FLAG && p[1])
            return add(c, o, p + 1);
        if (o->kind != CLI_FLAG && *at + 1 >= count)
            return op_fail(&c->op, FAULT_INVALID, EINVAL, "-%c takes %s", *p, o->value);
        if (o->kind != CLI_FLAG)
            return add(c, o, words[++*at]);
        if ((r = add(c, o, "")) < 0)
            return r;
    }
    return 0;
}

static int check_count(struct cli *c)
{
    const struct cli_command *k = c->command;
    if (c->word_count < k->least)
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "what is missing: %s", k->arguments);
    if (k->most >= 0 && c->word_count > k->most)
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "'%.80s' is one word too many",
                       c->words[k->most]);
    return 0;
}

static int take_all(struct cli *c, char *const *words, int count)
{
    bool all = false; /* no more options */
    int r = 0;
    for (int i = 0; i < count && r == 0; i++) {
        const char *w = words[i];
        all = all || ((c->command->flags & CLI_COMMAND) && c->word_count == 2);
        if (all || w[0] != '-' || !w[1]) {
            c->words[c->word_count++] = w;
        } else if (strcmp(w, "--") == 0) {
            all = true;
        } else {
            r = w[1] == '-' ? take_long(c, words, count, &i) : take_short(c, words, count, &i);
        }
    }
    return r < 0 || c->wants_help ? r : check_count(c);
}

/* -- the command -- */

static int no_command(struct cli *c, const struct cli_group *g, const char *given)
{
    static const char *const pages[] = { "help", "--help", "--version", "--man" };
    const char *names[NAMES + 1] = { NULL };
    struct cli_cursor it = { 0 };
    size_t n = 0;
    for (const struct cli_command *k; n < NAMES && (k = cli_next(c->program, &it));)
        if (g ? k->group && strcmp(k->group, g->name) == 0 : !k->group)
            names[n++] = k->name;
    for (const struct cli_group *o = c->program->groups; !g && n < NAMES && o->name; o++)
        names[n++] = o->name;
    for (size_t i = 0; !g && n < NAMES && i < sizeof pages / sizeof *pages; i++)
        names[n++] = pages[i];
    return wrong(c, "command", given, names);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* "help" and "--help" in place of a command. */
static int help_of(struct cli *c, const struct cli_group *g)
{
    c->wants_help = true;
    if (g)
        c->words[c->word_count++] = g->name;
    return 0;
}

int cli_parse(struct cli *c, char *const *words, int count, const char **room)
{
    const struct cli_group *g = NULL;
    int at = 0;
    c->words = room;
    if (count && is_help(words[0]) && count > 1) { /* "help sandbox exec" */
        c->wants_help = true;
        at++;
    }
    if (at < count && (g = cli_find_group(c->program, words[at])))
        at++;
    if (at < count && is_help(words[at]))
        return help_of(c, g);
    if (at == count && c->wants_help)
        return help_of(c, g);
    if (at == count)
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "which command?");
    c->command = cli_find(c->program, g ? g->name : NULL, words[at]);
    if (!c->command)
        return no_command(c, g, words[at]);
    return c->wants_help ? 0 : take_all(c, words + at + 1, count - at - 1);
}

/* -- values -- */

static const struct cli_option *row(const struct cli *c, const char *name)
{
    const struct cli_option *o = by_name(c->command, str_of(name));
    if (!o)
        abort(); /* the table has no such row */
    return o;
}

const char *cli_text(const struct cli *c, const char *name)
{
    const struct cli_option *o = row(c, name);
    for (int i = c->value_count; i-- > 0;) /* the last one counts */
        if (c->values[i].option == o)
            return c->values[i].text;
    return o->standard;
}

bool cli_flag(const struct cli *c, const char *name) { return cli_text(c, name); }

int cli_number(const struct cli *c, const char *name)
{
    uint64_t n = 0;
    const char *text = cli_text(c, name);
    return text && str_to_u64(str_of(text), INT32_MAX, &n) ? (int)n : 0;
}

const char *cli_pair(const struct cli *c, const char *name, int index)
{
    const struct cli_option *o = row(c, name);
    for (int i = 0; i < c->value_count; i++)
        if (c->values[i].option == o && index-- == 0)
            return c->values[i].text;
    return NULL;
}
