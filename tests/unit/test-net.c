/* The HTTP server over real sockets, one thread: the client side is written and read in steps. */
#include "tests.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_server.h"

static struct loop *l;
static struct http_server *server;
static int gone_count, client;
static long counted;
static size_t flooded; /* bytes that were queued when the last /flood was told to stop */
static struct sockaddr_un address;
static socklen_t address_size;
static struct loop_timer pause_timer;

static void echo(struct http_call *c, struct str body)
{
    http_reply(c, 200, "text/plain", NULL, body);
}

static void on_gone(struct http_call *c)
{
    (void)c;
    gone_count++;
}

static void drain(struct http_call *c)
{
    static const char block[65536];
    long *left = c->data;
    while (*left > 0) {
        *left -= (long)sizeof block;
        if (!http_reply_write(c, str_make(block, sizeof block)))
            return;
    }
    http_reply_end(c);
}

static void count(struct http_call *c, struct str piece)
{
    (void)c;
    counted += (long)piece.n;
}

static void counted_all(struct http_call *c) { http_reply(c, 200, "text/plain", NULL, STR("ok")); }

static const struct http_call_ops big_ops = { .on_drain = drain, .on_gone = on_gone };
static const struct http_call_ops count_ops = { .on_body = count,
                                                .on_end = counted_all,
                                                .on_gone = on_gone };
static const struct http_call_ops hang_ops = { .on_gone = on_gone };

static void on_call(struct http_call *c, void *data)
{
    static long left;
    (void)data;
    if (str_eq(c->head.path, STR("/echo"))) {
        http_call_collect(c, 1000, echo, on_gone);
    } else if (str_eq(c->head.path, STR("/big"))) {
        left = 4 << 20;
        c->data = &left;
        c->ops = &big_ops;
        http_reply_begin(c, 200, "x/y", NULL, -1);
        drain(c);
    } else if (str_eq(c->head.path, STR("/count"))) {
        c->ops = &count_ops;
    } else if (str_eq(c->head.path, STR("/flood"))) {
        static const char block[4096];
        c->ops = &hang_ops;
        http_reply_begin(c, 200, "x/y", NULL, -1);
        while (http_reply_write(c, str_make(block, sizeof block)))
            ;
        flooded = http_reply_queued(c);
    } else if (str_eq(c->head.path, STR("/break"))) {
        c->ops = &hang_ops;
        http_reply_begin(c, 200, "x/y", NULL, -1);
        (void)http_reply_write(c, STR("half"));
        http_call_break(c);
    } else if (str_eq(c->head.path, STR("/hang"))) {
        c->ops = &hang_ops;
    } else {
        http_reply(c, 404, "application/json", NULL, STR("{}"));
    }
}

static int setup(void **state)
{
    (void)state;
    address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    address_size = sizeof address;
    l = loop_new();
    gone_count = 0;
    counted = 0;
    server = http_server_new(
        &(struct http_server_spec){ .loop = l, .on_call = on_call, .conns_max = 10 });
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* autobind: an abstract name */
    int bound = bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t));
    bound |= listen(fd, 16) | getsockname(fd, (struct sockaddr *)&address, &address_size);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return bound | http_server_listen(server, fd, 0) |
           connect(client, (struct sockaddr *)&address, address_size);
}

static int teardown(void **state)
{
    (void)state;
    if (client >= 0)
        close(client);
    loop_timer_cancel(&pause_timer);
    http_server_free(server);
    loop_free(l);
    return 0;
}

static void on_pause(struct loop_timer *t)
{
    (void)t;
    loop_stop(l);
}

/* Lets the server work for a moment. */
static void turn(void)
{
    pause_timer = (struct loop_timer){ .fn = on_pause };
    assert_int_equal(loop_timer_start(l, &pause_timer, 3), 0);
    assert_int_equal(loop_run(l), 0);
}

/* Sends all of `s` and reads what comes until nothing does; -1 in *end: the connection ended. */
static void talk(struct str s, struct buf *answer, bool *ended)
{
    static char block[1 << 16];
    *ended = false;
    buf_reset(answer);
    for (int quiet = 0; quiet < 3 && !*ended;) {
        ssize_t sent = s.n ? send(client, s.p, s.n, MSG_NOSIGNAL) : 0;
        if (sent > 0)
            s = str_skip(s, (size_t)sent);
        turn();
        ssize_t n = recv(client, block, sizeof block, 0);
        *ended = n == 0 || (n < 0 && errno != EAGAIN);
        if (n > 0)
            buf_append(answer, str_make(block, (size_t)n));
        quiet = n > 0 || sent > 0 ? 0 : quiet + 1;
    }
}

static uint32_t times(struct str s, const char *word)
{
    uint32_t n = 0;
    size_t w = strlen(word);
    for (size_t i = 0; i + w <= s.n; i++)
        n += memcmp(s.p + i, word, w) == 0;
    return n;
}

static void pipelined_requests_answer_in_order(void **state)
{
    (void)state;
    struct buf a;
    bool ended;
    buf_init(&a, 0);
    talk(STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\noneGET /no "
             "HTTP/1.1\r\nHost: x\r\n\r\n"
             "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
             "chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"),
         &a, &ended);
    const char *text = buf_cstr(&a), *one = strstr(text, "one"), *no = strstr(text, " 404 "),
               *two = strstr(text, "two");
    assert_true(one && no && two && one < no && no < two && !ended);
    buf_deinit(&a);
}

static void a_large_answer_waits_for_its_reader(void **state)
{
    (void)state;
    struct buf a;
    bool ended;
    buf_init(&a, 0);
    assert_true(send(client, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 31, 0) == 31);
    for (int i = 0; i < 5; i++)
        turn(); /* nobody reads: the handler was told to stop */
    talk(STR_NONE, &a, &ended);
    assert_true(buf_used(&a) > 4 << 20 && !ended);
    assert_int_equal(memcmp(a.p + a.len - 7, "\r\n0\r\n\r\n", 7), 0);
    buf_deinit(&a);
}

static void a_body_that_is_too_large_is_refused(void **state)
{
    (void)state;
    struct buf a, request;
    bool ended;
    buf_init(&a, 0);
    buf_init(&request, 0);
    buf_append(&request, STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"));
    for (int i = 0; i < 5000; i++)
        buf_byte(&request, 'x');
    buf_append(&request, STR("GET /no HTTP/1.1\r\nHost: x\r\n\r\n"));
    talk(buf_str(&request), &a, &ended);
    assert_int_equal(times(buf_str(&a), " 413 "), 1);
    assert_int_equal(times(buf_str(&a), " 404 "), 1); /* the connection was kept in step */
    buf_deinit(&a);
    buf_deinit(&request);
}

/* It will not be read to its end, so nobody may think that the connection can be used again. */
static void a_long_body_that_is_refused_ends_the_connection(void **state)
{
    static const char *const heads[] = { "Content-Length: 1000000\r\n\r\n",
                                         "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct buf a, request;
        bool ended;
        buf_init(&a, 0);
        buf_init(&request, 0);
        buf_printf(&request, "POST /echo HTTP/1.1\r\nHost: x\r\n%s", heads[i]);
        for (int j = 0; j < 2000; j++)
            buf_byte(&request, 'x');
        talk(buf_str(&request), &a, &ended);
        assert_int_equal(times(buf_str(&a), " 413 "), 1);
        assert_int_equal(times(buf_str(&a), "Connection: close\r\n"), 1);
        assert_true(ended);
        buf_deinit(&a);
        buf_deinit(&request);
        close(client);
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, address_size), 0);
    }
}

static void a_malformed_body_ends_the_call(void **state)
{
    (void)state;
    struct buf a;
    bool ended;
    buf_init(&a, 0);
    talk(STR("POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n"),
         &a, &ended);
    assert_true(ended && gone_count == 1 && counted == 3);
    assert_int_equal(times(buf_str(&a), " 400 "), 1);
    buf_deinit(&a);
}

static void a_client_that_leaves_is_noticed_once(void **state)
{
    (void)state;
    assert_true(send(client, "GET /hang HTTP/1.1\r\nHost: x\r\n\r\n", 32, 0) == 32);
    turn();
    assert_int_equal(gone_count, 0);
    close(client);
    client = -1;
    turn();
    assert_int_equal(gone_count, 1);
}

static void bytes_that_are_no_request_are_answered_400(void **state)
{
    (void)state;
    struct buf a;
    bool ended;
    buf_init(&a, 0);
    talk(STR("\x16\x03\x01 hello\r\n\r\n"), &a, &ended);
    assert_true(ended && times(buf_str(&a), " 400 ") == 1);
    buf_deinit(&a);
}

/* The first slow readers may have a lot waiting; when that adds up, the next ones get a piece. */
static void many_slow_readers_share_a_bound(void **state)
{
    (void)state;
    size_t first = 0;
    int fds[9];
    for (int i = 0; i < 9; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, address_size), 0);
        assert_true(send(fds[i], "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n", 32, 0) == 32);
        flooded = 0;
        for (int j = 0; j < 100 && !flooded; j++)
            turn();
        first = first ? first : flooded;
    }
    assert_true(first > LIMIT_HTTP_OUT_SIZE);
    assert_in_range(flooded, 4096, LIMIT_HTTP_OUT_SIZE / 3);
    for (int i = 0; i < 9; i++)
        close(fds[i]);
    turn();
    assert_int_equal(gone_count, 9);
}

static void a_call_that_is_broken_off_is_cut_and_told(void **state)
{
    (void)state;
    struct buf a;
    bool ended;
    buf_init(&a, 0);
    talk(STR("GET /break HTTP/1.1\r\nHost: x\r\n\r\n"), &a, &ended);
    assert_true(ended && gone_count == 1);
    assert_int_equal(times(buf_str(&a), "0\r\n\r\n"), 0); /* not a whole answer */
    buf_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pipelined_requests_answer_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_answer_waits_for_its_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_that_is_too_large_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_body_that_is_refused_ends_the_connection, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_malformed_body_ends_the_call, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_is_noticed_once, setup, teardown),
        cmocka_unit_test_setup_teardown(many_slow_readers_share_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_that_is_broken_off_is_cut_and_told, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_request_are_answered_400, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
