/* proto3 JSON mapping (protobuf.dev/programming-guides/json): both spellings of a name are
 * accepted, unknown members are ignored, null is absence, 64-bit numbers travel as strings. */
#include <stdio.h>

#include "base/clock.h"
#include "wire/connect.h"
#include "wire/json.h"
#include "wire/message.h"

static bool wrong(const struct message_field *f, const char *want, char why[160])
{
    (void)snprintf(why, 160, "field %s must be %s", f->name, want);
    return false;
}

static bool take_str(json_t *v, struct arena *a, struct str *out)
{
    if (!json_is_string(v))
        return false;
    struct str s = str_make(json_string_value(v), json_string_length(v));
    char *p = memchr(s.p, 0, s.n) ? NULL : arena_str(a, s);
    *out = str_make(p, s.n);
    return p != NULL;
}

/* A number, or a string that holds one. */
static bool take_int(json_t *v, int64_t min, int64_t max, int64_t *out)
{
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
    } else if (json_is_real(v)) {
        double d = json_real_value(v);
        if (!(d >= -9007199254740992.0 && d <= 9007199254740992.0) || d != (double)(int64_t)d)
            return false;
        *out = (int64_t)d;
    } else if (!json_is_string(v) ||
               !str_to_i64(str_make(json_string_value(v), json_string_length(v)), out)) {
        return false;
    }
    return *out >= min && *out <= max;
}

static bool take_enum(json_t *v, const struct message_name *names, int32_t *out)
{
    int64_t n;
    if (!json_is_string(v)) {
        bool ok = take_int(v, INT32_MIN, INT32_MAX, &n);
        *out = ok ? (int32_t)n : 0;
        return ok;
    }
    for (; names->name; names++)
        if (str_eq(str_of(names->name), str_make(json_string_value(v), json_string_length(v)))) {
            *out = names->value;
            return true;
        }
    return false;
}

static bool take_object(const struct message_spec *spec, json_t *v, struct arena *a, void *msg,
                        char why[160]);

static bool take_list(const struct message_field *f, json_t *v, struct arena *a,
                      struct message_list *out, char why[160])
{
    if (!json_is_array(v))
        return wrong(f, "an array", why);
    size_t n = json_array_size(v), size = f->spec ? f->spec->size : sizeof(struct str);
    char *at = arena_alloc(a, n * size);
    if (!at)
        return wrong(f, "smaller", why);
    for (size_t i = 0; i < n; i++) {
        json_t *e = json_array_get(v, i);
        if (f->spec ? !take_object(f->spec, e, a, at + i * size, why)
                    : !take_str(e, a, (struct str *)(void *)(at + i * size)))
            return f->spec ? false : wrong(f, "an array of strings without NUL", why);
    }
    *out = (struct message_list){ at, (uint32_t)n };
    return true;
}

static bool take_map(const struct message_field *f, json_t *v, struct arena *a,
                     struct message_list *out, char why[160])
{
    const char *key;
    size_t key_size;
    json_t *value;
    if (!json_is_object(v))
        return wrong(f, "an object", why);
    struct message_pair *at = arena_alloc(a, json_object_size(v) * sizeof *at);
    uint32_t n = 0;
    if (!at)
        return wrong(f, "smaller", why);
    json_object_keylen_foreach(v, key, key_size, value)
    {
        char *copy = memchr(key, 0, key_size) ? NULL : arena_str(a, str_make(key, key_size));
        at[n].key = str_make(copy, key_size);
        if (!copy || !take_str(value, a, &at[n].value))
            return wrong(f, "an object of strings without NUL", why);
        n++;
    }
    *out = (struct message_list){ at, n };
    return true;
}

static bool take_sub(const struct message_field *f, json_t *v, struct arena *a, void **out,
                     char why[160])
{
    *out = arena_alloc(a, f->spec->size);
    return *out ? take_object(f->spec, v, a, *out, why) : wrong(f, "smaller", why);
}

static bool take_time(json_t *v, struct message_time *out)
{
    int64_t us;
    if (!json_is_string(v) || !clock_parse(json_string_value(v), json_string_length(v), &us))
        return false;
    int64_t s = us / 1000000 - (us % 1000000 < 0);
    *out = (struct message_time){ s, (int32_t)((us - s * 1000000) * 1000) };
    return true;
}

static bool take_field(const struct message_field *f, json_t *v, struct arena *a, char *at,
                       char why[160])
{
    int64_t n;
    struct str s;
    switch ((enum message_type)f->type) {
    case MESSAGE_STR:
        return take_str(v, a, (void *)at) || wrong(f, "a string without NUL", why);
    case MESSAGE_BYTES:
        s = str_make(json_string_value(v), json_string_length(v));
        return (json_is_string(v) && connect_base64_parse(a, s, (void *)at)) ||
               wrong(f, "base64", why);
    case MESSAGE_U32:
        if (!take_int(v, 0, UINT32_MAX, &n))
            return wrong(f, "an unsigned 32-bit number", why);
        *(uint32_t *)(void *)at = (uint32_t)n;
        return true;
    case MESSAGE_S32:
        if (!take_int(v, INT32_MIN, INT32_MAX, &n))
            return wrong(f, "a 32-bit number", why);
        *(int32_t *)(void *)at = (int32_t)n;
        return true;
    case MESSAGE_I64:
        return take_int(v, INT64_MIN, INT64_MAX, (void *)at) || wrong(f, "a number", why);
    case MESSAGE_BOOL:
        *(bool *)at = json_is_true(v);
        return json_is_boolean(v) || wrong(f, "true or false", why);
    case MESSAGE_ENUM:
        return take_enum(v, f->names, (void *)at) || wrong(f, "a known name or number", why);
    case MESSAGE_TIME:
        return take_time(v, (void *)at) || wrong(f, "a time", why);
    case MESSAGE_SUB:
        return take_sub(f, v, a, (void *)at, why);
    case MESSAGE_STRS:
    case MESSAGE_SUBS:
        return take_list(f, v, a, (void *)at, why);
    case MESSAGE_MAP:
        return take_map(f, v, a, (void *)at, why);
    }
    return false;
}

static bool take_object(const struct message_spec *spec, json_t *v, struct arena *a, void *msg,
                        char why[160])
{
    if (!json_is_object(v)) {
        (void)snprintf(why, 160, "%s must be an object", spec->name);
        return false;
    }
    for (uint32_t i = 0; i < spec->field_count; i++) {
        const struct message_field *f = &spec->fields[i];
        json_t *m = json_object_get(v, f->name);
        if (!m && f->snake)
            m = json_object_get(v, f->snake);
        if (!m || json_is_null(m))
            continue;
        if (!take_field(f, m, a, (char *)msg + f->offset, why))
            return false;
        if (f->has)
            *((bool *)msg + f->has) = true;
    }
    return true;
}

bool message_json_parse(const struct message_spec *spec, struct str in, struct arena *a, void *msg,
                        char why[160])
{
    json_t *v = json_parse(in, why);
    bool ok = v && take_object(spec, v, a, msg, why);
    json_decref(v);
    return ok;
}

/* -- printing -- */

/* The years of a protobuf Timestamp; a file system may hold others. */
#define TIME_FIRST_S (-62135596800) /* 0001-01-01T00:00:00Z */
#define TIME_LAST_S 253402300799    /* 9999-12-31T23:59:59Z */

static void put_time(struct buf *b, const struct message_time *t)
{
    char text[CLOCK_RFC3339_SIZE];
    int64_t s = t->s < TIME_FIRST_S ? TIME_FIRST_S : t->s > TIME_LAST_S ? TIME_LAST_S : t->s;
    clock_format(s * 1000000, text); /* ends in .000000Z */
    (void)buf_printf(b, "\"%.19s", text);
    if (t->ns > 0 && t->ns < 1000000000)
        (void)buf_printf(b, ".%09d", t->ns);
    (void)buf_append(b, STR("Z\""));
}

static void put_list(const struct message_field *f, const struct message_list *l, struct buf *b)
{
    const char *at = l->at;
    (void)buf_byte(b, '[');
    for (uint32_t i = 0; i < l->count; i++) {
        if (i)
            (void)buf_byte(b, ',');
        if (f->spec)
            message_json_put(f->spec, at + i * f->spec->size, b);
        else
            connect_string_put(b, ((const struct str *)l->at)[i]);
    }
    (void)buf_byte(b, ']');
}

static void put_map(const struct message_list *l, struct buf *b)
{
    const struct message_pair *at = l->at;
    (void)buf_byte(b, '{');
    for (uint32_t i = 0; i < l->count; i++) {
        if (i)
            (void)buf_byte(b, ',');
        connect_string_put(b, at[i].key);
        (void)buf_byte(b, ':');
        connect_string_put(b, at[i].value);
    }
    (void)buf_byte(b, '}');
}

static void put_enum(const struct message_name *names, int32_t value, struct buf *b)
{
    while (names->name && names->value != value)
        names++;
    if (names->name)
        connect_string_put(b, str_of(names->name));
    else
        (void)buf_printf(b, "%d", value);
}

static bool is_default(const struct message_field *f, const char *at)
{
    switch ((enum message_type)f->type) {
    case MESSAGE_STR:
    case MESSAGE_BYTES:
        return ((const struct str *)(const void *)at)->n == 0;
    case MESSAGE_U32:
    case MESSAGE_S32:
    case MESSAGE_ENUM:
        return *(const int32_t *)(const void *)at == 0;
    case MESSAGE_I64:
        return *(const int64_t *)(const void *)at == 0;
    case MESSAGE_BOOL:
        return !*(const bool *)at;
    case MESSAGE_TIME:
        return false;
    case MESSAGE_SUB:
        return *(void *const *)(const void *)at == NULL;
    case MESSAGE_STRS:
    case MESSAGE_SUBS:
    case MESSAGE_MAP:
        return ((const struct message_list *)(const void *)at)->count == 0;
    }
    return true;
}

static void put_value(const struct message_field *f, const void *at, struct buf *b)
{
    switch ((enum message_type)f->type) {
    case MESSAGE_STR:
        connect_string_put(b, *(const struct str *)at);
        break;
    case MESSAGE_BYTES:
        (void)buf_byte(b, '"');
        connect_base64_put(b, *(const struct str *)at);
        (void)buf_byte(b, '"');
        break;
    case MESSAGE_U32:
        (void)buf_printf(b, "%u", *(const uint32_t *)at);
        break;
    case MESSAGE_S32:
        (void)buf_printf(b, "%d", *(const int32_t *)at);
        break;
    case MESSAGE_I64:
        (void)buf_printf(b, "\"%lld\"", (long long)*(const int64_t *)at);
        break;
    case MESSAGE_BOOL:
        (void)buf_append(b, *(const bool *)at ? STR("true") : STR("false"));
        break;
    case MESSAGE_ENUM:
        put_enum(f->names, *(const int32_t *)at, b);
        break;
    case MESSAGE_TIME:
        put_time(b, at);
        break;
    case MESSAGE_SUB:
        message_json_put(f->spec, *(void *const *)at, b);
        break;
    case MESSAGE_STRS:
    case MESSAGE_SUBS:
        put_list(f, at, b);
        break;
    case MESSAGE_MAP:
        put_map(at, b);
        break;
    }
}

void message_json_put(const struct message_spec *spec, const void *msg, struct buf *b)
{
    bool first = true;
    (void)buf_byte(b, '{');
    for (uint32_t i = 0; i < spec->field_count; i++) {
        const struct message_field *f = &spec->fields[i];
        const char *at = (const char *)msg + f->offset;
        if (f->has ? !*((const bool *)msg + f->has) : is_default(f, at))
            continue;
        if (!first)
            (void)buf_byte(b, ',');
        first = false;
        (void)buf_byte(b, '"');
        (void)buf_append(b, str_of(f->name));
        (void)buf_append(b, STR("\":"));
        put_value(f, at, b);
    }
    (void)buf_byte(b, '}');
}
