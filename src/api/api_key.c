/* /api-keys: keys for programs and people, made and revoked with the server's own (core.md 2.1). */
#include "api/api_internal.h"
#include "wire/json.h"

/* `secret` NULL: it is not shown again. */
static json_t *view(const struct api_key *k, const char *secret)
{
    json_t *mask =
        json_pack("{s:s, s:i, s:s%, s:s}", "prefix", "e2b_", "valueLength", 40, "maskedValuePrefix",
                  k->mask, (size_t)2, "maskedValueSuffix", k->mask + 2);
    json_t *v = json_pack("{s:s, s:s, s:o, s:o, s:n, s:o}", "id", k->id, "name", k->name, "mask",
                          mask, "createdAt", api_time(k->created_us), "createdBy", "lastUsed",
                          api_time(k->used_us));
    if (v && secret)
        (void)json_object_set_new(v, "key", json_string(secret));
    return v;
}

void api_key_list(struct api_call *c)
{
    json_t *out = json_array();
    LIST_EACH(it, &c->api->keys.all) {
        const struct api_key *k = LIST_OF(it, struct api_key, node);
        if (!k->is_login)
            (void)json_array_append_new(out, view(k, NULL));
    }
    api_reply_json(c, 200, NULL, out);
}

static void make(struct api_call *c, const json_t *body)
{
    char secret[API_KEY_SIZE];
    struct str name;
    int r = api_field_str(&c->op, body, "name", &name);
    if (r == 0)
        r = api_invalid(&c->op, "name is missing");
    struct api_key *k =
        r < 0 ? NULL : api_keys_make(&c->op, &c->api->keys, str_trim(name), false, NULL, secret);
    if (k)
        api_reply_json(c, 201, NULL, view(k, secret));
    else
        api_reply_fault(c);
    explicit_bzero(secret, sizeof secret);
}

void api_key_create(struct api_call *c) { api_take_body(c, false, make); }

/* The key of the path; NULL: the fault is in c->op. */
static struct api_key *find(struct api_call *c)
{
    struct api_key *k = api_keys_by_id(&c->api->keys, c->id);
    if (!k || k->is_login) {
        (void)op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "there is no API key of that id");
        return NULL;
    }
    return k;
}

static void rename_key(struct api_call *c, const json_t *body)
{
    struct str name;
    struct api_key *k = find(c);
    int r = k ? api_field_str(&c->op, body, "name", &name) : -ENOENT;
    if (r == 0)
        r = api_invalid(&c->op, "name is missing");
    if (r < 0 || api_keys_rename(&c->op, &c->api->keys, k, str_trim(name)) < 0)
        api_reply_fault(c);
    else
        api_reply_json(c, 200, NULL, view(k, NULL));
}

void api_key_rename(struct api_call *c) { api_take_body(c, false, rename_key); }

void api_key_remove(struct api_call *c)
{
    struct api_key *k = find(c);
    if (!k || api_keys_remove(&c->op, &c->api->keys, k) < 0)
        api_reply_fault(c);
    else
        api_reply_empty(c);
}
