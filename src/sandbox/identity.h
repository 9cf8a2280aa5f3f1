/* Who a sandbox is: its id and the tokens that follow from it. Tokens are HMAC-SHA256 over the id
 * with a secret seed of this server, so they need not be kept and connect returns the same ones. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

#define IDENTITY_ID_SIZE 22    /* 'i', 20 of [a-z0-9], NUL */
#define IDENTITY_TOKEN_SIZE 65 /* 64 hex digits, NUL */

void identity_make_id(char out[IDENTITY_ID_SIZE]);

enum identity_token {
    IDENTITY_ENVD,    /* opens envd */
    IDENTITY_TRAFFIC, /* opens private ports */
};
void identity_make_token(const unsigned char seed[32], enum identity_token kind, struct str id,
                         char out[IDENTITY_TOKEN_SIZE]);

/* Cuts what old clients append: "<id>-<clientID>" gives <id> (core.md 2.0). False: it is neither,
 * or longer than any id. */
bool identity_parse_id(struct str text, struct str *id);
