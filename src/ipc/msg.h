/* Messages between our own processes: a fixed head and fields, in native byte order (both ends are
 * the same build on the same machine). Pure. Every read is checked: a peer may be compromised.
 *
 *   head:  u32 magic 'BJ01' | u16 verb | u16 flags | u64 tag | s32 status | u32 body length
 *   field: u16 key | u16 zero | u32 length | bytes                     (no padding)
 *
 * A request carries a tag the asker chose; the reply repeats verb and tag with MSG_REPLY set and a
 * status of 0 or a negative errno. A message without MSG_REPLY and with tag 0 is an event. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define MSG_REPLY 1u

struct msg {
    uint16_t verb, flags;
    uint64_t tag;
    int32_t status;
    struct str body; /* the fields, borrowed */
};

/* Writing: begin, fields, end. Failure shows in b->failed. */
void msg_begin(struct buf *b, uint16_t verb, uint16_t flags, uint64_t tag, int32_t status);
void msg_u64(struct buf *b, uint16_t key, uint64_t value);
void msg_str(struct buf *b, uint16_t key, struct str value);
void msg_end(struct buf *b); /* fills in the length; the message starts at the buffer's front */

/* Parses one whole datagram. False: not one well-formed message (fields included). */
bool msg_parse(struct str datagram, struct msg *out);

/* The first field `key`. False when absent (or, for u64, not 8 bytes long); *out is then 0/empty.
 */
bool msg_get_u64(const struct msg *m, uint16_t key, uint64_t *out);
bool msg_get_str(const struct msg *m, uint16_t key, struct str *out);

/* Walks all fields: start with *at = 0; false at the end. */
bool msg_next(const struct msg *m, size_t *at, uint16_t *key, struct str *value);
