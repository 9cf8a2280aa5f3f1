/* The guest agent: process 1 of a sandbox, one thread, one loop. It speaks the envd protocol on
 * the sockets it was started with (ipc/engine_proto.h). The host believes nothing it says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "agent/boot.h"
#include "agent/identity.h"
#include "agent/journal.h"
#include "base/buf.h"
#include "base/list.h"
#include "loop/loop.h"
#include "net/http_server.h"

enum agent_tag {
    AGENT_TAG_ENVD,
    AGENT_TAG_HOST,
    AGENT_TAG_TCP,
    AGENT_TAGS
}; /* in the order of the descriptors */

struct agent {
    struct loop *loop;
    struct http_server *server, *server_inside;
    struct identity identity;
    struct boot boot;
    struct buf frame;             /* scratch: one message being encoded */
    struct list processes, ended; /* struct process; the ended ones are kept for a while */
    uint32_t process_count, ended_count;
    uint64_t process_serial;
    uint32_t worker_count;
    uint32_t tunnel_count;
    bool is_given[AGENT_TAGS]; /* listening sockets we were started with */
    struct rlimit files;       /* RLIMIT_NOFILE as it was given to us, for commands */
    int cgroup_fds;            /* AGENT_CGROUP_FD and following */
    struct list watchers;      /* struct watcher */
    uint32_t watcher_count;
    struct list watches; /* struct watch */
    uint32_t watch_count;
    struct journal journal;
};

/* Takes the boot message from the boot channel, serves on the descriptors that are open, says
 * AGENT_READY and runs until the end of the world: process 1 does not return. A negative errno when
 * it could not start. */
int agent_run(void);

/* Routes one request: REST, RPC, CORS preflight, the check of the access token. */
void agent_on_call(struct http_call *c, void *data);
