#include "engine/ns/ns_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "os/os_file.h"

/* With a capital: what names a template, or the origin of one, has none. */
#define GONE ".Gone."

struct removal {
    struct list node; /* ns->removals */
    struct ns_work work;
    char name[48];
};

bool ns_root_is(struct str name)
{
    bool good = name.n == NS_ROOT_SIZE - 1 && name.p[0] == '.';
    for (size_t i = 1; good && i < name.n; i++)
        good = memchr("0123456789abcdef", name.p[i], 16);
    return good;
}

static int directory_open(const struct ns_host *h)
{
    return openat(h->state, "templates", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void ns_roots_each(const struct ns_host *h, void (*fn)(void *data, const char *name), void *data)
{
    int fd = directory_open(h);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));)
        if (ns_root_is(str_of(e->d_name)))
            fn(data, e->d_name);
}

/* -- removing -- */

/* Its new name must not be lost when it is half gone: a power cut would bring the old one back. The
 * worker of an engine that was killed may be at it still: two would stumble over each other. */
static int remove_run(const struct ns_host *h, struct ns_work *w)
{
    const struct removal *r = w->data;
    CLEANUP(fd_closep) int templates = directory_open(h);
    if (templates < 0 || fsync(templates) < 0)
        return RAISE(-errno);
    CLEANUP(fd_closep)
    int lock = openat(templates, r->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (lock < 0)
        return errno == ENOENT ? 0 : RAISE(-errno);
    if (flock(lock, LOCK_EX) < 0)
        return RAISE(-errno);
    return TRACE(file_remove_tree(templates, r->name));
}

static void removal_free(struct removal *r)
{
    list_remove(&r->node);
    free(r);
}

static void on_removed(struct ns_work *w, int status)
{
    struct removal *r = w->data;
    if (status < 0)
        log_warn("templates/%s is removed at the next start: %s", r->name, ns_work_text(status));
    removal_free(r);
}

static void removal_start(struct ns *n, const char *name)
{
    static const struct ns_work_ops ops = { remove_run, NULL, on_removed };
    struct removal *r = calloc(1, sizeof *r);
    if (!r || !str_copy(str_of(name), r->name, sizeof r->name)) { /* the next start does it */
        free(r);
        return;
    }
    r->work = (struct ns_work){ .ops = &ops, .data = r, .slot = NS_NO_SLOT, .fd = -1 };
    list_init(&r->node);
    list_push(&n->removals, &r->node);
    ns_work_start(&n->workers, &r->work);
}

int ns_root_drop(struct ns *n, struct str name)
{
    char root[NS_ROOT_SIZE], gone[48] = GONE;
    if (!ns_root_is(name) || !str_copy(name, root, sizeof root))
        return RAISE(-EINVAL);
    CLEANUP(fd_closep) int templates = directory_open(&n->host);
    CLEANUP(fd_closep)
    int fd = templates < 0
                 ? -1
                 : openat(templates, root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : RAISE(-errno);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : RAISE(-errno);
    rand_id(gone + sizeof GONE - 1, 20);
    if (renameat(templates, root, templates, gone) < 0)
        return RAISE(-errno);
    log_info("root file system %s is needed no more", root);
    removal_start(n, gone);
    return 0;
}

void ns_roots_clean(struct ns *n)
{
    int fd = directory_open(&n->host);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));)
        if (str_starts(str_of(e->d_name), STR(GONE)))
            removal_start(n, e->d_name);
}

void ns_roots_deinit(struct ns *n)
{
    LIST_EACH_SAFE(it, &n->removals)
        removal_free(LIST_OF(it, struct removal, node));
}
