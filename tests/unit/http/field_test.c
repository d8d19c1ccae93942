/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/field.h"

#include "../base/scratch.h"

static void add(struct fields *fs, const char *name, const char *value)
{
    struct slice s = slice_str(name);
    fields_add(fs, &arena, field_lookup(s), s, slice_str(value));
}

static void test_every_known_name_is_found_in_any_case(void **state)
{
    (void)state;
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_IDS; id++) {
        const char *name = field_name((enum field_id)id);
        char upper[64], lower[64];
        size_t n = strlen(name);
        for (size_t i = 0; i < n; i++) {
            bool letter = (name[i] | 0x20) >= 'a' && (name[i] | 0x20) <= 'z';
            upper[i] = letter ? (char)(name[i] & ~0x20) : name[i];
            lower[i] = letter ? (char)(name[i] | 0x20) : name[i];
        }
        assert_int_equal(field_lookup(slice_str(name)), id);
        assert_int_equal(field_lookup(slice_of(upper, n)), id);
        assert_int_equal(field_lookup(slice_of(lower, n)), id);
    }
}

/* A byte more, a byte less, or any other byte in any place makes another name. */
static void test_names_that_differ_in_one_byte_are_not_known(void **state)
{
    (void)state;
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_IDS; id++) {
        const char *name = field_name((enum field_id)id);
        char other[64];
        size_t n = strlen(name);
        memcpy(other, name, n);
        other[n] = 'x';
        assert_int_not_equal(field_lookup(slice_of(other, n + 1)), id);
        assert_int_not_equal(field_lookup(slice_of(other, n - 1)), id);
        for (size_t i = 0; i < n; i++) {
            for (int c = 0; c < 256; c++) {
                other[i] = (char)c;
                bool same = strncasecmp(other, name, n) == 0;
                assert_int_equal(field_lookup(slice_of(other, n)) == id, same);
            }
            other[i] = name[i];
        }
    }
}

static void test_flags_come_from_the_table(void **state)
{
    (void)state;
    assert_int_equal(field_flags(FIELD_CONNECTION), FIELD_HOP);
    assert_int_equal(field_flags(FIELD_HOST), FIELD_KEEP | FIELD_SINGLE);
    assert_int_equal(field_flags(FIELD_OTHER), 0);
    assert_string_equal(field_name(FIELD_OTHER), "");
}

static void test_lines_keep_their_order_and_grow(void **state)
{
    (void)state;
    struct fields fs = {0};
    for (int i = 0; i < 100; i++)
        add(&fs, i % 2 ? "Accept" : "X-Even", "v");
    assert_int_equal(fs.n, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(fs.v[i].id, i % 2 ? FIELD_ACCEPT : FIELD_OTHER);
}

static void test_the_first_line_not_dropped_is_found(void **state)
{
    (void)state;
    struct fields fs = {0};
    add(&fs, "X-One", "1");
    add(&fs, "Cookie", "a");
    add(&fs, "cookie", "b");
    assert_true(fields_has(&fs, FIELD_COOKIE));
    assert_ptr_equal(fields_find(&fs, FIELD_COOKIE), &fs.v[1]);
    fs.v[1].dropped = true;
    assert_true(slice_eq(fields_value(&fs, FIELD_COOKIE), SLICE("b")));
    assert_ptr_equal(fields_find_name(&fs, SLICE("x-ONE")), &fs.v[0]);
    assert_ptr_equal(fields_find_name(&fs, SLICE("COOKIE")), &fs.v[2]);
    assert_null(fields_find_name(&fs, SLICE("X-Two")));
    assert_null(fields_value(&fs, FIELD_RANGE).p);
}

static void test_dropped_fields_are_gone(void **state)
{
    (void)state;
    struct fields fs = {0};
    add(&fs, "Via", "1");
    add(&fs, "Via", "2");
    fields_drop(&fs, FIELD_VIA);
    fields_drop(&fs, FIELD_RANGE);
    assert_false(fields_has(&fs, FIELD_VIA));
    assert_null(fields_find(&fs, FIELD_VIA));
    assert_true(fs.v[0].dropped && fs.v[1].dropped);
    add(&fs, "Via", "3");
    assert_true(slice_eq(fields_value(&fs, FIELD_VIA), SLICE("3")));
}

static void test_names_that_pass_for_others_are_dropped(void **state)
{
    (void)state;
    static const char *const sent[] = {"X_Forwarded_For", "transfer_ENCODING", "X-Request_Id",
                                       "X_Team",          "x-own_name",        "X_Free",
                                       "Content_Type",    "x_own_name"};
    struct fields fs = {0};
    enum { SENT = sizeof(sent) / sizeof(sent[0]) };
    for (unsigned i = 0; i < SENT; i++)
        add(&fs, sent[i], "1");
    add(&fs, "X-Team", "ours");
    add(&fs, "X_Own_Name", "ours");
    assert_int_equal(fields_drop_aliases(&fs, SENT), 5);
    for (unsigned i = 0; i < fs.n; i++)
        assert_int_equal(fs.v[i].dropped, i < 5);
    assert_int_equal(fields_drop_aliases(&fs, SENT), 0);
}

static void test_tokens_are_found_in_all_lines(void **state)
{
    (void)state;
    struct fields fs = {0};
    add(&fs, "Connection", "keep-alive, ,Upgrade");
    add(&fs, "Connection", "\tclose ");
    assert_true(fields_has_token(&fs, FIELD_CONNECTION, SLICE("upgrade")));
    assert_true(fields_has_token(&fs, FIELD_CONNECTION, SLICE("close")));
    assert_false(fields_has_token(&fs, FIELD_CONNECTION, SLICE("clos")));
    assert_false(fields_has_token(&fs, FIELD_UPGRADE, SLICE("close")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_known_name_is_found_in_any_case),
        cmocka_unit_test(test_names_that_differ_in_one_byte_are_not_known),
        cmocka_unit_test(test_flags_come_from_the_table),
        cmocka_unit_test(test_lines_keep_their_order_and_grow),
        cmocka_unit_test(test_the_first_line_not_dropped_is_found),
        cmocka_unit_test(test_dropped_fields_are_gone),
        cmocka_unit_test(test_names_that_pass_for_others_are_dropped),
        cmocka_unit_test(test_tokens_are_found_in_all_lines),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
