/* What the client library reads of answers. The first byte chooses the kind of answer; the lines of
 * the code interpreter are a parser of their own. */
#include "fuzz.h"

#include <errno.h>

#include "client/client_answer.h"
#include "wire/connect.h"
#include "wire/json.h"

static void check_sentence(const char *text, size_t size)
{
    assert(strlen(text) < size);
    for (const char *p = text; *p; p++)
        assert((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void try_error(struct str in)
{
    char why[300];
    static const int statuses[] = { 0, 302, 400, 401, 404, 500, 502, 507, 999 };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        assert(client_answer_error(statuses[i], in, why, sizeof why) > 0);
        check_sentence(why, sizeof why);
    }
    int rc = client_answer_end(in, why, sizeof why);
    assert(rc >= 0 || rc == -EPROTO);
    check_sentence(why, sizeof why);
}

static void try_identity(const json_t *v)
{
    struct client_identity i;
    if (client_answer_identity(v, &i)) {
        assert(i.id.n && !memchr(i.id.p, '\r', i.id.n) && !memchr(i.id.p, '/', i.id.n));
        assert(!i.token.n || !memchr(i.token.p, '\n', i.token.n));
        assert(!i.domain.n || !memchr(i.domain.p, '/', i.domain.n));
    }
}

static void try_event(const json_t *v)
{
    struct client_event e;
    struct belljar_change change;
    bool is_change;
    struct arena a;
    arena_init(&a, 1u << 20);
    if (client_answer_event(&a, v, &e)) {
        assert(e.kind != CLIENT_EVENT_START || e.pid > 0);
        for (size_t i = 0; e.kind == CLIENT_EVENT_DATA && i < e.bytes.n; i++)
            (void)*(volatile const char *)(e.bytes.p + i);
    }
    arena_deinit(&a);
    if (client_answer_change(v, &is_change, &change) && is_change)
        assert(strlen(change.name) < 70000);
}

static void try_file(const json_t *v)
{
    struct belljar_file f;
    if (client_answer_file(v, &f) == 0)
        assert(f.name && f.path && f.owner && f.group && strchr("fdlo", f.type) &&
               (f.type == 'l') == (f.target != NULL));
    belljar_file_free(&f);
}

static void fuzz_answer(struct str in)
{
    try_error(in);
    json_t *v = json_parse(in, NULL);
    try_identity(v);
    try_event(v);
    try_file(v);
    json_decref(v);
}

static void free_shown(struct belljar_shown *shown, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size;
        if (shown[i].format && shown[i].value)
            free(belljar_shown_bytes(&shown[i], &size));
        free(shown[i].format);
        free(shown[i].value);
    }
    free(shown);
}

static void fuzz_cell(struct str in)
{
    static const char *const keys[] = { "text", "name", "value", "traceback", "timestamp" };
    struct belljar_shown *shown = NULL;
    size_t count = 0;
    struct str line;
    enum client_line_kind kind;
    bool has_more = true;
    for (int result = 0; has_more; result++) {
        json_t *v;
        has_more = str_cut(in, '\n', &line, &in);
        if (client_answer_line(line, &v, &kind) != 0)
            continue;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            free(client_answer_text(v, keys[i]));
        (void)client_answer_shown(v, result, &shown, &count);
        json_decref(v);
    }
    free_shown(shown, count);
}

static const struct fuzz_parser parsers[] = {
    { "answer", fuzz_answer },
    { "cell", fuzz_cell },
};
FUZZ_MAIN(parsers)
