#include "tests.h"

#include "interp/jupyter.h"
#include "interp/language.h"
#include "interp/line.h"
#include "wire/zmtp.h"

/* -- ZMTP -- */

static void greeting_and_frames_are_read_at_every_split(void **state)
{
    (void)state;
    struct buf b;
    char large[300];
    memset(large, 'x', sizeof large);
    buf_init(&b, 0);
    assert_true(zmtp_hello_put(&b, "PUB"));
    assert_true(zmtp_frame_put(&b, STR("one"), true));
    assert_true(zmtp_frame_put(&b, str_make(large, sizeof large), false));
    struct str all = buf_str(&b);
    for (size_t cut = 0; cut <= all.n; cut++) {
        struct zmtp z = { 0 };
        struct zmtp_frame f;
        size_t used, at = 0, frames = 0, n = cut;
        for (int round = 0; round < 2; round++, n = all.n) {
            int r = ZMTP_FRAME;
            while (r == ZMTP_FRAME) {
                r = zmtp_step(&z, str_make(all.p + at, n - at), 1000, &f, &used);
                assert_int_not_equal(r, ZMTP_WRONG);
                at += used;
                if (r == ZMTP_FRAME)
                    assert_true(frames++ == 0 ? str_eq(f.body, STR("one")) && f.more
                                              : f.body.n == sizeof large && !f.more);
            }
        }
        assert_int_equal(frames, 2);
        assert_true(z.is_ready);
        assert_int_equal(at, all.n);
    }
    buf_deinit(&b);
}

static void what_is_not_zmtp_is_refused(void **state)
{
    (void)state;
    struct zmtp z = { 0 };
    struct zmtp_frame f;
    size_t used;
    char bytes[64] = "GET / HTTP/1.1\r\n";
    assert_int_equal(zmtp_step(&z, str_make(bytes, 64), 100, &f, &used), ZMTP_WRONG);
    z.is_greeted = true;
    assert_int_equal(zmtp_step(&z, STR("\0\x65"), 100, &f, &used), ZMTP_WRONG); /* too long */
    assert_int_equal(zmtp_step(&z, STR("\x02\xff\xff\xff\xff\xff\xff\xff\xff"), 100, &f, &used),
                     ZMTP_WRONG);
    assert_int_equal(zmtp_step(&z, STR("\x80\x01x"), 100, &f, &used),
                     ZMTP_WRONG); /* no such flag */
}

/* -- Jupyter -- */

/* Reads all messages of `b`; the number of good ones. */
static int read_all(struct buf *b, const struct jupyter *j, struct jupyter_msg *last)
{
    struct zmtp z = { .is_greeted = true };
    struct jupyter_reader r = { 0 };
    struct zmtp_frame f;
    size_t used;
    int good = 0;
    while (zmtp_step(&z, buf_str(b), 1 << 20, &f, &used) == ZMTP_FRAME) {
        if (good)
            jupyter_msg_deinit(last);
        good += jupyter_read(&r, j, &f, last) == JUPYTER_MESSAGE;
        buf_consume(b, used);
    }
    jupyter_reader_deinit(&r);
    return good;
}

static void messages_are_signed_and_read(void **state)
{
    (void)state;
    struct jupyter j, other;
    struct jupyter_msg m;
    struct buf b;
    buf_init(&b, 0);
    jupyter_init(&j);
    jupyter_init(&other);
    assert_string_not_equal(j.key, other.key);
    json_t *content = json_pack("{s:s}", "code", "1+1");
    (void)zmtp_frame_put(&b, STR("an address"), true);
    assert_true(jupyter_put(&b, &j, "execute_request", "id-1", content));
    assert_int_equal(read_all(&b, &j, &m), 1);
    assert_string_equal(m.type, "execute_request");
    assert_string_equal(m.parent_id, "");
    assert_string_equal(json_string_value(json_object_get(m.content, "code")), "1+1");
    assert_string_equal(json_string_value(json_object_get(m.header, "msg_id")), "id-1");
    jupyter_msg_deinit(&m);

    assert_true(jupyter_put(&b, &j, "execute_request", "id-1", content));
    assert_int_equal(read_all(&b, &other, &m), 0); /* another's key */
    assert_true(jupyter_put(&b, &j, "execute_request", "id-1", content));
    b.p[b.len - 3] ^= 1; /* a changed byte of the content */
    assert_int_equal(read_all(&b, &j, &m), 0);
    json_decref(content);
    buf_deinit(&b);
}

static void ids_are_uuids(void **state)
{
    (void)state;
    char a[RAND_UUID_SIZE], b[RAND_UUID_SIZE];
    rand_uuid(a);
    rand_uuid(b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_true(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
    assert_string_not_equal(a, b);
}

/* -- lines -- */

static void check_line(struct buf *b, const char *want)
{
    assert_string_equal(buf_cstr(b), want);
    buf_reset(b);
}

static void texts_are_ascii_whatever_they_were(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    assert_true(line_put_text(
        &b, "stdout", STR("a\"\\\n\t\x01\x7f\xc3\xa9\xf0\x9f\x98\x80|\xff|\xed\xa0\x80"), 0));
    check_line(&b, "{\"type\": \"stdout\", \"text\": \"a\\\"\\\\\\n\\t\\u0001\\u007f\\u00e9"
                   "\\ud83d\\ude00|\\ufffd|\\ufffd\\ufffd\\ufffd\", "
                   "\"timestamp\": \"1970-01-01T00:00:00.000000Z\"}\n");
    assert_true(line_put_error(&b, "E", "v", STR("t\n")));
    check_line(
        &b, "{\"type\": \"error\", \"name\": \"E\", \"value\": \"v\", \"traceback\": \"t\\n\"}\n");
    assert_true(line_put_count(&b, 7));
    check_line(&b, "{\"type\": \"number_of_executions\", \"execution_count\": 7}\n");
    assert_true(line_put_word(&b, "end_of_execution"));
    check_line(&b, "{\"type\": \"end_of_execution\"}\n");
    assert_true(line_repair(&b, STR("a\xff"
                                    "b\xc3\xa9\xc3")));
    check_line(&b, "a\xef\xbf\xbd"
                   "b\xc3\xa9\xef\xbf\xbd");
    buf_deinit(&b);
}

static void results_have_fields_of_their_types(void **state)
{
    (void)state;
    static const struct {
        const char *data, *want;
    } cases[] = {
        { "{\"text/plain\": \"'x'\"}", "\"text\": \"x\", \"extra\": {}" },
        { "{\"text/plain\": \"\\\"x'\"}", "\"text\": \"\\\"x'\", \"extra\": {}" },
        { "{\"text/plain\": \"'\"}", "\"text\": \"'\", \"extra\": {}" },
        { "{\"text/latex\": \"$x$\"}", "\"latex\": \"$x$\", \"extra\": {}" },
        { "{\"text/html\": null}", "\"extra\": {}" },
        { "{\"e2b/chart\": {\"title\": null}}", "\"chart\": {\"title\":null}, \"extra\": {}" },
        { "{\"application/json\": [1, \"\\u00e9\"]}", "\"json\": [1,\"\\u00E9\"], \"extra\": {}" },
        { "{\"x/y\": 1, \"a/b\": {}}", "\"extra\": {\"x/y\": 1, \"a/b\": {}}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b;
        char want[256];
        json_t *data = json_loads(cases[i].data, 0, NULL);
        buf_init(&b, 0);
        assert_true(line_put_result(&b, data, true));
        (void)snprintf(want, sizeof want, "{\"type\": \"result\", \"is_main_result\": true, %s}\n",
                       cases[i].want);
        check_line(&b, want);
        json_decref(data);
        buf_deinit(&b);
    }
}

/* -- languages -- */

static void names_and_aliases(void **state)
{
    (void)state;
    static const char *const cases[][2] = { { "", "python" },       { " Python ", "python" },
                                            { "js", "javascript" }, { "TS", "typescript" },
                                            { "R", "r" },           { "bash", "bash" },
                                            { "java", "java" },     { "cobol", NULL } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct language *l = language_find(str_of(cases[i][0]));
        if (cases[i][1])
            assert_string_equal(l->name, cases[i][1]);
        else
            assert_null(l);
    }
}

static void environment_values_stay_values(void **state)
{
    (void)state;
    static const struct {
        const char *language, *want;
    } cases[] = {
        { "python", "__import__('os').environ[\"A\"] = \"q\\\"'\\\\\\x0a$x\"\n"
                    "__import__('os').environ[\"B;x\"] = \"1\"\n"
                    "__import__('os').environ.pop(\"C\", None)\n" },
        { "bash", "export A=$'q\"\\'\\\\\\012$x'\nunset C\n" }, /* B;x is no name there */
    };
    json_t *set = json_pack("{s:s, s:s}", "A", "q\"'\\\n$x", "B;x", "1");
    json_t *unset = json_pack("[s]", "C");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b;
        buf_init(&b, 0);
        language_put_env(&b, language_find(str_of(cases[i].language)), set, unset);
        assert_string_equal(buf_cstr(&b), cases[i].want);
        buf_deinit(&b);
    }
    json_decref(set);
    json_decref(unset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greeting_and_frames_are_read_at_every_split),
        cmocka_unit_test(what_is_not_zmtp_is_refused),
        cmocka_unit_test(messages_are_signed_and_read),
        cmocka_unit_test(ids_are_uuids),
        cmocka_unit_test(texts_are_ascii_whatever_they_were),
        cmocka_unit_test(results_have_fields_of_their_types),
        cmocka_unit_test(names_and_aliases),
        cmocka_unit_test(environment_values_stay_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
