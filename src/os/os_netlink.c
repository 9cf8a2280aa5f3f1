#include "os/os_netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

#define REQUEST_SIZE 8192

int netlink_open(struct netlink *n)
{
    *n = (struct netlink){ .fd = -1 };
    buf_init(&n->b, REQUEST_SIZE);
    n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return n->fd < 0 ? RAISE(-errno) : 0;
}

void netlink_close(struct netlink *n)
{
    fd_closep(&n->fd);
    buf_deinit(&n->b);
}

/* -- building: lengths are written when a message or nest ends; 4-byte alignment throughout -- */

static size_t message_begin(struct netlink *n, uint16_t type, uint16_t flags, const void *head,
                            size_t head_size)
{
    size_t at = n->b.len;
    struct nlmsghdr h = { .nlmsg_type = type,
                          .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags),
                          .nlmsg_seq = ++n->seq };
    (void)buf_append(&n->b, str_make((const char *)&h, sizeof h));
    (void)buf_append(&n->b, str_make(head, head_size));
    return at;
}

static void message_end(struct netlink *n, size_t at)
{
    if (!n->b.failed) {
        uint32_t len = (uint32_t)(n->b.len - at);
        memcpy(n->b.p + at, &len, sizeof len);
    }
}

static size_t attr(struct netlink *n, uint16_t type, const void *data, size_t size)
{
    size_t at = n->b.len;
    struct rtattr a = { .rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = type };
    (void)buf_append(&n->b, str_make((const char *)&a, sizeof a));
    (void)buf_append(&n->b, str_make(data, size));
    (void)buf_append(&n->b, str_make("\0\0\0", RTA_ALIGN(size) - size));
    return at;
}

static void nest_end(struct netlink *n, size_t at)
{
    if (!n->b.failed) {
        unsigned short len = (unsigned short)(n->b.len - at);
        memcpy(n->b.p + at, &len, sizeof len);
    }
}

void netlink_veth_add(struct netlink *n, const struct netlink_veth *v)
{
    struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
    struct ifinfomsg peer = { .ifi_family = AF_UNSPEC, .ifi_index = (int)v->peer_index };
    size_t m = message_begin(n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
    (void)attr(n, IFLA_IFNAME, v->name, strlen(v->name) + 1);
    (void)attr(n, IFLA_ADDRESS, v->mac, NETLINK_MAC);
    if (v->mtu)
        (void)attr(n, IFLA_MTU, &v->mtu, sizeof v->mtu);
    size_t info = attr(n, IFLA_LINKINFO, NULL, 0);
    (void)attr(n, IFLA_INFO_KIND, "veth", 4);
    size_t data = attr(n, IFLA_INFO_DATA, NULL, 0);
    size_t other = attr(n, VETH_INFO_PEER, &peer, sizeof peer);
    uint32_t netns = (uint32_t)v->peer_netns;
    (void)attr(n, IFLA_IFNAME, v->peer_name, strlen(v->peer_name) + 1);
    (void)attr(n, IFLA_ADDRESS, v->peer_mac, NETLINK_MAC);
    if (v->mtu)
        (void)attr(n, IFLA_MTU, &v->mtu, sizeof v->mtu);
    (void)attr(n, IFLA_NET_NS_FD, &netns, sizeof netns);
    nest_end(n, other);
    nest_end(n, data);
    nest_end(n, info);
    message_end(n, m);
}

void netlink_link_up(struct netlink *n, uint32_t index)
{
    struct ifinfomsg link = {
        .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP
    };
    message_end(n, message_begin(n, RTM_NEWLINK, 0, &link, sizeof link));
}

void netlink_link_remove(struct netlink *n, const char *name)
{
    struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
    size_t m = message_begin(n, RTM_DELLINK, 0, &link, sizeof link);
    (void)attr(n, IFLA_IFNAME, name, strlen(name) + 1);
    message_end(n, m);
}

void netlink_address_add(struct netlink *n, uint32_t index, uint32_t address)
{
    struct ifaddrmsg a = { .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = index };
    size_t m = message_begin(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &a, sizeof a);
    (void)attr(n, IFA_LOCAL, &address, sizeof address);
    (void)attr(n, IFA_ADDRESS, &address, sizeof address);
    message_end(n, m);
}

void netlink_route(struct netlink *n, const struct netlink_route *route)
{
    struct rtmsg r = { .rtm_family = AF_INET,
                       .rtm_dst_len = route->prefix,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = RTPROT_STATIC,
                       .rtm_scope = route->gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                       .rtm_type = RTN_UNICAST,
                       .rtm_flags = route->gateway ? RTNH_F_ONLINK : 0 };
    uint16_t flags = route->remove ? 0 : NLM_F_CREATE | NLM_F_REPLACE;
    size_t m = message_begin(n, route->remove ? RTM_DELROUTE : RTM_NEWROUTE, flags, &r, sizeof r);
    if (route->prefix)
        (void)attr(n, RTA_DST, &route->address, sizeof route->address);
    if (route->gateway)
        (void)attr(n, RTA_GATEWAY, &route->gateway, sizeof route->gateway);
    (void)attr(n, RTA_OIF, &route->index, sizeof route->index);
    message_end(n, m);
}

void netlink_neighbour_add(struct netlink *n, uint32_t index, uint32_t address,
                           const uint8_t mac[NETLINK_MAC])
{
    struct ndmsg d = { .ndm_family = AF_INET,
                       .ndm_ifindex = (int)index,
                       .ndm_state = NUD_PERMANENT };
    size_t m = message_begin(n, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &d, sizeof d);
    (void)attr(n, NDA_DST, &address, sizeof address);
    (void)attr(n, NDA_LLADDR, mac, NETLINK_MAC);
    message_end(n, m);
}

/* -- asking -- */

static int answers_read(struct netlink *n, uint32_t wanted)
{
    int first = 0;
    for (uint32_t got = 0; got < wanted;) {
        _Alignas(struct nlmsghdr) char in[16384];
        ssize_t len = recv(n->fd, in, sizeof in, 0);
        if (len < 0)
            return RAISE(-errno);
        for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)in; NLMSG_OK(h, (size_t)len);
             h = NLMSG_NEXT(h, len)) {
            if (h->nlmsg_type != NLMSG_ERROR)
                continue;
            got++;
            const struct nlmsgerr *e = NLMSG_DATA(h);
            if (e->error < 0 && first == 0)
                first = e->error;
        }
    }
    return first;
}

int netlink_commit(struct netlink *n)
{
    uint32_t wanted = n->seq - n->first;
    n->first = n->seq;
    if (n->b.failed) {
        buf_reset(&n->b);
        return RAISE(-ENOMEM);
    }
    ssize_t sent = send(n->fd, n->b.p, n->b.len, 0);
    int r = sent < 0 ? RAISE(-errno) : 0;
    buf_reset(&n->b);
    return r < 0 ? r : answers_read(n, wanted);
}

int netlink_link_packets(struct netlink *n, uint32_t index, uint64_t *packets)
{
    struct ifinfomsg link = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index };
    size_t m = message_begin(n, RTM_GETLINK, 0, &link, sizeof link);
    message_end(n, m);
    if (!n->b.failed) /* the answer is the link itself: no acknowledgement besides it */
        ((struct nlmsghdr *)(void *)(n->b.p + m))->nlmsg_flags = NLM_F_REQUEST;
    n->first = n->seq;
    ssize_t sent = n->b.failed ? -1 : send(n->fd, n->b.p, n->b.len, 0);
    buf_reset(&n->b);
    if (sent < 0)
        return RAISE(-errno);
    _Alignas(struct nlmsghdr) char in[16384];
    ssize_t len = recv(n->fd, in, sizeof in, 0);
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)in;
    if (len < 0 || !NLMSG_OK(h, (size_t)len))
        return RAISE(len < 0 ? -errno : -EBADMSG);
    if (h->nlmsg_type == NLMSG_ERROR)
        return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
    size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof link);
    for (struct rtattr *a = IFLA_RTA(NLMSG_DATA(h)); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == IFLA_STATS64 && RTA_PAYLOAD(a) >= sizeof(struct rtnl_link_stats64)) {
            struct rtnl_link_stats64 s;
            memcpy(&s, RTA_DATA(a), sizeof s);
            *packets = s.rx_packets + s.tx_packets + s.rx_dropped + s.tx_dropped;
            return 0;
        }
    return RAISE(-EBADMSG);
}
