#define OPENSSL_SUPPRESS_DEPRECATED /* as wire/sign.c */
#include "template/uploads.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rand.h"
#include "gen/limits.h"
#include "store/store_job.h"

#define KIND "upload"

/* -- the directory -- */

static int collect_name(void *data, const struct store_kept *k)
{
    struct buf *names = data;
    (void)buf_printf(names, "%s/", k->value);
    return names->failed ? -ENOMEM : 0;
}

/* Files that no record names are of uploads that broke off. */
static int sweep(struct uploads *u)
{
    struct buf names;
    buf_init(&names, 0);
    (void)buf_byte(&names, '/');
    int r = store_kept_each(u->store, KIND, collect_name, &names);
    int fd = r < 0 ? -1 : openat(u->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const char *all = buf_cstr(&names);
    for (struct dirent *e; d && all && (e = readdir(d));) {
        char name[300];
        (void)snprintf(name, sizeof name, "/%s/", e->d_name);
        if (e->d_name[0] != '.' && !strstr(all, name))
            (void)unlinkat(u->dir, e->d_name, 0);
    }
    buf_deinit(&names);
    return r < 0 ? r : d ? 0 : -EIO;
}

int uploads_open(struct op *op, struct uploads *u, const char *state, struct store *store)
{
    char path[512];
    *u = (struct uploads){ .store = store, .dir = -1 };
    (void)snprintf(path, sizeof path, "%s/control/files", state);
    u->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = u->dir < 0 ? -errno : store_secret(store, "uploads", u->secret);
    if (r == 0)
        r = sweep(u);
    return r < 0 ? op_fail(op, FAULT_HOST, -r, "%s cannot be used: %s", path, strerror(-r)) : 0;
}

void uploads_close(struct uploads *u) { fd_closep(&u->dir); }

bool uploads_is_hash(struct str hash)
{
    for (size_t i = 0; i < hash.n; i++)
        if (!memchr("0123456789abcdef", hash.p[i], 16))
            return false;
    return hash.n == 64;
}

static int copy_name(void *data, const struct store_kept *k)
{
    return str_copy(str_of(k->value), data, 32) ? 0 : -EOVERFLOW;
}

int uploads_read(struct uploads *u, const char *hash, int64_t *size)
{
    char file[32];
    struct stat st;
    int r = store_kept_get(u->store, KIND, hash, clock_wall_us(), copy_name, file);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    CLEANUP(fd_closep) int fd = openat(u->dir, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    *size = st.st_size;
    return TAKE_FD(fd);
}

bool uploads_has(struct uploads *u, const char *hash)
{
    int64_t size;
    CLEANUP(fd_closep) int fd = uploads_read(u, hash, &size);
    return fd >= 0;
}

/* -- permission -- */

/* SHA-256(secret, SHA-256(secret, text)): the nested form is safe against lengthening. */
static void seal(const unsigned char secret[32], struct str text, unsigned char out[32])
{
    SHA256_CTX h;
    unsigned char inner[32];
    (void)SHA256_Init(&h);
    (void)SHA256_Update(&h, secret, 32);
    (void)SHA256_Update(&h, text.p, text.n);
    (void)SHA256_Final(inner, &h);
    (void)SHA256_Init(&h);
    (void)SHA256_Update(&h, secret, 32);
    (void)SHA256_Update(&h, inner, sizeof inner);
    (void)SHA256_Final(out, &h);
}

void uploads_token(const struct uploads *u, struct str hash, int64_t expires_s,
                   char out[UPLOAD_TOKEN_SIZE])
{
    char text[128];
    unsigned char raw[32];
    int n =
        snprintf(text, sizeof text, "%.64s %lld", hash.n == 64 ? hash.p : "", (long long)expires_s);
    seal(u->secret, str_make(text, (size_t)n), raw);
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

/* -- uploads -- */

int upload_begin(struct op *op, struct upload *p, struct uploads *u, struct str hash)
{
    *p = (struct upload){ .fd = -1 };
    if (!str_copy(hash, p->hash, sizeof p->hash))
        return op_fail(op, FAULT_INVALID, EINVAL, "Invalid files hash");
    rand_id(p->file, 24);
    p->fd = openat(u->dir, p->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (p->fd < 0)
        return op_fail(op, FAULT_UNAVAILABLE, errno, "the upload cannot be kept: %s",
                       strerror(errno));
    p->all = u;
    return 0;
}

int upload_write(struct op *op, struct upload *p, struct str piece)
{
    if ((uint64_t)p->size + piece.n > LIMIT_BUILD_UPLOAD_SIZE)
        return op_fail(op, FAULT_TOO_LARGE, EFBIG, "the archive is larger than %lld bytes",
                       (long long)LIMIT_BUILD_UPLOAD_SIZE);
    while (piece.n) {
        ssize_t n = write(p->fd, piece.p, piece.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return op_fail(op, FAULT_UNAVAILABLE, errno, "the upload cannot be kept: %s",
                           strerror(errno));
        p->size += n;
        piece = str_skip(piece, (size_t)n);
    }
    return 0;
}

void upload_cancel(struct upload *p)
{
    if (!p->all)
        return;
    fd_closep(&p->fd);
    (void)unlinkat(p->all->dir, p->file, 0);
    p->all = NULL;
}

struct oldest {
    int64_t bytes; /* of all */
    char key[UPLOAD_HASH_SIZE], file[32];
};
static int find_oldest(void *data, const struct store_kept *k)
{
    struct oldest *o = data;
    o->bytes += k->bytes;
    if (!o->key[0] && (!str_copy(str_of(k->key), o->key, sizeof o->key) ||
                       !str_copy(str_of(k->value), o->file, sizeof o->file)))
        return -EOVERFLOW;
    return 0;
}

static void make_room(struct uploads *u)
{
    for (;;) {
        struct oldest o = { 0 };
        if (store_kept_each(u->store, KIND, find_oldest, &o) < 0 ||
            (uint64_t)o.bytes <= LIMIT_BUILD_UPLOADS_SIZE)
            return;
        if (store_kept_remove(u->store, KIND, o.key) < 0)
            return;
        (void)unlinkat(u->dir, o.file, 0);
    }
}

int upload_end(struct op *op, struct upload *p)
{
    struct uploads *u = p->all;
    char before[32] = "";
    int64_t now = clock_wall_us();
    int r = store_kept_get(u->store, KIND, p->hash, now, copy_name, before);
    if (r >= 0)
        r = store_kept_put(u->store, &(struct store_kept){ KIND, p->hash, p->file,
                                                           p->size > 0 ? p->size : 1, now });
    if (r < 0) {
        upload_cancel(p);
        return op_fail(op, FAULT_UNAVAILABLE, -r, "the upload cannot be recorded");
    }
    if (before[0])
        (void)unlinkat(u->dir, before, 0);
    fd_closep(&p->fd);
    p->all = NULL;
    make_room(u);
    return 0;
}
