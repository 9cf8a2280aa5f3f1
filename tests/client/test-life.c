/* Servers, keys, requests, and the life of sandboxes. */
#include "check.h"

static void test_open(void)
{
    char *key = strdup(getenv("E2B_API_KEY"));
    struct belljar *c = belljar_open(&(struct belljar_config){ .api_url = "ftp://x" });
    CHECK(!c && errno == EINVAL);
    CHECK_HAS(belljar_open_error(), "http://");
    c = belljar_open(&(struct belljar_config){ .api_key = "two words" });
    CHECK(!c && errno == EINVAL);
    c = belljar_open(&(struct belljar_config){ .domain = "a/b" });
    CHECK(!c && errno == EINVAL);
    CHECK_HAS(belljar_open_error(), "E2B_DOMAIN");
    unsetenv("E2B_API_KEY");
    CHECK(!belljar_open(NULL));
    CHECK_HAS(belljar_open_error(), "E2B_API_KEY");
    setenv("E2B_API_KEY", key, 1);
    free(key);
    c = belljar_open(NULL);
    CHECK(c && belljar_error(c) && belljar_status(c) == 0);
    belljar_close(c);
    belljar_close(NULL);
}

static void test_wrong_key(void)
{
    struct belljar *c = belljar_open(&(struct belljar_config){ .api_key = "e2b_0000" });
    CHECK(c && !belljar_create(c, NULL));
    CHECK(belljar_status(c) == 401 && belljar_errno(c) == EACCES);
    CHECK(belljar_error(c)[0]);
    belljar_close(c);
}

static void test_unreachable(void)
{
    struct belljar *c = belljar_open(&(struct belljar_config){ .api_url = "http://127.0.0.1:1" });
    CHECK(c && !belljar_create(c, NULL));
    CHECK(belljar_status(c) == 0 && belljar_errno(c) == ECONNREFUSED);
    CHECK_HAS(belljar_error(c), "http://127.0.0.1:1");
    CHECK_HAS(belljar_error(c), "is the server up");
    belljar_close(c);
    c = belljar_open(&(struct belljar_config){ .api_url = "http://no.such.host.invalid" });
    CHECK(c && !belljar_create(c, NULL) && belljar_errno(c) == EHOSTUNREACH);
    belljar_close(c);
}

static void test_request(void)
{
    char *next = (char *)"unset";
    char *text = belljar_request(b, "GET", "/v2/sandboxes?limit=1", NULL, &next);
    CHECK(text && text[0] == '[' && belljar_status(b) == 200);
    free(text);
    free(next);
    CHECK(!belljar_request(b, "GET", "/sandboxes/nosuch", NULL, NULL));
    CHECK(belljar_status(b) == 404 && belljar_errno(b) == ENOENT);
    CHECK_HAS(belljar_error(b), "nosuch");
    CHECK(!belljar_request(b, "GET", "no-slash", NULL, NULL) && belljar_errno(b) == EINVAL);
    CHECK(!belljar_request(b, "GET", "/a\r\nEvil: 1", NULL, NULL) && belljar_errno(b) == EINVAL);
    CHECK(!belljar_request(b, "G E", "/", NULL, NULL) && belljar_errno(b) == EINVAL);
    CHECK(!belljar_request(b, "POST", "/v2/sandboxes", "{", NULL) && belljar_status(b) == 400);
    CHECK(belljar_errno(b) == EINVAL);
    text = belljar_request(b, "GET", "/health", NULL, NULL);
    CHECK(text != NULL);
    free(text);
}

static void test_pages(void)
{
    struct belljar_sandbox *s[2] = { belljar_create(b, NULL), belljar_create(b, NULL) };
    char *next = NULL, *none = (char *)"unset", path[512];
    char *text = belljar_request(b, "GET", "/v2/sandboxes?limit=1", NULL, &next);
    if (CHECK(s[0] && s[1] && text && next)) {
        snprintf(path, sizeof path, "/v2/sandboxes?nextToken=%s", next);
        char *rest = belljar_request(b, "GET", path, NULL, &none);
        CHECK(rest && !none && (strstr(rest, belljar_id(s[0])) || strstr(rest, belljar_id(s[1]))));
        free(rest);
    }
    free(text);
    free(next);
    for (int i = 0; i < 2; i++) {
        CHECK(belljar_kill(s[i]) == 0);
        belljar_sandbox_free(s[i]);
    }
}

static void test_create(void)
{
    struct belljar_pair envs[] = { { "A", "1 2" }, { "U", "\xc3\xbc" }, { 0 } };
    struct belljar_pair metadata[] = { { "who", "me" }, { 0 } };
    struct belljar_sandbox *s = belljar_create(
        b, &(struct belljar_create_options){
               .from = "base", .timeout_s = 77, .envs = envs, .metadata = metadata });
    struct belljar_result r;
    char path[128];
    if (!CHECK(s && belljar_id(s)[0] == 'i'))
        return;
    CHECK(belljar_run(s, "echo $A$U", NULL, &r) == 0);
    CHECK_TEXT(r.out, "1 2\xc3\xbc\n");
    belljar_result_free(&r);
    snprintf(path, sizeof path, "/sandboxes/%s", belljar_id(s));
    char *text = belljar_request(b, "GET", path, NULL, NULL);
    CHECK_HAS(text, "\"who\":\"me\"");
    free(text);
    CHECK(belljar_set_timeout(s, 5) == 0);
    CHECK(belljar_kill(s) == 0);
    CHECK(belljar_kill(s) == -ENOENT && belljar_status(b) == 404);
    CHECK(belljar_set_timeout(s, 5) == -ENOENT);
    CHECK(belljar_run(s, "true", NULL, &r) == -EHOSTDOWN && belljar_status(b) == 502);
    CHECK(r.out && r.out[0] == '\0'); /* safe to look at */
    belljar_result_free(&r);
    belljar_result_free(&r);
    belljar_sandbox_free(s);
    CHECK(belljar_kill(NULL) == -EINVAL);
}

static void test_create_refused(void)
{
    struct belljar_pair bad[] = { { "A", "\xff" }, { 0 } };
    CHECK(!belljar_create(b, &(struct belljar_create_options){ .from = "no-such-template" }));
    CHECK(belljar_status(b) == 404 && belljar_errno(b) == ENOENT);
    CHECK_HAS(belljar_error(b), "no-such-template");
    CHECK(!belljar_create(b, &(struct belljar_create_options){ .envs = bad }));
    CHECK(belljar_status(b) == 0 && belljar_errno(b) == EILSEQ);
    CHECK(!belljar_create(b, &(struct belljar_create_options){ .timeout_s = -1 }));
    CHECK(belljar_status(b) == 400);
}

static void test_offline(void)
{
    struct belljar_sandbox *s =
        belljar_create(b, &(struct belljar_create_options){ .is_offline = true, .pauses = true });
    char path[128];
    if (!CHECK(s != NULL))
        return;
    snprintf(path, sizeof path, "/sandboxes/%s", belljar_id(s));
    char *text = belljar_request(b, "GET", path, NULL, NULL);
    CHECK_HAS(text, "\"allowInternetAccess\":false");
    CHECK_HAS(text, "\"onTimeout\":\"pause\"");
    free(text);
    CHECK(belljar_kill(s) == 0);
    belljar_sandbox_free(s);
}

static void test_pause(void)
{
    struct belljar_sandbox *s = belljar_create(b, NULL), *again;
    struct belljar_result r;
    if (!CHECK(s != NULL))
        return;
    CHECK(belljar_write(s, "kept", "x", 1) == 0);
    CHECK(belljar_pause(s) == 0);
    CHECK(belljar_pause(s) == -EBUSY && belljar_status(b) == 409);
    CHECK(belljar_run(s, "true", NULL, &r) == -EHOSTDOWN);
    belljar_result_free(&r);
    again = belljar_connect(b, belljar_id(s), 60);
    CHECK(again && strcmp(belljar_id(again), belljar_id(s)) == 0);
    CHECK(again && belljar_run(again, "cat kept", NULL, &r) == 0);
    CHECK_TEXT(r.out, "x");
    belljar_result_free(&r);
    CHECK(belljar_kill(again) == 0);
    belljar_sandbox_free(again);
    belljar_sandbox_free(s);
    CHECK(!belljar_connect(b, "inosuchsandbox", 0) && belljar_errno(b) == ENOENT);
    CHECK(!belljar_connect(b, "../../x", 0) && belljar_errno(b) == EINVAL);
    CHECK(!belljar_connect(b, NULL, 0) && belljar_errno(b) == EINVAL);
}

static void test_snapshot_and_fork(void)
{
    struct belljar_sandbox *s = belljar_create(b, NULL), *forks[2] = { 0 }, *other;
    struct belljar_result r;
    char path[256];
    if (!CHECK(s != NULL))
        return;
    CHECK(belljar_write(s, "mark", "here", 4) == 0);
    char *id = belljar_snapshot(s, NULL);
    CHECK(id != NULL);
    other = id ? belljar_create(b, &(struct belljar_create_options){ .from = id }) : NULL;
    CHECK(other && belljar_run(other, "cat mark", NULL, &r) == 0 && strcmp(r.out, "here") == 0);
    if (other)
        belljar_result_free(&r);
    CHECK(belljar_kill(other) == 0);
    belljar_sandbox_free(other);
    snprintf(path, sizeof path, "/templates/%.200s", id ? id : "");
    free(belljar_request(b, "DELETE", path, NULL, NULL));
    CHECK(belljar_status(b) == 204);
    free(id);
    CHECK(belljar_fork(s, 2, forks) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(forks[i] && belljar_run(forks[i], "cat mark", NULL, &r) == 0);
        CHECK_TEXT(r.out, "here");
        belljar_result_free(&r);
        CHECK(belljar_kill(forks[i]) == 0);
        belljar_sandbox_free(forks[i]);
    }
    CHECK(belljar_fork(s, 0, forks) == -EINVAL && belljar_status(b) == 400);
    CHECK(!belljar_snapshot(s, "Not A Name!") && belljar_status(b) == 400);
    CHECK(belljar_kill(s) == 0);
    CHECK(!belljar_snapshot(s, NULL) && belljar_errno(b) == ENOENT);
    CHECK(belljar_fork(s, 2, forks) == -ENOENT);
    belljar_sandbox_free(s);
}

static void test_url(void)
{
    struct belljar_sandbox *s = belljar_create(b, NULL);
    char *fields = NULL, want[256];
    if (!CHECK(s != NULL))
        return;
    char *url = belljar_url(s, 8080, &fields);
    snprintf(want, sizeof want, "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 8080\r\n", belljar_id(s));
    CHECK_TEXT(url, getenv("E2B_SANDBOX_URL"));
    CHECK_TEXT(fields, want);
    free(url);
    free(fields);
    url = belljar_url(s, 8080, NULL);
    CHECK(url != NULL);
    free(url);

    char *one_url = strdup(getenv("E2B_SANDBOX_URL"));
    unsetenv("E2B_SANDBOX_URL");
    struct belljar *by_name = belljar_open(NULL);
    struct belljar_sandbox *same = belljar_connect(by_name, belljar_id(s), 0);
    snprintf(want, sizeof want, "http://8080-%s.%s", belljar_id(s), getenv("E2B_DOMAIN"));
    if (CHECK(same != NULL)) {
        url = belljar_url(same, 8080, &fields);
        CHECK_TEXT(url, want);
        CHECK_TEXT(fields, "");
        free(url);
        free(fields);
    }
    belljar_sandbox_free(same);
    belljar_close(by_name);
    setenv("E2B_SANDBOX_URL", one_url, 1);
    free(one_url);
    CHECK(belljar_kill(s) == 0);
    belljar_sandbox_free(s);
}

int main(void)
{
    static const struct check tests[] = {
        { "open and what is missing", test_open },
        { "a wrong key", test_wrong_key },
        { "an unreachable server", test_unreachable },
        { "any request", test_request },
        { "a list of pages", test_pages },
        { "create with variables, kill, and what follows", test_create },
        { "create refused", test_create_refused },
        { "offline, and paused at its timeout", test_offline },
        { "pause and connect", test_pause },
        { "snapshot and fork", test_snapshot_and_fork },
        { "URLs of ports", test_url },
    };
    b = belljar_open(NULL);
    int rc = b ? check_all(tests, sizeof tests / sizeof *tests) : 1;
    belljar_close(b);
    return rc;
}
