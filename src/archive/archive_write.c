#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/cleanup.h"

void archive_writer_init(struct archive_writer *w, int root, const struct archive_owner *owner,
                         mode_t umask)
{
    *w = (struct archive_writer){ .root = root, .fd = -1, .umask = umask };
    tar_reader_init(&w->tar);
    w->has_owner = owner;
    if (owner)
        w->owner = *owner;
}

void archive_writer_deinit(struct archive_writer *w)
{
    tar_reader_deinit(&w->tar);
    fd_closep(&w->root);
    fd_closep(&w->fd);
}

bool archive_writer_is_done(const struct archive_writer *w) { return tar_reader_is_done(&w->tar); }

static int open_below(int dir, const char *path, uint64_t flags)
{
    struct open_how how = { .flags = flags | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* Copies a name of the archive without leading and doubled slashes and dots. False: it has "..",
 * or is too long. */
static bool clean_name(struct str in, char out[LIMIT_PATH_SIZE])
{
    size_t n = 0;
    struct str part;
    while (in.n) {
        (void)str_cut(in, '/', &part, &in);
        if (part.n == 0 || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR("..")) || n + part.n + 2 > LIMIT_PATH_SIZE)
            return false;
        if (n)
            out[n++] = '/';
        memcpy(out + n, part.p, part.n);
        n += part.n;
    }
    out[n] = 0;
    return true;
}

static bool give(const struct archive_writer *w, int parent, const char *name)
{
    return !w->has_owner ||
           fchownat(parent, name, w->owner.uid, w->owner.gid, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Opens the directory `path` below the root, making what is missing. A negative errno on failure.
 */
static int open_dir(struct archive_writer *w, char *path)
{
    CLEANUP(fd_closep) int dir = open_below(w->root, path[0] ? path : ".", O_PATH | O_DIRECTORY);
    if (dir >= 0)
        return TAKE_FD(dir);
    if (errno != ENOENT)
        return -errno;
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (slash)
        *slash = 0;
    CLEANUP(fd_closep) int parent = open_dir(w, slash ? path : (char[]){ 0 });
    if (slash)
        *slash = '/';
    if (parent < 0)
        return parent;
    if (mkdirat(parent, name, 0755) < 0) {
        if (errno != EEXIST)
            return -errno;
    } else if (!give(w, parent, name)) {
        return -errno;
    }
    dir = open_below(parent, name, O_PATH | O_DIRECTORY);
    return dir < 0 ? -errno : TAKE_FD(dir);
}

/* The directory a cleaned name is in, and its last part. */
static int open_parent(struct archive_writer *w, char *path, const char **name)
{
    char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        return open_dir(w, (char[]){ 0 });
    *slash = 0;
    int r = open_dir(w, path);
    *slash = '/';
    return r;
}

static int make_directory(struct archive_writer *w, char *path, const struct tar_entry *e)
{
    CLEANUP(fd_closep) int dir = open_dir(w, path);
    if (dir < 0)
        return dir;
    /* a caller that is not root has to be able to fill it */
    uint32_t mode = w->has_owner ? e->mode : (e->mode & ~w->umask) | 0700;
    return path[0] && fchmodat(dir, ".", mode & 01777, 0) < 0 ? -errno : 0;
}

static int make_link(struct archive_writer *w, int parent, const char *name,
                     const struct tar_entry *e)
{
    char target[LIMIT_PATH_SIZE];
    const char *target_name;
    if (e->type == TAR_SYMLINK) {
        if (!str_copy(e->link, target, sizeof target))
            return -ENAMETOOLONG;
        return symlinkat(target, parent, name) < 0 || !give(w, parent, name) ? -errno : 0;
    }
    if (!clean_name(e->link, target))
        return -EXDEV;
    CLEANUP(fd_closep) int from = open_parent(w, target, &target_name);
    if (from < 0)
        return from;
    return linkat(from, target_name, parent, name, 0) < 0 ? -errno : 0;
}

static int make_file(struct archive_writer *w, int parent, const char *name,
                     const struct tar_entry *e)
{
    w->fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->fd < 0)
        return -errno;
    w->modified_s = e->modified_s;
    if (w->has_owner && fchown(w->fd, w->owner.uid, w->owner.gid) < 0)
        return -errno;
    return fchmod(w->fd, e->mode & 0777 & ~w->umask) < 0 ? -errno : 0;
}

static int entry_begin(struct archive_writer *w)
{
    const struct tar_entry *e = &w->tar.entry;
    char path[LIMIT_PATH_SIZE];
    const char *name;
    if (++w->count > LIMIT_ARCHIVE_ENTRIES)
        return ARCHIVE_TOO_MANY;
    if (!clean_name(e->path, path))
        return ARCHIVE_OUTSIDE;
    if (e->type == TAR_OTHER || (!path[0] && e->type != TAR_DIRECTORY))
        return 0;
    if (e->type == TAR_DIRECTORY)
        return make_directory(w, path, e);
    CLEANUP(fd_closep) int parent = open_parent(w, path, &name);
    if (parent < 0)
        return parent;
    /* what is there is replaced, never written through: it may be a link to anywhere */
    if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
        return -errno;
    return e->type == TAR_FILE ? make_file(w, parent, name, e) : make_link(w, parent, name, e);
}

static int entry_data(struct archive_writer *w)
{
    struct str s = w->tar.data;
    w->bytes += s.n;
    while (w->fd >= 0 && s.n) {
        ssize_t n = write(w->fd, s.p, s.n);
        if (n < 0 && errno != EINTR)
            return -errno;
        s = str_skip(s, n > 0 ? (size_t)n : 0);
    }
    return 0;
}

static void entry_end(struct archive_writer *w)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = w->modified_s } };
    if (w->fd >= 0)
        (void)futimens(w->fd, times);
    fd_closep(&w->fd);
}

int archive_writer_take(struct archive_writer *w, struct str piece)
{
    for (int r = 0;;) {
        switch (tar_reader_step(&w->tar, &piece)) {
        case TAR_MORE:
        case TAR_DONE:
            return 0;
        case TAR_ENTRY:
            r = entry_begin(w);
            break;
        case TAR_DATA:
            r = entry_data(w);
            break;
        case TAR_ENTRY_END:
            entry_end(w);
            break;
        case TAR_BAD:
            return ARCHIVE_MALFORMED;
        }
        if (r)
            return r == -EXDEV ? ARCHIVE_OUTSIDE : r;
    }
}
