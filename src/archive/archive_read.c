#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/cleanup.h"

struct archive_level { /* a directory on the way down */
    struct archive_level *up;
    struct arena mem;
    struct str path, rel, *names; /* path and rel live in the level above */
    uint32_t count, at;
};

static void level_drop(struct archive_reader *r)
{
    struct archive_level *l = r->level;
    r->level = l->up;
    arena_deinit(&l->mem);
    free(l);
}

static int level_push(struct archive_reader *r, struct str path, struct str rel)
{
    struct archive_level *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    *l = (struct archive_level){ .up = r->level, .path = path, .rel = rel };
    arena_init(&l->mem, 0);
    r->level = l;
    return archive_names(&l->mem, path.p, LIMIT_LIST_ENTRIES, &l->names, &l->count);
}

static struct str join(struct arena *a, struct str dir, struct str name)
{
    bool has_slash = dir.n && dir.p[dir.n - 1] == '/';
    const char *p =
        arena_printf(a, STR_FMT "%s" STR_FMT, STR_ARG(dir), has_slash ? "" : "/", STR_ARG(name));
    return str_of(p);
}

/* The header of what `path` is; opens what has contents, goes into directories. 0 or a negative
 * errno; -ENOTSUP: nothing to carry away. */
static int begin_entry(struct archive_reader *r, struct arena *a, struct str path, struct str rel,
                       struct buf *out)
{
    struct stat st;
    char target[LIMIT_PATH_SIZE];
    if (!path.p || !rel.p)
        return -ENOMEM;
    if (lstat(path.p, &st) < 0)
        return -errno;
    struct tar_entry e = { .path = rel,
                           .mode = st.st_mode & 07777,
                           .modified_s = st.st_mtim.tv_sec };
    CLEANUP(fd_closep) int fd = -1;
    if (S_ISREG(st.st_mode)) {
        fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
            return -errno;
        e.type = TAR_FILE;
        e.size = st.st_size;
    } else if (S_ISDIR(st.st_mode)) {
        e.type = TAR_DIRECTORY;
        e.path = join(a, rel, STR(""));
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(path.p, target, sizeof target);
        if (n < 0)
            return -errno;
        e.type = TAR_SYMLINK;
        e.link = str_make(target, (size_t)n);
    } else {
        return -ENOTSUP; /* devices, fifos and sockets are not files to carry away */
    }
    if (!e.path.p)
        return -ENOMEM;
    tar_put_entry(out, &e);
    r->left = r->size = e.size;
    (void)snprintf(r->name, sizeof r->name, STR_FMT, STR_ARG(rel));
    r->fd = TAKE_FD(fd);
    return e.type == TAR_DIRECTORY ? level_push(r, path, rel) : 0;
}

/* One that vanishes meanwhile, or is nothing to carry away, is left out as if it were not there. */
static void next_entry(struct archive_reader *r, struct archive_level *l, struct str name,
                       struct buf *out)
{
    struct str rel = l->rel.n ? join(&l->mem, l->rel, name) : name;
    int rc = begin_entry(r, &l->mem, join(&l->mem, l->path, name), rel, out);
    if (rc < 0 && rc != -ENOENT && rc != -ENOTSUP && r->left_out++ == 0)
        (void)snprintf(r->first_left_out, sizeof r->first_left_out, STR_FMT, STR_ARG(rel));
}

/* A piece of the open file. What it has grown by is left out; less than the header has promised
 * breaks the stream off. */
static void put_piece(struct archive_reader *r, struct buf *out)
{
    size_t want = r->left < ARCHIVE_CHUNK ? (size_t)r->left : ARCHIVE_CHUNK;
    ssize_t n = want ? TEMP_FAILURE_RETRY(read(r->fd, r->chunk, want)) : 0;
    if (want && n <= 0) {
        r->error = n < 0 ? -errno : -ESTALE;
        return;
    }
    (void)buf_append(out, str_make(r->chunk, (size_t)n));
    r->bytes += (uint64_t)n;
    r->left -= n;
    if (r->left == 0) {
        tar_put_padding(out, r->size);
        fd_closep(&r->fd);
    }
}

static void init(struct archive_reader *r)
{
    r->level = NULL;
    r->fd = -1;
    r->left = r->size = 0;
    r->bytes = r->left_out = 0;
    r->first_left_out[0] = r->name[0] = 0;
    r->error = 0;
    r->has_ended = false;
    arena_init(&r->mem, 0);
}

int archive_reader_init(struct archive_reader *r, struct str path)
{
    init(r);
    path.p = arena_str(&r->mem, path);
    return path.p ? level_push(r, path, STR("")) : -ENOMEM;
}

int archive_reader_init_one(struct archive_reader *r, struct str path, struct str as,
                            struct buf *out)
{
    init(r);
    path.p = arena_str(&r->mem, path);
    as.p = arena_str(&r->mem, as);
    return begin_entry(r, &r->mem, path, as, out);
}

void archive_reader_deinit(struct archive_reader *r)
{
    while (r->level)
        level_drop(r);
    fd_closep(&r->fd);
    arena_deinit(&r->mem);
}

bool archive_reader_step(struct archive_reader *r, struct buf *out)
{
    while (!r->has_ended && !r->error && !out->failed && buf_used(out) < ARCHIVE_CHUNK) {
        struct archive_level *l = r->level;
        if (r->fd >= 0) {
            put_piece(r, out);
        } else if (l && l->at < l->count) {
            next_entry(r, l, l->names[l->at++], out);
        } else if (l) {
            level_drop(r);
        } else {
            tar_put_end(out);
            r->has_ended = true;
        }
    }
    return !r->has_ended && !r->error;
}
