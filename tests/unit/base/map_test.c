/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"

#include <stdio.h>

#include "random.h"

/* The key and input of the paper's appendix A: 00 01 .. 0f, and 00 01 .. 0e. */
static void test_siphash_gives_the_published_value(void **state)
{
    (void)state;
    char in[15];
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (char)i;
    struct map_key key = {.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
    assert_true(map_siphash24(key, slice_of(in, sizeof(in))) == 0xa129ca6149be45e5);
}

/* As CPython 3.11 hashes bytes(range(n)) under PYTHONHASHSEED=0. */
static void test_siphash13_agrees_with_another_implementation(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t hash;
    } known[] = {
        {1, 0x68a914128e01e473},  {7, 0x2f098ab0c751325a},  {8, 0xead411e67ebe2eea},
        {9, 0x75927f9d95124362},  {15, 0xf30eb725bb91c9ea}, {16, 0x8972188433a5c5b7},
        {18, 0xadc2c0b63044067d},
    };
    char in[32];
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (char)i;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_true(map_siphash13((struct map_key){0, 0}, slice_of(in, known[i].n)) ==
                    known[i].hash);
}

static void test_a_new_value_replaces_the_old_one(void **state)
{
    (void)state;
    int a, b;
    char copy[] = "key";
    struct map m;
    map_init(&m, (struct map_key){1, 2});
    assert_null(map_get(&m, SLICE("key")));
    assert_null(map_remove(&m, SLICE("key")));
    assert_null(map_put(&m, SLICE("key"), &a));
    assert_null(map_get(&m, SLICE("KEY")));
    assert_ptr_equal(map_put(&m, slice_str(copy), &b), &a);
    assert_int_equal(m.count, 1);
    assert_ptr_equal(map_next(&m, NULL)->key.p, copy);
    assert_ptr_equal(map_get(&m, SLICE("key")), &b);
    assert_null(map_put(&m, SLICE_NONE, &a));
    assert_ptr_equal(map_get(&m, SLICE("")), &a);
    map_fini(&m);
    assert_null(map_get(&m, SLICE("key")));
}

/* Few keys and a low cap make runs of neighbours that wrap around the end. */
static void test_random_changes_agree_with_an_array(void **state)
{
    (void)state;
    enum { KEYS = 700 };
    static char names[KEYS][16];
    static int values[KEYS];
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof(names[i]), "key-%d", i);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct random rnd = {seed};
        int *model[KEYS] = {0};
        uint32_t keys = seed % 2 ? 11 : KEYS, count = 0;
        struct map m;
        map_init(&m, (struct map_key){seed, 0});
        for (int round = 0; round < 20000; round++) {
            uint32_t k = random_below(&rnd, keys);
            struct slice name = slice_str(names[k]);
            assert_ptr_equal(map_get(&m, name), model[k]);
            if (random_below(&rnd, 2)) {
                int *value = &values[random_below(&rnd, KEYS)];
                count += !model[k];
                assert_ptr_equal(map_put(&m, name, value), model[k]);
                model[k] = value;
            } else {
                count -= model[k] != NULL;
                assert_ptr_equal(map_remove(&m, name), model[k]);
                model[k] = NULL;
            }
            assert_int_equal(m.count, count);
        }
        uint32_t seen = 0;
        for (struct map_slot *s = map_next(&m, NULL); s; s = map_next(&m, s)) {
            assert_ptr_equal(map_get(&m, s->key), s->value);
            seen++;
        }
        assert_int_equal(seen, count);
        for (uint32_t k = 0; k < keys; k++)
            assert_ptr_equal(map_get(&m, slice_str(names[k])), model[k]);
        map_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_gives_the_published_value),
        cmocka_unit_test(test_siphash13_agrees_with_another_implementation),
        cmocka_unit_test(test_a_new_value_replaces_the_old_one),
        cmocka_unit_test(test_random_changes_agree_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
