/* What is known of a sandbox, on disk before it runs: STATE/run/s/ID/record, lines of key=value.
 * The last line says how far it came. With it the next engine finds the sandbox again. Its id is
 * the name of the directory and nothing else: a rename changes it. Marks are empty files beside it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/ns/ns_host.h"
#include "os/os_proc.h"

#define NS_ID_SIZE 33

struct ns_record {
    char id[NS_ID_SIZE]; /* who reads it fills it in */
    pid_t pid;
    uint64_t start_ticks; /* of pid 1, in the host's count */
    char boot_id[PROC_BOOT_ID_SIZE];
    uint32_t slot;
    uint32_t disk;  /* number of its disk */
    uint64_t inode; /* of the disk's image */
    uint64_t disk_bytes;
    bool ready; /* the agent has said that it is initialised */
};

/* Writes it into directory `dir`. 0 or a negative errno. */
int ns_record_save(int dir, const struct ns_record *r);
int ns_record_ready(int dir); /* adds that the agent is ready */
/* Reads it. 0; -EBADMSG when it is not whole; another negative errno. */
int ns_record_load(int dir, struct ns_record *r);

#define NS_MARK_SIZE 40
#define NS_MARK_STOP "stop"     /* its disk is to be kept when it has ended */
#define NS_MARK_PAUSED "paused" /* see ns_pause.h */

int ns_record_mark(const struct ns_host *h, const char *id, const char *mark);
void ns_record_unmark(const struct ns_host *h, const char *id, const char *mark);
/* All marks that begin so. True when there was one. */
bool ns_record_unmark_all(const struct ns_host *h, const char *id, const char *prefix);
bool ns_record_has(const struct ns_host *h, const char *id, const char *mark);
/* `mark` becomes NS_MARK_PAUSED, and that and the record become durable. -ENOENT when the mark was
 * taken away. For a worker. */
int ns_record_promise(const struct ns_host *h, const char *id, const char *mark);
