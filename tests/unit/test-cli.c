/* The command line: words to values, the pages that are made from the tables, and what of a
 * sandbox's text reaches a terminal. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/cli_print.h"
#include "main/belljar/commands.h"

#include "golden.h"
#include "tests.h"

#define WORDS 16

/* The program as it is, but for the version, which would change the pages with every release. */
static struct cli_program program(void)
{
    struct cli_program p = belljar_program;
    p.version = "VERSION";
    return p;
}

struct parsed {
    struct cli_program program;
    struct cli cli;
    const char *room[WORDS + 1];
    char text[512], *words[WORDS];
    int count, r;
};

/* Words apart by blanks; '_' is an empty one. */
static void parse(struct parsed *p, const char *line)
{
    *p = (struct parsed){ .program = program() };
    p->cli.program = &p->program;
    assert_true(str_copy(str_of(line), p->text, sizeof p->text));
    for (char *at = p->text; *at;) {
        p->words[p->count++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->words[i], "_") == 0)
            p->words[i][0] = '\0';
    p->r = cli_parse(&p->cli, p->words, p->count, p->room);
}

static void values(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "sandbox create --timeout 20 tpl -m a=b --metadata=c==d -t30 --offline");
    assert_int_equal(p.r, 0);
    assert_string_equal(p.cli.command->name, "create");
    assert_int_equal(cli_number(&p.cli, "timeout"), 30); /* the last one counts */
    assert_true(cli_flag(&p.cli, "offline"));
    assert_false(cli_flag(&p.cli, "json"));
    assert_string_equal(cli_pair(&p.cli, "metadata", 0), "a=b");
    assert_string_equal(cli_pair(&p.cli, "metadata", 1), "c==d");
    assert_null(cli_pair(&p.cli, "metadata", 2));
    assert_int_equal(p.cli.word_count, 1);
    assert_string_equal(p.cli.words[0], "tpl");
    parse(&p, "sb create");
    assert_int_equal(cli_number(&p.cli, "timeout"), 300); /* the standard */
    assert_null(cli_text(&p.cli, "key"));
    parse(&p, "run -");
    assert_int_equal(p.r, 0);
    assert_string_equal(p.cli.words[0], "-");
    parse(&p, "sandbox kill -- -a --b");
    assert_int_equal(p.r, 0);
    assert_string_equal(p.cli.words[0], "-a");
    assert_string_equal(p.cli.words[1], "--b");
}

/* From the command on, words belong to the sandbox. */
static void command_words(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "sb exec -u root ID -w /tmp ls -l --json -- -x");
    assert_int_equal(p.r, 0);
    assert_string_equal(cli_text(&p.cli, "user"), "root");
    assert_string_equal(cli_text(&p.cli, "workdir"), "/tmp");
    assert_false(cli_flag(&p.cli, "json"));
    assert_int_equal(p.cli.word_count, 6);
    assert_string_equal(p.cli.words[4], "--");
    parse(&p, "sb exec ID -- --json");
    assert_int_equal(p.cli.word_count, 2);
    assert_string_equal(p.cli.words[1], "--json");
}

static void mistakes(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "sandbx",
        "sandbox",
        "sandbox lst",
        "sandbox frobnicate",
        "sandbox list --jsn",
        "sandbox list --quite-another-thing",
        "sandbox list -z",
        "sandbox list --json=yes",
        "sandbox list extra",
        "sandbox create --timeout",
        "sandbox create --timeout -5",
        "sandbox create --timeout 2147483648",
        "sandbox create -m novalue",
        "sandbox create -m =x",
        "sandbox create --key _",
        "sandbox exec ID",
        "sandbox shell ID --jso",
        "hepl",
        "--versoin",
    };
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct parsed p;
        parse(&p, lines[i]);
        assert_int_equal(p.r < 0, 1);
        assert_int_equal(fault_exit(p.cli.op.fault.code), 2);
        (void)buf_printf(&b, "$ belljar%s%s\n  %s\n", lines[i][0] ? " " : "", lines[i],
                         p.cli.op.fault.text);
    }
    assert_golden("cli-mistakes.txt", buf_str(&b));
    buf_deinit(&b);
}

static void too_many(void **state)
{
    (void)state;
    static char sandbox[] = "sandbox", list[] = "list", json[] = "--json";
    static char *words[CLI_VALUES + 4] = { sandbox, list };
    static const char *room[CLI_VALUES + 5];
    struct cli_program p = program();
    struct cli c = { .program = &p };
    for (int i = 2; i < CLI_VALUES + 4; i++)
        words[i] = json;
    assert_true(cli_parse(&c, words, CLI_VALUES + 4, room) < 0);
}

static void help_words(void **state)
{
    (void)state;
    static const char *const lines[] = { "--help", "help", "-h" };
    struct parsed p;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        parse(&p, lines[i]);
        assert_int_equal(p.r, 0);
        assert_true(p.cli.wants_help);
        assert_null(p.cli.command);
        assert_int_equal(p.cli.word_count, 0);
    }
    parse(&p, "sandbox --help");
    assert_true(p.cli.wants_help);
    assert_string_equal(p.cli.words[0], "sandbox");
    parse(&p, "help sb");
    assert_string_equal(p.cli.words[0], "sandbox");
    parse(&p, "help sandbox exec");
    assert_true(p.cli.wants_help);
    assert_string_equal(p.cli.command->name, "exec");
    parse(&p, "sandbox exec --help"); /* though words are missing */
    assert_int_equal(p.r, 0);
    assert_true(p.cli.wants_help);
}

static void nearest(void **state)
{
    (void)state;
    static const char *const names[] = { "list", "kill", "pause", "snapshot", NULL };
    assert_string_equal(cli_nearest("lsit", names), "list");
    assert_string_equal(cli_nearest("snap", names), "snapshot");
    assert_string_equal(cli_nearest("puase", names), "pause");
    assert_null(cli_nearest("x", names));
    assert_null(cli_nearest("", names));
    assert_null(cli_nearest("entirely-different", names));
    assert_null(cli_nearest("a-word-that-is-longer-than-any-name-of-ours", names));
}

/* Every row is one that help, manuals and scripts can show. */
static void rows(void **state)
{
    (void)state;
    struct cli_program p = program();
    struct cli_cursor it = { 0 };
    int count = 0;
    for (const struct cli_command *c; (c = cli_next(&p, &it)); count++) {
        const struct cli_option *o, *other;
        assert_non_null(c->run);
        assert_ptr_equal(cli_find(&p, c->group, c->name), c); /* no other has the name */
        assert_true(c->most < 0 || c->most >= c->least);
        assert_true(c->text[strlen(c->text) - 1] != '.');
        for (size_t i = 0; (o = cli_option_at(c, i)); i++) {
            assert_int_equal(o->kind == CLI_FLAG, o->value == NULL);
            for (size_t k = i + 1; (other = cli_option_at(c, k)); k++) {
                assert_string_not_equal(o->name, other->name);
                assert_true(!o->letter || o->letter != other->letter);
            }
        }
    }
    assert_true(count > 20);
}

static void pages(void **state)
{
    (void)state;
    static const char *const shells[] = { "bash", "zsh", "fish" };
    struct cli_program p = program();
    struct cli_cursor it = { 0 };
    struct buf b;
    buf_init(&b, 0);
    cli_put_help(&b, &p);
    cli_put_group_help(&b, &p, &p.groups[0]);
    for (const struct cli_command *c; (c = cli_next(&p, &it));) {
        (void)buf_append(&b, STR("\n----\n"));
        cli_put_command_help(&b, &p, c);
    }
    assert_golden("cli-help.txt", buf_str(&b));
    buf_reset(&b);
    assert_true(cli_put_man(&b, &p, NULL));
    assert_true(cli_put_man(&b, &p, "sandbox"));
    assert_true(cli_put_man(&b, &p, "run"));
    assert_golden("cli-man.txt", buf_str(&b));
    buf_reset(&b);
    assert_false(cli_put_man(&b, &p, "exec")); /* it is on the page of its group */
    assert_false(cli_put_man(&b, &p, "none"));
    assert_false(cli_put_completion(&b, &p, "csh"));
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        char name[64];
        buf_reset(&b);
        (void)snprintf(name, sizeof name, "cli-completion.%s", shells[i]);
        assert_true(cli_put_completion(&b, &p, shells[i]));
        assert_golden(name, buf_str(&b));
    }
    buf_deinit(&b);
}

static void clean(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = { { "plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                    "plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
                  { "\x1b[2J\r\n\t", "\\x1b[2J\\x0d\\x0a\\x09" },
                  { "\x7f", "\\x7f" },
                  { "\xc2\x9b"
                    "1m",
                    "\\xc2\\x9b1m" }, /* CSI as one character */
                  { "\xe2\x80\xae"
                    "abc",
                    "\\xe2\\x80\\xaeabc" }, /* right to left */
                  { "\xff\xc0\xaf\xe2\x82", "\\xff\\xc0\\xaf\\xe2\\x82" },
                  { "\xed\xa0\x80", "\\xed\\xa0\\x80" },
                  { "", "" } };
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(cli_clean(&a, str_of(cases[i].in)), cases[i].out);
    arena_deinit(&a);
    json_t *v = cli_json_text(str_make("a\xff\n\0b", 5));
    assert_int_equal(json_string_length(v), 7);
    assert_memory_equal(json_string_value(v), "a\xef\xbf\xbd\n\0b", 7);
    json_decref(v);
}

static void numbers(void **state)
{
    (void)state;
    char out[CLI_TEXT_SIZE];
    assert_string_equal(cli_size_text(0, out), "0 B");
    assert_string_equal(cli_size_text(1536, out), "1.5 KiB");
    assert_string_equal(cli_size_text(512ll << 20, out), "512 MiB");
    assert_string_equal(cli_size_text(INT64_MAX, out), "8388608 TiB");
    assert_string_equal(cli_time_text(0, out), "0 s ago");
    assert_string_equal(cli_time_text(-90, out), "90 s ago");
    assert_string_equal(cli_time_text(300, out), "in 5 min");
    assert_string_equal(cli_time_text(-3 * 86400, out), "3 d ago");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),   cmocka_unit_test(command_words), cmocka_unit_test(mistakes),
        cmocka_unit_test(too_many), cmocka_unit_test(help_words),    cmocka_unit_test(nearest),
        cmocka_unit_test(rows),     cmocka_unit_test(pages),         cmocka_unit_test(clean),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
