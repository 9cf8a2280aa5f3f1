#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_answer.h"
#include "client/client_internal.h"
#include "gen/limits.h"
#include "wire/connect.h"
#include "wire/json.h"

/* The request of a server stream is one envelope. */
static int make_body(struct belljar *b, json_t *message, struct buf *out)
{
    char head[CONNECT_ENVELOPE_SIZE] = { 0 };
    (void)buf_append(out, str_make(head, sizeof head));
    int rc = client_body(b, message, out);
    if (!rc)
        connect_envelope_put(out->p + out->at, 0, buf_used(out) - sizeof head);
    return rc;
}

int client_stream_open(struct client_stream *t, struct belljar_sandbox *s, const char *method,
                       const char *user, json_t *body, int timeout_ms)
{
    struct client_call *c = &t->call;
    char path[128];
    *t = (struct client_stream){ .s = client_sandbox_ref(s) };
    buf_init(&t->body, 0);
    (void)snprintf(path, sizeof path, "/%s", method);
    int rc = client_sandbox_call(c, s, "POST", CLIENT_PORT_ENVD, path);
    if (rc < 0)
        json_decref(body);
    else
        rc = make_body(s->b, body, &t->body);
    c->is_stream = true;
    /* one whole message fits always */
    c->in_max = LIMIT_CLIENT_MESSAGE_SIZE + CONNECT_ENVELOPE_SIZE;
    client_call_user(c, user);
    client_call_field(c, "Connect-Protocol-Version: 1");
    client_call_field(c, "Keepalive-Ping-Interval: %d", LIMIT_CLIENT_QUIET_MS / 3000);
    if (timeout_ms >= 0)
        client_call_field(c, "Connect-Timeout-Ms: %d", timeout_ms);
    if (!rc)
        rc = client_call_start(c, "application/connect+json", buf_str(&t->body));
    return rc;
}

void client_stream_close(struct client_stream *t)
{
    if (!t->s)
        return;
    client_call_deinit(&t->call);
    buf_deinit(&t->body);
    belljar_sandbox_free(t->s);
    *t = (struct client_stream){ 0 };
}

/* The last envelope came. The connection can be used again when the body ends, as it must now. */
static int end(struct client_stream *t, struct str payload)
{
    struct client_call *c = &t->call;
    char why[512];
    int64_t until = clock_mono_ms() + 1000;
    int err = client_answer_end(payload, why, sizeof why);
    t->is_ended = true;
    int rc = 0;
    while (!c->is_done && client_drive(c->b) == 0 && !c->is_done && clock_mono_ms() < until &&
           rc != -ECANCELED)
        rc = client_wait(c, -1, 100);
    c->b->status = 200;
    if (err < 0)
        return client_fail(c->b, EPROTO, "the end of the stream is not what it should be");
    return err ? client_fail(c->b, err, "%s", why[0] ? why : "the sandbox does not say why")
               : CLIENT_ENDED;
}

enum { MORE = 100 };

/* What is at the front of the buffer: 0, MORE, CLIENT_ENDED or an error. */
static int take(struct client_stream *t, json_t **out)
{
    struct client_call *c = &t->call;
    struct str payload;
    uint8_t flags;
    size_t used;
    char why[160];
    int rc =
        connect_envelope_parse(buf_str(&c->in), LIMIT_CLIENT_MESSAGE_SIZE, &flags, &payload, &used);
    if (rc == CONNECT_MORE)
        return MORE;
    if (rc == CONNECT_TOO_LARGE)
        return client_fail(c->b, EPROTO, "the sandbox announces a message of more than %d bytes",
                           LIMIT_CLIENT_MESSAGE_SIZE);
    if (flags & CONNECT_END)
        return end(t, payload);
    if (flags)
        return client_fail(c->b, EPROTO, "the sandbox sends what was not asked for (compression)");
    *out = json_parse(payload, why);
    buf_consume(&c->in, used);
    client_call_resume(c);
    return *out ? 0 : client_fail(c->b, EPROTO, "the sandbox sends what is not JSON: %s", why);
}

/* The call is done, or as good as. */
static int broken(struct client_stream *t)
{
    struct client_call *c = &t->call;
    if (c->is_done && c->code == CURLE_OK && c->status != 200)
        return client_call_refused(c);
    if (c->is_done && c->code == CURLE_OK)
        return client_fail(c->b, EPROTO, "the stream stopped in the middle");
    return client_sandbox_broken(t->s, client_call_broken(c));
}

int64_t client_until(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : clock_mono_ms() + timeout_ms;
}

int client_stream_late(struct client_stream *t)
{
    return client_fail(t->call.b, ETIMEDOUT, "the sandbox does not begin to answer within %d ms",
                       t->call.b->timeout_ms);
}

int client_stream_next(struct client_stream *t, int fd, int64_t until_ms, json_t **out)
{
    struct client_call *c = &t->call;
    bool is_late = false;
    *out = NULL;
    if (t->is_ended)
        return CLIENT_ENDED;
    for (;;) {
        int rc = client_drive(c->b);
        if (rc < 0)
            return rc;
        rc = c->status == 200 ? take(t, out) : MORE;
        if (rc != MORE)
            return rc;
        if (c->is_done || (c->quiet_ms && c->silent_ms >= c->quiet_ms))
            return broken(t);
        if (is_late)
            return CLIENT_TIMED_OUT;
        int64_t left = until_ms - clock_mono_ms();
        rc = client_wait(c, fd, left > INT32_MAX ? -1 : left > 0 ? (int)left : 0);
        is_late = rc == CLIENT_TIMED_OUT;
        if (rc != 0 && !is_late)
            return rc;
    }
}
