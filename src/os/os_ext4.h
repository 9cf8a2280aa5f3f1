/* What is known of an ext4 file system from its image: the superblock (kernel:
 * Documentation/filesystems/ext4/super.rst). */
#pragma once

#include <stdbool.h>

/* Options for mkfs.ext4 -O: checksums start from a stored seed instead of the id, which can then be
 * changed. */
#define EXT4_FEATURES "metadata_csum_seed"

/* Gives an image that is mounted nowhere an id of its own: an overlay of two file systems with the
 * same id cannot tell their inodes apart. 0; -EBADMSG when it is no such image; or another negative
 * errno. */
int ext4_image_renew(int image);

/* True when the image was unmounted before it was last left. */
bool ext4_image_is_clean(int image);
