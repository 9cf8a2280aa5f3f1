/* Work that takes long, in a process of its own: a tree of a million files that is removed, a
 * gigabyte that is copied. The agent's loop goes on meanwhile, and the memory goes with the
 * process.
 *
 * The job is a copy of the agent at that moment (fork(2)): it may read all there is, and must
 * change nothing but files. It belongs to the commands' cgroup and is killed before the agent when
 * memory runs out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct agent;
struct worker;

struct worker_spec {
    struct agent *agent;
    /* In the other process. Returns its result; what it appends to `out` is handed back too. */
    int (*job)(void *data, struct buf *out);
    /* The result, and how many bytes follow; -ECHILD: it was killed. With none the worker is gone
     * when this is called. */
    void (*on_result)(void *data, int result, int64_t size);
    /* Bytes. False: no more until worker_resume. NULL: there are none. */
    bool (*on_bytes)(void *data, struct str piece);
    /* All bytes have come, or (not `whole`) never will. The worker is gone when this is called. */
    void (*on_end)(void *data, bool whole);
    void *data; /* of all of these */
};

/* A negative errno: there cannot be another process now; the caller may do the work itself. */
int worker_start(const struct worker_spec *spec, struct worker **out);
void worker_resume(struct worker *w);
/* Nothing is called any more. The job itself goes on, unless it has bytes to give. */
void worker_forget(struct worker *w);
