/* Between the engine and its zygote: SOCK_SEQPACKET, native order, both of one build. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

#include "engine/ns/ns_zygote.h"

#define ZYGOTE_CHANNEL 3 /* descriptors of the zygote */
#define ZYGOTE_NETNS 4   /* the host's network */
#define ZYGOTE_FDS (PLAN_FDS + NS_HANDED + 2)
#define ZYGOTE_FILTER 4096 /* most instructions of a system call filter, BPF_MAXINSNS */

/* The first message; the filter's instructions follow. Answered by a zygote_reply. */
struct zygote_hello {
    uint64_t has, open_files; /* of plan_host */
    uint32_t instructions;
};
/* A clone. Descriptors: the roles but PLAN_FD_NONE, those handed over, the network, the cgroup. */
struct zygote_request {
    uint64_t shm_bytes;
    uint32_t handed, groups, has_group;
};
/* With a pidfd when pid > 0. */
struct zygote_reply {
    int32_t pid; /* or a negative errno */
};

/* Sends one message with its descriptors. 0 or a negative errno. */
int zygote_send(int channel, const struct iovec *parts, int part_count, const int *fds, int count);
/* Receives one; *count gets how many descriptors came into `fds` (room for ZYGOTE_FDS). Its length,
 * 0 at the end, or a negative errno. */
ssize_t zygote_receive(int channel, void *out, size_t size, int *fds, int *count);
