/* What a directory that somebody got from elsewhere may hold: Dockerfiles and .dockerignore. What
 * comes out of a Dockerfile is something the server takes. */
#include "fuzz.h"

#include "base/log.h"
#include "recipe/recipe_dockerfile.h"
#include "recipe/recipe_ignore.h"

static void check_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        assert(s.p[i] != '\0' && s.p[i] != '\1' && s.p[i] != '\2');
}

static void check_step(const struct recipe_dockerfile_step *s)
{
    struct recipe_step step = { .kind = s->kind, .args = s->args, .arg_count = s->arg_count };
    char why[RECIPE_WHY_SIZE];
    for (uint32_t i = 0; i < s->arg_count; i++)
        check_text(s->args[i]);
    if (s->kind == RECIPE_COPY)
        assert(s->arg_count + s->file_count >= 2 && s->args[s->arg_count - 1].n);
    else
        assert(recipe_check(&step, why));
    check_text(s->owner);
    assert(s->mode.n == 0 || s->mode.n == 4);
}

static void fuzz_dockerfile(struct str in)
{
    static const struct recipe_dockerfile_arg args[] = { { "A", "$B \"" }, { NULL, NULL } };
    struct recipe_dockerfile_options o = { .args = args };
    struct recipe_dockerfile out;
    struct op op = { 0 };
    struct arena a;
    log_init("fuzz", LOG_ERROR);
    arena_init(&a, 0);
    int r = recipe_dockerfile_parse(&op, &a, in, &o, &out);
    assert(r == 0 || (op.fault.code != FAULT_NONE && op.fault.text[0]));
    for (uint32_t i = 0; r == 0 && i < out.step_count; i++)
        check_step(&out.steps[i]);
    if (r == 0) {
        assert(!out.image.n != !out.from.n);
        check_text(out.start);
    }
    arena_deinit(&a);
}

/* The first line is a path, the others are patterns. */
static void fuzz_ignore(struct str in)
{
    struct recipe_ignore ignore;
    struct str path, name, rest;
    struct arena a;
    (void)str_cut(in, '\n', &path, &rest);
    arena_init(&a, 0);
    int r = recipe_ignore_parse(&a, rest, &ignore);
    if (r == 0 && path.n < 256) {
        bool is_out = recipe_ignore_has(&ignore, path);
        assert(ignore.count || !is_out);
        (void)str_cut(path, '/', &name, &path);
        for (uint32_t i = 0; i < ignore.count && i < 16; i++)
            (void)recipe_match_name(ignore.patterns[i], name);
    }
    arena_deinit(&a);
}

static const struct fuzz_parser parsers[] = { { "dockerfile", fuzz_dockerfile },
                                              { "ignore", fuzz_ignore } };
FUZZ_MAIN(parsers)
