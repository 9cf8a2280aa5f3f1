/* A template as one file, for machines without a network: written and read on the server's host, as
 * root, beside the server (docs/decisions/0009-export.md). The file is a tar:
 *
 *   belljar-template.json   {"format":1, "name", "config", "rootfs":{"origin","sha256"},
 *                            "layers":[{"origin","size","sha256"}, ...]}, topmost first
 *   rootfs/...              the root file system; owners, modes, times, file capabilities
 *   layers/N/OFFSET         a piece of layer N's image, at a hexadecimal offset; holes are left out
 *   head.sha256             of the first file
 *
 * A sum is over what entries say and hold, not over the tar's own bytes. Who reads believes nothing
 * of it: names are looked up beneath one directory without following links, nothing is made twice,
 * devices are refused, images are looked at by e2fsck before the kernel sees them. */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/op.h"
#include "wire/tar.h"

#define TRANSFER_LAYERS 64
#define TRANSFER_NAME_SIZE 21 /* of a layer */

struct transfer_export {
    const char *state;    /* $STATE */
    const char *name;     /* of the template */
    const char *rootfs;   /* absolute */
    const char *layers;   /* names, topmost first, commas between */
    const json_t *config; /* what sandboxes are made with */
    uint64_t bytes;       /* out: written */
};
/* Writes to the regular, empty file `fd`. 0 or a negative errno with the sentence in `op`. */
int transfer_export(struct op *op, struct transfer_export *e, int fd);

struct transfer_import;
/* Reads `fd` to the end and unpacks into a directory that nobody else looks at. transfer_close is
 * due when *out is set, also after a failure. */
int transfer_read(struct op *op, const char *state, int fd, struct transfer_import **out);
/* Puts everything where the server finds it, durably; what is there already is left as it is. */
int transfer_place(struct op *op, struct transfer_import *t);
/* Whether all layers are still there: the server drops those that no template has when it starts
 * anew. */
bool transfer_is_placed(const struct transfer_import *t);
/* What was placed stays: the server, which may have given it to another import's template already,
 * removes what no template needs, at the latest when it starts anew. */
void transfer_close(struct transfer_import *t);

const char *transfer_name(const struct transfer_import *t);
/* What is to be told to the server: {"config", "rootfs", "layers"}; a new object. NULL: memory. */
json_t *transfer_record(const struct transfer_import *t);
uint64_t transfer_bytes(const struct transfer_import *t); /* read */
