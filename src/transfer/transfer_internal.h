/* Inside transfer/ only. */
#pragma once

#define OPENSSL_SUPPRESS_DEPRECATED /* as wire/sign.c */
#include <openssl/sha.h>
#include <sys/types.h>

#include "base/map.h"
#include "transfer/transfer.h"

#define TRANSFER_HEAD "belljar-template.json"
#define TRANSFER_END "head.sha256"
#define TRANSFER_PIECE 1048576
#define TRANSFER_SUM_SIZE 65

/* -- sums (transfer_sum.c) -- */

void transfer_sum_entry(SHA256_CTX *sum, const struct tar_entry *e);
void transfer_sum_text(SHA256_CTX *sum, struct str s); /* with its length */
void transfer_sum_end(SHA256_CTX *sum, char out[TRANSFER_SUM_SIZE]);

/* -- writing (transfer_tree.c) -- */

struct transfer_out {
    struct op *op;
    int fd; /* -1: only the sum */
    SHA256_CTX sum;
    struct buf head;
    char *piece;
    uint64_t bytes;
};
int transfer_out_init(struct transfer_out *o, struct op *op, int fd);
void transfer_out_deinit(struct transfer_out *o);
/* An entry; `data` of its size follows by transfer_put_data, then transfer_put_end. */
int transfer_put_entry(struct transfer_out *o, const struct tar_entry *e);
int transfer_put_data(struct transfer_out *o, struct str data);
int transfer_put_end(struct transfer_out *o, int64_t size);
/* `size` bytes of `from` from `at` on, as data. */
int transfer_put_file(struct transfer_out *o, int from, off_t at, int64_t size, const char *path);
/* The image NAME, or NAME.BOOT_ID of one that a power cut may still take (ns_layer.h); or -1. */
int transfer_layer_open(int dir, const char *name);
int transfer_put_layer(struct transfer_out *o, int fd, uint32_t index, int64_t size);
/* All of a root file system. */
int transfer_put_tree(struct transfer_out *o, const char *rootfs);

/* -- reading (transfer_unpack.c) -- */

struct transfer_unpack {
    struct op *op;
    int root; /* the directory */
    int file; /* being written, or -1 */
    int64_t modified_s;
    char capability[64]; /* of it: writing takes it away, so it is set at the end */
    size_t capability_size;
    char *parent; /* path of the directory that was last looked up */
    int parent_fd;
    uint64_t count;
};
void transfer_unpack_init(struct transfer_unpack *u, struct op *op, int root);
void transfer_unpack_deinit(struct transfer_unpack *u);
/* e->path is below the root. */
int transfer_unpack_entry(struct transfer_unpack *u, const struct tar_entry *e, struct str path);
int transfer_unpack_data(struct transfer_unpack *u, struct str data);
int transfer_unpack_end(struct transfer_unpack *u);

/* Writes all of it at `at` (-1: where the file is). 0 or a negative errno. */
int transfer_write(int fd, struct str data, off_t at);

/* -- root file systems (transfer_root.c) -- */

/* Locks templates/NAME: as long as the descriptor is open the server does not remove it. -1: there
 * is none (any more). */
int transfer_root_lock(int templates, const char *name);

/* -- images (transfer_image.c) -- */

/* Looks at the image of an ext4 file system as somebody without rights, gives it an id of its own
 * and makes it durable. */
int transfer_image_check(struct op *op, int fd);
