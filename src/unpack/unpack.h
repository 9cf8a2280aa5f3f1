/* One layer of an OCI image onto a directory (OCI image specification, "Image Layer Filesystem
 * Changeset"): tar, plain or compressed by gzip or zstd, with whiteouts. Runs as root of a sandbox
 * that is made for it and holds nothing else: a hostile layer can do harm to its own image only.
 * Still every name is looked up below the directory by the kernel (openat2, RESOLVE_IN_ROOT). */
#pragma once

#include <stdint.h>

/* Applies the layer in `fd` (at its start, seekable) to the directory `root`. Whiteouts are about
 * what was there before, wherever they stand. Devices and sockets are left out. 0, or a negative
 * errno; `why` says what was wrong. */
#define UNPACK_WHY_SIZE 256
int unpack_layer(int root, int fd, char why[UNPACK_WHY_SIZE]);
