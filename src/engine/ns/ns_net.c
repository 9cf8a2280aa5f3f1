#include "engine/ns/ns_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "os/os_file.h"
#include "os/os_mount.h"
#include "os/os_netlink.h"
#include "os/os_sys.h"

#define INSIDE "eth0"
#define INSIDE_INDEX 2u /* lo is 1 */
#define GATEWAY                                                                                    \
    0xa9fe0001u /* 169.254.0.1: link-local, the same in every sandbox, on no interface */

/* -- rules -- */

static void rules_print(const struct ns_host *h, const uint32_t *resolvers, int count,
                        struct buf *b)
{
    const char *p = h->config->prefix;
    char dns[512] = "";
    size_t at = 0;
    for (int i = 0; i < count && at < sizeof dns - 20; i++) {
        char text[INET_ADDRSTRLEN];
        (void)inet_ntop(AF_INET, &resolvers[i], text, sizeof text);
        at += (size_t)snprintf(dns + at, sizeof dns - at, "%s%s", i ? ", " : "", text);
    }
    /* Declared, deleted and declared again in one transaction: replaced without a gap. */
    (void)buf_printf(b, "table inet belljar-%s\ndelete table inet belljar-%s\n", p, p);
    (void)buf_printf(b, "table inet belljar-%s {\n", p);
    (void)buf_printf(b,
                     " chain nat { type nat hook postrouting priority srcnat;\n"
                     "  iifname \"%sv*\" ip saddr %s oifname != \"%sv*\" masquerade\n }\n",
                     p, h->config->network, p);
    (void)buf_printf(b,
                     " chain forward { type filter hook forward priority filter - 5;\n"
                     "  iifname \"%sv*\" jump out\n"
                     "  oifname \"%sv*\" ct state established,related accept\n"
                     "  oifname \"%sv*\" drop\n }\n",
                     p, p, p);
    (void)buf_printf(b,
                     " chain out {\n  meta nfproto ipv6 drop\n  ip saddr != %s drop\n"
                     "  oifname \"%sv*\" drop\n",
                     h->config->network, p);
    if (count)
        (void)buf_printf(b, "  ip daddr { %s } meta l4proto { tcp, udp } th dport 53 accept\n",
                         dns);
    (void)buf_printf(b, "  ip daddr { 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8,\n"
                        "   169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3 } drop\n"
                        "  accept\n }\n");
    (void)buf_printf(b, " chain input { type filter hook input priority filter - 5;\n");
    if (count)
        (void)buf_printf(b,
                         "  iifname \"%sv*\" ip daddr { %s } meta l4proto { tcp, udp } "
                         "th dport 53 accept\n",
                         p, dns);
    (void)buf_printf(b, "  iifname \"%sv*\" drop\n }\n}\n", p);
}

static int nft_run(struct str text)
{
    int in[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return RAISE(-errno);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(in[0], 0);
        (void)execlp("nft", "nft", "-f", "-", (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    ssize_t n = pid < 0 ? -1 : write(in[1], text.p, text.n); /* fits a pipe: 64 KiB */
    (void)close(in[1]);
    int status = -1;
    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    return n == (ssize_t)text.n && status == 0 ? 0 : RAISE(-EIO);
}

int ns_net_rules(const struct ns_host *h, const uint32_t *resolvers, int count)
{
    char text[8];
    /* Forwarding flips settings of all interfaces when it changes: only when it is off. */
    if (file_get(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", text, sizeof text) < 0 ||
        text[0] != '1') {
        int r = file_put(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", STR("1"));
        if (r < 0)
            return RAISE(r);
    }
    struct buf b;
    buf_init(&b, 16384);
    rules_print(h, resolvers, count, &b);
    int r = b.failed ? RAISE(-ENOMEM) : nft_run(buf_str(&b));
    if (r < 0)
        log_error("nft did not take the rules (is nftables installed?)");
    buf_deinit(&b);
    return TRACE(r);
}

void ns_net_rules_remove(const struct ns_host *h)
{
    struct buf b;
    buf_init(&b, 512);
    (void)buf_printf(&b, "delete table inet belljar-%s\n", h->config->prefix);
    (void)nft_run(buf_str(&b));
    buf_deinit(&b);
}

/* -- one namespace -- */

void ns_net_name(const struct ns_host *h, uint32_t slot, char out[NS_NET_NAME])
{
    (void)snprintf(out, NS_NET_NAME, "%.6sv%u", h->config->prefix, slot % 100000000u);
}

static uint32_t slot_address(const struct ns_host *h, uint32_t slot)
{
    return htonl(h->network + 2 + slot);
}

static void macs(uint32_t slot, uint8_t outer[6], uint8_t inner[6])
{
    for (int i = 0; i < 2; i++) {
        uint8_t *m = i ? inner : outer;
        m[0] = i ? 0x02 : 0x06; /* locally administered */
        m[1] = 0x62;
        m[2] = (uint8_t)(slot >> 24);
        m[3] = (uint8_t)(slot >> 16);
        m[4] = (uint8_t)(slot >> 8);
        m[5] = (uint8_t)slot;
    }
}

/* Runs inside: what of a fresh namespace cannot wait for the veth. */
static void settings_inside(void)
{
    /* No IPv6 on what comes later (eth0): no router solicitations, no addresses of its own. On lo
     * it stays, for programs that bind ::1. */
    (void)file_put(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", STR("1"));
    /* The namespace is the host's: the range is of host ids, which every sandbox has its own of. */
    (void)file_put(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", STR("0 2147483647"));
    (void)file_put(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", STR("0"));
}

static int links_inside(const struct ns_host *h, uint32_t slot, struct netlink *n,
                        const uint8_t outer_mac[6])
{
    netlink_link_up(n, 1);
    netlink_address_add(n, INSIDE_INDEX, slot_address(h, slot));
    netlink_link_up(n, INSIDE_INDEX);
    netlink_neighbour_add(n, INSIDE_INDEX, htonl(GATEWAY), outer_mac);
    netlink_route(n, &(struct netlink_route){ .index = INSIDE_INDEX, .gateway = htonl(GATEWAY) });
    return TRACE(netlink_commit(n));
}

static int links_outside(const struct ns_host *h, uint32_t slot, struct netlink *n,
                         const uint8_t inner_mac[6])
{
    char name[NS_NET_NAME], path[96];
    ns_net_name(h, slot, name);
    unsigned index = if_nametoindex(name);
    if (!index)
        return RAISE(-errno);
    (void)snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    (void)file_put(AT_FDCWD, path, STR("1"));
    netlink_link_up(n, index);
    netlink_neighbour_add(n, index, slot_address(h, slot), inner_mac);
    netlink_route(n, &(struct netlink_route){
                         .index = index, .address = slot_address(h, slot), .prefix = 32 });
    return TRACE(netlink_commit(n));
}

uint32_t ns_net_mtu(void)
{
    char text[8192], path[64], name[20];
    uint64_t mtu = 0;
    struct str rest, line;
    if (file_get(AT_FDCWD, "/proc/net/route", text, sizeof text) < 0)
        return 0;
    rest = str_of(text);
    while (mtu == 0 && rest.n) {
        struct str device, target;
        (void)str_cut(rest, '\n', &line, &rest);
        (void)str_cut(line, '\t', &device, &target);
        if (!str_starts(target, STR("00000000\t")) ||
            !str_copy(str_trim(device), name, sizeof name))
            continue;
        (void)snprintf(path, sizeof path, "/sys/class/net/%s/mtu", name);
        (void)file_get_u64(AT_FDCWD, path, &mtu);
    }
    return (uint32_t)mtu;
}

static int veth_make(const struct ns_host *h, uint32_t slot, int netns, struct netlink *inside)
{
    CLEANUP(netlink_close) struct netlink host;
    struct netlink_veth v = {
        .peer_name = INSIDE, .peer_netns = netns, .mtu = h->mtu, .peer_index = INSIDE_INDEX
    };
    char name[NS_NET_NAME];
    ns_net_name(h, slot, name);
    v.name = name;
    macs(slot, v.mac, v.peer_mac);
    int r = netlink_open(&host);
    for (int tries = 0; r == 0; tries++) {
        netlink_veth_add(&host, &v);
        r = netlink_commit(&host);
        if (r != -EEXIST || tries)
            break;
        /* The last tenant's namespace is still going; its end is removed with ours. */
        netlink_link_remove(&host, name);
        (void)netlink_commit(&host);
        r = 0;
    }
    if (r == 0)
        r = links_inside(h, slot, inside, v.mac);
    if (r == 0)
        r = links_outside(h, slot, &host, v.peer_mac);
    return TRACE(r);
}

/* True when no packet has passed in the current namespace: then nothing of a former tenant is left
 * in its counters, caches and connection tables. */
static bool is_untouched(struct netlink *n)
{
    uint64_t lo = 1, eth = 1;
    return netlink_link_packets(n, 1, &lo) == 0 && lo == 0 &&
           netlink_link_packets(n, INSIDE_INDEX, &eth) == 0 && eth == 0;
}

static int tcp_socket(int *family)
{
    const int off = 0;
    *family = AF_INET6;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        return fd;
    }
    *family = AF_INET; /* a kernel without IPv6 */
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? RAISE(-errno) : fd;
}

static int listener_make(uint16_t port)
{
    int family;
    CLEANUP(fd_closep) int fd = tcp_socket(&family);
    if (fd < 0)
        return TRACE(fd);
    const int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    const void *address = family == AF_INET6 ? (const void *)&six : (const void *)&four;
    socklen_t size = family == AF_INET6 ? sizeof six : sizeof four;
    if (bind(fd, address, size) < 0 || listen(fd, 128) < 0)
        return RAISE(-errno);
    return TAKE_FD(fd);
}

/* Between the two calls of setns: all that has to happen in the namespace. */
static int fill(uint16_t port, struct ns_net *out)
{
    int r = out->listener = listener_make(port);
    if (r >= 0)
        r = out->sysfs = mount_new("sysfs", NULL,
                                   OS_MOUNT_ATTR_RDONLY | OS_MOUNT_ATTR_NOSUID |
                                       OS_MOUNT_ATTR_NODEV | OS_MOUNT_ATTR_NOEXEC);
    return r < 0 ? TRACE(r) : 0;
}

static void home(const struct ns_host *h)
{
    if (setns(h->netns, CLONE_NEWNET) < 0) {
        log_error("cannot return to the host's network: %s", strerror(errno));
        abort(); /* going on would set up the host's side inside a sandbox */
    }
}

static int reuse(const struct ns_host *h, int netns, uint16_t port, struct ns_net *out)
{
    CLEANUP(netlink_close) struct netlink n = { .fd = -1 };
    if (setns(netns, CLONE_NEWNET) < 0)
        return RAISE(-errno);
    int r = netlink_open(&n);
    if (r == 0 && !is_untouched(&n))
        r = -EBUSY;
    if (r == 0)
        r = fill(port, out);
    home(h);
    return r;
}

static int make(const struct ns_host *h, uint32_t slot, uint16_t port, struct ns_net *out)
{
    CLEANUP(netlink_close) struct netlink inside = { .fd = -1 };
    if (unshare(CLONE_NEWNET) < 0)
        return RAISE(-errno);
    settings_inside();
    int r = out->netns = proc_namespace(0, "net");
    if (r >= 0)
        r = netlink_open(&inside);
    if (r >= 0)
        r = fill(port, out);
    home(h);
    return r < 0 ? TRACE(r) : TRACE(veth_make(h, slot, out->netns, &inside));
}

int ns_net_make(const struct ns_host *h, uint32_t slot, int netns, uint16_t port,
                struct ns_net *out)
{
    *out = (struct ns_net){ .netns = -1, .sysfs = -1, .listener = -1 };
    int r = -EBUSY;
    if (netns >= 0) {
        r = reuse(h, netns, port, out);
        if (r == 0) {
            out->netns = netns;
            return 0;
        }
        fd_closep(&out->sysfs);
        fd_closep(&out->listener);
        (void)close(netns);
    }
    r = make(h, slot, port, out);
    if (r < 0) {
        fd_closep(&out->netns);
        fd_closep(&out->sysfs);
        fd_closep(&out->listener);
    }
    return TRACE(r);
}

int ns_net_isolate(const struct ns_host *h, int netns)
{
    CLEANUP(netlink_close) struct netlink n = { .fd = -1 };
    if (setns(netns, CLONE_NEWNET) < 0)
        return RAISE(-errno);
    int r = netlink_open(&n);
    home(h);
    if (r < 0)
        return TRACE(r);
    netlink_route(&n, &(struct netlink_route){
                          .index = INSIDE_INDEX, .gateway = htonl(GATEWAY), .remove = true });
    return TRACE(netlink_commit(&n));
}

int ns_net_sockets(const struct ns_host *h, int netns, int *fds, int count, int *family)
{
    if (setns(netns, CLONE_NEWNET) < 0)
        return RAISE(-errno);
    int r = 0, made = 0;
    for (; made < count && r >= 0; made++)
        r = fds[made] = tcp_socket(family);
    home(h);
    if (r >= 0)
        return 0;
    while (made > 0)
        fd_closep(&fds[--made]);
    return TRACE(r);
}

void ns_net_clean(const struct ns_host *h, bool (*is_used)(void *data, uint32_t slot), void *data)
{
    char start[NS_NET_NAME];
    int n = snprintf(start, sizeof start, "%.6sv", h->config->prefix);
    struct if_nameindex *all = if_nameindex();
    CLEANUP(netlink_close) struct netlink nl = { .fd = -1 };
    if (netlink_open(&nl) < 0 || !all)
        return;
    for (struct if_nameindex *i = all; i->if_index && i->if_name; i++) {
        uint64_t slot;
        if (strncmp(i->if_name, start, (size_t)n) != 0 ||
            !str_to_u64(str_of(i->if_name + n), UINT32_MAX, &slot) || is_used(data, (uint32_t)slot))
            continue;
        netlink_link_remove(&nl, i->if_name);
        (void)netlink_commit(&nl);
    }
    if_freenameindex(all);
}
