#include "os/os_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"

int file_put(int dir, const char *path, struct str text)
{
    CLEANUP(fd_closep) int fd = openat(dir, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text.p, text.n);
    return n < 0 ? -errno : (size_t)n == text.n ? 0 : -EIO;
}

int file_putf(int dir, const char *path, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof text)
        return RAISE(-EMSGSIZE);
    return file_put(dir, path, str_make(text, (size_t)n));
}

int file_save(int dir, const char *path, mode_t mode, struct str text)
{
    CLEANUP(fd_closep)
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return RAISE(-errno);
    for (size_t at = 0; at < text.n;) {
        ssize_t n = write(fd, text.p + at, text.n - at);
        if (n < 0)
            return RAISE(-errno);
        at += (size_t)n;
    }
    return fchmod(fd, mode) < 0 ? RAISE(-errno) : 0; /* the umask may have taken bits */
}

ssize_t file_get(int dir, const char *path, char *out, size_t size)
{
    CLEANUP(fd_closep) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t at = 0;
    while (at < size - 1) {
        ssize_t n = read(fd, out + at, size - 1 - at);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        at += (size_t)n;
    }
    out[at] = 0;
    return (ssize_t)at;
}

int file_get_u64(int dir, const char *path, uint64_t *out)
{
    char text[64];
    ssize_t n = file_get(dir, path, text, sizeof text);
    if (n < 0)
        return (int)n;
    struct str s = str_make(text, (size_t)n);
    s.n = str_find(s, '\n');
    if (str_eq(s, STR("max"))) {
        *out = UINT64_MAX;
        return 0;
    }
    return str_to_u64(s, UINT64_MAX, out) ? 0 : -EBADMSG;
}

int file_get_key(int dir, const char *path, const char *key, uint64_t *out)
{
    char text[8192];
    ssize_t n = file_get(dir, path, text, sizeof text);
    if (n < 0)
        return (int)n;
    struct str rest = str_make(text, (size_t)n), line;
    while (rest.n) {
        (void)str_cut(rest, '\n', &line, &rest);
        struct str name, value;
        if (str_cut(line, ' ', &name, &value) && str_eq(name, str_of(key)))
            return str_to_u64(str_trim(value), UINT64_MAX, out) ? 0 : -EBADMSG;
    }
    return -ENOENT;
}

int file_mkdir(int dir, const char *path, mode_t mode)
{
    if (mkdirat(dir, path, mode) == 0 || errno == EEXIST)
        return 0;
    return RAISE(-errno);
}

int file_mkdirs(const char *path, mode_t mode)
{
    char part[4096];
    if (!str_copy(str_of(path), part, sizeof part))
        return RAISE(-ENAMETOOLONG);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        int r = file_mkdir(AT_FDCWD, part, mode);
        if (r < 0)
            return TRACE(r);
        *p = '/';
    }
    return TRACE(file_mkdir(AT_FDCWD, part, mode));
}

/* Depth is bounded by the caller's file system: a sandbox's tree may be as deep as it likes, so
 * what is too deep for the descriptors of one process is reported, not followed forever. */
#define TREE_DEPTH 256

static int tree_empty(int fd, dev_t dev, int depth)
{
    int worst = depth > TREE_DEPTH ? -ELOOP : 0;
    CLEANUP(dir_closep) DIR *d = fdopendir(fd);
    if (!d) {
        (void)close(fd);
        return RAISE(-errno);
    }
    for (struct dirent *e; worst != -ELOOP && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR && errno != EPERM) {
            worst = worst ? worst : -errno;
            continue;
        }
        int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        if (sub < 0 || fstat(sub, &st) < 0 || st.st_dev != dev) {
            worst = worst ? worst : sub < 0 ? -errno : -EXDEV;
            fd_closep(&sub);
            continue;
        }
        int r = tree_empty(sub, dev, depth + 1);
        if (r == 0 && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) < 0)
            r = -errno;
        worst = worst ? worst : r;
    }
    return worst;
}

int file_remove_tree(int dir, const char *name)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return errno == ENOENT ? 0 : RAISE(-errno);
    if (fstat(fd, &st) < 0) {
        (void)close(fd);
        return RAISE(-errno);
    }
    int r = tree_empty(fd, st.st_dev, 0);
    if (r < 0)
        return TRACE(r);
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? RAISE(-errno) : 0;
}

#define COPY_STEP ((off_t)4 << 20)
#define COPY_DIRECT ((off_t)1 << 20) /* from this length on past the page cache */
#define COPY_ALIGN ((off_t)4096)

/* What is copied here was mostly written past the page cache (by loop devices) and is not looked at
 * soon: large pieces go past it too, at 0.65 instead of 0.2 to 0.4 GB/s, with next to no CPU. Small
 * ones would wait for the disk one by one. */
struct copy {
    int from, to;
    int from_direct, to_direct; /* -1: these file systems cannot */
    void *room;                 /* COPY_STEP bytes */
    bool (*is_over)(void);
};

static int reopen(int fd, int flags)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_DIRECT | O_CLOEXEC);
}

static void copy_open_direct(struct copy *c)
{
    c->room =
        mmap(NULL, (size_t)COPY_STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->room == MAP_FAILED)
        c->room = NULL;
    if (c->room && (c->from_direct = reopen(c->from, O_RDONLY)) >= 0)
        c->to_direct = reopen(c->to, O_WRONLY);
}

static void copy_close(struct copy *c)
{
    if (c->room)
        (void)munmap(c->room, (size_t)COPY_STEP);
    fd_closep(&c->from_direct);
    fd_closep(&c->to_direct);
}

/* Bytes copied from `at` on, at most `step`, or a negative errno. */
static ssize_t copy_step(const struct copy *c, off_t at, off_t step, bool is_direct)
{
    loff_t in = at, out = at;
    if (!is_direct)
        return copy_file_range(c->from, &in, c->to, &out, (size_t)step, 0);
    ssize_t n = pread(c->from_direct, c->room, (size_t)step, at);
    return n > 0 ? pwrite(c->to_direct, c->room, (size_t)n, at) : n;
}

static int range_copy(const struct copy *c, off_t at, off_t end)
{
    while (at < end) {
        off_t step = end - at < COPY_STEP ? end - at : COPY_STEP;
        bool is_direct = c->to_direct >= 0 && step >= COPY_DIRECT && at % COPY_ALIGN == 0;
        if (is_direct)
            step -= step % COPY_ALIGN;
        if (c->is_over && c->is_over())
            return -ECANCELED;
        ssize_t n = copy_step(c, at, step, is_direct);
        if (n < 0 && is_direct && errno == EINVAL)
            n = copy_step(c, at, step, false);
        if (n <= 0)
            return RAISE(n < 0 ? -errno : -EIO);
        at += n;
    }
    return 0;
}

static int copy_all(const struct copy *c, off_t size, uint64_t *sum)
{
    for (off_t at = 0; at < size;) {
        off_t data = lseek(c->from, at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : RAISE(-errno); /* only a hole is left */
        at = lseek(c->from, data, SEEK_HOLE);
        if (at < 0)
            return RAISE(-errno);
        int r = range_copy(c, data, at);
        if (r < 0)
            return r;
        *sum += (uint64_t)(at - data);
    }
    return 0;
}

int file_copy_sparse(int from, int to, bool (*is_over)(void), uint64_t *copied)
{
    struct copy c = {
        .from = from, .to = to, .from_direct = -1, .to_direct = -1, .is_over = is_over
    };
    struct stat st;
    uint64_t none;
    uint64_t *sum = copied ? copied : &none;
    *sum = 0;
    if (fstat(from, &st) < 0)
        return RAISE(-errno);
    if (ioctl(to, FICLONE, from) == 0) {
        *sum = (uint64_t)st.st_blocks * 512;
        return 0;
    }
    if (ftruncate(to, st.st_size) < 0)
        return RAISE(-errno);
    copy_open_direct(&c);
    int r = copy_all(&c, st.st_size, sum);
    copy_close(&c);
    return r;
}
