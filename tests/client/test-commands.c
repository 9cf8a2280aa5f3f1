/* Commands: run to their end, and listened to. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static struct belljar_sandbox *s;

static void test_run(void)
{
    struct belljar_pair envs[] = { { "X", "y z" }, { 0 } };
    struct belljar_run_options o = { .user = "root", .cwd = "/tmp", .envs = envs };
    struct belljar_result r;
    CHECK(belljar_run(s, "echo out; echo err >&2; exit 3", NULL, &r) == 0);
    CHECK_TEXT(r.out, "out\n");
    CHECK_TEXT(r.err, "err\n");
    CHECK(r.exit_code == 3 && r.out_size == 4 && r.err_size == 4 && !r.error);
    belljar_result_free(&r);
    CHECK(belljar_run(s, "id -un; pwd; echo \"$X\"; cat", &o, &r) == 0);
    CHECK_TEXT(r.out, "root\n/tmp\ny z\n"); /* and its input is empty */
    belljar_result_free(&r);
    CHECK(belljar_run(s, "kill -9 $$", NULL, &r) == 0 && r.exit_code == -1);
    CHECK_TEXT(r.error, "signal: killed");
    belljar_result_free(&r);
    CHECK(belljar_run(s, "printf 'a\\0b\\377'", NULL, &r) == 0 && r.out_size == 4);
    CHECK(memcmp(r.out, "a\0b\377", 5) == 0); /* bytes are bytes; a NUL follows */
    belljar_result_free(&r);
    CHECK(belljar_run(s, "tty; stty size", &(struct belljar_run_options){ .cols = 90, .rows = 20 },
                      &r) == 0);
    CHECK_HAS(r.out, "/dev/pts/");
    CHECK_HAS(r.out, "20 90");
    belljar_result_free(&r);
}

static void test_run_refused(void)
{
    struct belljar_result r;
    CHECK(belljar_run(s, "true", &(struct belljar_run_options){ .user = "nobody-here" }, &r) ==
          -EACCES);
    CHECK_HAS(belljar_error(b), "nobody-here");
    belljar_result_free(&r);
    CHECK(belljar_run(s, "true", &(struct belljar_run_options){ .cwd = "/no/such" }, &r) ==
          -EINVAL);
    CHECK_HAS(belljar_error(b), "/no/such");
    belljar_result_free(&r);
    CHECK(belljar_run(s, "echo \xff", NULL, &r) == -EILSEQ);
    belljar_result_free(&r);
    CHECK(belljar_run(s, "echo before; sleep 60",
                      &(struct belljar_run_options){ .timeout_ms = 300 }, &r) == -ETIMEDOUT);
    CHECK_HAS(belljar_error(b), "300 ms");
    CHECK_TEXT(r.out, "before\n"); /* what came is there */
    belljar_result_free(&r);
    CHECK(belljar_run(s, "pgrep -c sleep", NULL, &r) == 0);
    CHECK_TEXT(r.out, "0\n");
    belljar_result_free(&r);
}

static void test_run_much(void)
{
    struct belljar_result r;
    size_t size = 20u << 20;
    CHECK(belljar_run(s, "head -c 20971520 /dev/zero | tr '\\0' x", NULL, &r) == 0);
    CHECK(r.out_size == size && r.out[0] == 'x' && r.out[size - 1] == 'x' && !r.out[size]);
    belljar_result_free(&r);
    CHECK(belljar_run(s, "yes", &(struct belljar_run_options){ .size_max = 1 << 20 }, &r) ==
          -EMSGSIZE);
    CHECK(r.out_size <= 1 << 20 && r.out_size > 1 << 19);
    CHECK_HAS(belljar_error(b), "1048576");
    belljar_result_free(&r);
    CHECK(belljar_run(s, "pgrep -c yes", NULL, &r) == 0);
    CHECK_TEXT(r.out, "0\n"); /* it was killed */
    belljar_result_free(&r);
}

struct seen {
    size_t out, err, calls;
    char last[64];
};
static void see_out(void *data, const char *bytes, size_t size)
{
    struct seen *seen = data;
    seen->out += size;
    seen->calls++;
    snprintf(seen->last, sizeof seen->last, "%.*s", (int)size, bytes);
}
static void see_err(void *data, const char *bytes, size_t size)
{
    struct seen *seen = data;
    (void)bytes;
    seen->err += size;
}

/* A callback may use the library itself. */
static void see_and_run(void *data, const char *bytes, size_t size)
{
    struct belljar_result r;
    if (belljar_run(s, "echo inner", NULL, &r) == 0)
        see_out(data, r.out, r.out_size);
    belljar_result_free(&r);
    (void)bytes;
    (void)size;
}

static void test_callbacks(void)
{
    struct seen seen = { 0 };
    struct belljar_run_options o = { .on_stdout = see_out, .data = &seen, .size_max = 10 };
    struct belljar_result r;
    CHECK(belljar_run(s, "head -c 5000000 /dev/zero; echo e >&2", &o, &r) == 0);
    CHECK(seen.out == 5000000 && seen.calls > 1 && r.out_size == 0);
    CHECK_TEXT(r.err, "e\n");
    belljar_result_free(&r);
    o.on_stderr = see_err;
    CHECK(belljar_run(s, "echo abc >&2", &o, &r) == 0 && seen.err == 4 && r.err_size == 0);
    belljar_result_free(&r);
    o.on_stdout = see_and_run;
    CHECK(belljar_run(s, "echo outer", &o, &r) == 0);
    CHECK_TEXT(seen.last, "inner\n");
    belljar_result_free(&r);
}

/* Collects until the end; the exit code, or a negative errno. */
static int drain(struct belljar_process *p, char *out, size_t size)
{
    struct belljar_event e;
    size_t n = 0;
    int rc;
    while ((rc = belljar_process_next(p, -1, 10000, &e)) == 0 && e.kind <= BELLJAR_TERMINAL)
        for (size_t i = 0; i < e.size && n + 1 < size; i++)
            out[n++] = e.bytes[i];
    out[n] = '\0';
    return rc < 0 ? rc : e.kind == BELLJAR_EXITED ? e.exit_code : -ETIME;
}

static void test_process(void)
{
    struct belljar_event e;
    char out[256];
    static char big[300000];
    struct belljar_process *p =
        belljar_start(s, "wc -c", &(struct belljar_run_options){ .has_stdin = true });
    if (!CHECK(p && belljar_process_pid(p) > 0))
        return;
    CHECK(belljar_process_next(p, -1, 50, &e) == 0 && e.kind == BELLJAR_NOTHING);
    CHECK(belljar_process_next(p, -1, 0, &e) == 0 && e.kind == BELLJAR_NOTHING);
    CHECK(belljar_process_write(p, big, sizeof big) == 0);
    CHECK(belljar_process_write(p, NULL, 0) == 0);
    CHECK(belljar_process_close_stdin(p) == 0);
    CHECK(drain(p, out, sizeof out) == 0);
    CHECK_TEXT(out, "300000\n");
    CHECK(belljar_process_next(p, -1, 0, &e) == 0 && e.kind == BELLJAR_EXITED); /* for ever */
    CHECK(belljar_process_write(p, "x", 1) < 0);
    belljar_process_free(p);
    belljar_process_free(NULL);

    p = belljar_start(s, "sleep 60", NULL);
    CHECK(p && belljar_process_write(p, "x", 1) < 0); /* it has none */
    CHECK(p && belljar_process_signal(p, SIGINT) == -EINVAL);
    CHECK(p && belljar_process_signal(p, SIGTERM) == 0);
    CHECK(p && belljar_process_next(p, -1, 5000, &e) == 0 && e.kind == BELLJAR_EXITED &&
          strcmp(e.error, "signal: terminated") == 0);
    belljar_process_free(p);
    CHECK(!belljar_start(s, NULL, NULL) && belljar_errno(b) == EINVAL);
    CHECK(!belljar_attach(s, 999999) && belljar_errno(b) == ENOENT);
}

static void test_attach(void)
{
    char out[256];
    struct belljar_process *p =
        belljar_start(s, "read x; echo got $x", &(struct belljar_run_options){ .has_stdin = true });
    struct belljar_process *q = p ? belljar_attach(s, belljar_process_pid(p)) : NULL;
    if (!CHECK(p && q))
        return;
    CHECK(belljar_process_pid(q) == belljar_process_pid(p));
    belljar_process_free(p); /* it goes on */
    CHECK(belljar_process_write(q, "that\n", 5) == 0);
    CHECK(drain(q, out, sizeof out) == 0);
    CHECK_TEXT(out, "got that\n");
    belljar_process_free(q);
}

static void test_terminal(void)
{
    char out[4096];
    struct belljar_run_options size = { .cols = 80, .rows = 24 };
    struct belljar_process *p = belljar_start(s, NULL, &size);
    struct belljar_process *q = p ? belljar_attach(s, belljar_process_pid(p)) : NULL;
    if (!CHECK(p && q))
        return;
    CHECK(belljar_process_resize(p, 111, 22) == 0);
    CHECK(belljar_process_write(p, "stty size; echo $TERM\n", 22) == 0);
    CHECK(belljar_process_write(q, "exit 4\n", 7) == 0); /* finds out that it is a terminal */
    CHECK(drain(p, out, sizeof out) == 4);
    CHECK_HAS(out, "22 111");
    CHECK_HAS(out, "xterm-256color");
    belljar_process_free(p);
    belljar_process_free(q);
    p = belljar_start(s, "sleep 9", NULL);
    CHECK(p && belljar_process_resize(p, 1, 1) < 0); /* it has no terminal */
    CHECK(p && belljar_process_signal(p, SIGKILL) == 0);
    belljar_process_free(p);
}

static void test_two_at_once(void)
{
    char out[256];
    struct belljar_run_options o = { .has_stdin = true };
    struct belljar_process *flood =
        belljar_start(s, "yes | head -c 30000000; echo; echo done", NULL);
    struct belljar_process *calm = belljar_start(s, "read x; echo calm $x", &o);
    if (!CHECK(flood && calm))
        return;
    CHECK(belljar_process_write(calm, "1\n", 2) == 0);
    CHECK(drain(calm, out, sizeof out) == 0);
    CHECK_TEXT(out, "calm 1\n");
    struct belljar_event e;
    size_t n = 0;
    int rc;
    while ((rc = belljar_process_next(flood, -1, 10000, &e)) == 0 && e.kind == BELLJAR_STDOUT)
        n += e.size;
    CHECK(rc == 0 && e.kind == BELLJAR_EXITED && n == 30000006); /* nothing was lost */
    belljar_process_free(flood);
    belljar_process_free(calm);
}

static void test_descriptor(void)
{
    struct belljar_event e;
    int fds[2], readable = 0, events = 0;
    struct belljar_process *p = belljar_start(s, "yes", NULL);
    if (!CHECK(p && pipe(fds) == 0))
        return;
    CHECK(write(fds[1], "x", 1) == 1);
    while (readable <= 10 || events <= 10) { /* neither starves */
        if (!CHECK(belljar_process_next(p, fds[0], 5000, &e) == 0))
            break;
        readable += e.kind == BELLJAR_READABLE;
        events += e.kind == BELLJAR_STDOUT;
    }
    CHECK(belljar_process_signal(p, SIGKILL) == 0);
    belljar_process_free(p);
    p = belljar_start(s, "sleep 9", NULL);
    CHECK(p && belljar_process_next(p, fds[0], -1, &e) == 0 && e.kind == BELLJAR_READABLE);
    char c;
    CHECK(read(fds[0], &c, 1) == 1);
    CHECK(p && belljar_process_next(p, fds[0], 50, &e) == 0 && e.kind == BELLJAR_NOTHING);
    close(fds[1]); /* its end can be read too */
    CHECK(p && belljar_process_next(p, fds[0], 5000, &e) == 0 && e.kind == BELLJAR_READABLE);
    close(fds[0]);
    CHECK(p && belljar_process_next(p, fds[0], 5000, &e) == -EBADF);
    CHECK(p && belljar_process_signal(p, SIGKILL) == 0);
    belljar_process_free(p);
}

static void ignore_it(int signal) { (void)signal; }
static void *send_signal(void *data)
{
    nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
    pthread_kill(*(pthread_t *)data, SIGUSR1);
    return NULL;
}

static void test_signal(void)
{
    struct sigaction act = { .sa_handler = ignore_it, .sa_flags = SA_RESTART };
    struct belljar_event e;
    pthread_t self = pthread_self(), other;
    struct belljar_process *p = belljar_start(s, "sleep 0.5; echo on", NULL);
    sigaction(SIGUSR1, &act, NULL);
    if (!CHECK(p && pthread_create(&other, NULL, send_signal, &self) == 0))
        return;
    CHECK(belljar_process_next(p, -1, -1, &e) == -EINTR);
    CHECK(belljar_process_next(p, -1, -1, &e) == 0 && e.kind == BELLJAR_STDOUT); /* it goes on */
    pthread_join(other, NULL);
    belljar_process_free(p);
}

static void *kill_sandbox(void *data)
{
    struct belljar *mine = belljar_open(NULL);
    struct belljar_sandbox *t = mine ? belljar_connect(mine, data, 0) : NULL;
    nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
    (void)belljar_kill(t);
    belljar_sandbox_free(t);
    belljar_close(mine);
    return NULL;
}

static void test_killed(void)
{
    struct belljar_sandbox *t = belljar_create(b, NULL);
    struct belljar_result r;
    pthread_t other;
    if (!CHECK(t && pthread_create(&other, NULL, kill_sandbox, (void *)belljar_id(t)) == 0))
        return;
    CHECK(belljar_run(t, "echo before; sleep 60", NULL, &r) == -EHOSTDOWN);
    CHECK_HAS(belljar_error(b), belljar_id(t));
    CHECK_TEXT(r.out, "before\n");
    belljar_result_free(&r);
    pthread_join(other, NULL);
    struct belljar_process *p = belljar_start(t, "true", NULL);
    CHECK(!p && belljar_errno(b) == EHOSTDOWN);
    belljar_sandbox_free(t);
}

static void test_outlives_sandbox_free(void)
{
    char out[64];
    struct belljar_sandbox *t = belljar_connect(b, belljar_id(s), 0);
    struct belljar_process *p = t ? belljar_start(t, "sleep 0.1; echo late", NULL) : NULL;
    belljar_sandbox_free(t);
    CHECK(p && drain(p, out, sizeof out) == 0);
    CHECK_TEXT(out, "late\n");
    belljar_process_free(p);
}

/* None of our connections is for the programs that this one may start. */
static void test_no_heirs(void)
{
    struct belljar_process *p = belljar_start(s, "sleep 60", NULL);
    int connections = 0;
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_storage at;
        socklen_t size = sizeof at;
        if (getsockname(fd, (struct sockaddr *)&at, &size) < 0 ||
            (at.ss_family != AF_INET && at.ss_family != AF_INET6))
            continue;
        connections++;
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    CHECK(p && connections > 0);
    belljar_process_free(p);
}

int main(void)
{
    static const struct check tests[] = {
        { "run", test_run },
        { "run refused, and out of time", test_run_refused },
        { "run with much output, and with too much", test_run_much },
        { "run with callbacks", test_callbacks },
        { "a process with input", test_process },
        { "attach", test_attach },
        { "a terminal", test_terminal },
        { "two at once", test_two_at_once },
        { "events and a descriptor", test_descriptor },
        { "a signal interrupts the wait", test_signal },
        { "the sandbox is killed meanwhile", test_killed },
        { "connections are not inherited", test_no_heirs },
        { "a process outlives its struct belljar_sandbox", test_outlives_sandbox_free },
    };
    b = belljar_open(NULL);
    s = b ? belljar_create(b, NULL) : NULL;
    int rc = s ? check_all(tests, sizeof tests / sizeof *tests) : 1;
    if (!s)
        printf("# %s\n", b ? belljar_error(b) : belljar_open_error());
    (void)belljar_kill(s);
    belljar_sandbox_free(s);
    belljar_close(b);
    return rc;
}
