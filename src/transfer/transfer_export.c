#include <fcntl.h>
#include <linux/limits.h> /* PATH_MAX */
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "transfer/transfer_internal.h"

static const char no_sum[] = "0000000000000000000000000000000000000000000000000000000000000000";

struct export
{
    struct transfer_export *e;
    struct transfer_out out;
    int layers[TRANSFER_LAYERS];
    int64_t sizes[TRANSFER_LAYERS];
    char names[TRANSFER_LAYERS][TRANSFER_NAME_SIZE];
    uint32_t count;
    int rootfs_lock;
    char rootfs_sum[TRANSFER_SUM_SIZE];
    char sums[TRANSFER_LAYERS][TRANSFER_SUM_SIZE];
};

/* -- opened or locked first, so that nobody takes them away while others are written -- */

/* NAME of STATE/templates/NAME/rootfs. */
static struct str origin_of(const struct export *x)
{
    const char *end = strrchr(x->e->rootfs, '/'), *begin = end;
    while (begin && begin > x->e->rootfs && begin[-1] != '/')
        begin--;
    return begin ? str_make(begin, (size_t)(end - begin)) : STR_NONE;
}

static int lock_rootfs(struct export *x)
{
    char path[PATH_MAX], name[256];
    (void)snprintf(path, sizeof path, "%s/templates", x->e->state);
    CLEANUP(fd_closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0 && str_copy(origin_of(x), name, sizeof name))
        x->rootfs_lock = transfer_root_lock(dir, name);
    return x->rootfs_lock < 0 ? op_fail(x->out.op, FAULT_NOT_FOUND, ENOENT,
                                        "the root file system of the template is not there")
                              : 0;
}

static int open_layers(struct export *x)
{
    struct op *op = x->out.op;
    struct str rest = str_of(x->e->layers), one;
    CLEANUP(freep) char *path = NULL;
    if (asprintf(&path, "%s/layers", x->e->state) < 0)
        return op_fail(op, FAULT_CAPACITY, ENOMEM, "out of memory");
    CLEANUP(fd_closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return op_fail(op, FAULT_HOST, errno, "%s cannot be opened: %s", path, strerror(errno));
    while (rest.n) {
        char *name = x->names[x->count];
        struct stat st;
        (void)str_cut(rest, ',', &one, &rest);
        if (x->count == TRANSFER_LAYERS || !str_copy(one, name, TRANSFER_NAME_SIZE) ||
            strchr(name, '/'))
            return op_fail(op, FAULT_INTERNAL, EINVAL, "the layers of the template are not valid");
        int fd = x->layers[x->count] = transfer_layer_open(dir, name);
        if (fd < 0 || fstat(fd, &st) < 0)
            return op_fail(op, FAULT_NOT_FOUND, errno, "layer %s cannot be opened: %s", name,
                           strerror(errno));
        x->sizes[x->count++] = st.st_size;
    }
    return 0;
}

/* -- the head: written twice, of the same length -- */

static char *head_text(const struct export *x)
{
    struct str origin = origin_of(x);
    json_t *layers = json_array();
    for (uint32_t i = 0; i < x->count; i++)
        (void)json_array_append_new(layers, json_pack("{s:s, s:I, s:s}", "origin", x->names[i],
                                                      "size", (json_int_t)x->sizes[i], "sha256",
                                                      x->sums[i][0] ? x->sums[i] : no_sum));
    json_t *v =
        json_pack("{s:i, s:s, s:O, s:{s:s%, s:s}, s:o}", "format", 1, "name", x->e->name, "config",
                  x->e->config, "rootfs", "origin", origin.n ? origin.p : "", origin.n, "sha256",
                  x->rootfs_sum[0] ? x->rootfs_sum : no_sum, "layers", layers);
    char *text = v ? json_dumps(v, JSON_INDENT(1)) : NULL;
    json_decref(v);
    return text;
}

/* At the begin of the file: again, once the sums are known. */
static int put_head(struct export *x, char sum[TRANSFER_SUM_SIZE])
{
    CLEANUP(freep) char *text = head_text(x);
    if (!text)
        return op_fail(x->out.op, FAULT_CAPACITY, ENOMEM, "out of memory");
    const struct tar_entry e = {
        .path = STR(TRANSFER_HEAD), .type = TAR_FILE, .mode = 0600, .size = (int64_t)strlen(text)
    };
    int r = transfer_put_entry(&x->out, &e);
    (void)SHA256_Init(&x->out.sum);
    if (r == 0)
        r = transfer_put_data(&x->out, str_of(text));
    if (r == 0)
        r = transfer_put_end(&x->out, e.size);
    transfer_sum_end(&x->out.sum, sum);
    return r;
}

static int put_sum(struct export *x, const char *sum)
{
    const struct tar_entry e = {
        .path = STR(TRANSFER_END), .type = TAR_FILE, .mode = 0600, .size = TRANSFER_SUM_SIZE - 1
    };
    int r = transfer_put_entry(&x->out, &e);
    if (r == 0)
        r = transfer_put_data(&x->out, str_of(sum));
    if (r == 0)
        r = transfer_put_end(&x->out, e.size);
    static const char zero[2 * TAR_BLOCK];
    return r < 0 ? r : transfer_put_data(&x->out, str_make(zero, sizeof zero));
}

static int run(struct export *x)
{
    char sum[TRANSFER_SUM_SIZE];
    struct op *op = x->out.op;
    int fd = x->out.fd, r = lock_rootfs(x);
    if (r == 0)
        r = open_layers(x);
    if (r == 0)
        r = put_head(x, sum);
    if (r == 0)
        r = transfer_put_tree(&x->out, x->e->rootfs);
    if (r == 0)
        transfer_sum_end(&x->out.sum, x->rootfs_sum);
    for (uint32_t i = 0; r == 0 && i < x->count; i++) {
        r = transfer_put_layer(&x->out, x->layers[i], i, x->sizes[i]);
        if (r == 0)
            transfer_sum_end(&x->out.sum, x->sums[i]);
    }
    off_t end = r == 0 ? lseek(fd, 0, SEEK_CUR) : 0;
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = op_fail(op, FAULT_HOST, errno, "the file cannot be written: %s", strerror(errno));
    x->e->bytes = x->out.bytes;
    if (r == 0)
        r = put_head(x, sum);
    if (r == 0 && lseek(fd, end, SEEK_SET) < 0)
        r = op_fail(op, FAULT_HOST, errno, "the file cannot be written: %s", strerror(errno));
    if (r == 0)
        r = put_sum(x, sum);
    if (r == 0 && fsync(fd) < 0)
        r = op_fail(op, FAULT_HOST, errno, "the file cannot be written: %s", strerror(errno));
    return r;
}

int transfer_export(struct op *op, struct transfer_export *e, int fd)
{
    struct export x = { .e = e, .rootfs_lock = -1 };
    int r = transfer_out_init(&x.out, op, fd);
    if (r == 0)
        r = run(&x);
    for (uint32_t i = 0; i < x.count; i++)
        fd_closep(&x.layers[i]);
    fd_closep(&x.rootfs_lock);
    transfer_out_deinit(&x.out);
    return r;
}
