#include "tests.h"

#include <unistd.h>

#include "base/clock.h"
#include "loop/loop.h"

static struct loop *l;
static int fired[8], fired_count;

static void on_timer(struct loop_timer *t)
{
    fired[fired_count++] = (int)(intptr_t)t->data;
    if (fired_count == 3)
        loop_stop(l);
}

static void timers_fire_in_order_and_not_after_cancel(void **state)
{
    (void)state;
    struct loop_timer t[4];
    static const int64_t ms[4] = { 30, 10, 20, 15 };
    l = loop_new();
    fired_count = 0;
    for (intptr_t i = 0; i < 4; i++) {
        t[i] = (struct loop_timer){ .fn = on_timer, .data = (void *)i };
        assert_int_equal(loop_timer_start(l, &t[i], ms[i]), 0);
    }
    loop_timer_cancel(&t[3]);
    loop_timer_cancel(&t[3]);
    int64_t before = clock_mono_ms();
    assert_int_equal(loop_run(l), 0);
    assert_true(clock_mono_ms() - before >= 29);
    assert_true(fired[0] == 1 && fired[1] == 2 && fired[2] == 0);
    loop_free(l);
}

static struct loop_fd watch_a, watch_b;
static int calls;

/* whichever comes first cancels the other, whose event was collected in the same round */
static void on_either(struct loop_fd *w, uint32_t events)
{
    (void)events;
    calls++;
    loop_fd_cancel(w == &watch_a ? &watch_b : &watch_a);
    loop_fd_cancel(w);
}

static void on_end(struct loop_timer *t)
{
    (void)t;
    loop_stop(l);
}

static void a_cancelled_watch_is_silent(void **state)
{
    (void)state;
    int a[2], b[2];
    l = loop_new();
    assert_int_equal(pipe(a) | pipe(b), 0);
    assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
    watch_a = watch_b = (struct loop_fd){ .fn = on_either };
    assert_int_equal(loop_fd_start(l, &watch_a, a[0], EPOLLIN), 0);
    assert_int_equal(loop_fd_start(l, &watch_b, b[0], EPOLLIN), 0);
    struct loop_timer end = { .fn = on_end };
    assert_int_equal(loop_timer_start(l, &end, 20), 0);
    assert_int_equal(loop_run(l), 0);
    assert_int_equal(calls, 1);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    loop_free(l);
}

static int rounds;
static void on_task(struct loop_task *t)
{
    if (++rounds < 3)
        loop_task_post(l, t);
    else
        loop_stop(l);
}

static void tasks_may_post_themselves(void **state)
{
    (void)state;
    l = loop_new();
    struct loop_task t = { .fn = on_task }, never = { .fn = on_task };
    loop_task_post(l, &t);
    loop_task_post(l, &t);
    loop_task_post(l, &never);
    loop_task_cancel(&never);
    assert_int_equal(loop_run(l), 0);
    assert_int_equal(rounds, 3);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_not_after_cancel),
        cmocka_unit_test(a_cancelled_watch_is_silent),
        cmocka_unit_test(tasks_may_post_themselves),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
