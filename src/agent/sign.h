/* Signed URLs of /files, version 1 (core.md 4.1). */
#pragma once

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
