/* Processes, seen from outside: who is it really, and namespaces to hold. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_BOOT_ID_SIZE 40

/* Start time of `pid` in clock ticks since boot (/proc/PID/stat field 22): with the host's boot id
 * it names a process for good. 0 or a negative errno. */
int proc_start_time(pid_t pid, uint64_t *ticks);

/* /proc/sys/kernel/random/boot_id of the host, without the newline. 0 or a negative errno. */
int proc_boot_id(char out[PROC_BOOT_ID_SIZE]);

/* Ticks of all processors together since the host started, and how many of them were idle: two
 * calls tell how busy they were in between (proc_stat(5)). 0 or a negative errno. */
int proc_cpu_ticks(uint64_t *idle, uint64_t *all);

/* A descriptor of namespace `kind` ("net", "user" ...) of `pid`; 0 is the calling process.
 * Negative errno on failure. */
int proc_namespace(pid_t pid, const char *kind);

/* A user namespace whose ids 0..count-1 are base..base+count-1 outside, held by nothing but the
 * returned descriptor. Negative errno on failure. */
int proc_userns_new(uint32_t base, uint32_t count);

/* Closes every descriptor from 3 up but those of `keep`. Safe between fork and exec. */
void proc_close_others(const int *keep, int count);

/* Writes the maps of a child just cloned into a new user namespace. 0 or a negative errno. */
int proc_map_ids(pid_t pid, uint32_t base, uint32_t count);
