/* Entries to the file, and a root file system as entries. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h> /* PATH_MAX; <limits.h> would find gen/limits.h first */
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "transfer/transfer_internal.h"

#define LAYER_BLOCK 4096u /* of ext4, and of pages */

int transfer_out_init(struct transfer_out *o, struct op *op, int fd)
{
    *o = (struct transfer_out){ .op = op, .fd = fd };
    buf_init(&o->head, 0);
    (void)SHA256_Init(&o->sum);
    o->piece = malloc(TRANSFER_PIECE);
    return o->piece ? 0 : op_fail(op, FAULT_CAPACITY, ENOMEM, "out of memory");
}

void transfer_out_deinit(struct transfer_out *o)
{
    buf_deinit(&o->head);
    free(o->piece);
}

int transfer_write(int fd, struct str data, off_t at)
{
    while (data.n) {
        ssize_t n = at < 0 ? write(fd, data.p, data.n) : pwrite(fd, data.p, data.n, at);
        if (n < 0 && errno != EINTR)
            return -errno;
        data = str_skip(data, n > 0 ? (size_t)n : 0);
        at += at >= 0 && n > 0 ? n : 0;
    }
    return 0;
}

static int put_bytes(struct transfer_out *o, struct str s)
{
    o->bytes += s.n;
    int r = o->fd < 0 ? 0 : transfer_write(o->fd, s, -1);
    return r < 0 ? op_fail(o->op, FAULT_HOST, -r, "the file cannot be written: %s", strerror(-r))
                 : 0;
}

int transfer_put_entry(struct transfer_out *o, const struct tar_entry *e)
{
    buf_reset(&o->head);
    tar_put_entry(&o->head, e);
    transfer_sum_entry(&o->sum, e);
    return o->head.failed ? op_fail(o->op, FAULT_CAPACITY, ENOMEM, "out of memory")
                          : put_bytes(o, buf_str(&o->head));
}

int transfer_put_data(struct transfer_out *o, struct str data)
{
    (void)SHA256_Update(&o->sum, data.p, data.n);
    return put_bytes(o, data);
}

int transfer_put_end(struct transfer_out *o, int64_t size)
{
    buf_reset(&o->head);
    tar_put_padding(&o->head, size);
    return put_bytes(o, buf_str(&o->head));
}

int transfer_put_file(struct transfer_out *o, int from, off_t at, int64_t size, const char *path)
{
    for (int64_t left = size; left > 0;) {
        ssize_t n =
            pread(from, o->piece, left < TRANSFER_PIECE ? (size_t)left : TRANSFER_PIECE, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return op_fail(o->op, FAULT_HOST, n < 0 ? errno : EIO, "%s cannot be read: %s", path,
                           n < 0 ? strerror(errno) : "it is shorter than it was");
        int r = transfer_put_data(o, str_make(o->piece, (size_t)n));
        if (r < 0)
            return r;
        left -= n;
        at += n;
    }
    return transfer_put_end(o, size);
}

/* -- a layer: its data, without its holes -- */

int transfer_layer_open(int dir, const char *name)
{
    size_t n = strlen(name);
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int again = fd < 0 ? openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    CLEANUP(dir_closep) DIR *d = again < 0 ? NULL : fdopendir(again);
    for (struct dirent *e; fd < 0 && d && (e = readdir(d));)
        if (strncmp(e->d_name, name, n) == 0 && e->d_name[n] == '.' &&
            strcmp(e->d_name + n, ".new") != 0)
            fd = openat(dir, e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd;
}

static bool is_zero(const char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* The pieces of one window that are not zero. What a file system calls a hole changes with its
 * mood; zeros do not, so that a layer has one sum wherever it lies. */
static int put_window(struct transfer_out *o, uint32_t index, off_t at, size_t n)
{
    char path[64];
    size_t from = 0, to = 0;
    int r = 0;
    while (r == 0 && from < n) {
        size_t block = n - from < LAYER_BLOCK ? n - from : LAYER_BLOCK;
        if (is_zero(o->piece + from, block)) {
            from += block;
            continue;
        }
        for (to = from;
             to < n && !is_zero(o->piece + to, n - to < LAYER_BLOCK ? n - to : LAYER_BLOCK);)
            to += n - to < LAYER_BLOCK ? n - to : LAYER_BLOCK;
        (void)snprintf(path, sizeof path, "layers/%u/%llx", index, (unsigned long long)at + from);
        const struct tar_entry e = {
            .path = str_of(path), .type = TAR_FILE, .mode = 0600, .size = (int64_t)(to - from)
        };
        r = transfer_put_entry(o, &e);
        if (r == 0)
            r = transfer_put_data(o, str_make(o->piece + from, to - from));
        if (r == 0)
            r = transfer_put_end(o, e.size);
        from = to;
    }
    return r;
}

int transfer_put_layer(struct transfer_out *o, int fd, uint32_t index, int64_t size)
{
    int r = 0;
    for (off_t at = 0; r == 0 && at < size; at += TRANSFER_PIECE) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        if (data >= at)
            at = data - data % TRANSFER_PIECE;
        ssize_t n = pread(fd, o->piece, TRANSFER_PIECE, at); /* as much, but at the end */
        if (data < 0 || n < 0)
            return op_fail(o->op, FAULT_HOST, errno, "a layer cannot be read: %s", strerror(errno));
        r = put_window(o, index, at, (size_t)n);
    }
    return r;
}

/* -- a tree -- */

struct tree {
    struct transfer_out *out;
    struct arena mem; /* of `links` */
    struct map links; /* "dev:ino" of files with several names: the first one */
};

static int cannot(struct tree *t, const char *path, const char *what)
{
    return op_fail(t->out->op, FAULT_HOST, errno, "%s cannot be %s: %s", path, what,
                   strerror(errno));
}

/* Of a file that has been put already; else *link stays empty. */
static int find_link(struct tree *t, const struct stat *st, struct str path, struct str *link)
{
    char text[48];
    if (st->st_nlink < 2)
        return 0;
    (void)snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)st->st_dev,
                   (unsigned long long)st->st_ino);
    const char *first = map_get(&t->links, str_of(text));
    if (first) {
        *link = str_of(first);
        return 0;
    }
    char *key = arena_str(&t->mem, str_of(text)), *copy = arena_str(&t->mem, path);
    return key && copy && map_put(&t->links, str_of(key), copy)
               ? 0
               : op_fail(t->out->op, FAULT_CAPACITY, ENOMEM, "out of memory");
}

static int put_file(struct tree *t, const char *real, struct tar_entry *e, const struct stat *st)
{
    char capability[256];
    int r = find_link(t, st, e->path, &e->link);
    if (r < 0)
        return r;
    if (e->link.n) {
        e->type = TAR_HARDLINK;
        return transfer_put_entry(t->out, e);
    }
    CLEANUP(fd_closep) int fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return cannot(t, real, "opened");
    ssize_t n = fgetxattr(fd, "security.capability", capability, sizeof capability);
    e->type = TAR_FILE;
    e->size = st->st_size;
    e->modified_s = st->st_mtim.tv_sec;
    e->capability = str_make(capability, n > 0 ? (size_t)n : 0);
    r = transfer_put_entry(t->out, e);
    return r < 0 ? r : transfer_put_file(t->out, fd, 0, e->size, real);
}

static int put_link(struct tree *t, const char *real, struct tar_entry *e)
{
    char target[PATH_MAX];
    ssize_t n = readlink(real, target, sizeof target);
    if (n < 0)
        return cannot(t, real, "read");
    e->type = TAR_SYMLINK;
    e->link = str_make(target, (size_t)n);
    return transfer_put_entry(t->out, e);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int put_node(struct tree *t, const char *real, const char *path);

static int put_below(struct tree *t, const char *real, const char *path)
{
    struct dirent **names;
    int n = scandir(real, &names, NULL, by_name), r = 0;
    if (n < 0)
        return cannot(t, real, "read");
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        CLEANUP(freep) char *below = NULL, *as = NULL;
        if (r == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            bool good = asprintf(&below, "%s/%s", real, name) >= 0 &&
                        asprintf(&as, "%s/%s", path, name) >= 0;
            r = good ? put_node(t, below, as)
                     : op_fail(t->out->op, FAULT_CAPACITY, ENOMEM, "out of memory");
        }
        free(names[i]);
    }
    free(names);
    return r;
}

/* Devices are left out: sandboxes have their own. Times of directories are, too: so that the same
 * tree has the same sum wherever it was unpacked. */
static int put_node(struct tree *t, const char *real, const char *path)
{
    struct stat st;
    CLEANUP(freep) char *slash = NULL;
    if (lstat(real, &st) < 0)
        return cannot(t, real, "read");
    struct tar_entry e = {
        .path = str_of(path), .mode = st.st_mode & 07777, .uid = st.st_uid, .gid = st.st_gid
    };
    if (S_ISREG(st.st_mode))
        return put_file(t, real, &e, &st);
    if (S_ISLNK(st.st_mode))
        return put_link(t, real, &e);
    if (!S_ISDIR(st.st_mode))
        return 0;
    if (asprintf(&slash, "%s/", path) < 0)
        return op_fail(t->out->op, FAULT_CAPACITY, ENOMEM, "out of memory");
    e.type = TAR_DIRECTORY;
    e.path = str_of(slash);
    int r = transfer_put_entry(t->out, &e);
    return r < 0 ? r : put_below(t, real, path);
}

int transfer_put_tree(struct transfer_out *o, const char *rootfs)
{
    struct tree t = { .out = o };
    arena_init(&t.mem, 0);
    map_init(&t.links);
    int r = put_node(&t, rootfs, "rootfs");
    map_deinit(&t.links);
    arena_deinit(&t.mem);
    return r;
}
