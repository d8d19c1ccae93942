/* Every row of strictness.def, fed whole, cut in two at every byte, and byte by byte, with an
 * unreadable page behind the bytes that have arrived. "--markdown" prints the table.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/chunked.h"
#include "http/framing.h"

enum { OK = 0, MORE = 1, LESS = 2 };
enum kind { KIND_SECTION, KIND_REQUEST, KIND_RESPONSE, KIND_HEAD_RESPONSE, KIND_CGI };

struct row {
    enum kind kind;
    const char *note;
    struct slice bytes;
    int verdict;
    const char *rule;
};

/* clang-format off */
static const struct row rows[] = {
#define SECTION(note) {KIND_SECTION, note, {NULL, 0}, 0, NULL},
#define ROW(kind, note, bytes, verdict, rule) {kind, note, SLICE_INIT(bytes), verdict, rule},
#define REQUEST(note, bytes, verdict, rule) ROW(KIND_REQUEST, note, bytes, verdict, rule)
#define RESPONSE(note, bytes, verdict, rule) ROW(KIND_RESPONSE, note, bytes, verdict, rule)
#define HEAD_RESPONSE(note, bytes, verdict, rule) ROW(KIND_HEAD_RESPONSE, note, bytes, verdict, rule)
#define CGI(note, bytes, verdict, rule) ROW(KIND_CGI, note, bytes, verdict, rule)
#include "strictness.def"
};
/* clang-format on */
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct head_limits limits = {.head_bytes = 1024, .target_bytes = 256, .fields = 12};

/* Memory of which the byte behind the last one cannot be read. */
static char *page_end;
enum { PAGES_BYTES = 16 * 4096 };

static int map_guarded(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p =
        mmap(NULL, PAGES_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + PAGES_BYTES, page, PROT_NONE) != 0)
        return -1;
    page_end = p + PAGES_BYTES;
    return 0;
}

static struct slice guarded(struct slice bytes)
{
    memcpy(page_end - bytes.n, bytes.p, bytes.n);
    return slice_of(page_end - bytes.n, bytes.n);
}

/* A message that arrives: how far it has been taken, and what it has turned out to be. */
struct arrival {
    enum kind kind;
    enum { AT_HEAD, AT_BODY } at;
    size_t taken, scanned;
    bool has_less; /* than was sent */
    struct framing framing;
    struct chunked chunked;
    struct fault fault;
    struct arena arena;
};

static enum parse parse_head(struct arrival *m, struct slice head)
{
    struct request_head request;
    struct response_head response;
    enum response_form form = m->kind == KIND_CGI ? RESPONSE_CGI : RESPONSE_STATUS_LINE;
    enum method method = m->kind == KIND_HEAD_RESPONSE ? METHOD_HEAD : METHOD_GET;
    if (m->kind == KIND_REQUEST) {
        if (request_head_parse(head, &limits, &m->arena, &request, &m->fault) == PARSE_BAD)
            return PARSE_BAD;
        m->has_less = fields_drop_aliases(&request.fields, request.fields.n) > 0;
        return framing_of_request(&request, &m->framing, &m->fault);
    }
    if (response_head_parse(head, form, &limits, &m->arena, &response, &m->fault) == PARSE_BAD)
        return PARSE_BAD;
    return framing_of_response(&response, method, &m->framing, &m->fault);
}

static int refused(const struct arrival *m)
{
    return m->kind == KIND_REQUEST ? m->fault.status : 502;
}

static int arrive_chunked(struct arrival *m, struct slice rest)
{
    struct slice data, trailers, before = rest;
    struct fields fields;
    enum parse found;
    do {
        found = chunked_feed(&m->chunked, &rest, &data, &trailers, &limits, &m->fault);
    } while (found == PARSE_MORE && data.n > 0);
    m->taken += before.n - rest.n;
    if (found == PARSE_DONE)
        found = trailers_parse(trailers, &limits, &m->arena, &fields, &m->fault);
    return found == PARSE_BAD ? refused(m) : found == PARSE_MORE ? MORE : OK;
}

static int arrive_body(struct arrival *m, struct slice rest)
{
    switch (m->framing.kind) {
    case BODY_NONE: return m->has_less ? LESS : OK;
    case BODY_LENGTH: return rest.n >= m->framing.length ? OK : MORE;
    case BODY_CHUNKED: return arrive_chunked(m, rest);
    case BODY_CLOSE: return m->kind == KIND_CGI ? OK : MORE;
    case BODY_TUNNEL: return OK;
    }
    return -1;
}

static int arrive_head(struct arrival *m, struct slice rest)
{
    size_t end;
    if (m->kind == KIND_REQUEST && m->taken == 0 && rest.n > 0 && rest.p[0] == '\r') {
        if (rest.n == 1)
            return MORE;
        if (rest.p[1] == '\n') {
            m->taken = 2;
            rest = slice_skip(rest, 2);
        }
    }
    if (head_find_end(rest, &m->scanned, &end) == PARSE_MORE)
        return head_check_size(rest, &limits, &m->fault) == PARSE_BAD ? refused(m) : MORE;
    if (parse_head(m, slice_first(rest, end)) == PARSE_BAD)
        return refused(m);
    m->taken += end;
    m->at = AT_BODY;
    return OK;
}

/* all: what has arrived from the beginning on. */
static int arrive(struct arrival *m, struct slice all)
{
    if (m->at == AT_HEAD) {
        int verdict = arrive_head(m, slice_skip(all, m->taken));
        if (verdict != OK)
            return verdict;
    }
    return arrive_body(m, slice_skip(all, m->taken));
}

static int verdict_of(const struct row *row, size_t first, size_t step, struct fault *fault)
{
    struct buf_pool pool;
    struct arrival m = {.kind = row->kind};
    buf_pool_init(&pool, 0);
    arena_init(&m.arena, &pool);
    chunked_init(&m.chunked);
    int verdict = MORE;
    for (size_t n = first; verdict == MORE; n = n + step < row->bytes.n ? n + step : row->bytes.n) {
        verdict = arrive(&m, guarded(slice_first(row->bytes, n)));
        if (n == row->bytes.n)
            break;
    }
    *fault = m.fault;
    arena_fini(&m.arena);
    buf_pool_fini(&pool);
    return verdict;
}

static bool is_as_expected(const struct row *row, size_t first, size_t step)
{
    struct fault fault = {0};
    int verdict = verdict_of(row, first, step, &fault);
    bool right = verdict == row->verdict && (verdict <= LESS || strcmp(fault.rule, row->rule) == 0);
    if (!right)
        print_error("%s: cut at %zu by %zu: %d, %s (%s), but expected %d (%s)\n", row->note, first,
                    step, verdict, fault.what ? fault.what : "", fault.rule ? fault.rule : "",
                    row->verdict, row->rule);
    return right;
}

static void test_whole_messages_get_their_verdict(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (const struct row *row = rows; row < rows + ROWS; row++)
        if (row->kind != KIND_SECTION)
            wrong += !is_as_expected(row, row->bytes.n, 1);
    assert_int_equal(wrong, 0);
}

static void test_messages_cut_in_two_get_the_same_verdict(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (const struct row *row = rows; row < rows + ROWS; row++) {
        size_t cut = 0;
        while (cut < row->bytes.n && is_as_expected(row, cut, row->bytes.n))
            cut++;
        wrong += cut < row->bytes.n;
    }
    assert_int_equal(wrong, 0);
}

static void test_messages_byte_by_byte_get_the_same_verdict(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (const struct row *row = rows; row < rows + ROWS; row++)
        if (row->kind != KIND_SECTION)
            wrong += !is_as_expected(row, 0, 1);
    assert_int_equal(wrong, 0);
}

/* Bytes as in C, within a Markdown table. Long runs of one letter are cut short. */
static void print_bytes(FILE *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        size_t run = 1;
        while (i + run < bytes.n && bytes.p[i + run] == bytes.p[i])
            run++;
        if (run >= 16) {
            fprintf(out, "%c...%c", c, c);
            i += run - 1;
        } else if (c == '\r' || c == '\n' || c == '\t') {
            fputs(c == '\r' ? "\\r" : c == '\n' ? "\\n" : "\\t", out);
        } else if (c < ' ' || c > '~') {
            fprintf(out, "\\x%02x", c);
        } else if (c == '|') {
            fputs("\\|", out);
        } else {
            fputc(c, out);
        }
    }
}

static void print_verdict(FILE *out, int verdict)
{
    static const char *const words[] = {"accepted", "waits for more", "accepted without the field"};
    if (verdict <= LESS)
        fputs(words[verdict], out);
    else
        fprintf(out, "%d", verdict);
}

static void print_markdown(FILE *out)
{
    unsigned count = 0;
    for (const struct row *row = rows; row < rows + ROWS; row++)
        count += row->kind != KIND_SECTION;
    fprintf(out,
            "# Strictness\n\n"
            "What becomes of %u malformed, ambiguous and barely right messages, and by which rule. "
            "A refused\nrequest gets the status and its connection is closed; a refused response "
            "becomes a 502.\nPrinted by `strictness_test --markdown` from "
            "`tests/unit/http/strictness.def`, which is tested\nrow by row: whole, cut at every "
            "byte, and byte by byte. Limits there: %u bytes of head, %u of\ntarget, %u fields.\n",
            count, limits.head_bytes, limits.target_bytes, limits.fields);
    for (const struct row *row = rows; row < rows + ROWS; row++) {
        if (row->kind == KIND_SECTION) {
            fprintf(out, "\n## %s\n\n| message | bytes | verdict | rule |\n|---|---|---|---|\n",
                    row->note);
            continue;
        }
        fprintf(out, "| %s | `` ", row->note);
        print_bytes(out, row->bytes);
        fputs(" `` | ", out);
        print_verdict(out, row->verdict);
        fprintf(out, " | %s |\n", row->rule);
    }
}

/* DOC: the path of docs/strictness.md. */
static void test_the_page_is_printed_from_this_table(void **state)
{
    (void)state;
    char *printed = NULL, *page = NULL;
    size_t printed_n = 0, page_n = 0;
    FILE *out = open_memstream(&printed, &printed_n), *in = fopen(DOC, "r");
    assert_non_null(out);
    print_markdown(out);
    fclose(out);
    assert_non_null(in);
    ssize_t got = getdelim(&page, &page_n, '\0', in);
    fclose(in);
    assert_int_equal(got, printed_n);
    assert_memory_equal(page, printed, printed_n);
    free(page);
    free(printed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_messages_get_their_verdict),
        cmocka_unit_test(test_messages_cut_in_two_get_the_same_verdict),
        cmocka_unit_test(test_messages_byte_by_byte_get_the_same_verdict),
        cmocka_unit_test(test_the_page_is_printed_from_this_table),
    };
    if (argc == 2 && strcmp(argv[1], "--markdown") == 0) {
        print_markdown(stdout);
        return 0;
    }
    return cmocka_run_group_tests(tests, map_guarded, NULL);
}
