/* An arena for each test of a program: {cmocka_unit_test_setup_teardown(test, set_up, tear_down)}.
 * SPDX-License-Identifier: MIT */
#ifndef TEST_BASE_SCRATCH_H
#define TEST_BASE_SCRATCH_H

#include "base/arena.h"

static struct buf_pool pool;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    buf_pool_init(&pool, 1 << 16);
    arena_init(&arena, &pool);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    buf_pool_fini(&pool);
    return 0;
}

#endif
