/* GET /archive?path=&username=: a directory and all below it as one tar stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/files.h"
#include "agent/path.h"
#include "agent/tree.h"
#include "base/cleanup.h"
#include "gen/limits.h"
#include "wire/tar.h"

#define CHUNK_SIZE 65536

struct level { /* a directory on the way down */
    struct level *up;
    struct arena mem;
    struct str path, rel;
    struct message_list names; /* struct str */
    uint32_t at;
};

struct archive {
    struct http_call *http;
    struct arena mem;
    struct level *level;
    struct buf out;
    int fd; /* the file being sent, or -1 */
    int64_t left, size;
    char chunk[CHUNK_SIZE];
};

static void level_drop(struct archive *a)
{
    struct level *l = a->level;
    a->level = l->up;
    arena_deinit(&l->mem);
    free(l);
}

static void archive_free(struct archive *a)
{
    while (a->level)
        level_drop(a);
    fd_closep(&a->fd);
    buf_deinit(&a->out);
    arena_deinit(&a->mem);
    free(a);
}

/* `path` and `rel` live in the memory of the level above. 0 or a negative errno. */
static int level_push(struct archive *a, struct str path, struct str rel)
{
    struct level *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    *l = (struct level){ .up = a->level, .path = path, .rel = rel };
    arena_init(&l->mem, 0);
    a->level = l;
    return tree_names(&l->mem, path.p, LIMIT_LIST_ENTRIES, &l->names);
}

/* The header of one entry; opens what has contents. Entries that vanish are left out. */
static void begin_entry(struct archive *a, struct level *l, struct str name)
{
    struct stat st;
    char target[LIMIT_PATH_SIZE];
    struct str path = path_join(&l->mem, l->path, name);
    struct str rel = l->rel.n ? path_join(&l->mem, l->rel, name) : name;
    if (!path.p || !rel.p || lstat(path.p, &st) < 0)
        return;
    struct tar_entry e = { .path = rel,
                           .mode = st.st_mode & 07777,
                           .modified_s = st.st_mtim.tv_sec };
    CLEANUP(fd_closep) int fd = -1;
    if (S_ISREG(st.st_mode)) {
        fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
            return;
        e.type = TAR_FILE;
        e.size = st.st_size;
    } else if (S_ISDIR(st.st_mode)) {
        e.type = TAR_DIRECTORY;
        e.path = path_join(&l->mem, rel, STR(""));
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(path.p, target, sizeof target);
        if (n < 0)
            return;
        e.type = TAR_SYMLINK;
        e.link = str_make(target, (size_t)n);
    } else {
        return; /* devices, fifos and sockets are not files to carry away */
    }
    tar_put_entry(&a->out, &e);
    a->left = a->size = e.size;
    a->fd = TAKE_FD(fd);
    if (e.type == TAR_DIRECTORY)
        (void)level_push(a, path, rel);
}

/* A piece of the open file. What it has grown by is left out, what it has shrunk by is zeros: the
 * header has promised its size. */
static void put_piece(struct archive *a)
{
    size_t want = a->left < CHUNK_SIZE ? (size_t)a->left : CHUNK_SIZE;
    ssize_t n = want ? read(a->fd, a->chunk, want) : 0;
    if (want && n <= 0) {
        memset(a->chunk, 0, want);
        n = (ssize_t)want;
    }
    (void)buf_append(&a->out, str_make(a->chunk, (size_t)n));
    a->left -= n;
    if (a->left == 0) {
        tar_put_padding(&a->out, a->size);
        fd_closep(&a->fd);
    }
}

static void pump(struct http_call *c)
{
    struct archive *a = c->data;
    bool go = true;
    while (go) {
        struct level *l = a->level;
        if (a->fd >= 0)
            put_piece(a);
        else if (l && l->at < l->names.count)
            begin_entry(a, l, ((struct str *)l->names.at)[l->at++]);
        else if (l)
            level_drop(a);
        bool over = !a->level && a->fd < 0;
        if (over)
            tar_put_end(&a->out);
        if (a->out.failed) {
            archive_free(a);
            http_call_abort(c);
            return;
        }
        if (buf_used(&a->out) >= CHUNK_SIZE || over) {
            go = http_reply_write(c, buf_str(&a->out));
            buf_reset(&a->out);
        }
        if (over) {
            archive_free(a);
            http_reply_end(c);
            return;
        }
    }
}

static void on_gone(struct http_call *c) { archive_free(c->data); }

void rest_archive_get(struct agent *agent, struct http_call *c)
{
    static const struct http_call_ops ops = { .on_drain = pump, .on_gone = on_gone };
    struct archive *a = malloc(sizeof *a);
    struct files_query q;
    struct str path;
    if (!a) {
        rest_fail(c, 503, "out of memory");
        return;
    }
    a->http = c;
    a->level = NULL;
    a->fd = -1;
    a->left = a->size = 0;
    arena_init(&a->mem, 0);
    buf_init(&a->out, 0);
    if (!files_query(agent, c, "read", &a->mem, &q) ||
        !files_path(agent, c, &a->mem, &q.user, q.path, &path)) {
        archive_free(a);
        return;
    }
    int r = level_push(a, path, STR(""));
    if (r < 0) {
        if (r == -ENOENT)
            rest_fail(c, 404, "path '" STR_FMT "' does not exist", STR_ARG(path));
        else
            files_fail_errno(c, -r, "error reading", path);
        archive_free(a);
        return;
    }
    c->data = a;
    c->ops = &ops;
    http_reply_begin(c, 200, "application/x-tar", NULL, -1);
    pump(c);
}
