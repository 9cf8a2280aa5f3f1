/* Dockerfiles as steps, and what is said of bad ones. */
#include <stdlib.h>

#include "recipe/recipe_dockerfile.h"
#include "recipe/recipe_ignore.h"

#include "golden.h"
#include "tests.h"

static const struct recipe_dockerfile_arg args[] = { { "GIVEN", "given" }, { NULL, NULL } };

static void print_step(struct buf *b, const struct recipe_dockerfile_step *s)
{
    static const char *const kinds[] = { "RUN", "COPY", "ENV", "WORKDIR", "USER" };
    (void)buf_printf(b, "  %2u %s", s->line, kinds[s->kind]);
    for (uint32_t i = 0; i < s->arg_count; i++)
        (void)buf_printf(b, " [" STR_FMT "]", STR_ARG(s->args[i]));
    if (s->owner.n)
        (void)buf_printf(b, " owner " STR_FMT, STR_ARG(s->owner));
    if (s->mode.n)
        (void)buf_printf(b, " mode " STR_FMT, STR_ARG(s->mode));
    (void)buf_byte(b, '\n');
    for (uint32_t i = 0; i < s->file_count; i++)
        (void)buf_printf(b, "      file " STR_FMT ": [" STR_FMT "]\n", STR_ARG(s->files[i].name),
                         STR_ARG(s->files[i].text));
}

static void print(struct buf *b, const struct recipe_dockerfile *r)
{
    (void)buf_printf(b, "  %s " STR_FMT "\n", r->image.n ? "image" : "template",
                     STR_ARG(r->image.n ? r->image : r->from));
    for (uint32_t i = 0; i < r->step_count; i++)
        print_step(b, &r->steps[i]);
    if (r->start.n)
        (void)buf_printf(b, "  start [" STR_FMT "]\n", STR_ARG(r->start));
    for (uint32_t i = 0; i < r->warning_count; i++)
        if (r->warnings[i].line) /* not every case has an ARG GIVEN */
            (void)buf_printf(b, "  %2u warning: %s\n", r->warnings[i].line, r->warnings[i].text);
}

static void put(struct buf *b, struct str text, bool is_good)
{
    struct recipe_dockerfile_options o = { .args = is_good ? args : NULL };
    struct recipe_dockerfile out;
    struct op op = { 0 };
    struct arena a;
    arena_init(&a, 0);
    int r = recipe_dockerfile_parse(&op, &a, text, &o, &out);
    if (r < 0)
        (void)buf_printf(b, "  %s\n", op.fault.text);
    else
        print(b, &out);
    if ((r == 0) != is_good)
        fail_msg("%.*s%s", (int)text.n, text.p, r ? op.fault.text : "nothing is said of it");
    arena_deinit(&a);
}

static void read_all(const char *file, struct buf *in)
{
    const char *dir = getenv("GOLDEN_DIR");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir ? dir : "tests/golden", file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    buf_init(in, 0);
    for (int c; (c = fgetc(f)) != EOF;)
        (void)buf_byte(in, (char)c);
    (void)fclose(f);
}

static void check_cases(const char *file, bool is_good, const char *golden)
{
    struct buf in, out;
    read_all(file, &in);
    buf_init(&out, 0);
    struct str rest = buf_str(&in), title;
    assert_true(str_starts(rest, STR("=== ")));
    while (rest.n) {
        (void)str_cut(rest, '\n', &title, &rest);
        const char *end = memmem(rest.p, rest.n, "\n=== ", 5);
        struct str text = str_make(rest.p, end ? (size_t)(end - rest.p) + 1 : rest.n);
        rest = str_skip(rest, text.n);
        (void)buf_printf(&out, STR_FMT "\n", STR_ARG(title));
        put(&out, text, is_good);
    }
    assert_golden(golden, buf_str(&out));
    buf_deinit(&in);
    buf_deinit(&out);
}

static void good_ones(void **state)
{
    (void)state;
    check_cases("dockerfile-good.in", true, "dockerfile-good.txt");
}

static void bad_ones(void **state)
{
    (void)state;
    check_cases("dockerfile-bad.in", false, "dockerfile-bad.txt");
}

static int parse(struct str text, const struct recipe_dockerfile_options *o, struct op *op,
                 struct recipe_dockerfile *out, struct arena *a)
{
    *op = (struct op){ 0 };
    arena_init(a, 0);
    return recipe_dockerfile_parse(op, a, text, o, out);
}

static void says(struct str text, const char *what)
{
    struct recipe_dockerfile_options o = { .name = "e2b.Dockerfile" };
    struct recipe_dockerfile out;
    struct arena a;
    struct op op;
    assert_int_equal(parse(text, &o, &op, &out, &a), -EINVAL);
    if (!strstr(op.fault.text, what))
        fail_msg("%s, and not: %s", op.fault.text, what);
    arena_deinit(&a);
}

static void bytes_are_checked(void **state)
{
    (void)state;
    says(STR("FROM a\nRUN a\0b\n"), "e2b.Dockerfile:2: there is a control character (0)");
    says(STR("FROM a\n\nENV A=\1HOME\2\n"), "e2b.Dockerfile:3: there is a control character (1)");
    says(STR("FROM a\nRUN \xff\n"), "e2b.Dockerfile:2: this line is not UTF-8");
}

static void ends_of_lines_and_marks(void **state)
{
    struct recipe_dockerfile_options o = { 0 };
    struct recipe_dockerfile out;
    struct arena a;
    struct op op;
    (void)state;
    assert_int_equal(parse(STR("\xef\xbb\xbf# escape=\\\r\nFROM a\r\nRUN b \\  \r\n  c\r\n"
                               "COPY <<E / \r\nd\r\nE\r\nRUN e"),
                           &o, &op, &out, &a),
                     0);
    assert_str(out.image, "a");
    assert_int_equal(out.step_count, 7);
    assert_str(out.steps[2].args[0], "b   c");
    assert_str(out.steps[3].files[0].text, "d\n");
    assert_str(out.steps[4].args[0], "e");
    assert_int_equal(out.steps[4].line, 8);
    arena_deinit(&a);
}

static void options_hold(void **state)
{
    static const struct recipe_dockerfile_arg given[] = { { "HTTP_PROXY", "http://p" },
                                                          { "UNUSED", "x" },
                                                          { NULL, NULL } };
    struct recipe_dockerfile_options o = {
        .args = given, .arch = "arm64", .start = "serve", .ready = "true"
    };
    struct recipe_dockerfile out;
    struct arena a;
    struct op op;
    (void)state;
    assert_int_equal(parse(STR("FROM a\nARG TARGETARCH\nCMD other\n"), &o, &op, &out, &a), 0);
    assert_str(out.start, "serve");
    assert_str(out.ready, "true");
    assert_str(out.steps[2].args[0], "HTTP_PROXY");
    assert_str(out.steps[3].args[1], "arm64");
    assert_int_equal(out.warning_count, 1);
    assert_non_null(strstr(out.warnings[0].text, "UNUSED"));
    arena_deinit(&a);
}

/* A value may be twice the one before it, and again. */
static void growth_is_bounded(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    (void)buf_append(&b, STR("FROM a\nENV A=aaaaaaaaaaaaaaaa\n"));
    for (int i = 0; i < 40; i++)
        (void)buf_append(&b, STR("ENV A=$A$A\n"));
    says(buf_str(&b), ": with its variables replaced this is longer than");
    buf_reset(&b);
    (void)buf_append(&b, STR("FROM a\n"));
    for (int i = 0; i < 2000; i++)
        (void)buf_append(&b, STR("RUN x\n"));
    says(buf_str(&b), ": a build may have at most 1000 steps");
    buf_deinit(&b);
}

static void names_match(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        { "*", "a", true },
        { "*", "", true },
        { "a*", "a", true },
        { "*.c", "x.c", true },
        { "*.c", "x.cc", false },
        { "a?c", "abc", true },
        { "a?c", "ac", false },
        { "[a-c]x", "bx", true },
        { "[a-c]x", "dx", false },
        { "[^a-c]x", "dx", true },
        { "[!a]x", "ax", false },
        { "[]]", "]", true },
        { "[a", "a", false },
        { "\\*", "*", true },
        { "\\*", "a", false },
        { "[\\]a]", "]", true },
        { "a*b*c", "aXbYbc", true },
        { "a*b*c", "acb", false },
        { "**", "abc", true },
        { "*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (recipe_match_name(str_of(cases[i].pattern), str_of(cases[i].name)) != cases[i].matches)
            fail_msg("%s %s", cases[i].pattern, cases[i].name);
    assert_true(recipe_is_pattern(STR("a*")));
    assert_false(recipe_is_pattern(STR("a\\*")));
}

static void files_are_ignored(void **state)
{
    static const char text[] = "# first\r\n  *.md \n!README.md\n/build/\n**/*.o\n!keep/x.o\n"
                               "a/**/z\ndeep/**\n!deep/er/yes\n\n./odd//name/\n";
    static const struct {
        const char *path;
        bool is_out;
    } cases[] = {
        { "x.md", true },         { "README.md", false },
        { "sub/x.md", false },    { "build", true },
        { "build/a/b", true },    { "sub/build", false },
        { "x.o", true },          { "a/b/x.o", true },
        { "keep/x.o", false },    { "a/z", true },
        { "a/b/c/z", true },      { "a/b/c/y", false },
        { "deep", false },        { "deep/x", true },
        { "deep/er/yes", false }, { "deep/er/yes/x", false },
        { "odd/name", true },     { "# first", false },
        { "a", false },
    };
    struct recipe_ignore ignore;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    assert_int_equal(recipe_ignore_parse(&a, str_of(text), &ignore), 0);
    assert_true(ignore.has_exceptions);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (recipe_ignore_has(&ignore, str_of(cases[i].path)) != cases[i].is_out)
            fail_msg("%s", cases[i].path);
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),         cmocka_unit_test(bad_ones),
        cmocka_unit_test(bytes_are_checked), cmocka_unit_test(ends_of_lines_and_marks),
        cmocka_unit_test(options_hold),      cmocka_unit_test(growth_is_bounded),
        cmocka_unit_test(names_match),       cmocka_unit_test(files_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
