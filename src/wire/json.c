#include "wire/json.h"

#include <errno.h>
#include <stdio.h>

json_t *json_parse(struct str text, char why[160])
{
    json_error_t e;
    json_t *v =
        json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!v && why)
        (void)snprintf(why, 160, "%.100s at byte %d", e.text, e.position);
    return v;
}

/* The member, or NULL when absent or null. */
static json_t *member(const json_t *object, const char *key)
{
    json_t *v = json_object_get(object, key);
    return json_is_null(v) ? NULL : v;
}

int json_get_str(const json_t *object, const char *key, struct str *out)
{
    json_t *v = member(object, key);
    *out = STR_NONE;
    if (!v)
        return 0;
    if (!json_is_string(v))
        return -EINVAL;
    *out = str_make(json_string_value(v), json_string_length(v));
    return 1;
}

int json_get_int(const json_t *object, const char *key, int64_t *out)
{
    json_t *v = member(object, key);
    if (!v)
        return 0;
    if (!json_is_integer(v))
        return -EINVAL;
    *out = json_integer_value(v);
    return 1;
}

int json_get_bool(const json_t *object, const char *key, bool *out)
{
    json_t *v = member(object, key);
    if (!v)
        return 0;
    if (!json_is_boolean(v))
        return -EINVAL;
    *out = json_is_true(v);
    return 1;
}

int json_get_map(const json_t *object, const char *key, json_t **out)
{
    json_t *v = member(object, key), *value;
    const char *name;
    *out = NULL;
    if (!v)
        return 0;
    if (!json_is_object(v))
        return -EINVAL;
    json_object_foreach(v, name, value) if (!json_is_string(value)) return -EINVAL;
    *out = v;
    return 1;
}

static int sink(const char *bytes, size_t n, void *data)
{
    return buf_append(data, str_make(bytes, n)) ? 0 : -1;
}

bool json_put(struct buf *b, const json_t *value)
{
    return json_dump_callback(value, sink, b, JSON_COMPACT | JSON_ENCODE_ANY) == 0 && !b->failed;
}
