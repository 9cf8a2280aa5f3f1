/* What is known of a sandbox, on disk before it runs: STATE/run/s/ID/record, lines of key=value.
 * The last line says how far it came. With it the next engine finds the sandbox again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/os_proc.h"

#define NS_ID_SIZE 33

struct ns_record {
    char id[NS_ID_SIZE];
    pid_t pid;
    uint64_t start_ticks; /* of pid 1, in the host's count */
    char boot_id[PROC_BOOT_ID_SIZE];
    uint32_t slot;
    uint32_t disk; /* number of its disk */
    uint64_t disk_bytes;
    bool ready; /* the agent has said that it is initialised */
};

/* Writes it into directory `dir`. 0 or a negative errno. */
int ns_record_save(int dir, const struct ns_record *r);
int ns_record_ready(int dir); /* adds that the agent is ready */
/* Reads it. 0; -EBADMSG when it is not whole; another negative errno. */
int ns_record_load(int dir, struct ns_record *r);
