/* HTTP/1.1 messages (RFC 9112), strict and pure: bytes in, views of them out. What different
 * readers could understand differently is refused: bare LF, obs-fold, space before a colon, CL with
 * TE, unequal or repeated CL, any coding but a single final chunked, control bytes in values. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "gen/limits.h"

enum { HTTP_DONE = 0, HTTP_MORE = 1 }; /* other outcomes are the HTTP status to refuse with */

struct http_field {
    struct str name, value;
};

/* A message head. All strings point into the parsed bytes. */
struct http_head {
    struct str method, target; /* request */
    struct str path, query;    /* target cut at the first '?', as sent (not decoded) */
    int status;                /* response */
    struct str reason;         /* response */
    int minor;                 /* HTTP/1.minor: 0 or 1 */
    struct http_field fields[LIMIT_HTTP_FIELDS];
    uint32_t field_count;
    int64_t length;       /* bytes of body; -1: unknown (chunked, or until the end) */
    bool chunked;         /* the body is chunked */
    bool until_close;     /* response: the body ends with the connection */
    bool keep_alive;      /* the connection may carry another message */
    bool upgrade;         /* request: asks for another protocol; response: status is 101 */
    bool expect_continue; /* request: waits for 100 before its body */
    size_t size;          /* bytes of the head */
};

/* Parses a request (response) head at the front of `in`. HTTP_DONE, HTTP_MORE when it is not all
 * there, or the status that tells the sender what is wrong (400, 414, 431, 501, 505). For a
 * response any failure is 502. `to_head`: it answers a HEAD request, so it has no body. */
int http_parse_request(struct str in, struct http_head *out);
int http_parse_response(struct str in, bool to_head, struct http_head *out);

/* The first field `name` (any case); empty with p == NULL when absent. */
struct str http_field(const struct http_head *h, const char *name);
/* True when the comma list of the fields `name` holds `token` (any case). */
bool http_field_has(const struct http_head *h, const char *name, const char *token);

/* Appends a head without the final empty line. */
void http_put_status(struct buf *b, int status);
void http_put_field(struct buf *b, const char *name, struct str value);
/* The reason phrase of `status` (RFC 9110 15, 507, 499), "Unknown" for others. */
const char *http_reason(int status);

/* Chunked body decoder (RFC 9112 7.1). Zero-initialised = at the start. */
struct http_chunks {
    int state;
    uint64_t left;  /* of the current chunk */
    uint32_t extra; /* extension or trailer bytes read past */
    int digits;
};
/* Decodes from `in`: *used bytes were taken, *data is body bytes among them (may be empty: call
 * again with the rest). HTTP_DONE: the body ended; HTTP_MORE: go on; 400: malformed. */
int http_chunks_step(struct http_chunks *c, struct str in, struct str *data, size_t *used);
/* Between two chunks: another one could be put here. */
bool http_chunks_is_between(const struct http_chunks *c);
