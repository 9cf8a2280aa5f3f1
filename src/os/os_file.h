/* Small files and trees. Paths are relative to a directory descriptor (AT_FDCWD: the current one);
 * the last component is never followed when it is a link. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

/* Writes `text` to an existing file in one write(2), as files of /proc and cgroups want it.
 * 0 or a negative errno. */
int file_put(int dir, const char *path, struct str text);
__attribute__((format(printf, 3, 4))) int file_putf(int dir, const char *path, const char *fmt,
                                                    ...);

/* Creates or replaces a file of `mode` with `text`. 0 or a negative errno. */
int file_save(int dir, const char *path, mode_t mode, struct str text);

/* Reads at most size - 1 bytes and ends them with a NUL. The length or a negative errno. */
ssize_t file_get(int dir, const char *path, char *out, size_t size);
/* Reads one unsigned decimal number ("max" reads as UINT64_MAX). 0 or a negative errno. */
int file_get_u64(int dir, const char *path, uint64_t *out);
/* The number behind `key` and a space in a file of "key number" lines. -ENOENT: no such key. */
int file_get_key(int dir, const char *path, const char *key, uint64_t *out);

/* mkdir(2) where an existing directory is fine. */
int file_mkdir(int dir, const char *path, mode_t mode);
/* The same for every missing component of an absolute path. */
int file_mkdirs(const char *path, mode_t mode);

/* Removes `name` and all below it without crossing into another file system. 0 when it is gone
 * (or never was), or the first negative errno; it goes on past errors. */
int file_remove_tree(int dir, const char *name);

/* Copies the data of `from` to the empty file `to`, keeping holes, and its length: shared where the
 * file system can share. *copied (or NULL) gets the bytes of data. `is_over` (or NULL) is asked
 * every few MiB. 0 or a negative errno; -ECANCELED when it is over. */
int file_copy_sparse(int from, int to, bool (*is_over)(void), uint64_t *copied);
