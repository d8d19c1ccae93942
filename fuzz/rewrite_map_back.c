/* What is mapped back brings no byte into a head that was not in it, and mapping again changes
 * nothing: a path that has the prefix keeps it.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "rewrite/map_back.h"

static const struct mapping mapping = {
    .prefix = SLICE_INIT("/app"),
    .host = SLICE_INIT("in.side:8080"),
    .backend = SLICE_INIT("10.0.0.1:80"),
    .scheme = SLICE_INIT("https"),
    .authority = SLICE_INIT("out.side"),
    .cookie_flags = SLICE_INIT("; Secure; SameSite=Lax"),
    .is_on = true,
};

typedef struct slice map_fn(const struct mapping *m, struct slice value, struct arena *a);

static size_t count_control(struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += (unsigned char)s.p[i] < ' ';
    return n;
}

static void check(map_fn *map, struct slice value, struct arena *a)
{
    struct slice once = map(&mapping, value, a), twice = map(&mapping, once, a);
    HOLDS(count_control(once) <= count_control(value));
    HOLDS(once.n <= value.n * 4 + 64);
    HOLDS(slice_eq(once, twice));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf_pool pool;
    struct arena arena;
    struct slice value = slice_of(data, size);
    buf_pool_init(&pool, 0);
    arena_init(&arena, &pool);
    check(map_back_url, value, &arena);
    check(map_back_refresh, value, &arena);
    check(map_back_cookie, value, &arena);
    arena_fini(&arena);
    buf_pool_fini(&pool);
    return 0;
}
