#include "agent/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/entry.h"
#include "base/cleanup.h"
#include "gen/limits.h"
#include "wire/connect.h"

#define HELD_SIZE                                                                                  \
    65536u /* bytes gathered for one write: small files come in several pieces too                 \
            */

struct upload {
    int fd;
    struct str path;
    char *held; /* NULL until a piece smaller than HELD_SIZE came */
    size_t held_size;
};

static int open_target(struct str path)
{
    /* not O_TRUNC: what is not a regular file must not be touched; O_NONBLOCK: a fifo must not
     * stop the agent */
    int fd = open(path.p, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    return fd < 0 ? -errno : fd;
}

/* Owner, emptiness, metadata. */
static int prepare(int fd, const struct user *owner, const struct message_list *metadata)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return UPLOAD_IS_SPECIAL;
    if (fchown(fd, owner->uid, owner->gid) < 0)
        return -errno;
    if (st.st_size && ftruncate(fd, 0) < 0)
        return -errno;
    int r = entry_metadata_set(fd, metadata, false);
    return r == -EOPNOTSUPP && metadata->count == 0 ? 0 : r;
}

int upload_begin(struct str path, const struct user *owner, const struct message_list *metadata,
                 struct upload **out)
{
    CLEANUP(fd_closep) int fd = open_target(path);
    if (fd == -ENOENT)
        return UPLOAD_NO_PARENT;
    if (fd == -EISDIR)
        return UPLOAD_IS_DIRECTORY;
    if (fd == -ENXIO || fd == -ENODEV)
        return UPLOAD_IS_SPECIAL;
    if (fd < 0)
        return fd;
    int r = prepare(fd, owner, metadata);
    if (r)
        return r;
    struct upload *u = malloc(sizeof *u);
    if (!u)
        return -ENOMEM;
    *u = (struct upload){ .fd = TAKE_FD(fd), .path = path };
    *out = u;
    return UPLOAD_OPEN;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t got = write(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

static int flush(struct upload *u)
{
    int r = write_all(u->fd, u->held, u->held_size);
    u->held_size = 0;
    return r;
}

int upload_write(struct upload *u, struct str piece)
{
    if (u->held_size + piece.n > HELD_SIZE || piece.n == HELD_SIZE) {
        int r = flush(u);
        if (r == 0 && piece.n >= HELD_SIZE / 2)
            return write_all(u->fd, piece.p, piece.n);
        if (r < 0)
            return r;
    }
    if (!u->held && !(u->held = malloc(HELD_SIZE)))
        return -ENOMEM;
    memcpy(u->held + u->held_size, piece.p, piece.n);
    u->held_size += piece.n;
    return 0;
}

void upload_cancel(struct upload *u)
{
    if (!u)
        return;
    fd_closep(&u->fd);
    free(u->held);
    free(u);
}

int upload_end(struct upload *u)
{
    int r = flush(u);
    int fd = TAKE_FD(u->fd);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    upload_cancel(u);
    return r;
}

struct str upload_path(const struct upload *u) { return u->path; }

/* -- metadata -- */

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return false;
    return true;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

bool upload_metadata_parse(const struct http_head *h, struct arena *a, struct message_list *out,
                           const char **why)
{
    static const struct str prefix = { "x-metadata-", 11 };
    struct message_pair *pairs = arena_alloc(a, (h->field_count + 1) * sizeof *pairs);
    size_t total = 0;
    uint32_t n = 0;
    *why = "out of memory";
    for (uint32_t i = 0; pairs && i < h->field_count; i++) {
        struct str name = h->fields[i].name, value = h->fields[i].value;
        if (name.n < prefix.n || !str_ieq(str_make(name.p, prefix.n), prefix))
            continue;
        name = str_skip(name, prefix.n);
        *why = "invalid metadata: keys are 1 to 246 bytes and values printable ASCII";
        if (name.n == 0 || name.n > 246 || !is_printable(name) || !is_printable(value))
            return false;
        total += sizeof ENTRY_XATTR - 1 + name.n + value.n;
        *why = "invalid metadata: more than 4096 bytes in all";
        if (total > LIMIT_METADATA_SIZE)
            return false;
        char *key = arena_str(a, name), *copy = arena_str(a, value);
        *why = "out of memory";
        if (!key || !copy)
            return false;
        for (char *p = key; *p; p++)
            *p = lower(*p);
        pairs[n++] = (struct message_pair){ str_make(key, name.n), str_make(copy, value.n) };
    }
    *out = (struct message_list){ pairs, n };
    return pairs != NULL;
}

void upload_metadata_put(const struct message_list *metadata, struct buf *b)
{
    const struct message_pair *p = metadata->at;
    if (metadata->count == 0)
        return;
    (void)buf_append(b, STR(",\"metadata\":{"));
    for (uint32_t i = 0; i < metadata->count; i++) {
        if (i)
            (void)buf_byte(b, ',');
        connect_string_put(b, p[i].key);
        (void)buf_byte(b, ':');
        connect_string_put(b, p[i].value);
    }
    (void)buf_byte(b, '}');
}
