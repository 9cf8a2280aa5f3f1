/* Control's end of the links to the edges: publishes routes and knows when every edge has them.
 * Callbacks run from the loop, never inside a call here. ipc/route_proto.h is the protocol. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/op.h"
#include "ipc/route_proto.h"
#include "loop/loop.h"

struct route_link;
struct route_peer;

/* One change on its way to the edges; lives in its owner's struct. Zero-initialised = idle. */
struct route_change {
    struct route_link *link; /* NULL: idle */
    struct list node;
    uint64_t tag;
    uint64_t waiting; /* one bit per edge that has not replied */
    int64_t due_ms;   /* edges that have not replied by then are cut off */
    struct loop_task task;
    void (*fn)(struct route_change *c);
    void *data;
};

struct route_link_ops {
    /* A new edge: call route_link_tell for every route there is. */
    void (*on_edge)(void *data, struct route_peer *peer);
    /* An edge asks to wake sandbox `id`: answer with route_wake_answer, now or later. */
    void (*on_wake)(void *data, struct str id, uint32_t peer, uint64_t tag);
};

/* Accepts edges on the listening socket `fd` (taken in every case). NULL with errno. */
struct route_link *route_link_new(struct loop *l, int fd, const struct route_link_ops *ops,
                                  void *data);
void route_link_free(struct route_link *k);

/* A ROUTE_SET or ROUTE_DROP: fields go into the buffer, which is the link's. */
struct buf *route_link_begin(struct route_link *k, enum route_verb verb);
/* Sends it to every edge. c->fn runs once, when all of them have replied or were cut off (without
 * edges: at once, from the loop), unless c is published again or cancelled before: then never. */
void route_link_publish(struct route_link *k, struct route_change *c);
void route_change_cancel(struct route_change *c);
/* Inside on_edge: sends it to that edge, without a reply. */
void route_link_tell(struct route_link *k, struct route_peer *peer);

/* `fault` NONE: it runs and its route is published. Nothing happens when the edge is gone. */
void route_wake_answer(struct route_link *k, uint32_t peer, uint64_t tag,
                       const struct fault *fault);

uint32_t route_link_edges(const struct route_link *k);
