/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

#include "random.h"

static void test_an_unused_arena_takes_no_memory(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 0);
    struct arena a;
    arena_init(&a, &pool);
    assert_int_equal(pool.live_bytes, 0);
    arena_fini(&a);
    arena_fini(&a);
    buf_pool_fini(&pool);
}

/* Every byte of every allocation stays its own until the end. */
static void test_allocations_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static struct {
        unsigned char *p;
        size_t n;
    } made[COUNT];
    struct random rnd = {7};
    struct buf_pool pool;
    buf_pool_init(&pool, 1 << 20);
    struct arena a;
    arena_init(&a, &pool);
    for (size_t i = 0; i < COUNT; i++) {
        static const uint32_t limits[] = {1, 40, 300, BUF_SMALL / 2 + 20, BUF_SMALL + 50, 100000};
        size_t n = random_below(&rnd, limits[random_below(&rnd, 6)]);
        made[i].p = random_below(&rnd, 2) ? arena_alloc(&a, n) : arena_zalloc(&a, n);
        made[i].n = n;
        assert_int_equal((uintptr_t)made[i].p % _Alignof(max_align_t), 0);
        memset(made[i].p, (int)(i & 255), n);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t at = 0; at < made[i].n; at++)
            assert_int_equal(made[i].p[at], i & 255);
    }
    arena_fini(&a);
    assert_int_equal(pool.live_bytes, 0);
    buf_pool_fini(&pool);
}

static void test_zalloc_clears_what_was_used_before(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 1 << 20);
    struct arena a;
    for (int round = 0; round < 2; round++) {
        arena_init(&a, &pool);
        char *p = arena_zalloc(&a, 1000);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, 1000);
        arena_fini(&a);
    }
    buf_pool_fini(&pool);
}

static void test_copies_end_in_a_nul_that_does_not_count(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 0);
    struct arena a;
    arena_init(&a, &pool);
    struct slice copy = arena_dup(&a, SLICE("a\0b"));
    assert_int_equal(copy.n, 3);
    assert_memory_equal(copy.p, "a\0b", 4);
    assert_int_equal(arena_dup(&a, SLICE_NONE).n, 0);
    assert_string_equal(arena_dup(&a, SLICE_NONE).p, "");
    struct slice text = arena_printf(&a, "%s-%05d", "x", 42);
    assert_int_equal(text.n, 7);
    assert_string_equal(text.p, "x-00042");
    char big[BUF_LARGE];
    memset(big, 'y', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_true(slice_eq(arena_printf(&a, "%s", big), slice_str(big)));
    arena_fini(&a);
    buf_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unused_arena_takes_no_memory),
        cmocka_unit_test(test_allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(test_zalloc_clears_what_was_used_before),
        cmocka_unit_test(test_copies_end_in_a_nul_that_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
