#include "agent/rpc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/gunzip.h"
#include "agent/path.h"
#include "agent/schema.h"
#include "gen/limits.h"

#define KEEPALIVE_DEFAULT_S 90
#define FRAME_KEPT_SIZE 16384 /* of the scratch buffer; a larger one is given back */

static const char *const stream_types[] = {
    [MESSAGE_JSON] = "application/connect+json", [MESSAGE_BINARY] = "application/connect+proto"
};
static const char *const unary_types[] = {
    [MESSAGE_JSON] = "application/json", [MESSAGE_BINARY] = "application/proto"
};

static bool is_stream(const struct rpc_call *c) { return c->method->kind != RPC_UNARY; }

static void call_free(struct rpc_call *c)
{
    loop_timer_cancel(&c->keepalive);
    loop_timer_cancel(&c->deadline);
    buf_deinit(&c->input);
    arena_deinit(&c->mem);
    free(c);
}

/* Answered: free, unless its messages are still being taken apart further up the stack. */
static void call_over(struct rpc_call *c)
{
    c->http = NULL;
    c->gone = true;
    if (!c->busy)
        call_free(c);
}

static struct buf *frame_begin(struct agent *a)
{
    if (a->frame.cap > FRAME_KEPT_SIZE)
        buf_deinit(&a->frame);
    buf_reset(&a->frame);
    return &a->frame;
}

/* -- answers -- */

/* False: memory was out while the message was encoded. Nothing was sent, and nothing may follow:
 * the client must see that the stream breaks off. */
static bool send_frame(struct rpc_call *c, uint8_t flags)
{
    struct buf *b = &c->agent->frame;
    if (b->failed)
        return false;
    connect_envelope_put(b->p + b->at, flags, buf_used(b) - CONNECT_ENVELOPE_SIZE);
    c->slow = !http_reply_write(c->http, buf_str(b));
    c->sent_ms = loop_now_ms(c->agent->loop);
    return true;
}

/* The last frame of a stream. */
static void send_last(struct rpc_call *c)
{
    if (send_frame(c, CONNECT_END))
        http_reply_end(c->http);
    else
        http_call_abort(c->http);
}

static struct buf *stream_frame(struct rpc_call *c)
{
    struct buf *b = frame_begin(c->agent);
    if (!c->http->is_replying)
        http_reply_begin(c->http, 200, stream_types[c->codec], NULL, -1);
    (void)buf_append(b, str_make("\0\0\0\0\0", CONNECT_ENVELOPE_SIZE));
    return b;
}

void rpc_reply(struct rpc_call *c, const struct message_spec *spec, const void *msg)
{
    if (c->method->kind == RPC_CLIENT_STREAM) {
        (void)rpc_send(c, spec, msg);
        rpc_end(c);
        return;
    }
    struct buf *b = frame_begin(c->agent);
    message_put(spec, c->codec, msg, b);
    if (b->failed)
        http_call_abort(c->http);
    else
        http_reply(c->http, 200, unary_types[c->codec], NULL, buf_str(b));
    call_over(c);
}

void rpc_reply_begin(struct rpc_call *c, int64_t size)
{
    http_reply_begin(c->http, 200, unary_types[c->codec], NULL, size);
}

bool rpc_reply_write(struct rpc_call *c, struct str piece)
{
    return http_reply_write(c->http, piece);
}

void rpc_reply_end(struct rpc_call *c, bool whole)
{
    if (whole)
        http_reply_end(c->http);
    else
        http_call_abort(c->http);
    call_over(c);
}

bool rpc_send(struct rpc_call *c, const struct message_spec *spec, const void *msg)
{
    struct buf *b = stream_frame(c);
    message_put(spec, c->codec, msg, b);
    if (!send_frame(c, 0)) {
        c->slow = true; /* until on_gone */
        http_call_break(c->http);
    }
    return !c->slow;
}

void rpc_end(struct rpc_call *c)
{
    struct buf *b = stream_frame(c);
    (void)buf_append(b, STR("{}"));
    send_last(c);
    call_over(c);
}

static void fail(struct rpc_call *c, enum connect_code code, struct str message)
{
    struct buf *b = is_stream(c) ? stream_frame(c) : frame_begin(c->agent);
    if (is_stream(c)) {
        (void)buf_append(b, STR("{\"error\":"));
        connect_error_put(b, code, message);
        (void)buf_byte(b, '}');
        send_last(c);
    } else {
        connect_error_put(b, code, message);
        if (b->failed)
            http_call_abort(c->http);
        else
            http_reply(c->http, connect_code_status(code), "application/json", NULL, buf_str(b));
    }
    call_over(c);
}

void rpc_fail(struct rpc_call *c, enum connect_code code, const char *fmt, ...)
{
    char text[4096 + 256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fail(c, code, str_of(text));
}

/* -- timers -- */

static void on_keepalive(struct loop_timer *t)
{
    struct rpc_call *c = t->data;
    int64_t left = c->sent_ms + c->keepalive_ms - loop_now_ms(c->agent->loop);
    if (left <= 0) {
        if (!c->slow && c->ops && c->ops->on_keepalive)
            c->ops->on_keepalive(c);
        left = c->keepalive_ms;
    }
    (void)loop_timer_start(c->agent->loop, &c->keepalive, left);
}

static void on_deadline(struct loop_timer *t)
{
    struct rpc_call *c = t->data;
    if (c->ops && c->ops->on_deadline) {
        c->ops->on_deadline(c);
        return;
    }
    if (c->ops && c->ops->on_gone)
        c->ops->on_gone(c);
    rpc_fail(c, CONNECT_DEADLINE_EXCEEDED, "context deadline exceeded");
}

/* -- requests -- */

static void http_gone(struct http_call *http)
{
    struct rpc_call *c = http->data;
    if (c->ops && c->ops->on_gone)
        c->ops->on_gone(c);
    call_free(c);
}

static void http_drain(struct http_call *http)
{
    struct rpc_call *c = http->data;
    c->slow = false;
    if (c->ops && c->ops->on_drain)
        c->ops->on_drain(c);
}

static const struct http_call_ops answering_ops = { .on_drain = http_drain, .on_gone = http_gone };

static struct str media_type(struct str value)
{
    struct str type, rest;
    (void)str_cut(value, ';', &type, &rest);
    return str_trim(type);
}

static bool take_codec(struct rpc_call *c, const struct http_head *h)
{
    struct str type = media_type(http_field(h, "content-type"));
    const char *const *types = is_stream(c) ? stream_types : unary_types;
    for (int i = MESSAGE_JSON; i <= MESSAGE_BINARY; i++)
        if (str_ieq(type, str_of(types[i]))) {
            c->codec = (enum message_codec)i;
            return true;
        }
    return false;
}

static void take_user(struct rpc_call *c, const struct http_head *h)
{
    struct str value = http_field(h, "authorization"), plain, rest;
    if (value.n < 6 || !str_ieq(str_make(value.p, 6), STR("Basic ")))
        return;
    if (!connect_base64_parse(&c->mem, str_trim(str_skip(value, 6)), &plain))
        return;
    (void)str_cut(plain, ':', &c->user_name, &rest);
    c->has_user_name = c->user_name.n > 0;
}

/* False: the call was failed. */
static bool take_times(struct rpc_call *c, const struct http_head *h)
{
    struct str timeout = http_field(h, "connect-timeout-ms");
    uint64_t v;
    c->keepalive_ms = KEEPALIVE_DEFAULT_S * 1000;
    if (str_to_u64(http_field(h, "keepalive-ping-interval"), 86400, &v) && v > 0)
        c->keepalive_ms = (int64_t)v * 1000;
    if (!timeout.n)
        return true;
    if (timeout.n > 10 || !str_to_u64(timeout, INT64_MAX, &v)) {
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "protocol error: invalid timeout \"" STR_FMT "\"",
                 STR_ARG(timeout));
        return false;
    }
    c->timeout_ms = (int64_t)v;
    return true;
}

static void timers_start(struct rpc_call *c)
{
    c->sent_ms = loop_now_ms(c->agent->loop);
    c->keepalive = (struct loop_timer){ .fn = on_keepalive, .data = c };
    c->deadline = (struct loop_timer){ .fn = on_deadline, .data = c };
    if (c->method->kind == RPC_SERVER_STREAM)
        (void)loop_timer_start(c->agent->loop, &c->keepalive, c->keepalive_ms);
    if (c->timeout_ms)
        (void)loop_timer_start(c->agent->loop, &c->deadline, c->timeout_ms);
}

/* Decodes one message and hands it to the method. False: the call was failed. */
static bool take_message(struct rpc_call *c, struct str bytes, bool gzip)
{
    char why[160];
    if (gzip && !gunzip_all(&c->mem, bytes, LIMIT_RPC_MESSAGE_SIZE, &bytes)) {
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "the message cannot be decompressed");
        return false;
    }
    if (c->codec == MESSAGE_JSON && bytes.n == 0)
        bytes = STR("{}");
    if (!message_parse(c->method->request, c->codec, bytes, &c->mem, &c->request, why)) {
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "unmarshal message: %s", why);
        return false;
    }
    return true;
}

static bool is_gzip(struct str coding) { return str_ieq(str_trim(coding), STR("gzip")); }
static bool is_plain(struct str coding)
{
    return coding.n == 0 || str_ieq(str_trim(coding), STR("identity"));
}

static void unary_body(struct http_call *http, struct str body)
{
    struct rpc_call *c = http->data;
    struct str coding = http_field(&http->head, "content-encoding");
    http->ops = &answering_ops;
    if (!is_plain(coding) && !is_gzip(coding))
        rpc_fail(c, CONNECT_UNIMPLEMENTED, "unknown compression \"" STR_FMT "\"", STR_ARG(coding));
    else if (take_message(c, body, is_gzip(coding)))
        c->method->fn(c);
}

/* What is wrong with an envelope, or NULL. */
static const char *envelope_wrong(const struct http_head *h, uint8_t flags)
{
    if ((flags & CONNECT_COMPRESSED) && !is_gzip(http_field(h, "connect-content-encoding")))
        return "protocol error: sent compressed message without compression support";
    return flags & ~(unsigned)(CONNECT_COMPRESSED | CONNECT_END) ? "protocol error: invalid flags"
                                                                 : NULL;
}

static void stream_body(struct http_call *http, struct str body)
{
    struct rpc_call *c = http->data;
    uint8_t flags = 0;
    struct str payload;
    size_t used = 0;
    http->ops = &answering_ops;
    int r = connect_envelope_parse(body, LIMIT_RPC_MESSAGE_SIZE, &flags, &payload, &used);
    const char *why = r ? NULL : envelope_wrong(&http->head, flags);
    if (r == CONNECT_TOO_LARGE)
        rpc_fail(c, CONNECT_RESOURCE_EXHAUSTED, "message is larger than %d bytes",
                 LIMIT_RPC_MESSAGE_SIZE);
    else if (r || why || (flags & CONNECT_END) || used != body.n)
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "%s",
                 why ? why : "protocol error: the request must be exactly one envelope");
    else if (take_message(c, payload, flags & CONNECT_COMPRESSED))
        c->method->fn(c);
}

static void request_gone(struct http_call *http) { call_free(http->data); }

/* -- client streams: envelopes as they come -- */

static void client_stop(struct rpc_call *c)
{
    c->busy = false;
    if (c->gone)
        call_free(c);
}

static void client_body(struct http_call *http, struct str piece)
{
    struct rpc_call *c = http->data;
    uint8_t flags = 0;
    struct str payload;
    size_t used = 0;
    c->busy = true;
    if (!buf_append(&c->input, piece))
        rpc_fail(c, CONNECT_RESOURCE_EXHAUSTED, "message is larger than %d bytes",
                 LIMIT_RPC_MESSAGE_SIZE);
    while (!c->gone) {
        int r = connect_envelope_parse(buf_str(&c->input), LIMIT_RPC_MESSAGE_SIZE, &flags, &payload,
                                       &used);
        if (r == CONNECT_MORE)
            break;
        const char *why = r ? "message is too large" : envelope_wrong(&http->head, flags);
        if (why)
            rpc_fail(c, CONNECT_INVALID_ARGUMENT, "%s", why);
        else if (!(flags & CONNECT_END) && take_message(c, payload, flags & CONNECT_COMPRESSED))
            c->method->fn(c);
        if (!c->gone)
            buf_consume(&c->input, used);
    }
    client_stop(c);
}

static void client_end(struct http_call *http)
{
    struct rpc_call *c = http->data;
    c->request = NULL;
    c->busy = true;
    c->method->fn(c);
    client_stop(c);
}

static const struct http_call_ops client_ops = {
    .on_body = client_body, .on_end = client_end, .on_drain = http_drain, .on_gone = http_gone
};

/* -- the start of a call -- */

void rpc_begin(struct agent *a, struct http_call *http, const struct rpc_method *m)
{
    const struct http_head *h = &http->head;
    if (!str_eq(h->method, STR("POST"))) {
        http_reply(http, 405, NULL, "Allow: POST\r\n", STR(""));
        return;
    }
    struct rpc_call *c = calloc(1, sizeof *c);
    if (!c) {
        http_call_abort(http);
        return;
    }
    *c = (struct rpc_call){ .agent = a, .http = http, .method = m };
    arena_init(&c->mem, 0);
    buf_init(&c->input, LIMIT_RPC_MESSAGE_SIZE + CONNECT_ENVELOPE_SIZE + 131072);
    list_init(&c->link);
    http->data = c;
    if (!take_codec(c, h)) {
        http_reply(http, 415, NULL,
                   is_stream(c) ? "Accept-Post: application/connect+json, "
                                  "application/connect+proto\r\n"
                                : "Accept-Post: application/json, application/proto\r\n",
                   STR(""));
        call_free(c);
        return;
    }
    take_user(c, h);
    if (!take_times(c, h))
        return;
    timers_start(c);
    if (m->kind == RPC_CLIENT_STREAM)
        http->ops = &client_ops;
    else
        http_call_collect(http, LIMIT_RPC_MESSAGE_SIZE + CONNECT_ENVELOPE_SIZE,
                          m->kind == RPC_UNARY ? unary_body : stream_body, request_gone);
}

bool rpc_user(struct rpc_call *c, struct user *out)
{
    struct str name = c->has_user_name ? c->user_name : c->agent->identity.user;
    if (!name.n)
        name = STR("root");
    int r = user_find(&c->mem, name, out);
    if (r == USER_FOUND)
        return true;
    if (r == USER_UNKNOWN)
        rpc_fail(c, CONNECT_UNAUTHENTICATED, "invalid %s: '" STR_FMT "'",
                 c->has_user_name ? "username" : "default user", STR_ARG(name));
    else
        rpc_fail(c, CONNECT_RESOURCE_EXHAUSTED, "out of memory");
    return false;
}

bool rpc_path(struct rpc_call *c, const struct user *user, struct str path, struct str *out)
{
    int r = path_resolve(&c->mem, path, user, c->agent->identity.workdir, out);
    if (r == PATH_DONE)
        return true;
    rpc_fail(c, CONNECT_INVALID_ARGUMENT, "%s", path_why(r));
    return false;
}
