/* A sandbox's writable layer: an ext4 image of its own, so that a full disk is its own trouble
 * only.
 *
 * A disk is the descriptor of a detached mount that holds the directories `up` and `work`. The loop
 * device lets go by itself when the last holder of the mount is gone (the engine's descriptor, the
 * sandbox's overlay). The image is STATE/disks/N, N the number of its device, which the mount tells
 * (st_dev): so a disk is found by its descriptor, and again by the next engine. A name goes before
 * its device does; one that is left behind is stale and is replaced or, at start, removed. */
#pragma once

#include <stdint.h>

#include "engine/ns/ns_host.h"

#define NS_DISK_BLANK "blank-" /* STATE/disks/blank-SIZE: formatted once, copied for each disk */

/* A new, empty disk of `size` bytes. Its descriptor or a negative errno. Takes 1-2 ms, the first of
 * a size longer (mkfs). */
int ns_disk_make(const struct ns_host *h, uint64_t size);

/* The disk of `image` that device `number` has mounted already: another descriptor of it, of a
 * sandbox whose engine died. A file system freeze that engine left is undone. */
int ns_disk_adopt(uint32_t number, int image);

/* The disk of an image that nothing has mounted. `image` is open for writing and, while the device
 * lives, locked by ns_disk_lock. Repairs what a crash of the host left. For a worker. */
int ns_disk_open(int image);
/* Takes the lock that whoever has an image attached holds; waits for one who is just letting go.
 * 0; -EBUSY when that takes too long. For a worker. */
int ns_disk_lock(int image);

/* Gives a disk up: its name, then the descriptor. */
void ns_disk_drop(const struct ns_host *h, int *disk);

/* N of STATE/disks/N; 0 is a good number. */
uint32_t ns_disk_number(int disk);
/* Opens its image for reading. A descriptor or a negative errno. */
int ns_disk_image(const struct ns_host *h, int disk);
/* A descriptor of its root for ioctl(2), which a mount's own does not take. */
int ns_disk_root(int disk);

/* Empties a used disk for the next tenant. 0; -EFBIG when that is more work than a new one;
 * another negative errno when it cannot be trusted. Then close it. */
int ns_disk_wipe(const struct ns_host *h, int disk);
/* Gives the space of deleted files back to the host, when there is much of it. */
void ns_disk_trim(int root, int image);

/* Bytes used and in all. */
int ns_disk_usage(int disk, uint64_t *used, uint64_t *total);
