#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_box.h"
#include "engine/ns/ns_capture.h"
#include "engine/ns/ns_disk.h"
#include "engine/ns/ns_kept.h"
#include "engine/ns/ns_net.h"
#include "engine/ns/ns_pause.h"
#include "engine/ns/ns_root.h"
#include "engine/ns/ns_site.h"
#include "os/os_file.h"

#define TRIES 500 /* times 2 ms: what the last engine left may still be ending */

static void pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* -- what is left of an earlier engine -- */

static void directory_adopt(struct ns *n, const char *name)
{
    struct ns_record r;
    CLEANUP(fd_closep)
    int dir = openat(n->host.sandboxes, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int e = dir < 0 ? -errno : ns_record_load(dir, &r);
    if (e == 0 && !str_copy(str_of(name), r.id, sizeof r.id))
        e = -EBADMSG;
    int alive = e < 0 ? e : ns_box_adopt(n, &r);
    if (alive == 0) {
        log_info("%s: found alive", name);
        return;
    }
    if (e == 0 && ns_kept_recover(&n->host, &r))
        log_info("%s: its disk is kept", name);
    else
        log_info("%s: ended while nobody watched; removed", name);
    (void)file_remove_tree(n->host.sandboxes, name);
}

static void directories_each(struct ns *n, int parent, void (*fn)(struct ns *, const char *))
{
    int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            fn(n, e->d_name);
}

static void berth_remove(struct ns *n, const char *name)
{
    (void)file_remove_tree(n->host.berths, name);
}

/* Images that no sandbox stands on, and blanks half made by a janitor that was killed
 * ("blank-SIZE.PID"). */
static void image_remove(struct ns *n, const char *name)
{
    uint64_t number;
    bool is_number = str_to_u64(str_of(name), UINT32_MAX, &number);
    if (!is_number && str_starts(str_of(name), STR(NS_DISK_BLANK)) && !strchr(name, '.'))
        return;
    MAP_EACH(i, &n->boxes) {
        const struct box *b = n->boxes.slots[i].value;
        if (is_number && b->disk >= 0 && ns_disk_number(b->disk) == number)
            return;
    }
    (void)file_remove_tree(n->host.disks, name);
}

static void group_remove(void *data, uint32_t slot)
{
    struct ns *n = data;
    if (ns_pool_is_used(&n->pool, slot))
        return;
    int r = -EBUSY;
    for (int i = 0; i < TRIES && r == -EBUSY; i++) {
        (void)cgroup_kill(&n->host.cgroups, slot);
        r = cgroup_remove(&n->host.cgroups, slot);
        if (r == -EBUSY)
            pause_ms(2);
    }
    if (r < 0)
        log_warn("control group of slot %u cannot be removed: %s", slot, strerror(-r));
}

static bool is_used(void *data, uint32_t slot)
{
    const struct ns *n = data;
    return ns_pool_is_used(&n->pool, slot);
}

static void clean(struct ns *n)
{
    cgroup_each(&n->host.cgroups, group_remove, n);
    directories_each(n, n->host.berths, berth_remove);
    directories_each(n, n->host.disks, image_remove);
    ns_net_clean(&n->host, is_used, n);
}

/* -- start and stop -- */

/* Two engines over one state would take each other's sandboxes for orphans. */
static int lock(struct ns *n)
{
    n->lock = openat(n->host.state, "run/engine.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (n->lock < 0)
        return RAISE(-errno);
    for (int i = 0; i < TRIES; i++) {
        if (flock(n->lock, LOCK_EX | LOCK_NB) == 0)
            return 0;
        pause_ms(2);
    }
    log_error("another engine runs over %s", n->host.config->state);
    return RAISE(-EBUSY);
}

int ns_init(struct ns *n, struct loop *l, const struct engine_config *config,
            const struct box_ops *ops, void *data)
{
    uint32_t resolvers[NS_SITE_RESOLVERS];
    *n = (struct ns){ .loop = l, .ops = ops, .data = data, .lock = -1 };
    n->zygote.channel = -1;
    map_init(&n->boxes);
    list_init(&n->captures);
    list_init(&n->pauses);
    list_init(&n->removals);
    int r = ns_host_init(&n->host, config);
    ns_workers_init(&n->workers, &n->host, l);
    ns_layers_init(&n->layers, &n->host);
    if (r == 0)
        r = lock(n);
    if (r == 0)
        r = ns_net_rules(&n->host, resolvers, ns_site_resolvers(resolvers));
    if (r == 0)
        r = ns_zygote_open(&n->zygote, &n->host);
    if (r == 0)
        r = ns_pool_init(&n->pool, &n->host, l);
    if (r < 0)
        return TRACE(r);
    ns_layers_clean(&n->host);
    directories_each(n, n->host.sandboxes, directory_adopt);
    clean(n);
    ns_captures_settle(n);
    ns_roots_clean(n);
    ns_pool_fill(&n->pool, &config->typical, config->typical_disk);
    return 0;
}

void ns_purge(struct ns *n)
{
    ns_pool_empty(&n->pool);
    clean(n);
    ns_net_rules_remove(&n->host);
}

void ns_deinit(struct ns *n)
{
    ns_workers_deinit(&n->workers);
    ns_captures_deinit(n);
    ns_pauses_deinit(n);
    ns_roots_deinit(n);
    ns_layers_deinit(&n->layers);
    MAP_EACH(i, &n->boxes) {
        ns_box_close(n->boxes.slots[i].value);
    }
    map_deinit(&n->boxes);
    ns_pool_deinit(&n->pool);
    ns_zygote_close(&n->zygote);
    ns_host_deinit(&n->host);
    fd_closep(&n->lock);
}
