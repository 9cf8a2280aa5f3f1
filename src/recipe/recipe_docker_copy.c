/* COPY and ADD of a Dockerfile. */
#include <string.h>

#include "recipe/recipe_docker.h"

struct copy {
    struct docker *d;
    const struct docker_line *line;
    const char *keyword;
    bool is_add;
    struct str owner, mode;
    struct docker_list words;
};

static int plain(struct docker *d, struct str raw, const char *what, struct str *out)
{
    int r = recipe_docker_expand(d, raw, DOCKER_QUOTES, out);
    return r < 0 ? r : recipe_docker_plain(d, *out, what);
}

/* -- flags -- */

static int read_mode(struct copy *c, struct str value)
{
    struct docker *d = c->d;
    int r = plain(d, value, "--chmod", &value);
    bool is_octal = value.n > 0 && value.n <= 4;
    for (size_t i = 0; is_octal && i < value.n; i++)
        is_octal = value.p[i] >= '0' && value.p[i] <= '7';
    if (r == 0 && !is_octal)
        r = recipe_docker_fail(d, "--chmod takes octal digits, like --chmod=755, not '" STR_FMT "'",
                               STR_ARG(recipe_docker_short(value)));
    char *text =
        r == 0 ? arena_printf(d->arena, "%.*s" STR_FMT, (int)(4 - value.n), "000", STR_ARG(value))
               : NULL;
    c->mode = str_of(text);
    return r < 0 ? r : text ? 0 : recipe_docker_no_memory(d);
}

static int read_owner(struct copy *c, struct str value)
{
    int r = plain(c->d, value, "--chown", &c->owner);
    if (r == 0 && (!c->owner.n || c->owner.p[0] == '-' || c->owner.n > 256))
        r = recipe_docker_fail(c->d, "--chown takes user or user:group, like --chown=user:user");
    return r;
}

static int read_flag(struct copy *c, struct str name, struct str value)
{
    if (str_eq(name, STR("chown")))
        return read_owner(c, value);
    if (str_eq(name, STR("chmod")))
        return read_mode(c, value);
    if (str_eq(name, STR("link")))
        return 0; /* how layers are stored, not what is in them */
    if (str_eq(name, STR("from")))
        return recipe_docker_unknown_flag(c->d, c->keyword, name,
                                          "there is one stage, and files come from the directory "
                                          "of the build");
    return recipe_docker_unknown_flag(c->d, c->keyword, name, "remove it");
}

/* -- sources -- */

static bool ends_with(struct str s, struct str end)
{
    return s.n >= end.n && str_ieq(str_skip(s, s.n - end.n), end);
}

static int check_add(struct copy *c, struct str src)
{
    static const struct str far[] = { { "http://", 7 }, { "https://", 8 }, { "git@", 4 },
                                      { "ssh://", 6 },  { "git://", 6 },   { "ftp://", 6 } };
    static const struct str archives[] = { { ".tar", 4 },     { ".tar.gz", 7 }, { ".tgz", 4 },
                                           { ".tar.bz2", 8 }, { ".tbz2", 5 },   { ".tar.xz", 7 },
                                           { ".txz", 4 },     { ".tar.zst", 8 } };
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        if (str_starts(src, far[i]))
            return recipe_docker_fail(c->d,
                                      "%s takes files of the build's directory, not URLs; "
                                      "use RUN curl -fsSL -o FILE URL, or RUN git clone",
                                      c->keyword);
    for (size_t i = 0; c->is_add && i < sizeof archives / sizeof *archives; i++)
        if (ends_with(src, archives[i]))
            return recipe_docker_fail(c->d,
                                      "ADD would unpack '" STR_FMT "', which is not "
                                      "supported; COPY it and unpack it: RUN tar -xf FILE "
                                      "-C DIRECTORY",
                                      STR_ARG(recipe_docker_short(src)));
    return 0;
}

static int read_source(struct copy *c, struct str raw, struct str *out)
{
    struct str part, rest;
    int r = plain(c->d, raw, "the source", out);
    if (r == 0)
        r = check_add(c, *out);
    if (r < 0)
        return r;
    for (rest = *out; rest.n;) {
        (void)str_cut(rest, '/', &part, &rest);
        if (str_eq(part, STR("..")))
            return recipe_docker_fail(c->d,
                                      "'" STR_FMT "' leads out of the build's directory; "
                                      "build from a directory above, or move the file in",
                                      STR_ARG(recipe_docker_short(*out)));
    }
    while (out->n && (out->p[0] == '/' || str_starts(*out, STR("./"))))
        *out = str_skip(*out, out->p[0] == '/' ? 1 : 2);
    if (!out->n && raw.n)
        *out = STR(".");
    return out->n ? 0 : recipe_docker_fail(c->d, "a source is empty");
}

/* A heredoc is a file that is named as it. */
static int read_inline(struct copy *c, const struct docker_heredoc *h,
                       struct recipe_dockerfile_file *out)
{
    struct buf b;
    struct str text;
    buf_init(&b, 0);
    recipe_docker_put_heredoc(&b, h);
    int r = recipe_docker_take(c->d, &b, &text);
    if (r == 0 && !h->is_quoted)
        r = recipe_docker_expand(c->d, text, DOCKER_TEXT, &text);
    if (r == 0 && !h->is_quoted)
        r = recipe_docker_plain(c->d, text, "the heredoc (its name in quotes keeps every $)");
    *out = (struct recipe_dockerfile_file){ .name = h->name, .text = text };
    if (r == 0 && memchr(h->name.p, '/', h->name.n))
        r = recipe_docker_fail(c->d, "the name of a heredoc that becomes a file may have no /");
    return r;
}

static int read_destination(struct copy *c, struct str raw, uint32_t sources, struct str *out)
{
    int r = plain(c->d, raw, "the destination", out);
    if (r < 0)
        return r;
    if (!out->n)
        return recipe_docker_fail(c->d, "the destination is empty");
    bool is_dir = out->p[out->n - 1] == '/' || str_eq(*out, STR(".")) || ends_with(*out, STR("/."));
    if (sources > 1 && !is_dir)
        return recipe_docker_fail(c->d, "%s of several sources needs a directory: '" STR_FMT "/'",
                                  c->keyword, STR_ARG(recipe_docker_short(*out)));
    return 0;
}

static int add_copy(struct copy *c)
{
    struct docker *d = c->d;
    uint32_t last = c->words.n - 1, heredoc = 0;
    struct recipe_dockerfile_step step = {
        .kind = RECIPE_COPY, .line = d->line, .owner = c->owner, .mode = c->mode
    };
    step.args = arena_alloc(d->arena, c->words.n * sizeof *step.args);
    step.files = arena_alloc(d->arena, (c->line->heredoc_count + 1) * sizeof *step.files);
    if (!step.args || !step.files)
        return recipe_docker_no_memory(d);
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < last; i++)
        if (heredoc < c->line->heredoc_count && recipe_docker_is_heredoc(c->words.p[i]))
            r = read_inline(c, &c->line->heredocs[heredoc++], &step.files[step.file_count++]);
        else
            r = read_source(c, c->words.p[i], &step.args[step.arg_count++]);
    if (r == 0)
        r = read_destination(c, c->words.p[last], last, &step.args[step.arg_count++]);
    return r < 0 ? r : recipe_docker_step(d, step);
}

int recipe_docker_copy(struct docker *d, const struct docker_line *l)
{
    struct copy c = { .d = d, .line = l, .is_add = str_eq(l->keyword, STR("ADD")) };
    struct str rest = l->rest, name, value;
    c.keyword = c.is_add ? "ADD" : "COPY";
    while (recipe_docker_flag(d, &rest, &name, &value)) {
        int r = read_flag(&c, name, value);
        if (r < 0)
            return r;
    }
    int r = rest.n && rest.p[0] == '[' ? recipe_docker_json(d, rest, &c.words) : DOCKER_FORM_SHELL;
    if (r == DOCKER_FORM_SHELL)
        r = recipe_docker_split(d, rest, &c.words);
    if (r < 0)
        return r;
    if (c.words.n < 2)
        return recipe_docker_fail(d, "%s needs a source and a destination", c.keyword);
    return add_copy(&c);
}
