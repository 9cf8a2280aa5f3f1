/* Messages of the envd protocol from one field table: the table drives the JSON codec (proto3 JSON
 * mapping) and the binary protobuf codec, both ways, between bytes and plain structs. Pure.
 *
 * A decoded struct and all it points at live in the arena. Strings never hold NUL: a message that
 * has one is refused, so that they may be given to the kernel. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

enum message_type {                /* member of the struct */
                    MESSAGE_STR,   /* struct str */
                    MESSAGE_BYTES, /* struct str */
                    MESSAGE_U32,   /* uint32_t */
                    MESSAGE_S32,   /* int32_t, sint32 on the wire */
                    MESSAGE_I64,   /* int64_t */
                    MESSAGE_BOOL,  /* bool */
                    MESSAGE_ENUM,  /* int32_t */
                    MESSAGE_TIME,  /* struct message_time */
                    MESSAGE_SUB,   /* struct X *, NULL when absent */
                    MESSAGE_STRS,  /* struct message_list of struct str */
                    MESSAGE_SUBS,  /* struct message_list of struct X */
                    MESSAGE_MAP,   /* struct message_list of struct message_pair */
};

struct message_time {
    int64_t s;
    int32_t ns;
};
struct message_pair {
    struct str key, value;
};
struct message_list {
    void *at;
    uint32_t count;
};

struct message_name { /* of an enum; the last has name NULL */
    const char *name;
    int32_t value;
};

struct message_spec;
struct message_field {
    const char *name;  /* lowerCamelCase, as JSON has it */
    const char *snake; /* the name in the schema when it differs, else NULL */
    uint16_t number;
    uint16_t type;   /* enum message_type */
    uint16_t offset; /* of the member */
    uint16_t has;    /* offset of a bool telling presence; 0: none, default values are left out */
    const struct message_spec *spec;  /* MESSAGE_SUB, MESSAGE_SUBS */
    const struct message_name *names; /* MESSAGE_ENUM */
};
struct message_spec {
    const char *name;
    size_t size; /* of the struct */
    const struct message_field *fields;
    uint32_t field_count;
};

enum message_codec { MESSAGE_JSON, MESSAGE_BINARY };

/* Decodes into *out, a new zeroed struct of the arena. False: `why` says what is wrong. */
bool message_parse(const struct message_spec *spec, enum message_codec codec, struct str in,
                   struct arena *a, void **out, char why[160]);

/* Appends the encoded struct; b->failed tells when it did not fit. */
void message_put(const struct message_spec *spec, enum message_codec codec, const void *msg,
                 struct buf *b);

/* The two codecs; use the two above. */
bool message_json_parse(const struct message_spec *spec, struct str in, struct arena *a, void *msg,
                        char why[160]);
void message_json_put(const struct message_spec *spec, const void *msg, struct buf *b);
bool message_binary_parse(const struct message_spec *spec, struct str in, struct arena *a,
                          void *msg, char why[160]);
void message_binary_put(const struct message_spec *spec, const void *msg, struct buf *b);
