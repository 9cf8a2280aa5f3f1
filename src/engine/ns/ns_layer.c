#include "engine/ns/ns_layer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "os/os_file.h"
#include "os/os_loopdev.h"
#include "os/os_mount.h"
#include "os/os_sys.h"

#define NAME_SIZE (NS_LAYER_SIZE + 1 + PROC_BOOT_ID_SIZE)
#define NEW "new"

/* NAME.SUFFIX, or NAME when there is no suffix. */
static const char *name_of(char out[NAME_SIZE], const char *name, const char *suffix)
{
    (void)snprintf(out, NAME_SIZE, "%.32s%s%s", name, suffix ? "." : "", suffix ? suffix : "");
    return out;
}

/* -- on disk -- */

int ns_layer_begin(const struct ns_host *h, const char *name)
{
    char made[NAME_SIZE];
    int fd = openat(h->layers, name_of(made, name, NEW),
                    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? RAISE(-errno) : fd;
}

void ns_layer_undo(const struct ns_host *h, const char *name)
{
    char made[NAME_SIZE];
    (void)unlinkat(h->layers, name_of(made, name, NEW), 0);
}

int ns_layer_finish(const struct ns_host *h, const char *name)
{
    char made[NAME_SIZE], whole[NAME_SIZE];
    return renameat(h->layers, name_of(made, name, NEW), h->layers,
                    name_of(whole, name, h->boot_id)) < 0
               ? RAISE(-errno)
               : 0;
}

static int layer_open(const struct ns_host *h, const char *name)
{
    char whole[NAME_SIZE];
    const char *const names[] = { name_of(whole, name, h->boot_id), name };
    int fd = -1; /* in this order: the first may become the second in between */
    for (int i = 0; i < 2 && fd < 0; i++)
        fd = openat(h->layers, names[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int ns_layer_settle(const struct ns_host *h, const char *name)
{
    char whole[NAME_SIZE];
    (void)name_of(whole, name, h->boot_id);
    CLEANUP(fd_closep) int fd = openat(h->layers, whole, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : RAISE(-errno); /* dropped already */
    if (fsync(fd) < 0)
        return RAISE(-errno);
    if (renameat(h->layers, whole, h->layers, name) < 0)
        return errno == ENOENT ? 0 : RAISE(-errno);
    return fsync(h->layers) < 0 ? RAISE(-errno) : 0;
}

int ns_layer_mount(const struct ns_host *h, const char *name)
{
    int number;
    char path[32];
    CLEANUP(fd_closep) int image = layer_open(h, name);
    if (image < 0)
        return image;
    /* Through the page cache: a layer just captured is there, and not yet on the disk. */
    CLEANUP(fd_closep) int device = loopdev_attach(image, LOOPDEV_BUFFERED, &number);
    if (device < 0)
        return TRACE(device);
    (void)snprintf(path, sizeof path, "/dev/loop%d", number);
    const char *const options[] = { "source", path, "ro", NULL, NULL, NULL };
    return TRACE(mount_new("ext4", options, OS_MOUNT_ATTR_NODEV | OS_MOUNT_ATTR_RDONLY));
}

int ns_layer_remove(const struct ns_host *h, const char *name)
{
    char whole[NAME_SIZE];
    const char *const names[] = { name_of(whole, name, h->boot_id), name };
    for (int i = 0; i < 2; i++) /* in this order: the first may become the second in between */
        if (unlinkat(h->layers, names[i], 0) < 0 && errno != ENOENT)
            return RAISE(-errno);
    return 0;
}

bool ns_layer_exists(const struct ns_host *h, struct str name)
{
    char text[NS_LAYER_SIZE];
    CLEANUP(fd_closep) int fd = str_copy(name, text, sizeof text) ? layer_open(h, text) : -1;
    return fd >= 0;
}

void ns_layers_each(const struct ns_host *h, void (*fn)(void *data, const char *name), void *data)
{
    int fd = openat(h->layers, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct str name, suffix;
        char text[NS_LAYER_SIZE];
        bool has_suffix = str_cut(str_of(e->d_name), '.', &name, &suffix);
        if (!name.n || !str_copy(name, text, sizeof text))
            continue;
        if (!has_suffix || str_eq(suffix, str_of(h->boot_id)))
            fn(data, text);
    }
}

void ns_layers_clean(const struct ns_host *h)
{
    int fd = openat(h->layers, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct str name, suffix;
        if (!str_cut(str_of(e->d_name), '.', &name, &suffix) || !name.n ||
            str_eq(suffix, str_of(h->boot_id)))
            continue;
        log_info("layer %s is not whole; removed", e->d_name);
        (void)unlinkat(h->layers, e->d_name, 0);
    }
}

/* -- mounted -- */

void ns_layers_init(struct ns_layers *l, const struct ns_host *h)
{
    *l = (struct ns_layers){ .host = h };
    for (size_t i = 0; i < LIMIT_LAYERS_OPEN; i++)
        l->open[i].mount = -1;
}

void ns_layers_deinit(struct ns_layers *l)
{
    if (!l->host)
        return;
    for (size_t i = 0; i < LIMIT_LAYERS_OPEN; i++)
        fd_closep(&l->open[i].mount);
}

void ns_layer_put(struct ns_layers *l, struct str name, int mount)
{
    size_t at = 0; /* the one that was not used for the longest time, or a free one */
    for (size_t i = 0; i < LIMIT_LAYERS_OPEN; i++) {
        if (str_eq(str_of(l->open[i].name), name)) {
            at = i;
            break;
        }
        if (l->open[i].used < l->open[at].used)
            at = i;
    }
    fd_closep(&l->open[at].mount);
    (void)str_copy(name, l->open[at].name, sizeof l->open[at].name);
    l->open[at].mount = mount;
    l->open[at].used = ++l->uses;
}

int ns_layer_get(struct ns_layers *l, struct str name)
{
    char text[NS_LAYER_SIZE];
    for (size_t i = 0; i < LIMIT_LAYERS_OPEN; i++)
        if (l->open[i].mount >= 0 && str_eq(str_of(l->open[i].name), name)) {
            l->open[i].used = ++l->uses;
            return l->open[i].mount;
        }
    if (!str_copy(name, text, sizeof text))
        return -ENOENT;
    int mount = ns_layer_mount(l->host, text);
    if (mount >= 0)
        ns_layer_put(l, name, mount);
    return mount;
}

int ns_layer_drop(struct ns_layers *l, struct str name)
{
    char text[NS_LAYER_SIZE];
    for (size_t i = 0; i < LIMIT_LAYERS_OPEN; i++)
        if (str_eq(str_of(l->open[i].name), name)) {
            fd_closep(&l->open[i].mount);
            l->open[i].name[0] = 0;
            l->open[i].used = 0;
        }
    return str_copy(name, text, sizeof text) ? ns_layer_remove(l->host, text) : 0;
}
