/* Loop block devices: a file as a disk. */
#pragma once

/* Attaches `file` to a free loop device that lets go of it by itself once nothing uses the device
 * any more (autoclear). Returns a descriptor of the device, to be kept until it is mounted, and
 * its number in *number; or a negative errno. */
int loopdev_attach(int file, int *number);
