/* What the engine asks of the kernel, each tried by the very code that the engine uses, in a child
 * with mounts and a network of its own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "main/belljar/host.h"
#include "os/os_cgroup.h"
#include "os/os_loopdev.h"
#include "os/os_mount.h"
#include "os/os_netlink.h"
#include "os/os_proc.h"
#include "os/os_seccomp.h"

#define IDS_BASE 524288u
#define IDS 65536u

static bool no(char why[HOST_WHY], const char *what, int err)
{
    (void)snprintf(why, HOST_WHY, "%s: %s", what, strerror(err < 0 ? -err : err));
    return false;
}

static bool yes(char why[HOST_WHY], const char *text)
{
    (void)snprintf(why, HOST_WHY, "%s", text);
    return true;
}

static bool users(const struct config *c, char why[HOST_WHY])
{
    (void)c;
    CLEANUP(fd_closep) int ns = proc_userns_new(IDS_BASE, IDS);
    return ns < 0 ? no(why, "a user namespace with 65536 ids", ns) : yes(why, "with 65536 ids");
}

static bool namespaces(const struct config *c, char why[HOST_WHY])
{
    (void)c;
    int kinds = CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
    return unshare(kinds) < 0 ? no(why, "unshare", errno) : yes(why, "pid, uts, ipc, cgroup");
}

/* The directories of an overlay's writable side on a fresh tmpfs; a detached mount. */
static int make_disk(void)
{
    const char *const none[] = { NULL };
    CLEANUP(fd_closep) int disk = mount_new("tmpfs", none, 0);
    if (disk >= 0 && (mkdirat(disk, "up", 0755) < 0 || mkdirat(disk, "work", 0755) < 0))
        return -errno;
    return TAKE_FD(disk);
}

static bool overlay(const struct config *c, char why[HOST_WHY])
{
    bool takes_fds = mount_overlay_takes_fds();
    struct overlay_spec spec = { .lower_count = 1, .attach = takes_fds ? NULL : "/mnt" };
    CLEANUP(fd_closep) int users_fd = proc_userns_new(IDS_BASE, IDS);
    CLEANUP(fd_closep) int lower = mount_clone(AT_FDCWD, c->state, users_fd);
    CLEANUP(fd_closep) int disk = make_disk();
    if (users_fd < 0)
        return no(why, "a user namespace", users_fd);
    if (lower < 0)
        return no(why, "an idmapped mount of the state's file system", lower);
    if (disk < 0)
        return no(why, "a detached tmpfs", disk);
    spec.lowers[0] = lower;
    spec.disk = disk;
    CLEANUP(fd_closep) int fd = mount_overlay(&spec);
    return fd < 0 ? no(why, "an overlay of it", fd)
                  : yes(why, takes_fds ? "on an idmapped lower, by descriptor"
                                       : "on an idmapped lower, by path");
}

static bool loops(const struct config *c, char why[HOST_WHY])
{
    char text[96];
    int number = -1;
    CLEANUP(fd_closep) int file = open(c->state, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, 1 << 20) < 0)
        return no(why, "a file in the state directory", errno);
    CLEANUP(fd_closep) int device = loopdev_attach(file, LOOPDEV_BUFFERED, &number);
    if (device < 0)
        return no(why, "attaching a file", device);
    (void)snprintf(text, sizeof text, "a file of the state as /dev/loop%d", number);
    return yes(why, text);
}

static bool cgroups(const struct config *c, char why[HOST_WHY])
{
    struct cgroup_host h;
    unsigned v1 = 0, v2 = 0;
    (void)c;
    int r = cgroup_host_open(&h, "doctor", NULL);
    for (int i = 0; r == 0 && i < h.count; i++)
        *(h.trees[i].has & CGROUP_V2 ? &v2 : &v1) |= h.trees[i].has;
    if (r < 0)
        return no(why, "the memory and pids controllers", r);
    cgroup_host_remove(&h, "doctor");
    cgroup_host_close(&h);
    if (!((v1 | v2) & CGROUP_CPU))
        return no(why, "the cpu controller", ENOTSUP);
    if (!((v1 | v2) & CGROUP_FREEZER))
        return no(why, "the freezer", ENOTSUP);
    return yes(why, !v1                   ? "v2: memory, pids, cpu, freezer"
                    : v2 & CGROUP_FREEZER ? "v1: memory, pids, cpu; v2 beside: freezer, kill"
                                          : "v1: memory, pids, cpu, freezer");
}

static bool networks(const struct config *c, char why[HOST_WHY])
{
    struct netlink n;
    (void)c;
    int r = netlink_open(&n);
    CLEANUP(fd_closep) int own = proc_namespace(0, "net");
    if (r < 0 || own < 0)
        return no(why, "a netlink socket", r < 0 ? r : own);
    const struct netlink_veth veth = { .name = "bjdoctor",
                                       .peer_name = "bjpeer",
                                       .mac = { 2, 0, 0, 0, 0, 1 },
                                       .peer_mac = { 2, 0, 0, 0, 0, 2 },
                                       .peer_netns = own,
                                       .peer_index = 77 };
    netlink_veth_add(&n, &veth);
    r = netlink_commit(&n);
    netlink_close(&n);
    return r < 0 ? no(why, "a veth pair in a network namespace", r)
                 : yes(why, "namespace and veth pair");
}

/* The kinds of rules that the engine loads. */
static bool nftables(const struct config *c, char why[HOST_WHY])
{
    static const char rules[] =
        "table inet doctor {\n"
        " chain n { type nat hook postrouting priority srcnat; masquerade; }\n"
        " chain f { type filter hook forward priority filter; ct state established accept;\n"
        "  ip daddr { 10.0.0.0/8, 127.0.0.0/8 } meta l4proto { tcp, udp } th dport 53 drop; }\n"
        "}\n";
    int in[2], out[2], status = 0;
    char said[128];
    (void)c;
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 ||
        write(in[1], rules, sizeof rules - 1) < 0)
        return no(why, "a pipe", errno);
    (void)close(in[1]);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)dup2(out[1], 2);
        (void)execlp("nft", "nft", "-f", "-", (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    ssize_t n = read(out[0], said, sizeof said - 1);
    said[n > 0 ? n : 0] = '\0';
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return no(why, "starting nft", errno);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return yes(why, "nat, filter, conntrack, sets");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return no(why, "the program nft", ENOENT);
    (void)snprintf(why, HOST_WHY, "rules for nat and filter: %.*s", (int)strcspn(said, "\n"), said);
    return false;
}

static bool filters(const struct config *c, char why[HOST_WHY])
{
    struct sock_fprog program = { 0 };
    (void)c;
    int r = sysfilter_build(&program);
    if (r == 0)
        r = sysfilter_load(&program);
    return r < 0 ? no(why, "loading the filter of sandboxes", r) : yes(why, "the filter loads");
}

const struct host_probe host_probes[] = {
    { "user namespaces",
      "sysctl -w user.max_user_namespaces=63000; inside a container it must be allowed to nest",
      users },
    { "namespaces", "a kernel with PID_NS, UTS_NS, IPC_NS and CGROUPS", namespaces },
    { "overlay",
      "Linux 5.19 or newer, and a state (BELLJAR_STATE) on ext4, xfs or btrfs; inside a container, "
      "on a volume of its own",
      overlay },
    { "loop devices", "modprobe loop; inside a container, /dev/loop-control must be allowed",
      loops },
    { "cgroups", "mount cgroup v2, or the v1 controllers memory, pids, cpu and freezer", cgroups },
    { "network namespaces", "modprobe veth", networks },
    { "nftables", "apt-get install nftables; modprobe nf_tables nft_chain_nat nft_ct nft_masq",
      nftables },
    { "seccomp", "a kernel with SECCOMP_FILTER", filters },
    { 0 },
};

bool host_probe_run(const struct host_probe *p, const struct config *c, char why[HOST_WHY])
{
    int out[2], status = 0;
    (void)snprintf(why, HOST_WHY, "it could not be tried");
    if (pipe2(out, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        char text[HOST_WHY] = "";
        bool good = unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
                    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        good = good ? p->try(c, text) : no(text, "mounts and network of its own", errno);
        (void)!write(out[1], text, sizeof text);
        _exit(good ? 0 : 1);
    }
    (void)close(out[1]);
    ssize_t n = pid < 0 ? -1 : read(out[0], why, HOST_WHY);
    (void)close(out[0]);
    why[HOST_WHY - 1] = '\0';
    if (n <= 0)
        (void)snprintf(why, HOST_WHY, "trying it ended the process that tried");
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}
