#include "cli/cli_print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* str_utf8, but 0 for control characters and marks that turn the direction of what follows. */
static size_t printable(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = str_utf8(s);
    if (n == 1)
        return p[0] >= 0x20 && p[0] != 0x7f;
    bool is_control = n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
    bool is_turn = n == 3 && p[0] == 0xe2 &&
                   ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
                    (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
    return is_control || is_turn ? 0 : n;
}

void cli_put_clean(FILE *out, struct str s)
{
    while (s.n) {
        size_t n = printable(s);
        if (n)
            (void)fwrite(s.p, 1, n, out);
        else
            (void)fprintf(out, "\\x%02x", (unsigned char)s.p[0]);
        s = str_skip(s, n ? n : 1);
    }
}

const char *cli_clean(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n * 4 + 1), *at = out;
    if (!out)
        return "";
    while (s.n) {
        size_t n = printable(s);
        if (n)
            memcpy(at, s.p, n);
        else
            (void)snprintf(at, 5, "\\x%02x", (unsigned char)s.p[0]);
        at += n ? n : 4;
        s = str_skip(s, n ? n : 1);
    }
    return out;
}

bool cli_is_terminal(void) { return isatty(STDOUT_FILENO) == 1; }

/* -- tables -- */

void cli_rows_init(struct cli_rows *t, const char *const *titles)
{
    *t = (struct cli_rows){ .titles = titles };
    while (titles[t->columns])
        t->columns++;
    arena_init(&t->mem, 0);
}

void cli_rows_deinit(struct cli_rows *t)
{
    free(t->cells);
    t->cells = NULL;
    t->count = t->room = 0;
    arena_deinit(&t->mem);
}

void cli_rows_add(struct cli_rows *t, const char *text)
{
    if (t->count == t->room) {
        size_t room = t->room ? t->room * 2 : 64;
        const char **more = realloc(t->cells, room * sizeof *more);
        if (!more)
            return;
        t->cells = more;
        t->room = room;
    }
    t->cells[t->count++] = cli_clean(&t->mem, str_of(text ? text : ""));
}

void cli_rows_addf(struct cli_rows *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cli_rows_add(t, text);
}

/* Columns of the screen: characters, which is right for most scripts. */
static int width(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void print_row(const struct cli_rows *t, const char *const *cells, const int *widths)
{
    bool aligned = cli_is_terminal();
    for (int i = 0; i < t->columns; i++) {
        bool is_last = i == t->columns - 1;
        (void)fputs(cells[i], stdout);
        if (!aligned && !is_last)
            (void)fputc('\t', stdout);
        for (int n = width(cells[i]); aligned && !is_last && n < widths[i] + 2; n++)
            (void)fputc(' ', stdout);
    }
    (void)fputc('\n', stdout);
}

void cli_rows_print(const struct cli_rows *t)
{
    int widths[CLI_COLUMNS];
    size_t rows = t->count / (size_t)t->columns;
    for (int i = 0; i < t->columns; i++) {
        widths[i] = width(t->titles[i]);
        for (size_t r = 0; r < rows; r++) {
            int w = width(t->cells[r * (size_t)t->columns + (size_t)i]);
            widths[i] = w > widths[i] ? w : widths[i];
        }
    }
    if (cli_is_terminal())
        print_row(t, t->titles, widths);
    for (size_t r = 0; r < rows; r++)
        print_row(t, t->cells + r * (size_t)t->columns, widths);
}

/* -- sizes and times -- */

const char *cli_size_text(int64_t bytes, char out[CLI_TEXT_SIZE])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double n = (double)bytes;
    size_t u = 0;
    while (n >= 1024 && u + 1 < sizeof units / sizeof *units) {
        n /= 1024;
        u++;
    }
    (void)snprintf(out, CLI_TEXT_SIZE, u && n < 10 ? "%.1f %s" : "%.0f %s", n, units[u]);
    return out;
}

const char *cli_time_text(int64_t s, char out[CLI_TEXT_SIZE])
{
    static const struct {
        int64_t size;
        const char *name;
    } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
    int64_t n = s < 0 ? -s : s;
    size_t u = 0;
    while (u + 1 < sizeof units / sizeof *units && n < 2 * units[u].size)
        u++;
    (void)snprintf(out, CLI_TEXT_SIZE, s <= 0 ? "%" PRId64 " %s ago" : "in %" PRId64 " %s",
                   n / units[u].size, units[u].name);
    return out;
}

void cli_rows_add_size(struct cli_rows *t, int64_t bytes)
{
    char text[CLI_TEXT_SIZE];
    if (cli_is_terminal())
        cli_rows_add(t, cli_size_text(bytes, text));
    else
        cli_rows_addf(t, "%" PRId64, bytes);
}

void cli_rows_add_mib(struct cli_rows *t, const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));
    cli_rows_add_size(t, n < 0 || n > INT64_MAX >> 20 ? 0 : (int64_t)n << 20);
}

void cli_rows_add_time(struct cli_rows *t, const char *rfc3339)
{
    char text[CLI_TEXT_SIZE];
    int64_t us;
    if (cli_is_terminal() && clock_parse(rfc3339, strlen(rfc3339), &us))
        cli_rows_add(t, cli_time_text((us - clock_wall_us()) / 1000000, text));
    else
        cli_rows_add(t, rfc3339);
}

/* -- JSON -- */

json_t *cli_json_text(struct str s)
{
    struct buf b;
    buf_init(&b, 0);
    while (s.n) {
        size_t n = str_utf8(s);
        (void)buf_append(&b, n ? str_make(s.p, n) : STR("\xef\xbf\xbd"));
        s = str_skip(s, n ? n : 1);
    }
    json_t *v = json_stringn(buf_used(&b) ? buf_str(&b).p : "", buf_used(&b));
    buf_deinit(&b);
    return v;
}

int cli_print_json(const json_t *value)
{
    /* ASCII: what a sandbox made of its names reaches no terminal as it is */
    (void)json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    (void)fputc('\n', stdout);
    return 0;
}

const char *cli_member(struct arena *a, const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    const char *text = NULL;
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        text = arena_printf(a, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        text = arena_printf(a, "%g", json_real_value(v));
    else if (json_is_boolean(v))
        text = json_is_true(v) ? "yes" : "no";
    return text ? text : "";
}
