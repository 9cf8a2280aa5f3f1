#include "engine/ns/ns_berth.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/rand.h"
#include "engine/ns/ns_net.h"
#include "os/os_file.h"
#include "os/os_mount.h"
#include "os/os_sys.h"

#define AGENT_TCP_PORT 49983

void berth_init(struct berth *b)
{
    *b = (struct berth){ 0 };
    for (int i = 0; i < BERTH_FDS; i++)
        b->fds[i] = -1;
}

void berth_deinit(struct berth *b)
{
    for (int i = 0; i < BERTH_FDS; i++)
        fd_closep(&b->fds[i]);
}

/* -- /dev: made here because mknod is refused in a user namespace, and one mount to attach is
 *    cheaper than six binds -- */

static int dev_fill(int dev, uint32_t id)
{
    static const struct {
        const char *name;
        unsigned major, minor, gid;
    } nodes[] = { { "null", 1, 3, 0 },   { "zero", 1, 5, 0 },    { "full", 1, 7, 0 },
                  { "random", 1, 8, 0 }, { "urandom", 1, 9, 0 }, { "tty", 5, 0, 5 },
                  { "fuse", 10, 229, 0 } };
    static const char *const links[][2] = { { "/proc/self/fd", "fd" },
                                            { "/proc/self/fd/0", "stdin" },
                                            { "/proc/self/fd/1", "stdout" },
                                            { "/proc/self/fd/2", "stderr" },
                                            { "pts/ptmx", "ptmx" } };
    static const char *const dirs[] = { "pts", "shm", "mqueue" };
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) <
                0 ||
            fchownat(dev, nodes[i].name, id, id + nodes[i].gid, 0) < 0 ||
            fchmodat(dev, nodes[i].name, 0666, 0) < 0)
            return RAISE(-errno);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlinkat(links[i][0], dev, links[i][1]) < 0 ||
            fchownat(dev, links[i][1], id, id, AT_SYMLINK_NOFOLLOW) < 0)
            return RAISE(-errno);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        if (mkdirat(dev, dirs[i], 0755) < 0 || fchownat(dev, dirs[i], id, id, 0) < 0)
            return RAISE(-errno);
    /* A mount's descriptor is O_PATH: fchown(2) refuses it. */
    return fchownat(dev, "", id, id, AT_EMPTY_PATH) < 0 ? RAISE(-errno) : 0;
}

static int dev_make(uint32_t id)
{
    const char *const options[] = { "mode", "755", "size", "64k", "nr_inodes", "256", NULL, NULL };
    CLEANUP(fd_closep)
    int fd = mount_new("tmpfs", options, OS_MOUNT_ATTR_NOSUID | OS_MOUNT_ATTR_NOEXEC);
    int r = fd < 0 ? fd : dev_fill(fd, id);
    return r < 0 ? TRACE(r) : TAKE_FD(fd);
}

/* A file in a file system of its own: mountinfo inside shows the path within it, not the host's. */
static int boot_id_make(void)
{
    const char *const options[] = { "mode", "755", "size", "4k", NULL, NULL };
    CLEANUP(fd_closep) int fd = mount_new("tmpfs", options, 0);
    if (fd < 0)
        return TRACE(fd);
    char text[RAND_UUID_SIZE];
    rand_uuid(text);
    text[RAND_UUID_SIZE - 1] = '\n';
    int r = file_save(fd, "boot_id", 0444, str_make(text, RAND_UUID_SIZE));
    if (r < 0)
        return TRACE(r);
    CLEANUP(fd_closep) int file = mount_clone(fd, "boot_id", -1);
    struct os_mount_attr a = { .set = OS_MOUNT_ATTR_RDONLY | OS_MOUNT_ATTR_NOSUID |
                                      OS_MOUNT_ATTR_NODEV | OS_MOUNT_ATTR_NOEXEC };
    r = file < 0 ? file : os_mount_setattr(file, "", AT_EMPTY_PATH, &a);
    return r < 0 ? TRACE(r) : TAKE_FD(file);
}

/* -- sockets the host's programs connect to -- */

static int socket_make(int dir, const char *name, uid_t owner)
{
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return RAISE(-errno);
    /* By descriptor: a state directory may be longer than the 108 bytes of an address. */
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    (void)snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%s", dir, name);
    mode_t before = umask(0177);
    int r = bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno : 0;
    (void)umask(before);
    if (r == 0 && fchownat(dir, name, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    if (r == 0 && listen(fd, 1024) < 0)
        r = -errno;
    return r < 0 ? RAISE(r) : TAKE_FD(fd);
}

static int sockets_make(const struct ns_host *h, struct berth *b)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", b->slot);
    (void)file_remove_tree(h->berths, name);
    if (mkdirat(h->berths, name, 0755) < 0)
        return RAISE(-errno);
    CLEANUP(fd_closep) int dir = openat(h->berths, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return RAISE(-errno);
    int r = b->fds[BERTH_ENVD] = socket_make(dir, "envd.sock", h->config->edge_uid);
    if (r >= 0)
        r = b->fds[BERTH_HOST] = socket_make(dir, "host.sock", h->config->control_uid);
    return r < 0 ? TRACE(r) : 0;
}

static int groups_make(const struct ns_host *h, const struct cgroup_limits *limits, struct berth *b)
{
    int fds[CGROUP_TREES];
    int r = cgroup_make(&h->cgroups, b->slot);
    if (r == 0)
        r = cgroup_limit(&h->cgroups, b->slot, limits);
    int count = r < 0 ? r : cgroup_command_fds(&h->cgroups, b->slot, fds);
    if (count < 0)
        return TRACE(count);
    for (int i = 0; i < count; i++)
        if (BERTH_CMD + i < BERTH_FDS)
            b->fds[BERTH_CMD + i] = fds[i];
        else
            (void)close(fds[i]);
    return 0;
}

static int make(const struct ns_host *h, int netns, const struct cgroup_limits *limits,
                struct berth *b)
{
    struct ns_net net;
    int r = ns_net_make(h, b->slot, netns, AGENT_TCP_PORT, &net);
    if (r < 0)
        return TRACE(r);
    b->fds[BERTH_NETNS] = net.netns;
    b->fds[BERTH_SYS] = net.sysfs;
    b->fds[BERTH_TCP] = net.listener;
    uint32_t id = ns_host_uid(h, b->slot);
    if (r == 0)
        r = b->fds[BERTH_USERNS] = proc_userns_new(id, NS_IDS);
    if (r >= 0)
        r = b->fds[BERTH_DEV] = dev_make(id);
    if (r >= 0)
        r = b->fds[BERTH_BOOT_ID] = boot_id_make();
    if (r >= 0)
        r = groups_make(h, limits, b);
    if (r >= 0)
        r = sockets_make(h, b);
    return r < 0 ? TRACE(r) : 0;
}

int ns_berth_make(const struct ns_host *h, uint32_t slot, int netns,
                  const struct cgroup_limits *limits, struct berth *out)
{
    berth_init(out);
    out->slot = slot;
    out->limits = *limits;
    int r = make(h, netns, limits, out);
    if (r < 0) {
        berth_deinit(out);
        (void)ns_berth_clear(h, slot, false);
    }
    return TRACE(r);
}

int ns_berth_clear(const struct ns_host *h, uint32_t slot, bool again)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", slot);
    int r = again ? cgroup_recycle(&h->cgroups, slot) : cgroup_remove(&h->cgroups, slot);
    int s = file_remove_tree(h->berths, name);
    return r < 0 ? r : s;
}
