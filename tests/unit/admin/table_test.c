/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/table.h"

static char *text_of_table(const struct table *t)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    table_put(t, out);
    fclose(out);
    return text;
}

static char *row_cut(const struct table *t, uint32_t width)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    table_put_row(t, 0, out, width);
    fclose(out);
    return text;
}

static void test_columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 1);
    table_row(&t);
    table_cell(&t, "%s", "NAME");
    table_cell(&t, "%s", "N");
    table_row(&t);
    table_cell(&t, "%s", "a");
    table_cell(&t, "%d", 1234);
    char *text = text_of_table(&t);
    assert_string_equal(text, "NAME     N\n"
                              "a     1234\n");
    free(text);
    table_fini(&t);
}

static void test_characters_count_and_not_bytes(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 1);
    table_row(&t);
    table_cell(&t, "%s", "p\xc3\xb6\xc3\xb6l");
    table_cell(&t, "%s", "1");
    table_row(&t);
    table_cell(&t, "%s", "pool");
    table_cell(&t, "%s", "2");
    char *text = text_of_table(&t), *cut = row_cut(&t, 3);
    assert_string_equal(text, "p\xc3\xb6\xc3\xb6l  1\npool  2\n");
    assert_string_equal(cut, "p\xc3\xb6\xc3\xb6");
    free(text);
    free(cut);
    table_fini(&t);
}

static void test_what_a_terminal_could_obey_is_tamed(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 1);
    table_row(&t);
    table_cell(&t, "%s", "a\033[2J\r\n\x7f");
    char *text = text_of_table(&t);
    assert_string_equal(text, "a?[2J???\n");
    free(text);
    table_fini(&t);
}

static void test_long_cells_and_many_columns_are_cut(void **state)
{
    (void)state;
    struct table t;
    char longer[TABLE_CELL_MAX * 2];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    table_init(&t, 1);
    table_row(&t);
    for (int i = 0; i < TABLE_COLUMNS_MAX + 5; i++)
        table_cell(&t, "%s", longer);
    assert_int_equal(t.rows[0].count, TABLE_COLUMNS_MAX);
    assert_int_equal(strlen(t.rows[0].cells[0]), TABLE_CELL_MAX - 1);
    table_fini(&t);
}

static void test_durations_and_sizes_have_a_unit_that_fits(void **state)
{
    (void)state;
    char buf[TABLE_CELL_MAX];
    assert_string_equal(table_duration(buf, 0), "0.00 ms");
    assert_string_equal(table_duration(buf, 1250), "1.25 ms");
    assert_string_equal(table_duration(buf, 12500), "12.5 ms");
    assert_string_equal(table_duration(buf, 125000), "125 ms");
    assert_string_equal(table_duration(buf, 1250000), "1.25 s");
    assert_string_equal(table_duration(buf, 67000000), "67.0 s");
    assert_string_equal(table_bytes(buf, 980), "980 B");
    assert_string_equal(table_bytes(buf, 12300000), "12.3 MB");
    assert_string_equal(table_bytes(buf, 9e20), "900000000 TB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(test_characters_count_and_not_bytes),
        cmocka_unit_test(test_what_a_terminal_could_obey_is_tamed),
        cmocka_unit_test(test_long_cells_and_many_columns_are_cut),
        cmocka_unit_test(test_durations_and_sizes_have_a_unit_that_fits),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
