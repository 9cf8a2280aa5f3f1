#include "unpack/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "unpack/unpack_seen.h"
#include "unpack/unpack_stream.h"
#include "wire/tar.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
enum { ENTRIES_MOST = 5000000, NAME_SIZE = 4096, DEPTH_MOST = 200 };

struct unpack {
    int root;
    struct unpack_seen seen;
    int file;      /* being written; -1: none */
    uint32_t mode; /* it gets at its end: to write to a file takes setuid away */
    uint64_t entries;
    char *why;
};

/* The directory `path` below root, as the kernel finds it without ever leaving root. */
static int open_dir(const struct unpack *u, const char *path)
{
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, u->root, *path ? path : ".", &how, sizeof how);
    return fd < 0 ? -errno : fd;
}

/* `path` without leading and doubled slashes and "." parts, in `out`. False: it has "..", or is too
 * long. */
static bool clean(struct str path, char out[NAME_SIZE])
{
    struct str part;
    size_t at = 0;
    out[0] = '\0';
    while (path.n) {
        (void)str_cut(path, '/', &part, &path);
        if (!part.n || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR("..")) || at + part.n + 2 > NAME_SIZE)
            return false;
        at +=
            (size_t)snprintf(out + at, NAME_SIZE - at, "%s" STR_FMT, at ? "/" : "", STR_ARG(part));
    }
    return true;
}

/* Makes what is missing of `path`, and opens it. Step by step: a layer may name thousands. */
static int make_dirs(const struct unpack *u, char *path)
{
    CLEANUP(fd_closep) int dir = open_dir(u, "");
    for (char *at = path; dir >= 0 && *at;) {
        char *end = strchrnul(at, '/'), mark = *end;
        *end = '\0';
        if (mkdirat(dir, at, 0755) < 0 && errno != EEXIST)
            return -errno;
        fd_closep(&dir);
        dir = open_dir(u, path);
        *end = mark;
        at = end + (mark != '\0');
    }
    return TAKE_FD(dir);
}

/* Opens the directory of `path` (cut there), making what is missing; *name is the last part. */
static int open_parent(const struct unpack *u, char *path, const char **name)
{
    char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        return open_dir(u, "");
    *slash = '\0';
    int fd = open_dir(u, path);
    return fd == -ENOENT ? make_dirs(u, path) : fd;
}

/* Removes `name` in `dir` and all below; never follows a link. */
static int remove_all(int dir, const char *name, int depth)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int fd = depth < DEPTH_MOST ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                                : -1;
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    int r = d ? 0 : -ELOOP;
    for (struct dirent *e; r == 0 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = remove_all(dirfd(d), e->d_name, depth + 1);
    return r == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : r;
}

static int remove_older(const struct unpack *u, int dir, const char *name, char path[NAME_SIZE],
                        int depth);

/* What is in the directory `name` of `dir`, which is `path`, as far as it is not of this layer. */
static int empty_of_older(const struct unpack *u, int dir, const char *name, char path[NAME_SIZE],
                          int depth)
{
    if (depth >= DEPTH_MOST)
        return -ELOOP;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) /* no directory, or a link: there is nothing in it */
        return errno == ENOTDIR || errno == ENOENT || errno == ELOOP ? 0 : -errno;
    int r = 0;
    size_t end = strlen(path);
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int n = snprintf(path + end, NAME_SIZE - end, "%s%s", end ? "/" : "", e->d_name);
        r = (size_t)n < NAME_SIZE - end ? remove_older(u, dirfd(d), e->d_name, path, depth + 1)
                                        : -ENAMETOOLONG;
        path[end] = '\0';
    }
    return r;
}

static int remove_older(const struct unpack *u, int dir, const char *name, char path[NAME_SIZE],
                        int depth)
{
    return unpack_seen_has(&u->seen, str_of(path)) ? empty_of_older(u, dir, name, path, depth)
                                                   : remove_all(dir, name, depth);
}

/* A whiteout: what it names was there before, and is gone. */
static int remove_entry(const struct unpack *u, char path[NAME_SIZE])
{
    const char *name;
    char *slash = strrchr(path, '/'), copy[NAME_SIZE], gone[NAME_SIZE];
    size_t at = slash ? (size_t)(slash - path) + 1 : 0;
    (void)snprintf(copy, sizeof copy, "%s", path);
    CLEANUP(fd_closep) int dir = open_parent(u, copy, &name);
    if (dir < 0)
        return dir == -ENOTDIR ? 0 : dir;
    if (strcmp(path + at, OPAQUE) == 0) {
        path[slash ? at - 1 : 0] = '\0';
        return empty_of_older(u, dir, ".", path, 0);
    }
    name = path + at + strlen(WHITEOUT);
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EBADMSG;
    (void)snprintf(gone, sizeof gone, "%.*s%s", (int)at, path, name);
    return remove_older(u, dir, name, gone, 0);
}

static int set_owner(int dir, const char *name, const struct tar_entry *e)
{
    return fchownat(dir, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int make_directory(int dir, const char *name, const struct tar_entry *e)
{
    struct stat st;
    bool is_there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_there && !S_ISDIR(st.st_mode) && unlinkat(dir, name, 0) < 0)
        return -errno;
    if ((!is_there || !S_ISDIR(st.st_mode)) && mkdirat(dir, name, 0700) < 0)
        return -errno;
    int r = set_owner(dir, name, e);
    return r == 0 && fchmodat(dir, name, e->mode, 0) < 0 ? -errno : r;
}

static int make_file(struct unpack *u, int dir, const char *name, const struct tar_entry *e)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    u->file = fd;
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = e->modified_s } };
    u->mode = e->mode;
    (void)futimens(fd, times); /* a later write moves it, which nobody minds */
    return fchown(fd, e->uid, e->gid) < 0 ? -errno : 0;
}

/* A link to itself is what some writers make of a file that was named twice. */
static bool is_same(const char *path, struct str link)
{
    char other[NAME_SIZE];
    return clean(link, other) && strcmp(path, other) == 0;
}

static int make_hardlink(const struct unpack *u, int dir, const char *name, struct str link)
{
    char path[NAME_SIZE];
    const char *last;
    if (!clean(link, path) || !path[0])
        return -EBADMSG;
    CLEANUP(fd_closep) int from = open_parent(u, path, &last);
    if (from < 0)
        return from;
    return linkat(from, last, dir, name, 0) < 0 ? -errno : 0;
}

static int make_symlink(int dir, const char *name, const struct tar_entry *e)
{
    char target[NAME_SIZE];
    if (!str_copy(e->link, target, sizeof target) || symlinkat(target, dir, name) < 0)
        return e->link.n < NAME_SIZE ? -errno : -ENAMETOOLONG;
    return set_owner(dir, name, e);
}

static int add_other(struct unpack *u, int dir, const char *name, const struct tar_entry *e)
{
    if (e->type == TAR_SYMLINK)
        return make_symlink(dir, name, e);
    if (e->type == TAR_HARDLINK)
        return make_hardlink(u, dir, name, e->link);
    return make_file(u, dir, name, e);
}

static int add_entry(struct unpack *u, char *path, const struct tar_entry *e)
{
    const char *name;
    if (e->type == TAR_HARDLINK && is_same(path, e->link))
        return 0;
    if (!unpack_seen_add(&u->seen, str_of(path)))
        return -ENOMEM;
    CLEANUP(fd_closep) int dir = open_parent(u, path, &name);
    if (dir < 0)
        return dir;
    if (e->type == TAR_DIRECTORY)
        return make_directory(dir, name, e);
    if (e->type == TAR_OTHER) /* devices and the like: what a sandbox needs, it has */
        return 0;
    int r = add_other(u, dir, name, e);
    if (r == -EEXIST && (r = remove_all(dir, name, 0)) == 0)
        r = add_other(u, dir, name, e);
    return r;
}

static bool is_whiteout(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strncmp(slash ? slash + 1 : path, WHITEOUT, strlen(WHITEOUT)) == 0;
}

/* What the engine mounts, or the host gives to every sandbox: an image has empty files there. */
static bool is_of_host(const char *path)
{
    static const char *const dirs[] = { "dev", "proc", "sys" };
    static const char *const files[] = { "etc/hostname", "etc/hosts", "etc/resolv.conf" };
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        size_t n = strlen(dirs[i]);
        if (strncmp(path, dirs[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))
            return true;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(path, files[i]) == 0)
            return true;
    return false;
}

static int take_entry(struct unpack *u, const struct tar_entry *e)
{
    char path[NAME_SIZE], shown[128];
    (void)snprintf(shown, sizeof shown, STR_FMT, STR_ARG(e->path));
    if (++u->entries > ENTRIES_MOST) {
        (void)snprintf(u->why, UNPACK_WHY_SIZE, "it has more than %d entries", ENTRIES_MOST);
        return -E2BIG;
    }
    if (!clean(e->path, path)) {
        (void)snprintf(u->why, UNPACK_WHY_SIZE, "'%s' leads out of the image", shown);
        return -EBADMSG;
    }
    if (!path[0] || is_of_host(path))
        return 0;
    int r = is_whiteout(path) ? remove_entry(u, path) : add_entry(u, path, e);
    if (r < 0 && !u->why[0])
        (void)snprintf(u->why, UNPACK_WHY_SIZE, "'%s': %s", shown, strerror(-r));
    return r;
}

static int write_all(int fd, struct str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        s = str_skip(s, (size_t)n);
    }
    return 0;
}

static int end_file(struct unpack *u)
{
    int r = u->file >= 0 && fchmod(u->file, u->mode) < 0 ? -errno : 0;
    fd_closep(&u->file);
    return r;
}

static int take(struct unpack *u, struct tar_reader *t, struct str in)
{
    int r = 0;
    while (r == 0) {
        enum tar_event e = tar_reader_step(t, &in);
        if (e == TAR_MORE || e == TAR_DONE)
            break;
        if (e == TAR_ENTRY)
            r = take_entry(u, &t->entry);
        else if (e == TAR_DATA && u->file >= 0)
            r = write_all(u->file, t->data);
        else if (e == TAR_ENTRY_END)
            r = end_file(u);
        else if (e == TAR_BAD)
            r = -EBADMSG;
    }
    return r;
}

static int unpack_all(struct unpack *u, struct unpack_stream *s)
{
    char piece[65536];
    struct tar_reader t;
    int r = 0;
    tar_reader_init(&t);
    while (r == 0) {
        ssize_t n = unpack_stream_read(s, piece, sizeof piece);
        r = n < 0 ? (int)n : take(u, &t, str_make(piece, (size_t)(n > 0 ? n : 0)));
        if (n <= 0)
            break;
    }
    if (r == 0 && !tar_reader_is_done(&t)) /* some writers leave the end marker out */
        r = u->file >= 0 ? -EBADMSG : 0;
    fd_closep(&u->file);
    tar_reader_deinit(&t);
    return r;
}

int unpack_layer(int root, int fd, char why[UNPACK_WHY_SIZE])
{
    struct unpack u = { .root = root, .file = -1, .why = why };
    struct unpack_stream *s = unpack_stream_open(fd);
    why[0] = '\0';
    unpack_seen_init(&u.seen);
    int r = s ? unpack_all(&u, s) : -EIO;
    unpack_seen_deinit(&u.seen);
    unpack_stream_close(s);
    if (r < 0 && !why[0])
        (void)snprintf(why, UNPACK_WHY_SIZE, "%s",
                       r == -EBADMSG ? "it is damaged or cut off" : strerror(-r));
    return r;
}
