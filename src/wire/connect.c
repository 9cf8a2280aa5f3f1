#include "wire/connect.h"

#include <string.h>

static const struct {
    const char *name;
    int status;
} codes[CONNECT_CODES] = {
    [CONNECT_OK] = { "ok", 200 },
    [CONNECT_CANCELED] = { "canceled", 499 },
    [CONNECT_UNKNOWN] = { "unknown", 500 },
    [CONNECT_INVALID_ARGUMENT] = { "invalid_argument", 400 },
    [CONNECT_DEADLINE_EXCEEDED] = { "deadline_exceeded", 504 },
    [CONNECT_NOT_FOUND] = { "not_found", 404 },
    [CONNECT_ALREADY_EXISTS] = { "already_exists", 409 },
    [CONNECT_PERMISSION_DENIED] = { "permission_denied", 403 },
    [CONNECT_RESOURCE_EXHAUSTED] = { "resource_exhausted", 429 },
    [CONNECT_FAILED_PRECONDITION] = { "failed_precondition", 400 },
    [CONNECT_ABORTED] = { "aborted", 409 },
    [CONNECT_OUT_OF_RANGE] = { "out_of_range", 400 },
    [CONNECT_UNIMPLEMENTED] = { "unimplemented", 501 },
    [CONNECT_INTERNAL] = { "internal", 500 },
    [CONNECT_UNAVAILABLE] = { "unavailable", 503 },
    [CONNECT_DATA_LOSS] = { "data_loss", 500 },
    [CONNECT_UNAUTHENTICATED] = { "unauthenticated", 401 },
};

const char *connect_code_name(enum connect_code code) { return codes[code].name; }
int connect_code_status(enum connect_code code) { return codes[code].status; }

/* -- envelopes: one byte of flags, four of length, most significant first -- */

int connect_envelope_parse(struct str in, size_t limit, uint8_t *flags, struct str *payload,
                           size_t *used)
{
    if (in.n < CONNECT_ENVELOPE_SIZE)
        return CONNECT_MORE;
    const unsigned char *p = (const unsigned char *)in.p;
    uint32_t n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (n > limit)
        return CONNECT_TOO_LARGE;
    if (in.n - CONNECT_ENVELOPE_SIZE < n)
        return CONNECT_MORE;
    *flags = p[0];
    *payload = str_make(in.p + CONNECT_ENVELOPE_SIZE, n);
    *used = CONNECT_ENVELOPE_SIZE + n;
    return CONNECT_DONE;
}

void connect_envelope_put(char out[CONNECT_ENVELOPE_SIZE], uint8_t flags, size_t n)
{
    out[0] = (char)flags;
    for (int i = 0; i < 4; i++)
        out[1 + i] = (char)(n >> (24 - 8 * i));
}

/* -- JSON strings -- */

static void put_escaped(struct buf *b, unsigned char c)
{
    static const char two[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    for (size_t i = 0; two[i]; i += 2)
        if ((unsigned char)two[i] == c) {
            (void)buf_byte(b, '\\');
            (void)buf_byte(b, two[i + 1]);
            return;
        }
    (void)buf_printf(b, "\\u%04x", c);
}

void connect_string_put(struct buf *b, struct str s)
{
    (void)buf_byte(b, '"');
    while (s.n) {
        size_t plain = 0;
        while (plain < s.n) {
            unsigned char c = (unsigned char)s.p[plain];
            size_t n = c < 0x80 ? 1 : str_utf8(str_skip(s, plain));
            if (n == 0 || c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
                break;
            plain += n;
        }
        (void)buf_append(b, str_make(s.p, plain));
        s = str_skip(s, plain);
        if (s.n == 0)
            break;
        if ((unsigned char)s.p[0] < 0x80)
            put_escaped(b, (unsigned char)s.p[0]);
        else
            (void)buf_append(b, STR("\xef\xbf\xbd"));
        s = str_skip(s, 1);
    }
    (void)buf_byte(b, '"');
}

void connect_error_put(struct buf *b, enum connect_code code, struct str message)
{
    (void)buf_printf(b, "{\"code\":\"%s\",\"message\":", connect_code_name(code));
    connect_string_put(b, message);
    (void)buf_byte(b, '}');
}

/* -- base64 -- */

void connect_base64_put(struct buf *b, struct str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t n = bytes.n, need = (n + 2) / 3 * 4;
    char *out = need ? buf_room(b, need) : NULL;
    if (!out)
        return;
    char *at = out;
    for (; n >= 3; n -= 3, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *at++ = digits[v >> 18];
        *at++ = digits[v >> 12 & 63];
        *at++ = digits[v >> 6 & 63];
        *at++ = digits[v & 63];
    }
    if (n) {
        uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0u);
        *at++ = digits[v >> 18];
        *at++ = digits[v >> 12 & 63];
        *at++ = n == 2 ? digits[v >> 6 & 63] : '=';
        *at++ = '=';
    }
    buf_added(b, need);
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool connect_base64_parse(struct arena *a, struct str text, struct str *out)
{
    if (text.n && text.n % 4 == 0 && text.p[text.n - 1] == '=')
        text.n -= text.p[text.n - 2] == '=' ? 2 : 1;
    if (text.n % 4 == 1)
        return false;
    char *p = arena_alloc(a, text.n / 4 * 3 + 4);
    if (!p)
        return false;
    size_t n = 0;
    uint32_t acc = 0;
    for (size_t i = 0; i < text.n; i++) {
        int d = digit(text.p[i]);
        if (d < 0)
            return false;
        acc = acc << 6 | (uint32_t)d;
        if (i % 4 == 3) {
            p[n++] = (char)(acc >> 16);
            p[n++] = (char)(acc >> 8);
            p[n++] = (char)acc;
        }
    }
    if (text.n % 4 == 2)
        p[n++] = (char)(acc >> 4);
    if (text.n % 4 == 3) {
        p[n++] = (char)(acc >> 10);
        p[n++] = (char)(acc >> 2);
    }
    *out = str_make(p, n);
    return true;
}
