/* Our side of a copy: a thread between a pipe and the file system, which counts and shows progress.
 * The other side of the pipe is the library's, in the caller's thread. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "gen/faults.h"

enum cli_mover_kind {
    CLI_PACK,          /* `path` as the entry `as` to a tar stream */
    CLI_PACK_CONTENTS, /* what is in the directory `path` */
    CLI_UNPACK,        /* a tar stream, hostile, to the directory `fd` */
    CLI_SAVE,          /* bytes to the file `fd`, which the first of them empties */
};
struct cli_mover {
    enum cli_mover_kind kind;
    const char *path, *as;
    int fd;     /* owned from the start on; -1: none */
    int pipe;   /* the library's end, from the start on; closed by the join */
    bool shows; /* progress on standard error */

    uint64_t bytes; /* of files; whole after the join */
    char why[512];  /* after the join: what went wrong here; "" : nothing */
    enum fault_code fault;
    bool is_cut; /* after the join: the tar stream broke off */

    int end; /* the thread's end of the pipe */
    bool is_running;
    int64_t shown_ms;
    pthread_t thread;
};

void cli_mover_init(struct cli_mover *m);
int cli_mover_start(struct cli_mover *m); /* 0 or a negative errno */
void cli_mover_join(struct cli_mover *m); /* closes `pipe`, waits for the thread */
/* Empties the file `fd`; what is none has nothing to empty. False with errno. */
bool cli_mover_empty(int fd);
void cli_mover_deinit(struct cli_mover *m);
