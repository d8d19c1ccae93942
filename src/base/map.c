/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

/* SipHash-c-d (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012, section 2). */
struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_rounds(struct sip *s, int count)
{
    for (int i = 0; i < count; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 = rotl(s->v2, 32);
    }
}

/* Up to eight bytes as a little-endian number. */
static inline uint64_t word(const char *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline void sip_word(struct sip *s, uint64_t m, int rounds)
{
    s->v3 ^= m;
    sip_rounds(s, rounds);
    s->v0 ^= m;
}

static inline __attribute__((always_inline)) uint64_t sip(struct map_key key, struct slice in,
                                                          int c, int d)
{
    struct sip s = {
        .v0 = key.k0 ^ 0x736f6d6570736575,
        .v1 = key.k1 ^ 0x646f72616e646f6d,
        .v2 = key.k0 ^ 0x6c7967656e657261,
        .v3 = key.k1 ^ 0x7465646279746573,
    };
    uint64_t last = (uint64_t)in.n << 56;
    for (; in.n >= 8; in = slice_skip(in, 8))
        sip_word(&s, word(in.p, 8), c);
    if (in.n)
        last |= word(in.p, in.n);
    sip_word(&s, last, c);
    s.v2 ^= 0xff;
    sip_rounds(&s, d);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t map_siphash13(struct map_key key, struct slice s)
{
    return sip(key, s, 1, 3);
}

uint64_t map_siphash24(struct map_key key, struct slice s)
{
    return sip(key, s, 2, 4);
}

void map_init(struct map *m, struct map_key key)
{
    *m = (struct map){.key = key};
}

void map_fini(struct map *m)
{
    free(m->slots);
    map_init(m, m->key);
}

/* The slot of key, or the free one where it would go. There is always a free slot. */
static struct map_slot *find(const struct map *m, uint64_t hash, struct slice key)
{
    for (uint64_t at = hash;; at++) {
        struct map_slot *s = &m->slots[at & (m->cap - 1)];
        if (!s->value || (s->hash == hash && slice_eq(s->key, key)))
            return s;
    }
}

void *map_get(const struct map *m, struct slice key)
{
    return m->cap ? find(m, map_siphash13(m->key, key), key)->value : NULL;
}

/* Load stays at or below three quarters. */
static void grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .count = m->count, .key = m->key};
    bigger.slots = mem_zalloc(bigger.cap * sizeof(*bigger.slots));
    for (struct map_slot *s = map_next(m, NULL); s; s = map_next(m, s))
        *find(&bigger, s->hash, s->key) = *s;
    free(m->slots);
    *m = bigger;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    assert(value);
    if ((uint64_t)(m->count + 1) * 4 > (uint64_t)m->cap * 3)
        grow(m);
    uint64_t hash = map_siphash13(m->key, key);
    struct map_slot *s = find(m, hash, key);
    void *old = s->value;
    m->count += !old;
    *s = (struct map_slot){.hash = hash, .key = key, .value = value};
    return old;
}

/* Moves back what had to step over the freed slot, so that no search stops too early. */
static void close_gap(struct map *m, uint64_t gap)
{
    uint64_t mask = m->cap - 1;
    for (uint64_t at = (gap + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        uint64_t walked = (at - m->slots[at].hash) & mask; /* from where it belongs */
        if (walked < ((at - gap) & mask))
            continue;
        m->slots[gap] = m->slots[at];
        gap = at;
    }
    m->slots[gap] = (struct map_slot){0};
}

void *map_remove(struct map *m, struct slice key)
{
    if (!m->cap)
        return NULL;
    struct map_slot *s = find(m, map_siphash13(m->key, key), key);
    void *value = s->value;
    if (!value)
        return NULL;
    m->count--;
    close_gap(m, (uint64_t)(s - m->slots));
    return value;
}

struct map_slot *map_next(const struct map *m, struct map_slot *s)
{
    for (size_t i = s ? (size_t)(s - m->slots) + 1 : 0; i < m->cap; i++)
        if (m->slots[i].value)
            return &m->slots[i];
    return NULL;
}
