/* A sandbox's writable layer: an ext4 image of its own, so that a full disk is its own trouble
 * only.
 *
 * A disk is the descriptor of a detached mount that holds the directories `up` and `work`. The
 * image has no name and the loop device lets go by itself: when the last holder of the mount is
 * gone (the engine's descriptor, the sandbox's overlay), nothing is left to clean up, whoever was
 * killed. */
#pragma once

#include <stdint.h>

#include "engine/ns/ns_host.h"

/* A new, empty disk of `size` bytes. Its descriptor or a negative errno. Takes 1-2 ms, the first of
 * a size longer (mkfs). */
int ns_disk_make(const struct ns_host *h, uint64_t size);

/* Empties a used disk for the next tenant. 0; -EFBIG when that is more work than a new one;
 * another negative errno when it cannot be trusted. Then close it. */
int ns_disk_wipe(int disk);

/* Bytes used and in all. */
int ns_disk_usage(int disk, uint64_t *used, uint64_t *total);
