#include "wire/zmtp.h"

#define GREETING_SIZE 64
#define FLAG_MORE 0x01
#define FLAG_LONG 0x02
#define FLAG_COMMAND 0x04

static bool put_frame(struct buf *b, unsigned flags, struct str body)
{
    char head[9];
    size_t n = body.n > 255 ? 8 : 1;
    head[0] = (char)(flags | (n == 8 ? FLAG_LONG : 0));
    for (size_t i = 0; i < n; i++)
        head[1 + i] = (char)((uint64_t)body.n >> 8 * (n - 1 - i));
    return buf_append(b, str_make(head, 1 + n)) && buf_append(b, body);
}

bool zmtp_hello_put(struct buf *b, const char *socket_type)
{
    /* signature, version 3.0, mechanism of 20 bytes, as-server, filler */
    char greeting[GREETING_SIZE] = "\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL";
    struct buf ready;
    struct str type = str_of(socket_type);
    buf_init(&ready, 64);
    (void)buf_append(&ready, STR("\x05READY\x0bSocket-Type\0\0\0"));
    (void)buf_byte(&ready, (char)type.n);
    (void)buf_append(&ready, type);
    bool ok = buf_append(b, str_make(greeting, sizeof greeting)) && !ready.failed &&
              put_frame(b, FLAG_COMMAND, buf_str(&ready));
    buf_deinit(&ready);
    return ok;
}

bool zmtp_frame_put(struct buf *b, struct str body, bool more)
{
    return put_frame(b, more ? FLAG_MORE : 0, body);
}

static bool greeting_is_good(struct str in)
{
    return (unsigned char)in.p[0] == 0xff && (unsigned char)in.p[9] == 0x7f && in.p[10] >= 3 &&
           str_eq(str_make(in.p + 12, 5), STR("NULL\0"));
}

int zmtp_step(struct zmtp *z, struct str in, size_t limit, struct zmtp_frame *out, size_t *used)
{
    *used = 0;
    if (!z->is_greeted) {
        if (in.n < GREETING_SIZE)
            return ZMTP_MORE;
        if (!greeting_is_good(in))
            return ZMTP_WRONG;
        z->is_greeted = true;
        *used = GREETING_SIZE;
    }
    for (;;) {
        struct str rest = str_skip(in, *used);
        unsigned flags = rest.n ? (unsigned char)rest.p[0] : 0;
        size_t head = flags & FLAG_LONG ? 9 : 2;
        uint64_t n = 0;
        if (rest.n < head)
            return ZMTP_MORE;
        for (size_t i = 1; i < head; i++)
            n = n << 8 | (unsigned char)rest.p[i];
        if (flags > 7 || n > limit)
            return ZMTP_WRONG;
        if (rest.n - head < n)
            return ZMTP_MORE;
        *used += head + (size_t)n;
        if (flags & FLAG_COMMAND) {
            z->is_ready = true; /* its socket type was known */
            continue;
        }
        *out = (struct zmtp_frame){ str_make(rest.p + head, (size_t)n), flags & FLAG_MORE };
        return ZMTP_FRAME;
    }
}
