/* A directory as a tar stream, both ways, on the side that has the files: the agent in a sandbox
 * (docs/archive.md), the command line outside. Neither calls back; both hold little whatever the
 * size.
 *
 * The stream that is written to disk is hostile, whoever reads it: a name with ".." is refused, and
 * the kernel looks every directory up below the root (openat2, RESOLVE_BENEATH), so that no link,
 * of the archive or there before, leads outside. setuid and setgid are dropped; devices, fifos and
 * sockets are left out. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "gen/limits.h"
#include "wire/tar.h"

/* ---- names ---- */

/* The names in a directory in byte order, without . and .. ; terminated, in the arena. 0 or a
 * negative errno; -E2BIG when there are more than `max`. */
int archive_names(struct arena *a, const char *path, uint32_t max, struct str **out,
                  uint32_t *count);

/* ---- tree to stream ---- */

#define ARCHIVE_CHUNK 65536

struct archive_level;
struct archive_reader {
    struct arena mem;            /* the path it began with */
    struct archive_level *level; /* the directory it is in; NULL: the end */
    int fd;                      /* the file being read, or -1 */
    int64_t left, size;          /* of it */
    uint64_t bytes;              /* of files so far */
    uint64_t left_out;           /* entries that could not be read, but for those that vanished */
    char first_left_out[256];    /* the first of them */
    int error;                   /* of reading the file `name`: the stream ends within it; or 0 */
    char name[256];              /* of the file being read */
    bool has_ended;
    char chunk[ARCHIVE_CHUNK];
};

/* What is in the directory `path` (terminated), by names relative to it. 0 or a negative errno;
 * deinit is due whatever it returned. */
int archive_reader_init(struct archive_reader *r, struct str path);
/* One file, link, or directory with all below it as the entry `as`, whose beginning goes to `out`.
 * -ENOTSUP: it is a device or its like. */
int archive_reader_init_one(struct archive_reader *r, struct str path, struct str as,
                            struct buf *out);
void archive_reader_deinit(struct archive_reader *r);
/* Appends to `out` until it has ARCHIVE_CHUNK bytes or more. True: there is more to come. Files
 * that vanish are left out. One that has shrunk, or cannot be read to its end, cannot be mended,
 * for its size is in the stream already: r->error is negative then, -ESTALE when it has shrunk, and
 * the reader of the stream must see that it is broken off. */
bool archive_reader_step(struct archive_reader *r, struct buf *out);

/* ---- stream to tree ---- */

enum archive_outcome {
    ARCHIVE_DONE,
    ARCHIVE_MALFORMED, /* no tar */
    ARCHIVE_OUTSIDE,   /* a name or a link leads outside */
    ARCHIVE_TOO_MANY,  /* entries: LIMIT_ARCHIVE_ENTRIES */
};
struct archive_owner {
    uid_t uid;
    gid_t gid;
};
struct archive_writer {
    struct tar_reader tar; /* tar.entry.path: where it failed */
    struct archive_owner owner;
    bool has_owner;
    int root, fd; /* the directory; the file being written, or -1 */
    uint32_t umask;
    int64_t modified_s;
    uint64_t count, bytes;
};

/* Takes the descriptor `root` (O_PATH will do). `owner`: of what is made; NULL: the caller. */
void archive_writer_init(struct archive_writer *w, int root, const struct archive_owner *owner,
                         mode_t umask);
void archive_writer_deinit(struct archive_writer *w);
/* Makes what the piece says. An outcome, or a negative errno of the file system; then no more. */
int archive_writer_take(struct archive_writer *w, struct str piece);
bool archive_writer_is_done(const struct archive_writer *w); /* the end marker was seen */
