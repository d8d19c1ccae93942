/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/heap.h"

#include "base/list.h"
#include "random.h"

enum { NODES = 300 };

struct item {
    struct heap_node node;
    uint64_t key; /* the model's idea */
    bool in;
};

static struct item items[NODES];

static const struct item *smallest(void)
{
    const struct item *best = NULL;
    for (int i = 0; i < NODES; i++) {
        if (items[i].in && (!best || items[i].key < best->key))
            best = &items[i];
    }
    return best;
}

static void check(const struct heap *h)
{
    for (uint32_t at = 1; at <= h->count; at++) {
        assert_int_equal(h->nodes[at]->at, at);
        assert_true(at == 1 || h->nodes[at / 2]->key <= h->nodes[at]->key);
    }
}

static void change(struct heap *h, struct item *it, struct random *rnd)
{
    uint64_t key = random_below(rnd, 50) ? random_below(rnd, 1000) : UINT64_MAX;
    switch (random_below(rnd, it->in ? 3 : 1)) {
    case 0:
        if (it->in)
            heap_rekey(h, &it->node, key);
        else
            heap_insert(h, &it->node, key);
        it->in = true;
        it->key = key;
        break;
    case 1:
        heap_remove(h, &it->node);
        it->in = false;
        heap_remove(h, &it->node); /* harmless */
        break;
    case 2: /* take the first one */
        it = container_of(heap_first(h), struct item, node);
        assert_int_equal(it->key, smallest()->key);
        heap_remove(h, &it->node);
        it->in = false;
        break;
    }
}

static void test_random_changes_keep_the_smallest_first(void **state)
{
    (void)state;
    struct random rnd = {99};
    struct heap h;
    heap_init(&h);
    for (int i = 0; i < 100000; i++) {
        change(&h, &items[random_below(&rnd, NODES)], &rnd);
        const struct item *expected = smallest();
        const struct heap_node *first = heap_first(&h);
        assert_int_equal(first == NULL, expected == NULL);
        if (first)
            assert_int_equal(first->key, expected->key);
        if (i % 64 == 0)
            check(&h);
    }
    heap_fini(&h);
    assert_null(heap_first(&h));
}

static void test_leaving_comes_in_order(void **state)
{
    (void)state;
    struct random rnd = {5};
    static struct heap_node nodes[5000];
    struct heap h;
    heap_init(&h);
    for (size_t i = 0; i < 5000; i++)
        heap_insert(&h, &nodes[i], random_below(&rnd, 3000));
    uint64_t last = 0;
    for (size_t i = 0; i < 5000; i++) {
        struct heap_node *first = heap_first(&h);
        assert_true(first->key >= last);
        last = first->key;
        heap_remove(&h, first);
        assert_int_equal(first->at, 0);
    }
    assert_null(heap_first(&h));
    heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_changes_keep_the_smallest_first),
        cmocka_unit_test(test_leaving_comes_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
