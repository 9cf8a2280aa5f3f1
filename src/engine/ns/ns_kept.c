#include "engine/ns/ns_kept.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_disk.h"
#include "engine/ns/ns_start.h"

bool ns_kept_has(const struct ns_host *h, struct str id)
{
    char name[NS_ID_SIZE];
    return str_copy(id, name, sizeof name) &&
           faccessat(h->kept, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void ns_kept_each(const struct ns_host *h, void (*fn)(void *data, const char *id), void *data)
{
    int fd = openat(h->kept, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && strlen(e->d_name) < NS_ID_SIZE)
            fn(data, e->d_name);
}

int ns_kept_remove(const struct ns_host *h, struct str id)
{
    char name[NS_ID_SIZE];
    if (!str_copy(id, name, sizeof name))
        return 0;
    return unlinkat(h->kept, name, 0) < 0 && errno != ENOENT ? RAISE(-errno) : 0;
}

/* -- moving images -- */

static int image_open(int dir, const char *name, uint64_t inode)
{
    struct stat st;
    CLEANUP(fd_closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == inode ? TAKE_FD(fd) : -1;
}

int ns_kept_image(const struct ns_host *h, const struct ns_record *r, bool *is_kept)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", r->disk);
    int fd = image_open(h->disks, name, r->inode);
    *is_kept = fd < 0;
    if (fd < 0)
        fd = image_open(h->kept, r->id, r->inode);
    return fd < 0 ? -ENOENT : fd;
}

static int image_enter(const struct ns_host *h, uint32_t number, const char *id)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", number);
    return renameat(h->disks, name, h->kept, id) < 0 ? RAISE(-errno) : 0;
}

/* Gives the image its name, waits until nothing writes to it, and makes it durable. */
static int image_keep(const struct ns_host *h, const struct ns_record *r)
{
    bool is_kept = false;
    CLEANUP(fd_closep) int image = ns_kept_image(h, r, &is_kept);
    int e = image < 0 ? image : is_kept ? 0 : image_enter(h, r->disk, r->id);
    if (e < 0)
        return TRACE(e);
    if (ns_disk_lock(image) < 0)
        log_warn("%s: something holds its disk still", r->id);
    return fsync(image) < 0 || fsync(h->kept) < 0 || fsync(h->disks) < 0 ? RAISE(-errno) : 0;
}

int ns_kept_leave(const struct ns_host *h, const char *id, int disk)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", ns_disk_number(disk));
    return renameat(h->kept, id, h->disks, name) < 0 ? RAISE(-errno) : 0;
}

bool ns_kept_recover(const struct ns_host *h, const struct ns_record *r)
{
    bool is_same_boot = strcmp(r->boot_id, h->boot_id) == 0;
    bool is_stopped = is_same_boot && r->ready && ns_record_has(h, r->id, NS_MARK_STOP);
    if (!is_stopped && !ns_record_has(h, r->id, NS_MARK_PAUSED))
        return false;
    return image_keep(h, r) == 0;
}

/* -- stopping -- */

static void record_of(const struct box *b, struct ns_record *r)
{
    *r = (struct ns_record){ .disk = b->disk_number, .inode = b->inode };
    (void)str_copy(str_of(b->id), r->id, sizeof r->id);
}

/* The disk's descriptor is the last one: closing it unmounts, which makes the image clean. */
static int keep_run(const struct ns_host *h, struct ns_work *w)
{
    struct ns_record r;
    CLEANUP(fd_closep) int root = w->fd < 0 ? -1 : ns_disk_root(w->fd);
    int e = root >= 0 && syncfs(root) < 0 ? RAISE(-errno) : 0;
    fd_closep(&root);
    fd_closep(&w->fd);
    record_of(w->data, &r);
    int k = image_keep(h, &r);
    return e < 0 ? e : k;
}

static void on_kept(struct ns_work *w, int status)
{
    struct box *b = w->data;
    if (status == -EPIPE &&
        b->keep_tries++ < 3) { /* it died: what it had not done is still to do */
        ns_work_start(&b->ns->workers, w);
        return;
    }
    if (status < 0)
        log_error("%s: its disk is kept, but not durable: %s", b->id, ns_work_text(status));
    ns_box_gone(b, NULL, status);
}

void ns_kept_begin(struct box *b)
{
    static const struct ns_work_ops ops = { keep_run, NULL, on_kept };
    b->state = BOX_KEEPING;
    b->disk_number = ns_disk_number(b->disk);
    /* First of all: whatever fails from now on, its disk is not one that nobody knows. */
    (void)image_enter(&b->ns->host, b->disk_number, b->id);
    b->work = (struct ns_work){ .ops = &ops, .data = b, .slot = b->slot, .gives_fd = true };
    b->work.fd = TAKE_FD(b->disk);
    ns_work_start(&b->ns->workers, &b->work);
}

int ns_kept_stop(struct box *b)
{
    if (b->is_stopping)
        return 0;
    if (b->state != BOX_RUNNING || b->is_warm)
        return -ENOENT;
    if (b->disk < 0)
        return RAISE(-EIO);
    int r = ns_record_mark(&b->ns->host, b->id, NS_MARK_STOP);
    if (r < 0)
        return TRACE(r);
    b->is_stopping = true;
    ns_box_kill(b);
    return 0;
}

/* -- booting again -- */

struct kept_spec {
    struct box_spec spec;
    char text[]; /* its strings */
};

static struct str text_put(char **at, struct str s)
{
    char *p = *at;
    if (s.n)
        memcpy(p, s.p, s.n);
    *at += s.n;
    return str_make(p, s.n);
}

static struct kept_spec *spec_copy(const struct box_spec *s)
{
    size_t size = s->id.n + s->template.n + s->boot.n;
    for (uint32_t i = 0; i < s->layer_count; i++)
        size += s->layers[i].n;
    struct kept_spec *k = malloc(sizeof *k + size);
    if (!k)
        return NULL;
    char *at = k->text;
    k->spec = *s;
    k->spec.id = text_put(&at, s->id);
    k->spec.template = text_put(&at, s->template);
    k->spec.boot = text_put(&at, s->boot);
    for (uint32_t i = 0; i < s->layer_count; i++)
        k->spec.layers[i] = text_put(&at, s->layers[i]);
    return k;
}

static int boot_run(const struct ns_host *h, struct ns_work *w)
{
    const struct box *b = w->data;
    CLEANUP(fd_closep) int image = openat(h->kept, b->id, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (image < 0)
        return RAISE(-errno);
    int r = ns_disk_lock(image);
    CLEANUP(fd_closep) int disk = r < 0 ? r : ns_disk_open(image);
    if (disk < 0)
        return TRACE(disk);
    ns_work_report(w, 0, disk);
    return 0;
}

static void on_disk(struct ns_work *w, uint64_t value, int *fd)
{
    (void)value;
    struct box *b = w->data;
    struct stat st;
    if (fstatat(b->ns->host.kept, b->id, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return; /* destroyed meanwhile */
    b->disk = TAKE_FD(*fd);
    b->disk_bytes = (uint64_t)st.st_size;
    b->inode = st.st_ino;
}

/* Of what is wrong with the image, not with the host, there is only one remedy. */
static const char *disk_text(int status)
{
    return status == -EUCLEAN  ? "it is damaged, and e2fsck cannot repair it; the sandbox can only "
                                 "be killed"
           : status == -ENOPKG ? "e2fsck cannot be run; install e2fsprogs"
                               : ns_work_text(status);
}

static void on_opened(struct ns_work *w, int status)
{
    struct box *b = w->data;
    if (b->state == BOX_PREPARING && (status < 0 || b->disk < 0))
        (void)op_fail(&b->op, FAULT_CREATE_FAILED, -status, "opening its kept disk: %s",
                      disk_text(status));
    else if (b->state == BOX_PREPARING) {
        b->state = BOX_BOOTING;
        if (ns_start(b->ns, &b->op, b, &b->spec->spec) == 0)
            return;
    }
    ns_box_gone(b, "killed", 0);
}

int ns_kept_boot(struct ns *n, struct op *op, const struct box_spec *spec, struct box **out)
{
    static const struct ns_work_ops ops = { boot_run, on_disk, on_opened };
    struct box *b = ns_box_get(n, spec->id);
    if (b && b->is_stopping)
        return op_fail(op, FAULT_UNAVAILABLE, EAGAIN, "its disk is still being kept");
    if (b && b->from_kept && (b->state == BOX_PREPARING || b->state == BOX_BOOTING)) {
        *out = b;
        return 0;
    }
    if (b)
        return -EEXIST;
    if (!ns_kept_has(&n->host, spec->id))
        return op_fail(op, FAULT_NOT_FOUND, ENOENT, "no disk of this sandbox is kept");
    b = ns_box_new(n, spec->id);
    if (!b || !(b->spec = spec_copy(spec))) {
        if (b)
            ns_box_gone(b, "killed", 0);
        return op_fail(op, FAULT_CAPACITY, ENOMEM, "no memory for another sandbox");
    }
    b->state = BOX_PREPARING;
    b->from_kept = true;
    b->work = (struct ns_work){ .ops = &ops, .data = b, .slot = NS_NO_SLOT, .fd = -1 };
    ns_work_start(&n->workers, &b->work);
    *out = b;
    return 0;
}
