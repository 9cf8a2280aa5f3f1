/* The directory of a build: what a COPY takes from it, and that as an archive. Inside client/. */
#pragma once

#include "base/arena.h"
#include "client/client_internal.h"
#include "recipe/recipe_dockerfile.h"
#include "recipe/recipe_ignore.h"
#include "wire/tar.h"

struct client_context {
    struct belljar *b;
    char *root;       /* resolved; NULL: there is none */
    char prefix[64];  /* of sentences: "Dockerfile:7" */
    struct arena mem; /* of `ignore` */
    struct recipe_ignore ignore;
    char link[4096]; /* where one leads: not on the stack of what calls itself for each level */
};
/* `directory` NULL: COPY of files is refused. client_context_deinit is due whatever it returned. */
int client_context_init(struct client_context *c, struct belljar *b, const char *directory);
void client_context_deinit(struct client_context *c);

struct client_entry {
    struct str path;  /* in the archive */
    const char *real; /* on the disk; NULL: `text` */
    struct str text;  /* or where a link leads to */
    enum tar_type type;
    uint32_t mode;
    int64_t size;
};

#define CLIENT_HASH_SIZE 65
/* What one COPY takes. It is laid out so that the server's COPY of `source` does what Docker's does
 * of all sources: a file alone, or one directory, ".", with all that comes into the destination.
 * Docker flattens directories that a pattern matches; the server's own patterns do not. */
struct client_pack {
    struct client_context *context;
    struct arena mem;
    struct client_entry *entries;
    size_t count, cap;
    int64_t size; /* of all files */
    struct str source;
    char hash[CLIENT_HASH_SIZE];
};
/* Collects and hashes. client_pack_deinit is due whatever it returned. */
int client_pack_init(struct client_pack *p, struct client_context *c,
                     const struct recipe_dockerfile_step *s);
void client_pack_deinit(struct client_pack *p);
/* Writes it as gzipped tar to a new file without a name; *out is the caller's. Fails when a file
 * is not what was hashed any more. */
int client_pack_write(struct client_pack *p, int *out, int64_t *size);

/* client_archive.c: the hash of all entries, written to fd as well unless it is -1. */
int client_pack_run(struct client_pack *p, int fd, char hash[CLIENT_HASH_SIZE]);
