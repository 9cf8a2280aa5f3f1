#include "agent/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/entry.h"
#include "agent/path.h"
#include "archive/archive.h"
#include "base/cleanup.h"
#include "gen/limits.h"

/* -- make -- */

static int make_one(const char *path, const struct user *owner)
{
    struct stat st;
    if (mkdir(path, 0755) == 0)
        return lchown(path, owner->uid, owner->gid) < 0 ? -errno : 0;
    if (errno != EEXIST)
        return -errno;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int tree_make(struct str path, const struct user *owner)
{
    char p[LIMIT_PATH_SIZE];
    int r = 0;
    if (!str_copy(path, p, sizeof p))
        return -ENAMETOOLONG;
    for (size_t at = 1; r == 0 && at <= path.n; at++) {
        char c = p[at];
        if ((c && c != '/') || p[at - 1] == '/')
            continue;
        p[at] = 0;
        r = make_one(p, owner);
        p[at] = c;
    }
    return r;
}

/* -- remove -- */

/* One directory on the way down. A deep tree must not cost a descriptor per level: below
 * DEPTH_MAX a subdirectory is moved up into the top directory and met again there. */
#define DEPTH_MAX 48

struct remover {
    int top; /* the directory being emptied */
    unsigned serial;
    int err;       /* the first failure */
    uint32_t left; /* entries that may still be removed */
};

static void remove_failed(struct remover *r)
{
    if (!r->err && errno != ENOENT)
        r->err = errno;
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/* Moves a directory that lies too deep up to the top. */
static void lift(struct remover *r, int dir, const char *name)
{
    char to[64];
    for (int tries = 0; tries < 1000; tries++) {
        (void)snprintf(to, sizeof to, ".removing-%d-%u", (int)getpid(), r->serial++);
        if (renameat2(dir, name, r->top, to, RENAME_NOREPLACE) == 0)
            return;
        if (errno != EEXIST)
            break;
    }
    remove_failed(r);
}

/* Empties the directory `fd` (taken). */
static void remove_below(struct remover *r, int fd, int depth)
{
    CLEANUP(dir_closep) DIR *d = fdopendir(fd);
    if (!d) {
        remove_failed(r);
        (void)close(fd);
        return;
    }
    struct dirent *e;
    while (r->left && (e = readdir(d))) {
        if (is_dots(e->d_name))
            continue;
        r->left--;
        if (e->d_type != DT_DIR && unlinkat(dirfd(d), e->d_name, 0) == 0)
            continue;
        if (depth >= DEPTH_MAX) {
            lift(r, dirfd(d), e->d_name);
            continue;
        }
        int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub < 0) {
            remove_failed(r);
            continue;
        }
        remove_below(r, sub, depth + 1);
        if (r->left && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) < 0)
            remove_failed(r);
    }
}

int tree_remove(const char *path, uint32_t most)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTDIR)
        return 0; /* a part of the way is a file: there is nothing there */
    if (errno != EISDIR && errno != EPERM && errno != EBUSY)
        return -errno;
    for (int round = 0;; round++) { /* lifted directories need another round */
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return errno == ENOENT ? 0 : -errno;
        CLEANUP(fd_closep) int top = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        struct remover r = { .top = top, .left = most };
        remove_below(&r, fd, 0);
        most = r.left;
        if (rmdir(path) == 0 || errno == ENOENT)
            return 0;
        if (errno == ENOTEMPTY && !most)
            return TREE_TOO_MANY;
        if (r.err || errno != ENOTEMPTY || round > 10000)
            return r.err ? -r.err : -errno;
    }
}

/* -- list -- */

static bool grow(struct arena *a, struct message_list *l, uint32_t *cap, size_t size)
{
    if (l->count < *cap)
        return true;
    uint32_t want = *cap ? *cap * 2 : 16;
    void *at = arena_alloc(a, want * size);
    if (!at)
        return false;
    if (l->count)
        memcpy(at, l->at, l->count * size);
    l->at = at;
    *cap = want;
    return true;
}

struct lister {
    struct user_names *names;
    struct message_list *out;
    uint32_t cap, most;
};

static int list_below(struct lister *l, struct str path, uint32_t depth)
{
    struct arena *a = l->names->mem;
    struct str *names;
    uint32_t count;
    int r = archive_names(a, path.p, l->most - l->out->count, &names, &count);
    if (r < 0)
        return r == -E2BIG ? TREE_TOO_MANY : r;
    for (uint32_t i = 0; i < count; i++) {
        if (l->out->count >= l->most)
            return TREE_TOO_MANY;
        struct str p = path_join(a, path, names[i]);
        if (!p.p || !grow(a, l->out, &l->cap, sizeof(struct schema_entry)))
            return -ENOMEM;
        struct schema_entry *e = (struct schema_entry *)l->out->at + l->out->count;
        r = entry_fill(l->names, p, e);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            continue;
        l->out->count++;
        bool descend = depth > 1 && e->type == SCHEMA_TYPE_DIRECTORY && !e->has_symlink_target;
        r = descend ? list_below(l, p, depth - 1) : 0;
        if (r == TREE_TOO_MANY || r == -ENOMEM)
            return r; /* other failures: it vanished, or is too long a path to be opened */
    }
    return TREE_DONE;
}

int tree_list(struct user_names *names, struct str path, uint32_t depth, uint32_t most,
              struct message_list *out)
{
    struct lister l = { .names = names, .out = out, .most = most };
    *out = (struct message_list){ 0 };
    return list_below(&l, path, depth ? depth : 1);
}
