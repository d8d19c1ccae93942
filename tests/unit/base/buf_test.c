/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#include "random.h"

static void test_capacity_is_at_least_what_was_asked_for(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,         1,          BUF_TINY,      BUF_TINY + 1,
                                   BUF_SMALL, BUF_MEDIUM, BUF_SMALL + 1, BUF_MEDIUM + 1,
                                   BUF_LARGE};
    struct buf_pool pool;
    buf_pool_init(&pool, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct buf *b = buf_take(&pool, sizes[i]);
        assert_true(b->cap >= sizes[i]);
        assert_int_equal(b->used, 0);
        assert_int_equal(buf_room(b), b->cap);
        memset(b->data, 1, b->cap);
        buf_unref(b);
    }
    buf_pool_fini(&pool);
}

static void test_a_returned_buf_is_taken_again(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 1 << 20);
    struct buf *first = buf_take(&pool, BUF_SMALL);
    first->used = 100;
    buf_ref(first);
    buf_unref(first);
    assert_int_equal(pool.live_bytes, BUF_SMALL);
    buf_unref(first);
    assert_int_equal(pool.live_bytes, 0);
    assert_int_equal(pool.kept_bytes, BUF_SMALL);
    struct buf *again = buf_take(&pool, BUF_SMALL);
    assert_ptr_equal(first, again);
    assert_int_equal(again->used, 0);
    assert_int_equal(pool.kept_bytes, 0);
    buf_unref(again);
    buf_pool_fini(&pool);
}

static size_t kept(const struct buf_pool *pool)
{
    size_t bytes = 0;
    for (int class = 0; class < BUF_CLASSES; class ++) {
        for (const struct buf *b = pool->classes[class].free; b; b = b->next)
            bytes += b->cap;
    }
    return bytes;
}

static void test_random_taking_and_returning_keeps_the_accounts(void **state)
{
    (void)state;
    enum { LIVE = 64, BUDGET = 200000 };
    struct random rnd = {20240701};
    struct buf_pool pool;
    buf_pool_init(&pool, BUDGET);
    struct buf *live[LIVE] = {0};
    size_t live_bytes = 0;
    for (int i = 0; i < 100000; i++) {
        struct buf **b = &live[random_below(&rnd, LIVE)];
        if (*b && random_below(&rnd, 4) == 0) {
            struct buf *more = buf_ref(*b);
            assert_int_equal(more->data[0], more->data[more->cap - 1]);
            buf_unref(more);
        } else if (*b) {
            live_bytes -= (*b)->cap;
            buf_unref(*b);
            *b = NULL;
        } else {
            *b = buf_take(&pool, random_below(&rnd, BUF_LARGE + 1));
            assert_int_equal((*b)->refs, 1);
            (*b)->data[0] = (*b)->data[(*b)->cap - 1] = (char)i;
            live_bytes += (*b)->cap;
        }
        assert_int_equal(pool.live_bytes, live_bytes);
        assert_true(pool.kept_bytes <= BUDGET);
        if (i % 1000 == 0) {
            assert_int_equal(pool.kept_bytes, kept(&pool));
            buf_pool_trim(&pool, BUDGET / 2);
            assert_true(pool.kept_bytes <= BUDGET / 2);
        }
    }
    for (int i = 0; i < LIVE; i++) {
        if (live[i])
            buf_unref(live[i]);
    }
    buf_pool_fini(&pool);
    assert_int_equal(pool.kept_bytes, 0);
}

/* Takes so many at once, and returns them. */
static void want(struct buf_pool *pool, size_t bytes, unsigned count)
{
    struct buf *b[8];
    assert_true(count <= 8);
    for (unsigned i = 0; i < count; i++)
        b[i] = buf_take(pool, bytes);
    for (unsigned i = 0; i < count; i++)
        buf_unref(b[i]);
}

static void test_what_nobody_wants_any_more_is_given_back(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 16 << 20);
    want(&pool, BUF_HUGE, 8);
    want(&pool, BUF_SMALL, 5);
    assert_int_equal(buf_pool_give_back(&pool), 0); /* wanted since the pool began */
    buf_pool_look(&pool);
    want(&pool, BUF_HUGE, 6);
    want(&pool, BUF_HUGE, 2);
    want(&pool, BUF_SMALL, 4);
    assert_int_equal(buf_pool_give_back(&pool), BUF_HUGE);
    assert_int_equal(buf_pool_give_back(&pool), BUF_HUGE);
    assert_int_equal(buf_pool_give_back(&pool), BUF_SMALL);
    assert_int_equal(buf_pool_give_back(&pool), 0);
    assert_int_equal(pool.kept_bytes, 6 * BUF_HUGE + 4 * BUF_SMALL);
    buf_pool_look(&pool);
    buf_pool_trim(&pool, 5 * BUF_HUGE +
                             4 * BUF_SMALL); /* what others have given back is not there any more */
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(buf_pool_give_back(&pool), BUF_HUGE);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(buf_pool_give_back(&pool), BUF_SMALL);
    assert_int_equal(buf_pool_give_back(&pool), 0);
    assert_int_equal(pool.kept_bytes, 0);
    buf_pool_fini(&pool);
}

static void test_a_buf_is_warm_as_far_as_it_was_ever_filled(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 16 << 20);
    static const struct {
        uint32_t used, warm;
    } takers[] = {{0, 0}, {1000, 0}, {10, 1000}, {BUF_HUGE, 1000}, {0, BUF_HUGE}};
    for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++) {
        struct buf *b = buf_take(&pool, BUF_HUGE);
        assert_int_equal(buf_warm(b), takers[i].warm);
        b->used = takers[i].used;
        assert_true(buf_warm(b) >= b->used && buf_warm(b) >= takers[i].warm);
        buf_unref(b);
    }
    buf_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity_is_at_least_what_was_asked_for),
        cmocka_unit_test(test_a_returned_buf_is_taken_again),
        cmocka_unit_test(test_what_nobody_wants_any_more_is_given_back),
        cmocka_unit_test(test_a_buf_is_warm_as_far_as_it_was_ever_filled),
        cmocka_unit_test(test_random_taking_and_returning_keeps_the_accounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
