#include "tests.h"

#include "api/api_internal.h"
#include "api/list_query.h"
#include "wire/json.h"

static struct list_query q;
static struct op op;
static struct arena arena;

static int query(const char *text)
{
    json_decref(q.metadata);
    op = (struct op){ 0 };
    return list_query_parse(&op, &arena, str_of(text), &q);
}

static const char *meta(const char *key)
{
    return json_string_value(json_object_get(q.metadata, key));
}

static void metadata_is_decoded_three_times(void **state)
{
    (void)state;
    assert_int_equal(query("metadata=k%3Dv%26a%252520b%3D%2525C3%2525BC%252526%25253D"), 0);
    assert_int_equal(json_object_size(q.metadata), 2);
    assert_string_equal(meta("k"), "v");
    assert_string_equal(meta("a b"), "\xc3\xbc&=");
    assert_int_equal(query("metadata=a%252520b%3Dc%252526"), 0); /* SDK 1.5 */
    assert_string_equal(meta("a b"), "c&");
    assert_int_equal(query("metadata=a%3Db"), 0);
    assert_string_equal(meta("a"), "b");
    assert_int_equal(query("metadata="), 0);
    assert_int_equal(json_object_size(q.metadata), 0);
    static const char *const bad[] = { "metadata=a",   "metadata=a%3Db%3Dc", "metadata=a%3Db%26c",
                                       "metadata=%zz", "metadata=a%3D%2525", "metadata=a%3D%25FF" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(query(bad[i]), -EINVAL);
        assert_int_equal(fault_status(op.fault.code), 400);
        assert_null(q.metadata);
    }
}

static void filters_are_checked(void **state)
{
    (void)state;
    assert_int_equal(query(""), 0);
    assert_true(q.wants_running && q.wants_paused && !q.is_ascending && !q.has_token);
    assert_int_equal(q.limit, 100);
    assert_int_equal(query("state=running%2Cpaused&order=asc&limit=1000&template=base"), 0);
    assert_true(q.wants_running && q.wants_paused && q.is_ascending);
    assert_int_equal(q.limit, 100);
    assert_str(q.template, "base");
    assert_int_equal(query("state=paused&limit=2&order=desc&unknown=x"), 0);
    assert_true(!q.wants_running && q.wants_paused && q.limit == 2);
    assert_int_equal(query("state=running&state=paused"), 0);
    assert_true(q.wants_running && q.wants_paused);
    assert_int_equal(query("startedAfter=2026-11-20T00%3A00%3A00.000Z"), 0);
    assert_true(q.started_after_us == INT64_C(1795132800000000));
    assert_int_equal(query("startedAfter=2026-11-20T02:00:00.000001%2B02:00"), 0);
    assert_true(q.started_after_us == INT64_C(1795132800000001));
    static const char *const bad[] = { "state=gone",
                                       "order=up",
                                       "limit=0",
                                       "limit=-1",
                                       "limit=x",
                                       "limit=1.5",
                                       "startedAfter=yesterday",
                                       "nextToken=x",
                                       "nextToken=d12",
                                       "nextToken=d.iabc",
                                       "%=1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(query(bad[i]), -EINVAL);
}

static void tokens_belong_to_an_order(void **state)
{
    (void)state;
    char token[LIST_TOKEN_SIZE], text[128];
    list_token_print(token, false, 1790000000000001, "iabc");
    (void)snprintf(text, sizeof text, "nextToken=%s", token);
    assert_int_equal(query(text), 0);
    assert_true(q.has_token && q.token_us == 1790000000000001);
    assert_str(q.token_id, "iabc");
    (void)snprintf(text, sizeof text, "nextToken=%s&order=asc", token);
    assert_int_equal(query(text), -EINVAL);
    assert_string_equal(op.fault.text, "Invalid next token");
}

/* Reads the network part of a create of `version`: NULL when it is good, else status and sentence.
 */
static const char *network(int version, const char *text)
{
    static char said[300];
    struct sandbox_spec spec;
    struct op o = { 0 };
    json_t *body = json_parse(str_of(text), NULL);
    assert_non_null(body);
    assert_true(sandbox_spec_init(&spec));
    spec.secure = version == 2;
    int r = api_network_parse(&o, body, &spec);
    sandbox_spec_deinit(&spec);
    json_decref(body);
    (void)snprintf(said, sizeof said, "%d %s", fault_status(o.fault.code), o.fault.text);
    return r < 0 ? said : NULL;
}

static void network_promises_only_what_is_kept(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "{\"network\":{}}",
        "{\"network\":{\"allowPublicTraffic\":false,\"maskRequestHost\":\"localhost:${PORT}\"}}",
        "{\"network\":{\"denyOut\":[\"0.0.0.0/0\"]}}",
        "{\"network\":{\"allowOut\":[\"1.1.1.1\",\"10.0.0.0/8\",\"2001:db8::/32\"]}}",
        "{\"network\":{\"denyOut\":[],\"rules\":{},\"httpsPorts\":[],\"egressProxy\":null}}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_null(network(2, good[i]));
    static const struct {
        const char *body, *said;
    } bad[] = {
        { "{\"network\":null}", "400 validation error: network must be an object" },
        { "{\"network\":[]}", "400 validation error: network must be an object" },
        { "{\"network\":{\"allowPublicTraffic\":1}}",
          "400 validation error: allowPublicTraffic must be true or false" },
        { "{\"network\":{\"denyOut\":\"x\"}}",
          "400 validation error: denyOut must be an array of strings" },
        { "{\"network\":{\"denyOut\":[7]}}",
          "400 validation error: denyOut must be an array of strings" },
        { "{\"network\":{\"denyOut\":[\"example.com\"]}}", "400 invalid denied CIDR example.com" },
        { "{\"network\":{\"denyOut\":[\"1.2.3.4/33\"]}}", "400 invalid denied CIDR 1.2.3.4/33" },
        { "{\"network\":{\"allowOut\":[\"-x-\"]}}", "400 invalid allowed address or domain -x-" },
        { "{\"network\":{\"httpsPorts\":[49983]}}",
          "400 validation error: network.httpsPorts must hold ports from 1 to 65535, not 49983" },
        { "{\"network\":{\"httpsPorts\":[1,1]}}",
          "400 validation error: network.httpsPorts holds 1 twice" },
        { "{\"network\":{\"maskRequestHost\":\"a b\"}}",
          "400 validation error: network.maskRequestHost must be host[:port] in ASCII" },
        { "{\"network\":{\"egressProxy\":{\"address\":\"x:1\"}}}",
          "403 Egress proxy (network.egressProxy) is not enabled for this team." },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(network(2, bad[i].body), bad[i].said);
    /* what would be a protection and cannot be kept is refused */
    static const char *const refused[] = {
        "{\"network\":{\"denyOut\":[\"1.1.1.1\"]}}",
        "{\"network\":{\"denyOut\":[\"0.0.0.0/0\"],\"allowOut\":[\"example.com\"]}}",
        "{\"network\":{\"rules\":{\"a.com\":[{}]}}}",
        "{\"network\":{\"httpsPorts\":[443]}}",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_memory_equal(network(2, refused[i]), "501 ", 4);
    assert_non_null(
        strstr(network(2, "{\"network\":{\"allowOut\":[\"*.example.com\"]}}"), "ALL_TRAFFIC"));
    assert_memory_equal(network(1, "{\"network\":{\"allowPublicTraffic\":false}}"), "400 ", 4);
}

static void timeouts_have_their_sentences(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool zero;
        int r;
        const char *said;
    } cases[] = {
        { "{}", false, 0, "" },
        { "{\"timeout\":null}", false, 0, "" },
        { "{\"timeout\":1}", false, 1, "" },
        { "{\"timeout\":86400}", false, 1, "" },
        { "{\"timeout\":0}", true, 1, "" },
        { "{\"timeout\":0}", false, -EINVAL, "Timeout must be greater than 0" },
        { "{\"timeout\":-1}", true, -EINVAL, "Timeout must be greater than 0" },
        { "{\"timeout\":86401}", false, -EINVAL, "Timeout cannot be greater than 24 hours" },
        { "{\"timeout\":300.0}", false, -EINVAL,
          "validation error: timeout must be an integer of 32 bits" },
        { "{\"timeout\":\"300\"}", false, -EINVAL,
          "validation error: timeout must be an integer of 32 bits" },
        { "{\"timeout\":9223372036854775807}", false, -EINVAL,
          "validation error: timeout must be an integer of 32 bits" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct op o = { 0 };
        int64_t n = 0;
        json_t *body = json_parse(str_of(cases[i].body), NULL);
        assert_int_equal(api_field_timeout(&o, body, cases[i].zero, &n), cases[i].r);
        assert_string_equal(o.fault.text, cases[i].said);
        json_decref(body);
    }
}

static int teardown(void **state)
{
    (void)state;
    json_decref(q.metadata);
    arena_deinit(&arena);
    return 0;
}

int main(void)
{
    arena_init(&arena, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_decoded_three_times),
        cmocka_unit_test(filters_are_checked),
        cmocka_unit_test(tokens_belong_to_an_order),
        cmocka_unit_test(network_promises_only_what_is_kept),
        cmocka_unit_test(timeouts_have_their_sentences),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, teardown);
}
