/* tar streams: POSIX ustar and pax (POSIX.1-2017 pax), and GNU's long names when reading. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define TAR_BLOCK 512
#define TAR_EXTRA_SIZE 65536 /* a pax header or a long name; nobody's is longer */

enum tar_type { TAR_FILE, TAR_DIRECTORY, TAR_SYMLINK, TAR_HARDLINK, TAR_OTHER };

struct tar_entry {
    struct str path, link; /* never with NUL; views, until the next step */
    enum tar_type type;
    uint32_t mode; /* permission bits, setuid and its like included */
    uint32_t uid, gid;
    int64_t size, modified_s;
    struct str capability; /* security.capability of a file, as the kernel has it; empty: none */
};

enum tar_event {
    TAR_MORE,  /* the input is used up */
    TAR_ENTRY, /* entry is set; its data follows when it has a size */
    TAR_DATA,  /* data is set */
    TAR_ENTRY_END,
    TAR_DONE, /* the end marker was read; what follows is ignored */
    TAR_BAD,
};

struct tar_reader {
    int state;
    char block[TAR_BLOCK];
    uint32_t filled; /* of block */
    int64_t left;    /* bytes of data still to come */
    uint32_t padding;
    char extra_type;                   /* of the header being collected: 'x', 'L', 'K' */
    struct buf extra;                  /* its bytes */
    struct buf path, link, capability; /* from extra headers, for the next entry */
    bool has_path, has_link, has_size, has_uid, has_gid, has_capability;
    uint32_t uid, gid;
    int64_t size;
    struct tar_entry entry;
    char name[257], target[101]; /* from the block */
    struct str data;
};

void tar_reader_init(struct tar_reader *r);
void tar_reader_deinit(struct tar_reader *r);
/* Goes on with *in, which is moved past what was taken, until something is to be told. */
enum tar_event tar_reader_step(struct tar_reader *r, struct str *in);
bool tar_reader_is_done(const struct tar_reader *r); /* the end marker was seen */

/* Appends the header blocks of an entry. Its data, padded by tar_put_padding, follows. */
void tar_put_entry(struct buf *b, const struct tar_entry *e);
void tar_put_padding(struct buf *b, int64_t size);
void tar_put_end(struct buf *b);
