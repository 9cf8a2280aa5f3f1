#include "sandbox/turns.h"

#include <unistd.h>

#include "os/os_proc.h"

enum {
    TICK_MS = 50,
    PATIENCE_MS = 1000, /* the processors may be busy with what is no start at all */
};

uint32_t turns_extra(uint64_t idle, uint64_t all, uint32_t processors, int64_t since_ms)
{
    uint64_t free_now = all && idle <= all ? (idle * processors + all / 2) / all : 0;
    if (free_now == 0)
        return since_ms >= PATIENCE_MS;
    return free_now < processors ? (uint32_t)free_now : processors;
}

static void serve(struct turns *all, uint32_t extra)
{
    while (!list_empty(&all->waiting) && (all->held < all->processors || extra)) {
        struct turn *t = LIST_OF(all->waiting.next, struct turn, node);
        extra -= extra && all->held >= all->processors;
        list_remove(&t->node);
        t->is_held = true;
        all->held++;
        all->given_ms = loop_now_ms(all->loop);
        t->fn(t);
    }
    if (list_empty(&all->waiting))
        loop_timer_cancel(&all->tick);
}

static void on_task(struct loop_task *t) { serve(t->data, 0); }

static void on_tick(struct loop_timer *t)
{
    struct turns *all = t->data;
    uint64_t idle = all->idle, ticks = all->all; /* unreadable: nothing is known */
    (void)proc_cpu_ticks(&idle, &ticks);
    uint32_t extra = turns_extra(idle - all->idle, ticks - all->all, all->processors,
                                 loop_now_ms(all->loop) - all->given_ms);
    all->idle = idle;
    all->all = ticks;
    (void)loop_timer_start(all->loop, t, TICK_MS);
    serve(all, extra);
}

void turns_init(struct turns *all, struct loop *loop)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    *all = (struct turns){ .loop = loop, .processors = n > 0 ? (uint32_t)n : 1 };
    all->task = (struct loop_task){ .fn = on_task, .data = all };
    all->tick = (struct loop_timer){ .fn = on_tick, .data = all };
    list_init(&all->waiting);
}

void turns_deinit(struct turns *all)
{
    loop_task_cancel(&all->task);
    loop_timer_cancel(&all->tick);
}

bool turns_are_free(const struct turns *all)
{
    return list_empty(&all->waiting) && all->held < all->processors;
}

bool turn_take(struct turns *all, struct turn *t)
{
    t->turns = all;
    t->since_ms = loop_now_ms(all->loop);
    t->is_held = turns_are_free(all);
    if (t->is_held) {
        all->held++;
        all->given_ms = t->since_ms;
        return true;
    }
    if (list_empty(&all->waiting)) {
        (void)proc_cpu_ticks(&all->idle, &all->all);
        (void)loop_timer_start(all->loop, &all->tick, TICK_MS);
    }
    list_push(&all->waiting, &t->node);
    return false;
}

void turn_leave(struct turn *t)
{
    struct turns *all = t->turns;
    if (!all)
        return;
    if (t->is_held)
        all->held--;
    else
        list_remove(&t->node);
    t->turns = NULL;
    t->is_held = false;
    loop_task_post(all->loop, &all->task); /* not from within what its owner does */
}
