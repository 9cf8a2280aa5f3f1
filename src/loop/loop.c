#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#define EVENTS_PER_ROUND 128

/* A slot names a watch by {slot, generation}: an event of a cancelled watch finds a newer
 * generation, or NULL, and is dropped. */
struct slot {
    struct loop_fd *watch;
    uint32_t generation;
    uint32_t next_free;
};

struct loop {
    int epoll;
    bool stopped;
    int64_t now_ms;
    struct slot *slots;
    uint32_t slot_count, free_slot; /* free_slot == slot_count: none */
    struct loop_timer **heap;       /* heap[0] is due first */
    uint32_t heap_len, heap_cap;
    struct list tasks;
    int signal_fd;
    struct loop_fd signal_watch;
    loop_signal_fn signal_fn;
    void *signal_data;
};

struct loop *loop_new(void)
{
    CLEANUP(freep) struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->signal_fd = -1;
    l->now_ms = clock_mono_ms();
    list_init(&l->tasks);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    return l->epoll < 0 ? NULL : TAKE_PTR(l);
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    loop_fd_cancel(&l->signal_watch);
    if (l->signal_fd >= 0)
        (void)close(l->signal_fd);
    (void)close(l->epoll);
    free(l->slots);
    free(l->heap);
    free(l);
}

void loop_stop(struct loop *l) { l->stopped = true; }
int64_t loop_now_ms(const struct loop *l) { return l->now_ms; }

/* -- descriptors -- */

static bool slots_grow(struct loop *l)
{
    uint32_t count = l->slot_count ? l->slot_count * 2 : 64;
    struct slot *s = realloc(l->slots, count * sizeof *s);
    if (!s)
        return false;
    for (uint32_t i = l->slot_count; i < count; i++)
        s[i] = (struct slot){ .next_free = i + 1 };
    l->slots = s;
    l->slot_count = count;
    return true;
}

static uint64_t handle_of(const struct loop_fd *w)
{
    return (uint64_t)w->generation << 32 | w->slot;
}

int loop_fd_start(struct loop *l, struct loop_fd *w, int fd, uint32_t events)
{
    assert(!w->loop && w->fn);
    if (l->free_slot == l->slot_count && !slots_grow(l))
        return RAISE(-ENOMEM);
    struct slot *s = &l->slots[l->free_slot];
    w->slot = l->free_slot;
    w->generation = s->generation;
    w->fd = fd;
    w->events = events;
    struct epoll_event ev = { .events = events, .data.u64 = handle_of(w) };
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        return RAISE(-errno);
    l->free_slot = s->next_free;
    s->watch = w;
    w->loop = l;
    return 0;
}

void loop_fd_change(struct loop_fd *w, uint32_t events)
{
    assert(w->loop);
    if (events == w->events)
        return;
    struct epoll_event ev = { .events = events, .data.u64 = handle_of(w) };
    int r = epoll_ctl(w->loop->epoll, EPOLL_CTL_MOD, w->fd, &ev);
    assert(r == 0); /* the descriptor is registered: it can only be a programming error */
    w->events = events;
}

void loop_fd_cancel(struct loop_fd *w)
{
    struct loop *l = w->loop;
    if (!l)
        return;
    (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    struct slot *s = &l->slots[w->slot];
    s->watch = NULL;
    s->generation++;
    s->next_free = l->free_slot;
    l->free_slot = w->slot;
    w->loop = NULL;
}

/* -- timers: a binary heap by due time -- */

static void heap_set(struct loop *l, uint32_t at, struct loop_timer *t)
{
    l->heap[at] = t;
    t->at = at;
}

static void heap_up(struct loop *l, uint32_t at)
{
    struct loop_timer *t = l->heap[at];
    for (; at && l->heap[(at - 1) / 2]->due_ms > t->due_ms; at = (at - 1) / 2)
        heap_set(l, at, l->heap[(at - 1) / 2]);
    heap_set(l, at, t);
}

static void heap_down(struct loop *l, uint32_t at)
{
    struct loop_timer *t = l->heap[at];
    for (;;) {
        uint32_t kid = at * 2 + 1;
        if (kid >= l->heap_len)
            break;
        if (kid + 1 < l->heap_len && l->heap[kid + 1]->due_ms < l->heap[kid]->due_ms)
            kid++;
        if (l->heap[kid]->due_ms >= t->due_ms)
            break;
        heap_set(l, at, l->heap[kid]);
        at = kid;
    }
    heap_set(l, at, t);
}

int loop_timer_start(struct loop *l, struct loop_timer *t, int64_t ms)
{
    assert(t->fn);
    loop_timer_cancel(t);
    if (l->heap_len == l->heap_cap) {
        uint32_t cap = l->heap_cap ? l->heap_cap * 2 : 64;
        struct loop_timer **heap = realloc(l->heap, cap * sizeof *heap);
        if (!heap)
            return RAISE(-ENOMEM);
        l->heap = heap;
        l->heap_cap = cap;
    }
    t->loop = l;
    t->due_ms = clock_mono_ms() + (ms > 0 ? ms : 0);
    heap_set(l, l->heap_len++, t);
    heap_up(l, t->at);
    return 0;
}

void loop_timer_cancel(struct loop_timer *t)
{
    struct loop *l = t->loop;
    if (!l)
        return;
    t->loop = NULL;
    struct loop_timer *last = l->heap[--l->heap_len];
    if (last == t)
        return;
    heap_set(l, t->at, last);
    heap_up(l, last->at);
    heap_down(l, last->at);
}

static void timers_run(struct loop *l)
{
    while (l->heap_len && l->heap[0]->due_ms <= l->now_ms && !l->stopped) {
        struct loop_timer *t = l->heap[0];
        loop_timer_cancel(t);
        t->fn(t);
    }
}

/* -- tasks -- */

void loop_task_post(struct loop *l, struct loop_task *t)
{
    assert(t->fn);
    if (t->loop)
        return;
    t->loop = l;
    list_push(&l->tasks, &t->link);
}

void loop_task_cancel(struct loop_task *t)
{
    if (!t->loop)
        return;
    t->loop = NULL;
    list_remove(&t->link);
}

/* Runs what was posted before this call; a task that posts again waits for the next round. */
static void tasks_run(struct loop *l)
{
    struct list mark;
    list_init(&mark);
    list_push(&l->tasks, &mark);
    while (l->tasks.next != &mark) {
        struct loop_task *t = LIST_OF(l->tasks.next, struct loop_task, link);
        loop_task_cancel(t);
        t->fn(t);
    }
    list_remove(&mark);
}

/* -- signals -- */

static void on_signal(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct loop *l = w->data;
    struct signalfd_siginfo si;
    while (read(w->fd, &si, sizeof si) == (ssize_t)sizeof si)
        l->signal_fn(l->signal_data, (int)si.ssi_signo);
}

int loop_signals(struct loop *l, const int *signals, loop_signal_fn fn, void *data)
{
    assert(l->signal_fd < 0);
    sigset_t set;
    (void)sigemptyset(&set);
    for (; *signals; signals++)
        (void)sigaddset(&set, *signals);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return RAISE(-errno);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->signal_fd < 0)
        return RAISE(-errno);
    l->signal_fn = fn;
    l->signal_data = data;
    l->signal_watch = (struct loop_fd){ .fn = on_signal, .data = l };
    return TRACE(loop_fd_start(l, &l->signal_watch, l->signal_fd, EPOLLIN));
}

/* -- the round -- */

static int wait_ms(const struct loop *l)
{
    if (!list_empty(&l->tasks))
        return 0;
    if (!l->heap_len)
        return -1;
    int64_t left = l->heap[0]->due_ms - clock_mono_ms();
    return left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

int loop_run(struct loop *l)
{
    l->stopped = false;
    while (!l->stopped) {
        struct epoll_event evs[EVENTS_PER_ROUND];
        int n = epoll_wait(l->epoll, evs, EVENTS_PER_ROUND, wait_ms(l));
        if (n < 0 && errno != EINTR)
            return RAISE(-errno);
        l->now_ms = clock_mono_ms();
        for (int i = 0; i < n && !l->stopped; i++) {
            uint32_t slot = (uint32_t)evs[i].data.u64;
            uint32_t generation = (uint32_t)(evs[i].data.u64 >> 32);
            struct slot *s = &l->slots[slot];
            if (s->watch && s->generation == generation)
                s->watch->fn(s->watch, evs[i].events);
        }
        timers_run(l);
        tasks_run(l);
    }
    return 0;
}
