/* The plan of a sandbox's first process, as text. */
#include <errno.h>

#include "plan/plan.h"

#include "golden.h"
#include "tests.h"

static void print(const struct plan_host *host, struct buf *out)
{
    const struct plan_spec spec = { "e2b.local", 512u << 20, 64u << 20 };
    struct arena a;
    struct plan p;
    arena_init(&a, 65536);
    assert_int_equal(plan_build(&spec, host, &a, &p), 0);
    plan_print(&p, out);
    arena_deinit(&a);
}

static void full_host(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    print(&(struct plan_host){ .has = ~0ull, .open_files = 20000, .attach = "/a", .empty = "/e" },
          &b);
    assert_golden("plan-full.txt", buf_str(&b));
    buf_deinit(&b);
}

static void bare_host(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    print(&(struct plan_host){ .open_files = 1024, .attach = "/a", .empty = "/e" }, &b);
    assert_golden("plan-bare.txt", buf_str(&b));
    buf_deinit(&b);
}

/* What must hold whatever the host is. */
static void order(void **state)
{
    (void)state;
    const struct plan_spec spec = { "e2b.local", 1, 1 };
    const struct plan_host host = { .has = ~0ull, .attach = "/a", .empty = "/e" };
    struct arena a;
    struct plan p;
    size_t at[PLAN_KINDS] = { 0 };
    arena_init(&a, 65536);
    assert_int_equal(plan_build(&spec, &host, &a, &p), 0);
    for (size_t i = 0; i < p.count; i++)
        at[p.ops[i].kind] = i; /* the last of each kind */
    assert_int_equal(p.ops[0].kind, PLAN_WAIT);
    assert_true(at[PLAN_MOUNT] < at[PLAN_PIVOT] && at[PLAN_BIND] < at[PLAN_PIVOT]);
    assert_true(at[PLAN_SYSFILTER] < at[PLAN_CAPS]); /* loading needs a capability */
    assert_int_equal(at[PLAN_HAND_OVER], p.count - 1);
    assert_int_equal(at[PLAN_WAIT], p.count - 2); /* no tenant before the record is written */
    /* CAP_SYS_ADMIN (21) would undo every mask, CAP_SYS_MODULE (16) and SYS_RAWIO (17) the rest. */
    assert_int_equal(plan_caps() & (1ull << 21 | 1ull << 16 | 1ull << 17), 0);
    arena_deinit(&a);
}

static void no_memory(void **state)
{
    (void)state;
    const struct plan_spec spec = { "e2b.local", 1, 1 };
    const struct plan_host host = { .has = ~0ull };
    struct arena a;
    struct plan p;
    arena_init(&a, 128);
    assert_int_equal(plan_build(&spec, &host, &a, &p), -ENOMEM);
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_host),
        cmocka_unit_test(bare_host),
        cmocka_unit_test(order),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
