#include "recipe/recipe_ignore.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "gen/limits.h"

bool recipe_is_pattern(struct str part)
{
    for (size_t i = 0; i < part.n; i++)
        if (part.p[i] == '\\')
            i++;
        else if (part.p[i] == '*' || part.p[i] == '?' || part.p[i] == '[')
            return true;
    return false;
}

/* [a-z], at *at; moved behind it. A bracket that is not closed matches nothing. */
static bool match_set(struct str p, size_t *at, char c)
{
    size_t i = *at + 1;
    bool is_other = i < p.n && (p.p[i] == '^' || p.p[i] == '!'), found = false;
    i += is_other;
    for (bool is_first = true; i < p.n && (is_first || p.p[i] != ']'); is_first = false) {
        i += p.p[i] == '\\' && i + 1 < p.n;
        unsigned char low = (unsigned char)p.p[i++], high = low;
        if (i + 1 < p.n && p.p[i] == '-' && p.p[i + 1] != ']') {
            i += p.p[i + 1] == '\\' && i + 2 < p.n ? 2 : 1;
            high = (unsigned char)p.p[i++];
        }
        found = found || ((unsigned char)c >= low && (unsigned char)c <= high);
    }
    *at = i + 1;
    return i < p.n && found != is_other;
}

/* Whether what stands at *at is one byte like c; moved behind it. */
static bool match_one(struct str p, size_t *at, char c)
{
    if (p.p[*at] == '[')
        return match_set(p, at, c);
    if (p.p[*at] == '?') {
        ++*at;
        return true;
    }
    *at += p.p[*at] == '\\' && *at + 1 < p.n;
    return p.p[(*at)++] == c;
}

bool recipe_match_name(struct str p, struct str s)
{
    size_t at = 0, i = 0, star = SIZE_MAX, from = 0; /* the last star, and where it was tried */
    for (;;) {
        size_t next = at;
        if (at < p.n && p.p[at] == '*') {
            star = ++at;
            from = i;
        } else if (at == p.n && i == s.n) {
            return true;
        } else if (at < p.n && i < s.n && match_one(p, &next, s.p[i])) {
            at = next;
            i++;
        } else if (star != SIZE_MAX && from < s.n) {
            at = star;
            i = ++from;
        } else {
            return false;
        }
    }
}

/* Paths, part by part; ** as * above. */
static bool match_path(struct str p, struct str s)
{
    static const struct str any = { "**", 2 };
    struct str again = STR_NONE, from = STR_NONE, part, name, p_rest, s_rest;
    bool has_any = false;
    for (;;) {
        (void)str_cut(p, '/', &part, &p_rest);
        (void)str_cut(s, '/', &name, &s_rest);
        if (p.n && str_eq(part, any)) {
            if (!p_rest.n)
                return s.n > 0; /* what is below, not the directory */
            has_any = true;
            p = again = p_rest;
            from = s;
        } else if (!p.n && !s.n) {
            return true;
        } else if (p.n && s.n && recipe_match_name(part, name)) {
            p = p_rest;
            s = s_rest;
        } else if (has_any && from.n) {
            (void)str_cut(from, '/', &name, &from);
            p = again;
            s = from;
        } else {
            return false;
        }
    }
}

bool recipe_ignore_has(const struct recipe_ignore *ignore, struct str path)
{
    bool is_out = false;
    for (uint32_t i = 0; i < ignore->count; i++) {
        bool matches = match_path(ignore->patterns[i], path);
        for (size_t n = 1; !matches && n < path.n; n++)
            matches = path.p[n] == '/' && match_path(ignore->patterns[i], str_make(path.p, n));
        if (matches)
            is_out = !ignore->is_exception[i];
    }
    return is_out;
}

/* "a/b" of "/a//./b/". */
static int clean(struct arena *a, struct str in, struct str *out)
{
    char *p = arena_alloc(a, in.n + 1);
    struct str part;
    *out = str_make(p, 0);
    if (!p)
        return RAISE(-ENOMEM);
    while (in.n) {
        (void)str_cut(in, '/', &part, &in);
        if (!part.n || str_eq(part, STR(".")))
            continue;
        if (out->n)
            p[out->n++] = '/';
        memcpy(p + out->n, part.p, part.n);
        out->n += part.n;
    }
    return 0;
}

int recipe_ignore_parse(struct arena *a, struct str text, struct recipe_ignore *out)
{
    struct str line;
    *out = (struct recipe_ignore){ 0 };
    out->patterns = arena_alloc(a, LIMIT_IGNORE_PATTERNS * sizeof *out->patterns);
    out->is_exception = arena_alloc(a, LIMIT_IGNORE_PATTERNS);
    if (!out->patterns || !out->is_exception)
        return RAISE(-ENOMEM);
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_skip(text, 3);
    while (text.n) {
        struct str pattern;
        (void)str_cut(text, '\n', &line, &text);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        line = str_trim(line);
        if (!line.n || line.p[0] == '#')
            continue;
        bool is_exception = line.p[0] == '!';
        int r = clean(a, str_trim(str_skip(line, is_exception)), &pattern);
        if (r < 0)
            return r;
        if (!pattern.n)
            continue;
        if (out->count == LIMIT_IGNORE_PATTERNS)
            return -E2BIG;
        out->is_exception[out->count] = is_exception;
        out->patterns[out->count++] = pattern;
        out->has_exceptions |= is_exception;
    }
    return 0;
}
