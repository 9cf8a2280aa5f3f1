/* Builds as text: steps, commands, keys and sentences. */
#include <errno.h>
#include <stdlib.h>

#include "recipe/recipe.h"
#include "recipe/recipe_image.h"
#include "wire/json.h"

#include "golden.h"
#include "tests.h"

static int parse(struct op *op, struct arena *a, const char *text, struct recipe *out)
{
    json_t *v = json_parse(str_of(text), NULL);
    assert_non_null(v);
    *op = (struct op){ 0 };
    int r = recipe_parse(op, a, v, out);
    json_decref(v);
    return r;
}

static const struct recipe_context start = { .user = "user" };

static struct recipe_context context(void)
{
    struct recipe_context c = start;
    c.envs = json_object();
    return c;
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void print_step(struct buf *b, const struct recipe_step *s, struct recipe_context *c,
                       struct arena *a)
{
    struct recipe_op op;
    char why[RECIPE_WHY_SIZE];
    recipe_step_print(b, s);
    (void)buf_byte(b, '\n');
    if (!recipe_check(s, why)) {
        (void)buf_printf(b, "  refused: %s\n", why);
        return;
    }
    int r = recipe_plan(a, s, c, &op);
    if (r == RECIPE_PURE) {
        assert_true(recipe_apply(s, STR_NONE, c));
        (void)buf_append(b, STR("  nothing runs\n"));
        return;
    }
    assert_int_equal(r, RECIPE_DONE);
    (void)buf_printf(b, "  as " STR_FMT " in '" STR_FMT "'%s%s%s%s%s\n", STR_ARG(op.user),
                     STR_ARG(op.workdir), op.is_login ? " login" : "", op.has_envs ? " envs" : "",
                     op.has_files ? " files" : "", op.is_layer ? " layer" : "",
                     op.is_quiet ? " quiet" : "");
    (void)buf_printf(b, "---\n" STR_FMT "\n---\n", STR_ARG(op.command));
}

static void steps(void **state)
{
    (void)state;
    static const char text[] =
        "{\"fromTemplate\":\"base\",\"steps\":["
        "{\"type\":\"run\",\"args\":[\"echo 'hi'\\necho there\"]},"
        "{\"type\":\"RUN\",\"args\":[\"id\",\"root\"]},"
        "{\"type\":\"ENV\",\"args\":[\"A\",\"plain \\\"q\\\"\",\"B\",\"\"]},"
        "{\"type\":\"ARG\",\"args\":[\"P\",\"${PATH}:/x $(id) `id` \\\\ \\\"\",\"Q\",\"-n\"]},"
        "{\"type\":\"WORKDIR\",\"args\":[\"a b/$X\"]},"
        "{\"type\":\"USER\",\"args\":[\"it's\",\"true\"]},"
        "{\"type\":\"COPY\",\"args\":[\"./d/*.txt\",\"x/\",\"\",\"\"],\"filesHash\":\"" HASH "\"},"
        "{\"type\":\"ADD\",\"args\":[\".\",\"/o'x\",\"a:b\",\"0755\"],\"filesHash\":\"" HASH "\"}"
        "]}";
    struct arena a;
    struct recipe recipe;
    struct op op;
    struct buf b;
    struct recipe_context c = context();
    buf_init(&b, 0);
    arena_init(&a, 0);
    assert_int_equal(parse(&op, &a, text, &recipe), 0);
    assert_int_equal(recipe.step_count, 8);
    for (uint32_t i = 0; i < recipe.step_count; i++)
        print_step(&b, &recipe.steps[i], &c, &a);
    assert_golden("recipe-steps.txt", buf_str(&b));
    json_decref(c.envs);
    buf_deinit(&b);
    arena_deinit(&a);
}

static void refused_steps(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{\"type\":\"FOO\",\"args\":[\"x\"]}",
        "{\"type\":\"RUN\"}",
        "{\"type\":\"RUN\",\"args\":[\"\"]}",
        "{\"type\":\"ENV\",\"args\":[]}",
        "{\"type\":\"ENV\",\"args\":[\"A\"]}",
        "{\"type\":\"ENV\",\"args\":[\"A B\",\"x\"]}",
        "{\"type\":\"ENV\",\"args\":[\"1A\",\"x\"]}",
        "{\"type\":\"COPY\",\"args\":[\"a\"]}",
        "{\"type\":\"COPY\",\"args\":[\"a\",\"b\"]}",
        "{\"type\":\"COPY\",\"args\":[\"a\",\"b\"],\"filesHash\":\"../../etc/passwd\"}",
        "{\"type\":\"COPY\",\"args\":[\"../a\",\"b\"],\"filesHash\":\"" HASH "\"}",
        "{\"type\":\"COPY\",\"args\":[\"a\",\"\"],\"filesHash\":\"" HASH "\"}",
        "{\"type\":\"COPY\",\"args\":[\"a\",\"b\",\"\",\"rwx\"],\"filesHash\":\"" HASH "\"}",
        "{\"type\":\"COPY\",\"args\":[\"a\",\"b\",\"--x\"],\"filesHash\":\"" HASH "\"}",
        "{\"type\":\"WORKDIR\",\"args\":[\"\"]}",
        "{\"type\":\"USER\"}",
    };
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512], why[RECIPE_WHY_SIZE];
        struct arena a;
        struct recipe recipe;
        struct op op;
        arena_init(&a, 0);
        (void)snprintf(text, sizeof text, "{\"fromImage\":\"x\",\"steps\":[%s]}", cases[i]);
        assert_int_equal(parse(&op, &a, text, &recipe), 0);
        assert_false(recipe_check(&recipe.steps[0], why));
        (void)buf_printf(&b, "%s\n  %s\n", cases[i], why);
        arena_deinit(&a);
    }
    assert_golden("recipe-refused.txt", buf_str(&b));
    buf_deinit(&b);
}

static void refused_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "{}", "must specify either" },
        { "{\"fromImage\":\"a\",\"fromTemplate\":\"b\"}", "cannot specify both" },
        { "{\"fromImage\":7}", "fromImage must be a string" },
        { "{\"fromImage\":\"a\\u0000b\"}", NULL }, /* the parser of JSON refuses it */
        { "{\"fromImage\":\"a\",\"steps\":{}}", "steps must be an array" },
        { "{\"fromImage\":\"a\",\"steps\":[1]}", "steps must be an array of objects" },
        { "{\"fromImage\":\"a\",\"steps\":[{\"type\":1}]}", "type must be a string" },
        { "{\"fromImage\":\"a\",\"steps\":[{\"type\":\"RUN\",\"args\":\"x\"}]}", "args of a step" },
        { "{\"fromImage\":\"a\",\"steps\":[{\"type\":\"RUN\",\"args\":[1]}]}", "args of a step" },
        { "{\"fromImage\":\"a\",\"steps\":[{\"type\":\"RUN\",\"force\":1}]}", "force of a step" },
        { "{\"fromImage\":\"a\",\"force\":\"x\"}", "force must be" },
        { "{\"fromImage\":\"a\",\"fromImageRegistry\":{\"type\":\"aws\"}}",
          "awsAccessKeyId is missing" },
        { "{\"fromImage\":\"a\",\"fromImageRegistry\":{\"type\":\"ftp\"}}", "'gcp'" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a;
        struct recipe recipe;
        struct op op = { 0 };
        json_t *v = json_parse(str_of(cases[i].text), NULL);
        if (!cases[i].says) {
            assert_null(v);
            continue;
        }
        arena_init(&a, 0);
        assert_true(recipe_parse(&op, &a, v, &recipe) < 0);
        if (!strstr(op.fault.text, cases[i].says))
            fail_msg("%s: %s", cases[i].text, op.fault.text);
        json_decref(v);
        arena_deinit(&a);
    }
}

static void forced_from_the_first_on(void **state)
{
    (void)state;
    struct arena a;
    struct recipe r;
    struct op op;
    arena_init(&a, 0);
    assert_int_equal(parse(&op, &a,
                           "{\"fromImage\":\"a\",\"steps\":[{\"type\":\"RUN\",\"args\":[\"1\"]},"
                           "{\"type\":\"RUN\",\"args\":[\"2\"],\"force\":true},"
                           "{\"type\":\"RUN\",\"args\":[\"3\"],\"force\":false}]}",
                           &r),
                     0);
    assert_false(r.steps[0].is_forced);
    assert_true(r.steps[1].is_forced);
    assert_true(r.steps[2].is_forced);
    arena_deinit(&a);
}

/* Whatever may change a result changes the key; what does not, does not. */
static void keys_differ(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{\"type\":\"RUN\",\"args\":[\"ab\"]}",
        "{\"type\":\"RUN\",\"args\":[\"a\",\"b\"]}",
        "{\"type\":\"RUN\",\"args\":[\"b\",\"a\"]}",
        "{\"type\":\"ENV\",\"args\":[\"a\",\"b\"]}",
        "{\"type\":\"COPY\",\"args\":[\"a\",\"b\"]}",
        "{\"type\":\"COPY\",\"args\":[\"a\",\"b\"],\"filesHash\":\"" HASH "\"}",
    };
    enum { COUNT = sizeof cases / sizeof *cases };
    char keys[COUNT + 2][RECIPE_KEY_SIZE], base[RECIPE_KEY_SIZE], again[RECIPE_KEY_SIZE];
    struct recipe_context c = context();
    recipe_key_base(base, STR("/r"), STR("l1"), &c);
    recipe_key_base(again, STR("/r"), STR("l1"), &c);
    assert_string_equal(base, again);
    recipe_key_base(keys[COUNT], STR("/r"), STR("l2"), &c);
    (void)json_object_set_new(c.envs, "A", json_string("1"));
    recipe_key_base(keys[COUNT + 1], STR("/r"), STR("l1"), &c);
    for (size_t i = 0; i < COUNT; i++) {
        char text[256];
        struct arena a;
        struct recipe r;
        struct op op;
        arena_init(&a, 0);
        (void)snprintf(text, sizeof text, "{\"fromImage\":\"x\",\"steps\":[%s]}", cases[i]);
        assert_int_equal(parse(&op, &a, text, &r), 0);
        recipe_key_step(keys[i], base, &r.steps[0]);
        r.steps[0].is_forced = true;
        recipe_key_step(again, base, &r.steps[0]);
        assert_string_equal(keys[i], again);
        arena_deinit(&a);
    }
    for (size_t i = 0; i < COUNT + 2; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(keys[i], keys[k]);
    json_decref(c.envs);
}

static void results_are_applied(void **state)
{
    (void)state;
    struct str a1[] = { STR("/x"), STR("$Y") }, e[] = { STR("A"), STR("$B"), STR("C"), STR("d") };
    struct recipe_step dir = { .kind = RECIPE_WORKDIR, .args = a1, .arg_count = 1 };
    struct recipe_step user = { .kind = RECIPE_USER, .args = a1, .arg_count = 1 };
    struct recipe_step env = { .kind = RECIPE_ENV, .args = e, .arg_count = 4 };
    struct recipe_context c = context();
    assert_true(recipe_apply(&dir, STR("/home/user/x\n"), &c));
    assert_string_equal(c.workdir, "/home/user/x");
    assert_false(recipe_apply(&dir, STR(""), &c));
    assert_false(recipe_apply(&dir, STR("relative"), &c));
    assert_true(recipe_apply(&user, STR("root"), &c));
    assert_string_equal(c.user, "root");
    assert_false(recipe_apply(&user, STR("\n"), &c));
    assert_true(recipe_apply(&env, STR("b\n\0d\0"), &c));
    assert_string_equal(json_string_value(json_object_get(c.envs, "A")), "b\n");
    assert_string_equal(json_string_value(json_object_get(c.envs, "C")), "d");
    assert_false(recipe_apply(&env, STR("b"), &c));
    assert_false(recipe_apply(&env, STR("\xff\0x\0"), &c));
    (void)json_object_set_new(c.envs, "PATH", json_string("/my"));
    json_t *all = recipe_envs(&c);
    assert_string_equal(json_string_value(json_object_get(all, "PATH")),
                        "/my:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    json_decref(all);
    json_decref(c.envs);
}

static void failures_are_sentences(void **state)
{
    (void)state;
    struct str args[] = { STR("false") };
    struct recipe_step s = { .kind = RECIPE_RUN, .args = args, .arg_count = 1 };
    struct buf b;
    buf_init(&b, 0);
    recipe_failure_print(&b, &s, "exit status 3", STR("noise"));
    assert_string_equal(buf_cstr(&b), "failed to run command 'false': exit status 3");
    buf_reset(&b);
    s.kind = RECIPE_COPY;
    recipe_failure_print(&b, &s, "exit status 1", STR("first\nit is not there\n\n"));
    assert_string_equal(buf_cstr(&b), "failed to copy 'false': it is not there");
    buf_reset(&b);
    s.kind = RECIPE_USER;
    recipe_failure_print(&b, &s, "exit status 1", STR("\n"));
    assert_string_equal(buf_cstr(&b), "failed to set the user 'false': exit status 1");
    buf_deinit(&b);
}

static void images_have_a_host_a_path_and_a_reference(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says; /* NULL: refused */
    } cases[] = {
        { "debian", "registry-1.docker.io library/debian latest" },
        { "debian:bookworm-slim", "registry-1.docker.io library/debian bookworm-slim" },
        { "docker.io/a/b:1", "registry-1.docker.io a/b 1" },
        { "oven/bun", "registry-1.docker.io oven/bun latest" },
        { "localhost/x:y", "localhost x y plain" },
        { "127.0.0.1:5000/x/y", "127.0.0.1:5000 x/y latest plain" },
        { "ghcr.example:443/a/b/c:v1.2-x", "ghcr.example:443 a/b/c v1.2-x" },
        { "r.example/a:t@sha256:" HASH, "r.example a sha256:" HASH },
        { "", NULL },
        { "A", NULL },
        { "a b", NULL },
        { "a//b", NULL },
        { "/a", NULL },
        { "a/", NULL },
        { "a:", NULL },
        { "a:-x", NULL },
        { "../a", NULL },
        { "a/../b", NULL },
        { "a@sha256:abc", NULL },
        { "a@md5:" HASH, NULL },
        { "user@host.example/a", NULL },
        { "h.example:99999999/a", NULL },
        { "h.example:x/a", NULL },
        { "http://h.example/a", NULL },
        { "a?b", NULL },
        { "a\r\nHost: x", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct recipe_image image;
        char got[1024];
        bool good = recipe_image_parse(str_of(cases[i].text), &image);
        if (good != (cases[i].says != NULL))
            fail_msg("%s", cases[i].text);
        (void)snprintf(got, sizeof got, "%s %s %s%s", image.host, image.path, image.reference,
                       image.is_plain ? " plain" : "");
        if (good)
            assert_string_equal(got, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps),
        cmocka_unit_test(refused_steps),
        cmocka_unit_test(refused_bodies),
        cmocka_unit_test(forced_from_the_first_on),
        cmocka_unit_test(keys_differ),
        cmocka_unit_test(results_are_applied),
        cmocka_unit_test(failures_are_sentences),
        cmocka_unit_test(images_have_a_host_a_path_and_a_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
