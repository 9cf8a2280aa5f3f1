#include "interp/line.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define REPLACEMENT 0xfffdu

/* Takes one character (RFC 3629). Returns how many bytes it was; a wrong byte is one U+FFFD. */
static size_t take(struct str s, uint32_t *out)
{
    static const struct {
        unsigned char mask, is, bits;
        uint32_t least;
    } rows[] = { { 0x80, 0x00, 7, 0 },
                 { 0xe0, 0xc0, 5, 0x80 },
                 { 0xf0, 0xe0, 4, 0x800 },
                 { 0xf8, 0xf0, 3, 0x10000 } };
    unsigned char first = (unsigned char)s.p[0];
    for (size_t n = 0; n < 4; n++) {
        if ((first & rows[n].mask) != rows[n].is)
            continue;
        uint32_t c = first & ((1u << rows[n].bits) - 1);
        bool good = s.n > n;
        for (size_t i = 1; good && i <= n; i++) {
            good = ((unsigned char)s.p[i] & 0xc0) == 0x80;
            c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
        }
        if (!good || c < rows[n].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            break;
        *out = c;
        return n + 1;
    }
    *out = REPLACEMENT;
    return 1;
}

bool line_repair(struct buf *b, struct str s)
{
    while (s.n) {
        uint32_t c;
        size_t n = take(s, &c);
        bool is_wrong = c == REPLACEMENT && n == 1;
        (void)buf_append(b, is_wrong ? STR("\xef\xbf\xbd") : str_make(s.p, n));
        s = str_skip(s, n);
    }
    return !b->failed;
}

static void put_char(struct buf *b, uint32_t c)
{
    static const struct {
        char c, letter;
    } shorts[] = { { '"', '"' }, { '\\', '\\' }, { '\n', 'n' }, { '\r', 'r' }, { '\t', 't' } };
    for (size_t i = 0; i < sizeof shorts / sizeof shorts[0]; i++)
        if (c == (uint32_t)shorts[i].c) {
            (void)buf_byte(b, '\\');
            (void)buf_byte(b, shorts[i].letter);
            return;
        }
    if (c >= 0x10000)
        (void)buf_printf(b, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                         0xdc00 + ((c - 0x10000) & 0x3ff));
    else
        (void)buf_printf(b, "\\u%04x", c);
}

static void put_string(struct buf *b, struct str s)
{
    (void)buf_byte(b, '"');
    while (s.n) {
        size_t plain = 0; /* most of it: in one piece */
        while (plain < s.n && s.p[plain] >= 0x20 && s.p[plain] < 0x7f && s.p[plain] != '"' &&
               s.p[plain] != '\\')
            plain++;
        (void)buf_append(b, str_make(s.p, plain));
        s = str_skip(s, plain);
        if (!s.n)
            break;
        uint32_t c;
        s = str_skip(s, take(s, &c));
        put_char(b, c);
    }
    (void)buf_byte(b, '"');
}

static bool end_line(struct buf *b)
{
    (void)buf_append(b, STR("}\n"));
    return !b->failed;
}

bool line_put_count(struct buf *b, int64_t count)
{
    (void)buf_printf(b, "{\"type\": \"number_of_executions\", \"execution_count\": %lld",
                     (long long)count);
    return end_line(b);
}

bool line_put_word(struct buf *b, const char *type)
{
    (void)buf_printf(b, "{\"type\": \"%s\"", type);
    return end_line(b);
}

bool line_put_text(struct buf *b, const char *type, struct str text, int64_t now_us)
{
    char now[CLOCK_RFC3339_SIZE];
    clock_format(now_us, now);
    (void)buf_printf(b, "{\"type\": \"%s\", \"text\": ", type);
    put_string(b, text);
    (void)buf_printf(b, ", \"timestamp\": \"%s\"", now);
    return end_line(b);
}

bool line_put_error(struct buf *b, const char *name, const char *value, struct str traceback)
{
    (void)buf_append(b, STR("{\"type\": \"error\", \"name\": "));
    put_string(b, str_of(name));
    (void)buf_append(b, STR(", \"value\": "));
    put_string(b, str_of(value));
    (void)buf_append(b, STR(", \"traceback\": "));
    put_string(b, traceback);
    return end_line(b);
}

/* -- results -- */

static int append(const char *p, size_t n, void *data)
{
    return buf_append(data, str_make(p, n)) ? 0 : -1;
}

bool line_put_json(struct buf *b, const json_t *value)
{
    if (json_dump_callback(value, append, b, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT))
        b->failed = true;
    return !b->failed;
}

/* 'x' and "x" are x: the repr of a string is not what its author meant to show. */
static void put_plain(struct buf *b, const json_t *value)
{
    struct str s = str_make(json_string_value(value), json_string_length(value));
    bool quoted = s.n >= 2 && (s.p[0] == '\'' || s.p[0] == '"') && s.p[s.n - 1] == s.p[0];
    put_string(b, quoted ? str_make(s.p + 1, s.n - 2) : s);
}

static const struct {
    const char *type, *field;
} fields[] = {
    { "text/plain", "text" },        { "text/html", "html" },
    { "text/markdown", "markdown" }, { "image/svg+xml", "svg" },
    { "image/png", "png" },          { "image/jpeg", "jpeg" },
    { "application/pdf", "pdf" },    { "text/latex", "latex" },
    { "application/json", "json" },  { "application/javascript", "javascript" },
    { "e2b/data", "data" },          { "e2b/chart", "chart" },
};

static const char *field_of(const char *type)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].type, type) == 0)
            return fields[i].field;
    return NULL;
}

bool line_put_result(struct buf *b, const json_t *data, bool is_main)
{
    const char *type;
    json_t *value;
    bool has_extra = false;
    (void)buf_printf(b, "{\"type\": \"result\", \"is_main_result\": %s",
                     is_main ? "true" : "false");
    json_object_foreach((json_t *)(uintptr_t)data, type, value)
    {
        const char *field = field_of(type);
        if (!field || json_is_null(value))
            continue;
        (void)buf_printf(b, ", \"%s\": ", field);
        if (strcmp(field, "text") == 0 && json_is_string(value))
            put_plain(b, value);
        else
            (void)line_put_json(b, value);
    }
    (void)buf_append(b, STR(", \"extra\": {"));
    json_object_foreach((json_t *)(uintptr_t)data, type, value)
    {
        if (field_of(type))
            continue;
        (void)buf_append(b, has_extra ? STR(", ") : STR(""));
        has_extra = true;
        put_string(b, str_of(type));
        (void)buf_append(b, STR(": "));
        (void)line_put_json(b, value);
    }
    (void)buf_byte(b, '}');
    return end_line(b);
}
