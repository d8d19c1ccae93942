/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { ALIGN = 16, BIG = BUF_SMALL / 2 };

struct arena_big {
    struct arena_big *next;
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a, struct buf_pool *pool)
{
    *a = (struct arena){.pool = pool};
}

void arena_fini(struct arena *a)
{
    for (struct buf *b = a->blocks, *next; b; b = next) {
        next = b->next;
        buf_unref(b);
    }
    for (struct arena_big *big = a->bigs, *next; big; big = next) {
        next = big->next;
        free(big);
    }
    a->blocks = NULL;
    a->bigs = NULL;
}

static void *alloc_big(struct arena *a, size_t n)
{
    struct arena_big *big = mem_alloc(sizeof(*big) + n);
    big->next = a->bigs;
    a->bigs = big;
    return big->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > BIG)
        return alloc_big(a, n);
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct buf *b = a->blocks;
    if (!b || buf_room(b) < n) {
        b = buf_take(a->pool, BUF_SMALL);
        b->used = (uint32_t)(-(uintptr_t)b->data & (ALIGN - 1));
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = buf_end(b);
    b->used += (uint32_t)n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

struct slice arena_join(struct arena *a, struct slice one, struct slice other)
{
    char *start = arena_alloc(a, one.n + other.n + 1);
    slice_put(slice_put(start, one), other);
    start[one.n + other.n] = '\0';
    return slice_of(start, one.n + other.n);
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return slice_of(p, s.n);
}

struct slice arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
    p[0] = '\0';
    vsnprintf(p, (size_t)(n < 0 ? 0 : n) + 1, format, again);
    va_end(again);
    return slice_of(p, (size_t)(n < 0 ? 0 : n));
}
