/* SPDX-License-Identifier: MIT */
#include "admin/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ANSWER_MS = 60000, HEAD_BYTES = 32768, FIELDS = 100 };

static const struct head_limits limits = {
    .head_bytes = HEAD_BYTES, .target_bytes = HEAD_BYTES, .fields = FIELDS};

static void disconnect(struct remote *r)
{
    if (!r->is_open)
        return;
    chain_clear(&r->out);
    stream_close(&r->stream, false);
    r->is_open = false;
}

static void finish(struct remote *r, int error, const char *what)
{
    struct remote_answer answer = {.error = error,
                                   .what = what,
                                   .status = r->head.status,
                                   .body = slice_of(r->body, r->body_bytes)};
    r->is_busy = false;
    timer_clear(&r->timer);
    if (error)
        disconnect(r);
    r->on_answer(r->ctx, &answer);
}

static void add_body(struct remote *r, struct slice data)
{
    size_t n = r->body_bytes + data.n;
    if (!r->body || (n & ~(size_t)0xffff) != (r->body_bytes & ~(size_t)0xffff))
        r->body = mem_grow(r->body, (n | 0xffff) + 2, 1);
    memcpy(r->body + r->body_bytes, data.p, data.n);
    r->body_bytes = n;
    r->body[n] = '\0';
}

/* Reads what is there. False: no more for now, or all is over. */
static bool take(struct remote *r)
{
    struct slice in = stream_bytes(&r->stream);
    size_t before = in.n;
    struct codec_result result = {.response = &r->head};
    enum codec_event event =
        r->reader.at == H1_HEAD
            ? h1_read_response(&r->reader, &in, METHOD_GET, &limits, &r->arena, &result)
            : h1_read_body(&r->reader, &in, &limits, &r->arena, &result);
    if (event == CODEC_DATA)
        add_body(r, result.data);
    stream_consume(&r->stream, before - in.n);
    if (event == CODEC_BAD || r->body_bytes > REMOTE_ANSWER_MAX) {
        finish(r, -EPROTO, event == CODEC_BAD ? result.fault.what : "the answer is too long");
        return false;
    }
    if (event == CODEC_END) {
        add_body(r, SLICE(""));
        finish(r, 0, NULL);
        return false;
    }
    return event != CODEC_MORE || before != in.n;
}

static void begin(struct remote *r);

/* A connection that was kept may have been closed meanwhile: that says nothing, and is tried once
 * more with a new one. */
static void on_closed(struct remote *r, int error)
{
    bool nothing_came = r->reader.at == H1_HEAD && !r->stream.in;
    if (r->was_used && nothing_came) {
        disconnect(r);
        begin(r);
    } else {
        finish(r, error ? error : -ECONNRESET, "the connection was closed before the answer");
    }
}

static void on_ready(struct stream *s)
{
    struct remote *r = container_of(s, struct remote, stream);
    if (!r->is_busy) {
        if (s->readable || s->hup)
            disconnect(r);
        return;
    }
    stream_flush(s, &r->out); /* a failure shows when reading */
    for (;;) {
        while (stream_bytes(s).n || r->reader.at == H1_BODY)
            if (!take(r))
                break;
        if (!r->is_busy || !r->is_open || !s->readable)
            return;
        ssize_t n = stream_fill(s);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            on_closed(r, s->error);
            return;
        }
    }
}

static void on_due(struct timer *t)
{
    struct remote *r = container_of(t, struct remote, timer);
    finish(r, -ETIMEDOUT, "no answer in time");
}

static int connect_to(struct remote *r)
{
    int fd;
    int error = stream_dial(&r->address->addr.sa, r->address->addr.len, false, &fd);
    if (!error)
        error = stream_open(&r->stream, r->loop, fd, on_ready);
    r->is_open = !error;
    r->was_used = false;
    return error;
}

/* Sends r->request, over a new connection unless there is one. */
static void begin(struct remote *r)
{
    arena_fini(&r->arena);
    arena_init(&r->arena, &r->loop->bufs);
    h1_reader_init(&r->reader);
    r->head = (struct response_head){0};
    r->body_bytes = 0;
    r->was_used = r->is_open;
    int error = r->is_open ? 0 : connect_to(r);
    timer_set(r->loop, &r->timer, ANSWER_MS);
    if (error) {
        finish(r, error, "cannot connect");
        return;
    }
    chain_copy(&r->out, slice_str(r->request));
    if (r->was_used)
        on_ready(&r->stream);
}

void remote_ask(struct remote *r, const char *method, const char *path, struct slice body,
                remote_fn *on_answer, void *ctx)
{
    size_t room = strlen(path) + body.n + sizeof(r->address->token) + 256;
    free(r->request);
    r->request = mem_alloc(room);
    snprintf(r->request, room,
             "%s %s HTTP/1.1\r\nHost: sluice\r\n%s%s%sContent-Length: %zu\r\n\r\n" SLICE_FMT,
             method, path, *r->address->token ? "Authorization: Bearer " : "", r->address->token,
             *r->address->token ? "\r\n" : "", body.n, SLICE_ARG(body));
    r->on_answer = on_answer;
    r->ctx = ctx;
    r->is_busy = true;
    begin(r);
}

void remote_init(struct remote *r, struct loop *loop, const struct remote_address *address)
{
    *r = (struct remote){.loop = loop, .address = address};
    chain_init(&r->out, &loop->bufs, SIZE_MAX);
    arena_init(&r->arena, &loop->bufs);
    timer_init(&r->timer, on_due);
}

void remote_fini(struct remote *r)
{
    disconnect(r);
    arena_fini(&r->arena);
    timer_fini(r->loop, &r->timer);
    free(r->body);
    free(r->request);
}
