#include "wire/multipart.h"

#include "gen/limits.h"

enum state {
    STATE_DATA,      /* inside a part, or in front of the first */
    STATE_TELL_END,  /* the delimiter was seen after a part */
    STATE_AFTER,     /* behind the delimiter: "--", or padding and the end of the line */
    STATE_HEAD,      /* fields of a part */
    STATE_TELL_PART, /* they were read */
    STATE_DONE,
    STATE_BAD,
};

/* Parameter values may be quoted; a backslash escapes what could not stand there otherwise (as
 * Go's mime does: browsers of old sent bare backslashes in paths). Decodes in place. */
static struct str take_quoted(struct str *in)
{
    static const char special[] = "()<>@,;:\\\"/[]?=";
    char *p = (char *)(uintptr_t)in->p;
    size_t at = 1, out = 0;
    while (at < in->n && p[at] != '"') {
        if (p[at] == '\\' && at + 1 < in->n && memchr(special, p[at + 1], sizeof special - 1))
            at++;
        p[out++] = p[at++];
    }
    *in = str_skip(*in, at + 1);
    return str_make(p, out);
}

/* The next ; name=value. False at the end. */
static bool next_param(struct str *in, struct str *name, struct str *value)
{
    while (in->n && (in->p[0] == ';' || in->p[0] == ' ' || in->p[0] == '\t'))
        *in = str_skip(*in, 1);
    if (in->n == 0)
        return false;
    size_t n = 0;
    while (n < in->n && in->p[n] != '=' && in->p[n] != ';')
        n++;
    *name = str_trim(str_make(in->p, n));
    bool has = n < in->n && in->p[n] == '=';
    *in = str_skip(*in, has ? n + 1 : n);
    while (has && in->n && (in->p[0] == ' ' || in->p[0] == '\t'))
        *in = str_skip(*in, 1);
    *value = STR_NONE;
    if (has && in->n && in->p[0] == '"') {
        *value = take_quoted(in);
        while (in->n && in->p[0] != ';')
            *in = str_skip(*in, 1);
    } else if (has) {
        size_t end = str_find(*in, ';');
        *value = str_trim(str_make(in->p, end));
        *in = str_skip(*in, end);
    }
    return true;
}

bool multipart_init(struct multipart *m, struct str content_type)
{
    char copy[1024];
    struct str rest, type, name, value;
    *m = (struct multipart){ .state = STATE_BAD };
    buf_init(&m->head, LIMIT_MULTIPART_HEAD_SIZE);
    if (!str_copy(content_type, copy, sizeof copy))
        return false;
    (void)str_cut(str_of(copy), ';', &type, &rest);
    while (next_param(&rest, &name, &value)) {
        if (!str_ieq(name, STR("boundary")))
            continue;
        if (value.n == 0 || value.n > MULTIPART_BOUNDARY_SIZE || memchr(value.p, '\r', value.n) ||
            memchr(value.p, '\n', value.n))
            return false;
        memcpy(m->delimiter, "\r\n--", 4);
        memcpy(m->delimiter + 4, value.p, value.n);
        m->delimiter_size = value.n + 4;
        m->matched = 2; /* the first boundary may stand at the very beginning */
        m->state = STATE_DATA;
        return true;
    }
    return false;
}

void multipart_deinit(struct multipart *m) { buf_deinit(&m->head); }
bool multipart_is_done(const struct multipart *m) { return m->state == STATE_DONE; }

/* Tells bytes of the part; those in front of the first part are nobody's. */
static bool tell_data(struct multipart *m, struct str data)
{
    m->data = data;
    return data.n && m->in_part;
}

/* CR occurs only at the start of the delimiter, so a failed match can begin again only there: the
 * bytes held back are the delimiter's own first ones. True: m->data is to be told. */
static bool step_data(struct multipart *m, struct str *in)
{
    while (in->n) {
        if (m->matched == 0) {
            const char *cr = memchr(in->p, '\r', in->n);
            size_t n = cr ? (size_t)(cr - in->p) : in->n;
            struct str plain = str_make(in->p, n);
            *in = str_skip(*in, n);
            if (tell_data(m, plain))
                return true;
            if (!in->n)
                return false;
        }
        if (in->p[0] == m->delimiter[m->matched]) {
            *in = str_skip(*in, 1);
            if (++m->matched < m->delimiter_size)
                continue;
            m->matched = 0;
            m->state = m->in_part ? STATE_TELL_END : STATE_AFTER;
            buf_reset(&m->head);
            return false;
        }
        size_t held = m->matched;
        m->matched = 0;
        if (tell_data(m, str_make(m->delimiter, held)))
            return true;
    }
    return false;
}

/* Behind the delimiter. The two dashes of the end, or blanks and CR LF. */
static void step_after(struct multipart *m, struct str *in)
{
    char c = in->p[0];
    *in = str_skip(*in, 1);
    if (!buf_byte(&m->head, c)) {
        m->state = STATE_BAD;
        return;
    }
    struct str s = buf_str(&m->head);
    if (s.n == 2 && s.p[0] == '-' && s.p[1] == '-') {
        m->state = STATE_DONE;
    } else if (c == '\n' && s.n >= 2 && s.p[s.n - 2] == '\r') {
        buf_reset(&m->head);
        m->state = STATE_HEAD;
    } else if (c != ' ' && c != '\t' && c != '\r' && !(c == '-' && s.n == 1)) {
        m->state = STATE_BAD;
    }
}

static void read_disposition(struct multipart *m, struct str value)
{
    struct str type, rest, name, v;
    (void)str_cut(value, ';', &type, &rest);
    if (!str_ieq(str_trim(type), STR("form-data")))
        return;
    while (next_param(&rest, &name, &v)) {
        if (str_ieq(name, STR("name")))
            m->name = v;
        if (str_ieq(name, STR("filename"))) {
            m->filename = v;
            m->has_filename = true;
        }
    }
}

static void read_head(struct multipart *m)
{
    struct str rest = buf_str(&m->head), line, name, value;
    m->name = m->filename = STR_NONE;
    m->has_filename = false;
    while (rest.n) {
        (void)str_cut(rest, '\n', &line, &rest);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (str_cut(line, ':', &name, &value) && str_ieq(name, STR("content-disposition")))
            read_disposition(m, str_trim(value));
    }
}

static bool head_ended(struct str s)
{
    return (s.n == 2 && memcmp(s.p, "\r\n", 2) == 0) ||
           (s.n >= 4 && memcmp(s.p + s.n - 4, "\r\n\r\n", 4) == 0);
}

static void step_head(struct multipart *m, struct str *in)
{
    char c = in->p[0];
    *in = str_skip(*in, 1);
    if (c == 0 || !buf_byte(&m->head, c)) {
        m->state = STATE_BAD;
    } else if (c == '\n' && head_ended(buf_str(&m->head))) {
        read_head(m);
        m->state = STATE_TELL_PART;
    }
}

enum multipart_event multipart_step(struct multipart *m, struct str *in)
{
    for (;;) {
        switch ((enum state)m->state) {
        case STATE_TELL_END:
            m->in_part = false;
            m->state = STATE_AFTER;
            return MULTIPART_PART_END;
        case STATE_TELL_PART:
            m->in_part = true;
            m->state = STATE_DATA;
            return MULTIPART_PART;
        case STATE_DONE:
            *in = str_skip(*in, in->n);
            return MULTIPART_DONE;
        case STATE_BAD:
            return MULTIPART_BAD;
        case STATE_DATA:
            if (step_data(m, in))
                return MULTIPART_DATA;
            if (m->state == STATE_DATA)
                return MULTIPART_MORE;
            break;
        case STATE_AFTER:
            if (!in->n)
                return MULTIPART_MORE;
            step_after(m, in);
            break;
        case STATE_HEAD:
            if (!in->n)
                return MULTIPART_MORE;
            step_head(m, in);
            break;
        }
    }
}
