/* API keys, and the logins of command lines, whose secrets are refresh tokens. Secrets are kept as
 * SHA-256 only. Strings are borrowed in both directions. */
#pragma once

#include "store/store.h"

struct store_key {
    const char *id;     /* UUID */
    const char *parent; /* id of the key or login that it was made with, and ends with; "": none */
    const char *name;
    const unsigned char *hash; /* 32 bytes */
    const char *mask;          /* the first two and the last four characters of its value */
    bool is_login;
    int64_t created_us, used_us; /* used_us 0: never */
};
typedef int (*store_key_fn)(void *data, const struct store_key *k);

/* Each: 0 or a negative errno. */
int store_key_add(struct store *s, const struct store_key *k);
int store_key_rename(struct store *s, const char *id, const char *name);
int store_key_used(struct store *s, const char *id, int64_t used_us);
/* With all that was made with it. */
int store_key_remove(struct store *s, const char *id);
/* The oldest first; an answer of `fn` other than 0 ends it and is returned. */
int store_key_each(struct store *s, store_key_fn fn, void *data);
