#include "api/api_keys.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "gen/limits.h"

#define KEY_PREFIX "e2b_"
#define LOGIN_PREFIX "e2br_"

static bool hash_of(struct str secret, unsigned char out[32])
{
    unsigned int n = 32;
    return EVP_Digest(secret.p, secret.n, out, &n, EVP_sha256(), NULL) == 1;
}

static struct str hash_key(const struct api_key *k) { return str_make((const char *)k->hash, 32); }

static bool put(struct api_keys *k, struct api_key *key)
{
    if (!map_put(&k->by_hash, hash_key(key), key))
        return false;
    list_push(&k->all, &key->node);
    k->count++;
    k->logins += key->is_login;
    return true;
}

static void drop(struct api_keys *k, struct api_key *key)
{
    (void)map_remove(&k->by_hash, hash_key(key));
    list_remove(&key->node);
    k->count--;
    k->logins -= key->is_login;
    free(key);
}

static int load(void *data, const struct store_key *r)
{
    struct api_keys *k = data;
    struct api_key *key = calloc(1, sizeof *key);
    if (!key)
        return -ENOMEM;
    key->is_login = r->is_login;
    key->created_us = r->created_us;
    key->used_us = key->recorded_us = r->used_us;
    memcpy(key->hash, r->hash, sizeof key->hash);
    if (str_copy(str_of(r->id), key->id, sizeof key->id) &&
        str_copy(str_of(r->parent), key->parent, sizeof key->parent) &&
        str_copy(str_of(r->name), key->name, sizeof key->name) &&
        str_copy(str_of(r->mask), key->mask, sizeof key->mask) && put(k, key))
        return 0;
    free(key);
    return -ENOMEM;
}

int api_keys_init(struct api_keys *k, struct store *s, struct str root)
{
    *k = (struct api_keys){ .store = s, .root = { .name = "root", .is_root = true } };
    map_init(&k->by_hash);
    list_init(&k->all);
    if (!hash_of(root, k->root.hash) || !map_put(&k->by_hash, hash_key(&k->root), &k->root))
        return -ENOMEM;
    return store_key_each(s, load, k);
}

void api_keys_deinit(struct api_keys *k)
{
    LIST_EACH_SAFE(it, &k->all)
        drop(k, LIST_OF(it, struct api_key, node));
    map_deinit(&k->by_hash);
}

struct api_key *api_keys_find(const struct api_keys *k, struct str secret)
{
    unsigned char hash[32];
    return hash_of(secret, hash) ? map_get(&k->by_hash, str_make((const char *)hash, 32)) : NULL;
}

struct api_key *api_keys_by_id(const struct api_keys *k, struct str id)
{
    LIST_EACH(it, &k->all) {
        struct api_key *key = LIST_OF(it, struct api_key, node);
        if (str_eq(id, str_of(key->id)))
            return key;
    }
    return NULL;
}

void api_keys_used(struct api_keys *k, struct api_key *key)
{
    enum { EVERY_US = 60 * 1000000 };
    if (key->is_root)
        return;
    key->used_us = clock_wall_us();
    if (key->used_us - key->recorded_us < EVERY_US)
        return;
    key->recorded_us = key->used_us;
    (void)store_key_used(k->store, key->id, key->used_us); /* logged; it is for people only */
}

static int check_name(struct op *op, struct str name)
{
    if (name.n == 0 || name.n > API_KEY_NAME_MAX)
        return op_fail(op, FAULT_INVALID, EINVAL, "name must have 1 to %d bytes", API_KEY_NAME_MAX);
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < ' ' || name.p[i] == 127)
            return op_fail(op, FAULT_INVALID, EINVAL, "name must not have control characters");
    return 0;
}

/* The oldest login makes room for a new one: it is no more than a sign-in that ends. */
static void expire_login(struct api_keys *k)
{
    LIST_EACH(it, &k->all) {
        struct api_key *key = LIST_OF(it, struct api_key, node);
        if (!key->is_login)
            continue;
        struct op op = { 0 };
        if (api_keys_remove(&op, k, key) < 0)
            log_warn("%s", op.fault.text);
        return;
    }
}

static struct api_key *new_key(struct str name, bool is_login, const char *parent,
                               char secret[API_KEY_SIZE])
{
    unsigned char raw[20];
    struct api_key *key = calloc(1, sizeof *key);
    if (!key)
        return NULL;
    rand_bytes(raw, sizeof raw);
    int at = snprintf(secret, API_KEY_SIZE, "%s", is_login ? LOGIN_PREFIX : KEY_PREFIX);
    const char *value = secret + at;
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(secret + at + 2 * (int)i, 3, "%02x", raw[i]);
    rand_uuid(key->id);
    (void)str_copy(str_of(parent ? parent : ""), key->parent, sizeof key->parent);
    (void)str_copy(name, key->name, sizeof key->name);
    (void)snprintf(key->mask, sizeof key->mask, "%.2s%s", value, value + 36);
    key->is_login = is_login;
    key->created_us = clock_wall_us();
    if (hash_of(str_of(secret), key->hash))
        return key;
    free(key);
    return NULL;
}

struct api_key *api_keys_make(struct op *op, struct api_keys *k, struct str name, bool is_login,
                              const char *parent, char secret[API_KEY_SIZE])
{
    if (check_name(op, name) < 0)
        return NULL;
    if (is_login && k->logins >= LIMIT_API_LOGINS)
        expire_login(k);
    if (k->count >= LIMIT_API_KEYS) {
        (void)op_fail(op, FAULT_LIMIT, EDQUOT, "there are %d API keys already: revoke some",
                      LIMIT_API_KEYS);
        return NULL;
    }
    struct api_key *key = new_key(name, is_login, parent, secret);
    if (!key || !put(k, key)) {
        free(key);
        (void)op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
        return NULL;
    }
    int r = store_key_add(k->store, &(struct store_key){ .id = key->id,
                                                         .parent = key->parent,
                                                         .name = key->name,
                                                         .hash = key->hash,
                                                         .mask = key->mask,
                                                         .is_login = is_login,
                                                         .created_us = key->created_us });
    if (r == 0)
        return key;
    (void)op_fail(op, FAULT_UNAVAILABLE, -r, "the key cannot be recorded");
    drop(k, key);
    return NULL;
}

int api_keys_rename(struct op *op, struct api_keys *k, struct api_key *key, struct str name)
{
    char text[sizeof key->name];
    int r = check_name(op, name);
    if (r < 0)
        return r;
    (void)str_copy(name, text, sizeof text);
    r = store_key_rename(k->store, key->id, text);
    if (r < 0)
        return op_fail(op, FAULT_UNAVAILABLE, -r, "the name cannot be recorded");
    memcpy(key->name, text, sizeof text);
    return 0;
}

/* `id` is `depth` steps above it. */
static bool is_under(const struct api_keys *k, const struct api_key *key, const char *id, int depth)
{
    for (; key && depth > 0; depth--)
        key = api_keys_by_id(k, str_of(key->parent));
    return key && strcmp(key->id, id) == 0;
}

int api_keys_remove(struct op *op, struct api_keys *k, struct api_key *key)
{
    char id[sizeof key->id];
    memcpy(id, key->id, sizeof id);
    int r = store_key_remove(k->store, id);
    if (r < 0)
        return op_fail(op, FAULT_UNAVAILABLE, -r, "the key cannot be removed");
    for (int depth = 2; depth >= 0; depth--) /* a key, its logins, their keys */
        LIST_EACH_SAFE(it, &k->all)
            if (is_under(k, LIST_OF(it, struct api_key, node), id, depth))
                drop(k, LIST_OF(it, struct api_key, node));
    return 0;
}
