/* What a client sends over HTTP/2: the frames of an input, cut into pieces, to a session whose
 * streams are answered, held and given up as the first bytes say. The session must keep its
 * promises whatever comes.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/mem.h"
#include "codec/h2.h"
#include "fuzz.h"

enum { WINDOW = 4096, STREAMS = 8, OUT_WINDOW = 8192 };

/* What stands for an exchange. */
struct owner {
    struct arena arena;
    struct chain in, body;
    struct response_head head;
    unsigned what;
};

static void fill(unsigned char *p, size_t n)
{
    memset(p, 7, n);
}

static const struct h2_conf conf = {
    .streams = STREAMS,
    .window = WINDOW,
    .limits = {.head_bytes = 4096, .target_bytes = 1024, .fields = 32},
    .abuse = {50, 50, 50, 500, 50, 50, 8, 65536, 100},
    .random = fill,
};

static void release(struct h2_stream *s, enum h2_end end)
{
    struct owner *o = s->owner;
    h2_release(s, end, s->begin_us);
    chain_clear(&o->in);
    chain_clear(&o->body);
    arena_fini(&o->arena);
    free(o);
}

static void begin(struct h2_stream *s, struct buf_pool *bufs, unsigned what)
{
    struct owner *o = mem_zalloc(sizeof(*o));
    HOLDS(!s->owner);
    HOLDS(s->fault.status == 0 || s->fault.status >= 400);
    HOLDS(s->fault.status || s->head.authority.n);
    o->arena = s->own;
    s->arena = &o->arena;
    s->owner = o;
    o->what = what;
    chain_init(&o->in, bufs, WINDOW);
    chain_init(&o->body, bufs, WINDOW);
}

static void answer(struct h2_stream *s)
{
    struct owner *o = s->owner;
    o->head = (struct response_head){.status = 200, .reason = SLICE("OK"), .minor = 1};
    if (o->what & 1)
        h2_put_interim(s, &(struct response_head){.status = 103, .minor = 1});
    chain_copy(&o->body, SLICE("some body"));
    s->complete = o->what & 2;
    h2_put_response(s, &o->head, SLICE_NONE, &o->body, !(o->what & 4));
}

static void on_news(struct h2_stream *s, unsigned news, struct buf_pool *bufs, unsigned what)
{
    if (news & H2_REQUEST) {
        begin(s, bufs, what);
        if (what & 8)
            answer(s);
        return;
    }
    struct owner *o = s->owner;
    HOLDS(o);
    if (news & H2_BODY && !(o->what & 16)) {
        HOLDS(s->in.bytes <= WINDOW);
        h2_take(s, &o->in, SIZE_MAX);
        chain_clear(&o->in);
    }
    if (news & H2_GONE || (s->passed && s->ended) || o->what & 32)
        release(s, news & H2_GONE ? H2_CANCELLED : H2_DONE);
}

static void turn(struct h2 *h, struct buf_pool *bufs, struct chain *out, unsigned *what)
{
    struct h2_stream *s;
    unsigned news;
    while ((s = h2_next(h, &news)))
        on_news(s, news, bufs, *what = *what * 5 + 1);
    if (*what & 64)
        h2_reset_rests(h, 1);
    h2_emit(h, out, NULL);
    HOLDS(out->bytes <= OUT_WINDOW + 65536);
    chain_clear(out);
    while ((s = h2_next(h, &news)))
        on_news(s, news, bufs, *what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char start[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    if (n < 2)
        return 0;
    struct buf_pool bufs;
    buf_pool_init(&bufs, 0);
    struct h2 *h = h2_new(&conf, &bufs);
    struct chain out;
    chain_init(&out, &bufs, OUT_WINDOW);
    unsigned what = data[0];
    size_t step = data[1] % 64 + 1u;
    struct slice in = slice_of((const char *)data + 2, n - 2);
    h2_feed(h, slice_of(start, sizeof(start)), NULL, 1);
    while (in.n && !h2_is_over(h)) {
        struct slice part = slice_first(in, step);
        struct buf *hold = buf_take(&bufs, part.n);
        memcpy(hold->data, part.p, part.n);
        hold->used = (uint32_t)part.n;
        h2_feed(h, slice_of(hold->data, part.n), hold, 1);
        buf_unref(hold);
        turn(h, &bufs, &out, &what);
        in = slice_skip(in, part.n);
    }
    struct h2_stream *s;
    while ((s = h2_any(h)))
        release(s, H2_CANCELLED);
    h2_free(h);
    chain_clear(&out);
    buf_pool_fini(&bufs);
    return 0;
}
