/* PUT /archive?path=&username=: a tar stream, gzip or not, becomes a tree below the path.
 *
 * The archive is hostile: a name with ".." is refused, and every directory on the way is looked up
 * with RESOLVE_BENEATH, so that no link, of the archive or there before, leads outside. Contents
 * belong to the user; setuid and setgid are dropped; devices and fifos are left out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/files.h"
#include "agent/gunzip.h"
#include "agent/path.h"
#include "agent/tree.h"
#include "agent/watch.h"
#include "base/cleanup.h"
#include "gen/limits.h"
#include "wire/tar.h"

struct archive {
    struct agent *agent;
    struct http_call *http;
    struct arena mem;
    struct files_query query;
    struct gunzip *gunzip;
    struct tar_reader tar;
    int root, fd; /* the directory; the file being written, or -1 */
    int64_t modified_s;
    uint64_t count;
    bool answered;
};

static void archive_free(struct archive *a)
{
    gunzip_free(a->gunzip);
    tar_reader_deinit(&a->tar);
    fd_closep(&a->root);
    fd_closep(&a->fd);
    arena_deinit(&a->mem);
    free(a);
}

static bool fail(struct archive *a, int err, const char *what, struct str path)
{
    a->answered = true;
    if (err == EXDEV)
        rest_fail(a->http, 400, "%s '" STR_FMT "': a link leads outside", what, STR_ARG(path));
    else
        files_fail_errno(a->http, err, what, path);
    return false;
}

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

/* Opens the directory `path` below the root, making what is missing. A negative errno on failure.
 */
static int open_dir(struct archive *a, char *path)
{
    CLEANUP(fd_closep) int dir = open_below(a->root, path[0] ? path : ".", O_PATH | O_DIRECTORY);
    if (dir >= 0)
        return TAKE_FD(dir);
    if (errno != ENOENT)
        return -errno;
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (slash)
        *slash = 0;
    CLEANUP(fd_closep) int parent = open_dir(a, slash ? path : (char[]){ 0 });
    if (slash)
        *slash = '/';
    if (parent < 0)
        return parent;
    if (mkdirat(parent, name, 0755) < 0) {
        if (errno != EEXIST)
            return -errno;
    } else if (fchownat(parent, name, a->query.user.uid, a->query.user.gid, AT_SYMLINK_NOFOLLOW) <
               0) {
        return -errno;
    }
    dir = open_below(parent, name, O_PATH | O_DIRECTORY);
    return dir < 0 ? -errno : TAKE_FD(dir);
}

/* The directory a cleaned name is in, and its last part. */
static int open_parent(struct archive *a, char *path, const char **name)
{
    char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        return open_dir(a, (char[]){ 0 });
    *slash = 0;
    int r = open_dir(a, path);
    *slash = '/';
    return r;
}

static int make_directory(struct archive *a, char *path, const struct tar_entry *e)
{
    CLEANUP(fd_closep) int dir = open_dir(a, path);
    if (dir < 0)
        return dir;
    return path[0] && fchmodat(dir, ".", e->mode & 01777, 0) < 0 ? -errno : 0;
}

static int make_link(struct archive *a, int parent, const char *name, const struct tar_entry *e)
{
    char target[LIMIT_PATH_SIZE];
    const char *target_name;
    if (e->type == TAR_SYMLINK) {
        if (!str_copy(e->link, target, sizeof target) || symlinkat(target, parent, name) < 0)
            return errno ? -errno : -ENAMETOOLONG;
        return fchownat(parent, name, a->query.user.uid, a->query.user.gid, AT_SYMLINK_NOFOLLOW) < 0
                   ? -errno
                   : 0;
    }
    if (!clean_name(e->link, target))
        return -EXDEV;
    CLEANUP(fd_closep) int from = open_parent(a, target, &target_name);
    if (from < 0)
        return from;
    return linkat(from, target_name, parent, name, 0) < 0 ? -errno : 0;
}

static int make_file(struct archive *a, int parent, const char *name, const struct tar_entry *e)
{
    a->fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (a->fd < 0)
        return -errno;
    a->modified_s = e->modified_s;
    if (fchown(a->fd, a->query.user.uid, a->query.user.gid) < 0)
        return -errno;
    return fchmod(a->fd, e->mode & 0777) < 0 ? -errno : 0;
}

static bool entry_begin(struct archive *a)
{
    const struct tar_entry *e = &a->tar.entry;
    char path[LIMIT_PATH_SIZE];
    const char *name;
    if (++a->count > LIMIT_ARCHIVE_ENTRIES)
        return fail(a, EFBIG, "too many entries at", e->path);
    if (!clean_name(e->path, path))
        return fail(a, EXDEV, "error unpacking", e->path);
    if (e->type == TAR_OTHER || (!path[0] && e->type != TAR_DIRECTORY))
        return true;
    int r = 0;
    if (e->type == TAR_DIRECTORY) {
        r = make_directory(a, path, e);
    } else {
        CLEANUP(fd_closep) int parent = open_parent(a, path, &name);
        r = parent < 0 ? parent : 0;
        errno = 0;
        /* what is there is replaced, never written through: it may be a link to anywhere */
        if (r == 0 && unlinkat(parent, name, 0) < 0 && errno != ENOENT)
            r = -errno;
        if (r == 0)
            r = e->type == TAR_FILE ? make_file(a, parent, name, e) : make_link(a, parent, name, e);
    }
    return r == 0 || fail(a, -r, "error unpacking", e->path);
}

static bool entry_data(struct archive *a)
{
    struct str s = a->tar.data;
    while (a->fd >= 0 && s.n) {
        ssize_t n = write(a->fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(a, errno, "error unpacking", a->tar.entry.path);
        s = str_skip(s, (size_t)n);
    }
    return true;
}

static void entry_end(struct archive *a)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = a->modified_s } };
    if (a->fd >= 0)
        (void)futimens(a->fd, times);
    fd_closep(&a->fd);
}

static bool take(void *data, struct str piece)
{
    struct archive *a = data;
    for (;;) {
        bool ok = true;
        switch (tar_reader_step(&a->tar, &piece)) {
        case TAR_MORE:
        case TAR_DONE:
            return true;
        case TAR_ENTRY:
            ok = entry_begin(a);
            break;
        case TAR_DATA:
            ok = entry_data(a);
            break;
        case TAR_ENTRY_END:
            entry_end(a);
            break;
        case TAR_BAD:
            a->answered = true;
            rest_fail(a->http, 400, "malformed tar header");
            return false;
        }
        if (!ok)
            return false;
    }
}

static void on_body(struct http_call *c, struct str piece)
{
    struct archive *a = c->data;
    bool ok = a->gunzip ? gunzip_step(a->gunzip, piece, take, a) : take(a, piece);
    if (!ok && !a->answered) {
        a->answered = true;
        rest_fail(c, 400, "the body is not gzip");
    }
    if (a->answered)
        archive_free(a);
}

static void on_end(struct http_call *c)
{
    struct archive *a = c->data;
    if (!tar_reader_is_done(&a->tar))
        rest_fail(c, 400, "the tar stream ends before its end marker");
    else
        http_reply(c, 204, NULL, NULL, STR(""));
    archive_free(a);
}

static void on_gone(struct http_call *c) { archive_free(c->data); }

static bool begin(struct archive *a)
{
    struct str path, coding = str_trim(http_field(&a->http->head, "content-encoding"));
    if (!files_query(a->agent, a->http, "write", &a->mem, &a->query) ||
        !files_path(a->agent, a->http, &a->mem, &a->query.user, a->query.path, &path))
        return false;
    if (str_ieq(coding, STR("gzip"))) {
        a->gunzip = gunzip_new();
    } else if (coding.n && !str_ieq(coding, STR("identity"))) {
        rest_fail(a->http, 400, "unsupported content encoding: " STR_FMT, STR_ARG(coding));
        return false;
    }
    int r = tree_make(path, &a->query.user);
    a->root = r < 0 ? -1 : open(path.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (a->root < 0)
        return fail(a, r < 0 ? -r : errno, "error unpacking to", path);
    watch_pump_all(a->agent);
    return true;
}

void rest_archive_put(struct agent *agent, struct http_call *c)
{
    static const struct http_call_ops ops = { .on_body = on_body,
                                              .on_end = on_end,
                                              .on_gone = on_gone };
    struct archive *a = calloc(1, sizeof *a);
    if (!a) {
        rest_fail(c, 503, "out of memory");
        return;
    }
    a->agent = agent;
    a->http = c;
    a->root = a->fd = -1;
    arena_init(&a->mem, 0);
    tar_reader_init(&a->tar);
    if (begin(a)) {
        c->data = a;
        c->ops = &ops;
    } else {
        archive_free(a);
    }
}
