/* engine.c: listening, peers, what becomes of requests that wait. engine_verbs.c: what is asked. */
#pragma once

#include "engine/engine.h"
#include "engine/ns/ns_box.h"
#include "ipc/engine_proto.h"
#include "ipc/link.h"

enum { PEER_CONTROL = 1, PEER_EDGE = 2 };

/* A listening socket and whom it is for. */
struct port {
    struct engine *engine;
    unsigned kind; /* PEER_* */
    uid_t uid;
    int fd;
    struct loop_fd watch;
};
struct peer {
    struct list node;
    struct engine *engine;
    struct link link;
    struct loop_task reap; /* frees it outside of its own callbacks */
    unsigned kind;
    uint64_t serial; /* names it in asks: a peer that is gone gets no answer */
};
/* A request whose answer comes later. */
struct ask {
    struct list node; /* in the asks of a box, a capture or a pause */
    uint64_t peer, tag;
    uint16_t verb;
};
struct engine {
    struct loop *loop;
    struct ns ns;
    struct port ports[2];
    struct list peers;
    uint32_t peer_count;
    uint64_t next_serial;
    struct buf out;
    struct loop_timer end_timer;
    uint32_t end_steps; /* not 0: ending with all sandboxes */
};

void engine_verb(struct peer *p, const struct msg *m);

void reply_begin(struct engine *e, uint16_t verb, uint64_t tag, int status);
void reply_send(struct peer *p, const int *fds, int count);
void event_send(struct engine *e, struct peer *p);
/* An answer that says what went wrong. */
void refuse(struct peer *p, const struct msg *m, int status, enum fault_code code,
            const char *text);
/* 0, or the sentence of an errno. */
void accept_plain(struct peer *p, const struct msg *m, int status);
