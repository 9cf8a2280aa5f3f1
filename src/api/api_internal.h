/* Inside api/ only: one call, its answers, and reading bodies. */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "api/api_keys.h"
#include "base/arena.h"
#include "base/buf.h"
#include "gen/limits.h"
#include "gen/routes.h"
#include "net/http_server.h"

#define API_ENVD_VERSION "0.6.13" /* core.md section 5: satisfies every gate of every SDK */
#define API_CLIENT_ID "be11ja40"  /* required by old clients, which append it to ids */

struct api {
    struct api_spec spec;
    struct http_server *server;
    struct api_keys keys;
    unsigned char login_secret[32]; /* signs access tokens of command lines */
    char team[37];                  /* the id of the one team there is */
    int64_t keys_swept_ms;          /* when old Idempotency-Keys were last forgotten */
    uint64_t trace_base, trace_count;
    struct buf out;    /* scratch for rendering a reply */
    struct list calls; /* api_call */
};

/* What a capture of an engine that makes namespaces holds: no memory, no processes. */
#define API_CONTENTS "\"contents\":\"filesystem\""

/* One request, from its head until it is answered, or longer: what was begun for a client that has
 * left is brought to its end (http is NULL then). */
struct api_call {
    struct api *api;
    struct list node;       /* api->calls */
    struct http_call *http; /* NULL: the client is gone */
    struct str method, path, query;
    struct str id, sub; /* the {id} and {sub} of the path, decoded; "" without */
    int version;        /* 1 or 2 where a route has both */
    struct arena arena;
    struct op op;
    json_t *body; /* NULL: no body */
    void (*on_body)(struct api_call *c, const json_t *body);
    void (*on_text)(struct api_call *c, struct str text);
    bool is_body_optional;
    struct sandbox_wait wait;
    void (*again)(struct api_call *c); /* when the operation in the way has ended */
    int rounds;
    int64_t deadline_ms;
    char trace[33];
    char key[256];        /* Idempotency-Key; "": none */
    bool is_key_reserved; /* and its answer is this call's to record */
    void *work;           /* of the handler; freed with the call by work_free */
    void (*work_free)(void *work);
};

/* -- answers: each ends the call -- */

/* `fields` NULL or more header lines "Name: value\r\n". */
void api_reply(struct api_call *c, int status, const char *fields, struct str json);
void api_reply_empty(struct api_call *c); /* 204 */
/* `v` (taken; NULL: memory was out). */
void api_reply_json(struct api_call *c, int status, const char *fields, json_t *v);
/* Of another type than JSON. */
void api_reply_typed(struct api_call *c, int status, const char *type, const char *fields,
                     struct str body);
void api_reply_fault(struct api_call *c); /* what c->op says */
/* The Sandbox object of create and connect. */
void api_reply_sandbox(struct api_call *c, int status, struct sandbox *s);

/* The same object, appended. */
void api_put_answer(struct buf *b, struct sandbox *s);

/* -- requests -- */

/* Reads the whole body and calls `fn` with it as a JSON object; `fn` gets an empty object when
 * there is none and `optional`. Mistakes are answered. */
void api_take_body(struct api_call *c, bool optional,
                   void (*fn)(struct api_call *c, const json_t *body));

/* The same for a body that may be longer than others. */
void api_take_body_of(struct api_call *c, size_t most, bool optional,
                      void (*fn)(struct api_call *c, const json_t *body));
/* Reads a small body as it is, a form for instance; `fn` gets it. */
void api_take_text(struct api_call *c, void (*fn)(struct api_call *c, struct str text));
/* The client is gone: for handlers that read the body themselves. What was begun goes on; a call
 * that waits for nothing ends here. */
void api_call_gone(struct api_call *c);

/* The sandbox of the path; NULL: answered already (400 or 404). */
struct sandbox *api_sandbox(struct api_call *c);

/* Fields of a body. 1: there; 0: absent or null; -EINVAL with the sentence in `op`. */
int api_field_bool(struct op *op, const json_t *o, const char *key, bool *out);
int api_field_int(struct op *op, const json_t *o, const char *key, int64_t *out);
int api_field_str(struct op *op, const json_t *o, const char *key, struct str *out);
int api_field_object(struct op *op, const json_t *o, const char *key, json_t **out);
/* At most `most` pairs of strings of at most LIMIT_API_STRING_SIZE. */
int api_field_map(struct op *op, const json_t *o, const char *key, size_t most, json_t **out);
int api_field_strings(struct op *op, const json_t *o, const char *key, size_t most, json_t **out);
#define api_invalid(op, ...) op_fail((op), FAULT_INVALID, EINVAL, "validation error: " __VA_ARGS__)
/* `timeout` of a create or connect: 1..max, or 0..max with `zero`. Sentences as core.md 2.2. */
int api_field_timeout(struct op *op, const json_t *o, bool zero, int64_t *out);
/* A `limit` of a query: 1 to LIMIT_LIST_PAGE, more is as much. 0 or -EINVAL with the sentence. */
int api_query_limit(struct op *op, struct str value, uint32_t *out);

/* "a,b" as an array; new. */
json_t *api_strings(const char *list);
/* A time as text; null for 0. New. */
json_t *api_time(int64_t us);
/* "http://HOST" as this request named the server, in the arena. 0 or -EINVAL with the sentence. */
int api_own_url(struct api_call *c, struct str *out);

/* -- operations that wait -- */

/* Registers c->wait for an operation that `fn` finishes. */
void api_wait_init(struct api_call *c,
                   void (*fn)(struct sandbox_wait *w, struct sandbox *s, const struct fault *f));
/* A verb of the fleet said -EAGAIN with c->wait: calls `again` when it may be tried anew, and
 * answers 409 after three times. */
void api_wait_again(struct api_call *c, void (*again)(struct api_call *c));

/* Appends what ListedSandbox and SandboxDetail share, or all of SandboxDetail, as an object. */
bool api_put_sandbox(struct buf *b, struct sandbox *s, bool is_detail);

/* Reads a create body into `spec` (initialised). 0 or a negative errno with the fault in c->op. */
int api_create_parse(struct api_call *c, const json_t *body, struct sandbox_spec *spec);
/* Its network part. Separately, for PUT network has the same fields. */
int api_network_parse(struct op *op, const json_t *body, struct sandbox_spec *spec);

/* The Idempotency-Key of a create (delta.md 7). check: 0, or -EINVAL with the fault in c->op when
 * the header is malformed. begin, once `spec` is read: 0 goes on; 1 the call is answered already.
 */
int api_idempotency_check(struct api_call *c);
int api_idempotency_begin(struct api_call *c, const struct sandbox_spec *spec);
/* Keeps the answer of a call that has a key. */
void api_idempotency_end(struct api_call *c, int status, struct str body);

#define X(method, path, handler, access) void api_##handler(struct api_call *c);
ROUTE_TABLE(X)
#undef X
