/* Commands started through process.Process: their pipes or terminal, their subscribers, their end.
 *
 * Memory is bounded: while a subscriber has more than LIMIT_HTTP_OUT_SIZE waiting, the command's
 * output is not read, and the kernel's pipe stops the command. Output nobody listens to is read
 * and dropped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/rpc.h"
#include "agent/schema.h"
#include "base/buf.h"
#include "base/list.h"
#include "loop/loop.h"

struct agent;
struct process;

struct process_stream {
    struct process *process;
    int fd; /* -1: closed */
    struct loop_fd watch;
    int which; /* enum process_output */
};
enum process_output { PROCESS_OUT, PROCESS_ERR, PROCESS_STREAMS };

/* Invariants: 1. `reaped` implies that the kernel may have given the pid to somebody else. 2. After
 * `ended` there are no subscribers, descriptors or inputs; only the end is kept for late ones. */
struct process {
    struct list link; /* agent.processes, or, ended, agent.ended */
    struct agent *agent;
    uint64_t serial;  /* never given twice, unlike the pid */
    struct arena mem; /* of config; empty when ended */
    struct schema_config config;
    struct str tag; /* owned */
    bool has_tag, is_pty;
    bool reaped, cancelled, ended; /* cancelled: the end does not wait for the pipes */
    pid_t pid;
    int status;          /* of waitpid */
    size_t after_reaped; /* bytes read since */
    struct process_stream streams[PROCESS_STREAMS];
    struct list subs;                  /* struct rpc_call */
    void (*on_end)(struct process *p); /* of a command of our own: once, when `ended`; or NULL */
    int input; /* write end, or another number of the terminal; -1: closed */
    struct loop_fd input_watch;
    struct list inputs; /* struct pending input */
    size_t input_bytes;
    bool input_close;        /* when the inputs are written */
    struct loop_timer timer; /* it is killed, or, ended, what is kept of it goes away */
};

enum { PROCESS_STARTED = 0, PROCESS_REFUSED = 1 };

/* Starts what `req` asks for as `user` in `cwd`. PROCESS_REFUSED: *code and `why` tell. */
int process_start(struct agent *a, const struct schema_start *req, const struct user *user,
                  struct str cwd, struct process **out, enum connect_code *code, char why[512]);
/* Kills it after `ms`, whether the client that asked for that is still there or not. */
void process_expire_after(struct process *p, int64_t ms);
/* By the client's choice; NULL when there is none. Ended ones too, unless `alive`. */
struct process *process_find(struct agent *a, const struct schema_selector *sel, bool alive);

struct process *process_by_serial(struct agent *a, uint64_t serial); /* NULL: it has ended */
/* Children have ended: reaps all of them, ours and orphans. */
void process_reap(struct agent *a);
/* Sends a signal to the leader; the end will not wait for its pipes. 0 or a negative errno. */
int process_signal(struct process *p, int signal);

/* -- output (process_output.c) -- */

/* Starts reading stream `which` from `fd` (takes it, non-blocking). 0 or a negative errno. */
int process_output_open(struct process *p, enum process_output which, int fd);
/* Reads on, unless a subscriber is slow. Closes streams that an end should not wait for. */
void process_output_pump(struct process *p);
void process_output_close(struct process *p);
bool process_output_is_over(const struct process *p); /* every stream has ended */
/* Adds a subscriber: sends the start event at once. Of an ended process: start, end, finished. */
void process_output_subscribe(struct process *p, struct rpc_call *c, const struct rpc_ops *ops);
/* Gives the end event to all subscribers, which are gone then. */
void process_output_end(struct process *p);
extern const struct rpc_ops process_output_start_ops, process_output_connect_ops;

/* Called when a stream ended: the process may have ended too. */
void process_check_end(struct process *p);

/* -- input (process_input.c) -- */

/* Writes `bytes`; order is kept. A unary call is answered with an empty message when they are
 * written; a client stream is paused until then. On failure the call is failed. */
void process_input_write(struct process *p, struct rpc_call *c, struct str bytes);
/* The call does not wait any more: it was answered or is gone. */
void process_input_forget(struct rpc_call *c);
/* Closes standard input when what waits is written. */
void process_input_close(struct process *p);
/* The process has ended: what waits is failed. */
void process_input_drop(struct process *p);
