/* What a backend sends must come to the same however it is cut, on a connection that lasts for
 * several requests, and also when bytes that are body and nothing else go past the codec, as splice
 * takes them. The first byte of an input chooses the method, the second says how many cuts
 * there are, one byte each follows for how far apart they are, then come the backend's bytes.
 * SPDX-License-Identifier: MIT */
#ifndef FUZZ_CODEC_PEER_H
#define FUZZ_CODEC_PEER_H

#include <string.h>

#include "base/mem.h"
#include "codec/codec.h"
#include "fuzz.h"

static const struct head_limits fuzz_limits = {
    .head_bytes = 512, .target_bytes = 512, .fields = 16};

enum fuzz_verdict { FUZZ_OPEN, FUZZ_COMPLETE, FUZZ_BROKEN, FUZZ_REFUSED };

/* All that was seen, as text: heads, bodies and logs apart, since how they interleave may differ.
 */
struct fuzz_text {
    char *p;
    size_t n;
};

struct fuzz_peer {
    const struct back_codec *codec;
    struct codec_request request;
    void *state;
    struct fuzz_arena memory;
    struct arena *arena;
    struct chain out;
    struct fuzz_text heads, body, log;
    enum fuzz_verdict verdict;
    unsigned requests;
    bool splices; /* plain bytes go past the codec */
};

static inline void fuzz_add(struct fuzz_text *t, struct slice s)
{
    t->p = mem_grow(t->p, t->n + s.n + 1, 1);
    if (s.n)
        memcpy(t->p + t->n, s.p, s.n);
    t->n += s.n;
}

static inline bool fuzz_same(const struct fuzz_text *a, const struct fuzz_text *b)
{
    return slice_eq(slice_of(a->p, a->n), slice_of(b->p, b->n));
}

static inline void fuzz_begin(struct fuzz_peer *p)
{
    p->codec->begin(p->state, &p->request, &p->out);
    HOLDS(!p->codec->is_reusable(p->state));
    p->codec->put_end(p->state, NULL, &p->out);
    chain_clear(&p->out);
    p->requests++;
}

static inline void fuzz_on_head(struct fuzz_peer *p, const struct codec_result *r)
{
    const struct response_head *head = r->response;
    char text[64];
    HOLDS(head->status >= 100 && head->status <= 599);
    snprintf(text, sizeof(text), "%u %d %llu ", head->status, r->framing.kind,
             (unsigned long long)r->framing.length);
    fuzz_add(&p->heads, slice_str(text));
    for (unsigned i = 0; i < head->fields.n; i++) {
        fuzz_add(&p->heads, head->fields.v[i].name);
        fuzz_add(&p->heads, SLICE(":"));
        fuzz_add(&p->heads, head->fields.v[i].value);
    }
}

/* False: nothing more of this request. */
static inline bool fuzz_on_event(struct fuzz_peer *p, enum codec_event event, struct slice before,
                                 const struct codec_result *r)
{
    switch (event) {
    case CODEC_MORE: return false;
    case CODEC_HEAD: fuzz_on_head(p, r); return true;
    case CODEC_DATA:
        HOLDS(r->data.n > 0 && fuzz_lies_in(before, r->data));
        fuzz_add(&p->body, r->data);
        return true;
    case CODEC_LOG:
        HOLDS(r->data.n > 0);
        fuzz_add(&p->log, r->data);
        return true;
    case CODEC_END:
        if (p->codec->is_reusable(p->state)) {
            fuzz_begin(p);
            return true;
        }
        p->verdict = FUZZ_COMPLETE;
        return false;
    case CODEC_BAD:
    case CODEC_REFUSED:
        HOLDS(r->fault.status >= 500 && r->fault.what);
        HOLDS(!p->codec->is_reusable(p->state));
        p->verdict = event == CODEC_BAD ? FUZZ_BROKEN : FUZZ_REFUSED;
        return false;
    }
    return false;
}

/* Answers how many bytes at the front of what waits went past the codec. */
static inline size_t fuzz_splice(struct fuzz_peer *p, struct slice waiting)
{
    uint64_t plain = p->codec->plain_left(p->state);
    size_t n = plain < waiting.n ? (size_t)plain : waiting.n;
    if (!p->splices || !n)
        return 0;
    p->codec->plain_taken(p->state, n);
    fuzz_add(&p->body, slice_first(waiting, n));
    return n;
}

/* What has arrived is copied, so that a read beyond it is seen. Answers what was taken. */
static inline size_t fuzz_arrive(struct fuzz_peer *p, struct slice waiting)
{
    struct response_head head;
    size_t taken = 0;
    bool more = true;
    while (more && p->verdict == FUZZ_OPEN) {
        taken += fuzz_splice(p, slice_skip(waiting, taken));
        size_t n = waiting.n - taken;
        char *exact = malloc(n + 1);
        if (n)
            memcpy(exact + 1, waiting.p + taken, n);
        struct slice in = slice_of(exact + 1, n), before = in;
        struct codec_result r = {.response = &head};
        HOLDS(p->codec->plain_left(p->state) == 0 || p->requests);
        enum codec_event event = p->codec->feed(p->state, &in, &fuzz_limits, p->arena, &r);
        HOLDS(fuzz_lies_in(before, in) && in.n <= n && in.p + in.n == before.p + n);
        taken += n - in.n;
        more = fuzz_on_event(p, event, before, &r);
        free(exact);
    }
    return taken;
}

static inline void fuzz_play(struct fuzz_peer *p, const struct back_codec *codec,
                             const struct codec_request *request, struct slice bytes,
                             struct slice gaps, bool splices)
{
    size_t at = 0, taken = 0;
    *p = (struct fuzz_peer){.codec = codec, .request = *request, .splices = splices};
    p->state = mem_zalloc(codec->state_bytes);
    p->arena = fuzz_arena_init(&p->memory);
    chain_init(&p->out, &p->memory.pool, SIZE_MAX);
    fuzz_begin(p);
    for (size_t i = 0; i < gaps.n && at < bytes.n; i++) {
        at += (unsigned char)gaps.p[i];
        at = at < bytes.n ? at : bytes.n;
        taken += fuzz_arrive(p, slice_of(bytes.p + taken, at - taken));
    }
    fuzz_arrive(p, slice_skip(bytes, taken));
    struct response_head head;
    struct codec_result r = {.response = &head};
    if (p->verdict == FUZZ_OPEN)
        fuzz_on_event(p, codec->eof(p->state, &r), SLICE_NONE, &r);
    HOLDS(p->verdict != FUZZ_OPEN);
}

static inline void fuzz_compare(const struct fuzz_peer *a, const struct fuzz_peer *b)
{
    HOLDS(a->verdict == b->verdict && a->requests == b->requests);
    HOLDS(fuzz_same(&a->heads, &b->heads));
    HOLDS(fuzz_same(&a->log, &b->log));
    HOLDS(fuzz_same(&a->body, &b->body));
}

static inline void fuzz_peer_fini(struct fuzz_peer *p)
{
    free(p->state);
    free(p->heads.p);
    free(p->body.p);
    free(p->log.p);
    chain_clear(&p->out);
    fuzz_arena_fini(&p->memory);
}

static inline int fuzz_codec(const struct back_codec *codec, const uint8_t *data, size_t n)
{
    static const struct slice names[] = {SLICE_INIT("GET"), SLICE_INIT("HEAD")};
    if (n < 2 || n > 32768)
        return 0;
    bool is_head = data[0] & 1;
    const struct request_head head = {
        .method = is_head ? METHOD_HEAD : METHOD_GET, .method_text = names[is_head], .minor = 1};
    const struct cgi_info cgi = {0};
    const struct codec_request request = {
        .head = &head, .target = SLICE("/"), .host = SLICE("h"), .cgi = &cgi, .keep = true};
    size_t cuts = data[1] < n - 2 ? data[1] : n - 2;
    struct slice gaps = slice_of(data + 2, cuts), bytes = slice_of(data + 2 + cuts, n - 2 - cuts);
    struct fuzz_peer whole, cut, past;
    fuzz_play(&whole, codec, &request, bytes, SLICE_NONE, false);
    fuzz_play(&cut, codec, &request, bytes, gaps, false);
    fuzz_play(&past, codec, &request, bytes, gaps, true);
    fuzz_compare(&whole, &cut);
    fuzz_compare(&whole, &past);
    fuzz_peer_fini(&whole);
    fuzz_peer_fini(&cut);
    fuzz_peer_fini(&past);
    return 0;
}

#endif
