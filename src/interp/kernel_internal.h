/* Inside interp/ only: the process of a kernel, and the ways to speak to it. */
#pragma once

#include "base/buf.h"
#include "interp/jupyter.h"
#include "interp/kernel.h"

/* A descriptor that is read as it has something. */
struct kernel_pipe {
    struct kernel *kernel;
    int fd; /* -1: closed */
    struct loop_fd watch;
    struct buf in;
    size_t searched; /* bytes of `in` without the end of a line */
};
/* A descriptor that is written as it takes something. */
struct kernel_queue {
    int fd; /* a number of its own: epoll knows a descriptor once */
    struct loop_fd watch;
    struct buf out;
};

enum { KERNEL_SHELL, KERNEL_IOPUB, KERNEL_CHANNELS };
struct kernel_channel {
    struct kernel_pipe pipe;
    struct kernel_queue queue;
    struct zmtp zmtp;
    bool is_subscribed;
    struct jupyter_reader reader;
};

/* One way to speak to a kernel. */
struct kernel_wire {
    /* The process has been started. 0 or a negative errno. */
    int (*open)(struct kernel *k);
    void (*run)(struct kernel *k, struct str code, bool silent);
    void (*env)(struct kernel *k, const json_t *set, const json_t *unset);
    void (*pause)(struct kernel *k, bool paused);
    void (*drain)(struct kernel *k); /* its process is dead: the last that it said */
    void (*close)(struct kernel *k);
};
extern const struct kernel_wire kernel_jupyter, kernel_adapter, kernel_shell;
int kernel_jupyter_prepare(struct kernel *k); /* its connection file */

/* Invariants: 1. one cell at a time: is_busy from run or env until KERNEL_DONE. 2. is_ready before
 * the first. */
struct kernel {
    struct kernel_spec spec;
    const struct kernel_wire *wire;
    pid_t pid;
    int pidfd;
    struct loop_fd pid_watch;
    bool is_ready, is_busy, is_paused;
    struct kernel_pipe output[2]; /* descriptors 1 and 2, when they are the cell's */
    struct kernel_pipe reply;     /* 4 */
    struct kernel_queue request;  /* 3, or 0 of a shell */
    int interrupt;                /* 5 */
    int64_t count;                /* of cells, where the kernel does not count */
    int64_t said;                 /* number of the last thing that a shell is to say */
    bool is_silent;
    /* Jupyter */
    struct jupyter jupyter;
    char path[96]; /* of its sockets, without "-1" */
    struct kernel_channel channels[KERNEL_CHANNELS];
    struct loop_timer retry;
    char msg_id[RAND_UUID_SIZE]; /* of the cell under way */
    bool is_accepted, has_error;
    struct buf cell; /* its code: a kernel that still gets over an interrupt refuses it at first */
    int refusals;
};

void kernel_ready(struct kernel *k);
void kernel_emit(struct kernel *k, const struct kernel_event *e);
void kernel_done(struct kernel *k); /* of the cell under way */
/* It cannot be understood or heard any more: ends its processes, which on_dead then tells. */
void kernel_break(struct kernel *k, const char *why);
/* The last of its output that is in the pipes. */
void kernel_drain(struct kernel *k);

/* Reads what there is into p->in, up to a bound. False: end of file, an error, or p->in is full. */
bool kernel_pipe_read(struct kernel_pipe *p);
void kernel_pipe_consume(struct kernel_pipe *p, size_t n); /* from the front of p->in */
int kernel_pipe_start(struct kernel *k, struct kernel_pipe *p, int fd, loop_fd_fn fn);
void kernel_pipe_close(struct kernel_pipe *p);
/* Writes q->out as far as it goes, the rest when there is room. */
void kernel_queue_send(struct kernel *k, struct kernel_queue *q);
