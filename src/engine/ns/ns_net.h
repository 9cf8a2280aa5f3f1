/* A sandbox's network: a namespace of the host's (so that root inside cannot change it) with a veth
 * pair, /32 routed, no bridge, no address resolution; and the host's rules for all of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/ns/ns_host.h"

#define NS_NET_NAME 16

/* Loads the firewall and NAT rules (one nftables table, replaced as a whole) and turns forwarding
 * on. `resolvers` are the DNS servers sandboxes may reach even where they are private addresses,
 * network byte order. 0 or a negative errno. */
int ns_net_rules(const struct ns_host *h, const uint32_t *resolvers, int count);
void ns_net_rules_remove(const struct ns_host *h); /* the whole table; fine when absent */

/* Makes the namespace of `slot`, or takes `netns` when it is not -1 and no packet ever passed in
 * it. Fills in the namespace, a sysfs mount that shows it, and a listening TCP socket on `port`
 * inside; all are the caller's. `netns` is closed when not taken. 0 or a negative errno. */
struct ns_net {
    int netns, sysfs, listener;
};
int ns_net_make(const struct ns_host *h, uint32_t slot, int netns, uint16_t port,
                struct ns_net *out);

/* Takes the way out of the namespace away (the default route). 0 or a negative errno. */
int ns_net_isolate(const struct ns_host *h, int netns);

/* `count` unconnected non-blocking TCP sockets inside; *family tells which. 0 or negative errno. */
int ns_net_sockets(const struct ns_host *h, int netns, int *fds, int count, int *family);

/* Interface of `slot` on the host. */
void ns_net_name(const struct ns_host *h, uint32_t slot, char out[NS_NET_NAME]);
/* Removes the interfaces of this server whose slot `is_used` does not know. */
void ns_net_clean(const struct ns_host *h, bool (*is_used)(void *data, uint32_t slot), void *data);

/* The MTU of the device of the default route (proc_net_route in proc(5)); 0: not known. */
uint32_t ns_net_mtu(void);
