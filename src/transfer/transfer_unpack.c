/* Entries of a foreign file to a directory of ours: as root, so nothing is taken on trust. A name
 * is looked up by the kernel beneath the directory and through no link; nothing is made twice, so
 * that no entry can change what another has made. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "gen/limits.h"
#include "transfer/transfer_internal.h"

void transfer_unpack_init(struct transfer_unpack *u, struct op *op, int root)
{
    *u = (struct transfer_unpack){ .op = op, .root = root, .file = -1, .parent_fd = -1 };
}

void transfer_unpack_deinit(struct transfer_unpack *u)
{
    fd_closep(&u->file);
    fd_closep(&u->parent_fd);
    freep(&u->parent);
}

static int refuse(struct transfer_unpack *u, const char *path, const char *why)
{
    return op_fail(u->op, FAULT_INVALID, EINVAL, "the file is not a template: '%.100s' %s", path,
                   why);
}

static int cannot(struct transfer_unpack *u, const char *path)
{
    if (errno == EEXIST)
        return refuse(u, path, "is there twice");
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV)
        return refuse(u, path, "is in no directory of it");
    return op_fail(u->op, FAULT_HOST, errno, "'%.100s' cannot be unpacked: %s", path,
                   strerror(errno));
}

/* Parts that are neither empty nor dots. */
static bool is_clean(struct str path)
{
    struct str part;
    while (path.n) {
        (void)str_cut(path, '/', &part, &path);
        if (!part.n || part.n > 255 || str_eq(part, STR(".")) || str_eq(part, STR("..")))
            return false;
    }
    return true;
}

/* The directory of `path` (changed), which is kept for the next one; and the last part. */
static int open_parent(struct transfer_unpack *u, char *path, const char **name)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    char *slash = strrchr(path, '/');
    const char *dir = slash ? path : "";
    *name = slash ? slash + 1 : path;
    if (slash)
        *slash = '\0';
    if (u->parent && strcmp(u->parent, dir) == 0)
        return 0;
    freep(&u->parent);
    fd_closep(&u->parent_fd);
    u->parent_fd = (int)syscall(SYS_openat2, u->root, *dir ? dir : ".", &how, sizeof how);
    if (u->parent_fd < 0)
        return -errno;
    u->parent = strdup(dir);
    return u->parent ? 0 : -ENOMEM;
}

static int begin_file(struct transfer_unpack *u, const char *name, const struct tar_entry *e)
{
    u->file =
        openat(u->parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    u->modified_s = e->modified_s;
    if (u->file < 0 || fchown(u->file, e->uid, e->gid) < 0 || fchmod(u->file, e->mode) < 0)
        return -errno;
    if (e->capability.n > sizeof u->capability)
        return -EMSGSIZE;
    u->capability_size = e->capability.n;
    if (e->capability.n)
        memcpy(u->capability, e->capability.p, e->capability.n);
    return 0;
}

static int make_directory(struct transfer_unpack *u, const char *name, const struct tar_entry *e)
{
    if (mkdirat(u->parent_fd, name, 0700) < 0)
        return -errno;
    if (fchownat(u->parent_fd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(u->parent_fd, name, e->mode, 0) < 0)
        return -errno;
    return 0;
}

static int make_symlink(struct transfer_unpack *u, const char *name, const struct tar_entry *e)
{
    char target[LIMIT_PATH_SIZE];
    if (!str_copy(e->link, target, sizeof target))
        return -ENAMETOOLONG;
    return symlinkat(target, u->parent_fd, name) < 0 ||
                   fchownat(u->parent_fd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0
               ? -errno
               : 0;
}

/* To a file that was unpacked before: e->link is a path as the entry's own ("rootfs/a/b"). */
static int make_hardlink(struct transfer_unpack *u, const char *name, const struct tar_entry *e)
{
    struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    char target[LIMIT_PATH_SIZE], self[32];
    struct stat st;
    struct str link = e->link;
    if (!str_starts(link, STR("rootfs/")))
        return -EXDEV;
    link = str_skip(link, 7);
    if (!is_clean(link) || !str_copy(link, target, sizeof target))
        return -EXDEV;
    CLEANUP(fd_closep) int from = (int)syscall(SYS_openat2, u->root, target, &how, sizeof how);
    if (from < 0 || fstat(from, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EXDEV;
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", from);
    return linkat(AT_FDCWD, self, u->parent_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int transfer_unpack_entry(struct transfer_unpack *u, const struct tar_entry *e, struct str path)
{
    char text[LIMIT_PATH_SIZE];
    const char *name;
    while (e->type == TAR_DIRECTORY && path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (!str_copy(path, text, sizeof text) || !is_clean(path))
        return refuse(u, path.n < sizeof text ? "a name" : "a long name", "leads elsewhere");
    if (++u->count > LIMIT_TRANSFER_FILES)
        return refuse(u, text, "is one file too many");
    if (!path.n) /* the root itself */
        return fchown(u->root, e->uid, e->gid) < 0 || fchmod(u->root, e->mode) < 0
                   ? cannot(u, "rootfs")
                   : 0;
    int r = open_parent(u, text, &name);
    if (r == 0)
        r = e->type == TAR_FILE        ? begin_file(u, name, e)
            : e->type == TAR_DIRECTORY ? make_directory(u, name, e)
            : e->type == TAR_SYMLINK   ? make_symlink(u, name, e)
            : e->type == TAR_HARDLINK  ? make_hardlink(u, name, e)
                                       : -EPERM;
    if (r == 0)
        return 0;
    (void)str_copy(path, text, sizeof text);
    errno = -r;
    return r == -EPERM && e->type == TAR_OTHER
               ? refuse(u, text, "is neither a file nor a directory")
               : cannot(u, text);
}

int transfer_unpack_data(struct transfer_unpack *u, struct str data)
{
    int r = transfer_write(u->file, data, -1);
    errno = -r;
    return r < 0 ? cannot(u, "a file") : 0;
}

int transfer_unpack_end(struct transfer_unpack *u)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = u->modified_s } };
    int r = u->file >= 0 ? futimens(u->file, times) : 0;
    if (r == 0 && u->file >= 0 && u->capability_size)
        r = fsetxattr(u->file, "security.capability", u->capability, u->capability_size, 0);
    fd_closep(&u->file);
    return r < 0 ? cannot(u, "a file") : 0;
}
