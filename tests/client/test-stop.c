/* Giving up: calls that wait for a server which does not answer, and what is done about what they
 * began. A thread for each connection is the server; each test says how it behaves. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static struct belljar_sandbox *s;
static int listener, stop[2];
static atomic_int signals_sent, requests; /* that came to the server */
typedef void behaviour(int fd, const char *head, const char *path);
static _Atomic(behaviour *) behave;

/* -- the server -- */

static void put(int fd, const char *text) { (void)send(fd, text, strlen(text), MSG_NOSIGNAL); }

static void put_json(int fd, const char *status, const char *body)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", status,
                   strlen(body), body);
    put(fd, text);
}

static void put_start(int fd)
{
    static const char event[] = "{\"event\":{\"start\":{\"pid\":7}}}";
    char frame[5 + sizeof event] = { 0, 0, 0, 0, sizeof event - 1 };
    memcpy(frame + 5, event, sizeof event - 1);
    (void)send(fd, frame, 5 + sizeof event - 1, MSG_NOSIGNAL);
}
static void put_stream(int fd) { put(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"); }

/* Until the client leaves. */
static void hang(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        ;
}

static void give_up(void) { (void)!write(stop[1], "", 1); }

static void *serve_one(void *data)
{
    char in[16384], path[512] = "";
    int fd = (int)(intptr_t)data;
    size_t n = 0, length = 0;
    char *end = NULL;
    while (!end || n < (size_t)(end - in) + 4 + length) {
        ssize_t got = n < sizeof in - 1 ? recv(fd, in + n, sizeof in - 1 - n, 0) : 0;
        if (got <= 0)
            break;
        n += (size_t)got;
        in[n] = '\0';
        end = strstr(in, "\r\n\r\n");
        char *field = strcasestr(in, "content-length:");
        length = end && field && field < end ? strtoul(field + 15, NULL, 10) : 0;
    }
    if (end && sscanf(in, "%*15s %511s", path) == 1) {
        atomic_fetch_add(&requests, 1);
        if (strstr(path, "/SendSignal")) {
            atomic_fetch_add(&signals_sent, 1);
            put_json(fd, "200 OK", "{}");
        } else {
            atomic_load (&behave)(fd, in, path);
        }
    }
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
    return NULL;
}

static void *serve(void *data)
{
    pthread_t one;
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0)
        if (pthread_create(&one, NULL, serve_one, (void *)(intptr_t)fd) == 0)
            (void)pthread_detach(one);
    return data;
}

static void answer_sandbox(int fd, const char *head, const char *path)
{
    (void)head;
    (void)path;
    put_json(fd, "201 Created",
             "{\"sandboxID\":\"istop\",\"envdAccessToken\":\"t\",\"trafficAccessToken\":null}");
}

/* -- the tests -- */

static void begin(behaviour *how)
{
    char byte;
    belljar_set_stop(b, -1);
    while (read(stop[0], &byte, 1) == 1)
        ;
    belljar_set_stop(b, stop[0]);
    atomic_store(&signals_sent, 0);
    atomic_store(&requests, 0);
    atomic_store(&behave, how);
}

/* The caller gives up when the request is there, and no answer comes. */
static void answer_nothing(int fd, const char *head, const char *path)
{
    (void)head;
    (void)path;
    give_up();
    hang(fd);
}

static void answer_mute(int fd, const char *head, const char *path)
{
    (void)head;
    (void)path;
    hang(fd);
}

static void test_request(void)
{
    begin(answer_nothing);
    CHECK(!belljar_request(b, "GET", "/x", NULL, NULL));
    CHECK(belljar_errno(b) == ECANCELED && belljar_status(b) == 0);
    CHECK_HAS(belljar_error(b), "given up");
    atomic_store(&behave, answer_mute);
    CHECK(!belljar_request(b, "GET", "/x", NULL, NULL)); /* as long as it is readable */
    CHECK(belljar_errno(b) == ECANCELED);
    begin(answer_sandbox);
    char *text = belljar_request(b, "GET", "/x", NULL, NULL); /* and no longer */
    CHECK(text);
    free(text);
    give_up();
    belljar_set_stop(b, -1);
    text = belljar_request(b, "GET", "/x", NULL, NULL);
    CHECK(text);
    free(text);
    belljar_set_stop(b, 999);
    CHECK(!belljar_request(b, "GET", "/x", NULL, NULL) && belljar_errno(b) == EBADF);
}

static void test_start(void)
{
    begin(answer_nothing);
    CHECK(!belljar_start(s, "x", NULL));
    CHECK(belljar_errno(b) == ECANCELED && atomic_load(&signals_sent) == 0);
    struct belljar_result r;
    begin(answer_nothing);
    CHECK(belljar_run(s, "x", NULL, &r) == -ECANCELED);
    belljar_result_free(&r);
    begin(answer_nothing);
    struct belljar_execution e;
    CHECK(belljar_run_code(s, "x", NULL, &e) == -ECANCELED);
    belljar_execution_free(&e);
    begin(answer_nothing);
    CHECK(!belljar_watch(s, "x", false) && belljar_errno(b) == ECANCELED);
    begin(answer_nothing);
    CHECK(!belljar_tunnel(s, 80) && belljar_errno(b) == ECANCELED);
    begin(answer_nothing);
    CHECK(!belljar_create(b, NULL) && belljar_errno(b) == ECANCELED);
}

/* It had begun when the caller gave up, or begins a little later: it does not go on. */
static void answer_start(int fd, const char *head, const char *path)
{
    (void)head;
    (void)path;
    put_stream(fd);
    put_start(fd);
    hang(fd);
}
static void answer_begun(int fd, const char *head, const char *path)
{
    (void)head;
    (void)path;
    put_stream(fd);
    put_start(fd);
    give_up();
    hang(fd);
}

static void test_kill(void)
{
    struct belljar_result r;
    begin(answer_start);
    give_up(); /* before the answer can be there */
    CHECK(!belljar_start(s, "x", NULL));
    CHECK(belljar_errno(b) == ECANCELED && atomic_load(&signals_sent) == 1);
    begin(answer_begun);
    CHECK(belljar_run(s, "x", NULL, &r) == -ECANCELED);
    CHECK(atomic_load(&signals_sent) == 1);
    CHECK_HAS(belljar_error(b), "given up");
    belljar_result_free(&r);
    begin(answer_start); /* somebody else's */
    give_up();
    CHECK(!belljar_attach(s, 7));
    CHECK(belljar_errno(b) == ECANCELED && atomic_load(&signals_sent) == 0);
}

static void test_listen(void)
{
    struct belljar_event e;
    begin(answer_start);
    struct belljar_process *p = belljar_start(s, "x", NULL);
    give_up();
    CHECK(p && belljar_process_next(p, -1, -1, &e) == -ECANCELED);
    CHECK(atomic_load(&signals_sent) == 0); /* that is for the caller to say */
    belljar_set_stop(b, -1);
    CHECK(p && belljar_process_signal(p, SIGKILL) == 0);
    CHECK(p && belljar_process_next(p, -1, 20, &e) == 0 && e.kind == BELLJAR_NOTHING);
    belljar_process_free(p);
}

/* A build: the ids are waited for, and then it is cancelled, whatever it was about to do. */
static atomic_int cancels;
static void answer_build(int fd, const char *head, const char *path)
{
    static const char made[] = "{\"templateID\":\"t1\",\"buildID\":\"b1\"}";
    (void)head;
    if (strcmp(path, "/v3/templates") == 0) {
        give_up();
        put_json(fd, "202 Accepted", made);
    } else if (strcmp(path, "/templates/t1/builds/b1/cancel") == 0) {
        atomic_fetch_add(&cancels, 1);
        put(fd, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    } else {
        hang(fd);
    }
}
static void answer_old_build(int fd, const char *head, const char *path)
{
    if (strstr(path, "/cancel"))
        put_json(fd, "404 Not Found", "{\"code\":404,\"message\":\"no such path\"}");
    else
        answer_build(fd, head, path);
}

static void test_build(void)
{
    const struct belljar_build_options o = { .name = "n" };
    begin(answer_build);
    CHECK(!belljar_build(b, "FROM base\nRUN true\n", &o));
    CHECK(belljar_errno(b) == ECANCELED && atomic_load(&cancels) == 1);
    CHECK_TEXT(belljar_error(b), "the build was cancelled");
    atomic_store(&requests, 0);
    CHECK(!belljar_build(b, "FROM base\n", &o)); /* not even asked for */
    CHECK(belljar_errno(b) == ECANCELED && atomic_load(&requests) == 0);
    begin(answer_old_build);
    CHECK(!belljar_build(b, "FROM base\n", &o));
    CHECK_TEXT(belljar_error(b), "the build goes on, it cannot be cancelled: no such path (404)");
}

/* -- "come again later" -- */

/* What each request is answered, in turn; the last one for all that follow. */
static const char *const *turns;
static atomic_int keyed; /* requests with the key */
static void answer_turns(int fd, const char *head, const char *path)
{
    (void)path;
    atomic_fetch_add(&keyed, strstr(head, "\r\nIdempotency-Key: key-1\r\n") != NULL);
    int at = 0;
    while (at < atomic_load(&requests) - 1 && turns[at + 1])
        at++;
    put(fd, turns[at]);
}
#define LATER(seconds)                                                                             \
    "HTTP/1.1 429 Slow down\r\nConnection: close\r\nContent-Length: 29\r\n"                        \
    "Retry-After: " seconds "\r\n\r\n{\"code\":429,\"message\":\"slow\"}"
#define LIMITED "HTTP/1.1 429 Full\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
#define BUSY "HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 2\r\nRetry-After: 1\r\n\r\n{}"
#define MADE                                                                                       \
    "HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 22\r\n\r\n"                      \
    "{\"sandboxID\":\"iagain\"}"

/* The requests that a call made of it; *rc: 0 or what failed. */
static int asked(const char *const *answers, const char *method, int *rc)
{
    begin(answer_turns);
    turns = answers;
    char *text = belljar_request(b, method, "/x", NULL, NULL);
    *rc = text ? 0 : belljar_errno(b);
    free(text);
    return atomic_load(&requests);
}

static void test_later(void)
{
    static const char *const once[] = { LATER("1"), MADE, NULL };
    static const char *const ever[] = { LATER("1"), NULL };
    static const char *const long_wait[] = { LATER("11"), MADE, NULL };
    static const char *const together[] = { LATER("1"), LATER("10"), MADE, NULL };
    static const char *const endless[] = { LATER("99999999999999999999"), MADE, NULL };
    static const char *const nonsense[] = { LATER("soon"), MADE, NULL };
    static const char *const full[] = { LIMITED, MADE, NULL };
    static const char *const busy[] = { BUSY, MADE, NULL };
    static const struct {
        const char *const *answers, *method;
        int requests, rc;
    } cases[] = { { once, "GET", 2, 0 },          { once, "DELETE", 2, 0 },
                  { once, "POST", 1, EAGAIN },    { once, "PATCH", 1, EAGAIN },
                  { ever, "GET", 3, EAGAIN },     { long_wait, "GET", 1, EAGAIN },
                  { together, "GET", 2, EAGAIN }, { endless, "GET", 1, EAGAIN },
                  { nonsense, "GET", 1, EAGAIN }, { full, "GET", 1, EAGAIN },
                  { busy, "GET", 1, EAGAIN } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc, n = asked(cases[i].answers, cases[i].method, &rc);
        if (!CHECK(n == cases[i].requests && rc == cases[i].rc))
            printf("# case %zu: %d requests, %d\n", i, n, rc);
    }
}

static void test_key(void)
{
    static const char *const once[] = { LATER("1"), MADE, NULL };
    struct belljar_create_options o = { .idempotency_key = "key-1" };
    begin(answer_turns);
    turns = once;
    struct belljar_sandbox *made = belljar_create(b, &o);
    CHECK(made && atomic_load(&requests) == 2 && atomic_load(&keyed) == 2);
    belljar_sandbox_free(made);
    begin(answer_turns);
    CHECK(!belljar_create(b, NULL) && belljar_status(b) == 429);
    CHECK(atomic_load(&requests) == 1);
    static const char *const bad[] = { "", "Key", "a b", "a\r\nEvil: 1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(answer_turns);
        o.idempotency_key = bad[i];
        CHECK(!belljar_create(b, &o) && belljar_errno(b) == EINVAL);
        CHECK(atomic_load(&requests) == 0);
    }
}

/* Nobody has to sit it out. */
static void answer_later(int fd, const char *head, const char *path)
{
    (void)head;
    (void)path;
    put(fd, LATER("10"));
    give_up();
}

static void test_leave(void)
{
    begin(answer_later);
    CHECK(!belljar_request(b, "GET", "/x", NULL, NULL));
    CHECK(belljar_errno(b) == ECANCELED && atomic_load(&requests) == 1);
}

int main(void)
{
    static const struct check tests[] = {
        { "a request without an answer is given up", test_request },
        { "so are commands, code, watches, tunnels and creates", test_start },
        { "what began all the same is killed, what others began is not", test_kill },
        { "who listens to a process decides what becomes of it", test_listen },
        { "a build that is given up is cancelled", test_build },
        { "429 with Retry-After: asked again when it may be, for so long", test_later },
        { "a create with an Idempotency-Key is, and without one is not", test_key },
        { "that wait is given up too", test_leave },
    };
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    pthread_t server;
    char url[64];
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16) ||
        getsockname(listener, (struct sockaddr *)&at, &size) ||
        pipe2(stop, O_NONBLOCK | O_CLOEXEC) || pthread_create(&server, NULL, serve, NULL))
        return 2;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(at.sin_port));
    b = belljar_open(
        &(struct belljar_config){ .api_key = "e2b_0", .api_url = url, .sandbox_url = url });
    atomic_store(&behave, answer_sandbox);
    s = b ? belljar_create(b, NULL) : NULL;
    int status = s ? check_all(tests, sizeof tests / sizeof *tests) : 2;
    belljar_sandbox_free(s);
    belljar_close(b);
    (void)shutdown(listener, SHUT_RDWR);
    (void)pthread_join(server, NULL);
    (void)close(listener);
    return status;
}
