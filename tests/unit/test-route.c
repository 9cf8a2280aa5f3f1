#include "tests.h"

#include "route/route.h"

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
        { "8080-iabc.example.com", "iother", "1", "iabc", 8080, NULL }, /* the name wins */
        { "belljar.lan:3002", "iabc", "49983", "iabc", 49983, NULL },   /* E2B_SANDBOX_URL */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_found),
        cmocka_unit_test(internal_paths_hide_nowhere),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
