#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_answer.h"
#include "client/client_internal.h"
#include "gen/limits.h"

/* -- errors -- */

int client_fail(struct belljar *b, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(b->error, sizeof b->error, fmt, ap);
    va_end(ap);
    client_answer_tame(b->error);
    b->err = err;
    return -err;
}
int client_last(const struct belljar *b) { return -b->err; }

int client_need(struct belljar *b, const void *given, const char *what)
{
    if (given)
        return 0;
    b->status = 0;
    return client_fail(b, EINVAL, "%s is missing", what);
}

int client_no_memory(struct belljar *b) { return client_fail(b, ENOMEM, "memory is out"); }

/* -- what curl calls -- */

static int status_of(const struct client_call *c)
{
    long status = 0;
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* Blocks: the file is the caller's, and a pipe is as slow as who fills it. */
static bool wait_fd(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

static size_t to_file(struct client_call *c, const char *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t w = write(c->out_fd, p + at, n - at);
        if (w >= 0)
            at += (size_t)w;
        else if (errno == EAGAIN ? !wait_fd(c->out_fd, POLLOUT) : errno != EINTR) {
            c->io_error = errno;
            return CURL_WRITEFUNC_ERROR;
        }
    }
    return n;
}

static size_t on_data(char *p, size_t size, size_t n, void *data)
{
    struct client_call *c = data;
    n *= size;
    c->silent_ms = 0;
    c->status = status_of(c);
    bool is_error = c->status >= 300;
    if (c->out_fd >= 0 && !is_error)
        return to_file(c, p, n);
    if (is_error && buf_used(&c->in) + n > LIMIT_CLIENT_ERROR_SIZE)
        return n; /* what came is enough for a sentence */
    if (c->is_stream && !is_error && buf_used(&c->in) >= c->in_max) {
        c->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (!c->is_stream && !is_error && buf_used(&c->in) + n > c->in_max) {
        c->is_too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    c->has_failed_memory = !buf_append(&c->in, str_make(p, n));
    return c->has_failed_memory ? CURL_WRITEFUNC_ERROR : n;
}

static size_t on_field(char *p, size_t size, size_t n, void *data)
{
    static const char name[] = "x-next-token:";
    struct client_call *c = data;
    struct str line = str_make(p, size * n);
    c->silent_ms = 0;
    c->head_size += line.n;
    if (c->head_size > LIMIT_HTTP_HEAD_SIZE)
        return 0;
    while (line.n && strchr("\r\n", line.p[line.n - 1]))
        line.n--;
    if (line.n > sizeof name && str_ieq(str_make(line.p, sizeof name - 1), str_of(name))) {
        free(c->next);
        c->next = str_dup(str_trim(str_skip(line, sizeof name - 1)));
    }
    return size * n;
}

static size_t on_read(char *p, size_t size, size_t n, void *data)
{
    struct client_call *c = data;
    c->silent_ms = 0;
    for (;;) {
        ssize_t r = read(c->in_fd, p, size * n);
        if (r >= 0)
            return (size_t)r;
        if (errno == EAGAIN ? !wait_fd(c->in_fd, POLLIN) : errno != EINTR) {
            c->io_error = errno;
            return CURL_READFUNC_ABORT;
        }
    }
}

/* -- one request -- */

/* Not for the children of the program: one of them would keep a connection that we leave open, and
 * with it the command or cell that our leaving ends. */
static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *to)
{
    (void)data;
    (void)purpose;
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static void set_defaults(struct client_call *c, const char *method, const char *url)
{
    CURL *e = c->curl;
    (void)curl_easy_setopt(e, CURLOPT_URL, url);
    (void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    /* a connection each: a stream that nobody reads holds up no other */
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_USERAGENT, "belljar-c/" BELLJAR_VERSION);
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)c->b->timeout_ms);
    (void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 262144L);
    (void)curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 524288L);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
    (void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_field);
    (void)curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->detail);
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, c);
    if (c->b->ca_file)
        (void)curl_easy_setopt(e, CURLOPT_CAINFO, c->b->ca_file);
}

int client_call_init(struct client_call *c, struct belljar *b, const char *method, const char *url)
{
    *c = (struct client_call){ .b = b, .in_fd = -1, .out_fd = -1 };
    c->in_max = LIMIT_CLIENT_ANSWER_SIZE;
    c->quiet_ms = b->timeout_ms;
    buf_init(&c->in, 0); /* in_max counts */
    b->status = 0;
    c->curl = b->spare ? TAKE_PTR(b->spare) : curl_easy_init();
    if (!c->curl)
        return client_no_memory(b);
    set_defaults(c, method, url);
    client_call_field(c, "Expect:"); /* no waiting for 100 Continue */
    return 0;
}

void client_call_deinit(struct client_call *c)
{
    if (c->is_added)
        (void)curl_multi_remove_handle(c->b->multi, c->curl);
    if (c->curl && !c->b->spare) {
        curl_easy_reset(c->curl);
        c->b->spare = c->curl;
    } else if (c->curl) {
        curl_easy_cleanup(c->curl);
    }
    curl_slist_free_all(c->fields);
    buf_deinit(&c->in);
    free(c->next);
    *c = (struct client_call){ .in_fd = -1, .out_fd = -1 };
}

void client_call_field(struct client_call *c, const char *fmt, ...)
{
    CLEANUP(freep) char *line = NULL;
    struct curl_slist *more = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&line, fmt, ap) < 0)
        line = NULL;
    va_end(ap);
    if (line)
        more = curl_slist_append(c->fields, line);
    if (more)
        c->fields = more;
    else
        c->has_failed_memory = true;
}

int client_call_start(struct client_call *c, const char *type, struct str body)
{
    c->body = body;
    if (type)
        client_call_field(c, "Content-Type: %s", type);
    else if (body.p || c->in_fd >= 0)
        client_call_field(c, "Content-Type:"); /* curl would say that it is a form */
    if (c->in_fd >= 0) {
        (void)curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
        if (c->in_size)
            (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->in_size);
        else
            client_call_field(c, "Transfer-Encoding: chunked");
        (void)curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_read);
        (void)curl_easy_setopt(c->curl, CURLOPT_READDATA, c);
    } else if (body.p) {
        (void)curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body.p);
        (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    }
    (void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->fields);
    if (c->has_failed_memory || curl_multi_add_handle(c->b->multi, c->curl) != CURLM_OK)
        return client_no_memory(c->b);
    c->is_added = true;
    return 0;
}

/* -- driving -- */

int client_drive(struct belljar *b)
{
    CURLMsg *m;
    int left;
    if (curl_multi_perform(b->multi, &left) != CURLM_OK)
        return client_no_memory(b);
    while ((m = curl_multi_info_read(b->multi, &left))) {
        struct client_call *c = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
        c->is_done = true;
        c->code = m->data.result;
        c->status = status_of(c);
    }
    return 0;
}

int client_poll_fd(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int n = fd >= 0 ? poll(&p, 1, 0) : 0;
    return n <= 0 ? 0 : p.revents & POLLNVAL ? -EBADF : CLIENT_READABLE;
}

int client_wait(struct client_call *c, int fd, int wait_ms)
{
    struct curl_waitfd extra[2];
    unsigned int extras = 0;
    int64_t left = wait_ms < 0 ? 60000 : wait_ms, start = clock_mono_ms();
    if (c->quiet_ms && c->quiet_ms - c->silent_ms < left)
        left = c->quiet_ms - c->silent_ms;
    if (fd >= 0)
        extra[extras++] = (struct curl_waitfd){ .fd = fd, .events = CURL_WAIT_POLLIN };
    if (c->b->stop >= 0)
        extra[extras++] = (struct curl_waitfd){ .fd = c->b->stop, .events = CURL_WAIT_POLLIN };
    errno = 0;
    /* curl takes an interrupted poll for one that timed out, but errno tells */
    if (curl_multi_poll(c->b->multi, extra, extras, left > 0 ? (int)left : 0, NULL) != CURLM_OK)
        return client_no_memory(c->b);
    bool is_interrupted = errno == EINTR;
    int64_t took = clock_mono_ms() - start;
    if (!c->is_paused)
        c->silent_ms += took;
    if (is_interrupted)
        return client_fail(c->b, EINTR, "interrupted by a signal");
    int rc = client_stopped(c->b);
    if (rc < 0)
        return rc;
    rc = client_poll_fd(fd);
    if (rc < 0)
        return client_fail(c->b, -rc, "descriptor %d is not open", fd);
    return rc ? rc : wait_ms >= 0 && took >= wait_ms ? CLIENT_TIMED_OUT : 0;
}

void client_call_resume(struct client_call *c)
{
    if (!c->is_paused || buf_used(&c->in) >= c->in_max)
        return;
    c->is_paused = false;
    (void)curl_easy_pause(c->curl, CURLPAUSE_CONT);
}

int client_call_finish(struct client_call *c)
{
    for (;;) {
        int rc = client_drive(c->b);
        if (rc < 0)
            return rc;
        if (c->is_done)
            break;
        if (c->quiet_ms && c->silent_ms >= c->quiet_ms)
            break;
        rc = client_wait(c, -1, -1);
        if (rc < 0 && rc != -EINTR)
            return rc;
    }
    if (!c->is_done || c->code != CURLE_OK)
        return client_call_broken(c);
    c->b->status = c->status;
    return 0;
}

/* -- what went wrong -- */

static const struct {
    CURLcode code;
    int err;
    const char *hint;
} faults[] = {
    { CURLE_COULDNT_CONNECT, ECONNREFUSED, ": is the server up, and is the URL right?" },
    { CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH, ": is the URL right?" },
    { CURLE_COULDNT_RESOLVE_PROXY, EHOSTUNREACH, ": see http_proxy and no_proxy" },
    { CURLE_URL_MALFORMAT, EINVAL, ": such a URL cannot be" },
    { CURLE_UNSUPPORTED_PROTOCOL, EPROTO, "" }, /* HTTP/0.9: no head */
    { CURLE_OUT_OF_MEMORY, ENOMEM, "" },
    { CURLE_OPERATION_TIMEDOUT, ETIMEDOUT, "" },
    { CURLE_PARTIAL_FILE, ECONNRESET, "" },
    { CURLE_GOT_NOTHING, ECONNRESET, "" },
    { CURLE_SEND_ERROR, ECONNRESET, "" },
    { CURLE_RECV_ERROR, ECONNRESET, "" },
    { CURLE_PEER_FAILED_VERIFICATION, EPROTO, ": SSL_CERT_FILE may name a file of authorities" },
    { CURLE_OK, EPROTO, "" },
};

int client_call_broken(struct client_call *c)
{
    char *url = NULL;
    size_t i = 0;
    (void)curl_easy_getinfo(c->curl, CURLINFO_EFFECTIVE_URL, &url);
    /* what follows '?' is of no use to a person, and may hold a signature */
    int n = url ? (int)strcspn(url, "?") : 0;
    c->b->status = 0;
    if (c->io_error)
        return client_fail(c->b, c->io_error, "the file cannot be %s: %s",
                           c->in_fd >= 0 ? "read" : "written", strerror(c->io_error));
    if (c->has_failed_memory)
        return client_no_memory(c->b);
    if (c->is_too_long)
        return client_fail(c->b, EFBIG, "%.*s answers more than %zu bytes", n, url, c->in_max);
    if (!c->is_done)
        return client_fail(c->b, ETIMEDOUT, "%.*s: no answer within %d ms", n, url, c->quiet_ms);
    while (faults[i].code != CURLE_OK && faults[i].code != c->code)
        i++;
    return client_fail(c->b, faults[i].err, "%.*s: %s%s", n, url,
                       c->detail[0] ? c->detail : curl_easy_strerror(c->code), faults[i].hint);
}

int client_call_refused(struct client_call *c)
{
    char why[512];
    int err = client_answer_error(c->status, buf_str(&c->in), why, sizeof why);
    c->b->status = c->status;
    if (c->status == 401 && !why[0])
        return client_fail(c->b, err, "the server does not take the key");
    return client_fail(c->b, err, "%s (%d)", why[0] ? why : "the server refuses without a reason",
                       c->status);
}
