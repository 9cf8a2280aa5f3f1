#include "engine/ns/ns_capture.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_disk.h"
#include "engine/ns/ns_layer.h"
#include "os/os_ext4.h"
#include "os/os_file.h"

#define STILL_TRIES 500 /* times STILL_STEP_NS: 50 ms, as long as a freeze of the file system */
#define STILL_STEP_NS 100000

/* -- in the worker -- */

static bool stands_still(const struct ns_host *h, uint32_t slot)
{
    for (int i = 0; i < STILL_TRIES; i++) {
        if (cgroup_is_still(&h->cgroups, slot))
            return true;
        (void)nanosleep(&(struct timespec){ .tv_nsec = STILL_STEP_NS }, NULL);
    }
    return false;
}

/* When the thaw finds nothing frozen, somebody else (the next engine) has undone it, and the copy
 * may be torn. */
static int copy_frozen(int root, int image, int file, uint64_t *bytes)
{
    if (ioctl(root, FIFREEZE, 0) < 0)
        return RAISE(-errno);
    int r = file_copy_sparse(image, file, ns_work_is_over, bytes);
    if (ioctl(root, FITHAW, 0) < 0 && r == 0)
        r = RAISE(-errno);
    return r;
}

/* The same for processes: thawed before the copy was whole, it is worth nothing. */
static int copy_still(const struct ns_host *h, uint32_t slot, int root, int image, int file,
                      uint64_t *bytes)
{
    int r = cgroup_freeze(&h->cgroups, slot, true);
    if (r < 0 || ns_work_is_over())
        return r < 0 ? TRACE(r) : -ECANCELED;
    if (!stands_still(h, slot))
        return TRACE(copy_frozen(root, image, file, bytes));
    if (syncfs(root) < 0)
        return RAISE(-errno);
    r = file_copy_sparse(image, file, ns_work_is_over, bytes);
    return r == 0 && !cgroup_is_still(&h->cgroups, slot) ? RAISE(-ESTALE) : r;
}

static int layer_make(const struct ns_host *h, const struct capture *c, uint64_t *bytes)
{
    CLEANUP(fd_closep) int root = ns_disk_root(c->work.fd);
    CLEANUP(fd_closep) int image = ns_disk_image(h, c->work.fd);
    CLEANUP(fd_closep) int file = ns_layer_begin(h, c->layer);
    if (root < 0 || image < 0 || file < 0)
        return TRACE(root < 0 ? root : image < 0 ? image : file);
    ns_disk_trim(root, image);
    /* Most of what is to be written is written before it stands still. */
    int r = syncfs(root) < 0 ? RAISE(-errno) : ns_work_is_over() ? -ECANCELED : 0;
    if (r == 0)
        r = copy_still(h, c->slot, root, image, file, bytes);
    if (r == 0)
        r = ext4_image_renew(file);
    return r < 0 ? r : TRACE(ns_layer_finish(h, c->layer));
}

static int capture_run(const struct ns_host *h, struct ns_work *w)
{
    const struct capture *c = w->data;
    uint64_t bytes = 0;
    int r = layer_make(h, c, &bytes);
    if (r < 0) {
        ns_layer_undo(h, c->layer);
        return r;
    }
    ns_work_report(w, bytes, -1);
    /* Here, since attaching a loop device writes the whole file out. */
    CLEANUP(fd_closep) int mount = ns_layer_mount(h, c->layer);
    if (mount < 0) {
        ns_layer_remove(h, c->layer);
        return TRACE(mount);
    }
    ns_work_report(w, bytes, mount);
    return 0;
}

/* A worker that died has left its freeze behind. */
static int undo_run(const struct ns_host *h, struct ns_work *w)
{
    const struct capture *c = w->data;
    CLEANUP(fd_closep) int root = ns_disk_root(w->fd);
    ns_layer_undo(h, c->layer);
    return root < 0 ? root : ioctl(root, FITHAW, 0) < 0 && errno != EINVAL ? RAISE(-errno) : 0;
}

static int settle_run(const struct ns_host *h, struct ns_work *w)
{
    const struct capture *c = w->data;
    return TRACE(ns_layer_settle(h, c->layer));
}

/* -- in the engine -- */

static void capture_free(struct capture *c)
{
    list_remove(&c->node);
    fd_closep(&c->work.fd);
    free(c);
}

/* Whatever the worker came to: its sandbox goes on, or stays frozen, as was asked last. */
static void box_thaw(const struct capture *c)
{
    struct box *b = ns_box_get(c->ns, str_of(c->id));
    if (b && b->slot == c->slot && !b->is_frozen)
        (void)cgroup_freeze(&c->ns->host.cgroups, b->slot, false);
}

static void capture_answer(struct capture *c, int status)
{
    c->is_answered = true;
    c->ns->ops->on_captured(c->ns->data, c, status);
}

static void on_report(struct ns_work *w, uint64_t value, int *fd)
{
    struct capture *c = w->data;
    c->bytes = value;
    if (*fd < 0) {
        box_thaw(c);
        return;
    }
    if (!ns_layer_exists(&c->ns->host, str_of(c->layer)))
        return; /* dropped meanwhile; on_end says so */
    ns_layer_put(&c->ns->layers, str_of(c->layer), TAKE_FD(*fd));
    capture_answer(c, 0);
}

static void on_undone(struct ns_work *w, int status)
{
    if (status < 0)
        log_warn("a frozen disk cannot be thawed: %s", ns_work_text(status));
    capture_free(w->data);
}

static void on_settled(struct ns_work *w, int status)
{
    const struct capture *c = w->data;
    if (status < 0)
        log_warn("layer %s is not durable: %s", c->layer, ns_work_text(status));
    capture_free(w->data);
}

static const struct ns_work_ops settle_ops = { settle_run, NULL, on_settled };

/* The sandbox's next work need not wait for the layer's sync. */
static void on_end(struct ns_work *w, int status)
{
    static const struct ns_work_ops undo = { undo_run, NULL, on_undone };
    struct capture *c = w->data;
    if (status < 0)
        log_warn("layer %s of %s: %s", c->layer, c->id, ns_work_text(status));
    if (c->is_answered) {
        w->ops = &settle_ops;
        w->slot = NS_NO_SLOT;
        ns_work_start(&c->ns->workers, w);
        return;
    }
    box_thaw(c);
    capture_answer(c, status < 0 ? status : -ECANCELED);
    if (status != -EPIPE) {
        capture_free(c);
        return;
    }
    w->ops = &undo;
    ns_work_start(&c->ns->workers, w);
}

static struct capture *capture_find(struct ns *n, struct str layer)
{
    LIST_EACH(it, &n->captures) {
        struct capture *c = LIST_OF(it, struct capture, node);
        if (str_eq(str_of(c->layer), layer))
            return c;
    }
    return NULL;
}

static struct capture *capture_new(struct ns *n, const char *id, struct str layer)
{
    struct capture *c = calloc(1, sizeof *c);
    if (!c || !str_copy(layer, c->layer, sizeof c->layer)) {
        free(c);
        return NULL;
    }
    (void)str_copy(str_of(id), c->id, sizeof c->id);
    c->ns = n;
    c->work = (struct ns_work){ .data = c, .slot = NS_NO_SLOT, .fd = -1 };
    list_init(&c->asks);
    list_push(&n->captures, &c->node);
    return c;
}

int ns_capture_start(struct box *b, struct str layer, struct op *op, struct capture **out)
{
    static const struct ns_work_ops ops = { capture_run, on_report, on_end };
    struct ns *n = b->ns;
    struct capture *c = capture_find(n, layer);
    if (c && !c->is_answered && strcmp(c->id, b->id) == 0) {
        *out = c;
        return 0;
    }
    if (c || ns_layer_exists(&n->host, layer))
        return op_fail(op, FAULT_CONFLICT, EEXIST, "there is a layer of this name");
    int disk = b->disk < 0 ? -1 : fcntl(b->disk, F_DUPFD_CLOEXEC, 3);
    if (disk < 0)
        return op_fail(op, FAULT_INTERNAL, EIO, "the disk of this sandbox is not to be had");
    c = capture_new(n, b->id, layer);
    if (!c) {
        (void)close(disk);
        return op_fail(op, FAULT_CAPACITY, ENOMEM, "no memory for a capture");
    }
    c->work.ops = &ops;
    c->work.slot = c->slot = b->slot;
    c->work.fd = disk;
    ns_work_start(&n->workers, &c->work);
    *out = c;
    return 0;
}

bool ns_capture_holds(const struct box *b)
{
    LIST_EACH(it, &b->ns->captures) {
        const struct capture *c = LIST_OF(it, struct capture, node);
        if (c->slot == b->slot && c->work.pid && c->bytes == 0)
            return true;
    }
    return false;
}

void ns_capture_cancel(struct ns *n, struct str layer)
{
    struct capture *c = capture_find(n, layer);
    if (c)
        ns_work_cancel(&c->work);
}

static void settle_one(void *data, const char *name)
{
    struct ns *n = data;
    struct capture *c = faccessat(n->host.layers, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0
                            ? capture_new(n, "an earlier engine", str_of(name))
                            : NULL; /* durable already */
    if (!c)
        return;
    c->is_answered = true;
    c->work.ops = &settle_ops;
    ns_work_start(&n->workers, &c->work);
}

void ns_captures_settle(struct ns *n) { ns_layers_each(&n->host, settle_one, n); }

void ns_captures_deinit(struct ns *n)
{
    LIST_EACH_SAFE(it, &n->captures)
        capture_free(LIST_OF(it, struct capture, node));
}
