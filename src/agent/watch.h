/* Watching a directory by inotify(7), alone or with everything below it (core.md 3.3).
 *
 * Recursive watches have no gap: a new directory is watched first and then looked into, and what
 * is found inside is told as created; when the kernel tells the same again it is left out. */
#pragma once

#include <stdbool.h>

#include "agent/schema.h"
#include "base/list.h"
#include "base/map.h"
#include "loop/loop.h"

struct agent;
struct watch;

struct watch_spec {
    struct agent *agent;
    struct str path; /* absolute */
    bool recursive;
    /* One event: `name` relative to the path, "." for the directory itself. Called from
     * watch_pump only. */
    void (*on_event)(void *data, struct str name, enum schema_event_type type);
    /* There is something to pump; may be asked to wait by not pumping and watch_pause. */
    void (*on_ready)(void *data);
    void *data;
};

/* Starts watching. 0 or a negative errno (-ENOSPC: too many watches, -EMFILE: too many watchers).
 */
int watch_new(const struct watch_spec *spec, struct watch **out);
void watch_free(struct watch *w); /* NULL is fine */

enum { WATCH_DRAINED = 0, WATCH_OVERFLOW = 1 };
/* Reads all events that have happened until now and tells them. WATCH_OVERFLOW: the kernel dropped
 * some. */
int watch_pump(struct watch *w);
void watch_pause(struct watch *w, bool pause); /* on_ready is not called while paused */

/* Pumps every recursive watch of the agent, so that directories just made are watched before
 * something is put into them. */
void watch_pump_all(struct agent *a);
