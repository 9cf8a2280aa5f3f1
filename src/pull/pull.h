/* Images from registries (OCI distribution specification), over libcurl, blocking: the program that
 * calls this pulls one image and ends. What registries answer is bounded, and believed when its
 * digest fits. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/op.h"

struct pull_spec {
    const char *host, *path, *reference;
    bool is_plain;
    const char *user, *password; /* NULL: none */
    const char *region;          /* of AWS: user and password are a key of it; NULL: they are not */
    const char *ecr;             /* URL of ECR's API; NULL: that of the region */
    const char *known;           /* digests of images whose layers are there already */
    const char *mirror;          /* URL that is asked first; NULL: none */
    int dir;                     /* gets the files */
};
struct pull_ops {
    void (*say)(void *data, const char *text);
    void (*layer)(void *data, const char *file, uint64_t size);
    void *data;
};
struct pull_result {
    char digest[72]; /* of the image for this machine */
    struct buf envs; /* JSON array of strings */
};
/* 0, or a negative errno with the sentence in `op`. `out` has its buffer initialised. Files of a
 * failed pull are removed. */
int pull_image(struct op *op, const struct pull_spec *spec, const struct pull_ops *ops,
               struct pull_result *out);
