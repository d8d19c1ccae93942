/* SPDX-License-Identifier: MIT */
#include "base/chain.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

void chain_init(struct chain *c, struct buf_pool *pool, size_t window)
{
    *c = (struct chain){.pool = pool, .window = window};
}

static struct link *link_take(struct chain *c)
{
    struct link *l = c->pool->free_links;
    if (l)
        c->pool->free_links = l->next;
    else
        l = mem_alloc(sizeof(*l));
    return l;
}

static void link_release(struct link *l)
{
    if (l->kind != LINK_MEM)
        source_unref(l->source);
    else if (l->buf)
        buf_unref(l->buf);
}

static void link_give(struct chain *c, struct link *l)
{
    l->next = c->pool->free_links;
    c->pool->free_links = l;
}

void chain_pool_trim(struct buf_pool *pool)
{
    for (struct link *l = pool->free_links, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    pool->free_links = NULL;
}

static void append(struct chain *c, struct link *l)
{
    l->next = NULL;
    if (c->tail)
        c->tail->next = l;
    else
        c->head = l;
    c->tail = l;
    c->bytes += l->n;
}

static void shift(struct chain *c)
{
    struct link *l = c->head;
    c->head = l->next;
    if (!c->head)
        c->tail = NULL;
    link_give(c, l);
}

void chain_clear(struct chain *c)
{
    while (c->head) {
        link_release(c->head);
        shift(c);
    }
    c->bytes = 0;
}

/* The tail's buf if only this chain holds it and the tail ends where it is filled to. */
static struct buf *open_tail(const struct chain *c)
{
    const struct link *l = c->tail;
    if (!l || l->kind != LINK_MEM || !l->buf || l->buf->refs != 1)
        return NULL;
    return l->p + l->n == buf_end(l->buf) ? l->buf : NULL;
}

static void put_mem(struct chain *c, struct buf *b, struct slice data)
{
    struct link *l = link_take(c);
    *l = (struct link){.kind = LINK_MEM, .buf = b, .p = data.p, .n = data.n};
    append(c, l);
}

void chain_put(struct chain *c, struct buf *b, struct slice data)
{
    if (data.n == 0)
        return;
    struct link *tail = c->tail;
    if (tail && tail->kind == LINK_MEM && tail->buf == b && tail->p + tail->n == data.p) {
        tail->n += data.n;
        c->bytes += data.n;
        return;
    }
    if (data.n <= CHAIN_COPY_MAX) {
        struct buf *open = open_tail(c);
        if ((open && buf_room(open) >= data.n) || data.n < CHAIN_COPY_MAX / 4) {
            chain_copy(c, data);
            return;
        }
    }
    put_mem(c, buf_ref(b), data);
}

char *chain_reserve(struct chain *c, size_t n)
{
    struct buf *b = open_tail(c);
    if (!b || buf_room(b) < n) {
        b = buf_take(c->pool, n > BUF_SMALL ? n : BUF_SMALL);
        put_mem(c, b, slice_of(b->data, 0));
    }
    return buf_end(b);
}

void chain_commit(struct chain *c, size_t n)
{
    assert(n > 0 && buf_room(c->tail->buf) >= n);
    c->tail->buf->used += (uint32_t)n;
    c->tail->n += n;
    c->bytes += n;
}

void chain_copy(struct chain *c, struct slice data)
{
    while (data.n) {
        struct buf *b = open_tail(c);
        size_t room = b ? buf_room(b) : 0;
        if (room == 0) {
            chain_reserve(c, data.n < BUF_LARGE ? data.n : BUF_LARGE);
            room = buf_room(c->tail->buf);
        }
        size_t n = data.n < room ? data.n : room;
        memcpy(buf_end(c->tail->buf), data.p, n);
        chain_commit(c, n);
        data = slice_skip(data, n);
    }
}

void chain_put_static(struct chain *c, struct slice data)
{
    if (data.n)
        put_mem(c, NULL, data);
}

void chain_put_file(struct chain *c, struct source *source, off_t offset, size_t n)
{
    if (n == 0)
        return;
    struct link *tail = c->tail;
    if (tail && tail->kind == LINK_FILE && tail->source == source &&
        tail->offset + (off_t)tail->n == offset) {
        tail->n += n;
        c->bytes += n;
        return;
    }
    struct link *l = link_take(c);
    *l = (struct link){.kind = LINK_FILE, .source = source, .offset = offset, .n = n};
    source_ref(source);
    append(c, l);
}

void chain_put_pipe(struct chain *c, struct source *source, size_t n)
{
    if (n == 0)
        return;
    source->waiting += n;
    struct link *tail = c->tail;
    if (tail && tail->kind == LINK_PIPE && tail->source == source) {
        tail->n += n;
        c->bytes += n;
        return;
    }
    struct link *l = link_take(c);
    *l = (struct link){.kind = LINK_PIPE, .source = source, .n = n};
    source_ref(source);
    append(c, l);
}

/* Appends the first n bytes of l, which stays where it is. */
static void put_part(struct chain *dst, struct link *l, size_t n)
{
    struct link *part = link_take(dst);
    *part = *l;
    part->n = n;
    if (l->kind != LINK_MEM)
        source_ref(l->source);
    else if (l->buf)
        buf_ref(l->buf);
    append(dst, part);
}

bool chain_share(struct chain *dst, const struct chain *src)
{
    for (const struct link *l = src->head; l; l = l->next)
        if (l->kind == LINK_PIPE)
            return false;
    for (struct link *l = src->head; l; l = l->next)
        put_part(dst, l, l->n);
    return true;
}

static void advance(struct link *l, size_t n)
{
    if (l->kind == LINK_MEM)
        l->p += n;
    else if (l->kind == LINK_FILE)
        l->offset += (off_t)n;
    else
        l->source->waiting -= n;
    l->n -= n;
}

static bool fits_tail(const struct chain *c, size_t n)
{
    const struct buf *open = open_tail(c);
    return open && buf_room(open) >= n;
}

size_t chain_move(struct chain *dst, struct chain *src, size_t max)
{
    size_t moved = 0;
    while (src->head && moved < max) {
        struct link *l = src->head;
        size_t n = l->n < max - moved ? l->n : max - moved;
        if (n < l->n) {
            if (l->kind == LINK_PIPE)
                break;
            put_part(dst, l, n);
            advance(l, n);
        } else if (l->kind == LINK_MEM && n <= CHAIN_COPY_MAX && fits_tail(dst, n)) {
            chain_copy(dst, slice_of(l->p, n)); /* one write instead of a vector of two */
            link_release(l);
            shift(src);
        } else {
            src->head = l->next;
            if (!src->head)
                src->tail = NULL;
            append(dst, l);
        }
        src->bytes -= n;
        moved += n;
    }
    return moved;
}

void chain_drop(struct chain *c, size_t n)
{
    assert(n <= c->bytes);
    c->bytes -= n;
    while (c->head && n >= c->head->n) {
        n -= c->head->n;
        advance(c->head, c->head->n);
        link_release(c->head);
        shift(c);
    }
    if (n)
        advance(c->head, n);
}

void chain_gather(struct chain *c, size_t n)
{
    struct chain whole;
    chain_init(&whole, c->pool, c->window);
    char *p = chain_reserve(&whole, n);
    size_t at = 0;
    for (const struct link *l = c->head; l && at < n; l = l->next) {
        size_t part = l->n < n - at ? l->n : n - at;
        memcpy(p + at, l->p, part);
        at += part;
    }
    chain_commit(&whole, at);
    chain_drop(c, at);
    chain_move(&whole, c, SIZE_MAX);
    *c = whole;
}

int chain_iov(const struct chain *c, struct iovec *iov, int max)
{
    int count = 0;
    chain_each (l, c) {
        if (l->kind != LINK_MEM || count == max)
            break;
        iov[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)l->p, .iov_len = l->n};
    }
    return count;
}
