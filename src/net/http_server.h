/* HTTP/1.1 server on the loop: connections, requests one after another, streamed bodies both ways
 * with bounded memory. Not a framework: one callback per request, which answers.
 *
 * A call (one request and its answer) lives from on_call until its reply has ended AND its request
 * body was read, or until on_gone. After http_reply_end, http_reply, http_reply_file's end or
 * http_call_abort the handler must not touch the call again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "loop/loop.h"
#include "wire/http.h"

struct http_server;
struct http_conn;
struct http_call;

struct http_call_ops {
    /* A piece of the request body. NULL: the body is discarded. */
    void (*on_body)(struct http_call *c, struct str piece);
    /* The whole request body has come (at once after on_call when there is none). May be NULL. */
    void (*on_end)(struct http_call *c);
    /* http_reply_write returned false and the queue has drained. May be NULL. */
    void (*on_drain)(struct http_call *c);
    /* The client is gone, or its body was malformed, before the reply ended: forget the call.
     * Never runs after the reply was ended by the handler. */
    void (*on_gone)(struct http_call *c);
};

struct http_call {
    struct http_conn *conn;
    struct http_head head; /* views stay valid for the life of the call */
    void *data;            /* the handler's */
    const struct http_call_ops *ops;
    bool is_replying; /* reply_begin was called */
};

struct http_server_spec {
    struct loop *loop;
    /* The head of a request came: set c->ops and c->data, or reply at once. */
    void (*on_call)(struct http_call *c, void *data);
    void *data;
    uint32_t conns_max; /* more connections than this wait in the backlog */
    const char *fields; /* extra header lines for every reply, "Name: value\r\n"..., or NULL */
};

/* NULL with errno. The server serves any number of listening sockets. */
struct http_server *http_server_new(const struct http_server_spec *spec);
/* Closes every connection (on_gone runs for their calls) and frees. */
void http_server_free(struct http_server *s);
/* Serves the listening socket `fd` (takes it). `tag` tells calls of different listeners apart.
 * 0 or a negative errno. */
int http_server_listen(struct http_server *s, int fd, int tag);
int http_call_tag(const struct http_call *c);
/* Stops accepting; calls under way go on. */
void http_server_stop(struct http_server *s);

/* Collects the request body (at most `limit` bytes, else the caller is answered 413 with a JSON
 * body and `fn` never runs) and calls `fn` with it. The bytes live until the reply ends. Sets
 * c->ops; `on_gone` (may be NULL) is for the wait and afterwards. */
void http_call_collect(struct http_call *c, size_t limit,
                       void (*fn)(struct http_call *c, struct str body),
                       void (*on_gone)(struct http_call *c));

/* Stops and restarts on_body: backpressure to the sender. */
void http_call_pause(struct http_call *c);
void http_call_resume(struct http_call *c);

/* The request body may rest for as long as it likes: the handler knows better. For a call whose
 * body and reply are a conversation. */
void http_call_rest(struct http_call *c);

/* A whole reply. `fields`: extra header lines "Name: value\r\n" or NULL. `type` NULL: none. A HEAD
 * request gets the head only. Status 204 and 304 have no body. */
void http_reply(struct http_call *c, int status, const char *type, const char *fields,
                struct str body);
/* Begins a streamed reply. `length` -1: chunked (or until close for HTTP/1.0). */
void http_reply_begin(struct http_call *c, int status, const char *type, const char *fields,
                      int64_t length);
/* Queues body bytes and sends what it can. False: more than LIMIT_HTTP_OUT_SIZE is waiting, or
 * anything while the server is pressed; stop and wait for on_drain (what was given is queued all
 * the same). */
bool http_reply_write(struct http_call *c, struct str piece);
size_t http_reply_queued(const struct http_call *c); /* bytes not yet taken by the kernel */
/* All connections together have more than LIMIT_HTTP_OUT_TOTAL waiting: a producer that can should
 * give small pieces. */
bool http_reply_is_pressed(const struct http_call *c);
void http_reply_end(struct http_call *c);
/* Sends `length` bytes of `fd` from `offset` (sendfile(2)) as the rest of a reply begun with that
 * length, then ends it. Takes `fd`. If the file turns out shorter the connection is cut. */
void http_reply_file(struct http_call *c, int fd, off_t offset, int64_t length);
/* Cuts the connection without ending the reply (TCP reset where possible). on_gone does not run. */
void http_call_abort(struct http_call *c);
/* The same at the end of this round, and on_gone runs then: for a producer deep in its own calls.
 */
void http_call_break(struct http_call *c);
