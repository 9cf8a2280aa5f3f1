/* From the text of a Dockerfile to instructions: directives, comments, continued lines, heredocs.
 */
#include <stdarg.h>
#include <string.h>

#include "gen/limits.h"
#include "recipe/recipe_docker.h"

int recipe_docker_fail(struct docker *d, const char *fmt, ...)
{
    char text[224];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return op_fail(d->op, FAULT_INVALID, EINVAL, "%.24s:%u: %s", d->name, d->line, text);
}

int recipe_docker_no_memory(struct docker *d)
{
    return op_fail(d->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
}

int recipe_docker_warn(struct docker *d, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct docker_warning *w = arena_alloc(d->arena, sizeof *w);
    char *copy = arena_str(d->arena, str_of(text));
    if (!w || !copy)
        return recipe_docker_no_memory(d);
    w->is = (struct recipe_dockerfile_warning){ .line = d->line, .text = copy };
    *d->warnings_end = w;
    d->warnings_end = &w->next;
    d->warning_count++;
    return 0;
}

int recipe_docker_take(struct docker *d, struct buf *b, struct str *out)
{
    struct str s = buf_str(b);
    char *p = b->failed ? NULL : arena_str(d->arena, s);
    *out = str_make(p, s.n);
    buf_deinit(b);
    return p ? 0 : recipe_docker_no_memory(d);
}

/* One line of the file, without its end. */
static bool next_physical(struct docker *d, struct str *line)
{
    if (!d->rest.n)
        return false;
    (void)str_cut(d->rest, '\n', line, &d->rest);
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    d->next_line++;
    return true;
}

static bool is_comment(struct str line)
{
    line = str_trim(line);
    return line.n && line.p[0] == '#';
}

/* -- directives: "# name=value" above everything else -- */

static int read_directive(struct docker *d, struct str line, bool *is_one)
{
    struct str name, value;
    line = str_trim(line);
    *is_one = false;
    if (!line.n || line.p[0] != '#' || !str_cut(str_skip(line, 1), '=', &name, &value))
        return 0;
    name = str_trim(name);
    value = str_trim(value);
    *is_one = str_ieq(name, STR("syntax")) || str_ieq(name, STR("check"));
    if (!str_ieq(name, STR("escape")))
        return 0;
    *is_one = true;
    if (!str_eq(value, STR("\\")) && !str_eq(value, STR("`")))
        return recipe_docker_fail(d, "the directive escape must be \\ or `");
    d->escape = value.p[0];
    return 0;
}

static int check_bytes(struct docker *d, struct str text)
{
    d->line = 1;
    while (text.n) {
        struct str line;
        (void)str_cut(text, '\n', &line, &text);
        for (size_t i = 0; i < line.n; i++) {
            char c = line.p[i];
            if (c >= 0 && c < ' ' && (c == '\0' || !strchr("\t\r\v\f\x1b", c)))
                return recipe_docker_fail(d,
                                          "there is a control character (%d) in this line; "
                                          "remove it",
                                          c);
        }
        json_t *v = json_stringn(line.n ? line.p : "", line.n);
        if (!v)
            return recipe_docker_fail(d, "this line is not UTF-8; save the file as UTF-8");
        json_decref(v);
        d->line++;
    }
    return 0;
}

int recipe_docker_lines_begin(struct docker *d, struct str text)
{
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_skip(text, 3);
    d->escape = '\\';
    d->line = 1;
    if (text.n > LIMIT_DOCKERFILE_SIZE)
        return recipe_docker_fail(d, "the file is larger than %d bytes", LIMIT_DOCKERFILE_SIZE);
    int r = check_bytes(d, text);
    d->line = d->next_line = 1;
    d->rest = text;
    for (bool is_one = true; r == 0 && is_one && d->rest.n;) {
        struct str rest = d->rest, line;
        (void)next_physical(d, &line);
        r = read_directive(d, line, &is_one);
        if (!is_one) {
            d->rest = rest;
            d->next_line--;
        }
        d->line = d->next_line;
    }
    return r;
}

/* -- heredocs -- */

/* `word` is [digits]<<[-]NAME; NAME may be quoted. */
static bool read_heredoc(struct str word, struct docker_heredoc *out)
{
    while (word.n && word.p[0] >= '0' && word.p[0] <= '9')
        word = str_skip(word, 1);
    if (!str_starts(word, STR("<<")))
        return false;
    word = str_skip(word, 2);
    *out = (struct docker_heredoc){ .has_tabs = word.n && word.p[0] == '-' };
    word = str_skip(word, out->has_tabs);
    char quote = word.n ? word.p[0] : '\0';
    if (quote == '"' || quote == '\'') {
        size_t end = str_find(str_skip(word, 1), quote);
        out->is_quoted = true;
        out->name = str_make(word.p + 1, end);
        return word.n > 2 && end + 2 == word.n && end > 0;
    }
    out->name = word;
    for (size_t i = 0; i < word.n; i++)
        if (strchr("<\"'\\`$;|&()>", word.p[i]))
            return false;
    return word.n > 0;
}

bool recipe_docker_is_heredoc(struct str word)
{
    struct docker_heredoc h;
    return read_heredoc(word, &h);
}

static int collect_heredoc(struct docker *d, struct docker_heredoc *h)
{
    struct str line;
    const char *begin = d->rest.p;
    while (next_physical(d, &line)) {
        const char *end = line.p;
        while (h->has_tabs && line.n && line.p[0] == '\t')
            line = str_skip(line, 1);
        if (str_eq(line, h->name)) {
            h->text = str_make(begin, (size_t)(end - begin));
            return 0;
        }
    }
    return recipe_docker_fail(
        d, "the heredoc <<" STR_FMT " has no end: a line with nothing but '" STR_FMT "' is missing",
        STR_ARG(h->name.n > 40 ? str_make(h->name.p, 40) : h->name),
        STR_ARG(h->name.n > 40 ? str_make(h->name.p, 40) : h->name));
}

static int collect_heredocs(struct docker *d, struct docker_line *l)
{
    static const struct str with[] = { { "RUN", 3 }, { "COPY", 4 }, { "ADD", 3 } };
    struct str rest = l->rest, word;
    bool may = false;
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        may = may || str_eq(l->keyword, with[i]);
    while (may && recipe_docker_word(d, &rest, &word)) {
        struct docker_heredoc h;
        if (!read_heredoc(word, &h))
            continue;
        if (l->heredoc_count == DOCKER_HEREDOCS)
            return recipe_docker_fail(d, "an instruction may have at most %d heredocs",
                                      DOCKER_HEREDOCS);
        int r = collect_heredoc(d, &h);
        if (r < 0)
            return r;
        l->heredocs[l->heredoc_count++] = h;
    }
    return 0;
}

/* -- instructions -- */

/* Whether the line goes on with the next one; then without the sign for it. */
static bool is_continued(const struct docker *d, struct str *line)
{
    struct str s = *line;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    if (!s.n || s.p[s.n - 1] != d->escape || (s.n > 1 && s.p[s.n - 2] == d->escape))
        return false;
    s.n--;
    *line = s;
    return true;
}

/* The first line that is not blank and no comment, with those that continue it. */
static int join_lines(struct docker *d, struct str *out)
{
    struct str line;
    bool goes_on = true, has_gap = false, gap = false;
    struct buf b;
    buf_init(&b, 0);
    while (goes_on && next_physical(d, &line)) {
        gap = buf_used(&b) && (gap || !str_trim(line).n);
        if (is_comment(line) || !str_trim(line).n)
            continue;
        has_gap |= gap;
        if (!buf_used(&b))
            d->line = d->next_line - 1;
        goes_on = is_continued(d, &line);
        (void)buf_append(&b, line);
    }
    int r = recipe_docker_take(d, &b, out);
    if (r == 0 && has_gap)
        r = recipe_docker_warn(d, "this goes on behind an empty line; is one %c too many?",
                               d->escape);
    return r;
}

int recipe_docker_lines_next(struct docker *d, struct docker_line *out)
{
    struct str all = STR_NONE;
    *out = (struct docker_line){ 0 };
    while (!str_trim(all).n) { /* a sign that continues nothing */
        if (!d->rest.n)
            return DOCKER_NO_LINE;
        int r = join_lines(d, &all);
        if (r < 0)
            return r;
    }
    all = str_trim(all);
    size_t end = 0;
    while (end < all.n && all.p[end] != ' ' && all.p[end] != '\t')
        end++;
    char *upper = arena_str(d->arena, str_make(all.p, end));
    if (!upper)
        return recipe_docker_no_memory(d);
    for (size_t i = 0; i < end; i++)
        if (upper[i] >= 'a' && upper[i] <= 'z')
            upper[i] = (char)(upper[i] - 'a' + 'A');
    out->written = str_make(all.p, end);
    out->keyword = str_make(upper, end);
    out->rest = str_trim(str_skip(all, end));
    return collect_heredocs(d, out);
}
