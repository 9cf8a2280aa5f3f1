/* Completion scripts. Each finds the command among the words so far (options left out) and offers
 * what its row has; names of sandboxes and templates are asked of the server by the program. */
#include <string.h>

#include "cli/cli.h"

#define SOURCE_SIZE 160

/* What the shell runs for the words of a command; names are in the first column when piped. What no
 * name has is left out: shells expand the words that they are given. */
static const char *source(const struct cli_program *p, enum cli_complete words,
                          char out[SOURCE_SIZE])
{
    static const char *const lists[] = {
        [CLI_SANDBOXES] = "sandbox list", [CLI_TEMPLATES] = "template list"
    };
    const char *list = words == CLI_SANDBOXES || words == CLI_TEMPLATES ? lists[words] : NULL;
    out[0] = '\0';
    if (list)
        (void)snprintf(out, SOURCE_SIZE,
                       "%s %s 2>/dev/null | cut -f1 | tr -cd \"A-Za-z0-9._:/\\n-\"", p->name, list);
    return out;
}

static bool is_in(const struct cli_command *c, const struct cli_group *g)
{
    return g ? c->group && strcmp(c->group, g->name) == 0 : !c->group;
}

/* -- bash and zsh -- */

static void put_options(struct buf *b, const struct cli_command *c)
{
    const struct cli_option *o;
    for (size_t i = 0; (o = cli_option_at(c, i)); i++)
        (void)buf_printf(b, "%s--%s", i ? " " : "", o->name);
}

static void put_names(struct buf *b, const struct cli_program *p, const struct cli_group *g)
{
    struct cli_cursor it = { 0 };
    for (const struct cli_command *c; (c = cli_next(p, &it));)
        if (is_in(c, g))
            (void)buf_printf(b, "%s ", c->name);
    for (const struct cli_group *o = p->groups; !g && o->name; o++)
        (void)buf_printf(b, "%s%s%s ", o->name, o->alias ? " " : "", o->alias ? o->alias : "");
}

static void put_pattern(struct buf *b, const struct cli_program *p, const struct cli_command *c)
{
    const struct cli_group *g = c->group ? cli_find_group(p, c->group) : NULL;
    if (g)
        (void)buf_printf(b, "\"%s %s \"*", g->name, c->name);
    else
        (void)buf_printf(b, "\"%s \"*", c->name);
    if (g && g->alias)
        (void)buf_printf(b, " | \"%s %s \"*", g->alias, c->name);
}

static void put_case(struct buf *b, const struct cli_program *p, const struct cli_command *c)
{
    char list[SOURCE_SIZE];
    (void)buf_append(b, STR("    "));
    put_pattern(b, p, c);
    (void)buf_append(b, STR(")\n        flags=\""));
    put_options(b, c);
    (void)buf_append(b, STR("\"\n"));
    if (c->words == CLI_SHELLS)
        (void)buf_append(b, STR("        names=\"bash zsh fish\"\n"));
    else if (source(p, c->words, list)[0])
        (void)buf_printf(b, "        [[ $cur == -* ]] || names=$(%s)\n", list);
    if (c->words == CLI_FILES)
        (void)buf_append(b, STR("        files=yes\n"));
    (void)buf_append(b, STR("        ;;\n"));
}

/* Options that take a value: the word behind is not the command's, and files for some. */
static void put_valued(struct buf *b, const struct cli_program *p, bool is_file)
{
    struct cli_cursor it = { 0 };
    const char *seen[CLI_VALUES];
    size_t n = 0;
    for (const struct cli_command *c; (c = cli_next(p, &it));) {
        const struct cli_option *o;
        for (size_t i = 0; (o = cli_option_at(c, i)); i++) {
            size_t k = 0;
            while (k < n && strcmp(seen[k], o->name) != 0)
                k++;
            if (k < n || n == CLI_VALUES || o->kind == CLI_FLAG || (is_file && o->kind != CLI_FILE))
                continue;
            (void)buf_printf(b, "%s--%s", n ? " | " : "", o->name);
            if (o->letter)
                (void)buf_printf(b, " | -%c", o->letter);
            seen[n++] = o->name;
        }
    }
}

/* What the two shells say in different words. */
struct dialect {
    const char *name, *first, *cur, *prev, *words, *files, *end;
};
static const struct dialect bash = {
    .name = "bash",
    .first = "",
    .cur = "${COMP_WORDS[COMP_CWORD]}",
    .prev = "${COMP_WORDS[COMP_CWORD - 1]}",
    .words = "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\"",
    .files = "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")",
    .end = "    mapfile -t COMPREPLY < <(compgen -W \"$names\" -- \"$cur\")\n"
           "    [ -z \"$files\" ] || mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "
           "\"$cur\")\n}\ncomplete -o filenames -F _"
};
static const struct dialect zsh = { .name = "zsh",
                                    .first = "#compdef belljar\n",
                                    .cur = "${words[CURRENT]}",
                                    .prev = "${words[CURRENT - 1]}",
                                    .words = "\"${(@)words[2,CURRENT-1]}\"",
                                    .files = "_files",
                                    .end = "    compadd -- ${=names}\n"
                                           "    [ -z \"$files\" ] || _files\n}\n_" };

/* Walks the words so far to the command, then offers what its row has. */
static void put_function(struct buf *b, const struct cli_program *p, const struct dialect *d)
{
    struct cli_cursor it = { 0 };
    (void)buf_printf(b,
                     "%s# %s completion of %s; made by `%s completion %s`\n_%s()\n{\n"
                     "    local cur=%s prev=%s\n"
                     "    local line= skip= word= flags= names= files=\n    for word in %s; do\n"
                     "        [ -z \"$skip\" ] || { skip=; continue; }\n"
                     "        case $word in\n        ",
                     d->first, d->name, p->name, p->name, d->name, p->name, d->cur, d->prev,
                     d->words);
    put_valued(b, p, false);
    (void)buf_append(b, STR(") skip=yes ;;\n        -*) ;;\n        *) line+=\"$word \" ;;\n"
                            "        esac\n    done\n    case $prev in\n    "));
    put_valued(b, p, true);
    (void)buf_printf(b,
                     ")\n        %s\n        return\n        ;;\n    esac\n"
                     "    [ -z \"$skip\" ] || return\n    case $line in\n    \"\") names=\"",
                     d->files);
    put_names(b, p, NULL);
    (void)buf_append(b, STR("\" flags=\"--help --version --man\" ;;\n"));
    for (const struct cli_group *g = p->groups; g->name; g++) {
        (void)buf_printf(b, "    \"%s \"", g->name);
        if (g->alias)
            (void)buf_printf(b, " | \"%s \"", g->alias);
        (void)buf_append(b, STR(") names=\""));
        put_names(b, p, g);
        (void)buf_append(b, STR("\" flags=\"--help\" ;;\n"));
    }
    for (const struct cli_command *c; (c = cli_next(p, &it));)
        put_case(b, p, c);
    (void)buf_printf(b, "    esac\n    [[ $cur == -* ]] && names=$flags files=\n%s%s %s\n", d->end,
                     p->name, d == &zsh ? "\"$@\"" : p->name);
}

static void put_bash(struct buf *b, const struct cli_program *p) { put_function(b, p, &bash); }

static void put_zsh(struct buf *b, const struct cli_program *p) { put_function(b, p, &zsh); }

/* -- fish -- */

static void put_quoted(struct buf *b, const char *text)
{
    (void)buf_byte(b, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            (void)buf_byte(b, '\\');
        (void)buf_byte(b, *text);
    }
    (void)buf_byte(b, '\'');
}

static void put_fish_row(struct buf *b, const struct cli_program *p, const char *when,
                         const char *name, const char *text)
{
    (void)buf_printf(b, "complete -c %s -n '%s' -a %s -d ", p->name, when, name);
    put_quoted(b, text);
    (void)buf_byte(b, '\n');
}

static void put_fish_options(struct buf *b, const struct cli_program *p, const char *when,
                             const struct cli_command *c)
{
    const struct cli_option *o;
    char list[SOURCE_SIZE];
    for (size_t i = 0; (o = cli_option_at(c, i)); i++) {
        (void)buf_printf(b, "complete -c %s -n '%s' -l %s", p->name, when, o->name);
        if (o->letter)
            (void)buf_printf(b, " -s %c", o->letter);
        (void)buf_append(b, o->kind == CLI_FLAG   ? STR(" -d ")
                            : o->kind == CLI_FILE ? STR(" -r -F -d ")
                                                  : STR(" -x -d "));
        put_quoted(b, o->text);
        (void)buf_byte(b, '\n');
    }
    if (c->words == CLI_FILES)
        (void)buf_printf(b, "complete -c %s -n '%s' -F\n", p->name, when);
    if (c->words == CLI_SHELLS)
        (void)buf_printf(b, "complete -c %s -n '%s' -a 'bash zsh fish'\n", p->name, when);
    if (source(p, c->words, list)[0])
        (void)buf_printf(b, "complete -c %s -n '%s' -a '(%s)'\n", p->name, when, list);
}

static void put_fish(struct buf *b, const struct cli_program *p)
{
    struct cli_cursor it = { 0 };
    char when[256];
    (void)buf_printf(b,
                     "# fish completion of %s; made by `%s completion fish`\ncomplete -c %s -f\n",
                     p->name, p->name, p->name);
    for (const struct cli_group *g = p->groups; g->name; g++)
        put_fish_row(b, p, "__fish_use_subcommand", g->name, g->text);
    for (const struct cli_command *c; (c = cli_next(p, &it));) {
        const struct cli_group *g = c->group ? cli_find_group(p, c->group) : NULL;
        if (!g) {
            put_fish_row(b, p, "__fish_use_subcommand", c->name, c->text);
            (void)snprintf(when, sizeof when, "__fish_seen_subcommand_from %s", c->name);
        } else {
            struct cli_cursor names = { 0 };
            char seen[128];
            struct buf others;
            (void)snprintf(seen, sizeof seen, "__fish_seen_subcommand_from %s%s%s", g->name,
                           g->alias ? " " : "", g->alias ? g->alias : "");
            buf_init(&others, 0);
            (void)buf_printf(&others, "%s; and not __fish_seen_subcommand_from", seen);
            for (const struct cli_command *o; (o = cli_next(p, &names));)
                if (is_in(o, g))
                    (void)buf_printf(&others, " %s", o->name);
            put_fish_row(b, p, buf_cstr(&others), c->name, c->text);
            buf_deinit(&others);
            (void)snprintf(when, sizeof when, "%s; and __fish_seen_subcommand_from %s", seen,
                           c->name);
        }
        put_fish_options(b, p, when, c);
    }
}

bool cli_put_completion(struct buf *b, const struct cli_program *p, const char *shell)
{
    static const struct {
        const char *name;
        void (*put)(struct buf *b, const struct cli_program *p);
    } shells[] = { { "bash", put_bash }, { "zsh", put_zsh }, { "fish", put_fish } };
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].put(b, p);
            return true;
        }
    return false;
}
