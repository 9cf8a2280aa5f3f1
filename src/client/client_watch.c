#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_answer.h"
#include "client/client_internal.h"
#include "gen/limits.h"

struct belljar_watch {
    struct client_stream stream;
    json_t *message; /* the last change */
};

/* Up to the first message: from then on nothing is missed. */
static int wait_start(struct belljar_watch *w)
{
    struct belljar *b = w->stream.s->b;
    struct belljar_change change;
    bool is_change = false;
    int64_t until = client_until(b->timeout_ms);
    int rc;
    do
        rc = client_stream_next(&w->stream, -1, until, &w->message);
    while (rc == -EINTR);
    if (rc == CLIENT_TIMED_OUT)
        rc = client_stream_late(&w->stream);
    if (rc == CLIENT_ENDED ||
        (rc == 0 && (!client_answer_change(w->message, &is_change, &change) || is_change)))
        rc = client_fail(b, EPROTO, "the sandbox does not say that it watches");
    w->stream.call.quiet_ms = LIMIT_CLIENT_QUIET_MS;
    return rc;
}

struct belljar_watch *belljar_watch(struct belljar_sandbox *s, const char *path, bool recursive)
{
    if (client_need(s->b, path, "the path"))
        return NULL;
    struct belljar_watch *w = calloc(1, sizeof *w);
    if (!w) {
        (void)client_no_memory(s->b);
        return NULL;
    }
    int rc = client_stream_open(&w->stream, s, "filesystem.Filesystem/WatchDir", s->user,
                                json_pack("{s:s, s:b}", "path", path, "recursive", recursive), -1);
    if (rc == 0)
        rc = wait_start(w);
    if (rc == 0)
        return w;
    belljar_watch_free(w);
    return NULL;
}

void belljar_watch_free(struct belljar_watch *w)
{
    if (!w)
        return;
    client_stream_close(&w->stream);
    json_decref(w->message);
    free(w);
}

int belljar_watch_next(struct belljar_watch *w, int timeout_ms, struct belljar_change *out)
{
    struct belljar *b = w->stream.s->b;
    int64_t until = client_until(timeout_ms);
    bool is_change = false;
    while (!is_change) {
        json_decref(w->message);
        w->message = NULL;
        int rc = client_stream_next(&w->stream, -1, until, &w->message);
        if (rc == CLIENT_TIMED_OUT)
            return 1;
        if (rc == CLIENT_ENDED)
            return client_fail(b, EHOSTDOWN, "the sandbox watches no longer");
        if (rc < 0)
            return rc;
        if (!client_answer_change(w->message, &is_change, out))
            return client_fail(b, EPROTO, "the sandbox tells of a change that is none");
        if (!is_change && clock_mono_ms() >= until)
            return 1;
    }
    return 0;
}
