/* The event loop: one thread, level-triggered epoll(7), a heap of timers.
 *
 * Watches and timers live inside their owner's struct; the loop never allocates per watch. After
 * cancel a callback never runs, not even when its event was already collected in this round. All
 * callbacks run on the loop's thread, never from inside a start, change or cancel call. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/list.h"

struct loop;
struct loop_fd;
struct loop_timer;
struct loop_task;

typedef void (*loop_fd_fn)(struct loop_fd *w, uint32_t events); /* events: EPOLLIN, EPOLLHUP ... */
typedef void (*loop_timer_fn)(struct loop_timer *t);
typedef void (*loop_task_fn)(struct loop_task *t);

/* A watched descriptor. Zero-initialised = not started. The owner keeps the descriptor. */
struct loop_fd {
    struct loop *loop; /* NULL when not started */
    int fd;
    uint32_t events;
    loop_fd_fn fn;
    void *data;
    uint32_t slot, generation; /* the loop's handle for this watch */
};

/* One shot. Zero-initialised = not started. */
struct loop_timer {
    struct loop *loop; /* NULL when not running */
    int64_t due_ms;    /* monotonic */
    loop_timer_fn fn;
    void *data;
    uint32_t at; /* place in the heap */
};

/* Work to do at the end of this round, for what may not run inside the current callback. */
struct loop_task {
    struct loop *loop; /* NULL when not posted */
    struct list link;
    loop_task_fn fn;
    void *data;
};

/* NULL with errno when epoll is not to be had. */
struct loop *loop_new(void);
void loop_free(struct loop *l); /* all watches, timers and tasks must have been cancelled */

/* Runs until loop_stop. Returns 0 or a negative errno of epoll_wait. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);
int64_t loop_now_ms(const struct loop *l); /* monotonic, as of this round */

/* Watches `fd` for `events`; set fn and data in `w` first. 0 or a negative errno. */
int loop_fd_start(struct loop *l, struct loop_fd *w, int fd, uint32_t events);
/* Other events; 0 keeps the watch but hears only EPOLLHUP and EPOLLERR. */
void loop_fd_change(struct loop_fd *w, uint32_t events);
void loop_fd_cancel(struct loop_fd *w); /* fine when not started; before close(fd) */

/* (Re)starts `t` to fire after `ms` (0: next round); set fn and data first. 0 or -ENOMEM. */
int loop_timer_start(struct loop *l, struct loop_timer *t, int64_t ms);
void loop_timer_cancel(struct loop_timer *t); /* fine when not running */

void loop_task_post(struct loop *l, struct loop_task *t); /* fine when posted already */
void loop_task_cancel(struct loop_task *t);

/* Signals as events: blocks `signals` (0-terminated) for the thread and calls fn with the number.
 * Returns 0 or a negative errno. One owner per loop. */
typedef void (*loop_signal_fn)(void *data, int signal);
int loop_signals(struct loop *l, const int *signals, loop_signal_fn fn, void *data);
