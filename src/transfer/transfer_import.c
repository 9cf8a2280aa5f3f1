#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h> /* PATH_MAX */
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "gen/limits.h"
#include "os/os_file.h"
#include "transfer/transfer_internal.h"
#include "wire/json.h"

#define STAGE ".import." /* a directory in $STATE/templates; locked by who uses it */

enum section { AT_HEAD, AT_ROOTFS, AT_LAYERS, AT_SUM, AT_END };

/* Invariant: a layer is `is_there` or has `fd`, once the head is read. */
struct layer {
    char sum[TRANSFER_SUM_SIZE], name[TRANSFER_NAME_SIZE];
    int64_t size, end; /* end: of the last piece */
    int fd;
    bool is_there;
};

struct transfer_import {
    struct op *op;
    char state[PATH_MAX - 512];
    int templates, layers_dir; /* $STATE/templates, layers */
    char stage[32];
    int stage_fd;
    char name[256], origin[128], rootfs_sum[TRANSFER_SUM_SIZE], rootfs[128];
    bool has_rootfs; /* it is there already */
    int rootfs_lock; /* of it, until the server has heard */
    json_t *config;
    struct layer layers[TRANSFER_LAYERS];
    uint32_t count, at; /* layers; the one being read */
    enum section section;
    struct transfer_unpack unpack;
    int root;
    struct tar_reader tar;
    struct buf text; /* of the head, or of the last entry */
    SHA256_CTX sum;
    char head_sum[TRANSFER_SUM_SIZE];
    off_t offset; /* of the piece */
    uint64_t bytes;
};

static int damaged(struct transfer_import *t, const char *why)
{
    return op_fail(t->op, FAULT_INVALID, EBADMSG, "the file is damaged or no template: %s", why);
}

static int host(struct transfer_import *t, const char *what)
{
    return op_fail(t->op, FAULT_HOST, errno, "%s: %s", what, strerror(errno));
}

/* -- the directory of this import -- */

/* What a killed import has left: nobody holds its lock. */
static void remove_stale(struct transfer_import *t)
{
    int again = openat(t->templates, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = again < 0 ? NULL : fdopendir(again);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, STAGE, strlen(STAGE)) != 0)
            continue;
        CLEANUP(fd_closep)
        int fd = openat(t->templates, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            (void)file_remove_tree(t->templates, e->d_name);
    }
}

static int open_stage(struct transfer_import *t)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/templates", t->state);
    t->templates = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->templates < 0)
        return host(t, "the server's templates cannot be opened");
    (void)snprintf(path, sizeof path, "%s/layers", t->state);
    t->layers_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->layers_dir < 0)
        return host(t, "the server's layers cannot be opened");
    remove_stale(t);
    (void)snprintf(path, sizeof path, "%s/templates/" STAGE "XXXXXX", t->state);
    if (!mkdtemp(path))
        return host(t, "no directory can be made");
    (void)str_copy(str_of(strrchr(path, '/') + 1), t->stage, sizeof t->stage);
    t->stage_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return t->stage_fd < 0 || flock(t->stage_fd, LOCK_EX | LOCK_NB) < 0
               ? host(t, "no directory can be made")
               : 0;
}

/* -- the head -- */

static bool take_sum(const json_t *o, char out[TRANSFER_SUM_SIZE])
{
    struct str s;
    return json_get_str(o, "sha256", &s) == 1 && str_copy(s, out, TRANSFER_SUM_SIZE) &&
           strspn(out, "0123456789abcdef") == TRANSFER_SUM_SIZE - 1;
}

static bool has_layer(const struct transfer_import *t, const char *name)
{
    CLEANUP(fd_closep) int fd = transfer_layer_open(t->layers_dir, name);
    return fd >= 0;
}

static bool is_origin(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr("0123456789abcdefghijklmnopqrstuvwxyz.-_", s.p[i], 39))
            return false;
    return s.n && !str_eq(s, STR(".")) && !str_eq(s, STR("..")) && !str_starts(s, STR(STAGE));
}

/* A layer of this server that is the same, from which the file may have been made. */
static int find_own_layer(struct transfer_import *t, const json_t *v, struct layer *l)
{
    char name[TRANSFER_NAME_SIZE], sum[TRANSFER_SUM_SIZE];
    struct str origin;
    struct stat st;
    struct transfer_out out;
    if (json_get_str(v, "origin", &origin) != 1 || !str_copy(origin, name, sizeof name) ||
        !is_origin(origin))
        return 0;
    CLEANUP(fd_closep) int fd = transfer_layer_open(t->layers_dir, name);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != l->size)
        return 0;
    int r = transfer_out_init(&out, t->op, -1);
    if (r == 0)
        r = transfer_put_layer(&out, fd, t->count, l->size);
    transfer_sum_end(&out.sum, sum);
    transfer_out_deinit(&out);
    l->is_there = r == 0 && strcmp(sum, l->sum) == 0;
    if (l->is_there)
        memcpy(l->name, name, sizeof name);
    return r;
}

static int take_layer(struct transfer_import *t, const json_t *v)
{
    struct layer *l = &t->layers[t->count];
    char path[32];
    int r;
    l->fd = -1;
    if (!take_sum(v, l->sum) || json_get_int(v, "size", &l->size) != 1 || l->size <= 0 ||
        l->size > LIMIT_TRANSFER_LAYER_SIZE)
        return damaged(t, "its list of layers is not valid");
    l->name[0] = 'x';
    memcpy(l->name + 1, l->sum, sizeof l->name - 2);
    l->is_there = has_layer(t, l->name);
    if (!l->is_there && (r = find_own_layer(t, v, l)) < 0)
        return r;
    (void)snprintf(path, sizeof path, "layer%u", t->count);
    t->count++;
    if (l->is_there)
        return 0;
    l->fd = openat(t->stage_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return l->fd < 0 || ftruncate(l->fd, l->size) < 0 ? host(t, "a layer cannot be made") : 0;
}

/* A root file system of this server that is the same: one from which the file may have been made
 * and that has the same sum, or one imported before. */
static int find_rootfs(struct transfer_import *t)
{
    char path[PATH_MAX], sum[TRANSFER_SUM_SIZE] = "";
    struct transfer_out out;
    int r = 0;
    (void)snprintf(path, sizeof path, "%s/templates/%s/rootfs", t->state, t->origin);
    t->rootfs_lock = transfer_root_lock(t->templates, t->origin);
    if (t->rootfs_lock >= 0) {
        r = transfer_out_init(&out, t->op, -1);
        if (r == 0)
            r = transfer_put_tree(&out, path);
        transfer_sum_end(&out.sum, sum);
        transfer_out_deinit(&out);
    }
    t->has_rootfs = strcmp(sum, t->rootfs_sum) == 0;
    if (t->has_rootfs) {
        (void)str_copy(str_of(t->origin), t->rootfs, sizeof t->rootfs);
        return r;
    }
    fd_closep(&t->rootfs_lock);
    (void)snprintf(t->rootfs, sizeof t->rootfs, ".%.32s", t->rootfs_sum);
    t->rootfs_lock = transfer_root_lock(t->templates, t->rootfs);
    t->has_rootfs = t->rootfs_lock >= 0;
    return r;
}

static int take_head(struct transfer_import *t)
{
    json_t *v = json_parse(buf_str(&t->text), NULL), *layers = json_object_get(v, "layers");
    const json_t *rootfs = json_object_get(v, "rootfs");
    struct str name = STR_NONE, origin = STR_NONE;
    int64_t format = 0;
    size_t i;
    json_t *one;
    int r = 0;
    t->config = json_incref(json_object_get(v, "config"));
    if (json_get_int(v, "format", &format) == 1 && format != 1)
        r = op_fail(t->op, FAULT_UNSUPPORTED, ENOSYS,
                    "the file is of a newer belljar (format %lld); update this one",
                    (long long)format);
    else if (format != 1 || json_get_str(v, "name", &name) != 1 ||
             !str_copy(name, t->name, sizeof t->name) || !json_is_object(t->config) ||
             !take_sum(rootfs, t->rootfs_sum) || json_get_str(rootfs, "origin", &origin) != 1 ||
             !is_origin(origin) || !str_copy(origin, t->origin, sizeof t->origin) ||
             !json_is_array(layers) || json_array_size(layers) > TRANSFER_LAYERS)
        r = damaged(t, "its head is not valid");
    json_array_foreach(layers, i, one) r = r < 0 ? r : take_layer(t, one);
    json_decref(v);
    if (r == 0)
        r = find_rootfs(t);
    if (r == 0 && !t->has_rootfs &&
        (mkdirat(t->stage_fd, "t", 0755) < 0 || mkdirat(t->stage_fd, "t/rootfs", 0755) < 0 ||
         fchmodat(t->stage_fd, "t", 0755, 0) < 0 || /* whatever the umask */
         (t->root = openat(t->stage_fd, "t/rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0))
        r = host(t, "no directory can be made");
    transfer_unpack_init(&t->unpack, t->op, t->root);
    return r;
}

/* -- sections -- */

static int check_sum(struct transfer_import *t, const char *want)
{
    char sum[TRANSFER_SUM_SIZE];
    transfer_sum_end(&t->sum, sum);
    return strcmp(sum, want) == 0 ? 0 : damaged(t, "a sum is wrong");
}

/* The section that `e` begins or is in; what was before is complete. */
static int enter(struct transfer_import *t, enum section next, uint64_t layer)
{
    int r = 0;
    if (next < t->section || (t->section == AT_HEAD && next != AT_ROOTFS))
        return damaged(t, "its parts are not in order");
    if (next == t->section && (next != AT_LAYERS || layer == t->at))
        return 0;
    if (t->section == AT_ROOTFS) {
        r = check_sum(t, t->rootfs_sum);
        t->at = 0;
    }
    uint32_t until = next == AT_LAYERS ? (uint32_t)layer : t->count;
    if (next == AT_LAYERS && (layer >= t->count || layer < t->at))
        return damaged(t, "its layers are not in order");
    for (; r == 0 && next >= AT_LAYERS && t->at < until; t->at++)
        r = check_sum(t, t->layers[t->at].sum);
    t->section = next;
    return r;
}

/* layers/N/OFFSET */
static int begin_piece(struct transfer_import *t, struct str path, int64_t size)
{
    struct str number, hex;
    uint64_t n, at = 0;
    bool good = str_cut(path, '/', &number, &hex) && str_to_u64(number, TRANSFER_LAYERS, &n) &&
                hex.n && hex.n <= 12;
    for (size_t i = 0; good && i < hex.n; i++) {
        const char *digit = memchr("0123456789abcdef", hex.p[i], 16);
        good = digit != NULL;
        at = at * 16 + (good ? (uint64_t)(digit - "0123456789abcdef") : 0);
    }
    if (!good)
        return damaged(t, "it has something that belongs to nothing");
    int r = enter(t, AT_LAYERS, n);
    if (r < 0)
        return r;
    struct layer *l = &t->layers[t->at];
    if ((int64_t)at < l->end || size > l->size || (int64_t)at > l->size - size)
        return damaged(t, "a piece of a layer is beyond its end");
    l->end = (int64_t)at + size;
    t->offset = (off_t)at;
    return 0;
}

static int on_entry(struct transfer_import *t)
{
    const struct tar_entry *e = &t->tar.entry;
    int r;
    if (t->section == AT_HEAD) {
        if (!str_eq(e->path, STR(TRANSFER_HEAD)) || e->type != TAR_FILE ||
            e->size > LIMIT_TRANSFER_HEAD_SIZE || t->text.len)
            return damaged(t, "it does not begin as an export does");
        return 0;
    }
    if (str_starts(e->path, STR("rootfs/"))) {
        r = enter(t, AT_ROOTFS, 0);
        transfer_sum_entry(&t->sum, e);
        return r < 0 || t->has_rootfs ? r
                                      : transfer_unpack_entry(&t->unpack, e, str_skip(e->path, 7));
    }
    if (e->type != TAR_FILE)
        return damaged(t, "it has something that belongs to nothing");
    if (str_starts(e->path, STR("layers/"))) {
        r = begin_piece(t, str_skip(e->path, 7), e->size);
        transfer_sum_entry(&t->sum, e);
        return r;
    }
    if (!str_eq(e->path, STR(TRANSFER_END)) || e->size != TRANSFER_SUM_SIZE - 1)
        return damaged(t, "it has something that belongs to nothing");
    buf_reset(&t->text);
    return enter(t, AT_SUM, 0);
}

static int on_data(struct transfer_import *t)
{
    struct str s = t->tar.data;
    if (t->section == AT_HEAD || t->section == AT_SUM)
        return buf_append(&t->text, s) ? 0
                                       : op_fail(t->op, FAULT_CAPACITY, ENOMEM, "out of memory");
    (void)SHA256_Update(&t->sum, s.p, s.n);
    if (t->section == AT_ROOTFS)
        return t->has_rootfs ? 0 : transfer_unpack_data(&t->unpack, s);
    struct layer *l = &t->layers[t->at];
    int r = l->is_there ? 0 : transfer_write(l->fd, s, t->offset);
    t->offset += (off_t)s.n;
    errno = -r;
    return r < 0 ? host(t, "a layer cannot be written") : 0;
}

static int on_end(struct transfer_import *t)
{
    if (t->section == AT_HEAD) {
        (void)SHA256_Init(&t->sum);
        (void)SHA256_Update(&t->sum, t->text.p, t->text.len);
        transfer_sum_end(&t->sum, t->head_sum);
        int r = take_head(t);
        t->section = AT_ROOTFS;
        return r;
    }
    if (t->section == AT_ROOTFS)
        return t->has_rootfs ? 0 : transfer_unpack_end(&t->unpack);
    if (t->section == AT_SUM) {
        t->section = AT_END;
        return str_eq(buf_str(&t->text), str_of(t->head_sum)) ? 0 : damaged(t, "a sum is wrong");
    }
    return 0;
}

static int take(struct transfer_import *t, struct str piece)
{
    for (;;) {
        int r = 0;
        switch (tar_reader_step(&t->tar, &piece)) {
        case TAR_MORE:
        case TAR_DONE:
            return 0;
        case TAR_BAD:
            return damaged(t, "it is no tar, or was cut and joined");
        case TAR_ENTRY:
            r = on_entry(t);
            break;
        case TAR_DATA:
            r = on_data(t);
            break;
        case TAR_ENTRY_END:
            r = on_end(t);
            break;
        }
        if (r < 0)
            return r;
    }
}

static int read_all(struct transfer_import *t, int fd)
{
    CLEANUP(freep) char *piece = malloc(TRANSFER_PIECE);
    ssize_t n = piece ? 1 : -1;
    int r = 0;
    while (r == 0 && n > 0) {
        n = read(fd, piece, TRANSFER_PIECE);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            r = take(t, str_make(piece, (size_t)n));
        t->bytes += n > 0 ? (uint64_t)n : 0;
    }
    if (n < 0)
        return host(t, "the file cannot be read");
    if (r == 0 && (t->section != AT_END || !tar_reader_is_done(&t->tar)))
        return damaged(t, "its end is missing");
    return r;
}

/* -- the whole -- */

int transfer_read(struct op *op, const char *state, int fd, struct transfer_import **out)
{
    struct transfer_import *t = *out = calloc(1, sizeof *t);
    if (!t)
        return op_fail(op, FAULT_CAPACITY, ENOMEM, "out of memory");
    t->op = op;
    t->templates = t->layers_dir = t->stage_fd = t->root = t->rootfs_lock = -1;
    tar_reader_init(&t->tar);
    buf_init(&t->text, LIMIT_TRANSFER_HEAD_SIZE);
    transfer_unpack_init(&t->unpack, op, -1);
    if (!str_copy(str_of(state), t->state, sizeof t->state))
        return op_fail(op, FAULT_INVALID, ENAMETOOLONG, "the name of the state is too long");
    int r = open_stage(t);
    if (r == 0)
        r = read_all(t, fd);
    for (uint32_t i = 0; r == 0 && i < t->count; i++)
        if (t->layers[i].fd >= 0)
            r = transfer_image_check(op, t->layers[i].fd);
    return r;
}

/* Locked before it has its name: nobody finds it without. */
static int place_rootfs(struct transfer_import *t)
{
    if (t->rootfs_lock >= 0)
        return 0;
    t->rootfs_lock = transfer_root_lock(t->stage_fd, "t");
    if (t->rootfs_lock < 0)
        return host(t, "the root file system cannot be locked");
    if (renameat2(t->stage_fd, "t", t->templates, t->rootfs, RENAME_NOREPLACE) == 0)
        return 0;
    int e = errno;
    fd_closep(&t->rootfs_lock);
    if (e == EEXIST) /* by another import meanwhile */
        t->rootfs_lock = transfer_root_lock(t->templates, t->rootfs);
    if (t->rootfs_lock >= 0)
        return 0;
    return op_fail(t->op, FAULT_HOST, e, "the root file system cannot be put in place: %s",
                   strerror(e));
}

int transfer_place(struct op *op, struct transfer_import *t)
{
    char path[32];
    t->op = op;
    if (syncfs(t->stage_fd) < 0)
        return host(t, "the template cannot be made durable");
    int r = place_rootfs(t);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < t->count; i++) {
        struct layer *l = &t->layers[i];
        (void)snprintf(path, sizeof path, "layer%u", i);
        if (has_layer(t, l->name))
            continue;
        if (l->is_there)
            return op_fail(t->op, FAULT_UNAVAILABLE, EAGAIN,
                           "a layer that was there has just been removed; import again");
        if (linkat(t->stage_fd, path, t->layers_dir, l->name, 0) < 0 && errno != EEXIST)
            return host(t, "a layer cannot be put in place");
    }
    return fsync(t->layers_dir) < 0 || fsync(t->templates) < 0
               ? host(t, "the template cannot be made durable")
               : 0;
}

bool transfer_is_placed(const struct transfer_import *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (!has_layer(t, t->layers[i].name))
            return false;
    return true;
}

void transfer_close(struct transfer_import *t)
{
    transfer_unpack_deinit(&t->unpack);
    fd_closep(&t->root);
    fd_closep(&t->rootfs_lock);
    for (uint32_t i = 0; i < t->count; i++)
        fd_closep(&t->layers[i].fd);
    if (t->stage[0])
        (void)file_remove_tree(t->templates, t->stage);
    fd_closep(&t->stage_fd);
    fd_closep(&t->templates);
    fd_closep(&t->layers_dir);
    tar_reader_deinit(&t->tar);
    buf_deinit(&t->text);
    json_decref(t->config);
    free(t);
}

const char *transfer_name(const struct transfer_import *t) { return t->name; }
uint64_t transfer_bytes(const struct transfer_import *t) { return t->bytes; }

json_t *transfer_record(const struct transfer_import *t)
{
    json_t *layers = json_array();
    for (uint32_t i = 0; i < t->count; i++)
        (void)json_array_append_new(layers, json_string(t->layers[i].name));
    return json_pack("{s:O, s:s, s:o}", "config", t->config, "rootfs", t->rootfs, "layers", layers);
}
