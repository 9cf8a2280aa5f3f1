#include "tests.h"

#include "route/route.h"
#include "route/route_sign.h"

struct want {
    const char *host, *id, *port; /* fields; NULL: absent */
    const char *sandbox;          /* NULL: refused */
    int to;
    const char *why;
};

static void targets_are_found(void **state)
{
    (void)state;
    static const struct want cases[] = {
        { "localhost:3002", "iabc", "49983", "iabc", 49983, NULL },
        { "127.0.0.1:3002", "iabc", "8080", "iabc", 8080, NULL },
        { "[::1]:3002", "iabc", "8080", "iabc", 8080, NULL },
        { "sandbox.example.com", "iabc", "1", "iabc", 1, NULL },
        { "localhost", "iabc", NULL, NULL, 0, "missing header" },
        { "localhost", NULL, NULL, NULL, 0, "Invalid host" },
        { "8080-iabc.example.com", NULL, NULL, "iabc", 8080, NULL },
        { "8080-iabc-0a1b.example.com:443", NULL, NULL, "iabc", 8080, NULL },
        { "8080-iabc.example.com", "iother", "1", "iabc", 8080, NULL },  /* the name wins */
        { "belljar.lan:3002", "iabc", "49983", "iabc", 49983, NULL },    /* E2B_SANDBOX_URL */
        { "my-belljar.lan:3002", "iabc", "49983", "iabc", 49983, NULL }, /* the same */
        { "x-iabc.example.com", NULL, NULL, NULL, 0, "Invalid sandbox port" },
        { "0-iabc.example.com", NULL, NULL, NULL, 0, "Invalid sandbox port" },
        { "65536-iabc.example.com", NULL, NULL, NULL, 0, "Invalid sandbox port" },
        { "80-iA.example.com", NULL, NULL, NULL, 0, "Invalid sandbox ID" },
        { "80-.example.com", NULL, NULL, NULL, 0, "Invalid sandbox ID" },
        { "example", NULL, NULL, NULL, 0, "Invalid host" },
        { "localhost", "../x", "80", NULL, 0, "Invalid sandbox ID" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct want *w = &cases[i];
        struct http_head h = { .field_count = 0 };
        const char *const values[][2] = { { "host", w->host },
                                          { "E2b-Sandbox-Id", w->id },
                                          { "E2b-Sandbox-Port", w->port } };
        for (size_t j = 0; j < 3; j++)
            if (values[j][1])
                h.fields[h.field_count++] =
                    (struct http_field){ str_of(values[j][0]), str_of(values[j][1]) };
        struct route_target t;
        const char *why = NULL;
        int r = route_find(&h, &t, &why);
        assert_int_equal(r, w->sandbox ? 0 : 400);
        if (w->sandbox) {
            assert_str(t.id, w->sandbox);
            assert_int_equal(t.port, w->to);
        } else {
            assert_string_equal(why, w->why);
        }
    }
}

static void internal_paths_hide_nowhere(void **state)
{
    (void)state;
    static const char *const internal[] = { "/init",    "//init",   "/./init",        "/x/../init",
                                            "/%69nit",  "/init/",   "/INIT",          "/freeze",
                                            "/upgrade", "/%2finit", "/a/b/../../init" };
    static const char *const fine[] = { "/", "/initial", "/files", "/x/init", "/health" };
    for (size_t i = 0; i < sizeof internal / sizeof internal[0]; i++)
        assert_true(route_is_internal(str_of(internal[i])));
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        assert_false(route_is_internal(str_of(fine[i])));
}

/* Path hello.txt, user "user", read: the example of core.md 4.1. */
#define TOKEN STR("0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0")
#define QUERY "?path=hello.txt&username=user&signature="
#define SIGNATURE "v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E"

static void signed_urls_find_their_sandbox(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fields;
        int found;
        bool matches;
    } cases[] = {
        { "GET /files" QUERY SIGNATURE, "", ROUTE_SIGN_CLAIM, true },
        { "HEAD /files" QUERY SIGNATURE, "", ROUTE_SIGN_CLAIM, true },
        { "GET /archive" QUERY SIGNATURE, "", ROUTE_SIGN_CLAIM, true },
        { "GET /files?signature=v1_gUtH%2Fs9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E&path=hello%2Etxt"
          "&username=user",
          "", ROUTE_SIGN_CLAIM, true },
        { "OPTIONS /files" QUERY SIGNATURE, "Access-Control-Request-Method: GET\r\n",
          ROUTE_SIGN_CLAIM, true },
        { "POST /files" QUERY SIGNATURE, "", ROUTE_SIGN_CLAIM, false }, /* signed for reading */
        { "GET /files" QUERY SIGNATURE "&signature_expiration=1", "", ROUTE_SIGN_CLAIM, false },
        { "GET /files?path=other&username=user&signature=" SIGNATURE, "", ROUTE_SIGN_CLAIM, false },
        { "GET /files?path=hello.txt&signature=" SIGNATURE, "", ROUTE_SIGN_CLAIM, false },
        { "GET /files" QUERY "v1_short", "", ROUTE_SIGN_WRONG, false },
        { "GET /files" QUERY "v2_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E", "", ROUTE_SIGN_WRONG,
          false },
        /* the same bytes spelled otherwise */
        { "GET /files" QUERY "v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6F", "", ROUTE_SIGN_WRONG,
          false },
        { "GET /files" QUERY "v1_gUtH_s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E", "", ROUTE_SIGN_WRONG,
          false },
        { "GET /files" QUERY SIGNATURE "&signature_expiration=%zz", "", ROUTE_SIGN_WRONG, false },
        { "GET /files?path=hello.txt", "", ROUTE_SIGN_NONE, false },
        { "GET /other" QUERY SIGNATURE, "", ROUTE_SIGN_NONE, false },
        { "DELETE /files" QUERY SIGNATURE, "", ROUTE_SIGN_NONE, false },
        { "OPTIONS /files" QUERY SIGNATURE, "", ROUTE_SIGN_NONE, false },
        { "GET /files" QUERY SIGNATURE, "E2b-Sandbox-Id: iabc\r\n", ROUTE_SIGN_NONE, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct http_head h;
        struct arena mem;
        struct sign_probe probe;
        (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", cases[i].line,
                       cases[i].fields);
        assert_int_equal(http_parse_request(str_of(text), &h), HTTP_DONE);
        arena_init(&mem, 0);
        assert_int_equal(route_sign_find(&h, &mem, &probe), cases[i].found);
        if (cases[i].found == ROUTE_SIGN_CLAIM) {
            assert_int_equal(sign_probe_matches(&probe, TOKEN), cases[i].matches);
            assert_false(sign_probe_matches(&probe, STR("another")));
        }
        arena_deinit(&mem);
    }
}

static void searching_for_signatures_has_a_budget(void **state)
{
    (void)state;
    struct route_sign_budget b = { 0, 0 };
    assert_true(route_sign_may(&b, 1000000));
    assert_int_equal(b.left, LIMIT_EDGE_SIGN_TESTS); /* no more is saved up than for a second */
    b.left -= LIMIT_EDGE_SIGN_TESTS + 5000;
    assert_false(route_sign_may(&b, 1000000));
    assert_false(route_sign_may(&b, 1000010));
    assert_true(route_sign_may(&b, 1000011));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_found),
        cmocka_unit_test(internal_paths_hide_nowhere),
        cmocka_unit_test(signed_urls_find_their_sandbox),
        cmocka_unit_test(searching_for_signatures_has_a_budget),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
