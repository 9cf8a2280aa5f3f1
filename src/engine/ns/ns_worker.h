/* Work that has to wait for disks, each in a process of its own: the engine's one thread never
 * waits. At most LIMIT_ENGINE_WORKERS run at once; works of one slot run one after the other, in
 * the order in which they were started.
 *
 * A worker ends with the engine. It is never killed but asked to end (SIGTERM), so that what it has
 * frozen is thawed and what it has half made is removed; after a kill -9 of all, the next engine
 * does that. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "engine/ns/ns_host.h"
#include "loop/loop.h"

#define NS_NO_SLOT UINT32_MAX

struct ns_work;
struct ns_work_ops {
    /* In the process, whose memory is a copy. What it returns is on_end's status. NULL: nothing is
     * to be done but to wait for the works before it. */
    int (*run)(const struct ns_host *h, struct ns_work *w);
    /* Something said on the way, with a descriptor or -1; whoever takes it sets it to -1. */
    void (*on_report)(struct ns_work *w, uint64_t value, int *fd);
    /* The process is gone; -ECANCELED when it never was, -EPIPE when it died (ns_work_text says
     * it). The work may be freed or started again. */
    void (*on_end)(struct ns_work *w, int status);
};
struct ns_workers {
    const struct ns_host *host;
    struct loop *loop;
    struct loop_task pump;
    struct list works; /* in order of their start */
    uint32_t running;
};
struct ns_work {
    const struct ns_work_ops *ops;
    void *data;
    uint32_t slot; /* or NS_NO_SLOT */
    int fd;        /* what the process needs besides the host's descriptors; the owner's */
    bool gives_fd; /* the process gets `fd` alone: what its close sets off happens there */
    struct list node;
    struct ns_workers *all;
    pid_t pid; /* 0: waits for its turn */
    int channel, status;
    bool is_cancelled;
    struct loop_fd watch;
};

void ns_workers_init(struct ns_workers *ws, const struct ns_host *h, struct loop *l);
/* Asks all to end and forgets them; no callback runs. */
void ns_workers_deinit(struct ns_workers *ws);

/* Its turn comes; on_end follows. Set ops, data, slot and fd first. */
void ns_work_start(struct ns_workers *ws, struct ns_work *w);
void ns_work_cancel(struct ns_work *w); /* on_end follows all the same */
static inline bool ns_work_is_started(const struct ns_work *w) { return w->all != NULL; }

/* True when works of `slot` are under way. */
bool ns_workers_have(const struct ns_workers *ws, uint32_t slot);
void ns_workers_cancel(struct ns_workers *ws, uint32_t slot);

/* What a work's status means. */
const char *ns_work_text(int status);

/* In the process: */
bool ns_work_is_over(void); /* it was asked to end */
void ns_work_report(const struct ns_work *w, uint64_t value, int fd);
