#include "engine/ns/ns_host.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_net.h"
#include "os/os_file.h"
#include "os/os_mount.h"
#include "os/os_seccomp.h"

static int directory(int dir, const char *name, mode_t mode)
{
    int r = file_mkdir(dir, name, mode);
    if (r < 0)
        return TRACE(r);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? RAISE(-errno) : fd;
}

static int directories_open(struct ns_host *h)
{
    int r = file_mkdirs(h->config->state, 0755);
    if (r < 0)
        return TRACE(r);
    h->state = open(h->config->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->state < 0)
        return RAISE(-errno);
    /* run/ and run/s/ are walked by edge and control on the way to a socket of theirs; what tenants
     * write (set-user-id files among it) lies in disk images that are nowhere attached. */
    r = file_mkdir(h->state, "run", 0755);
    if (r == 0)
        r = h->sandboxes = directory(h->state, "run/s", 0755);
    if (r >= 0)
        r = h->berths = directory(h->state, "run/b", 0755);
    if (r >= 0)
        r = h->disks = directory(h->state, "disks", 0700);
    if (r >= 0)
        r = h->layers = directory(h->state, "layers", 0700);
    if (r >= 0)
        r = h->kept = directory(h->state, "kept", 0700);
    if (r >= 0)
        r = file_mkdir(h->state, "site", 0700);
    return r < 0 ? TRACE(r) : 0;
}

static int network_parse(struct ns_host *h)
{
    struct str address, prefix;
    char text[32];
    struct in_addr in;
    if (!str_cut(str_of(h->config->network), '/', &address, &prefix) ||
        !str_eq(prefix, STR("16")) || !str_copy(address, text, sizeof text) ||
        inet_pton(AF_INET, text, &in) != 1 || (ntohl(in.s_addr) & 0xffffu)) {
        log_error("network '%s' is not of the form 10.200.0.0/16", h->config->network);
        return RAISE(-EINVAL);
    }
    h->network = ntohl(in.s_addr);
    return 0;
}

static void plan_probe(struct ns_host *h)
{
    for (size_t i = 0; i < plan_mask_count; i++)
        if (access(plan_masks[i].path, F_OK) == 0)
            h->plan.has |= 1ull << i;
    struct rlimit files = { 0 };
    (void)getrlimit(RLIMIT_NOFILE, &files);
    h->plan.open_files = files.rlim_max < 524288 ? files.rlim_max : 524288;
    h->plan.attach = h->plan.empty = "/"; /* the zygote has its own; here plans are only printed */
    files.rlim_cur = files.rlim_max;      /* the engine itself holds a few descriptors a sandbox */
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

/* Nothing that the engine mounts shows outside, and what children inherit is not shared back. */
static int mounts_private(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return RAISE(-errno);
    return 0;
}

static int overlay_choose(struct ns_host *h)
{
    if (!h->config->overlay_paths && mount_overlay_takes_fds())
        return 0;
    int n = snprintf(h->attach, sizeof h->attach, "%s/run/m", h->config->state);
    if (n < 0 || (size_t)n >= sizeof h->attach)
        return RAISE(-ENAMETOOLONG);
    log_info("overlays are built by path");
    return TRACE(file_mkdir(h->state, "run/m", 0700));
}

int ns_host_init(struct ns_host *h, const struct engine_config *config)
{
    *h = (struct ns_host){ .config = config,
                           .state = -1,
                           .sandboxes = -1,
                           .berths = -1,
                           .disks = -1,
                           .layers = -1,
                           .kept = -1,
                           .netns = -1 };
    plan_probe(h);
    int r = network_parse(h);
    if (r == 0)
        r = directories_open(h);
    if (r == 0)
        r = mounts_private();
    if (r == 0)
        r = overlay_choose(h);
    if (r == 0)
        r = proc_boot_id(h->boot_id);
    if (r == 0)
        r = cgroup_host_open(&h->cgroups, config->prefix, NULL);
    if (r == 0)
        r = sysfilter_build(&h->filter);
    if (r == 0)
        r = h->netns = proc_namespace(0, "net");
    h->mtu = ns_net_mtu();
    if (r < 0)
        ns_host_deinit(h);
    return r < 0 ? TRACE(r) : 0;
}

void ns_host_deinit(struct ns_host *h)
{
    cgroup_host_close(&h->cgroups);
    free(h->filter.filter);
    h->filter.filter = NULL;
    fd_closep(&h->state);
    fd_closep(&h->sandboxes);
    fd_closep(&h->berths);
    fd_closep(&h->disks);
    fd_closep(&h->layers);
    fd_closep(&h->kept);
    fd_closep(&h->netns);
}

int ns_host_fds(const struct ns_host *h, int out[NS_HOST_FDS])
{
    const int own[] = { h->state, h->sandboxes, h->berths, h->disks, h->layers, h->kept, h->netns };
    int count = 0;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        out[count++] = own[i];
    for (int i = 0; i < h->cgroups.count; i++)
        out[count++] = h->cgroups.trees[i].dir;
    return count;
}
