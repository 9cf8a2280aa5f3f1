#include "client/client_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "wire/connect.h"
#include "wire/json.h"

void client_answer_tame(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            *p = ' ';
        else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1 controls */
            p[0] = p[1] = ' ';
    }
}

/* -- errors -- */

static const struct {
    int status, err;
} statuses[] = {
    { 400, EINVAL },    { 401, EACCES }, { 403, EACCES },    { 404, ENOENT },    { 409, EBUSY },
    { 413, EFBIG },     { 422, EINVAL }, { 429, EAGAIN },    { 499, ECANCELED }, { 501, ENOSYS },
    { 502, EHOSTDOWN }, { 503, EAGAIN }, { 504, ETIMEDOUT }, { 507, ENOSPC },    { 0, EREMOTEIO },
};

static const struct {
    enum connect_code code;
    int err;
} codes[] = {
    { CONNECT_CANCELED, ECANCELED },
    { CONNECT_INVALID_ARGUMENT, EINVAL },
    { CONNECT_DEADLINE_EXCEEDED, ETIMEDOUT },
    { CONNECT_NOT_FOUND, ENOENT },
    { CONNECT_ALREADY_EXISTS, EEXIST },
    { CONNECT_PERMISSION_DENIED, EACCES },
    { CONNECT_RESOURCE_EXHAUSTED, EAGAIN },
    { CONNECT_FAILED_PRECONDITION, EINVAL },
    { CONNECT_ABORTED, EBUSY },
    { CONNECT_OUT_OF_RANGE, ERANGE },
    { CONNECT_UNIMPLEMENTED, ENOSYS },
    { CONNECT_UNAVAILABLE, EHOSTDOWN },
    { CONNECT_UNAUTHENTICATED, EACCES },
    { CONNECT_OK, EREMOTEIO },
};

static int errno_of_status(int status)
{
    size_t i = 0;
    while (statuses[i].status && statuses[i].status != status)
        i++;
    return statuses[i].err;
}

static int errno_of_code(struct str name)
{
    size_t i = 0;
    while (codes[i].code != CONNECT_OK && !str_eq(str_of(connect_code_name(codes[i].code)), name))
        i++;
    return codes[i].err;
}

static void put_sentence(struct str s, char *out, size_t size)
{
    (void)snprintf(out, size, "%.*s", s.n > 10000 ? 10000 : (int)s.n, s.n ? s.p : "");
    client_answer_tame(out);
}

int client_answer_error(int status, struct str body, char *out, size_t size)
{
    struct str message = STR_NONE, code = STR_NONE;
    json_t *v = json_parse(body, NULL);
    int err = errno_of_status(status);
    put_sentence(STR_NONE, out, size);
    if (json_is_object(v)) {
        if (json_get_str(v, "code", &code) == 1) /* a Connect error; a number is the status again */
            err = errno_of_code(code);
        if (status == 502 && json_is_integer(json_object_get(v, "port")))
            err = ECONNREFUSED; /* the sandbox runs, nothing listens there */
        if (json_get_str(v, "message", &message) == 1)
            put_sentence(message, out, size);
    } else if (!v && body.n && memchr("<", body.p[0], 1) == NULL) {
        put_sentence(str_trim(body), out, size); /* a plain sentence; a page of HTML is none */
    }
    json_decref(v);
    return err;
}

int client_answer_end(struct str payload, char *out, size_t size)
{
    struct str message = STR_NONE, code = STR_NONE;
    json_t *v = json_parse(payload, NULL), *error = json_object_get(v, "error");
    int rc = 0;
    put_sentence(STR_NONE, out, size);
    if (!json_is_object(v) || (error && !json_is_object(error))) {
        rc = -EPROTO;
    } else if (error) {
        (void)json_get_str(error, "code", &code);
        (void)json_get_str(error, "message", &message);
        rc = errno_of_code(code);
        put_sentence(message.n ? message : code, out, size);
    }
    json_decref(v);
    return rc;
}

/* -- sandboxes -- */

static bool is_made_of(struct str s, const char *others)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_plain && (!c || !strchr(others, c)))
            return false;
    }
    return s.n <= 1024;
}

bool client_answer_identity(const json_t *answer, struct client_identity *out)
{
    *out = (struct client_identity){ 0 };
    return json_is_object(answer) && json_get_str(answer, "sandboxID", &out->id) == 1 &&
           out->id.n && json_get_str(answer, "envdAccessToken", &out->token) >= 0 &&
           json_get_str(answer, "trafficAccessToken", &out->traffic) >= 0 &&
           json_get_str(answer, "domain", &out->domain) >= 0 && is_made_of(out->id, "-") &&
           is_made_of(out->token, "-_.+/=~:") && is_made_of(out->traffic, "-_.+/=~:") &&
           is_made_of(out->domain, "-.:[]");
}

/* -- processes -- */

static bool take_data(struct arena *a, const json_t *data, struct client_event *out)
{
    static const struct {
        const char *key;
        enum belljar_event_kind kind;
    } kinds[] = { { "stdout", BELLJAR_STDOUT },
                  { "stderr", BELLJAR_STDERR },
                  { "pty", BELLJAR_TERMINAL } };
    struct str text;
    for (size_t i = 0; i < 3; i++) {
        int rc = json_get_str(data, kinds[i].key, &text);
        if (rc < 0)
            return false;
        if (rc == 0)
            continue;
        out->kind = CLIENT_EVENT_DATA;
        out->data = kinds[i].kind;
        return connect_base64_parse(a, text, &out->bytes);
    }
    return true;
}

static bool take_end(const json_t *end, struct client_event *out)
{
    int64_t code = 0;
    bool has_exited = false;
    if (json_get_int(end, "exitCode", &code) < 0 || json_get_bool(end, "exited", &has_exited) < 0 ||
        json_get_str(end, "error", &out->error) < 0 || code < INT32_MIN || code > INT32_MAX)
        return false;
    out->kind = CLIENT_EVENT_END;
    out->exit_code = (int)code;
    if (has_exited)
        out->error = STR_NONE; /* "exit status 1" says no more than the code */
    else if (!out->error.n && json_get_str(end, "status", &out->error) < 0)
        return false;
    return true;
}

bool client_answer_event(struct arena *a, const json_t *message, struct client_event *out)
{
    const json_t *event = json_object_get(message, "event"), *v;
    int64_t pid = 0;
    *out = (struct client_event){ 0 };
    if (!json_is_object(event))
        return false;
    if ((v = json_object_get(event, "start"))) {
        if (json_get_int(v, "pid", &pid) != 1 || pid <= 0 || pid > INT32_MAX)
            return false;
        out->kind = CLIENT_EVENT_START;
        out->pid = (int)pid;
        return true;
    }
    if ((v = json_object_get(event, "data")))
        return json_is_object(v) && take_data(a, v, out);
    if ((v = json_object_get(event, "end")))
        return json_is_object(v) && take_end(v, out);
    return true;
}

/* -- files -- */

/* A copy of a string; absent: "". */
static bool copy(const json_t *o, const char *key, char **out)
{
    struct str s;
    if (json_get_str(o, key, &s) < 0)
        return false;
    *out = str_dup(s.n ? s : STR(""));
    return *out != NULL;
}

/* int64 is a string in proto3 JSON; a number is taken too. */
static bool take_size(const json_t *entry, uint64_t *out)
{
    int64_t number = 0;
    struct str text;
    if (json_get_str(entry, "size", &text) == 1)
        return str_to_u64(text, INT64_MAX, out);
    if (json_get_int(entry, "size", &number) < 0 || number < 0)
        return false;
    *out = (uint64_t)number;
    return true;
}

int client_answer_file(const json_t *entry, struct belljar_file *out)
{
    struct str type, when, link;
    int64_t mode = 0, changed_us = 0;
    *out = (struct belljar_file){ .type = 'o' };
    if (!json_is_object(entry) || json_get_str(entry, "type", &type) < 0 ||
        json_get_str(entry, "modifiedTime", &when) < 0 ||
        json_get_str(entry, "symlinkTarget", &link) < 0 || json_get_int(entry, "mode", &mode) < 0 ||
        mode < 0 || mode > 07777 || !take_size(entry, &out->size_bytes) ||
        (when.n && !clock_parse(when.p, when.n, &changed_us)))
        return -EPROTO;
    if (str_eq(type, STR("FILE_TYPE_FILE")))
        out->type = 'f';
    else if (str_eq(type, STR("FILE_TYPE_DIRECTORY")))
        out->type = 'd';
    if (link.p)
        out->type = 'l';
    out->mode = (unsigned)mode;
    out->changed_ms = changed_us / 1000;
    if (!copy(entry, "name", &out->name) || !copy(entry, "path", &out->path) ||
        !copy(entry, "owner", &out->owner) || !copy(entry, "group", &out->group) ||
        (link.p && !copy(entry, "symlinkTarget", &out->target)))
        return -EPROTO;
    return 0;
}

void belljar_file_free(struct belljar_file *f)
{
    if (!f)
        return;
    free(f->name);
    free(f->path);
    free(f->owner);
    free(f->group);
    free(f->target);
    *f = (struct belljar_file){ 0 };
}

bool client_answer_change(const json_t *message, bool *is_change, struct belljar_change *out)
{
    static const struct {
        const char *name;
        enum belljar_change_kind kind;
    } kinds[] = {
        { "EVENT_TYPE_CREATE", BELLJAR_CREATED }, { "EVENT_TYPE_WRITE", BELLJAR_WRITTEN },
        { "EVENT_TYPE_REMOVE", BELLJAR_REMOVED }, { "EVENT_TYPE_RENAME", BELLJAR_RENAMED },
        { "EVENT_TYPE_CHMOD", BELLJAR_MODE },
    };
    const json_t *event = json_object_get(message, "filesystem");
    struct str type, name;
    *is_change = false;
    if (!event)
        return json_is_object(message);
    if (!json_is_object(event) || json_get_str(event, "type", &type) < 0 ||
        json_get_str(event, "name", &name) != 1)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_eq(type, str_of(kinds[i].name))) {
            *out = (struct belljar_change){ kinds[i].kind, name.p };
            *is_change = true;
        }
    return true;
}

/* -- code -- */

int client_answer_line(struct str line, json_t **out, enum client_line_kind *kind)
{
    static const struct {
        const char *name;
        enum client_line_kind kind;
    } kinds[] = {
        { "stdout", CLIENT_LINE_STDOUT },
        { "stderr", CLIENT_LINE_STDERR },
        { "result", CLIENT_LINE_RESULT },
        { "error", CLIENT_LINE_ERROR },
        { "number_of_executions", CLIENT_LINE_COUNT },
        { "end_of_execution", CLIENT_LINE_END },
    };
    struct str type;
    *kind = CLIENT_LINE_NONE;
    /* not json_parse: what a cell prints may hold NUL */
    *out = json_loadb(line.n ? line.p : "", line.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(*out) || json_get_str(*out, "type", &type) != 1) {
        json_decref(*out);
        *out = NULL;
        return -EPROTO;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_eq(type, str_of(kinds[i].name)))
            *kind = kinds[i].kind;
    return 0;
}

static char *without_nul(struct str s)
{
    struct buf b;
    struct str head;
    buf_init(&b, 0);
    while (str_cut(s, '\0', &head, &s)) {
        (void)buf_append(&b, head);
        (void)buf_append(&b, STR("\xef\xbf\xbd"));
    }
    (void)buf_append(&b, head);
    (void)buf_byte(&b, '\0');
    char *out = b.failed ? NULL : TAKE_PTR(b.p);
    buf_deinit(&b);
    return out;
}

char *client_answer_text(const json_t *line, const char *key)
{
    struct str s;
    return json_get_str(line, key, &s) == 1 ? without_nul(s) : NULL;
}

static int add_shown(struct belljar_shown **shown, size_t *count, const char *format,
                     const json_t *value, struct belljar_shown one)
{
    struct belljar_shown *more = realloc(*shown, (*count + 1) * sizeof *more);
    if (!more)
        return -ENOMEM;
    *shown = more;
    one.format = str_dup(str_of(format));
    one.value = json_is_string(value)
                    ? without_nul(str_make(json_string_value(value), json_string_length(value)))
                    : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    more[(*count)++] = one; /* also when half of it is missing: its owner frees it */
    return one.format && one.value ? 0 : -ENOMEM;
}

int client_answer_shown(const json_t *line, int result, struct belljar_shown **shown, size_t *count)
{
    static const char *const formats[] = { "text", "html",       "markdown", "svg",
                                           "png",  "jpeg",       "pdf",      "latex",
                                           "json", "javascript", "data",     "chart" };
    struct belljar_shown one = { .result = result };
    json_t *extra = json_object_get(line, "extra"), *value;
    const char *key;
    int rc = json_get_bool(line, "is_main_result", &one.is_main) < 0 ? -EPROTO : 0;
    for (size_t i = 0; !rc && i < sizeof formats / sizeof *formats; i++) {
        value = json_object_get(line, formats[i]);
        if (value && !json_is_null(value))
            rc = add_shown(shown, count, formats[i], value, one);
    }
    if (!rc && extra && !json_is_null(extra) && !json_is_object(extra))
        rc = -EPROTO;
    if (!rc && json_is_object(extra))
        json_object_foreach(extra, key, value) if (!rc && !json_is_null(value)) rc =
            add_shown(shown, count, key, value, one);
    return rc;
}

char *belljar_shown_bytes(const struct belljar_shown *shown, size_t *size)
{
    static const char *const binary[] = { "png", "jpeg", "pdf" };
    struct str text = str_of(shown->value), bytes = text;
    bool is_binary = false;
    struct arena a;
    for (size_t i = 0; i < 3; i++)
        is_binary |= shown->format && strcmp(shown->format, binary[i]) == 0;
    while (is_binary && text.n && text.p[text.n - 1] == '\n') /* some kernels end it so */
        text.n--;
    arena_init(&a, 0);
    char *out = is_binary && !connect_base64_parse(&a, text, &bytes)
                    ? NULL
                    : str_dup(bytes.n ? bytes : STR(""));
    arena_deinit(&a);
    *size = out ? bytes.n : 0;
    return out;
}
