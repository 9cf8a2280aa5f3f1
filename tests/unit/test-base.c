#include "tests.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/op.h"
#include "base/rand.h"
#include "base/str.h"

static void buf_keeps_order_and_limit(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_true(buf_append(&b, STR("hello")));
    buf_consume(&b, 2);
    assert_true(buf_append(&b, STR("world!!")));
    assert_str(buf_str(&b), "lloworld!!");
    assert_false(buf_byte(&b, 'x'));
    assert_true(b.failed);
    assert_str(buf_str(&b), "lloworld!!");
    buf_reset(&b);
    assert_true(buf_printf(&b, "%s-%d", "ab", 7));
    assert_string_equal(buf_cstr(&b), "ab-7");
    buf_deinit(&b);
}

static void buf_survives_many_small_turns(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    uint32_t in = 0, out = 0;
    for (int i = 0; i < 5000; i++) {
        for (int j = 0; j < i % 7; j++, in++)
            assert_true(buf_append(&b, str_make((char *)&in, sizeof in)));
        for (int j = 0; j < (i * 3) % 7 && out < in; j++, out++) {
            uint32_t got;
            memcpy(&got, buf_str(&b).p, sizeof got);
            assert_int_equal(got, out);
            buf_consume(&b, sizeof got);
        }
    }
    assert_int_equal(buf_used(&b), (in - out) * sizeof in);
    buf_deinit(&b);
}

static void map_finds_what_is_there(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static char keys[COUNT][8];
    struct map m;
    map_init(&m);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%d", i);
        assert_true(map_put(&m, str_of(keys[i]), keys[i]));
    }
    for (int i = 0; i < COUNT; i += 3)
        assert_ptr_equal(map_remove(&m, str_of(keys[i])), keys[i]);
    for (int i = 0; i < COUNT; i++)
        assert_ptr_equal(map_get(&m, str_of(keys[i])), i % 3 ? keys[i] : NULL);
    uint32_t seen = 0;
    MAP_EACH(i, &m) {
        seen++;
    }
    assert_int_equal(seen, m.len);
    assert_null(map_remove(&m, STR("absent")));
    map_deinit(&m);
}

static void clock_reads_what_it_writes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* -1: refused */
    } cases[] = {
        { "1970-01-01T00:00:01Z", 1000000 },
        { "2026-11-20T00:00:00.000Z", 1795132800000000 },
        { "2026-11-20T00:00:00.123456+00:00", 1795132800123456 },
        { "2026-11-20T02:00:00.5+02:00", 1795132800500000 },
        { "2026-11-20T00:00:00.1234567Z", 1795132800123456 },
        { "2026-11-20", -1 },
        { "2026-13-20T00:00:00Z", -1 },
        { "2026-11-20T00:00:00", -1 },
        { "2026-11-20T00:00:00.Z", -1 },
        { "2026-11-20T00:00:00Zx", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t us = -1;
        bool good = clock_parse(cases[i].text, strlen(cases[i].text), &us);
        assert_int_equal(good, cases[i].us >= 0);
        if (good)
            assert_int_equal(us, cases[i].us);
    }
    char text[CLOCK_RFC3339_SIZE];
    clock_format(1795132800123456, text);
    assert_string_equal(text, "2026-11-20T00:00:00.123456Z");
}

static void numbers_are_exact(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    assert_true(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &u) && u == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &u));
    assert_false(str_to_u64(STR(""), 10, &u));
    assert_false(str_to_u64(STR("11"), 10, &u));
    assert_false(str_to_u64(STR("1 "), 10, &u));
    assert_true(str_to_i64(STR("-5"), &i) && i == -5);
    assert_false(str_to_i64(STR("--5"), &i));
}

static void secrets_compare_by_value(void **state)
{
    (void)state;
    assert_true(str_secret_eq(STR("abc"), STR("abc")));
    assert_false(str_secret_eq(STR("abc"), STR("abd")));
    assert_false(str_secret_eq(STR("abc"), STR("ab")));
    assert_true(str_ieq(STR("Content-TYPE"), STR("content-type")));
}

static void ids_use_their_alphabet(void **state)
{
    (void)state;
    char a[21], b[21];
    rand_id(a, 20);
    rand_id(b, 20);
    assert_int_equal(strspn(a, "abcdefghijklmnopqrstuvwxyz0123456789"), 20);
    assert_string_not_equal(a, b);
}

static void arena_is_bounded_and_zeroed(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 10000);
    char *p = arena_alloc(&a, 6000);
    assert_non_null(p);
    assert_int_equal(p[0] | p[5999], 0);
    assert_null(arena_alloc(&a, 6000));
    assert_string_equal(arena_printf(&a, "%d", 42), "42");
    arena_deinit(&a);
}

static void op_keeps_the_first_cause(void **state)
{
    (void)state;
    struct op op = { 0 };
    assert_int_equal(op_fail(&op, FAULT_LIMIT, ENOSPC, "first %d", 1), -ENOSPC);
    assert_int_equal(op_fail(&op, FAULT_INTERNAL, 0, "second"), -EIO);
    assert_string_equal(op.fault.text, "first 1");
    assert_int_equal(fault_status(op.fault.code), 429);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_keeps_order_and_limit),
        cmocka_unit_test(buf_survives_many_small_turns),
        cmocka_unit_test(map_finds_what_is_there),
        cmocka_unit_test(clock_reads_what_it_writes),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(secrets_compare_by_value),
        cmocka_unit_test(ids_use_their_alphabet),
        cmocka_unit_test(arena_is_bounded_and_zeroed),
        cmocka_unit_test(op_keeps_the_first_cause),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
