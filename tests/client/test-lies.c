/* Servers that lie: truncated, gigantic and malformed answers. A thread here is the server; what it
 * says is chosen by the test, but a create always gets a sandbox. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

struct lie {
    const char *name;
    const char *head;      /* of the answer, all of it; NULL: 200 and the length of the body */
    const char *body;      /* or */
    const char *frames[6]; /* envelopes: a digit for the flags, then the payload */
    size_t claim;          /* the last envelope says that it has so many more bytes */
    size_t repeat;         /* the body, so many times */
    const char *drip;      /* an envelope behind it all, a hundred times a second for five */
    bool hangs;            /* the connection stays open until the client leaves */
    bool is_gone;          /* /health answers 502 */
    int (*call)(void);
    int expected;
};

static struct belljar_sandbox *s;
static _Atomic(const struct lie *) told;
static int listener, port;
static atomic_int deletes; /* requests of that method */

/* -- the server -- */

static bool send_all(int fd, const void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = send(fd, (const char *)bytes + at, size - at, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Reads a request; the answer never depends on its body, which is short. */
static bool take_request(int fd, char *path, size_t size)
{
    static char in[65536];
    size_t n = 0, length = 0;
    char *end = NULL;
    while (!end || n < (size_t)(end - in) + 4 + length) {
        ssize_t got = recv(fd, in + n, sizeof in - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        in[n] = '\0';
        end = strstr(in, "\r\n\r\n");
        char *field = strcasestr(in, "content-length:");
        length = end && field && field < end ? strtoul(field + 15, NULL, 10) : 0;
    }
    atomic_fetch_add(&deletes, strncmp(in, "DELETE ", 7) == 0);
    char *from = strchr(in, ' '), *to = from ? strchr(from + 1, ' ') : NULL;
    if (!to)
        return false;
    snprintf(path, size, "%.*s", (int)(to - from - 1), from + 1);
    return true;
}

static size_t put_frames(const struct lie *lie, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < 6 && lie->frames[i]; i++) {
        size_t size = strlen(lie->frames[i]) - 1;
        size_t said = size + (i == 5 || !lie->frames[i + 1] ? lie->claim : 0);
        out[n++] = (char)(lie->frames[i][0] - '0');
        for (int k = 3; k >= 0; k--)
            out[n++] = (char)(said >> (8 * k));
        memcpy(out + n, lie->frames[i] + 1, size);
        n += size;
    }
    return n;
}

static bool drip(int fd, const struct lie *lie)
{
    const struct lie one = { .frames = { lie->drip } };
    char frame[256];
    size_t size = put_frames(&one, frame);
    bool is_heard = true;
    for (int i = 0; is_heard && i < 500; i++) {
        usleep(10000);
        is_heard = send_all(fd, frame, size);
    }
    return is_heard;
}

static void answer(int fd, const struct lie *lie)
{
    char frames[65536], head[256];
    size_t size = put_frames(lie, frames), times = lie->repeat ? lie->repeat : 1;
    const char *body = lie->body ? lie->body : frames;
    if (lie->body)
        size = strlen(lie->body);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
             size * times + (lie->hangs ? 100 : 0));
    bool is_heard =
        send_all(fd, lie->head ? lie->head : head, strlen(lie->head ? lie->head : head));
    for (size_t i = 0; is_heard && i < times; i++)
        is_heard = send_all(fd, body, size);
    if (lie->drip)
        is_heard = is_heard && drip(fd, lie);
    char byte;
    while (is_heard && lie->hangs && recv(fd, &byte, 1, 0) > 0)
        ;
}

static void *serve(void *data)
{
    static const struct lie sandbox = { .body = "{\"sandboxID\":\"ilied\",\"envdAccessToken\":"
                                                "\"t\",\"trafficAccessToken\":null}" };
    char path[1024];
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        struct lie health = { .head = told && atomic_load(&told)->is_gone
                                          ? "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
                                          : "HTTP/1.1 204 No Content\r\n\r\n",
                              .body = "" };
        const struct lie *lie = atomic_load(&told);
        if (take_request(fd, path, sizeof path))
            answer(fd, !lie ? &sandbox : strcmp(path, "/health") == 0 ? &health : lie);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    return data;
}

/* -- the calls that are lied to: 0, or a negative errno -- */

static int call_request(void)
{
    char *text = belljar_request(b, "GET", "/x", NULL, NULL);
    int rc = text ? 0 : -belljar_errno(b);
    free(text);
    return rc;
}
static int call_create(void)
{
    struct belljar_sandbox *t = belljar_create(b, NULL);
    belljar_sandbox_free(t);
    return t ? 0 : -belljar_errno(b);
}
static int call_fork(void)
{
    struct belljar_sandbox *t[2];
    return belljar_fork(s, 2, t);
}
static int call_snapshot(void)
{
    char *id = belljar_snapshot(s, "n");
    free(id);
    return id ? 0 : -belljar_errno(b);
}
static int call_run(void)
{
    struct belljar_result r;
    int rc = belljar_run(s, "x", NULL, &r);
    belljar_result_free(&r);
    return rc;
}
static int call_code(void)
{
    struct belljar_execution e;
    int rc = belljar_run_code(s, "x", NULL, &e);
    belljar_execution_free(&e);
    return rc;
}
static int call_context(void)
{
    char *id = belljar_context(s, NULL, NULL);
    free(id);
    return id ? 0 : -belljar_errno(b);
}
static int call_read(void)
{
    char *text = belljar_read(s, "x", 1000, NULL);
    free(text);
    return text ? 0 : -belljar_errno(b);
}
static int call_download(void)
{
    FILE *f = tmpfile();
    int rc = belljar_download(s, "x", fileno(f));
    fclose(f);
    return rc;
}
static int call_write(void) { return belljar_write(s, "x", "y", 1); }
static int call_stat(void)
{
    struct belljar_file f;
    int rc = belljar_stat(s, "x", &f);
    belljar_file_free(&f);
    return rc;
}
static int call_list(void)
{
    struct belljar_file *files;
    size_t count;
    int rc = belljar_list(s, "x", 1, &files, &count);
    belljar_files_free(files, count);
    return rc;
}
static int call_watch(void)
{
    struct belljar_change c;
    struct belljar_watch *w = belljar_watch(s, "x", true);
    int rc = w ? belljar_watch_next(w, 5000, &c) : -belljar_errno(b);
    belljar_watch_free(w);
    return rc;
}

static int call_tunnel(void)
{
    char bytes[64];
    long n = 0;
    struct belljar_tunnel *t = belljar_tunnel(s, 7000);
    if (!t)
        return -belljar_errno(b);
    /* the lie may come after the head */
    for (int i = 0;
         i < 100 && ((n = belljar_tunnel_read(t, bytes, sizeof bytes)) == -EAGAIN || n > 0); i++)
        usleep(n < 0 ? 10000 : 0);
    belljar_tunnel_free(t);
    return n > 0 ? 0 : (int)n;
}

#define START "0{\"event\":{\"start\":{\"pid\":7}}}"
#define WATCHES "0{\"start\":{}}"
#define EVENT(text) "0{\"event\":" text "}"
#define END "0{\"event\":{\"end\":{\"exitCode\":0,\"exited\":true}}}"
#define FINE "2{}"
#define STATUS(line) "HTTP/1.1 " line "\r\nConnection: close\r\n\r\n"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define SHORT "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"

static const struct lie lies[] = {
    { "no JSON where a sandbox should be", .body = "<html>", .call = call_create,
      .expected = EPROTO },
    { "an empty sandbox", .body = "", .call = call_create, .expected = EPROTO },
    { "a list instead of a sandbox", .body = "[]", .call = call_create, .expected = EPROTO },
    { "an id that is a number", .body = "{\"sandboxID\":5}", .call = call_create,
      .expected = EPROTO },
    { "an id that adds to the head", .body = "{\"sandboxID\":\"a\\r\\nEvil: 1\"}",
      .call = call_create, .expected = EPROTO },
    { "a token that adds to the head",
      .body = "{\"sandboxID\":\"a\",\"envdAccessToken\":\"t\\r\\nEvil: 1\"}", .call = call_create,
      .expected = EPROTO },
    { "a domain with a path", .body = "{\"sandboxID\":\"a\",\"domain\":\"x/y?\"}",
      .call = call_create, .expected = EPROTO },
    { "JSON nested deeply", .body = "[", .repeat = 100000, .call = call_create,
      .expected = EPROTO },
    { "no HTTP at all", .head = "SSH-2.0-x\r\n", .body = "", .call = call_request,
      .expected = EPROTO },
    { "no answer at all", .head = "", .body = "", .call = call_request, .expected = ECONNRESET },
    { "an answer that stops", .head = SHORT, .body = "abc", .call = call_request,
      .expected = ECONNRESET },
    { "an answer that never ends", .head = STATUS("200 OK"),
      .body = "abcdefghijklmnopqrstuvwxyz0123456789", .repeat = 3000000, .call = call_request,
      .expected = EFBIG },
    { "an answer that never comes", .head = "", .body = "", .hangs = true, .call = call_request,
      .expected = ETIMEDOUT },
    { "an error that never ends", .head = STATUS("500 No"),
      .body = "abcdefghijklmnopqrstuvwxyz0123456789", .repeat = 300000, .call = call_request,
      .expected = EREMOTEIO },
    { "an error without a sentence", .head = STATUS("500 No"), .body = "", .call = call_request,
      .expected = EREMOTEIO },
    { "a redirect",
      .head = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
      .body = "", .call = call_request, .expected = EREMOTEIO },
    { "a head that never ends", .head = "HTTP/1.1 200 OK\r\n",
      .body = "X-Long: abcdefghijklmnopqrstuvwxyz\r\n", .repeat = 300000, .call = call_request,
      .expected = EPROTO },
    { "forks that are not a list", .body = "{}", .call = call_fork, .expected = EPROTO },
    { "fewer forks", .body = "[{\"sandbox\":{\"sandboxID\":\"a\"}}]", .call = call_fork,
      .expected = EPROTO },
    { "forks that failed",
      .body = "[{\"sandbox\":{\"sandboxID\":\"a\"}},{\"error\":{\"code\":500,\"message\":\"no\"}}]",
      .call = call_fork, .expected = EREMOTEIO },
    { "a snapshot without a name", .body = "{\"snapshotID\":[]}", .call = call_snapshot,
      .expected = EPROTO },

    { "a stream that is empty", .body = "", .call = call_run, .expected = EPROTO },
    { "half an envelope", .head = SHORT, .frames = { "0{" }, .claim = 50, .call = call_run,
      .expected = ECONNRESET },
    { "half an envelope, and a clean end", .frames = { "0{" }, .claim = 50, .call = call_run,
      .expected = EPROTO },
    { "an envelope of four gigabytes", .frames = { START, "0{" }, .claim = 0xfffffff0,
      .call = call_run, .expected = EPROTO },
    { "an envelope of 17 megabytes", .frames = { START, "0{" }, .claim = 17 << 20, .call = call_run,
      .expected = EPROTO },
    { "an envelope that is compressed", .frames = { "1{}" }, .call = call_run, .expected = EPROTO },
    { "an envelope without JSON", .frames = { START, "0{\"event\":" }, .call = call_run,
      .expected = EPROTO },
    { "an empty envelope", .frames = { "0" }, .call = call_run, .expected = EPROTO },
    { "an event that is a number", .frames = { EVENT("5") }, .call = call_run, .expected = EPROTO },
    { "a message that is a list", .frames = { START, "0[]" }, .call = call_run,
      .expected = EPROTO },
    { "data before the start", .frames = { EVENT("{\"data\":{\"stdout\":\"eA==\"}}") },
      .call = call_run, .expected = EPROTO },
    { "a pid of text", .frames = { EVENT("{\"start\":{\"pid\":\"7\"}}") }, .call = call_run,
      .expected = EPROTO },
    { "a pid below one", .frames = { EVENT("{\"start\":{\"pid\":-1}}") }, .call = call_run,
      .expected = EPROTO },
    { "a pid too large", .frames = { EVENT("{\"start\":{\"pid\":4294967296}}") }, .call = call_run,
      .expected = EPROTO },
    { "output that is no base64",
      .frames = { START, EVENT("{\"data\":{\"stdout\":\"*\"}}"), END, FINE }, .call = call_run,
      .expected = EPROTO },
    { "output that is a number", .frames = { START, EVENT("{\"data\":{\"stdout\":1}}"), END, FINE },
      .call = call_run, .expected = EPROTO },
    { "an exit code of text", .frames = { START, EVENT("{\"end\":{\"exitCode\":\"1\"}}"), FINE },
      .call = call_run, .expected = EPROTO },
    { "an exit code too large",
      .frames = { START, EVENT("{\"end\":{\"exitCode\":4294967296}}"), FINE }, .call = call_run,
      .expected = EPROTO },
    { "an end without a reason", .frames = { START, FINE }, .call = call_run, .expected = EPROTO },
    { "an end before the start", .frames = { FINE }, .call = call_run, .expected = EPROTO },
    { "an end that is a list", .frames = { START, END, "2[]" }, .call = call_run,
      .expected = EPROTO },
    { "an end whose error is text", .frames = { START, END, "2{\"error\":\"x\"}" },
      .call = call_run, .expected = EPROTO },
    { "an end with an unknown error", .frames = { START, "2{\"error\":{\"code\":\"odd\"}}" },
      .call = call_run, .expected = EREMOTEIO },
    { "a stream that stops", .frames = { START, END }, .call = call_run, .expected = EPROTO },
    { "a start that never comes, only keepalives", .head = STATUS("200 OK"),
      .drip = EVENT("{\"keepalive\":{}}"), .call = call_run, .expected = ETIMEDOUT },
    { "a stream that breaks", .head = SHORT, .frames = { START }, .call = call_run,
      .expected = ECONNRESET },
    { "a stream that breaks as the sandbox ends", .head = SHORT, .frames = { START },
      .is_gone = true, .call = call_run, .expected = EHOSTDOWN },
    { "a body that goes on after the end", .frames = { START, END, FINE }, .hangs = true,
      .call = call_run, .expected = 0 },
    { "events that nobody knows",
      .frames = { START, EVENT("{\"new\":{}}"), EVENT("{\"keepalive\":{}}"), END, FINE },
      .call = call_run, .expected = 0 },
    { "two ends",
      .frames = { START, EVENT("{\"end\":{\"error\":\"a\"}}"), EVENT("{\"end\":{\"error\":\"b\"}}"),
                  FINE },
      .call = call_run, .expected = 0 },
    { "an error as HTML", .head = STATUS("404 No"), .body = "<html>no</html>", .call = call_run,
      .expected = ENOENT },
    { "an error whose code is no text", .head = STATUS("404 No"),
      .body = "{\"code\":[],\"message\":{}}", .call = call_run, .expected = ENOENT },

    { "a watch that says nothing", .frames = { FINE }, .call = call_watch, .expected = EPROTO },
    { "a watch that ends", .frames = { WATCHES, FINE }, .call = call_watch, .expected = EHOSTDOWN },
    { "a change before the start",
      .frames = { "0{\"filesystem\":{\"name\":\"a\",\"type\":\"EVENT_TYPE_CREATE\"}}" },
      .call = call_watch, .expected = EPROTO },
    { "a change that is text", .frames = { WATCHES, "0{\"filesystem\":\"x\"}" }, .call = call_watch,
      .expected = EPROTO },
    { "a change without a name",
      .frames = { WATCHES, "0{\"filesystem\":{\"type\":\"EVENT_TYPE_CREATE\"}}" },
      .call = call_watch, .expected = EPROTO },
    { "a change of an unknown kind",
      .frames = { WATCHES, "0{\"filesystem\":{\"name\":\"a\",\"type\":\"EVENT_TYPE_NEW\"}}",
                  "0{\"filesystem\":{\"name\":\"a\",\"type\":\"EVENT_TYPE_WRITE\"}}" },
      .call = call_watch, .expected = 0 },

    { "a file that is text", .body = "{\"entry\":\"x\"}", .call = call_stat, .expected = EPROTO },
    { "no file", .body = "{}", .call = call_stat, .expected = EPROTO },
    { "a file of negative size", .body = "{\"entry\":{\"name\":\"a\",\"size\":\"-1\"}}",
      .call = call_stat, .expected = EPROTO },
    { "a file of odd mode", .body = "{\"entry\":{\"name\":\"a\",\"mode\":-1}}", .call = call_stat,
      .expected = EPROTO },
    { "a file of no time", .body = "{\"entry\":{\"name\":\"a\",\"modifiedTime\":\"yesterday\"}}",
      .call = call_stat, .expected = EPROTO },
    { "a file whose owner is a number", .body = "{\"entry\":{\"name\":\"a\",\"owner\":0}}",
      .call = call_stat, .expected = EPROTO },
    { "a list that is none", .body = "{\"entries\":{}}", .call = call_list, .expected = EPROTO },
    { "a list with a hole", .body = "{\"entries\":[{\"name\":\"a\"},null]}", .call = call_list,
      .expected = EPROTO },
    { "an empty list", .body = "{}", .call = call_list, .expected = 0 },
    { "a file that stops", .head = SHORT, .body = "abc", .call = call_read,
      .expected = ECONNRESET },
    { "a file that is longer than it may be", .body = "0123456789", .repeat = 101,
      .call = call_read, .expected = EFBIG },
    { "a download that stops", .head = SHORT, .body = "abc", .call = call_download,
      .expected = ECONNRESET },
    { "a download that stops as the sandbox ends", .head = SHORT, .body = "abc", .is_gone = true,
      .call = call_download, .expected = EHOSTDOWN },
    { "an upload without an answer", .head = "", .body = "", .call = call_write,
      .expected = ECONNRESET },

    { "a tunnel that is no HTTP", .head = "SSH-2.0-x\r\n\r\n", .body = "", .call = call_tunnel,
      .expected = EPROTO },
    { "a tunnel that is not chunked", .body = "abc", .call = call_tunnel, .expected = EPROTO },
    { "a tunnel of nonsense", .head = CHUNKED, .body = "nonsense\r\n", .call = call_tunnel,
      .expected = EPROTO },
    { "a tunnel with a chunk of many gigabytes", .head = CHUNKED,
      .body = "ffffffffffffffffffff\r\n", .call = call_tunnel, .expected = EPROTO },
    { "a tunnel that stops in a chunk", .head = CHUNKED, .body = "5\r\nab", .call = call_tunnel,
      .expected = ECONNRESET },
    { "a tunnel that ends", .head = CHUNKED, .body = "2\r\nab\r\n0\r\n\r\n", .call = call_tunnel,
      .expected = 0 },
    { "a tunnel that is never answered", .head = "", .body = "", .hangs = true, .call = call_tunnel,
      .expected = ETIMEDOUT },
    { "a tunnel whose head never ends", .head = "HTTP/1.1 200 OK\r\n",
      .body = "X: abcdefghijklmnopqrstuvwxyz\r\n", .repeat = 300000, .call = call_tunnel,
      .expected = EPROTO },
    { "a tunnel that is refused at length",
      .head = "HTTP/1.1 404 No\r\nContent-Length: 99999999\r\n\r\n", .body = "x", .repeat = 100000,
      .call = call_tunnel, .expected = ENOENT },
    { "a tunnel that is refused, half", .head = "HTTP/1.1 429 No\r\nContent-Length: 9\r\n\r\n",
      .body = "x", .call = call_tunnel, .expected = EAGAIN },
    { "a tunnel that is refused without a length", .head = STATUS("403 No"), .body = "x",
      .call = call_tunnel, .expected = EACCES },

    { "a line that is no JSON", .body = "hey\n", .call = call_code, .expected = EPROTO },
    { "a line without a type", .body = "{}\n", .call = call_code, .expected = EPROTO },
    { "a line whose type is a number", .body = "{\"type\":1}\n", .call = call_code,
      .expected = EPROTO },
    { "half a line", .body = "{\"type\":", .call = call_code, .expected = EPROTO },
    { "a last line without its end", .body = "{\"type\":\"end_of_execution\"}", .call = call_code,
      .expected = 0 },
    { "empty lines", .body = "\n\n{\"type\":\"new\"}\n\n", .call = call_code, .expected = 0 },
    { "output without text", .body = "{\"type\":\"stdout\"}\n", .call = call_code,
      .expected = EPROTO },
    { "a result whose main is text", .body = "{\"type\":\"result\",\"is_main_result\":\"x\"}\n",
      .call = call_code, .expected = EPROTO },
    { "a result whose extra is a list", .body = "{\"type\":\"result\",\"extra\":[]}\n",
      .call = call_code, .expected = EPROTO },
    { "an error without a name", .body = "{\"type\":\"error\",\"value\":\"x\"}\n",
      .call = call_code, .expected = EPROTO },
    { "two errors",
      .body = "{\"type\":\"error\",\"name\":\"a\",\"value\":\"b\",\"traceback\":\"c\"}\n",
      .repeat = 2, .call = call_code, .expected = 0 },
    { "a count of text", .body = "{\"type\":\"number_of_executions\",\"execution_count\":\"1\"}\n",
      .call = call_code, .expected = EPROTO },
    { "code whose stream breaks", .head = SHORT, .body = "{\"type\":\"keepalive\"}\n",
      .call = call_code, .expected = ECONNRESET },
    { "a context without an id", .body = "{\"id\":null}", .call = call_context,
      .expected = EPROTO },
};

/* -- what the table cannot say -- */

static const struct lie escapes = {
    .head = STATUS("400 No"), .body = "{\"code\":400,\"message\":\"a\\u001b[31mb\\nc\\u009bd\"}"
};

static bool test_tame(void)
{
    atomic_store(&told, &escapes);
    return call_request() == -EINVAL && strcmp(belljar_error(b), "a [31mb c  d (400)") == 0;
}

static const struct lie keyed = { .head = STATUS("401 No"), .body = "" };

static bool test_key(void)
{
    atomic_store(&told, &keyed);
    return call_request() == -EACCES && strstr(belljar_error(b), "key") && belljar_status(b) == 401;
}

/* Keepalives are no events: they neither end a wait nor begin it anew. */
static const struct lie kept_alive = { .head = STATUS("200 OK"),
                                       .frames = { START },
                                       .drip = EVENT("{\"keepalive\":{}}") };
static const struct lie watch_kept_alive = { .head = STATUS("200 OK"),
                                             .frames = { WATCHES },
                                             .drip = "0{\"keepalive\":{}}" };

static bool test_wait(void)
{
    struct belljar_event e = { .kind = BELLJAR_EXITED };
    struct belljar_change change;
    atomic_store(&told, &kept_alive);
    struct belljar_process *p = belljar_start(s, "x", NULL);
    bool is_good = p && belljar_process_next(p, -1, 100, &e) == 0 && e.kind == BELLJAR_NOTHING;
    belljar_process_free(p);
    atomic_store(&told, &watch_kept_alive);
    struct belljar_watch *w = belljar_watch(s, "x", true);
    is_good = is_good && w && belljar_watch_next(w, 100, &change) == 1;
    belljar_watch_free(w);
    return is_good;
}

/* All or none: those before and behind the one that failed are ended. */
static const struct lie forked = { .body = "[{\"sandbox\":{\"sandboxID\":\"a\"}},"
                                           "{\"error\":{\"code\":500,\"message\":\"no\"}},"
                                           "{\"sandbox\":{\"sandboxID\":\"c\"}}]" };

static bool test_fork(void)
{
    struct belljar_sandbox *made[3];
    atomic_store(&told, &forked);
    atomic_store(&deletes, 0);
    return belljar_fork(s, 3, made) == -EREMOTEIO && atomic_load(&deletes) == 2 &&
           belljar_errno(b) == EREMOTEIO && strstr(belljar_error(b), "a fork failed: no");
}

/* NULL where a string is due: said before anything is sent. */
static int of(const void *made) { return made ? 0 : -belljar_errno(b); }
static int null_method(void) { return of(belljar_request(b, NULL, "/x", NULL, NULL)); }
static int null_route(void) { return of(belljar_request(b, "GET", NULL, NULL, NULL)); }
static int null_id(void) { return of(belljar_connect(b, NULL, 0)); }
static int null_command(void) { return of(belljar_start(s, NULL, NULL)); }
static int null_run(void)
{
    struct belljar_result r;
    int rc = belljar_run(s, NULL, NULL, &r);
    belljar_result_free(&r);
    return rc;
}
static int null_code(void)
{
    struct belljar_execution e;
    int rc = belljar_run_code(s, NULL, NULL, &e);
    belljar_execution_free(&e);
    return rc;
}
static int null_context(void) { return belljar_context_remove(s, NULL); }
static int no_context(void) { return belljar_context_remove(s, ""); }
static int null_read(void) { return of(belljar_read(s, NULL, 0, NULL)); }
static int null_write(void) { return belljar_write(s, NULL, "x", 1); }
static int null_bytes(void) { return belljar_write(s, "x", NULL, 1); }
static int null_download(void) { return belljar_download(s, NULL, 1); }
static int null_upload(void) { return belljar_upload(s, NULL, 0); }
static int null_download_tar(void) { return belljar_download_tar(s, NULL, 1); }
static int null_upload_tar(void) { return belljar_upload_tar(s, NULL, 0); }
static int null_stat(void)
{
    struct belljar_file f;
    return belljar_stat(s, NULL, &f);
}
static int null_list(void)
{
    struct belljar_file *files;
    size_t count;
    int rc = belljar_list(s, NULL, 1, &files, &count);
    return files || count ? 0 : rc;
}
static int null_mkdir(void) { return belljar_mkdir(s, NULL); }
static int null_rename(void) { return belljar_rename(s, NULL, "x"); }
static int null_rename_to(void) { return belljar_rename(s, "x", NULL); }
static int null_remove(void) { return belljar_remove(s, NULL); }
static int null_watch(void) { return of(belljar_watch(s, NULL, false)); }
static int null_name(void) { return of(belljar_build(b, "FROM base\n", NULL)); }
static int null_dockerfile(void)
{
    return of(belljar_build(b, NULL, &(struct belljar_build_options){ .name = "x" }));
}
static int null_template(void) { return belljar_build_cancel(b, NULL, "x"); }
static int null_build(void) { return belljar_build_cancel(b, "x", NULL); }

static const struct {
    const char *name;
    int (*call)(void);
} nulls[] = {
    { "method of a request", null_method },
    { "path of a request", null_route },
    { "id of a sandbox", null_id },
    { "command to start", null_command },
    { "command to run", null_run },
    { "code", null_code },
    { "id of a context", null_context },
    { "id of a context, empty", no_context },
    { "path to read", null_read },
    { "path to write", null_write },
    { "bytes to write", null_bytes },
    { "path to download", null_download },
    { "path to upload to", null_upload },
    { "directory to download", null_download_tar },
    { "directory to upload to", null_upload_tar },
    { "path to stat", null_stat },
    { "directory to list", null_list },
    { "directory to make", null_mkdir },
    { "path to rename", null_rename },
    { "path to rename to", null_rename_to },
    { "path to remove", null_remove },
    { "directory to watch", null_watch },
    { "name of a template", null_name },
    { "text of a Dockerfile", null_dockerfile },
    { "template of a build", null_template },
    { "id of a build", null_build },
};

static bool test_null(size_t i)
{
    atomic_store(&told, &keyed); /* who asks hears 401 */
    int rc = nulls[i].call();
    bool is_good = rc == -EINVAL && belljar_errno(b) == EINVAL && belljar_status(b) == 0 &&
                   strlen(belljar_error(b)) > 10;
    printf("%s no %s\n", is_good ? "ok" : "FAIL", nulls[i].name);
    if (!is_good)
        printf("# returned %d: %s\n", rc, belljar_error(b));
    return is_good;
}

/* ... and where it stands for something, it does. */
static const struct lie null_shown = { .body = "{\"snapshotID\":\"n\"}" };
static bool test_defaults(void)
{
    size_t size = 1;
    const struct belljar_shown empty = { .value = NULL };
    char *bytes = belljar_shown_bytes(&empty, &size);
    atomic_store(&told, &null_shown);
    char *id = belljar_snapshot(s, NULL);
    bool is_good = bytes && !bytes[0] && size == 0 && id && belljar_set_user(s, NULL) == 0;
    free(bytes);
    free(id);
    return is_good;
}

static int report(bool is_good, const char *name, int rc)
{
    if (!is_good)
        printf("# returned %d: %s\n", rc, belljar_error(b));
    printf("%s a lie: %s\n", is_good ? "ok" : "FAIL", name);
    return is_good ? 0 : 1;
}

int main(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    pthread_t server;
    char url[64];
    int bad = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16) ||
        getsockname(listener, (struct sockaddr *)&at, &size) ||
        pthread_create(&server, NULL, serve, NULL))
        return 1;
    port = ntohs(at.sin_port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    b = belljar_open(&(struct belljar_config){
        .api_key = "e2b_0", .api_url = url, .sandbox_url = url, .timeout_ms = 1500 });
    s = b ? belljar_create(b, NULL) : NULL;
    for (size_t i = 0; s && i < sizeof lies / sizeof *lies; i++) {
        atomic_store(&told, &lies[i]);
        int rc = lies[i].call();
        bad +=
            report(rc == -lies[i].expected && (rc == 0 || belljar_error(b)[0]), lies[i].name, rc);
    }
    bad += s ? report(test_tame(), "a sentence with escapes", 0) : 1;
    bad += s ? report(test_key(), "401 without a word", 0) : 1;
    bad += s ? report(test_wait(), "keepalives in place of events", 0) : 1;
    bad += s ? report(test_fork(), "one fork of three failed", 0) : 1;
    for (size_t i = 0; s && i < sizeof nulls / sizeof *nulls; i++)
        bad += !test_null(i);
    bad += s ? report(test_defaults(), "NULL where it stands for something", 0) : 1;
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
    belljar_sandbox_free(s);
    belljar_close(b);
    return bad ? 1 : 0;
}
