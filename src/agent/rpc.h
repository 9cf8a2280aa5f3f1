/* Connect RPC on top of the HTTP server: one table of methods, one struct per call, messages by
 * field tables. A handler answers a unary call with rpc_reply or rpc_fail, and a stream with
 * rpc_send... and rpc_end or rpc_fail. The call is gone after rpc_reply, rpc_end and rpc_fail. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/user.h"
#include "base/arena.h"
#include "base/list.h"
#include "loop/loop.h"
#include "net/http_server.h"
#include "wire/connect.h"
#include "wire/message.h"

struct agent;
struct rpc_call;

enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_CLIENT_STREAM };

struct rpc_method {
    const char *path;
    enum rpc_kind kind;
    const struct message_spec *request;
    /* The request has come whole; of a client stream, once per message, and with NULL at the end
     * unless the call is gone by then. */
    void (*fn)(struct rpc_call *c);
};

/* What the handler of a call that lives on wants to hear. */
struct rpc_ops {
    void (*on_gone)(struct rpc_call *c);      /* the client left; forget the call */
    void (*on_drain)(struct rpc_call *c);     /* rpc_send returned false; it may go on */
    void (*on_deadline)(struct rpc_call *c);  /* the client's timeout: must end the call. NULL: the
                                                 call is failed, after on_gone */
    void (*on_keepalive)(struct rpc_call *c); /* nothing was sent for the asked interval */
};

struct rpc_call {
    struct agent *agent;
    struct http_call *http;
    const struct rpc_method *method;
    const struct rpc_ops *ops; /* NULL until the handler sets it */
    enum message_codec codec;
    struct arena mem;
    void *request; /* of the method's message; in a client stream the current message or NULL */
    struct str user_name; /* empty: the default user */
    bool has_user_name;
    bool slow; /* rpc_send returned false and on_drain has not come */
    bool busy; /* the messages of a client stream are being taken apart: do not free yet */
    bool gone; /* answered meanwhile */
    int64_t keepalive_ms, timeout_ms, sent_ms;
    struct loop_timer keepalive, deadline;
    struct buf input; /* client stream: bytes of an unfinished envelope */
    struct list link; /* the handler's */
    void *data;       /* the handler's */
    uint64_t target;  /* the handler's: a serial number, 0 none */
};

/* Starts the call for a request of `m`. The access token was checked. */
void rpc_begin(struct agent *a, struct http_call *http, const struct rpc_method *m);

void rpc_reply(struct rpc_call *c, const struct message_spec *spec, const void *msg);
/* A unary answer of `size` bytes that somebody else has encoded: begin, write (false: wait for
 * on_drain), end. Not `whole`: the client sees that it breaks off. */
void rpc_reply_begin(struct rpc_call *c, int64_t size);
bool rpc_reply_write(struct rpc_call *c, struct str piece);
void rpc_reply_end(struct rpc_call *c, bool whole);
__attribute__((format(printf, 3, 4))) void rpc_fail(struct rpc_call *c, enum connect_code code,
                                                    const char *fmt, ...);
/* Sends one message of a stream. False: too much is waiting; on_drain will come. */
bool rpc_send(struct rpc_call *c, const struct message_spec *spec, const void *msg);
void rpc_end(struct rpc_call *c);

/* The user the call runs as. False: the call was failed and is gone. */
bool rpc_user(struct rpc_call *c, struct user *out);
/* path_resolve for that user. False: the call was failed and is gone. */
bool rpc_path(struct rpc_call *c, const struct user *user, struct str path, struct str *out);
