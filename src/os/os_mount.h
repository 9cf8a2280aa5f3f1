/* Mounts as descriptors: made detached, given to whoever attaches them, gone with the last holder
 * (fsopen(2), open_tree(2), mount_setattr(2)). All functions return a descriptor of a detached
 * mount, which the caller owns, or a negative errno. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gen/limits.h"

#define MOUNT_LOWERS (LIMIT_LAYERS + 2) /* besides layers: what the host adds, and the template */

/* A new file system of `type` with `options` ("key", "value" pairs, NULL value = flag, ended by
 * NULL) and OS_MOUNT_ATTR_* `attrs`. Its user namespace is the caller's, for sysfs its network
 * namespace too. */
int mount_new(const char *type, const char *const *options, unsigned attrs);

/* A private copy of the mount at `path` under `dir`, shown with ids mapped by `userns` (-1: as
 * they are). */
int mount_clone(int dir, const char *path, int userns);

struct overlay_spec {
    int lowers[MOUNT_LOWERS]; /* detached mounts or directories, topmost first */
    int lower_count;
    int disk;           /* detached mount that holds the directories `up` and `work` */
    uint32_t owner;     /* the id that is 0 in the disk's mapping: it makes the work directory */
    const char *attach; /* kernels before 6.13: an empty directory to attach the parts below while
                           mounting; NULL: parts are given as descriptors */
};

/* An overlay of the parts. They may be closed afterwards: the overlay holds what it needs. */
int mount_overlay(const struct overlay_spec *spec);

/* True when this kernel takes overlay parts as descriptors (6.13 and newer). */
bool mount_overlay_takes_fds(void);
