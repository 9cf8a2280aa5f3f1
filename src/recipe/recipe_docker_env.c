/* ENV and ARG of a Dockerfile. */
#include <string.h>

#include "recipe/recipe_docker.h"
#include "recipe/recipe_internal.h"

static int set_var(struct docker *d, struct docker_var var)
{
    struct docker_var *v = arena_alloc(d->arena, sizeof *v);
    if (!v)
        return recipe_docker_no_memory(d);
    *v = var;
    return map_put(&d->vars, v->name, v) ? 0 : recipe_docker_no_memory(d);
}

static int check_name(struct docker *d, const char *keyword, struct str name)
{
    if (recipe_is_name(name))
        return 0;
    name = recipe_docker_short(name);
    return recipe_docker_fail(d, "'" STR_FMT "' is not a name for %s: letters, digits and _",
                              STR_ARG(name), keyword);
}

/* "K=V ..." or "K rest of the line" as names and raw values. */
static int split_pairs(struct docker *d, const char *keyword, struct str rest,
                       struct docker_list *out)
{
    struct docker_list w;
    struct str name, value;
    *out = (struct docker_list){ 0 };
    int r = recipe_docker_split(d, rest, &w);
    if (r == 0 && !w.n)
        r = recipe_docker_fail(d, "%s needs NAME=value", keyword);
    if (r == 0 && str_find(w.p[0], '=') == w.p[0].n) { /* the old form: one name, all the rest */
        (void)recipe_docker_word(d, &rest, &name);
        if (w.n < 2)
            return recipe_docker_fail(d, "%s needs a value: %s " STR_FMT "=value", keyword, keyword,
                                      STR_ARG(recipe_docker_short(name)));
        r = recipe_docker_add_word(d, out, name);
        return r < 0 ? r : recipe_docker_add_word(d, out, str_trim(rest));
    }
    for (uint32_t i = 0; r == 0 && i < w.n; i++) {
        if (!str_cut(w.p[i], '=', &name, &value))
            return recipe_docker_fail(d,
                                      "'" STR_FMT "' has no '=': %s takes NAME=value, and a "
                                      "value with blanks needs quotes",
                                      STR_ARG(recipe_docker_short(w.p[i])), keyword);
        r = recipe_docker_add_word(d, out, name);
        if (r == 0)
            r = recipe_docker_add_word(d, out, value);
    }
    return r;
}

int recipe_docker_env(struct docker *d, const struct docker_line *l)
{
    struct docker_list w;
    int r = split_pairs(d, "ENV", l->rest, &w);
    struct str *args = r == 0 ? arena_alloc(d->arena, w.n * sizeof *args) : NULL;
    if (r == 0 && !args)
        r = recipe_docker_no_memory(d);
    for (uint32_t i = 0; r == 0 && i < w.n; i += 2) { /* all with what was before */
        r = recipe_docker_expand(d, w.p[i], DOCKER_QUOTES, &w.p[i]);
        if (r == 0)
            r = check_name(d, "ENV", w.p[i]);
        if (r == 0)
            r = recipe_docker_expand(d, w.p[i + 1], DOCKER_QUOTES, &w.p[i + 1]);
        args[i] = w.p[i];
        if (r == 0)
            r = recipe_docker_for_shell(d, w.p[i + 1], &args[i + 1]);
    }
    for (uint32_t i = 0; r == 0 && i < w.n; i += 2)
        r = set_var(d, (struct docker_var){ w.p[i], w.p[i + 1], true, true });
    return r < 0
               ? r
               : recipe_docker_step(
                     d, (struct recipe_dockerfile_step){
                            .kind = RECIPE_ENV, .line = d->line, .args = args, .arg_count = w.n });
}

static bool from_option(struct docker *d, struct str name, struct str *value)
{
    for (uint32_t i = 0; d->options->args && d->options->args[i].name; i++)
        if (str_eq(name, str_of(d->options->args[i].name))) {
            *value = str_of(d->options->args[i].value);
            return d->is_used[i] = true;
        }
    return false;
}

/* What is known of an ARG without a default: an ARG before FROM, the platform. */
static bool from_outside(struct docker *d, struct str name, struct str *value)
{
    const char *arch = d->options->arch ? d->options->arch : "amd64";
    const struct {
        const char *name, *value;
    } known[] = { { "TARGETARCH", arch }, { "BUILDARCH", arch },   { "TARGETOS", "linux" },
                  { "BUILDOS", "linux" }, { "TARGETVARIANT", "" }, { "BUILDVARIANT", "" } };
    const struct docker_var *v = d->has_from ? map_get(&d->globals, name) : NULL;
    if (v && v->has_value) {
        *value = v->value;
        return true;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(name, str_of(known[i].name))) {
            *value = str_of(known[i].value);
            return true;
        }
    bool is_platform = str_eq(name, STR("TARGETPLATFORM")) || str_eq(name, STR("BUILDPLATFORM"));
    char *text = is_platform ? arena_printf(d->arena, "linux/%s", arch) : NULL;
    if (text)
        *value = str_of(text);
    return text != NULL;
}

static int keep_global(struct docker *d, const struct docker_var *v)
{
    struct docker_var *kept = map_get(&d->vars, v->name);
    return map_put(&d->globals, kept->name, kept) ? 0 : recipe_docker_no_memory(d);
}

/* An ARG is seen by every RUN behind it, as ENV is. */
static int add_arg_step(struct docker *d, const struct docker_var *v)
{
    struct str *args = arena_alloc(d->arena, 2 * sizeof *args);
    if (!args)
        return recipe_docker_no_memory(d);
    args[0] = v->name;
    int r = recipe_docker_for_shell(d, v->value, &args[1]);
    return r < 0 ? r
                 : recipe_docker_step(
                       d, (struct recipe_dockerfile_step){
                              .kind = RECIPE_ENV, .line = d->line, .args = args, .arg_count = 2 });
}

static int set_arg(struct docker *d, struct str word)
{
    struct docker_var v = { 0 };
    struct str text;
    v.has_value = str_cut(word, '=', &v.name, &text);
    int r = check_name(d, "ARG", v.name);
    if (r == 0 && v.has_value)
        r = recipe_docker_expand(d, text, DOCKER_QUOTES, &v.value);
    if (r < 0)
        return r;
    const struct docker_var *old = map_get(&d->vars, v.name);
    if (from_option(d, v.name, &v.value) || (!v.has_value && from_outside(d, v.name, &v.value)))
        v.has_value = true;
    if (old && old->is_env) /* ENV is stronger */
        return 0;
    r = set_var(d, v);
    if (r < 0 || !d->has_from)
        return r < 0 ? r : keep_global(d, &v);
    return v.has_value ? add_arg_step(d, &v) : 0;
}

int recipe_docker_arg(struct docker *d, const struct docker_line *l)
{
    struct docker_list w;
    int r = recipe_docker_split(d, l->rest, &w);
    if (r == 0 && !w.n)
        r = recipe_docker_fail(d, "ARG needs a name: ARG NAME or ARG NAME=default");
    for (uint32_t i = 0; r == 0 && i < w.n; i++)
        r = set_arg(d, w.p[i]);
    return r;
}

/* Proxies are known to every RUN without an ARG. */
int recipe_docker_proxies(struct docker *d)
{
    static const char *const names[] = { "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
                                         "FTP_PROXY",  "ftp_proxy",  "NO_PROXY",    "no_proxy",
                                         "ALL_PROXY",  "all_proxy" };
    int r = 0;
    for (uint32_t i = 0; d->options->args && d->options->args[i].name; i++)
        for (size_t k = 0; r == 0 && k < sizeof names / sizeof *names; k++)
            if (strcmp(names[k], d->options->args[i].name) == 0)
                r = set_arg(d, str_of(names[k]));
    return r;
}
