/* A context: a kernel with its state, and the executions that wait for it, one after another
 * (code-interpreter.md 4, 6, 7). */
#pragma once

#include <jansson.h>
#include <linux/limits.h> /* PATH_MAX; <limits.h> would find gen/limits.h first */
#include <stdbool.h>

#include "base/list.h"
#include "interp/jupyter.h"
#include "interp/kernel.h"
#include "interp/language.h"
#include "loop/loop.h"
#include "net/http_server.h"

struct context;
struct envs_ask;

struct context_spec {
    struct loop *loop;
    const struct language *language;
    struct str cwd;
    const char *dir; /* for kernels' sockets */
    bool is_default; /* of its language */
};

/* One POST /execute. */
struct execution {
    struct list link; /* context.queue; the first one is under way */
    struct context *context;
    struct http_call *http; /* NULL: the client is gone */
    json_t *request;        /* the body; owned */
    struct str code, token; /* borrowed from request and http */
    const json_t *env;      /* of this run alone, or NULL; borrowed from request */
    struct loop_timer keepalive;
    bool has_error, is_env_set;
};

/* Somebody who waits until the context can be used. Zero-initialised = idle. */
struct context_wait {
    struct list link;
    void (*fn)(struct context_wait *w, struct context *c, const char *why); /* why NULL: it can */
    void *data;
};

/* What is to be done next for the execution under way. */
enum context_step {
    CONTEXT_IDLE,
    CONTEXT_ASK,    /* envd is asked for the sandbox's variables */
    CONTEXT_GLOBAL, /* they are being set */
    CONTEXT_ENV,    /* those of this run */
    CONTEXT_CODE,
    CONTEXT_UNSET, /* those of the run are taken back */
};

/* Invariants: 1. the kernel runs something exactly while step is GLOBAL, ENV, CODE or UNSET. 2. The
 * first of the queue is under way from ASK to CODE. */
struct context {
    struct list link;
    struct context_spec spec;
    char id[RAND_UUID_SIZE], cwd[PATH_MAX];
    struct kernel *kernel; /* NULL: it could not be started */
    bool is_ready, was_ready, has_globals;
    bool is_guess; /* envd has not told the sandbox's variables: it is asked again */
    enum context_step step;
    struct list queue, waits;
    struct envs_ask *ask;
    json_t *globals, *undo;     /* undo: the env of the run that has ended */
    struct loop_task renew;     /* another kernel, outside of the callbacks of this one */
    struct loop_timer patience; /* an interrupted cell has so long to end */
    uint32_t interrupts;
    int failures; /* kernels in a row that died before they were ready */
    char why[128];
};

/* Starts one. NULL: memory. It can be used when a wait says so. */
struct context *context_new(const struct context_spec *spec);
/* Its kernel died several times before it was ready: nothing starts it but a wait or a restart. */
bool context_is_given_up(const struct context *c);
/* Ends its kernel; executions under way end with UnexpectedEndOfExecution. */
void context_free(struct context *c);
void context_wait(struct context *c, struct context_wait *w);
void context_wait_cancel(struct context_wait *w);
/* A new kernel: the state is gone, id, language and directory stay. */
void context_restart(struct context *c);

/* Adds an execution and answers its call from now on. Takes `request`. */
void context_execute(struct context *c, struct http_call *http, json_t *request, struct str token);
