#include "wire/http.h"

#include <string.h>

/* RFC 9110 5.6.2 token characters. */
static bool is_token(struct str s)
{
    static const char set[] = "!#$%&'*+-.^_`|~0123456789"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(set, s.p[i]))
            return false;
    return s.n > 0;
}

/* Bytes that may not be in a field value: controls but tab (RFC 9110 5.5). */
static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return true;
    return false;
}

/* Takes a line that ends in CRLF. 0, HTTP_MORE, or 400 for a bare CR or LF. */
static int take_line(struct str *in, struct str *line)
{
    size_t lf = str_find(*in, '\n');
    if (lf == in->n)
        return HTTP_MORE;
    if (lf == 0 || in->p[lf - 1] != '\r')
        return 400;
    *line = str_make(in->p, lf - 1);
    if (str_find(*line, '\r') != line->n)
        return 400;
    *in = str_skip(*in, lf + 1);
    return 0;
}

struct str http_field(const struct http_head *h, const char *name)
{
    struct str want = str_of(name);
    for (uint32_t i = 0; i < h->field_count; i++)
        if (str_ieq(h->fields[i].name, want))
            return h->fields[i].value;
    return STR_NONE;
}

bool http_field_has(const struct http_head *h, const char *name, const char *token)
{
    struct str want = str_of(name), wanted = str_of(token);
    for (uint32_t i = 0; i < h->field_count; i++) {
        if (!str_ieq(h->fields[i].name, want))
            continue;
        struct str rest = h->fields[i].value, item;
        while (rest.n) {
            (void)str_cut(rest, ',', &item, &rest);
            if (str_ieq(str_trim(item), wanted))
                return true;
        }
    }
    return false;
}

/* Content-Length: once, digits only (RFC 9112 6.3 lets a server refuse even equal repeats). */
static int read_length(struct http_head *h)
{
    h->length = -1;
    for (uint32_t i = 0; i < h->field_count; i++) {
        if (!str_ieq(h->fields[i].name, STR("content-length")))
            continue;
        uint64_t n;
        if (h->length >= 0 || !str_to_u64(h->fields[i].value, INT64_MAX, &n))
            return 400;
        h->length = (int64_t)n;
    }
    return 0;
}

/* Transfer-Encoding: nothing but one "chunked", and never beside a Content-Length. */
static int read_coding(struct http_head *h)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < h->field_count; i++) {
        if (!str_ieq(h->fields[i].name, STR("transfer-encoding")))
            continue;
        if (!str_ieq(h->fields[i].value, STR("chunked")))
            return 501;
        seen++;
    }
    if (seen > 1 || (seen && (h->length >= 0 || h->minor == 0)))
        return 400;
    h->chunked = seen == 1;
    return 0;
}

static int read_fields(struct str *in, struct http_head *h)
{
    for (;;) {
        struct str line;
        int r = take_line(in, &line);
        if (r)
            return r;
        if (line.n == 0)
            return 0;
        size_t colon = str_find(line, ':');
        struct http_field f = { str_make(line.p, colon), str_trim(str_skip(line, colon + 1)) };
        if (colon == line.n || !is_token(f.name) || has_control(f.value))
            return 400; /* also obs-fold: a leading space is no token */
        if (h->field_count == LIMIT_HTTP_FIELDS)
            return 431;
        h->fields[h->field_count++] = f;
    }
}

/* "HTTP/1.x" */
static int read_version(struct str s, int *minor)
{
    if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || s.p[6] != '.')
        return 400;
    if (s.p[5] != '1' || (s.p[7] != '0' && s.p[7] != '1'))
        return 505;
    *minor = s.p[7] - '0';
    return 0;
}

static int request_line(struct str line, struct http_head *h)
{
    struct str rest, version;
    if (!str_cut(line, ' ', &h->method, &rest) || !str_cut(rest, ' ', &h->target, &version) ||
        !is_token(h->method) || h->target.n == 0)
        return 400;
    for (size_t i = 0; i < h->target.n; i++)
        if ((unsigned char)h->target.p[i] <= 0x20 || h->target.p[i] == 0x7f)
            return 400;
    if (h->target.p[0] != '/' && !str_eq(h->target, STR("*")))
        return 400; /* absolute-form and authority-form are for proxies, which this is not */
    (void)str_cut(h->target, '?', &h->path, &h->query);
    return read_version(version, &h->minor);
}

static int status_line(struct str line, struct http_head *h)
{
    struct str version, rest, code;
    uint64_t status;
    (void)str_cut(line, ' ', &version, &rest);
    (void)str_cut(rest, ' ', &code, &h->reason);
    if (read_version(version, &h->minor) || code.n != 3 || !str_to_u64(code, 999, &status) ||
        status < 100 || has_control(h->reason))
        return 502;
    h->status = (int)status;
    return 0;
}

/* Parses first line and fields; `first` parses the line. */
static int parse(struct str in, struct http_head *h,
                 int (*first)(struct str line, struct http_head *h))
{
    *h = (struct http_head){ .length = -1 };
    struct str rest = in, line = STR_NONE;
    if (in.n > LIMIT_HTTP_HEAD_SIZE)
        rest.n = LIMIT_HTTP_HEAD_SIZE;
    int r = take_line(&rest, &line);
    if (r == 0)
        r = first(line, h);
    if (r == 0)
        r = read_fields(&rest, h);
    if (r == HTTP_MORE && in.n >= LIMIT_HTTP_HEAD_SIZE)
        return 431;
    h->size = r == 0 ? (size_t)(rest.p - in.p) : 0;
    if (r == 0)
        r = read_length(h);
    return r ? r : read_coding(h);
}

static void read_persistence(struct http_head *h)
{
    bool close = http_field_has(h, "connection", "close");
    h->keep_alive = !close && (h->minor == 1 || http_field_has(h, "connection", "keep-alive"));
}

int http_parse_request(struct str in, struct http_head *out)
{
    /* RFC 9112 2.2: ignore empty lines before a request; here at most one */
    size_t skip = str_starts(in, STR("\r\n")) ? 2 : 0;
    int r = parse(str_skip(in, skip), out, request_line);
    if (r)
        return r;
    out->size += skip;
    uint32_t hosts = 0;
    for (uint32_t i = 0; i < out->field_count; i++)
        hosts += str_ieq(out->fields[i].name, STR("host")) ? 1 : 0;
    if (hosts > 1 || (hosts == 0 && out->minor == 1))
        return 400;
    read_persistence(out);
    if (!out->chunked && out->length < 0)
        out->length = 0;
    out->upgrade = http_field_has(out, "connection", "upgrade") && http_field(out, "upgrade").n;
    out->expect_continue = str_ieq(http_field(out, "expect"), STR("100-continue"));
    return 0;
}

int http_parse_response(struct str in, bool to_head, struct http_head *out)
{
    int r = parse(in, out, status_line);
    if (r)
        return r == HTTP_MORE ? r : 502;
    read_persistence(out);
    out->upgrade = out->status == 101;
    if (to_head || out->status < 200 || out->status == 204 || out->status == 304) {
        out->chunked = false;
        out->length = 0;
    } else if (!out->chunked && out->length < 0) {
        out->until_close = true;
        out->keep_alive = false;
    }
    return 0;
}

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    { 100, "Continue" },
    { 101, "Switching Protocols" },
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 206, "Partial Content" },
    { 302, "Found" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" },
    { 422, "Unprocessable Content" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 499, "Client Closed Request" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 507, "Insufficient Storage" },
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

void http_put_status(struct buf *b, int status)
{
    buf_printf(b, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
}

void http_put_field(struct buf *b, const char *name, struct str value)
{
    buf_printf(b, "%s: " STR_FMT "\r\n", name, STR_ARG(value));
}

/* -- chunked bodies -- */

enum {
    CHUNK_SIZE,     /* hexadecimal digits */
    CHUNK_EXT,      /* ; ... up to CR */
    CHUNK_SIZE_LF,  /* LF behind the size */
    CHUNK_DATA,     /* body bytes */
    CHUNK_DATA_CR,  /* CR behind the data */
    CHUNK_DATA_LF,  /* LF behind it */
    CHUNK_TRAILER,  /* start of a trailer line, or the end */
    CHUNK_TRAILING, /* inside a trailer line */
    CHUNK_TRAIL_LF, /* LF behind a trailer line */
    CHUNK_END_LF,   /* the last LF */
    CHUNK_END,
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool size_byte(struct http_chunks *c, char b)
{
    int d = hex_digit(b);
    if (d >= 0) {
        c->left = c->left * 16 + (uint64_t)d;
        return ++c->digits <= 15;
    }
    c->state = b == '\r' ? CHUNK_SIZE_LF : CHUNK_EXT;
    return c->digits > 0 && (b == '\r' || b == ';' || b == ' ' || b == '\t');
}

/* Bytes that carry nothing for us are read past, but not for ever. */
static bool extra_byte(struct http_chunks *c, char b, int at_cr)
{
    if (b == '\r')
        c->state = at_cr;
    return b != '\n' && ++c->extra <= LIMIT_HTTP_CHUNK_EXT_SIZE * 16;
}

static bool step_byte(struct http_chunks *c, char b)
{
    switch (c->state) {
    case CHUNK_SIZE:
        return size_byte(c, b);
    case CHUNK_EXT:
        return extra_byte(c, b, CHUNK_SIZE_LF);
    case CHUNK_SIZE_LF:
        c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER;
        return b == '\n';
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return b == '\r';
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        c->digits = 0;
        return b == '\n';
    case CHUNK_TRAILER:
        c->state = b == '\r' ? CHUNK_END_LF : CHUNK_TRAILING;
        return b == '\r' || extra_byte(c, b, CHUNK_TRAIL_LF);
    case CHUNK_TRAILING:
        return extra_byte(c, b, CHUNK_TRAIL_LF);
    case CHUNK_TRAIL_LF:
        c->state = CHUNK_TRAILER;
        return b == '\n';
    default:
        c->state = CHUNK_END;
        return b == '\n';
    }
}

int http_chunks_step(struct http_chunks *c, struct str in, struct str *data, size_t *used)
{
    *data = STR_NONE;
    size_t i = 0;
    while (c->state != CHUNK_END && i < in.n) {
        if (c->state == CHUNK_DATA) {
            size_t n = in.n - i < c->left ? in.n - i : (size_t)c->left;
            *data = str_make(in.p + i, n);
            c->left -= n;
            if (c->left == 0)
                c->state = CHUNK_DATA_CR;
            *used = i + n;
            return HTTP_MORE;
        }
        if (!step_byte(c, in.p[i++])) {
            *used = i;
            return 400;
        }
    }
    *used = i;
    return c->state == CHUNK_END ? HTTP_DONE : HTTP_MORE;
}

bool http_chunks_is_between(const struct http_chunks *c)
{
    return c->state == CHUNK_SIZE && c->digits == 0;
}
