/* The Connect protocol (connectrpc.com, protocol version 1): codes, envelopes, base64. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* The numbers are gRPC's. */
enum connect_code {
    CONNECT_OK,
    CONNECT_CANCELED,
    CONNECT_UNKNOWN,
    CONNECT_INVALID_ARGUMENT,
    CONNECT_DEADLINE_EXCEEDED,
    CONNECT_NOT_FOUND,
    CONNECT_ALREADY_EXISTS,
    CONNECT_PERMISSION_DENIED,
    CONNECT_RESOURCE_EXHAUSTED,
    CONNECT_FAILED_PRECONDITION,
    CONNECT_ABORTED,
    CONNECT_OUT_OF_RANGE,
    CONNECT_UNIMPLEMENTED,
    CONNECT_INTERNAL,
    CONNECT_UNAVAILABLE,
    CONNECT_DATA_LOSS,
    CONNECT_UNAUTHENTICATED,
    CONNECT_CODES
};

const char *connect_code_name(enum connect_code code); /* "not_found" */
int connect_code_status(enum connect_code code);       /* HTTP status of a unary error */

#define CONNECT_COMPRESSED 0x01
#define CONNECT_END 0x02
#define CONNECT_ENVELOPE_SIZE 5

enum { CONNECT_DONE = 0, CONNECT_MORE = 1, CONNECT_TOO_LARGE = 2 };

/* Takes one envelope from the front of `in`: CONNECT_DONE (*flags, *payload, *used set),
 * CONNECT_MORE, or CONNECT_TOO_LARGE when its payload is longer than `limit`. */
int connect_envelope_parse(struct str in, size_t limit, uint8_t *flags, struct str *payload,
                           size_t *used);
/* Writes the five bytes in front of a payload of `n` bytes. */
void connect_envelope_put(char out[CONNECT_ENVELOPE_SIZE], uint8_t flags, size_t n);

/* Appends {"code":..,"message":..}; bytes that are not UTF-8 are replaced. */
void connect_error_put(struct buf *b, enum connect_code code, struct str message);

/* Appends `s` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void connect_string_put(struct buf *b, struct str s);

/* Appends base64 (RFC 4648 4), with padding. */
void connect_base64_put(struct buf *b, struct str bytes);
/* Standard or URL alphabet, padding optional. False: something else, or memory. */
bool connect_base64_parse(struct arena *a, struct str text, struct str *out);
