/* Links between our own processes: unix SOCK_SEQPACKET, one message per datagram, descriptors
 * along with it (SCM_RIGHTS, at most LINK_FDS). Non-blocking; what does not fit is queued up to
 * LIMIT_IPC_QUEUE messages, then the link is closed (a peer that does not read is gone). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "ipc/msg.h"
#include "loop/loop.h"

#define LINK_FDS 16

struct link;

struct link_ops {
    /* A message came. `fds` are the receiver's: it takes the ones it keeps by setting them to -1;
     * the rest are closed after the call. Closing the link inside is allowed. */
    void (*on_message)(struct link *k, const struct msg *m, int *fds, int fd_count);
    /* The peer is gone or broke the protocol; the link is closed already and may be freed. */
    void (*on_closed)(struct link *k);
};

struct link_out;
struct link {
    struct loop *loop; /* NULL when closed */
    const struct link_ops *ops;
    void *data;
    int fd;
    struct loop_fd watch;
    struct list out; /* link_out not yet sent */
    uint32_t out_len;
    pid_t peer_pid; /* SO_PEERCRED when it was opened */
    uid_t peer_uid;
};

/* Opens a link on a connected socket; takes `fd` in every case. 0 or a negative errno. */
int link_open(struct link *k, struct loop *l, int fd, const struct link_ops *ops, void *data);
/* Closes without on_closed. Fine when closed already. */
void link_close(struct link *k);
static inline bool link_is_open(const struct link *k) { return k->loop != NULL; }

/* Sends the message in `b` (built by msg_*) with copies of `fds`. The caller keeps its descriptors.
 * 0; -ENOTCONN when closed; -EMSGSIZE when b->failed or too long. A broken peer shows later. */
int link_send(struct link *k, const struct buf *b, const int *fds, int fd_count);

/* Connects to the socket at `path`. The connected descriptor or a negative errno. */
int link_connect(const char *path);
/* Binds and listens at `path` (an old socket there is replaced), mode 0600, owner `uid`.
 * The listening descriptor or a negative errno. */
int link_listen(const char *path, uid_t uid);
