/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

#include <string.h>

#include "random.h"

struct item {
    int n;
    struct list node;
};

static struct item *item_of(struct list *node)
{
    return node ? container_of(node, struct item, node) : NULL;
}

static void test_nodes_leave_in_the_order_they_came(void **state)
{
    (void)state;
    struct list l = LIST_INIT(l);
    struct item a = {.n = 1}, b = {.n = 2}, c = {.n = 3};
    list_init(&a.node);
    list_init(&b.node);
    list_init(&c.node);
    assert_true(list_is_empty(&l));
    assert_null(list_first(&l));
    assert_null(list_last(&l));
    list_append(&l, &b.node);
    list_append(&l, &c.node);
    list_push(&l, &a.node);
    assert_ptr_equal(item_of(list_first(&l)), &a);
    assert_ptr_equal(item_of(list_last(&l)), &c);
    for (int n = 1; n <= 3; n++)
        assert_int_equal(item_of(list_shift(&l))->n, n);
    assert_null(list_shift(&l));
    assert_false(list_is_linked(&a.node));
    list_remove(&a.node); /* harmless */
}

static void test_nodes_may_leave_while_being_walked(void **state)
{
    (void)state;
    struct list l = LIST_INIT(l);
    struct item items[10];
    for (int i = 0; i < 10; i++) {
        items[i].n = i;
        list_init(&items[i].node);
        list_append(&l, &items[i].node);
    }
    list_each_safe (it, &l) {
        if (item_of(it)->n % 2)
            list_remove(it);
    }
    int expected = 0;
    list_each (it, &l) {
        assert_int_equal(item_of(it)->n, expected);
        expected += 2;
    }
    assert_int_equal(expected, 10);
}

/* The model: positions of an array. */
static void test_random_changes_agree_with_an_array(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct random rnd = {3};
    struct list l = LIST_INIT(l);
    struct item items[COUNT];
    int model[COUNT], count = 0;
    for (int i = 0; i < COUNT; i++) {
        items[i].n = i;
        list_init(&items[i].node);
    }
    for (int round = 0; round < 20000; round++) {
        struct item *it = &items[random_below(&rnd, COUNT)];
        if (list_is_linked(&it->node)) {
            int at = 0;
            while (model[at] != it->n)
                at++;
            memmove(model + at, model + at + 1, (size_t)(count - at - 1) * sizeof(int));
            count--;
            list_remove(&it->node);
        } else if (random_below(&rnd, 2)) {
            list_append(&l, &it->node);
            model[count++] = it->n;
        } else {
            list_push(&l, &it->node);
            memmove(model + 1, model, (size_t)count * sizeof(int));
            model[0] = it->n;
            count++;
        }
        int at = 0;
        list_each (node, &l)
            assert_int_equal(item_of(node)->n, model[at++]);
        assert_int_equal(at, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes_leave_in_the_order_they_came),
        cmocka_unit_test(test_nodes_may_leave_while_being_walked),
        cmocka_unit_test(test_random_changes_agree_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
