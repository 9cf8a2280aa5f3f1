/* What the instructions of a Dockerfile are made of: words, flags, JSON forms; and steps. */
#include <string.h>

#include "gen/limits.h"
#include "recipe/recipe_docker.h"
#include "wire/json.h"

struct str recipe_docker_short(struct str s) { return str_make(s.p, s.n > 60 ? 60 : s.n); }

/* -- steps -- */

int recipe_docker_step(struct docker *d, struct recipe_dockerfile_step step)
{
    struct recipe_dockerfile *out = d->out;
    if (out->step_count == LIMIT_BUILD_STEPS)
        return recipe_docker_fail(d, "a build may have at most %d steps", LIMIT_BUILD_STEPS);
    if (out->step_count == d->step_cap) {
        uint32_t cap = d->step_cap ? d->step_cap * 2 : 16;
        struct recipe_dockerfile_step *more = arena_alloc(d->arena, cap * sizeof *more);
        if (!more)
            return recipe_docker_no_memory(d);
        if (d->step_cap)
            memcpy(more, out->steps, d->step_cap * sizeof *more);
        out->steps = more;
        d->step_cap = cap;
    }
    out->steps[out->step_count++] = step;
    return 0;
}

int recipe_docker_simple(struct docker *d, enum recipe_kind kind, uint32_t line, struct str arg)
{
    struct str *args = arena_alloc(d->arena, sizeof *args);
    if (!args)
        return recipe_docker_no_memory(d);
    args[0] = arg;
    return recipe_docker_step(d, (struct recipe_dockerfile_step){
                                     .kind = kind, .line = line, .args = args, .arg_count = 1 });
}

/* -- words -- */

int recipe_docker_add_word(struct docker *d, struct docker_list *w, struct str word)
{
    if (w->n == w->cap) {
        uint32_t cap = w->cap ? w->cap * 2 : 8;
        struct str *more = arena_alloc(d->arena, cap * sizeof *more);
        if (!more)
            return recipe_docker_no_memory(d);
        if (w->n)
            memcpy(more, w->p, w->n * sizeof *more);
        w->p = more;
        w->cap = cap;
    }
    w->p[w->n++] = word;
    return 0;
}

/* The words as they are written. */
int recipe_docker_split(struct docker *d, struct str rest, struct docker_list *out)
{
    struct str word;
    int r = 0;
    *out = (struct docker_list){ 0 };
    while (r == 0 && recipe_docker_word(d, &rest, &word))
        r = recipe_docker_add_word(d, out, word);
    if (r == 0 && out->n && d->open_quote)
        r = recipe_docker_fail(d, "a quote %c is not closed", d->open_quote);
    return r;
}

/* ["a", "b"]: DOCKER_FORM_JSON with its strings. */
int recipe_docker_json(struct docker *d, struct str rest, struct docker_list *out)
{
    *out = (struct docker_list){ 0 };
    if (!rest.n || rest.p[0] != '[')
        return DOCKER_FORM_SHELL;
    json_t *v = json_parse(rest, NULL), *item;
    size_t i;
    int r = 0;
    bool is_form = json_is_array(v);
    json_array_foreach(v, i, item) is_form =
        is_form && json_is_string(item) &&
        strlen(json_string_value(item)) == json_string_length(item);
    if (is_form)
        json_array_foreach(v, i, item)
        {
            char *copy = arena_str(d->arena, str_of(json_string_value(item)));
            if (r == 0)
                r = copy ? recipe_docker_add_word(d, out, str_of(copy))
                         : recipe_docker_no_memory(d);
        }
    json_decref(v);
    if (r == 0 && !is_form && (str_starts(rest, STR("[\"")) || str_starts(rest, STR("['"))))
        r = recipe_docker_warn(d, "this looks like the JSON form and is not JSON (strings need "
                                  "double quotes); it is taken as a shell command");
    return r < 0 ? r : is_form ? DOCKER_FORM_JSON : DOCKER_FORM_SHELL;
}

/* --name=value in front of the rest. False: there is none (more). */
bool recipe_docker_flag(struct docker *d, struct str *rest, struct str *name, struct str *value)
{
    struct str word, after = *rest;
    if (!str_starts(*rest, STR("--")) || !recipe_docker_word(d, &after, &word))
        return false;
    *rest = str_trim(after);
    (void)str_cut(str_skip(word, 2), '=', name, value);
    return name->n > 0;
}

int recipe_docker_unknown_flag(struct docker *d, const char *keyword, struct str name,
                               const char *advice)
{
    name = recipe_docker_short(name);
    return recipe_docker_fail(d, "%s --" STR_FMT " is not supported; %s", keyword, STR_ARG(name),
                              advice);
}

void recipe_docker_put_heredoc(struct buf *b, const struct docker_heredoc *h)
{
    struct str text = h->text, line;
    while (text.n) {
        (void)str_cut(text, '\n', &line, &text);
        while (h->has_tabs && line.n && line.p[0] == '\t')
            line = str_skip(line, 1);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        (void)buf_append(b, line);
        (void)buf_byte(b, '\n');
    }
}
