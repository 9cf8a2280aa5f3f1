/* Signed URLs of /files, version 1 (core.md 4.1). Pure. */
#pragma once

#include <openssl/sha.h>
#include <stdbool.h>

#include "base/str.h"

enum { SIGN_OK = 0, SIGN_MISSING, SIGN_WRONG, SIGN_EXPIRED };

struct sign_claim {
    struct str path, user; /* as in the query, decoded */
    const char *operation; /* "read" or "write" */
    struct str signature;
    struct str expiration; /* decimal text; empty: never */
};

/* SIGN_OK or what is wrong; the signature is looked at before the time. */
int sign_check(const struct sign_claim *claim, struct str token, int64_t now_s);
/* "v1_..." and a NUL into `out`. */
#define SIGN_SIZE 48
void sign_make(const struct sign_claim *claim, struct str token, char out[SIGN_SIZE]);

/* One claim against many tokens: what does not depend on the token is hashed once. */
struct sign_probe {
    SHA256_CTX prefix;     /* after all that is before the token */
    struct str expiration; /* the claim's: not copied */
    unsigned char want[SHA256_DIGEST_LENGTH];
};
/* False: the signature cannot be one of ours, whatever the token. */
bool sign_probe_init(struct sign_probe *p, const struct sign_claim *claim);
/* In time that does not depend on where the digests differ. */
bool sign_probe_matches(const struct sign_probe *p, struct str token);
