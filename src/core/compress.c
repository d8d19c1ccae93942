/* SPDX-License-Identifier: MIT */
#include "core/compress.h"

#include "base/num.h"
#include "core/exchange.h"
#include "core/worker.h"
#include "http/accept.h"
#include "http/condition.h"
#include "net/chain_file.h"

enum { SHARE = 32 * 1024 }; /* bytes encoded at a time: half a millisecond */

/* ---- which responses ---- */

static bool is_unencoded(const struct fields *fields)
{
    return !fields_has(fields, FIELD_CONTENT_ENCODING) ||
           slice_ieq(fields_value(fields, FIELD_CONTENT_ENCODING), SLICE("identity"));
}

/* RFC 9111 5.2.2.6, and digests, which would be those of something else (RFC 9530). */
static bool may_transform(const struct fields *fields)
{
    static const struct slice digests[] = {SLICE_INIT("Content-Digest"), SLICE_INIT("Repr-Digest"),
                                           SLICE_INIT("Digest"), SLICE_INIT("Content-MD5")};
    if (fields_has_token(fields, FIELD_CACHE_CONTROL, SLICE("no-transform")))
        return false;
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++)
        if (fields_find_name(fields, digests[i]))
            return false;
    return true;
}

/* A length is that of the framing or, where there is no body, that of the body a GET would get. */
static bool is_long_enough(const struct exchange *x, uint64_t min)
{
    uint64_t length = x->resp_framing.length;
    if (x->resp_framing.kind == BODY_NONE) {
        struct slice text = fields_value(&x->resp.fields, FIELD_CONTENT_LENGTH);
        return !text.n || (num_dec(text, &length) && length >= min);
    }
    return x->resp_framing.kind != BODY_LENGTH || length >= min;
}

/* Whether somebody who accepts it gets this response compressed. */
static bool is_compressible(const struct exchange *x, const struct compress_conf *conf)
{
    const struct fields *fields = &x->resp.fields;
    bool has_body = x->resp_framing.kind != BODY_NONE || x->req.method == METHOD_HEAD;
    return has_body && x->resp_framing.kind != BODY_TUNNEL && x->resp.status != 206 &&
           x->resp.status != 204 && x->resp.status != 205 && is_unencoded(fields) &&
           may_transform(fields) && is_long_enough(x, conf->min) &&
           compress_conf_has_type(conf, fields_value(fields, FIELD_CONTENT_TYPE));
}

/* The coding that the client wants most; NULL: it wants none, or would rather have none. */
static const struct coding *choose(const struct exchange *x, const struct compress_conf *conf)
{
    struct slice names[COMPRESS_CODINGS];
    struct accept accept = {.names = names, .n = conf->count};
    const struct coding *best = NULL;
    uint16_t weight = 0;
    for (uint32_t i = 0; i < conf->count; i++)
        names[i] = conf->codings[i]->name;
    accept_encoding(&accept, &x->req.fields);
    for (uint32_t i = 0; i < conf->count; i++)
        if (accept.weight[i] > weight) {
            best = conf->codings[i];
            weight = accept.weight[i];
        }
    return weight >= accept.identity ? best : NULL;
}

/* ---- the head ---- */

static void add(struct exchange *x, enum field_id id, struct slice value)
{
    fields_add(&x->resp.fields, &x->arena, id, field_text(id), value);
}

static void add_vary(struct exchange *x)
{
    const struct fields *fields = &x->resp.fields;
    if (!fields_has_token(fields, FIELD_VARY, SLICE("Accept-Encoding")) &&
        !fields_has_token(fields, FIELD_VARY, SLICE("*")))
        add(x, FIELD_VARY, SLICE("Accept-Encoding"));
}

/* RFC 9110 8.8.1: these are other bytes than those the tag is of, though of the same meaning. */
static void weaken_etag(struct exchange *x)
{
    struct field *etag = fields_find(&x->resp.fields, FIELD_ETAG);
    if (etag && slice_starts(etag->value, SLICE("\"")))
        etag->value = arena_printf(&x->arena, "W/" SLICE_FMT, SLICE_ARG(etag->value));
}

static void rewrite_head(struct exchange *x, const struct coding *coding)
{
    struct fields *fields = &x->resp.fields;
    fields_drop(fields, FIELD_CONTENT_LENGTH);
    fields_drop(fields, FIELD_CONTENT_ENCODING);
    fields_drop(fields, FIELD_ACCEPT_RANGES); /* of the bytes that were, not of these */
    add(x, FIELD_CONTENT_ENCODING, coding->name);
    weaken_etag(x);
    if (x->resp_framing.kind != BODY_NONE)
        x->resp_framing = (struct framing){.kind = BODY_CHUNKED};
}

/* RFC 9110 15.4.5: what it says of the response the client has must fit that one, whose type is not
 * told here. Who names the strong tag has what was not compressed, and may go on to ask for ranges
 * of it. */
static void begin_not_modified(struct exchange *x, const struct compress_conf *conf)
{
    const struct fields *fields = &x->resp.fields;
    if (!is_unencoded(fields) || !may_transform(fields))
        return;
    add_vary(x);
    if (choose(x, conf) &&
        !condition_has_strongly(&x->req.fields, fields_value(fields, FIELD_ETAG)))
        weaken_etag(x);
}

/* RFC 9110 15.3.7: a part is not compressed, but the whole might have been. */
static void begin_part(struct exchange *x, const struct compress_conf *conf)
{
    const struct fields *fields = &x->resp.fields;
    struct slice type = fields_value(fields, FIELD_CONTENT_TYPE);
    static const struct slice several = SLICE_INIT("multipart/byteranges");
    bool is_several = slice_ieq(slice_first(type, several.n), several);
    if (is_unencoded(fields) && may_transform(fields) &&
        (is_several || compress_conf_has_type(conf, type)))
        add_vary(x);
}

void compress_begin(struct exchange *x)
{
    const struct compress_conf *conf = x->route ? &x->route->compress : NULL;
    if (!conf || !conf->count)
        return;
    if (x->resp.status == 304)
        begin_not_modified(x, conf);
    if (x->resp.status == 206)
        begin_part(x, conf);
    if (!is_compressible(x, conf))
        return;
    add_vary(x);
    const struct coding *coding = choose(x, conf);
    if (!coding || fields_has_token(&x->req.fields, FIELD_CACHE_CONTROL, SLICE("no-transform")))
        return;
    if (x->resp_framing.kind != BODY_NONE) {
        uint64_t max_bytes = x->worker->snapshot->gateway.compress_bytes;
        x->coder = coder_take(&x->worker->coders, coding, (int)conf->level, max_bytes);
        if (!x->coder) {
            counter_add(&x->worker->stats.compress_refused, 1);
            return; /* as it is, rather than not at all */
        }
        counter_add(&x->worker->stats.compressed, 1);
        x->outgoing = &x->coded;
    }
    rewrite_head(x, coding);
}

/* ---- the body ---- */

void compress_drop(struct exchange *x)
{
    if (x->coder)
        coder_give(&x->worker->coders, x->coder);
    x->coder = NULL;
}

static bool fail(struct exchange *x, const char *why)
{
    exchange_fail(x, 500, why, NULL);
    return false;
}

static bool put_memory(struct exchange *x)
{
    struct iovec iov;
    int count = chain_iov(&x->resp_body, &iov, 1);
    size_t n = count && iov.iov_len < SHARE ? iov.iov_len : SHARE;
    if (!coder_put(x->coder, slice_of(iov.iov_base, n), &x->coded))
        return fail(x, "the response cannot be compressed");
    chain_drop(&x->resp_body, n);
    counter_add(&x->worker->stats.compress_in_bytes, n);
    return true;
}

static bool put_file(struct exchange *x)
{
    struct buf *b = buf_take(x->resp_body.pool, SHARE);
    ssize_t n = chain_file_read(&x->resp_body, b->data, SHARE);
    bool ok = n > 0 && coder_put(x->coder, slice_of(b->data, (size_t)n), &x->coded);
    buf_unref(b);
    if (!ok)
        return fail(x, n > 0 ? "the response cannot be compressed" : "a file cannot be read");
    counter_add(&x->worker->stats.compress_in_bytes, (uint64_t)n);
    return true;
}

/* Pipes are not filled for a response that is encoded. */
static bool put_piece(struct exchange *x)
{
    size_t before = x->coded.bytes;
    bool ok = x->resp_body.head->kind == LINK_MEM ? put_memory(x) : put_file(x);
    counter_add(&x->worker->stats.compress_out_bytes, x->coded.bytes - before);
    return ok;
}

static bool put_end(struct exchange *x)
{
    size_t before = x->coded.bytes;
    if (!coder_end(x->coder, &x->coded))
        return fail(x, "the response cannot be compressed");
    counter_add(&x->worker->stats.compress_out_bytes, x->coded.bytes - before);
    compress_drop(x);
    return true;
}

bool compress_run(struct exchange *x)
{
    if (!x->coder)
        return false;
    bool moved = false;
    if (!chain_is_empty(&x->resp_body) && chain_room(&x->coded))
        moved = put_piece(x);
    if (x->coder && x->response == MSG_COMPLETE && chain_is_empty(&x->resp_body))
        moved = put_end(x);
    return moved;
}

bool compress_flush(struct exchange *x)
{
    if (!x->coder || !x->coder->holds_back || !chain_is_empty(&x->resp_body) ||
        !x->front->is_flushed(x))
        return false;
    size_t before = x->coded.bytes;
    if (!coder_flush(x->coder, &x->coded))
        return fail(x, "the response cannot be compressed");
    counter_add(&x->worker->stats.compress_out_bytes, x->coded.bytes - before);
    return x->coded.bytes > before;
}
