/* Plays the backend's side of a connection to a codec: bytes arrive in the pieces that a test
 * wants, each time at another place in memory and with an unreadable page behind them, and what the
 * codec makes of them is written down. SPDX-License-Identifier: MIT */
#ifndef TESTS_CODEC_PEER_H
#define TESTS_CODEC_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/num.h"
#include "codec/codec.h"
#include "request.h"

enum { PEER_PAGES = 64 * 4096, PEER_BODY_MAX = 512 * 1024, PEER_TEXT_MAX = 1024 };

/* How it ended. OPEN: the codec waits for more. KEPT: complete, and the connection may be reused.
 */
enum verdict { OPEN, COMPLETE, KEPT, BROKEN, REFUSED };

struct outcome {
    enum verdict verdict;
    char heads[PEER_TEXT_MAX]; /* "200 OK length=5" for each, separated by "; " */
    char log[PEER_TEXT_MAX];   /* of CODEC_LOG; pieces are not told apart */
    struct fault fault;        /* BROKEN, REFUSED */
    size_t body_n;
    char body[PEER_BODY_MAX];
};

struct peer {
    const struct back_codec *codec;
    const struct head_limits *limits;
    void *state;
    struct buf_pool bufs;
    struct arena arena;
    struct chain out;
    char *guarded_end;
    struct outcome *result;
};

static const struct head_limits peer_limits = {.head_bytes = 256, .target_bytes = 64, .fields = 8};

static inline void peer_init(struct peer *p, const struct back_codec *codec)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *p = (struct peer){.codec = codec, .limits = &peer_limits};
    p->state = mem_zalloc(codec->state_bytes);
    p->result = mem_zalloc(sizeof(*p->result));
    buf_pool_init(&p->bufs, 1 << 20);
    arena_init(&p->arena, &p->bufs);
    chain_init(&p->out, &p->bufs, SIZE_MAX);
    char *m =
        mmap(NULL, PEER_PAGES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(m != MAP_FAILED);
    assert_int_equal(mprotect(m + PEER_PAGES, page, PROT_NONE), 0);
    p->guarded_end = m + PEER_PAGES;
}

static inline void peer_fini(struct peer *p)
{
    chain_clear(&p->out);
    arena_fini(&p->arena);
    buf_pool_fini(&p->bufs);
    munmap(p->guarded_end - PEER_PAGES, PEER_PAGES + (size_t)sysconf(_SC_PAGESIZE));
    free(p->state);
    free(p->result);
}

/* A connection that was just opened, with the request sent. */
static inline void peer_reset(struct peer *p, const struct codec_request *request)
{
    memset(p->state, 0, p->codec->state_bytes);
    memset(p->result, 0, sizeof(*p->result));
    chain_clear(&p->out);
    arena_fini(&p->arena);
    p->codec->begin(p->state, request, &p->out);
    p->codec->put_end(p->state, NULL, &p->out);
}

static inline void peer_note(char *text, const char *separator, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline void peer_note(char *text, const char *separator, const char *format, ...)
{
    va_list args;
    size_t n = strlen(text);
    n += (size_t)snprintf(text + n, PEER_TEXT_MAX - n, "%s", n ? separator : "");
    va_start(args, format);
    vsnprintf(text + n, n < PEER_TEXT_MAX ? PEER_TEXT_MAX - n : 0, format, args);
    va_end(args);
}

static inline void peer_note_head(struct outcome *o, const struct codec_result *r)
{
    static const char *const kinds[] = {"none", "length", "chunked", "close", "tunnel"};
    peer_note(o->heads, "; ", "%u " SLICE_FMT " %s", r->response->status,
              SLICE_ARG(r->response->reason), kinds[r->framing.kind]);
    if (r->framing.kind == BODY_LENGTH)
        peer_note(o->heads, "=", "%llu", (unsigned long long)r->framing.length);
    for (const struct field *f = r->response->fields.v; f < fields_end(&r->response->fields); f++)
        if (!f->dropped)
            peer_note(o->heads, " ", SLICE_FMT ":" SLICE_FMT, SLICE_ARG(f->name),
                      SLICE_ARG(f->value));
}

/* Writes an event down; false: nothing comes behind it. */
static inline bool peer_on_event(struct peer *p, enum codec_event event,
                                 const struct codec_result *r)
{
    struct outcome *o = p->result;
    switch (event) {
    case CODEC_MORE: return false;
    case CODEC_HEAD: peer_note_head(o, r); return true;
    case CODEC_DATA:
        assert_true(r->data.n > 0 && o->body_n + r->data.n <= PEER_BODY_MAX);
        memcpy(o->body + o->body_n, r->data.p, r->data.n);
        o->body_n += r->data.n;
        return true;
    case CODEC_LOG: peer_note(o->log, "", SLICE_FMT, SLICE_ARG(r->data)); return true;
    case CODEC_END: o->verdict = p->codec->is_reusable(p->state) ? KEPT : COMPLETE; return false;
    case CODEC_BAD:
    case CODEC_REFUSED:
        o->verdict = event == CODEC_BAD ? BROKEN : REFUSED;
        o->fault = r->fault;
        assert_false(p->codec->is_reusable(p->state));
        return false;
    }
    return false;
}

/* The codec gets all that has arrived and not been taken; answers how much it took. */
static inline size_t peer_arrive(struct peer *p, struct slice waiting)
{
    size_t before = waiting.n;
    struct response_head head;
    bool more = true;
    while (more && p->result->verdict == OPEN) {
        struct codec_result r = {.response = &head};
        assert_true(waiting.n <= PEER_PAGES);
        struct slice in = slice_of(p->guarded_end - waiting.n, waiting.n);
        if (waiting.n)
            memmove(p->guarded_end - waiting.n, waiting.p, waiting.n);
        enum codec_event event = p->codec->feed(p->state, &in, p->limits, &p->arena, &r);
        assert_ptr_equal(in.p + in.n, p->guarded_end);
        waiting = slice_skip(waiting, waiting.n - in.n);
        more = peer_on_event(p, event, &r);
    }
    return before - waiting.n;
}

static inline void peer_close(struct peer *p)
{
    struct response_head head;
    struct codec_result r = {.response = &head};
    if (p->result->verdict == OPEN)
        peer_on_event(p, p->codec->eof(p->state, &r), &r);
    assert_int_not_equal(p->result->verdict, OPEN);
}

/* All bytes in pieces of `piece`, the first of them `first` long; then, perhaps, the close. */
static inline void peer_play(struct peer *p, struct slice bytes, size_t first, size_t piece,
                             bool closes)
{
    size_t taken = 0, arrived = 0;
    for (size_t n = first; arrived < bytes.n; n = piece) {
        arrived = arrived + n < bytes.n ? arrived + n : bytes.n;
        taken += peer_arrive(p, slice_of(bytes.p + taken, arrived - taken));
    }
    if (closes)
        peer_close(p);
}

/* The bytes of what the codec wrote, in the arena. */
static inline struct slice peer_written(struct peer *p)
{
    char *bytes = arena_alloc(&p->arena, p->out.bytes + 1);
    size_t n = 0;
    chain_each (l, &p->out) {
        assert_int_equal(l->kind, LINK_MEM);
        memcpy(bytes + n, l->p, l->n);
        n += l->n;
    }
    chain_clear(&p->out);
    return slice_of(bytes, n);
}

static inline void peer_assert_bytes(struct slice got, struct slice want)
{
    size_t same = 0;
    while (same < got.n && same < want.n && got.p[same] == want.p[same])
        same++;
    if (same < got.n || same < want.n)
        fail_msg("%zu bytes, not %zu; they differ from byte %zu on", got.n, want.n, same);
}

/* ---- tables of peers that send plain bytes ---- */

struct peer_row {
    const char *note;
    enum method method;
    struct slice bytes;
    const char *heads;
    struct slice body;
    enum verdict verdict;
    const char *why; /* BROKEN; NULL: the grammar's business */
    bool closes;
};

static inline void peer_check(const struct peer_row *row, const struct outcome *o, size_t first,
                              size_t piece)
{
    bool same = o->verdict == row->verdict && strcmp(o->heads, row->heads) == 0 &&
                slice_eq(slice_of(o->body, o->body_n), row->body);
    if (same && row->why && row->verdict == BROKEN)
        same = strcmp(o->fault.what, row->why) == 0;
    if (same && row->verdict == BROKEN)
        same = o->fault.status == 502 && o->fault.rule;
    if (!same)
        fail_msg("%s (pieces of %zu, %zu): verdict %d, heads '%s', body '%.*s', %s", row->note,
                 first, piece, o->verdict, o->heads, (int)o->body_n, o->body,
                 o->verdict == BROKEN ? o->fault.what : "");
}

/* Each row whole, cut in two at every byte, and byte by byte. */
static inline void peer_play_rows(const struct back_codec *codec, const struct peer_row *rows,
                                  size_t count)
{
    struct peer p;
    peer_init(&p, codec);
    for (const struct peer_row *row = rows; row < rows + count; row++) {
        struct test_request request;
        request_init(&request, row->method);
        for (size_t first = 0; first <= row->bytes.n; first++) {
            peer_reset(&p, &request.codec);
            peer_play(&p, row->bytes, first, row->bytes.n + 1, row->closes);
            peer_check(row, p.result, first, row->bytes.n);
        }
        peer_reset(&p, &request.codec);
        peer_play(&p, row->bytes, 1, 1, row->closes);
        peer_check(row, p.result, 1, 1);
    }
    peer_fini(&p);
}

#endif
