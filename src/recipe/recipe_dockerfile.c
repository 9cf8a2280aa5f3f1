/* Dockerfiles: FROM, the table of instructions, and what comes at the end. */
#include <string.h>

#include "recipe/recipe_docker.h"

static bool is_built_in(struct str s)
{
    static const struct str names[] = { { "base", 4 },
                                        { "code-interpreter-v1", 19 },
                                        { "httpbin", 7 } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq(s, names[i]))
            return true;
    return false;
}

static int set_base(struct docker *d, struct str raw)
{
    struct str text;
    int r = recipe_docker_expand(d, raw, DOCKER_QUOTES, &text);
    if (r == 0)
        r = recipe_docker_plain(d, text, "FROM");
    if (r < 0)
        return r;
    if (!text.n)
        return recipe_docker_fail(d,
                                  "FROM needs an image, and '" STR_FMT "' is empty; set its "
                                  "ARG before FROM",
                                  STR_ARG(recipe_docker_short(raw)));
    if (str_eq(text, STR("scratch")))
        return recipe_docker_fail(d, "FROM scratch has no shell to build with; use an image, "
                                     "or 'FROM base'");
    d->out->from_line = d->line;
    if (is_built_in(text) || str_starts(text, STR("belljar/")))
        d->out->from = text;
    else
        d->out->image = text;
    return 0;
}

static int do_from(struct docker *d, const struct docker_line *l)
{
    struct str rest = l->rest, name, value;
    struct docker_list w;
    if (d->has_from)
        return recipe_docker_fail(d, "multi-stage builds are not supported: this is the second "
                                     "FROM; build the first stage as a template of its own "
                                     "and begin FROM belljar/NAME, or do its work in RUN");
    while (recipe_docker_flag(d, &rest, &name, &value))
        if (!str_eq(name, STR("platform")))
            return recipe_docker_unknown_flag(d, "FROM", name, "remove it");
        else if (recipe_docker_warn(d, "--platform is ignored: a build is for the server's "
                                       "processor") < 0)
            return -ENOMEM;
    int r = recipe_docker_split(d, rest, &w);
    if (r < 0)
        return r;
    if (w.n != 1 && !(w.n == 3 && str_ieq(w.p[1], STR("as"))))
        return recipe_docker_fail(d, "FROM takes an image: FROM image [AS name]");
    r = set_base(d, w.p[0]);
    d->has_from = true;
    map_deinit(&d->vars); /* what stood before FROM holds for FROM */
    map_init(&d->vars);
    if (r == 0)
        r = recipe_docker_simple(d, RECIPE_USER, 0, STR("root"));
    if (r == 0)
        r = recipe_docker_simple(d, RECIPE_WORKDIR, 0, STR("/"));
    return r < 0 ? r : recipe_docker_proxies(d);
}

/* -- the others -- */

/* Text for the server's shell of the one value that the instruction has. */
static int one_value(struct docker *d, struct str raw, struct str *out)
{
    struct str coded;
    int r = recipe_docker_expand(d, raw, DOCKER_QUOTES, &coded);
    return r < 0 ? r : recipe_docker_for_shell(d, coded, out);
}

static int do_workdir(struct docker *d, const struct docker_line *l)
{
    struct str path = STR_NONE;
    int r = l->rest.n ? one_value(d, l->rest, &path) : 0;
    if (r == 0 && !path.n)
        r = recipe_docker_fail(d, "WORKDIR needs a path");
    d->has_workdir = true;
    return r < 0 ? r : recipe_docker_simple(d, RECIPE_WORKDIR, d->line, path);
}

static int do_user(struct docker *d, const struct docker_line *l)
{
    struct str name = STR_NONE;
    int r = l->rest.n ? one_value(d, l->rest, &name) : 0;
    if (r == 0 && (!name.n || memchr(name.p, ' ', name.n)))
        r = recipe_docker_fail(d, "USER needs one name");
    if (r == 0 && memchr(name.p, ':', name.n) && !memchr(name.p, '{', name.n))
        r = recipe_docker_warn(d, "the group of USER is ignored: a user's own groups hold");
    d->has_user = true;
    return r < 0 ? r : recipe_docker_simple(d, RECIPE_USER, d->line, name);
}

/* It means nothing to a sandbox, and nobody misses it. */
static int do_nothing(struct docker *d, const struct docker_line *l)
{
    (void)d;
    (void)l;
    return 0;
}

static int do_warn(struct docker *d, const struct docker_line *l)
{
    return recipe_docker_warn(d, STR_FMT " is ignored: templates have nothing like it",
                              STR_ARG(l->keyword));
}

static const struct {
    struct str keyword;
    int (*fn)(struct docker *d, const struct docker_line *l);
    bool may_be_first; /* before FROM */
} instructions[] = {
    { { "FROM", 4 }, do_from, true },
    { { "ARG", 3 }, recipe_docker_arg, true },
    { { "RUN", 3 }, recipe_docker_run, false },
    { { "COPY", 4 }, recipe_docker_copy, false },
    { { "ADD", 3 }, recipe_docker_copy, false },
    { { "ENV", 3 }, recipe_docker_env, false },
    { { "WORKDIR", 7 }, do_workdir, false },
    { { "USER", 4 }, do_user, false },
    { { "CMD", 3 }, recipe_docker_cmd, false },
    { { "ENTRYPOINT", 10 }, recipe_docker_cmd, false },
    { { "SHELL", 5 }, recipe_docker_shell, false },
    { { "EXPOSE", 6 }, do_nothing, false },
    { { "VOLUME", 6 }, do_nothing, false },
    { { "LABEL", 5 }, do_warn, false },
    { { "MAINTAINER", 10 }, do_warn, false },
    { { "HEALTHCHECK", 11 }, do_warn, false },
    { { "STOPSIGNAL", 10 }, do_warn, false },
    { { "ONBUILD", 7 }, do_warn, false },
};
#define INSTRUCTIONS (sizeof instructions / sizeof *instructions)

/* One letter wrong, missing, too many, or two changed places. */
static bool is_near(struct str a, struct str b)
{
    size_t i = 0, k = 0;
    while (i < a.n && i < b.n && a.p[i] == b.p[i])
        i++;
    while (k < a.n - i && k < b.n - i && a.p[a.n - 1 - k] == b.p[b.n - 1 - k])
        k++;
    size_t x = a.n - i - k, y = b.n - i - k;
    return (x <= 1 && y <= 1) || (x == 2 && y == 2 && a.p[i] == b.p[i + 1] && a.p[i + 1] == b.p[i]);
}

static int do_unknown(struct docker *d, struct str keyword, struct str written)
{
    for (size_t i = 0; i < INSTRUCTIONS; i++)
        if (is_near(keyword, instructions[i].keyword))
            return recipe_docker_fail(d,
                                      "there is no instruction " STR_FMT "; is " STR_FMT " meant?",
                                      STR_ARG(keyword), STR_ARG(instructions[i].keyword));
    return recipe_docker_fail(d,
                              "there is no instruction '" STR_FMT "'; a line that goes on with "
                              "the next one ends in %c",
                              STR_ARG(recipe_docker_short(written)), d->escape);
}

static int do_line(struct docker *d, const struct docker_line *l)
{
    for (size_t i = 0; i < INSTRUCTIONS; i++)
        if (str_eq(l->keyword, instructions[i].keyword))
            return d->has_from || instructions[i].may_be_first
                       ? instructions[i].fn(d, l)
                       : recipe_docker_fail(d,
                                            STR_FMT " stands before FROM; FROM comes first, and "
                                                    "only ARG may stand before it",
                                            STR_ARG(l->keyword));
    return do_unknown(d, l->keyword, l->written);
}

/* -- the whole -- */

static int check_args(struct docker *d)
{
    uint32_t n = 0;
    for (; d->options->args && d->options->args[n].name; n++)
        for (const char *p = d->options->args[n].value; *p; p++)
            if (*p == DOCKER_REF || *p == DOCKER_END)
                return recipe_docker_fail(d, "the build argument %.60s has control characters",
                                          d->options->args[n].name);
    d->is_used = arena_alloc(d->arena, n + 1);
    return d->is_used ? 0 : recipe_docker_no_memory(d);
}

/* templates.md section 3: the default user and directory, unless the file has its own. */
static int finish(struct docker *d)
{
    struct recipe_dockerfile *out = d->out;
    d->line = d->next_line > 1 ? d->next_line - 1 : 1;
    if (!d->has_from)
        return recipe_docker_fail(d, "there is no FROM; begin with the image to build on, like "
                                     "'FROM debian:12' or 'FROM base'");
    int r = d->has_user ? 0 : recipe_docker_simple(d, RECIPE_USER, 0, STR("user"));
    if (r == 0 && !d->has_workdir)
        r = recipe_docker_simple(d, RECIPE_WORKDIR, 0, STR("/home/user"));
    if (r == 0)
        r = recipe_docker_start(d, &out->start);
    if (d->options->start)
        out->start = str_of(d->options->start);
    out->ready = str_of(d->options->ready);
    d->line = 0;
    for (uint32_t i = 0; r == 0 && d->options->args && d->options->args[i].name; i++)
        if (!d->is_used[i])
            r = recipe_docker_warn(d, "the build argument %.60s is used by no ARG",
                                   d->options->args[i].name);
    return r;
}

static int gather_warnings(struct docker *d)
{
    struct recipe_dockerfile *out = d->out;
    out->warnings = arena_alloc(d->arena, (d->warning_count + 1) * sizeof *out->warnings);
    if (!out->warnings)
        return recipe_docker_no_memory(d);
    for (struct docker_warning *w = d->warnings; w; w = w->next)
        out->warnings[out->warning_count++] = w->is;
    return 0;
}

int recipe_dockerfile_parse(struct op *op, struct arena *a, struct str text,
                            const struct recipe_dockerfile_options *o,
                            struct recipe_dockerfile *out)
{
    struct docker d = {
        .op = op, .arena = a, .options = o, .out = out, .name = o->name ? o->name : "Dockerfile"
    };
    struct docker_line line;
    *out = (struct recipe_dockerfile){ 0 };
    d.warnings_end = &d.warnings;
    map_init(&d.vars);
    map_init(&d.globals);
    int r = recipe_docker_lines_begin(&d, text);
    if (r == 0)
        r = check_args(&d);
    while (r == 0 && (r = recipe_docker_lines_next(&d, &line)) == DOCKER_LINE)
        r = do_line(&d, &line);
    r = r < 0 ? r : finish(&d);
    if (r == 0)
        r = gather_warnings(&d);
    map_deinit(&d.vars);
    map_deinit(&d.globals);
    return r;
}
