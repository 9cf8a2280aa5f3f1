/* Archives that clients upload for COPY, kept by the hash that the client gives them: files in
 * $STATE/control/files, with a record each. A file without a record is an upload that broke off. */
#pragma once

#include "base/buf.h"
#include "base/op.h"
#include "store/store.h"

#define UPLOAD_HASH_SIZE 65

struct uploads {
    struct store *store;
    int dir; /* -1: not open */
    unsigned char secret[32];
};

/* Opens below `state` and removes what has no record. 0 or a negative errno with HOST in `op`. */
int uploads_open(struct op *op, struct uploads *u, const char *state, struct store *store);
void uploads_close(struct uploads *u);

bool uploads_is_hash(struct str hash);
bool uploads_has(struct uploads *u, const char *hash);
/* The archive, to read; *size is set. The descriptor or a negative errno. */
int uploads_read(struct uploads *u, const char *hash, int64_t *size);

/* The text that lets its bearer upload `hash` until `expires_s`; hex and NUL. */
#define UPLOAD_TOKEN_SIZE 65
void uploads_token(const struct uploads *u, struct str hash, int64_t expires_s,
                   char out[UPLOAD_TOKEN_SIZE]);

/* One upload under way. Zero-initialised = none. */
struct upload {
    struct uploads *all; /* NULL: none */
    int fd;
    int64_t size;
    char hash[UPLOAD_HASH_SIZE], file[32];
};
int upload_begin(struct op *op, struct upload *p, struct uploads *u, struct str hash);
/* 0 or a negative errno with TOO_LARGE or UNAVAILABLE in `op`. */
int upload_write(struct op *op, struct upload *p, struct str piece);
/* It is there from now on. Older ones go when they are too much together. */
int upload_end(struct op *op, struct upload *p);
void upload_cancel(struct upload *p); /* fine when there is none */
