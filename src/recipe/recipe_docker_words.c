/* Words of a Dockerfile: quotes, escapes, variables (moby/buildkit, frontend/dockerfile/shell). */
#include <string.h>

#include "gen/limits.h"
#include "recipe/recipe_docker.h"
#include "recipe/recipe_internal.h"

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool recipe_docker_word(struct docker *d, struct str *rest, struct str *word)
{
    struct str s = *rest;
    size_t n = 0;
    char quote = '\0';
    while (s.n && is_blank(s.p[0]))
        s = str_skip(s, 1);
    for (; n < s.n && (quote || !is_blank(s.p[n])); n++) {
        char c = s.p[n];
        if (c == d->escape && quote != '\'' && n + 1 < s.n)
            n++;
        else if (quote ? c == quote : c == '"' || c == '\'')
            quote = quote ? '\0' : c;
    }
    d->open_quote = quote;
    *word = str_make(s.p, n);
    *rest = str_skip(s, n);
    return n > 0;
}

/* -- expansion: a scanner over one word -- */

struct scan {
    struct docker *d;
    struct str s;
    size_t at;
    enum docker_words how;
    int depth; /* of ${NAME:-word} */
};

static bool at_end(const struct scan *s) { return s->at >= s->s.n; }
static char peek(const struct scan *s) { return at_end(s) ? '\0' : s->s.p[s->at]; }

static int scan_text(struct scan *s, char stop, struct buf *out);

static int put_value(struct scan *s, struct str value, struct buf *out)
{
    s->d->expanded += value.n;
    if (buf_used(out) + value.n > LIMIT_DOCKERFILE_VALUE ||
        s->d->expanded > LIMIT_DOCKERFILE_VALUES)
        return recipe_docker_fail(s->d, "with its variables replaced this is longer than %d bytes",
                                  LIMIT_DOCKERFILE_VALUE);
    (void)buf_append(out, value);
    return 0;
}

/* ${name:-word} and its like. `word` is coded. */
static int put_choice(struct scan *s, struct str name, struct str op, struct str word,
                      struct buf *out)
{
    const struct docker_var *v = map_get(&s->d->vars, name);
    char sign = op.p[op.n - 1];
    if (!v) { /* the image may have it */
        (void)buf_byte(out, DOCKER_REF);
        (void)buf_append(out, name);
        (void)buf_append(out, op);
        int r = put_value(s, word, out);
        (void)buf_byte(out, DOCKER_END);
        return r;
    }
    bool is_set = v->has_value && (op.n == 1 || v->value.n);
    bool is_message = word.n && str_find(word, DOCKER_REF) == word.n;
    if (sign == '?' && !is_set)
        return recipe_docker_fail(s->d, STR_FMT ": " STR_FMT, STR_ARG(name),
                                  STR_ARG(is_message ? word : STR("is not set")));
    if (sign == '+')
        return is_set ? put_value(s, word, out) : 0;
    return put_value(s, is_set ? v->value : word, out);
}

static int put_variable(struct scan *s, struct str name, struct buf *out)
{
    const struct docker_var *v = map_get(&s->d->vars, name);
    if (v)
        return put_value(s, v->value, out);
    (void)buf_byte(out, DOCKER_REF);
    (void)buf_append(out, name);
    (void)buf_byte(out, DOCKER_END);
    return 0;
}

static struct str scan_name(struct scan *s)
{
    size_t begin = s->at;
    while (!at_end(s) && recipe_is_name_byte(peek(s), s->at == begin))
        s->at++;
    return str_make(s->s.p + begin, s->at - begin);
}

static int bad_substitution(struct scan *s)
{
    struct str text = s->s;
    text.n = text.n > 60 ? 60 : text.n;
    return recipe_docker_fail(s->d,
                              "bad substitution in '" STR_FMT "': what is known is ${NAME}, "
                              "and with :- - :+ + :? ? a word behind the name",
                              STR_ARG(text));
}

/* Behind "${". */
static int scan_braces(struct scan *s, struct buf *out)
{
    struct str name = scan_name(s), word;
    if (name.n && peek(s) == '}') {
        s->at++;
        return put_variable(s, name, out);
    }
    struct str op = str_make(s->s.p + s->at, peek(s) == ':' ? 2 : 1);
    if (!name.n || s->at + op.n >= s->s.n || !strchr("-+?", op.p[op.n - 1]))
        return bad_substitution(s);
    s->at += op.n;
    if (++s->depth > LIMIT_DOCKERFILE_DEPTH)
        return recipe_docker_fail(s->d, "variables are nested more than %d deep",
                                  LIMIT_DOCKERFILE_DEPTH);
    struct buf b;
    buf_init(&b, 0);
    int r = scan_text(s, '}', &b);
    s->depth--;
    if (r == 0)
        r = recipe_docker_take(s->d, &b, &word);
    buf_deinit(&b);
    if (r == 0 && peek(s) != '}')
        r = bad_substitution(s);
    s->at++;
    return r < 0 ? r : put_choice(s, name, op, word, out);
}

static int scan_dollar(struct scan *s, struct buf *out)
{
    s->at++;
    char c = peek(s);
    if (c == '{') {
        s->at++;
        return scan_braces(s, out);
    }
    if (recipe_is_name_byte(c, true))
        return put_variable(s, scan_name(s), out);
    if (c && strchr("0123456789@*#?-!", c))
        return recipe_docker_fail(s->d, "$%c would be empty; write %c$%c for these two characters",
                                  c, s->d->escape, c);
    (void)buf_byte(out, '$');
    return 0;
}

static int scan_quoted(struct scan *s, char quote, struct buf *out)
{
    for (s->at++; !at_end(s) && peek(s) != quote;) {
        char c = peek(s), next = s->at + 1 < s->s.n ? s->s.p[s->at + 1] : '\0';
        int r = 0;
        if (quote == '"' && c == '$') {
            r = scan_dollar(s, out);
        } else {
            bool escapes = quote == '"' && c == s->d->escape && next &&
                           (next == '"' || next == '$' || next == s->d->escape);
            (void)buf_byte(out, escapes ? next : c);
            s->at += escapes ? 2 : 1;
        }
        if (r < 0)
            return r;
    }
    if (at_end(s))
        return recipe_docker_fail(s->d, "a quote %c is not closed", quote);
    s->at++;
    return 0;
}

static void scan_escape(struct scan *s, struct buf *out)
{
    char next = s->at + 1 < s->s.n ? s->s.p[s->at + 1] : '\0';
    bool is_text = s->how == DOCKER_TEXT && next != '$' && next != s->d->escape;
    s->at++;
    if (is_text)
        (void)buf_byte(out, s->d->escape);
    else if (next)
        (void)buf_byte(out, s->s.p[s->at++]);
}

static int scan_text(struct scan *s, char stop, struct buf *out)
{
    int r = 0;
    while (r == 0 && !at_end(s) && (!stop || peek(s) != stop)) {
        char c = peek(s);
        if (s->how == DOCKER_QUOTES && (c == '"' || c == '\''))
            r = scan_quoted(s, c, out);
        else if (c == s->d->escape)
            scan_escape(s, out);
        else if (c == '$')
            r = scan_dollar(s, out);
        else
            (void)buf_byte(out, s->s.p[s->at++]);
    }
    return r;
}

int recipe_docker_expand(struct docker *d, struct str raw, enum docker_words how, struct str *coded)
{
    struct scan s = { .d = d, .s = raw, .how = how };
    struct buf b;
    buf_init(&b, 0);
    int r = scan_text(&s, '\0', &b);
    if (r == 0)
        r = recipe_docker_take(d, &b, coded);
    buf_deinit(&b);
    return r;
}

/* -- out of coded text -- */

/* The server replaces $NAME and ${...} in double quotes and nothing else. A $ that is text is
 * written as the default of a variable that nobody has. */
#define A_DOLLAR "${BELLJAR_NONE-$}"

int recipe_docker_for_shell(struct docker *d, struct str coded, struct str *out)
{
    int depth = 0;
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < coded.n; i++) {
        char c = coded.p[i], next = i + 1 < coded.n ? coded.p[i + 1] : '\0';
        if (c == DOCKER_REF) {
            depth++;
            (void)buf_append(&b, STR("${"));
        } else if (c == DOCKER_END) {
            depth--;
            (void)buf_byte(&b, '}');
        } else if (c == '$' && next && next != ' ' && (next != '(' || depth)) {
            (void)buf_append(&b, STR(A_DOLLAR));
        } else if (c == '}' && depth) {
            buf_deinit(&b);
            return recipe_docker_fail(d, "a } cannot be in the word of a variable that only the "
                                         "image knows");
        } else {
            (void)buf_byte(&b, c);
        }
    }
    return recipe_docker_take(d, &b, out);
}

int recipe_docker_plain(struct docker *d, struct str coded, const char *what)
{
    size_t at = str_find(coded, DOCKER_REF);
    if (at == coded.n)
        return 0;
    struct scan s = { .d = d, .s = coded, .at = at + 1 };
    struct str name = scan_name(&s);
    name.n = name.n > 40 ? 40 : name.n;
    return recipe_docker_fail(d,
                              "%s needs $" STR_FMT ", which no ARG or ENV of this file sets; "
                              "set it, or write what is meant",
                              what, STR_ARG(name));
}

void recipe_docker_put_word(struct buf *b, struct str s)
{
    bool is_plain = s.n > 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        is_plain = is_plain && (recipe_is_name_byte(c, false) || (c && strchr("./:=@%+,-", c)));
    }
    if (is_plain) {
        (void)buf_append(b, s);
        return;
    }
    (void)buf_byte(b, '\'');
    for (size_t i = 0; i < s.n; i++)
        (void)buf_append(b, s.p[i] == '\'' ? STR("'\\''") : str_make(s.p + i, 1));
    (void)buf_byte(b, '\'');
}
