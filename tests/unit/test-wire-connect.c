#include "tests.h"

#include "wire/connect.h"
#include "wire/message.h"
#include "wire/multipart.h"

/* -- base64 and envelopes -- */

static void base64_goes_both_ways(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "", "" },        { "f", "Zg==" },        { "fo", "Zm8=" },
        { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "\xff\xfe\xfb", "//77" }
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b;
        struct arena a;
        struct str out;
        buf_init(&b, 0);
        arena_init(&a, 0);
        connect_base64_put(&b, str_of(rows[i][0]));
        assert_str(buf_str(&b), rows[i][1]);
        assert_true(connect_base64_parse(&a, str_of(rows[i][1]), &out));
        assert_str(out, rows[i][0]);
        buf_deinit(&b);
        arena_deinit(&a);
    }
}

static void base64_takes_what_clients_send(void **state)
{
    (void)state;
    static const char *const good[] = { "Zg", "Zm8", "__77", "--8", "Zg==" };
    static const char *const bad[] = { "Z", "Zg=", "Zg===", "Zm9v=", "Z g=", "=", "====", "Zm\n8" };
    struct arena a;
    struct str out;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(connect_base64_parse(&a, str_of(good[i]), &out));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(connect_base64_parse(&a, str_of(bad[i]), &out));
    arena_deinit(&a);
}

static void an_envelope_is_taken_from_the_front(void **state)
{
    (void)state;
    char bytes[] = "\0\0\0\0\0{}rest";
    uint8_t flags;
    struct str payload;
    size_t used;
    connect_envelope_put(bytes, CONNECT_END, 2);
    for (size_t n = 0; n < 7; n++)
        assert_int_equal(connect_envelope_parse(str_make(bytes, n), 100, &flags, &payload, &used),
                         CONNECT_MORE);
    assert_int_equal(connect_envelope_parse(str_make(bytes, 11), 100, &flags, &payload, &used),
                     CONNECT_DONE);
    assert_int_equal(flags, CONNECT_END);
    assert_int_equal(used, 7);
    assert_str(payload, "{}");
    assert_int_equal(connect_envelope_parse(str_make(bytes, 11), 1, &flags, &payload, &used),
                     CONNECT_TOO_LARGE);
    assert_int_equal(
        connect_envelope_parse(str_make("\0\xff\xff\xff\xff", 5), 4194304, &flags, &payload, &used),
        CONNECT_TOO_LARGE);
}

static void strings_are_valid_json_whatever_is_in_them(void **state)
{
    (void)state;
    static const char *const rows[][2] = { { "a\"b\\c\n\x01", "\"a\\\"b\\\\c\\n\\u0001\"" },
                                           { "\xc3\xbc", "\"\xc3\xbc\"" },
                                           { "\xff", "\"\xef\xbf\xbd\"" },
                                           { "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
                                           { "\xed\xa0\x80",
                                             "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
                                           { "x\xe2\x82", "\"x\xef\xbf\xbd\xef\xbf\xbd\"" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b;
        buf_init(&b, 0);
        connect_string_put(&b, str_of(rows[i][0]));
        assert_str(buf_str(&b), rows[i][1]);
        buf_deinit(&b);
    }
}

/* -- messages -- */

struct inner {
    struct str text;
    bool has_text;
};
struct outer {
    struct str name, bytes;
    uint32_t count;
    int32_t delta, kind;
    int64_t big;
    bool flag;
    struct message_time when;
    struct inner *inner;
    struct message_list names, inners, pairs;
};

static const struct message_field inner_fields[] = {
    { "text", NULL, 1, MESSAGE_STR, offsetof(struct inner, text), offsetof(struct inner, has_text),
      0, 0 },
};
static const struct message_spec inner_spec = { "inner", sizeof(struct inner), inner_fields, 1 };
static const struct message_name kinds[] = { { "KIND_NONE", 0 }, { "KIND_ONE", 1 }, { NULL, 0 } };
#define FIELD(name, number, type, spec, names)                                                     \
    {                                                                                              \
#name, NULL, number, MESSAGE_##type, offsetof(struct outer, name), 0, spec, names          \
    }
static const struct message_field outer_fields[] = {
    FIELD(name, 1, STR, 0, 0),
    FIELD(bytes, 2, BYTES, 0, 0),
    FIELD(count, 3, U32, 0, 0),
    FIELD(delta, 4, S32, 0, 0),
    FIELD(kind, 5, ENUM, 0, kinds),
    FIELD(big, 6, I64, 0, 0),
    FIELD(flag, 7, BOOL, 0, 0),
    FIELD(when, 8, TIME, 0, 0),
    FIELD(inner, 9, SUB, &inner_spec, 0),
    FIELD(names, 10, STRS, 0, 0),
    FIELD(inners, 11, SUBS, &inner_spec, 0),
    { "pairs", "the_pairs", 12, MESSAGE_MAP, offsetof(struct outer, pairs), 0, 0, 0 },
};
static const struct message_spec outer_spec = { "outer", sizeof(struct outer), outer_fields, 12 };

#define FULL                                                                                       \
    "{\"name\":\"n\",\"bytes\":\"aGk=\",\"count\":4294967295,\"delta\":-3,\"kind\":\"KIND_ONE\","  \
    "\"big\":\"-9007199254740993\",\"flag\":true,\"when\":\"2026-11-21T05:00:00.000000001Z\","     \
    "\"inner\":{\"text\":\"\"},\"names\":[\"a\",\"b\"],\"inners\":[{\"text\":\"x\"},{}],"          \
    "\"pairs\":{\"k\":\"v\"}}"

static void *parse(struct arena *a, enum message_codec codec, struct str in)
{
    void *msg = NULL;
    char why[160];
    return message_parse(&outer_spec, codec, in, a, &msg, why) ? msg : NULL;
}

static void one_table_drives_both_codecs(void **state)
{
    (void)state;
    struct arena a;
    struct buf json, binary, again;
    arena_init(&a, 0);
    buf_init(&json, 0);
    buf_init(&binary, 0);
    buf_init(&again, 0);
    struct outer *msg = parse(&a, MESSAGE_JSON, STR(FULL));
    assert_non_null(msg);
    assert_int_equal(msg->big, -9007199254740993);
    msg->when.ns = 1; /* JSON times are read to the microsecond */
    message_put(&outer_spec, MESSAGE_JSON, msg, &json);
    assert_str(buf_str(&json), FULL);
    message_put(&outer_spec, MESSAGE_BINARY, msg, &binary);
    struct outer *back = parse(&a, MESSAGE_BINARY, buf_str(&binary));
    assert_non_null(back);
    message_put(&outer_spec, MESSAGE_JSON, back, &again);
    assert_str(buf_str(&again), FULL);
    for (size_t n = 0; n < buf_used(&binary); n++) /* no prefix may be read past its end */
        (void)parse(&a, MESSAGE_BINARY, str_make(buf_str(&binary).p, n));
    buf_deinit(&json);
    buf_deinit(&binary);
    buf_deinit(&again);
    arena_deinit(&a);
}

static void times_beyond_the_calendar_are_bounded(void **state)
{
    (void)state;
    static const struct {
        struct message_time time;
        const char *json;
    } rows[] = {
        { { INT64_MAX, 5 }, "{\"when\":\"9999-12-31T23:59:59.000000005Z\"}" },
        { { INT64_MIN, -5 }, "{\"when\":\"0001-01-01T00:00:00Z\"}" },
        { { 253402300799, 1000000000 }, "{\"when\":\"9999-12-31T23:59:59Z\"}" },
        { { -1, 0 }, "{\"when\":\"1969-12-31T23:59:59Z\"}" },
    };
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outer msg = { .when = rows[i].time };
        buf_reset(&b);
        message_put(&outer_spec, MESSAGE_JSON, &msg, &b);
        assert_str(buf_str(&b), rows[i].json);
    }
    buf_deinit(&b);
}

static void json_is_read_as_protobuf_maps_it(void **state)
{
    (void)state;
    static const char *const good[] = { "{}",
                                        "{\"unknown\":[1]}",
                                        "{\"name\":null}",
                                        "{\"count\":\"7\"}",
                                        "{\"count\":7.0}",
                                        "{\"kind\":1}",
                                        "{\"the_pairs\":{\"a\":\"b\"}}" };
    static const char *const bad[] = { "",
                                       "[]",
                                       "{",
                                       "{\"name\":1}",
                                       "{\"count\":-1}",
                                       "{\"count\":4294967296}",
                                       "{\"count\":1.5}",
                                       "{\"kind\":\"NOPE\"}",
                                       "{\"bytes\":\"!\"}",
                                       "{\"name\":\"a\\u0000b\"}",
                                       "{\"names\":[1]}",
                                       "{\"pairs\":{\"a\":1}}",
                                       "{\"inner\":[]}",
                                       "{\"flag\":\"true\"}",
                                       "{\"name\":\"a\",\"name\":\"b\"}" };
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_non_null(parse(&a, MESSAGE_JSON, str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(parse(&a, MESSAGE_JSON, str_of(bad[i])));
    arena_deinit(&a);
}

static void binary_refuses_what_is_not_protobuf(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    assert_null(parse(&a, MESSAGE_BINARY, str_make("\x0a\x05hi", 4)));   /* short */
    assert_null(parse(&a, MESSAGE_BINARY, str_make("\x0a\x03h\0i", 5))); /* NUL in a string */
    assert_null(parse(&a, MESSAGE_BINARY, str_make("\x08\x01", 2)));     /* number for text */
    assert_null(parse(&a, MESSAGE_BINARY, str_make("\x0b", 1)));         /* group */
    assert_null(
        parse(&a, MESSAGE_BINARY, str_make("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11)));
    assert_non_null(parse(&a, MESSAGE_BINARY, str_make("\x9a\x06\x01x\x18\x05", 6))); /* unknown */
    arena_deinit(&a);
}

/* -- multipart -- */

/* Everything told, as text, when the body comes in pieces of `step` bytes. */
static void tell(struct str body, size_t step, struct buf *out)
{
    struct multipart m;
    enum multipart_event e = MULTIPART_MORE;
    assert_true(multipart_init(&m, STR("multipart/form-data; boundary=\"XX\"")));
    while (body.n && e != MULTIPART_BAD) {
        struct str piece = str_make(body.p, step < body.n ? step : body.n);
        body = str_skip(body, piece.n);
        do {
            e = multipart_step(&m, &piece);
            if (e == MULTIPART_PART)
                buf_printf(out, "[" STR_FMT "|" STR_FMT ":", STR_ARG(m.name), STR_ARG(m.filename));
            else if (e == MULTIPART_DATA)
                buf_append(out, m.data);
            else if (e == MULTIPART_PART_END)
                buf_append(out, STR("]"));
            else if (e == MULTIPART_BAD)
                buf_append(out, STR("BAD"));
        } while (e == MULTIPART_PART || e == MULTIPART_DATA || e == MULTIPART_PART_END);
    }
    if (multipart_is_done(&m))
        buf_append(out, STR("."));
    multipart_deinit(&m);
}

static void parts_come_out_whatever_the_pieces(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d/a.txt\"\r\n"
          "Content-Type: x/y\r\n\r\nhello\r\n--XX--\r\n",
          "[file|d/a.txt:hello]." },
        { "preamble\r\n--XX \r\n\r\n\r\n--X\r\n--XX\r\ncontent-disposition:form-data;name=f;"
          "filename=\"a\\\"b\\c\"\r\n\r\n\r\r\n-\r\n--XX--epilogue",
          "[|:\r\n--X][f|a\"b\\c:\r\r\n-]." },
        { "--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\r\n--XX--", "[file|:]." },
        { "--XXjunk\r\n\r\n", "BAD" },
        { "--XX\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nopen", "[f|:open" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t step = 1; step < 40; step++) {
            struct buf out;
            buf_init(&out, 0);
            tell(str_of(rows[i][0]), step, &out);
            assert_str(buf_str(&out), rows[i][1]);
            buf_deinit(&out);
        }
}

static void a_boundary_is_needed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        ("multipart/form-data; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct multipart m;
        assert_false(multipart_init(&m, str_of(bad[i])));
        multipart_deinit(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_goes_both_ways),
        cmocka_unit_test(base64_takes_what_clients_send),
        cmocka_unit_test(an_envelope_is_taken_from_the_front),
        cmocka_unit_test(strings_are_valid_json_whatever_is_in_them),
        cmocka_unit_test(one_table_drives_both_codecs),
        cmocka_unit_test(times_beyond_the_calendar_are_bounded),
        cmocka_unit_test(json_is_read_as_protobuf_maps_it),
        cmocka_unit_test(binary_refuses_what_is_not_protobuf),
        cmocka_unit_test(parts_come_out_whatever_the_pieces),
        cmocka_unit_test(a_boundary_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
