#include "golden.h"

#include "life/life.h"

#define EACH_STATE(s) for (int s = 0; s < LIFE_STATE_COUNT; s++)
#define EACH_EVENT(e) for (int e = 0; e < LIFE_EVENT_COUNT; e++)

static struct life_step step(int s, int e)
{
    return life_step((enum life_state)s, (enum life_event)e);
}

/* Every pair that does something, as one line. */
static void table_is_as_printed(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    EACH_STATE(s)
    EACH_EVENT(e)
    {
        struct life_step r = step(s, e);
        if (r.outcome == LIFE_TAKEN || r.outcome == LIFE_JOIN || r.outcome == LIFE_BUSY)
            life_print(&b, (enum life_state)s, (enum life_event)e, &r);
    }
    assert_golden("life-table.txt", buf_str(&b));
    buf_reset(&b);
    life_draw(&b);
    assert_golden("life-diagram.md", buf_str(&b));
    buf_deinit(&b);
}

/* Stories: what happens to a sandbox, one line per event. */
static const struct {
    const char *title;
    enum life_state from;
    enum life_event events[12];
} stories[] = {
    { "created, used and killed",
      LIFE_NEW,
      { LIFE_DO_CREATE, LIFE_DO_STARTED, LIFE_DO_ROUTED, LIFE_DO_KILL, LIFE_DO_ROUTED,
        LIFE_DO_DESTROY_DONE } },
    { "the engine cannot make it",
      LIFE_NEW,
      { LIFE_DO_CREATE, LIFE_DO_START_FAILED, LIFE_DO_DESTROY_FAILED, LIFE_DO_RETRY,
        LIFE_DO_DESTROY_DONE } },
    { "its time is up",
      LIFE_RUNNING,
      { LIFE_DO_EXPIRE, LIFE_DO_KILL, LIFE_DO_ROUTED, LIFE_DO_DESTROY_DONE } },
    { "paused when its time is up, then resumed twice at once",
      LIFE_RUNNING,
      { LIFE_DO_EXPIRE_PAUSE, LIFE_DO_RESUME, LIFE_DO_ROUTED, LIFE_DO_FREEZE_DONE, LIFE_DO_RESUME,
        LIFE_DO_RESUME, LIFE_DO_THAW_DONE, LIFE_DO_ROUTED } },
    { "paused twice",
      LIFE_RUNNING,
      { LIFE_DO_PAUSE, LIFE_DO_PAUSE, LIFE_DO_ROUTED, LIFE_DO_FREEZE_DONE, LIFE_DO_PAUSE } },
    { "killed while pausing",
      LIFE_RUNNING,
      { LIFE_DO_PAUSE, LIFE_DO_KILL, LIFE_DO_FREEZE_DONE, LIFE_DO_ROUTED, LIFE_DO_DESTROY_DONE } },
    { "control dies while it starts",
      LIFE_STARTING,
      { LIFE_DO_LOADED, LIFE_DO_FOUND, LIFE_DO_DESTROY_DONE } },
    { "control dies while it runs",
      LIFE_RUNNING,
      { LIFE_DO_LOADED, LIFE_DO_ROUTED, LIFE_DO_FOUND } },
    { "control dies while it pauses; the freezer was faster",
      LIFE_PAUSING,
      { LIFE_DO_LOADED, LIFE_DO_FROZEN, LIFE_DO_FREEZE_DONE } },
    { "control dies while it resumes",
      LIFE_RESUMING,
      { LIFE_DO_LOADED, LIFE_DO_FROZEN, LIFE_DO_THAW_DONE, LIFE_DO_ROUTED } },
    { "control dies while it is killed",
      LIFE_KILLING,
      { LIFE_DO_LOADED, LIFE_DO_FOUND, LIFE_DO_DESTROY_DONE } },
    { "the host was started anew: nothing is left",
      LIFE_PAUSED,
      { LIFE_DO_LOADED, LIFE_DO_LOST, LIFE_DO_ROUTED, LIFE_DO_DESTROY_DONE } },
    { "the host was started anew: the disk of what was paused is left",
      LIFE_PAUSED,
      { LIFE_DO_LOADED, LIFE_DO_KEPT, LIFE_DO_ROUTED, LIFE_DO_RESUME, LIFE_DO_BOOT_DONE,
        LIFE_DO_ROUTED } },
    { "paused without its memory, then booted from its disk",
      LIFE_RUNNING,
      { LIFE_DO_STOP, LIFE_DO_STOP, LIFE_DO_ROUTED, LIFE_DO_STOP_DONE, LIFE_DO_PAUSE,
        LIFE_DO_RESUME, LIFE_DO_RESUME, LIFE_DO_BOOT_DONE, LIFE_DO_ROUTED } },
    { "resumed without the memory it has",
      LIFE_PAUSED,
      { LIFE_DO_REBOOT, LIFE_DO_RESUME, LIFE_DO_STOP_DONE, LIFE_DO_BOOT_DONE, LIFE_DO_ROUTED } },
    { "it does not boot: its disk stays",
      LIFE_STOPPED,
      { LIFE_DO_RESUME, LIFE_DO_BOOT_FAILED, LIFE_DO_STOP_FAILED, LIFE_DO_RETRY,
        LIFE_DO_STOP_DONE } },
    { "the engine dies while it boots; it was faster",
      LIFE_BOOTING,
      { LIFE_DO_FOUND, LIFE_DO_STOP_DONE, LIFE_DO_BOOT_DONE, LIFE_DO_ROUTED } },
    { "killed while it is stopped",
      LIFE_STOPPING,
      { LIFE_DO_KILL, LIFE_DO_STOP_DONE, LIFE_DO_ROUTED, LIFE_DO_DESTROY_DONE } },
    { "it ended by itself while paused",
      LIFE_PAUSED,
      { LIFE_DO_EXITED, LIFE_DO_ROUTED, LIFE_DO_DESTROY_DONE } },
    { "a snapshot meets a pause and the end",
      LIFE_RUNNING,
      { LIFE_DO_SNAPSHOT, LIFE_DO_PAUSE, LIFE_DO_EXPIRE_PAUSE, LIFE_DO_CAPTURE_DONE,
        LIFE_DO_SNAPSHOT, LIFE_DO_EXPIRE, LIFE_DO_CAPTURE_DONE } },
};

static void stories_go_as_told(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        enum life_state s = stories[i].from;
        (void)buf_printf(&b, "%s# %s\n", i ? "\n" : "", stories[i].title);
        for (int e = 0; stories[i].events[e] != LIFE_DO_CREATE || (s == LIFE_NEW && e == 0); e++) {
            struct life_step r = life_step(s, stories[i].events[e]);
            life_print(&b, s, stories[i].events[e], &r);
            s = r.next;
        }
    }
    assert_golden("life-stories.txt", buf_str(&b));
    buf_deinit(&b);
}

static bool has_effect(enum life_action a)
{
    return a == ACT_CREATE || a == ACT_DESTROY || a == ACT_FREEZE || a == ACT_THAW ||
           a == ACT_STOP || a == ACT_BOOT || a == ACT_CAPTURE || a == ACT_PUBLISH ||
           a == ACT_UNPUBLISH;
}

/* A new state is durable before anything outside happens because of it. */
static void journal_comes_first(void **state)
{
    (void)state;
    EACH_STATE(s)
    EACH_EVENT(e)
    {
        struct life_step r = step(s, e);
        bool is_journalled = (int)r.next == s;
        for (int i = 0; r.outcome == LIFE_TAKEN && r.actions[i] != ACT_NONE; i++) {
            is_journalled |= r.actions[i] == ACT_JOURNAL || r.actions[i] == ACT_FORGET;
            if (has_effect(r.actions[i]) || r.actions[i] == ACT_ANSWER)
                assert_true(is_journalled);
        }
    }
}

/* Whatever control hears after a restart, and whatever fails, has an answer; and from everywhere a
 * kill leads to the end when the engine does its part. */
static void nothing_gets_stuck(void **state)
{
    (void)state;
    static const int heard[] = { LIFE_DO_FOUND, LIFE_DO_FROZEN, LIFE_DO_KEPT, LIFE_DO_LOST };
    for (int s = LIFE_STARTING; s < LIFE_GONE; s++) {
        for (size_t i = 0; i < 4; i++) {
            struct life_step r = step(s, heard[i]);
            bool is_settled = s == LIFE_RUNNING || s == LIFE_PAUSED || s == LIFE_STOPPED;
            assert_true(r.outcome == LIFE_TAKEN || is_settled);
        }
        struct life_step r = step(s, LIFE_DO_KILL);
        assert_true(s == LIFE_KILLING || r.next == LIFE_KILLING);
    }
    struct life_step r = step(LIFE_KILLING, LIFE_DO_DESTROY_DONE);
    assert_int_equal(r.next, LIFE_GONE);
    /* a state that waits for the engine hears of its failure */
    static const struct {
        enum life_state s;
        enum life_event failed;
    } waits[] = {
        { LIFE_STARTING, LIFE_DO_START_FAILED },       { LIFE_PAUSING, LIFE_DO_FREEZE_FAILED },
        { LIFE_RESUMING, LIFE_DO_THAW_FAILED },        { LIFE_STOPPING, LIFE_DO_STOP_FAILED },
        { LIFE_DROPPING, LIFE_DO_STOP_FAILED },        { LIFE_BOOTING, LIFE_DO_BOOT_FAILED },
        { LIFE_SNAPSHOTTING, LIFE_DO_CAPTURE_FAILED }, { LIFE_KILLING, LIFE_DO_DESTROY_FAILED }
    };
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        assert_int_equal(life_step(waits[i].s, waits[i].failed).outcome, LIFE_TAKEN);
}

/* A run that begins has a clock, or it would live for ever; one that rests has none. */
static void runs_have_clocks(void **state)
{
    (void)state;
    EACH_STATE(s)
    EACH_EVENT(e)
    {
        struct life_step r = step(s, e);
        bool sets = false, clears = false;
        for (int i = 0; r.outcome == LIFE_TAKEN && r.actions[i] != ACT_NONE; i++) {
            sets |= r.actions[i] == ACT_CLOCK;
            clears |= r.actions[i] == ACT_NO_CLOCK;
        }
        bool ran = s == LIFE_RUNNING || s == LIFE_SNAPSHOTTING;
        bool runs = r.next == LIFE_RUNNING || r.next == LIFE_SNAPSHOTTING;
        if (r.outcome == LIFE_TAKEN && runs && !ran)
            assert_true(sets);
        if (r.outcome == LIFE_TAKEN && ran && !runs)
            assert_true(clears);
    }
}

static void names_are_read_back(void **state)
{
    (void)state;
    enum life_state got;
    EACH_STATE(s)
    {
        assert_true(life_state_parse(life_state_name((enum life_state)s), &got));
        assert_int_equal(got, s);
    }
    assert_false(life_state_parse("asleep", &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_as_printed), cmocka_unit_test(stories_go_as_told),
        cmocka_unit_test(journal_comes_first), cmocka_unit_test(nothing_gets_stuck),
        cmocka_unit_test(runs_have_clocks),    cmocka_unit_test(names_are_read_back),
    };
    return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
