/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/chain.h"

#include "random.h"

/* What a chain should hold, one number for each byte: a memory byte's value, or where in a file or
 * pipe it stands for. */
enum { MODEL_MAX = 1 << 20, FROM_FILE = 0x1000, FROM_PIPE = 0x2000 };

struct model {
    uint16_t *bytes;
    size_t n;
};

static int frees;

static void count_free(struct source *s)
{
    (void)s;
    frees++;
}

static void model_put(struct model *m, uint16_t v)
{
    assert_true(m->n < MODEL_MAX);
    m->bytes[m->n++] = v;
}

static void model_drop(struct model *m, size_t n)
{
    assert_true(n <= m->n);
    memmove(m->bytes, m->bytes + n, (m->n - n) * sizeof(*m->bytes));
    m->n -= n;
}

static uint16_t byte_at(const struct link *l, size_t i)
{
    switch (l->kind) {
    case LINK_MEM: return (uint8_t)l->p[i];
    case LINK_FILE: return (uint16_t)(FROM_FILE | ((size_t)l->offset + i) % 1000);
    case LINK_PIPE: return FROM_PIPE;
    }
    return 0;
}

static void check(const struct chain *c, const struct model *m)
{
    size_t at = 0;
    bool same = true;
    const struct link *last = NULL;
    chain_each (l, c) {
        assert_true(l->n > 0);
        for (size_t i = 0; i < l->n; i++, at++)
            same &= byte_at(l, i) == m->bytes[at];
        last = l;
    }
    assert_true(same);
    assert_ptr_equal(c->tail, last);
    assert_int_equal(at, m->n);
    assert_int_equal(c->bytes, m->n);
    assert_int_equal(chain_is_empty(c), m->n == 0);
    assert_int_equal(chain_room(c), m->n < c->window ? c->window - m->n : 0);
}

static void check_iov(const struct chain *c, const struct model *m, int max)
{
    struct iovec iov[16];
    int count = chain_iov(c, iov, max);
    size_t at = 0;
    bool same = true;
    assert_true(count <= max);
    for (int i = 0; i < count; i++) {
        for (size_t b = 0; b < iov[i].iov_len; b++)
            same &= ((uint8_t *)iov[i].iov_base)[b] == m->bytes[at++];
    }
    assert_true(same);
    if (count < max && at < m->n)
        assert_true(m->bytes[at] >= FROM_FILE);
}

struct world {
    struct random rnd;
    struct buf_pool pool;
    struct chain chains[3];
    struct model models[3];
    struct buf *in; /* as a stream holds what it has read */
    uint32_t in_at;
    struct source file, pipe;
    uint8_t next;
};

typedef void change_fn(struct world *w, struct chain *c, struct model *m);
static change_fn put_some, copy_some, reserve_some, put_static, put_source, move_some, drop_some,
    clear_if_large;

/* Bytes that come in by one read and are handed on in pieces, with gaps between them. */
static void put_some(struct world *w, struct chain *c, struct model *m)
{
    if (w->in && w->in_at == w->in->used && random_below(&w->rnd, 3) == 0) {
        buf_unref(w->in);
        w->in = NULL;
    }
    if (!w->in) {
        w->in = buf_take(&w->pool, random_below(&w->rnd, BUF_MEDIUM) + 1);
        w->in_at = 0;
    }
    for (uint32_t n = random_below(&w->rnd, 6000); n && buf_room(w->in); n--)
        *buf_end(w->in) = (char)w->next++, w->in->used++;
    uint32_t have = w->in->used - w->in_at;
    uint32_t skip = random_below(&w->rnd, 4) ? 0 : random_below(&w->rnd, have + 1);
    uint32_t n = random_below(&w->rnd, have - skip + 1);
    struct slice piece = slice_of(w->in->data + w->in_at + skip, n);
    chain_put(c, w->in, piece);
    for (size_t i = 0; i < n; i++)
        model_put(m, (uint8_t)piece.p[i]);
    w->in_at += skip + n;
}

static void copy_some(struct world *w, struct chain *c, struct model *m)
{
    static char data[BUF_LARGE * 2];
    uint32_t n = random_below(&w->rnd, random_below(&w->rnd, 10) ? 3000 : sizeof(data));
    for (uint32_t i = 0; i < n; i++)
        model_put(m, (uint8_t)(data[i] = (char)w->next++));
    chain_copy(c, slice_of(data, n));
    memset(data, 0, n);
}

static void reserve_some(struct world *w, struct chain *c, struct model *m)
{
    uint32_t n = random_below(&w->rnd, random_below(&w->rnd, 10) ? 1000 : BUF_LARGE) + 1;
    char *p = chain_reserve(c, n);
    memset(p, w->next, n);
    uint32_t used = random_below(&w->rnd, n) + 1;
    chain_commit(c, used);
    for (uint32_t i = 0; i < used; i++)
        model_put(m, w->next);
    w->next++;
}

static void put_static(struct world *w, struct chain *c, struct model *m)
{
    static const char text[] = "HTTP/1.1 200 OK\r\n";
    uint32_t n = random_below(&w->rnd, sizeof(text));
    chain_put_static(c, slice_of(text, n));
    for (uint32_t i = 0; i < n; i++)
        model_put(m, (uint8_t)text[i]);
}

static void put_source(struct world *w, struct chain *c, struct model *m)
{
    uint32_t n = random_below(&w->rnd, 2000), offset = random_below(&w->rnd, 5000);
    bool is_file = random_below(&w->rnd, 2);
    if (is_file)
        chain_put_file(c, &w->file, offset, n);
    else
        chain_put_pipe(c, &w->pipe, n);
    for (uint32_t i = 0; i < n; i++)
        model_put(m, (uint16_t)(is_file ? FROM_FILE | (offset + i) % 1000 : FROM_PIPE));
}

static void move_some(struct world *w, struct chain *c, struct model *m)
{
    unsigned to = random_below(&w->rnd, 3);
    struct chain *dst = &w->chains[to];
    if (dst == c)
        return;
    size_t max = random_below(&w->rnd, 8000);
    size_t moved = chain_move(dst, c, max);
    assert_true(moved <= max);
    if (moved < max && moved < m->n) /* only a pipe may stop it */
        assert_int_equal(m->bytes[moved], FROM_PIPE);
    for (size_t i = 0; i < moved; i++)
        model_put(&w->models[to], m->bytes[i]);
    model_drop(m, moved);
    check(dst, &w->models[to]);
}

static void drop_some(struct world *w, struct chain *c, struct model *m)
{
    uint32_t n = random_below(&w->rnd, (uint32_t)m->n + 1);
    chain_drop(c, n);
    model_drop(m, n);
}

static void clear_if_large(struct world *w, struct chain *c, struct model *m)
{
    if (m->n < 300000 && random_below(&w->rnd, 20))
        return;
    chain_clear(c);
    m->n = 0;
}

static void run_world(uint64_t seed)
{
    static change_fn *const changes[] = {put_some,     put_some,   copy_some,
                                         reserve_some, put_static, put_source,
                                         move_some,    drop_some,  clear_if_large};
    struct world w = {.rnd = {seed},
                      .file = {.fd = -1, .refs = 1, .free = count_free},
                      .pipe = {.fd = -1, .refs = 1, .free = count_free}};
    buf_pool_init(&w.pool, 1 << 20);
    for (int i = 0; i < 3; i++) {
        chain_init(&w.chains[i], &w.pool, 65536);
        w.models[i].bytes = test_malloc(MODEL_MAX * sizeof(uint16_t));
    }
    for (int round = 0; round < 2000; round++) {
        unsigned which = random_below(&w.rnd, 3);
        struct chain *c = &w.chains[which];
        struct model *m = &w.models[which];
        changes[random_below(&w.rnd, sizeof(changes) / sizeof(changes[0]))](&w, c, m);
        check(c, m);
        check_iov(c, m, (int)random_below(&w.rnd, 16) + 1);
    }
    frees = 0;
    for (int i = 0; i < 3; i++) {
        chain_clear(&w.chains[i]);
        w.models[i].n = 0;
        check(&w.chains[i], &w.models[i]);
        test_free(w.models[i].bytes);
    }
    if (w.in)
        buf_unref(w.in);
    source_unref(&w.file);
    source_unref(&w.pipe);
    assert_int_equal(frees, 2);
    buf_pool_fini(&w.pool);
}

static void test_random_changes_agree_with_an_array_of_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        run_world(seed * 1000003);
}

/* A body in one-byte chunks must not hold a buffer for every byte. */
static void test_tiny_pieces_share_a_buf(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 0);
    struct chain c;
    chain_init(&c, &pool, 65536);
    for (int i = 0; i < 4000; i++) {
        struct buf *b = buf_take(&pool, 10);
        b->data[3] = (char)i;
        b->used = 10;
        chain_put(&c, b, slice_of(b->data + 3, 1));
        buf_unref(b);
    }
    assert_true(pool.live_bytes <= 2 * BUF_SMALL);
    chain_clear(&c);
    buf_pool_fini(&pool);
}

static void test_large_pieces_are_not_copied(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 0);
    struct chain c, other;
    chain_init(&c, &pool, 65536);
    chain_init(&other, &pool, 65536);
    struct buf *b = buf_take(&pool, BUF_LARGE);
    b->used = BUF_LARGE;
    chain_put(&c, b, slice_of(b->data, 30000));
    chain_put(&c, b, slice_of(b->data + 30000, 10000)); /* joins the one before it */
    assert_ptr_equal(c.head, c.tail);
    assert_ptr_equal(c.head->p, b->data);
    assert_int_equal(chain_move(&other, &c, 35000), 35000);
    assert_ptr_equal(other.head->p, b->data);
    assert_ptr_equal(c.head->p, b->data + 35000);
    buf_unref(b);
    assert_int_equal(pool.live_bytes, BUF_LARGE);
    chain_drop(&c, 5000);
    assert_int_equal(pool.live_bytes, BUF_LARGE);
    chain_drop(&other, 35000);
    assert_int_equal(pool.live_bytes, 0);
    buf_pool_fini(&pool);
}

/* What another chain still refers to may not be written over. */
static void test_a_shared_tail_is_not_appended_to(void **state)
{
    (void)state;
    struct buf_pool pool;
    buf_pool_init(&pool, 0);
    struct chain a, b;
    chain_init(&a, &pool, 65536);
    chain_init(&b, &pool, 65536);
    chain_copy(&a, SLICE("hello world"));
    assert_int_equal(chain_move(&b, &a, 5), 5);
    chain_copy(&b, SLICE("!!!!!!"));
    assert_memory_equal(a.head->p, " world", 6);
    assert_memory_equal(b.head->p, "hello", 5);
    assert_memory_equal(b.tail->p, "!!!!!!", 6);
    chain_clear(&a);
    chain_clear(&b);
    buf_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_changes_agree_with_an_array_of_bytes),
        cmocka_unit_test(test_tiny_pieces_share_a_buf),
        cmocka_unit_test(test_large_pieces_are_not_copied),
        cmocka_unit_test(test_a_shared_tail_is_not_appended_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
