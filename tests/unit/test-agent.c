#include "tests.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include "agent/agent.h"
#include "agent/env.h"
#include "agent/gunzip.h"
#include "agent/path.h"
#include "agent/range.h"
#include "agent/tree.h"
#include "wire/sign.h"

static void paths_are_resolved_as_the_client_means(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        /* path, workdir, result */
        { "", "", "/home/u" },      { "", "/w", "/w" },
        { "a", "/w", "/home/u/a" }, { "./a/../b//c/", "", "/home/u/b/c" },
        { "../../../x", "", "/x" }, { "~", "", "/home/u" },
        { "~/a", "", "/home/u/a" }, { "/x/../y/", "", "/x/../y/" }
    };
    struct user user = { .home = STR("/home/u") };
    struct arena a;
    struct str out;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(path_resolve(&a, str_of(rows[i][0]), &user, str_of(rows[i][1]), &out),
                         PATH_DONE);
        assert_str(out, rows[i][2]);
        assert_int_equal(out.p[out.n], 0);
    }
    assert_int_equal(path_resolve(&a, STR("~other/x"), &user, STR(""), &out), PATH_OTHER_HOME);
    assert_str(path_name(STR("/a/b/")), "b");
    assert_str(path_name(STR("/")), "/");
    assert_str(path_parent(STR("/a//b/")), "/a");
    assert_str(path_parent(STR("/a")), "/");
    arena_deinit(&a);
}

static void signatures_match_the_specification(void **state)
{
    (void)state;
    struct sign_claim c = { .path = STR("hello.txt"), .user = STR("user"), .operation = "read" };
    struct str token = STR("0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0");
    char out[SIGN_SIZE];
    sign_make(&c, token, out);
    assert_string_equal(out, "v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E");
    assert_int_equal(sign_check(&c, token, 100), SIGN_MISSING);
    c.signature = str_of(out);
    assert_int_equal(sign_check(&c, token, 100), SIGN_OK);
    assert_int_equal(sign_check(&c, STR("other"), 100), SIGN_WRONG);
    c.expiration = STR("99");
    assert_int_equal(sign_check(&c, token, 100), SIGN_WRONG); /* not signed with it */
    sign_make(&c, token, out);
    c.signature = str_of(out);
    assert_int_equal(sign_check(&c, token, 100), SIGN_EXPIRED);
    assert_int_equal(sign_check(&c, token, 99), SIGN_OK);
    c.expiration = STR("x");
    assert_int_equal(sign_check(&c, token, 99), SIGN_WRONG);
}

static struct range ask(const char *fields)
{
    static struct http_head h;
    static char text[512];
    (void)snprintf(text, sizeof text, "GET /files HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);
    assert_int_equal(http_parse_request(str_of(text), &h), HTTP_DONE);
    return range_decide(&h, 100, 784111777); /* Sun, 06 Nov 1994 08:49:37 GMT */
}

static void ranges_and_conditions(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        int status;
        int64_t offset, length;
    } rows[] = {
        { "", 200, 0, 100 },
        { "Range: bytes=0-9\r\n", 206, 0, 10 },
        { "Range: bytes=90-\r\n", 206, 90, 10 },
        { "Range: bytes=-10\r\n", 206, 90, 10 },
        { "Range: bytes=-1000\r\n", 206, 0, 100 },
        { "Range: bytes=50-1000\r\n", 206, 50, 50 },
        { "Range: bytes=100-\r\n", 416, 0, 0 },
        { "Range: bytes=-0\r\n", 416, 0, 0 },
        { "Range: bytes=5-4\r\n", 200, 0, 100 },
        { "Range: bytes=0-1,3-4\r\n", 200, 0, 100 },
        { "Range: lines=1-2\r\n", 200, 0, 100 },
        { "Range: bytes=0-9\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 206, 0, 10 },
        { "Range: bytes=0-9\r\nIf-Range: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200, 0, 100 },
        { "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304, 0, 0 },
        { "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200, 0, 100 },
        { "If-Modified-Since: nonsense\r\n", 200, 0, 100 },
        { "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 412, 0, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct range r = ask(rows[i].fields);
        assert_int_equal(r.status, rows[i].status);
        assert_int_equal(r.offset, rows[i].offset);
        assert_int_equal(r.length, rows[i].length);
    }
}

static void the_environment_is_built_in_order(void **state)
{
    (void)state;
    struct message_pair system[] = { { STR("A"), STR("system") }, { STR("S"), STR("s") } };
    struct message_pair user_envs[] = { { STR("A"), STR("user") },
                                        { STR("E2B_SANDBOX"), STR("no") } };
    struct message_pair request[] = { { STR("HOME"), STR("/r") }, { STR("PATH"), STR("/p:/q") } };
    struct identity id = { .sandbox_id = STR("isb"),
                           .system = { system, 2 },
                           .envs = { user_envs, 2 } };
    struct user user = { .name = STR("u"), .home = STR("/home/u") };
    struct message_list asked = { request, 2 };
    struct arena a;
    struct env e;
    arena_init(&a, 0);
    env_init(&e, &a);
    assert_true(env_fill(&e, &id, &user, &asked));
    char **all = env_array(&e);
    static const char *const want[] = { "PATH=/p:/q",       "HOME=/r",
                                        "USER=u",           "LOGNAME=u",
                                        "A=user",           "S=s",
                                        "E2B_SANDBOX=true", "E2B_SANDBOX_ID=isb" };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_string_equal(all[i], want[i]);
    char **paths = env_candidates(&e, STR("ls"));
    assert_string_equal(paths[0], "/p/ls");
    assert_string_equal(paths[1], "/q/ls");
    assert_null(paths[2]);
    paths = env_candidates(&e, STR("./ls"));
    assert_string_equal(paths[0], "./ls");
    env_deinit(&e);
    arena_deinit(&a);
}

static void gzip_is_bounded_and_whole(void **state)
{
    (void)state;
    static unsigned char plain[200000], packed[220000];
    z_stream z = { 0 };
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (unsigned char)(i * i >> 3);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = plain;
    z.avail_in = sizeof plain;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = z.total_out;
    (void)deflateEnd(&z);
    struct arena a;
    struct str out, in = str_make((const char *)packed, n);
    arena_init(&a, 0);
    assert_true(gunzip_all(&a, in, sizeof plain, &out));
    assert_int_equal(out.n, sizeof plain);
    assert_memory_equal(out.p, plain, sizeof plain);
    assert_false(gunzip_all(&a, in, sizeof plain - 1, &out));
    assert_false(gunzip_all(&a, str_make(in.p, n - 1), sizeof plain, &out));
    assert_false(gunzip_all(&a, STR("plain text"), 100, &out));
    arena_deinit(&a);
}

/* Deeper than there are descriptors, and deeper than a path may be long. */
static void a_deep_tree_is_removed(void **state)
{
    (void)state;
    char top[] = "/tmp/belljar-test-XXXXXX";
    assert_non_null(mkdtemp(top));
    int here = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(here, "deep", 0755), 0);
        int next = openat(here, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(here);
        here = next;
    }
    (void)close(here);
    assert_int_equal(tree_remove(top, 1000), TREE_TOO_MANY);
    assert_int_equal(tree_remove(top, UINT32_MAX), TREE_DONE);
    assert_int_equal(access(top, F_OK), -1);
    assert_int_equal(tree_remove(top, 1), TREE_DONE);
}

static void stop(struct loop_timer *t) { loop_stop(t->data); }

/* Lets the agent work for a moment; appends what it said. False: it closed the connection. */
static bool turn(struct agent *a, int fd, struct buf *out)
{
    struct loop_timer timer = { .fn = stop, .data = a->loop };
    char bytes[4096];
    assert_int_equal(loop_timer_start(a->loop, &timer, 20), 0);
    assert_int_equal(loop_run(a->loop), 0);
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++)
        (void)buf_byte(out, bytes[i] ? bytes[i] : '.');
    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* The memory for one event cannot be had: the client must not believe that nothing happened. */
static void a_message_that_is_lost_cuts_its_stream(void **state)
{
    (void)state;
    static struct agent a;
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    socklen_t len = sizeof sa;
    char dir[] = "/tmp/belljar-test-XXXXXX", text[512], file[128];
    struct buf out;
    buf_init(&out, 0);
    assert_non_null(mkdtemp(dir));
    list_init(&a.watches);
    buf_init(&a.frame, 64); /* stands for the end of memory */
    a.loop = loop_new();
    struct http_server_spec spec = {
        .loop = a.loop, .on_call = agent_on_call, .data = &a, .conns_max = 4
    };
    a.server = http_server_new(&spec);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 4) | getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(http_server_listen(a.server, fd, AGENT_TAG_ENVD), 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&sa, len), 0);
    int n = snprintf(text, sizeof text,
                     "POST /filesystem.Filesystem/WatchDir HTTP/1.1\r\nHost: x\r\n"
                     "Content-Type: application/connect+json\r\nContent-Length: %zu\r\n\r\n"
                     "%c%c%c%c%c{\"path\":\"%s\"}",
                     sizeof dir - 1 + 16, 0, 0, 0, 0, (int)sizeof dir - 1 + 11, dir);
    assert_int_equal(send(client, text, (size_t)n, 0), n);
    assert_true(turn(&a, client, &out));
    assert_non_null(strstr(buf_cstr(&out), "{\"start\":{}}"));
    (void)snprintf(file, sizeof file, "%s/%060d", dir, 0);
    assert_int_equal(mkdir(file, 0700), 0);
    while (turn(&a, client, &out))
        ;
    assert_null(strstr(buf_cstr(&out), "\r\n0\r\n\r\n"));
    assert_true(list_empty(&a.watches));
    assert_int_equal(tree_remove(dir, 10), TREE_DONE);
    (void)close(client);
    http_server_free(a.server);
    loop_free(a.loop);
    buf_deinit(&a.frame);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_resolved_as_the_client_means),
        cmocka_unit_test(signatures_match_the_specification),
        cmocka_unit_test(ranges_and_conditions),
        cmocka_unit_test(the_environment_is_built_in_order),
        cmocka_unit_test(gzip_is_bounded_and_whole),
        cmocka_unit_test(a_deep_tree_is_removed),
        cmocka_unit_test(a_message_that_is_lost_cuts_its_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
