/* SPDX-License-Identifier: MIT */
#include "admin/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "codec/h1.h"
#include "house/listening.h"
#include "http/date.h"
#include "http/status.h"
#include "net/handover.h"
#include "net/stream.h"

enum { REQUEST_MS = 10000, IDLE_MS = 60000, WRITE_MS = 10000, LINGER_MS = 2000 };
enum { BEAT_MS = 15000, HEAD_BYTES = 16384, TARGET_BYTES = 4096, FIELDS = 64 };

static const struct head_limits limits = {
    .head_bytes = HEAD_BYTES, .target_bytes = TARGET_BYTES, .fields = FIELDS};

/*  HEAD    reads a request's head     BODY    and its body
 *  WAIT    its answer is being made   WRITE   and sent
 *  STREAM  sends events               LINGER  waits for the peer to close
 *  CLOSED  freed at the end of the turn */
enum conn_state { HEAD, BODY, WAIT, WRITE, STREAM, LINGER, CLOSED };

struct door {
    struct list node;
    struct admin_server *server;
    struct listener listener;
    struct deferred free;
    char *text, *token; /* token: NULL where none is needed */
    bool kept;          /* while a new configuration is compared */
};

struct admin_conn {
    struct stream stream;
    struct timer timer;
    struct deferred free;
    struct list node;
    struct admin_server *server;
    char *token; /* of its door */
    enum conn_state state;
    bool running; /* conn_run() is on the stack */
    bool close;   /* behind this answer */
    struct h1_reader reader;
    struct h1_writer writer;
    struct chain out;
    struct arena arena;
    struct request_head req;
    char *body; /* of the request */
    size_t body_bytes;
    char *reply; /* body of the answer, while out refers to it */
    void *owner; /* who has to be told when the connection ends */
    void (*gone)(void *owner);
};

/* ---- the end ---- */

static void free_conn(struct deferred *d)
{
    struct admin_conn *c = container_of(d, struct admin_conn, free);
    timer_fini(c->server->loop, &c->timer);
    free(c->token);
    free(c);
}

static void end_request(struct admin_conn *c)
{
    free(c->body);
    free(c->reply);
    c->body = c->reply = NULL;
    c->body_bytes = 0;
    arena_fini(&c->arena);
    arena_init(&c->arena, &c->server->loop->bufs);
}

static void leave_owner(struct admin_conn *c)
{
    void (*gone)(void *owner) = c->gone;
    c->gone = NULL;
    if (gone)
        gone(c->owner);
}

static void conn_close(struct admin_conn *c)
{
    struct admin_server *s = c->server;
    if (c->state == CLOSED)
        return;
    c->state = CLOSED;
    leave_owner(c);
    chain_clear(&c->out);
    end_request(c);
    stream_close(&c->stream, false);
    timer_clear(&c->timer);
    list_remove(&c->node);
    loop_defer(s->loop, &c->free);
    if (s->count-- == ADMIN_CONNS_MAX)
        list_each (node, &s->doors)
            listener_resume(&container_of(node, struct door, node)->listener);
}

/* Reads what still comes and throws it away; true: the peer has closed. */
static bool drain(struct admin_conn *c)
{
    for (;;) {
        stream_consume(&c->stream, stream_bytes(&c->stream).n);
        if (!c->stream.readable)
            return false;
        ssize_t n = stream_fill(&c->stream);
        if (n <= 0)
            return n != -EAGAIN;
    }
}

static void linger(struct admin_conn *c)
{
    c->state = LINGER;
    stream_finish(&c->stream);
    timer_set(c->server->loop, &c->timer, LINGER_MS);
    if (drain(c))
        conn_close(c);
}

/* ---- answering ---- */

static void add_field(struct admin_conn *c, struct fields *fields, enum field_id id,
                      const char *name, const char *value)
{
    fields_add(fields, &c->arena, id, slice_str(name), slice_str(value));
}

static void put_head(struct admin_conn *c, uint16_t status, const char *type,
                     struct framing framing, const char *length)
{
    struct response_head head = {
        .status = status, .reason = slice_str(status_reason(status)), .minor = 1};
    char date[DATE_LEN];
    date_put(date, loop_wall_s());
    add_field(c, &head.fields, FIELD_CONTENT_TYPE, "Content-Type", type);
    if (length)
        add_field(c, &head.fields, FIELD_CONTENT_LENGTH, "Content-Length", length);
    if (status == 401) /* RFC 6750 3 */
        add_field(c, &head.fields, FIELD_OTHER, "WWW-Authenticate", "Bearer");
    add_field(c, &head.fields, FIELD_OTHER, "Cache-Control", "no-store");
    add_field(c, &head.fields, FIELD_OTHER, "X-Content-Type-Options", "nosniff");
    add_field(c, &head.fields, FIELD_OTHER, "Content-Security-Policy",
              "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
              "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
    const struct h1_response response = {.head = &head,
                                         .framing = framing,
                                         .date = slice_of(date, DATE_LEN),
                                         .close = c->close,
                                         .keep_alive = !c->close && c->req.minor < 1};
    h1_put_response(&c->writer, &response, &c->out);
}

static void conn_run(struct admin_conn *c);

void admin_reply(struct admin_conn *c, uint16_t status, const char *type, char *body, size_t n)
{
    char length[NUM_DEC_MAX + 1];
    c->gone = NULL;
    if (c->state == CLOSED) {
        free(body);
        return;
    }
    length[num_put_dec(length, n)] = '\0';
    bool bodiless = c->req.method == METHOD_HEAD;
    put_head(c, status, type, (struct framing){bodiless ? BODY_NONE : BODY_LENGTH, n}, length);
    c->reply = body;
    if (!bodiless)
        chain_put_static(&c->out, slice_of(body, n));
    c->state = WRITE;
    timer_set(c->server->loop, &c->timer, WRITE_MS);
    conn_run(c);
}

void admin_refuse(struct admin_conn *c, uint16_t status, const char *format, ...)
{
    char what[1024], *body = mem_alloc(sizeof(what) * 6 + 32);
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    struct text t = text_of(body, sizeof(what) * 6 + 32);
    text_lit(&t, "{\"error\": \"");
    text_json(&t, slice_str(what), SIZE_MAX);
    text_lit(&t, "\"}\n");
    admin_reply(c, status, "application/json", body, text_slice(&t).n);
}

void admin_request_wait(struct admin_conn *c, void *owner, void (*gone)(void *owner), uint64_t ms)
{
    c->owner = owner;
    c->gone = gone;
    timer_set(c->server->loop, &c->timer, ms);
}

void admin_request_stream(struct admin_conn *c, void *owner, void (*gone)(void *owner))
{
    c->owner = owner;
    c->gone = gone;
    c->close = true;
    put_head(c, 200, "text/event-stream", (struct framing){.kind = BODY_CLOSE}, NULL);
    c->state = STREAM;
    timer_set(c->server->loop, &c->timer, BEAT_MS);
    conn_run(c);
}

void admin_conn_push(struct admin_conn *c, struct slice text)
{
    if (c->state != STREAM)
        return;
    if (c->out.bytes + text.n > ADMIN_BACKLOG_MAX) {
        log_info(0, "admin: a reader of events is too slow and is cut off");
        conn_close(c);
        return;
    }
    chain_copy(&c->out, text);
    conn_run(c);
}

/* ---- requests ---- */

/* In a time that does not tell how much of it is right. */
static bool is_same(struct slice a, struct slice b)
{
    unsigned char different = a.n != b.n;
    for (size_t i = 0; i < a.n && i < b.n; i++)
        different |= (unsigned char)a.p[i] ^ (unsigned char)b.p[i];
    return !different;
}

static bool has_token(const struct admin_conn *c)
{
    static const struct slice scheme = SLICE_INIT("Bearer ");
    if (!c->token)
        return true;
    struct field *f = fields_find_name(&c->req.fields, SLICE("Authorization"));
    return f && slice_ieq(slice_first(f->value, scheme.n), scheme) &&
           is_same(slice_skip(f->value, scheme.n), slice_str(c->token));
}

static void pass_on(struct admin_conn *c)
{
    struct admin_server *s = c->server;
    struct admin_request r = {.conn = c,
                              .head = &c->req,
                              .body = slice_of(c->body, c->body_bytes),
                              .arena = &c->arena,
                              .has_token = has_token(c)};
    c->state = WAIT;
    s->handle(s->ctx, &r);
}

static bool refuse(struct admin_conn *c, const struct fault *f)
{
    c->close = true;
    admin_refuse(c, f->status, "%s%s%s", f->what, f->rule ? ", " : "", f->rule ? f->rule : "");
    return true;
}

/* RFC 9112 9.3 */
static bool wants_close(const struct request_head *req)
{
    if (fields_has_token(&req->fields, FIELD_CONNECTION, SLICE("close")))
        return true;
    return req->minor < 1 && !fields_has_token(&req->fields, FIELD_CONNECTION, SLICE("keep-alive"));
}

static bool take_head(struct admin_conn *c)
{
    static const struct response_head go_on = {.status = 100, .reason = SLICE_INIT("Continue")};
    struct slice in = stream_bytes(&c->stream);
    size_t before = in.n;
    struct codec_result result;
    c->req = (struct request_head){.minor = 1};
    enum codec_event event =
        before ? h1_read_request(&c->reader, &in, &limits, &c->arena, &c->req, &result)
               : CODEC_MORE;
    stream_consume(&c->stream, before - in.n);
    if (event == CODEC_MORE)
        return false;
    if (event == CODEC_BAD)
        return refuse(c, &result.fault);
    c->close = wants_close(&c->req);
    c->state = BODY;
    if (result.framing.kind == BODY_LENGTH && result.framing.length > ADMIN_BODY_MAX)
        return refuse(c, &(struct fault){.status = 413, .what = "the body is too large"});
    if (fields_has(&c->req.fields, FIELD_EXPECT) && c->reader.at != H1_END)
        h1_put_interim(&go_on, &c->out);
    return true;
}

static bool add_body(struct admin_conn *c, struct slice data)
{
    if (c->body_bytes + data.n > ADMIN_BODY_MAX)
        return refuse(c, &(struct fault){.status = 413, .what = "the body is too large"});
    c->body = mem_grow(c->body, c->body_bytes + data.n, 1);
    memcpy(c->body + c->body_bytes, data.p, data.n);
    c->body_bytes += data.n;
    return true;
}

static bool take_body(struct admin_conn *c)
{
    struct slice in = stream_bytes(&c->stream);
    size_t before = in.n;
    struct codec_result result;
    enum codec_event event = h1_read_body(&c->reader, &in, &limits, &c->arena, &result);
    if (event == CODEC_DATA)
        add_body(c, result.data);
    stream_consume(&c->stream, before - in.n);
    if (event == CODEC_BAD)
        return refuse(c, &result.fault);
    if (event == CODEC_END)
        pass_on(c);
    return event != CODEC_MORE || before != in.n;
}

/* ---- driving it ---- */

static bool read_more(struct admin_conn *c)
{
    if (!c->stream.readable)
        return false;
    ssize_t n = stream_fill(&c->stream);
    if (n <= 0 && n != -EAGAIN)
        conn_close(c);
    return n > 0;
}

static bool flush(struct admin_conn *c)
{
    size_t before = c->out.bytes;
    if (before && !stream_flush(&c->stream, &c->out)) {
        conn_close(c);
        return false;
    }
    if (c->out.bytes < before && c->state == WRITE)
        timer_set(c->server->loop, &c->timer, WRITE_MS);
    return true;
}

static bool end_answer(struct admin_conn *c)
{
    if (!flush(c) || !chain_is_empty(&c->out))
        return false;
    end_request(c);
    if (c->close || c->reader.at != H1_END) {
        linger(c);
        return false;
    }
    h1_reader_init(&c->reader);
    c->state = HEAD;
    timer_set(c->server->loop, &c->timer, IDLE_MS);
    return true;
}

/* One step; false: it has to wait. */
static bool step(struct admin_conn *c)
{
    switch (c->state) {
    case HEAD:
    case BODY: {
        if (c->state == HEAD ? take_head(c) : take_body(c))
            return true;
        bool was_quiet = !c->stream.in;
        if (!flush(c) || !read_more(c))
            return false;
        if (was_quiet) /* from the first byte on: it cannot be stretched */
            timer_set(c->server->loop, &c->timer, REQUEST_MS);
        return true;
    }
    case WRITE: return end_answer(c);
    case STREAM:
        if (flush(c) && drain(c))
            conn_close(c);
        return false;
    case WAIT:
        if (c->stream.reset)
            conn_close(c);
        return false;
    case LINGER:
        if (drain(c))
            conn_close(c);
        return false;
    case CLOSED: return false;
    }
    return false;
}

static void conn_run(struct admin_conn *c)
{
    if (c->running)
        return;
    c->running = true;
    while (step(c))
        ;
    c->running = false;
    if (c->state == HEAD)
        stream_settle(&c->stream);
}

static void on_ready(struct stream *s)
{
    conn_run(container_of(s, struct admin_conn, stream));
}

static void on_due(struct timer *t)
{
    struct admin_conn *c = container_of(t, struct admin_conn, timer);
    if (c->state == WAIT) {
        leave_owner(c);
        admin_refuse(c, 504, "there is no answer in time");
    } else if (c->state == STREAM) {
        timer_set(c->server->loop, t, BEAT_MS);
        admin_conn_push(c, SLICE(":\n\n")); /* so that a peer that is gone is noticed */
    } else {
        conn_close(c);
    }
}

static void on_accept(void *ctx, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct door *door = ctx;
    struct admin_server *s = door->server;
    struct admin_conn *c = mem_zalloc(sizeof(*c));
    (void)addr;
    (void)len;
    c->server = s;
    list_init(&c->node);
    timer_init(&c->timer, on_due);
    deferred_init(&c->free, free_conn);
    chain_init(&c->out, &s->loop->bufs, ADMIN_BACKLOG_MAX);
    arena_init(&c->arena, &s->loop->bufs);
    h1_reader_init(&c->reader);
    if (stream_open(&c->stream, s->loop, fd, on_ready) < 0) {
        free(c);
        return;
    }
    c->token = door->token ? mem_dup(door->token, strlen(door->token)) : NULL;
    list_append(&s->conns, &c->node);
    timer_set(s->loop, &c->timer, REQUEST_MS);
    if (++s->count == ADMIN_CONNS_MAX) /* others wait in the kernel */
        list_each (node, &s->doors)
            listener_pause(&container_of(node, struct door, node)->listener);
}

/* ---- where it listens ---- */

static void free_door(struct deferred *d)
{
    struct door *door = container_of(d, struct door, free);
    timer_fini(door->server->loop, &door->listener.rest);
    free(door->text);
    free(door->token);
    free(door);
}

static void close_door(struct door *door)
{
    listener_stop(&door->listener);
    list_remove(&door->node);
    loop_defer(door->server->loop, &door->free);
}

static struct door *find_door(struct admin_server *s, const struct admin_conf *conf)
{
    list_each (node, &s->doors) {
        struct door *door = container_of(node, struct door, node);
        if (slice_eq(slice_str(door->text), conf->text) &&
            slice_eq(slice_str(door->token), conf->token))
            return door;
    }
    return NULL;
}

static int open_socket(struct admin_server *s, const struct admin_conf *conf, int *fd)
{
    uint32_t count;
    int *inherited = listening_inherit(s->handover, 'A', &conf->address, 1, &count);
    if (inherited) {
        *fd = inherited[0];
        free(inherited);
        return 0;
    }
    if (conf->address.kind == ADDRESS_FD)
        return listener_adopt(conf->address.fd, 1, fd);
    struct listener_conf how = {.count = 1, .v6_only = !conf->address.dual, .mode = 0600};
    memcpy(&how.addr.sa, &conf->address.sa, conf->address.len);
    how.addr.len = conf->address.len;
    return listener_open(&how, fd);
}

static bool open_door(struct admin_server *s, const struct admin_conf *conf)
{
    int fd = -1;
    char where[NET_ADDR_TEXT_MAX];
    struct text t = text_of(where, sizeof(where));
    struct door *door = mem_zalloc(sizeof(*door));
    int error = open_socket(s, conf, &fd);
    if (!error)
        error = listener_start(&door->listener, s->loop, fd, on_accept, door);
    if (error) {
        log_error(0, "admin: cannot listen on " SLICE_FMT ": %s", SLICE_ARG(conf->text),
                  strerror(-error));
        free(door);
        return false;
    }
    door->server = s;
    door->text = mem_dup(conf->text.p, conf->text.n);
    door->token = conf->token.n ? mem_dup(conf->token.p, conf->token.n) : NULL;
    door->kept = true;
    list_init(&door->node);
    deferred_init(&door->free, free_door);
    list_append(&s->doors, &door->node);
    listener_put_addr(&door->listener, &t);
    log_info(0, "admin: listening on " SLICE_FMT, SLICE_ARG(text_slice(&t)));
    return true;
}

bool admin_server_listen(struct admin_server *s, const struct admin_conf *conf, uint32_t count)
{
    bool ok = true;
    list_each (node, &s->doors)
        container_of(node, struct door, node)->kept = false;
    for (uint32_t i = 0; i < count; i++) {
        struct door *door = find_door(s, &conf[i]);
        if (door)
            door->kept = true;
    }
    list_each_safe (node, &s->doors)
        if (!container_of(node, struct door, node)->kept)
            close_door(container_of(node, struct door, node));
    for (uint32_t i = 0; i < count; i++)
        if (!find_door(s, &conf[i]))
            ok &= open_door(s, &conf[i]);
    return ok;
}

int admin_server_send(const struct admin_server *s, int channel)
{
    int error = 0;
    list_each (node, &s->doors) {
        const struct door *door = container_of(node, struct door, node);
        char name[HANDOVER_NAME_MAX];
        struct text t = text_of(name, sizeof(name));
        text_char(&t, 'A');
        text_put(&t, slice_str(door->text));
        if (!error)
            error = handover_send(channel, text_slice(&t), &door->listener.watch.fd, 1);
    }
    return error;
}

void admin_server_leave(struct admin_server *s)
{
    list_each_safe (node, &s->doors)
        close_door(container_of(node, struct door, node));
}

void admin_server_init(struct admin_server *s, struct loop *loop, struct handover *handover,
                       admin_handle_fn *handle, void *ctx)
{
    *s = (struct admin_server){.loop = loop, .handover = handover, .handle = handle, .ctx = ctx};
    list_init(&s->conns);
    list_init(&s->doors);
}

void admin_server_fini(struct admin_server *s)
{
    list_each (node, &s->doors) /* who waits there cannot be answered any more */
        listener_close(&container_of(node, struct door, node)->listener);
    admin_server_leave(s);
    list_each_safe (node, &s->conns)
        conn_close(container_of(node, struct admin_conn, node));
    loop_drain(s->loop);
}
