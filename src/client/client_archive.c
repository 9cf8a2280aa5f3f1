/* What a COPY takes, as a hash and as an archive: the same walk, so that both are of the same
 * bytes. Memory does not grow with the files. */
#define OPENSSL_SUPPRESS_DEPRECATED /* as wire/sign.c */
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "client/client_context.h"

#define PIECE 262144

struct archive {
    struct client_pack *pack;
    SHA256_CTX sha;
    int fd; /* -1: only the hash */
    z_stream zip;
    struct buf head;
    char *piece, *zipped;
};

static int fail_write(struct archive *a)
{
    return client_fail(a->pack->context->b, errno,
                       "the archive cannot be written to %s: %s; TMPDIR may name another directory",
                       getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", strerror(errno));
}

static int put(struct archive *a, struct str s, int flush)
{
    int z = Z_OK;
    if (a->fd < 0)
        return 0;
    a->zip.next_in = (Bytef *)(uintptr_t)s.p; /* zlib does not write there */
    a->zip.avail_in = (uInt)s.n;
    do {
        a->zip.next_out = (Bytef *)a->zipped;
        a->zip.avail_out = PIECE;
        z = deflate(&a->zip, flush);
        size_t n = PIECE - a->zip.avail_out;
        for (size_t at = 0; at < n;) {
            ssize_t w = write(a->fd, a->zipped + at, n - at);
            if (w < 0 && errno != EINTR)
                return fail_write(a);
            at += w > 0 ? (size_t)w : 0;
        }
    } while (a->zip.avail_out == 0 && z != Z_STREAM_END);
    return 0;
}

/* With its length: "ab" and "c" are not "a" and "bc". */
static void hash_text(struct archive *a, struct str s)
{
    uint64_t n = s.n;
    (void)SHA256_Update(&a->sha, &n, sizeof n);
    if (s.n)
        (void)SHA256_Update(&a->sha, s.p, s.n);
}

static int changed(struct archive *a, const struct client_entry *e)
{
    return client_fail(a->pack->context->b, EBUSY,
                       "%s: '" STR_FMT "' has changed while it was read; build again",
                       a->pack->context->prefix, STR_ARG(e->path));
}

/* The bytes of a file, as many as its entry says. */
static int put_file(struct archive *a, const struct client_entry *e)
{
    struct client_context *c = a->pack->context;
    CLEANUP(fd_closep) int fd = open(e->real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return client_fail(c->b, errno, "%s: '" STR_FMT "' cannot be opened: %s", c->prefix,
                           STR_ARG(e->path), strerror(errno));
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (int64_t left = e->size; left > 0;) {
        ssize_t n = read(fd, a->piece, left < PIECE ? (size_t)left : PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return client_fail(c->b, errno, "%s: '" STR_FMT "' cannot be read: %s", c->prefix,
                               STR_ARG(e->path), strerror(errno));
        if (n == 0)
            return changed(a, e);
        (void)SHA256_Update(&a->sha, a->piece, (size_t)n);
        int rc = put(a, str_make(a->piece, (size_t)n), Z_NO_FLUSH);
        if (rc < 0)
            return rc;
        left -= n;
    }
    return 0;
}

static int put_entry(struct archive *a, const struct client_entry *e)
{
    struct tar_entry t = { .path = e->path,
                           .link = e->type == TAR_SYMLINK ? e->text : STR_NONE,
                           .type = e->type,
                           .mode = e->mode,
                           .size = e->size };
    struct {
        uint64_t type, mode, size;
    } facts = { (uint64_t)e->type, e->mode, (uint64_t)e->size };
    buf_reset(&a->head);
    tar_put_entry(&a->head, &t);
    hash_text(a, e->path);
    hash_text(a, str_make((const char *)&facts, sizeof facts));
    int rc = a->head.failed ? client_no_memory(a->pack->context->b)
                            : put(a, buf_str(&a->head), Z_NO_FLUSH);
    if (rc < 0 || e->type == TAR_DIRECTORY)
        return rc;
    if (!e->real || e->type == TAR_SYMLINK) {
        hash_text(a, e->text);
        rc = e->type == TAR_FILE ? put(a, e->text, Z_NO_FLUSH) : 0;
    } else {
        rc = put_file(a, e);
    }
    buf_reset(&a->head);
    tar_put_padding(&a->head, e->size);
    return rc < 0 ? rc : put(a, buf_str(&a->head), Z_NO_FLUSH);
}

static int run(struct archive *a, char hash[CLIENT_HASH_SIZE])
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    int rc = 0;
    /* not what an SDK makes of the same COPY: the layout of its archive is another */
    hash_text(a, STR("belljar copy 1"));
    for (size_t i = 0; rc == 0 && i < a->pack->count; i++)
        rc = put_entry(a, &a->pack->entries[i]);
    buf_reset(&a->head);
    tar_put_end(&a->head);
    if (rc == 0)
        rc = put(a, buf_str(&a->head), Z_FINISH);
    (void)SHA256_Final(raw, &a->sha);
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(hash + 2 * i, 3, "%02x", raw[i]);
    return rc;
}

int client_pack_run(struct client_pack *p, int fd, char hash[CLIENT_HASH_SIZE])
{
    struct archive a = { .pack = p, .fd = fd };
    buf_init(&a.head, 0);
    (void)SHA256_Init(&a.sha);
    a.piece = malloc(PIECE);
    a.zipped = malloc(PIECE);
    /* 16: a gzip head. The fastest level: most networks of a server and its users are faster than
     * the others */
    bool is_ready = a.piece && a.zipped &&
                    (fd < 0 || deflateInit2(&a.zip, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8,
                                            Z_DEFAULT_STRATEGY) == Z_OK);
    int rc = is_ready ? run(&a, hash) : client_no_memory(p->context->b);
    if (is_ready && fd >= 0)
        (void)deflateEnd(&a.zip);
    free(a.piece);
    free(a.zipped);
    buf_deinit(&a.head);
    return rc;
}

int client_pack_write(struct client_pack *p, int *out, int64_t *size)
{
    const char *dir = getenv("TMPDIR");
    char path[4096], hash[CLIENT_HASH_SIZE];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/belljar-XXXXXX", dir && *dir ? dir : "/tmp");
    struct archive a = { .pack = p };
    *out = -1;
    errno = ENAMETOOLONG;
    CLEANUP(fd_closep) int fd = n < (int)sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd < 0)
        return fail_write(&a);
    (void)unlink(path);
    int rc = client_pack_run(p, fd, hash);
    if (rc < 0)
        return rc;
    if (strcmp(hash, p->hash) != 0)
        return client_fail(p->context->b, EBUSY,
                           "%s: files have changed while they were read; build again",
                           p->context->prefix);
    if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return fail_write(&a);
    *size = st.st_size;
    *out = TAKE_FD(fd);
    return 0;
}
