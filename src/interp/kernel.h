/* A process that runs cells of one language, one after another, with its state between them. One
 * small interface over three ways to speak to it (language.h).
 *
 * Callbacks run from the loop, never inside a call below. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "interp/language.h"
#include "loop/loop.h"

struct kernel;

enum kernel_event_kind {
    KERNEL_COUNT,  /* `count`: the cell was accepted as this one */
    KERNEL_OUT,    /* `text`: standard output */
    KERNEL_ERR,    /* `text` */
    KERNEL_RESULT, /* `data`: MIME type -> value; `is_main`: of the last expression */
    KERNEL_ERROR,  /* `name`, `value`, `text` (the traceback) */
    KERNEL_DONE,   /* the cell has ended; it may be given the next */
};
struct kernel_event {
    enum kernel_event_kind kind;
    bool is_main;
    int64_t count;
    const char *name, *value;
    struct str text;
    const json_t *data;
};

struct kernel_spec {
    struct loop *loop;
    const struct language *language;
    const char *cwd; /* a directory that exists */
    const char *dir; /* for sockets */
    /* It takes cells now. */
    void (*on_ready)(void *data);
    void (*on_event)(void *data, const struct kernel_event *e);
    /* It has ended by itself, or could not start: free it. */
    void (*on_dead)(void *data, const char *why);
    void *data;
};

/* Starts one. NULL with errno. */
struct kernel *kernel_new(const struct kernel_spec *spec);
void kernel_free(struct kernel *k); /* ends its processes */

/* Runs a cell; KERNEL_DONE follows, unless it dies. `silent`: no count, not in its history. */
void kernel_run(struct kernel *k, struct str code, bool silent);
/* Sets and removes environment variables; KERNEL_DONE follows. */
void kernel_env(struct kernel *k, const json_t *set, const json_t *unset);
/* Interrupts the cell under way. */
void kernel_interrupt(struct kernel *k);
/* Stops and restarts reading its output: backpressure. */
void kernel_pause(struct kernel *k, bool paused);
