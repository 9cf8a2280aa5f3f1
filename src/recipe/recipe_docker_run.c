/* RUN, SHELL, CMD and ENTRYPOINT of a Dockerfile. */
#include "recipe/recipe_docker.h"

/* Words as a command for a shell. */
static int join_words(struct docker *d, const struct str *w, uint32_t n, struct str last,
                      struct str *out)
{
    struct buf b;
    buf_init(&b, 0);
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            (void)buf_byte(&b, ' ');
        recipe_docker_put_word(&b, w[i]);
    }
    if (last.p) {
        (void)buf_byte(&b, ' ');
        recipe_docker_put_word(&b, last);
    }
    return recipe_docker_take(d, &b, out);
}

/* Shell text under the shell of SHELL. */
static int in_shell(struct docker *d, struct str text, struct str *out)
{
    *out = text;
    return d->shell ? join_words(d, d->shell, d->shell_count, text, out) : 0;
}

/* RUN <<EOF alone: its text is the script; one with #! is a program. */
static int run_script(struct docker *d, const struct docker_heredoc *h, struct str *out)
{
    struct buf b;
    struct str text;
    buf_init(&b, 0);
    recipe_docker_put_heredoc(&b, h);
    int r = recipe_docker_take(d, &b, &text);
    if (r < 0)
        return r;
    if (!str_starts(text, STR("#!")))
        return in_shell(d, text, out);
    (void)buf_append(&b, STR("t=$(mktemp) && printf %s "));
    recipe_docker_put_word(&b, text);
    (void)buf_append(&b, STR(" >\"$t\" && chmod 700 \"$t\" && \"$t\"\n"
                             "s=$?; rm -f \"$t\"; exit $s"));
    return recipe_docker_take(d, &b, out);
}

static bool is_heredoc_alone(struct docker *d, const struct docker_line *l, struct str rest)
{
    struct str word;
    return l->heredoc_count == 1 && recipe_docker_word(d, &rest, &word) && !str_trim(rest).n;
}

/* The shell gets its heredocs as they are written. */
static int run_shell(struct docker *d, const struct docker_line *l, struct str rest,
                     struct str *out)
{
    if (is_heredoc_alone(d, l, rest))
        return run_script(d, &l->heredocs[0], out);
    struct buf b;
    buf_init(&b, 0);
    (void)buf_append(&b, rest);
    if (l->heredoc_count)
        (void)buf_byte(&b, '\n');
    for (uint32_t i = 0; i < l->heredoc_count; i++) {
        recipe_docker_put_heredoc(&b, &l->heredocs[i]);
        (void)buf_append(&b, l->heredocs[i].name);
        (void)buf_byte(&b, '\n');
    }
    int r = recipe_docker_take(d, &b, &rest);
    return r < 0 ? r : in_shell(d, rest, out);
}

static int run_flag(struct docker *d, struct str name, struct str value)
{
    if (str_eq(name, STR("mount"))) {
        if (!str_starts(value, STR("type=cache")) && !str_starts(value, STR("type=tmpfs")))
            return recipe_docker_unknown_flag(d, "RUN", name,
                                              "only type=cache and type=tmpfs can be left out; "
                                              "COPY what the command needs");
        return recipe_docker_warn(d, "--mount is ignored: the command starts without what it "
                                     "would keep");
    }
    if (str_eq(name, STR("network")) && str_eq(value, STR("default")))
        return 0;
    if (str_eq(name, STR("security")) && str_eq(value, STR("sandbox")))
        return 0;
    return recipe_docker_unknown_flag(d, "RUN", name, "remove it");
}

int recipe_docker_run(struct docker *d, const struct docker_line *l)
{
    struct str rest = l->rest, name, value, text = STR_NONE;
    struct docker_list w;
    while (recipe_docker_flag(d, &rest, &name, &value)) {
        int r = run_flag(d, name, value);
        if (r < 0)
            return r;
    }
    int r = recipe_docker_json(d, rest, &w);
    if (r == DOCKER_FORM_JSON)
        r = join_words(d, w.p, w.n, STR_NONE, &text);
    else if (r == DOCKER_FORM_SHELL)
        r = run_shell(d, l, rest, &text);
    if (r < 0)
        return r;
    if (!text.n)
        return recipe_docker_fail(d, "RUN needs a command");
    return recipe_docker_simple(d, RECIPE_RUN, d->line, text);
}

int recipe_docker_shell(struct docker *d, const struct docker_line *l)
{
    struct docker_list w;
    int r = recipe_docker_json(d, l->rest, &w);
    if (r < 0)
        return r;
    if (r != DOCKER_FORM_JSON || !w.n)
        return recipe_docker_fail(d, "SHELL needs the JSON form: SHELL [\"/bin/bash\", "
                                     "\"-c\"]");
    d->shell = w.p;
    d->shell_count = w.n;
    return 0;
}

int recipe_docker_cmd(struct docker *d, const struct docker_line *l)
{
    bool is_entry = str_eq(l->keyword, STR("ENTRYPOINT"));
    struct docker_list w;
    struct str text = STR_NONE;
    int form = recipe_docker_json(d, l->rest, &w), r = 0;
    if (form < 0)
        return form;
    if (form == DOCKER_FORM_JSON) {
        r = join_words(d, w.p, w.n, STR_NONE, &text);
    } else {
        if (!l->rest.n)
            return recipe_docker_fail(d, "%s needs a command", is_entry ? "ENTRYPOINT" : "CMD");
        r = in_shell(d, l->rest, &text);
    }
    if (is_entry) {
        d->entry = text;
        d->is_entry_shell = form == DOCKER_FORM_SHELL;
    } else {
        d->command = text;
        d->is_command_shell = form == DOCKER_FORM_SHELL;
    }
    return r;
}

int recipe_docker_start(struct docker *d, struct str *out)
{
    struct buf b;
    *out = d->entry.n ? d->entry : d->command;
    if (!d->entry.n || !d->command.n || d->is_entry_shell)
        return 0;
    buf_init(&b, 0); /* the command is the arguments of the program */
    (void)buf_append(&b, d->entry);
    (void)buf_byte(&b, ' ');
    if (d->is_command_shell && !d->shell)
        (void)buf_append(&b, STR("/bin/sh -c "));
    if (d->is_command_shell && !d->shell)
        recipe_docker_put_word(&b, d->command);
    else
        (void)buf_append(&b, d->command);
    return recipe_docker_take(d, &b, out);
}
