/* The keys that open the API, in memory, over their records. The server's own one, which is a file
 * (keys/api.key), is the only one that may make others. Logins of command lines are keys of a kind:
 * their secrets are refresh tokens, and open nothing but a new access token. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/op.h"
#include "store/store_key.h"

#define API_KEY_SIZE 46     /* "e2b_" or "e2br_", 40 hex digits, NUL */
#define API_KEY_NAME_MAX 96 /* bytes */

struct api_key {
    struct list node;
    char id[37], parent[37]; /* made with, and ends with; "": none */
    char name[API_KEY_NAME_MAX + 1];
    unsigned char hash[32];
    char mask[7]; /* the first two and the last four characters of its value */
    bool is_root, is_login;
    int64_t created_us, used_us;
    int64_t recorded_us; /* the used_us of the record */
};

struct api_keys {
    struct store *store;
    struct api_key root;
    struct map by_hash;
    struct list all; /* without the root's; oldest first */
    uint32_t count, logins;
};

/* 0 or a negative errno; `k` may be deinitialised in every case. */
int api_keys_init(struct api_keys *k, struct store *s, struct str root);
void api_keys_deinit(struct api_keys *k);

/* The key whose secret this is; NULL: none. What it takes tells nothing about secrets: they are
 * looked up by their hash. */
struct api_key *api_keys_find(const struct api_keys *k, struct str secret);
struct api_key *api_keys_by_id(const struct api_keys *k, struct str id); /* NULL: none */
/* It was used now: its record hears of that at most once a minute. */
void api_keys_used(struct api_keys *k, struct api_key *key);

/* Makes a key, or a login, called `name`; `parent` NULL: none. The secret goes to `secret` and
 * nowhere else. NULL with the sentence in `op`: a bad name, too many, or no room on disk. */
struct api_key *api_keys_make(struct op *op, struct api_keys *k, struct str name, bool is_login,
                              const char *parent, char secret[API_KEY_SIZE]);
int api_keys_rename(struct op *op, struct api_keys *k, struct api_key *key, struct str name);
/* With all that was made with it. */
int api_keys_remove(struct op *op, struct api_keys *k, struct api_key *key);
