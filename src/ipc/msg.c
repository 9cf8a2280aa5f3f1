#include "ipc/msg.h"

#include <assert.h>
#include <string.h>

#define MSG_MAGIC 0x31304a42u

struct head {
    uint32_t magic;
    uint16_t verb, flags;
    uint64_t tag;
    int32_t status;
    uint32_t length;
};
struct field {
    uint16_t key, zero;
    uint32_t length;
};
_Static_assert(sizeof(struct head) == 24 && sizeof(struct field) == 8, "no padding on the wire");

void msg_begin(struct buf *b, uint16_t verb, uint16_t flags, uint64_t tag, int32_t status)
{
    struct head h = { MSG_MAGIC, verb, flags, tag, status, 0 };
    buf_reset(b);
    buf_append(b, str_make((const char *)&h, sizeof h));
}

void msg_str(struct buf *b, uint16_t key, struct str value)
{
    struct field f = { key, 0, (uint32_t)value.n };
    assert(value.n <= UINT32_MAX);
    buf_append(b, str_make((const char *)&f, sizeof f));
    buf_append(b, value);
}

void msg_u64(struct buf *b, uint16_t key, uint64_t value)
{
    msg_str(b, key, str_make((const char *)&value, sizeof value));
}

void msg_end(struct buf *b)
{
    if (b->failed)
        return;
    uint32_t length = (uint32_t)(buf_used(b) - sizeof(struct head));
    memcpy(b->p + b->at + offsetof(struct head, length), &length, sizeof length);
}

bool msg_parse(struct str datagram, struct msg *out)
{
    struct head h;
    if (datagram.n < sizeof h)
        return false;
    memcpy(&h, datagram.p, sizeof h);
    if (h.magic != MSG_MAGIC || h.length != datagram.n - sizeof h)
        return false;
    *out = (struct msg){ h.verb, h.flags, h.tag, h.status, str_skip(datagram, sizeof h) };
    size_t at = 0;
    uint16_t key;
    struct str value;
    while (msg_next(out, &at, &key, &value))
        ;
    return at == out->body.n;
}

bool msg_next(const struct msg *m, size_t *at, uint16_t *key, struct str *value)
{
    struct field f;
    size_t left = m->body.n - *at;
    if (left < sizeof f)
        return false;
    memcpy(&f, m->body.p + *at, sizeof f);
    if (f.zero || f.length > left - sizeof f)
        return false;
    *key = f.key;
    *value = str_make(m->body.p + *at + sizeof f, f.length);
    *at += sizeof f + f.length;
    return true;
}

bool msg_get_str(const struct msg *m, uint16_t key, struct str *out)
{
    size_t at = 0;
    uint16_t k;
    while (msg_next(m, &at, &k, out))
        if (k == key)
            return true;
    *out = STR_NONE;
    return false;
}

bool msg_get_u64(const struct msg *m, uint16_t key, uint64_t *out)
{
    struct str s;
    *out = 0;
    if (!msg_get_str(m, key, &s) || s.n != sizeof *out)
        return false;
    memcpy(out, s.p, sizeof *out);
    return true;
}
