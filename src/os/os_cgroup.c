#include "os/os_cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "os/os_file.h"

#define PERIOD_US 100000u

/* -- finding -- */

static void favor_dynmods(const char *path)
{
    /* Kernel 6.0 and newer: moving a process does not wait for an RCU grace period. Without it the
     * first move after a quiet spell took 11-14 ms. It is a hint; older kernels refuse it. */
    if (mount(NULL, path, NULL, MS_REMOUNT, "favordynmods") < 0)
        log_debug("favordynmods on %s: %s", path, strerror(errno));
}

static int tree_add(struct cgroup_host *h, const char *path, unsigned has, const char *prefix)
{
    if (h->count == CGROUP_TREES)
        return RAISE(-E2BIG);
    char name[64];
    (void)snprintf(name, sizeof name, "belljar-%s", prefix);
    CLEANUP(fd_closep) int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return RAISE(-errno);
    if (has & CGROUP_V2)
        (void)file_put(root, "cgroup.subtree_control", STR("+memory +pids +cpu"));
    int r = file_mkdir(root, name, 0755);
    if (r < 0)
        return TRACE(r);
    int dir = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return RAISE(-errno);
    if (has & CGROUP_V2)
        (void)file_put(dir, "cgroup.subtree_control", STR("+memory +pids +cpu"));
    h->trees[h->count++] = (struct cgroup_tree){ .has = has, .dir = dir };
    return 0;
}

static unsigned v2_controllers(const char *path)
{
    char file[512], text[512];
    (void)snprintf(file, sizeof file, "%s/cgroup.controllers", path);
    if (file_get(AT_FDCWD, file, text, sizeof text) < 0)
        return 0;
    unsigned has = 0;
    struct str rest = str_of(text), word;
    while (rest.n) {
        (void)str_cut(rest, ' ', &word, &rest);
        word.n = str_find(word, '\n');
        has |= str_eq(word, STR("memory")) ? CGROUP_MEMORY : 0u;
        has |= str_eq(word, STR("pids")) ? CGROUP_PIDS : 0u;
        has |= str_eq(word, STR("cpu")) ? CGROUP_CPU : 0u;
    }
    return has;
}

static int trees_find(struct cgroup_host *h, const char *prefix)
{
    static const struct {
        const char *option;
        unsigned has;
    } v1[] = { { "memory", CGROUP_MEMORY },
               { "pids", CGROUP_PIDS },
               { "cpu", CGROUP_CPU },
               { "freezer", CGROUP_FREEZER } };
    FILE *f CLEANUP(file_closep) = setmntent("/proc/self/mounts", "re");
    if (!f)
        return RAISE(-errno);
    unsigned all = 0;
    struct mntent *m;
    char v2_path[512] = "";
    while ((m = getmntent(f))) {
        unsigned has = 0;
        if (strcmp(m->mnt_type, "cgroup2") == 0 && !v2_path[0])
            (void)str_copy(str_of(m->mnt_dir), v2_path, sizeof v2_path);
        if (strcmp(m->mnt_type, "cgroup") == 0)
            for (size_t i = 0; i < sizeof v1 / sizeof *v1; i++)
                has |= hasmntopt(m, v1[i].option) ? v1[i].has : 0u;
        if (!has || (has & all) || has == CGROUP_FREEZER)
            continue;
        int r = tree_add(h, m->mnt_dir, has, prefix);
        if (r < 0)
            return TRACE(r);
        all |= has;
    }
    if (v2_path[0]) {
        unsigned has = CGROUP_V2 | CGROUP_FREEZER | v2_controllers(v2_path);
        favor_dynmods(v2_path);
        int r = tree_add(h, v2_path, has & ~(all & 7u), prefix);
        all |= has;
        if (r < 0)
            return TRACE(r);
    }
    return (all & (CGROUP_MEMORY | CGROUP_PIDS)) == (CGROUP_MEMORY | CGROUP_PIDS) ? 0
                                                                                  : RAISE(-ENOTSUP);
}

int cgroup_host_open(struct cgroup_host *h, const char *prefix, const char *root)
{
    *h = (struct cgroup_host){ .created_files = root != NULL };
    int r = root ? tree_add(h, root,
                            CGROUP_V2 | CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU | CGROUP_FREEZER,
                            prefix)
                 : trees_find(h, prefix);
    if (r < 0)
        cgroup_host_close(h);
    return TRACE(r);
}

void cgroup_host_close(struct cgroup_host *h)
{
    for (int i = 0; i < h->count; i++)
        fd_closep(&h->trees[i].dir);
    h->count = 0;
}

void cgroup_host_remove(const struct cgroup_host *h, const char *prefix)
{
    char name[80];
    (void)snprintf(name, sizeof name, "../belljar-%s", prefix);
    for (int i = 0; i < h->count; i++)
        (void)unlinkat(h->trees[i].dir, name, AT_REMOVEDIR);
}

/* -- one group -- */

static bool is_limiting_v2(const struct cgroup_tree *t)
{
    return (t->has & CGROUP_V2) && (t->has & (CGROUP_MEMORY | CGROUP_PIDS));
}
static bool has_inner(const struct cgroup_tree *t)
{
    return (t->has & (CGROUP_MEMORY | CGROUP_PIDS)) != 0;
}
static const char *home(const struct cgroup_tree *t) { return is_limiting_v2(t) ? "/agent" : ""; }

static int put(const struct cgroup_host *h, const struct cgroup_tree *t, uint32_t slot,
               const char *file, uint64_t value)
{
    char path[64], text[24];
    (void)snprintf(path, sizeof path, "%u/%s", slot, file);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    if (h->created_files)
        return TRACE(file_save(t->dir, path, 0644, str_of(text)));
    int r = file_put(t->dir, path, str_of(text));
    return r < 0 ? RAISE(r) : 0;
}

static int put_text(const struct cgroup_host *h, const struct cgroup_tree *t, uint32_t slot,
                    const char *file, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%u/%s", slot, file);
    if (h->created_files)
        return TRACE(file_save(t->dir, path, 0644, str_of(text)));
    int r = file_put(t->dir, path, str_of(text));
    return r < 0 ? RAISE(r) : 0;
}

int cgroup_make(const struct cgroup_host *h, uint32_t slot)
{
    char path[64];
    for (int i = 0; i < h->count; i++) {
        const struct cgroup_tree *t = &h->trees[i];
        (void)snprintf(path, sizeof path, "%u", slot);
        int r = file_mkdir(t->dir, path, 0755);
        if (r == 0 && is_limiting_v2(t))
            r = put_text(h, t, slot, "cgroup.subtree_control", "+memory +pids +cpu");
        if (r == 0 && is_limiting_v2(t)) {
            (void)snprintf(path, sizeof path, "%u/agent", slot);
            r = file_mkdir(t->dir, path, 0755);
        }
        if (r == 0 && has_inner(t)) {
            (void)snprintf(path, sizeof path, "%u/cmd", slot);
            r = file_mkdir(t->dir, path, 0755);
        }
        if (r < 0)
            return TRACE(r);
    }
    return 0;
}

static uint64_t inner_memory(uint64_t bytes)
{
    uint64_t keep = bytes / 8 < CGROUP_AGENT_MEMORY ? bytes / 8 : CGROUP_AGENT_MEMORY;
    return bytes - keep;
}

static int limit_v2(const struct cgroup_host *h, const struct cgroup_tree *t, uint32_t slot,
                    const struct cgroup_limits *l)
{
    char quota[48];
    (void)snprintf(quota, sizeof quota, "%llu %u",
                   (unsigned long long)(l->cpus_milli * PERIOD_US / 1000), PERIOD_US);
    int r = 0;
    if (t->has & CGROUP_MEMORY) {
        r = put(h, t, slot, "memory.max", l->memory_bytes);
        r = r < 0 ? r : put(h, t, slot, "cmd/memory.max", inner_memory(l->memory_bytes));
    }
    if (r == 0 && (t->has & CGROUP_PIDS)) {
        r = put(h, t, slot, "pids.max", l->pids + CGROUP_AGENT_PIDS);
        r = r < 0 ? r : put(h, t, slot, "cmd/pids.max", l->pids);
    }
    if (r == 0 && (t->has & CGROUP_CPU))
        r = put_text(h, t, slot, "cpu.max", quota);
    return TRACE(r);
}

static int limit_v1(const struct cgroup_host *h, const struct cgroup_tree *t, uint32_t slot,
                    const struct cgroup_limits *l)
{
    int r = 0;
    if (t->has & CGROUP_MEMORY) {
        r = put(h, t, slot, "memory.limit_in_bytes", l->memory_bytes);
        r = r < 0 ? r : put(h, t, slot, "cmd/memory.limit_in_bytes", inner_memory(l->memory_bytes));
    }
    if (r == 0 && (t->has & CGROUP_PIDS)) {
        r = put(h, t, slot, "pids.max", l->pids + CGROUP_AGENT_PIDS);
        r = r < 0 ? r : put(h, t, slot, "cmd/pids.max", l->pids);
    }
    if (r == 0 && (t->has & CGROUP_CPU)) /* the period is 100 ms unless somebody changed it */
        r = put(h, t, slot, "cpu.cfs_quota_us", l->cpus_milli * PERIOD_US / 1000);
    return TRACE(r);
}

int cgroup_limit(const struct cgroup_host *h, uint32_t slot, const struct cgroup_limits *l)
{
    for (int i = 0; i < h->count; i++) {
        const struct cgroup_tree *t = &h->trees[i];
        int r = t->has & CGROUP_V2 ? limit_v2(h, t, slot, l) : limit_v1(h, t, slot, l);
        if (r < 0)
            return TRACE(r);
    }
    return 0;
}

int cgroup_clone_dir(const struct cgroup_host *h, uint32_t slot)
{
    for (int i = 0; i < h->count; i++)
        if (h->trees[i].has & CGROUP_V2) {
            char path[64];
            (void)snprintf(path, sizeof path, "%u%s", slot, home(&h->trees[i]));
            int fd = openat(h->trees[i].dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
            return fd < 0 ? -1 : fd;
        }
    return -1;
}

int cgroup_attach(const struct cgroup_host *h, uint32_t slot, pid_t pid, bool cloned)
{
    for (int i = 0; i < h->count; i++) {
        if (cloned && (h->trees[i].has & CGROUP_V2))
            continue;
        char file[32];
        (void)snprintf(file, sizeof file, "%scgroup.procs",
                       is_limiting_v2(&h->trees[i]) ? "agent/" : "");
        int r = put(h, &h->trees[i], slot, file, (uint64_t)pid);
        if (r < 0)
            return TRACE(r);
    }
    return 0;
}

int cgroup_command_fds(const struct cgroup_host *h, uint32_t slot, int fds[CGROUP_TREES])
{
    int count = 0;
    for (int i = 0; i < h->count; i++) {
        if (!has_inner(&h->trees[i]))
            continue;
        char path[64];
        (void)snprintf(path, sizeof path, "%u/cmd/cgroup.procs", slot);
        int flags = O_WRONLY | O_CLOEXEC | (h->created_files ? O_CREAT : 0);
        int fd = openat(h->trees[i].dir, path, flags, 0644);
        if (fd < 0) {
            int r = RAISE(-errno);
            while (count > 0)
                fd_closep(&fds[--count]);
            return r;
        }
        fds[count++] = fd;
    }
    return count;
}

/* -- running -- */

static const struct cgroup_tree *freezer(const struct cgroup_host *h)
{
    for (int i = 0; i < h->count; i++)
        if (h->trees[i].has & CGROUP_FREEZER)
            return &h->trees[i];
    return NULL;
}

int cgroup_freeze(const struct cgroup_host *h, uint32_t slot, bool frozen)
{
    const struct cgroup_tree *t = freezer(h);
    if (!t)
        return RAISE(-ENOTSUP);
    if (t->has & CGROUP_V2)
        return TRACE(put(h, t, slot, "cgroup.freeze", frozen ? 1 : 0));
    return TRACE(put_text(h, t, slot, "freezer.state", frozen ? "FROZEN" : "THAWED"));
}

bool cgroup_is_frozen(const struct cgroup_host *h, uint32_t slot)
{
    const struct cgroup_tree *t = freezer(h);
    char path[64], text[32];
    if (!t)
        return false;
    (void)snprintf(path, sizeof path, "%u/%s", slot,
                   t->has & CGROUP_V2 ? "cgroup.freeze" : "freezer.state");
    return file_get(t->dir, path, text, sizeof text) > 0 && (text[0] == '1' || text[0] == 'F');
}

bool cgroup_is_still(const struct cgroup_host *h, uint32_t slot)
{
    const struct cgroup_tree *t = freezer(h);
    char path[64], text[32];
    uint64_t frozen = 0;
    if (!t)
        return false;
    (void)snprintf(path, sizeof path, "%u/%s", slot,
                   t->has & CGROUP_V2 ? "cgroup.events" : "freezer.state");
    if (t->has & CGROUP_V2)
        return file_get_key(t->dir, path, "frozen", &frozen) == 0 && frozen == 1;
    return file_get(t->dir, path, text, sizeof text) > 0 && strcmp(text, "FROZEN\n") == 0;
}

void cgroup_reclaim(const struct cgroup_host *h, uint32_t slot)
{
    for (int i = 0; i < h->count; i++) {
        const struct cgroup_tree *t = &h->trees[i];
        uint64_t bytes = 0;
        char path[64];
        if (!(t->has & CGROUP_MEMORY))
            continue;
        (void)snprintf(path, sizeof path, "%u/cmd/memory.current", slot);
        /* Neither tells anything by its result: there is always something that cannot be freed. */
        if (!(t->has & CGROUP_V2))
            (void)put(h, t, slot, "cmd/memory.force_empty", 0);
        else if (file_get_u64(t->dir, path, &bytes) == 0 && bytes)
            (void)put(h, t, slot, "cmd/memory.reclaim", bytes);
    }
}

static void usage_memory(const struct cgroup_tree *t, uint32_t slot, struct cgroup_usage *u)
{
    bool v2 = (t->has & CGROUP_V2) != 0;
    char path[64];
    (void)snprintf(path, sizeof path, "%u/%s", slot,
                   v2 ? "memory.current" : "memory.usage_in_bytes");
    (void)file_get_u64(t->dir, path, &u->memory_bytes);
    (void)snprintf(path, sizeof path, "%u/memory.stat", slot);
    (void)file_get_key(t->dir, path, v2 ? "file" : "total_cache", &u->cache_bytes);
    /* Kills inside the inner group count in v2's outer one as well; v1 counts each level alone. */
    const char *const levels[] = { "", "cmd/" };
    for (int i = 0; i < (v2 ? 1 : 2); i++) {
        uint64_t kills = 0;
        (void)snprintf(path, sizeof path, "%u/%s%s", slot, levels[i],
                       v2 ? "memory.events" : "memory.oom_control");
        (void)file_get_key(t->dir, path, "oom_kill", &kills);
        u->oom_kills += kills;
    }
}

int cgroup_usage(const struct cgroup_host *h, uint32_t slot, struct cgroup_usage *u)
{
    *u = (struct cgroup_usage){ 0 };
    char path[64];
    for (int i = 0; i < h->count; i++) {
        const struct cgroup_tree *t = &h->trees[i];
        if (t->has & CGROUP_MEMORY)
            usage_memory(t, slot, u);
        if (t->has & CGROUP_PIDS) {
            (void)snprintf(path, sizeof path, "%u/pids.current", slot);
            (void)file_get_u64(t->dir, path, &u->pids);
        }
        if (t->has & CGROUP_V2) {
            (void)snprintf(path, sizeof path, "%u/cpu.stat", slot);
            (void)file_get_key(t->dir, path, "usage_usec", &u->cpu_us);
        }
    }
    return 0;
}

/* -- the end -- */

static void kill_listed(const struct cgroup_tree *t, uint32_t slot, const char *sub)
{
    char path[64], text[16384];
    (void)snprintf(path, sizeof path, "%u%s/cgroup.procs", slot, sub);
    if (file_get(t->dir, path, text, sizeof text) < 0)
        return;
    struct str rest = str_of(text), line;
    while (rest.n) {
        uint64_t pid;
        (void)str_cut(rest, '\n', &line, &rest);
        if (str_to_u64(line, 1u << 22, &pid) && pid > 1)
            (void)kill((pid_t)pid, SIGKILL);
    }
}

int cgroup_kill(const struct cgroup_host *h, uint32_t slot)
{
    for (int i = 0; i < h->count; i++) {
        if ((h->trees[i].has & CGROUP_V2) && put(h, &h->trees[i], slot, "cgroup.kill", 1) == 0)
            continue;
        kill_listed(&h->trees[i], slot, "");
        kill_listed(&h->trees[i], slot, "/agent");
        kill_listed(&h->trees[i], slot, "/cmd");
    }
    return 0;
}

static int tree_remove(const struct cgroup_tree *t, uint32_t slot)
{
    static const char *const subs[] = { "/cmd", "/agent", "" };
    int worst = 0;
    for (size_t s = 0; s < 3; s++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%u%s", slot, subs[s]);
        if (unlinkat(t->dir, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
            worst = -errno;
    }
    return worst;
}

int cgroup_remove(const struct cgroup_host *h, uint32_t slot)
{
    int worst = 0;
    for (int i = 0; i < h->count; i++) {
        int r = tree_remove(&h->trees[i], slot);
        worst = r < 0 ? r : worst;
    }
    return worst;
}

/* A v1 memory group as good as new: nobody is in it, nobody was killed in it, and what is charged
 * to it still (caches of the kernel) is not worth mentioning. */
static bool is_reusable(const struct cgroup_tree *t, uint32_t slot)
{
    static const char *const members[] = { "cgroup.procs", "cmd/cgroup.procs" };
    struct cgroup_usage u = { 0 };
    char path[64], text[16];
    if (!(t->has & CGROUP_MEMORY) || (t->has & CGROUP_V2))
        return false;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%u/%s", slot, members[i]);
        if (file_get(t->dir, path, text, sizeof text) != 0)
            return false;
    }
    usage_memory(t, slot, &u);
    return u.oom_kills == 0 && u.memory_bytes < CGROUP_LEFT_MEMORY;
}

int cgroup_recycle(const struct cgroup_host *h, uint32_t slot)
{
    int worst = 0;
    for (int i = 0; i < h->count; i++) {
        int r = is_reusable(&h->trees[i], slot) ? 0 : tree_remove(&h->trees[i], slot);
        worst = r < 0 ? r : worst;
    }
    return worst;
}

void cgroup_each(const struct cgroup_host *h, void (*fn)(void *data, uint32_t slot), void *data)
{
    for (int i = 0; i < h->count; i++) {
        int fd = openat(h->trees[i].dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
        for (struct dirent *e; d && (e = readdir(d));) {
            uint64_t slot;
            if (str_to_u64(str_of(e->d_name), UINT32_MAX, &slot))
                fn(data, (uint32_t)slot);
        }
    }
}
