/* Loop block devices: a file as a disk. */
#pragma once

#include <stdbool.h>

enum { LOOPDEV_BUFFERED, LOOPDEV_DIRECT }; /* through the page cache of the file, or past it */

/* Attaches `file` to a free loop device that lets go of it by itself once nothing uses the device
 * any more (autoclear). Read-only when `file` is open for reading. Returns a descriptor of the
 * device, to be kept until it is mounted, and its number in *number; or a negative errno. */
int loopdev_attach(int file, int how, int *number);

/* True when device `number` is attached to the very file that `file` is open on. */
bool loopdev_is_of(int number, int file);
