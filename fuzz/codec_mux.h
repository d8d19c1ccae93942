/* What a backend sends on a connection that several requests share: whatever it is, lanes get what
 * is theirs, within their windows, and each ends in one way. The first byte of an input says how
 * many lanes there are, the second how the bytes are cut, the third what becomes of lanes.
 * SPDX-License-Identifier: MIT */
#ifndef FUZZ_CODEC_MUX_H
#define FUZZ_CODEC_MUX_H

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/codec.h"
#include "fuzz.h"

enum { MUX_LANES = 4, MUX_WINDOW = 4096, MUX_OUT = 16384 };

struct mux_user {
    struct mux_lane lane;
    struct arena arena;
    bool is_open;
    unsigned heads;
    struct chain body;
};

struct mux_fuzz {
    const struct back_codec *codec;
    void *state;
    struct buf_pool bufs;
    struct chain out;
    struct mux_user users[MUX_LANES];
    unsigned what;
};

static const struct head_limits mux_limits = {
    .head_bytes = 2048, .target_bytes = 512, .fields = 32};

static inline void mux_begin(struct mux_fuzz *m, struct mux_user *u, unsigned what)
{
    static const struct fields none;
    static const struct request_head head = {.method = METHOD_POST,
                                             .method_text = SLICE_INIT("POST"),
                                             .target = SLICE_INIT("/"),
                                             .path = SLICE_INIT("/"),
                                             .minor = 1};
    static const struct cgi_info cgi = {.path = SLICE_INIT("/"), .script_name = SLICE_INIT("/x")};
    const struct codec_request request = {.head = &head,
                                          .framing = {.kind = BODY_LENGTH, .length = 4},
                                          .target = SLICE("/"),
                                          .host = SLICE("test"),
                                          .cgi = &cgi,
                                          .keep = true};
    arena_init(&u->arena, &m->bufs);
    u->lane = (struct mux_lane){.arena = &u->arena, .limits = &mux_limits};
    u->lane.state = arena_zalloc(&u->arena, m->codec->state_bytes);
    chain_init(&u->lane.in, &m->bufs, MUX_WINDOW);
    chain_init(&u->lane.out, &m->bufs, MUX_WINDOW);
    chain_init(&u->body, &m->bufs, MUX_WINDOW);
    list_init(&u->lane.news_node);
    u->is_open = true;
    u->heads = 0;
    m->codec->mux->join(m->state, &u->lane);
    m->codec->begin(u->lane.state, &request, &u->lane.out);
    chain_copy(&u->body, SLICE("body"));
    if (what & 1)
        m->codec->put_body(u->lane.state, &u->body, &u->lane.out);
    if (what & 2)
        m->codec->put_end(u->lane.state, &none, &u->lane.out);
}

static inline void mux_end(struct mux_fuzz *m, struct mux_user *u)
{
    m->codec->mux->leave(m->state, &u->lane);
    list_remove(&u->lane.news_node);
    chain_clear(&u->lane.in);
    chain_clear(&u->lane.out);
    chain_clear(&u->body);
    arena_fini(&u->arena);
    u->is_open = false;
}

/* False: nothing more for now. */
static inline bool mux_step(struct mux_fuzz *m, struct mux_user *u)
{
    struct response_head head;
    struct codec_result r = {.response = &head};
    struct link *first = u->lane.in.head;
    struct slice in = first ? slice_of(first->p, first->n) : SLICE_NONE;
    size_t before = in.n;
    enum codec_event event = m->codec->feed(u->lane.state, &in, &mux_limits, &u->arena, &r);
    size_t taken = before - in.n;
    switch (event) {
    case CODEC_MORE:
        chain_drop(&u->lane.in, taken);
        if (taken || !first || !first->next)
            return taken > 0;
        chain_gather(&u->lane.in, u->lane.in.bytes < BUF_LARGE ? u->lane.in.bytes : BUF_LARGE);
        return true;
    case CODEC_HEAD:
        HOLDS(head.status >= 100 && head.status <= 599);
        u->heads++;
        break;
    case CODEC_DATA: HOLDS(r.data.n && u->heads); break;
    case CODEC_LOG: break;
    case CODEC_END: mux_end(m, u); return false;
    case CODEC_BAD:
    case CODEC_REFUSED:
        HOLDS(r.fault.status >= 500 && r.fault.what);
        mux_end(m, u);
        return false;
    }
    chain_drop(&u->lane.in, taken);
    return true;
}

static inline void mux_turn(struct mux_fuzz *m)
{
    struct mux_lane *lane;
    while ((lane = m->codec->mux->next(m->state))) {
        struct mux_user *u = (struct mux_user *)(void *)lane;
        HOLDS(u->is_open);
        HOLDS(u->lane.in.bytes <= MUX_WINDOW + BUF_LARGE);
        while (u->is_open && mux_step(m, u))
            ;
        m->what = m->what * 5 + 1;
        if (u->is_open && (m->what & 0x700) == 0)
            mux_end(m, u);
    }
    m->codec->mux->emit(m->state, &m->out);
    chain_clear(&m->out);
}

static inline int fuzz_mux(const struct back_codec *codec, const char *start, size_t start_n,
                           const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    static _Atomic uint32_t memory;
    struct mux_fuzz m = {.codec = codec, .what = data[2]};
    const struct mux_conf conf = {.window = MUX_WINDOW,
                                  .head_bytes = 2048,
                                  .unpacked_bytes = 1 << 20,
                                  .waiting = 1000,
                                  .memory = &memory};
    atomic_store(&memory, MUX_LANES);
    buf_pool_init(&m.bufs, 0);
    chain_init(&m.out, &m.bufs, MUX_OUT);
    m.state = mem_zalloc(codec->mux->state_bytes);
    codec->mux->open(m.state, &conf, &m.bufs);
    for (unsigned i = 0; i < data[0] % (MUX_LANES + 1u); i++)
        mux_begin(&m, &m.users[i], data[2] >> i);
    mux_turn(&m);
    size_t step = data[1] % 64 + 1u;
    struct buf *all = buf_take(&m.bufs, BUF_LARGE);
    struct slice input = slice_of((const char *)data + 3, n - 3);
    memcpy(all->data, start, start_n);
    all->used = (uint32_t)start_n;
    size_t at = 0;
    do {
        struct slice in = slice_of(all->data + at, all->used - at);
        codec->mux->feed(m.state, &in, all);
        at = all->used - in.n;
        mux_turn(&m);
        struct slice part = slice_first(input, step);
        if (!part.n || buf_room(all) < part.n)
            break;
        memcpy(buf_end(all), part.p, part.n);
        all->used += (uint32_t)part.n;
        input = slice_skip(input, part.n);
    } while (!codec->mux->is_over(m.state));
    for (unsigned i = 0; i < MUX_LANES; i++)
        if (m.users[i].is_open)
            mux_end(&m, &m.users[i]);
    codec->mux->emit(m.state, &m.out);
    chain_clear(&m.out);
    codec->mux->close(m.state);
    free(m.state);
    buf_unref(all);
    buf_pool_fini(&m.bufs);
    return 0;
}

#endif
