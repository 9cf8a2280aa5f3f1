/* Routing netlink (rtnetlink(7)): links, addresses, routes, neighbours. One request is many
 * messages in one datagram; the kernel does them in order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define NETLINK_MAC 6

struct netlink {
    int fd;       /* socket of one network namespace */
    struct buf b; /* messages not sent yet */
    uint32_t seq, first;
};

/* Opens a socket in the calling thread's network namespace. 0 or a negative errno. */
int netlink_open(struct netlink *n);
void netlink_close(struct netlink *n); /* fine when not open */

/* Sends what was added and waits for all answers. 0, or the first negative errno among them. */
int netlink_commit(struct netlink *n);

/* Adding messages; failure (no memory) shows in the commit. Addresses in network byte order. */
struct netlink_veth {
    const char *name, *peer_name;
    uint8_t mac[NETLINK_MAC], peer_mac[NETLINK_MAC];
    int peer_netns;      /* where the other end is made */
    uint32_t peer_index; /* its interface number there */
    uint32_t mtu;        /* of both ends; 0: the kernel's default */
};
/* Made down: with IFF_UP the kernel answers ENOTCONN and its rollback takes 15 ms. */
void netlink_veth_add(struct netlink *n, const struct netlink_veth *v);
void netlink_link_up(struct netlink *n, uint32_t index);
void netlink_link_remove(struct netlink *n, const char *name);
void netlink_address_add(struct netlink *n, uint32_t index, uint32_t address); /* /32 */
/* A route to address/prefix (0/0: default) over `index`, by way of `gateway` when not 0, which
 * need not be on a known network. */
struct netlink_route {
    uint32_t index, address, gateway;
    uint8_t prefix;
    bool remove;
};
void netlink_route(struct netlink *n, const struct netlink_route *route);
/* A permanent neighbour: no address resolution, no place in the table's limits. */
void netlink_neighbour_add(struct netlink *n, uint32_t index, uint32_t address,
                           const uint8_t mac[NETLINK_MAC]);

/* Packets received and sent on `index` since it was made. 0 or a negative errno. */
int netlink_link_packets(struct netlink *n, uint32_t index, uint64_t *packets);
