/* Contexts over real sockets and real kernels: bash, and programs that are bad adapters. */
#include "tests.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "gen/limits.h"
#include "interp/context.h"
#include "wire/json.h"

#define PATIENCE_MS 100000 /* far more than anything here takes, and a test that hangs ends */

static struct loop *l;
static struct http_server *server;
static struct context *context;
static struct sockaddr_un address;
static socklen_t address_size;
static struct loop_timer pause_timer;
static size_t most_queued; /* bytes of answers that waited for their reader */
/* Seen between turns: what went over the limit inside one may have been sent in part meanwhile. */
#define MUCH (LIMIT_HTTP_OUT_SIZE / 2)

static void execute(struct http_call *c, struct str body)
{
    context_execute(context, c, json_parse(body, NULL), STR_NONE);
}

static void on_call(struct http_call *c, void *data)
{
    (void)data;
    http_call_collect(c, 1 << 20, execute, NULL);
}

static int setup(void **state)
{
    (void)state;
    address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    address_size = sizeof address;
    most_queued = 0;
    (void)signal(SIGPIPE, SIG_IGN);
    l = loop_new();
    server = http_server_new(
        &(struct http_server_spec){ .loop = l, .on_call = on_call, .conns_max = 100 });
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t));
    bound |= listen(fd, 100) | getsockname(fd, (struct sockaddr *)&address, &address_size);
    return bound | http_server_listen(server, fd, 0);
}

static int teardown(void **state)
{
    (void)state;
    loop_timer_cancel(&pause_timer);
    context_free(context);
    context = NULL;
    http_server_free(server);
    loop_free(l);
    return 0;
}

static void on_pause(struct loop_timer *t)
{
    (void)t;
    loop_stop(l);
}

static void turn(void)
{
    pause_timer = (struct loop_timer){ .fn = on_pause };
    assert_int_equal(loop_timer_start(l, &pause_timer, 3), 0);
    assert_int_equal(loop_run(l), 0);
    if (context && !list_empty(&context->queue)) {
        struct execution *x = LIST_OF(context->queue.next, struct execution, link);
        size_t n = x->http ? http_reply_queued(x->http) : 0;
        most_queued = n > most_queued ? n : most_queued;
    }
}

#define TURN_UNTIL(condition)                                                                      \
    for (int64_t end_ = clock_mono_ms() + PATIENCE_MS; !(condition);) {                            \
        assert_true(clock_mono_ms() < end_);                                                       \
        turn();                                                                                    \
    }

static void begin(const struct language *language)
{
    struct context_spec spec = { .loop = l, .language = language, .cwd = STR("/"), .dir = "/tmp" };
    context = context_new(&spec);
    assert_non_null(context);
}

/* A client that has asked for a cell. */
static int ask(const char *code, const char *variable)
{
    struct buf body, request;
    json_t *v = json_pack("{s:s}", "code", code);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (variable)
        (void)json_object_set_new(v, "env_vars", json_pack("{s:s}", variable, "given"));
    buf_init(&body, 0);
    buf_init(&request, 0);
    assert_true(json_put(&body, v));
    assert_true(buf_printf(&request, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                           buf_used(&body)) &&
                buf_append(&request, buf_str(&body)));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, address_size), 0);
    assert_int_equal(send(fd, request.p, request.len, 0), (ssize_t)request.len);
    buf_deinit(&body);
    buf_deinit(&request);
    json_decref(v);
    return fd;
}

/* Reads the answer to its last line and hangs up. */
static void hear(int fd, struct buf *answer)
{
    static char block[1 << 16];
    buf_reset(answer);
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < end;) {
        ssize_t n = recv(fd, block, sizeof block, 0);
        if (n > 0 && !buf_append(answer, str_make(block, (size_t)n)))
            break;
        if (n == 0 ||
            (answer->len > 7 && memcmp(answer->p + answer->len - 7, "\r\n0\r\n\r\n", 7) == 0))
            break;
        if (n < 0)
            turn();
    }
    assert_non_null(strstr(buf_cstr(answer), "end_of_execution"));
    close(fd);
}

static size_t count(const struct buf *b, char what)
{
    size_t n = 0;
    for (size_t i = 0; i < b->len; i++)
        n += b->p[i] == what;
    return n;
}

static void check(const char *code, const char *want)
{
    struct buf answer;
    buf_init(&answer, 0);
    hear(ask(code, NULL), &answer);
    if (!strstr(buf_cstr(&answer), want))
        fail_msg("%s: %s", code, buf_cstr(&answer));
    buf_deinit(&answer);
}

/* -- readers -- */

/* What a reader that does not read leaves in memory is bounded, and later it gets everything. */
static void nothing_is_lost_and_little_is_kept_for_a_slow_reader(void **state)
{
    static const char *const codes[] = { "head -c 20000000 /dev/zero | tr '\\0' '~'",
                                         "head -c 20000000 /dev/zero | tr '\\0' '~' >&2" };
    (void)state;
    begin(language_find(STR("bash")));
    for (size_t i = 0; i < 2; i++) {
        struct buf answer;
        buf_init(&answer, 0);
        int fd = ask(codes[i], NULL);
        TURN_UNTIL(most_queued > MUCH);
        for (int j = 0; j < 100; j++)
            turn();
        assert_in_range(most_queued, MUCH, LIMIT_HTTP_OUT_SIZE + (3 << 20));
        hear(fd, &answer);
        assert_int_equal(count(&answer, '~'), 20000000);
        buf_deinit(&answer);
    }
}

static void a_slow_reader_that_leaves_frees_the_context(void **state)
{
    (void)state;
    begin(language_find(STR("bash")));
    int fd = ask("yes", NULL);
    TURN_UNTIL(most_queued > MUCH);
    close(fd);
    check("echo next", "\"next\\n\"");
}

/* -- the queue -- */

static void fifty_wait_and_some_leave(void **state)
{
    int fds[50];
    char code[64];
    struct buf answer;
    (void)state;
    begin(language_find(STR("bash")));
    buf_init(&answer, 0);
    check("all=", "end_of");
    for (int i = 0; i < 50; i++) {
        (void)snprintf(code, sizeof code, "%s all+=' %d'", i ? "" : "sleep 0.3;", i);
        fds[i] = ask(code, NULL);
        turn(); /* in this order */
    }
    for (int i = 1; i < 50; i += 2)
        close(fds[i]);
    for (int i = 0; i < 50; i += 2)
        hear(fds[i], &answer);
    check("echo \"$all.\"",
          " 0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 32 34 36 38 40 42 44 46 48.");
    buf_deinit(&answer);
}

static void variables_of_a_client_that_left_are_taken_back(void **state)
{
    (void)state;
    begin(language_find(STR("bash")));
    check("export() { builtin export \"$@\"; sleep 0.2; }", "end_of");
    int fd = ask("echo never", "SECRET");
    TURN_UNTIL(context->step == CONTEXT_ENV);
    close(fd);
    check("unset -f export; echo \"[$SECRET]\"", "[]");
}

static void a_restart_ends_what_runs_and_serves_what_waits(void **state)
{
    struct buf answer;
    (void)state;
    buf_init(&answer, 0);
    begin(language_find(STR("bash")));
    int first = ask("sleep 100", NULL);
    TURN_UNTIL(context->step == CONTEXT_CODE);
    int second = ask("echo served", NULL);
    turn();
    context_restart(context);
    hear(first, &answer);
    assert_non_null(strstr(buf_cstr(&answer), "UnexpectedEndOfExecution"));
    hear(second, &answer);
    assert_non_null(strstr(buf_cstr(&answer), "served"));
    buf_deinit(&answer);
}

/* -- kernels that break -- */

static void a_shell_whose_descriptors_are_used_goes_on(void **state)
{
    (void)state;
    begin(language_find(STR("bash")));
    check("exec 3>&- 4>/dev/null 5>&1; echo 0 >&4; echo still >&5", "still");
    check("echo '9 9' >&199; sleep 0.1; echo all of it", "all of it"); /* not its number */
    check("exec 199>&-; sleep 5", "ContextRestarting");
    check("echo again", "again");
}

static const char *why_not;
static int told;
static void on_told(struct context_wait *w, struct context *c, const char *why)
{
    (void)w;
    (void)c;
    told++;
    why_not = why;
}

static void a_kernel_that_cannot_start_is_tried_again_when_asked(void **state)
{
    static const char *const argv[] = { "false", NULL };
    static const struct language l_false = { "false", LANGUAGE_ADAPTER, argv, .is_raw = true };
    struct context_wait w = { .fn = on_told };
    (void)state;
    begin(&l_false);
    for (told = 0; told < 2;) {
        int before = told;
        why_not = NULL;
        context_wait(context, &w);
        TURN_UNTIL(told > before);
        assert_non_null(why_not);
        assert_true(context_is_given_up(context));
    }
}

/* Sets variables as asked, then gets a cell. */
#define READY                                                                                      \
    "echo '{\"type\":\"ready\"}' >&4; read x <&3; echo '{\"type\":\"done\"}' >&4; read x <&3;"
/* Each ends its kernel, whose place a new one takes. */
static void adapters_that_talk_nonsense_are_replaced(void **state)
{
    static const char *const scripts[] = {
        READY "exec cat /dev/zero >&4", /* a line without an end */
        READY "exec 4>&-; sleep 9",
        READY "printf '{\"type\":' >&4",
    };
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        const char *const argv[] = { "bash", "-c", scripts[i], NULL };
        struct language bad = { "bad", LANGUAGE_ADAPTER, argv, .is_raw = true };
        begin(&bad);
        check("x", "ContextRestarting");
        TURN_UNTIL(context->is_ready);
        context_free(context);
        context = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_lost_and_little_is_kept_for_a_slow_reader, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_that_leaves_frees_the_context, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(fifty_wait_and_some_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(variables_of_a_client_that_left_are_taken_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restart_ends_what_runs_and_serves_what_waits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_shell_whose_descriptors_are_used_goes_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_kernel_that_cannot_start_is_tried_again_when_asked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(adapters_that_talk_nonsense_are_replaced, setup, teardown),
    };
    return cmocka_run_group_tests_name("interp-context", tests, NULL, NULL);
}
