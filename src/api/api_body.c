/* Fields of JSON bodies: type, bounds and one sentence per mistake that names the field. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "wire/json.h"

static int wrong(struct op *op, const char *key, const char *type)
{
    return api_invalid(op, "%s must be %s", key, type);
}

int api_field_bool(struct op *op, const json_t *o, const char *key, bool *out)
{
    int r = json_get_bool(o, key, out);
    return r < 0 ? wrong(op, key, "true or false") : r;
}

int api_field_int(struct op *op, const json_t *o, const char *key, int64_t *out)
{
    int r = json_get_int(o, key, out);
    /* the SDKs' schema says int32; a larger one overflows when it becomes microseconds */
    if (r < 0 || (r == 1 && (*out < INT32_MIN || *out > INT32_MAX)))
        return wrong(op, key, "an integer of 32 bits");
    return r;
}

int api_field_str(struct op *op, const json_t *o, const char *key, struct str *out)
{
    int r = json_get_str(o, key, out);
    if (r == 1 && out->n > LIMIT_API_STRING_SIZE)
        return api_invalid(op, "%s is longer than %d bytes", key, LIMIT_API_STRING_SIZE);
    return r < 0 ? wrong(op, key, "a string") : r;
}

int api_field_object(struct op *op, const json_t *o, const char *key, json_t **out)
{
    *out = json_object_get(o, key);
    if (!*out || json_is_null(*out)) {
        *out = NULL;
        return 0;
    }
    return json_is_object(*out) ? 1 : wrong(op, key, "an object");
}

int api_field_map(struct op *op, const json_t *o, const char *key, size_t most, json_t **out)
{
    const char *name;
    json_t *value;
    int r = json_get_map(o, key, out);
    if (r < 0)
        return wrong(op, key, "an object whose values are strings");
    if (r == 0)
        return 0;
    if (json_object_size(*out) > most)
        return api_invalid(op, "%s has more than %zu entries", key, most);
    json_object_foreach(
        *out, name,
        value) if (json_string_length(value) >
                   LIMIT_API_STRING_SIZE) return api_invalid(op, "%s.%.64s is longer than %d bytes",
                                                             key, name, LIMIT_API_STRING_SIZE);
    return 1;
}

int api_field_strings(struct op *op, const json_t *o, const char *key, size_t most, json_t **out)
{
    *out = json_object_get(o, key);
    if (!*out || json_is_null(*out)) {
        *out = NULL;
        return 0;
    }
    if (!json_is_array(*out))
        return wrong(op, key, "an array of strings");
    if (json_array_size(*out) > most)
        return api_invalid(op, "%s has more than %zu entries", key, most);
    for (size_t i = 0; i < json_array_size(*out); i++)
        if (!json_is_string(json_array_get(*out, i)))
            return wrong(op, key, "an array of strings");
    return 1;
}

int api_field_timeout(struct op *op, const json_t *o, bool zero, int64_t *out)
{
    int r = api_field_int(op, o, "timeout", out);
    if (r != 1)
        return r;
    if (*out < 0 || (*out == 0 && !zero))
        return op_fail(op, FAULT_INVALID, EINVAL, "Timeout must be greater than 0");
    if (*out > LIMIT_SANDBOX_TIMEOUT_MAX_S)
        return op_fail(op, FAULT_INVALID, EINVAL, "Timeout cannot be greater than %d hours",
                       LIMIT_SANDBOX_TIMEOUT_MAX_S / 3600);
    return 1;
}

int api_query_limit(struct op *op, struct str value, uint32_t *out)
{
    uint64_t n;
    if (!str_to_u64(value, UINT32_MAX, &n) || n == 0)
        return api_invalid(op, "limit must be an integer above 0");
    *out = n > LIMIT_LIST_PAGE ? LIMIT_LIST_PAGE : (uint32_t)n;
    return 0;
}

json_t *api_strings(const char *list)
{
    json_t *out = json_array();
    struct str rest = str_of(list), one;
    while (rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        (void)json_array_append_new(out, json_stringn(one.p, one.n));
    }
    return out;
}

json_t *api_time(int64_t us)
{
    char text[CLOCK_RFC3339_SIZE];
    if (!us)
        return json_null();
    clock_format(us, text);
    return json_string(text);
}

int api_own_url(struct api_call *c, struct str *out)
{
    struct str host = http_field(&c->http->head, "Host"),
               proto = http_field(&c->http->head, "X-Forwarded-Proto");
    static const char of_hosts[] = "abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
    for (size_t i = 0; i < host.n; i++)
        if (!memchr(of_hosts, host.p[i], sizeof of_hosts - 1))
            host.n = 0;
    if (!host.n || host.n > 255)
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "the Host header names no host");
    size_t size = sizeof "https://" + host.n;
    char *text = arena_alloc(&c->arena, size);
    if (!text)
        return op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    int n = snprintf(text, size, "http%s://" STR_FMT, str_eq(proto, STR("https")) ? "s" : "",
                     STR_ARG(host));
    *out = str_make(text, (size_t)n);
    return 0;
}
