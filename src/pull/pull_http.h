/* Inside pull/ only: requests to one registry, with the authentication it asks for. */
#pragma once

#include <curl/curl.h>

#include "pull/pull.h"

struct pull_registry {
    const struct pull_spec *spec;
    char base[320]; /* "https://host" */
    CURL *curl;
    char *token;   /* Bearer; NULL: none yet */
    bool is_basic; /* it wants name and password with each request */
};
bool pull_registry_open(struct pull_registry *r, const struct pull_spec *spec, const char *base);
void pull_registry_close(struct pull_registry *r);

/* GET base + path. The body goes to `body` (bounded by its limit), the status is returned, or a
 * negative errno with the sentence in `op`. */
int pull_get(struct op *op, struct pull_registry *r, const char *path, const char *accept,
             struct buf *body);
/* GET of a blob into `fd`, hashed: it is `digest` and `size` bytes long, or a negative errno. What
 * breaks off is gone on with, three times. */
int pull_blob(struct op *op, struct pull_registry *r, const char *digest, uint64_t size, int fd);

/* "sha256:..." of `s`. */
void pull_digest(struct str s, char out[72]);

/* -- pull_ecr.c -- */

/* The name and password that ECR gives to the AWS key of `spec` (GetAuthorizationToken, Signature
 * Version 4), both to be freed. 0, or a negative errno with the sentence in `op`. */
int pull_ecr_login(struct op *op, const struct pull_spec *spec, char **user, char **password);
