/* SPDX-License-Identifier: MIT */
#include "core/handoff.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "core/answer.h"
#include "core/demand.h"
#include "core/file_answer.h"
#include "core/forward.h"
#include "core/relay.h"
#include "core/reroute.h"
#include "core/worker.h"
#include "http/file_piece.h"
#include "http/percent.h"
#include "static/lookup.h"

enum { REST_BYTES = 64 * 1024, RANGES = 16, PIECES_MAX = 64 };

enum ask {
#define ASK(id, name, kind) ASK_##id,
#define HOW(id, name, kind)
#include "core/handoff.def"
#undef ASK
#undef HOW
    ASKS,
};

enum how {
#define ASK(id, name, kind)
#define HOW(id, name, kind) HOW_##id,
#include "core/handoff.def"
#undef ASK
#undef HOW
    HOWS,
};

/* clang-format off */
static const struct known {
    struct slice name;
    unsigned kind;
    bool is_how;
    int id;
} known[] = {
#define ASK(id, name, kind) {SLICE_INIT(name), HANDOFF_##kind, false, ASK_##id},
#define HOW(id, name, kind) {SLICE_INIT(name), HANDOFF_##kind, true, HOW_##id},
#include "core/handoff.def"
#undef ASK
#undef HOW
};
/* clang-format on */

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

struct handoff {
    struct slice asked[ASKS], how[HOWS]; /* values; p NULL: not there */
    struct fields kept;
    uint16_t status;
    size_t skipped;
};

/* ---- what the head has of it ---- */

static const struct known *find_known(const struct field *f)
{
    if (f->id != FIELD_OTHER || f->dropped || f->name.n < 10 || (f->name.p[0] | 0x20) != 'x')
        return NULL;
    for (size_t i = 0; i < KNOWN; i++)
        if (slice_ieq(known[i].name, f->name))
            return &known[i];
    return NULL;
}

static void note(struct exchange *x, const struct known *k, struct slice value,
                 struct handoff **handoff)
{
    const struct pool_conf *conf = x->attempt.pool->conf;
    if (!(conf->handoff.kinds & k->kind)) {
        log_info(x->id,
                 "pool " SLICE_FMT " may not send " SLICE_FMT ", which is ignored (hand-over)",
                 SLICE_ARG(conf->name), SLICE_ARG(k->name));
        return;
    }
    if (!*handoff)
        *handoff = arena_zalloc(&x->arena, sizeof(**handoff));
    struct slice *place = k->is_how ? &(*handoff)->how[k->id] : &(*handoff)->asked[k->id];
    if (place->p && k->id == ASK_SENDFILE2 && !k->is_how)
        *place =
            arena_printf(&x->arena, SLICE_FMT ", " SLICE_FMT, SLICE_ARG(*place), SLICE_ARG(value));
    else if (!place->p)
        *place = value;
}

/* None of these fields goes on to the client, allowed or not. */
static struct handoff *read_fields(struct exchange *x)
{
    struct handoff *handoff = NULL;
    struct fields *fields = &x->resp.fields;
    for (unsigned i = 0; i < fields->n; i++) {
        const struct known *k = find_known(&fields->v[i]);
        if (!k)
            continue;
        fields->v[i].dropped = true;
        if (fields->v[i].value.n)
            note(x, k, fields->v[i].value, &handoff);
    }
    return handoff;
}

void handoff_hide(struct fields *fields)
{
    for (struct field *f = fields->v; f < fields_end(fields); f++)
        if (find_known(f))
            f->dropped = true;
}

/* ---- X-Accel-Buffering, -Charset, -Limit-Rate ---- */

static void warn_of(const struct exchange *x, const char *name, struct slice value)
{
    log_warn(x->id, "pool " SLICE_FMT " sent %s: " SLICE_FMT ", which means nothing and is ignored",
             SLICE_ARG(x->attempt.pool->conf->name), name, SLICE_ARG(value));
}

static void set_buffering(struct exchange *x, struct slice value)
{
    bool wanted = slice_ieq(value, SLICE("yes"));
    if (!wanted && !slice_ieq(value, SLICE("no"))) {
        warn_of(x, "X-Accel-Buffering", value);
        return;
    }
    x->buffer_response = wanted;
    x->resp_body.window = wanted ? x->serve->buffer_file : x->worker->snapshot->gateway.window;
}

static void set_charset(struct exchange *x, struct slice charset)
{
    struct field *type = fields_find(&x->resp.fields, FIELD_CONTENT_TYPE);
    if (!type || slice_ieq(charset, SLICE("off")))
        return;
    struct slice plain = slice_trim(slice_first(type->value, slice_find(type->value, ';')));
    type->value = arena_printf(&x->arena, SLICE_FMT "; charset=" SLICE_FMT, SLICE_ARG(plain),
                               SLICE_ARG(charset));
}

static void set_rate(struct exchange *x, struct slice value)
{
    uint64_t bytes;
    if (slice_ieq(value, SLICE("off")) || slice_eq(value, SLICE("0")))
        x->rate_bytes = PACE_NONE;
    else if (num_size(value, &bytes) && bytes)
        x->rate_bytes = bytes;
    else
        warn_of(x, "X-Accel-Limit-Rate", value);
}

static void set_how(struct exchange *x, const struct handoff *h)
{
    if (h->how[HOW_BUFFERING].p)
        set_buffering(x, h->how[HOW_BUFFERING]);
    if (h->how[HOW_CHARSET].p)
        set_charset(x, h->how[HOW_CHARSET]);
    if (h->how[HOW_LIMIT_RATE].p)
        set_rate(x, h->how[HOW_LIMIT_RATE]);
}

/* ---- taking over ---- */

static bool asks(const struct handoff *h)
{
    for (int i = 0; i < ASKS; i++)
        if (h->asked[i].p)
            return true;
    return false;
}

/* What described the body that is not sent, and who would have sent it. */
static void drop_body_fields(struct fields *fields)
{
    static const struct slice digests[] = {SLICE_INIT("Content-MD5"), SLICE_INIT("Digest"),
                                           SLICE_INIT("Content-Digest"), SLICE_INIT("Repr-Digest")};
    static const enum field_id ids[] = {FIELD_CONTENT_LENGTH, FIELD_CONTENT_ENCODING,
                                        FIELD_CONTENT_RANGE,  FIELD_ACCEPT_RANGES,
                                        FIELD_TRAILER,        FIELD_DATE,
                                        FIELD_SERVER};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        fields_drop(fields, ids[i]);
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++)
        for (struct field *f; (f = fields_find_name(fields, digests[i]));)
            f->dropped = true;
}

bool handoff_take(struct exchange *x)
{
    struct handoff *h = read_fields(x);
    if (!h)
        return false;
    set_how(x, h);
    if (!asks(h) || x->resp.status == 101)
        return false;
    forward_response(x, &x->resp);
    demand_mark_response(x);
    h->status = x->resp.status;
    h->kept = x->resp.fields;
    drop_body_fields(&h->kept);
    x->resp.fields = (struct fields){0};
    x->head_us = x->worker->loop.now_us;
    x->handoff = h;
    return true;
}

bool handoff_skip(struct exchange *x, size_t n)
{
    x->handoff->skipped += n;
    return x->handoff->skipped <= REST_BYTES;
}

/* ---- files ---- */

static struct slice decoded(struct exchange *x, struct slice path)
{
    char *p = arena_alloc(&x->arena, path.n), *out = p;
    for (size_t i = 0; i < path.n; i++) {
        uint64_t byte;
        if (path.p[i] == '%' && i + 2 < path.n && num_hex(slice_of(path.p + i + 1, 2), &byte)) {
            *out++ = (char)byte;
            i += 2;
        } else {
            *out++ = path.p[i];
        }
    }
    return slice_of(p, (size_t)(out - p));
}

/* The allowed directory that the path seems to lie in, the innermost; the kernel decides whether it
 * does. */
static const struct handoff_dir *find_dir(const struct handoff_conf *conf, unsigned kind,
                                          struct slice path)
{
    const struct handoff_dir *best = NULL;
    for (uint32_t i = 0; i < conf->dir_count; i++) {
        const struct handoff_dir *dir = &conf->dirs[i];
        bool is_in = slice_starts(path, dir->path) &&
                     (dir->path.n == 1 || (path.n > dir->path.n && path.p[dir->path.n] == '/'));
        if (dir->kinds & kind && is_in && (!best || dir->path.n > best->path.n))
            best = dir;
    }
    return best;
}

struct wanted {
    unsigned kind;
    bool is_fresh; /* not to be kept open */
    struct file_query query;
};

/* 0, or -errno; -EPERM where no directory is allowed that it lies in. */
static int open_file(struct exchange *x, struct wanted *w, struct slice path, struct file **out)
{
    const struct handoff_dir *dir = find_dir(&x->attempt.pool->conf->handoff, w->kind, path);
    if (!dir)
        return -EPERM;
    path = slice_skip(path, dir->path.n);
    while (slice_starts(path, SLICE("/")))
        path = slice_skip(path, 1);
    w->query = (struct file_query){.root = dir->path, .path = path, .links = FILE_LINKS_ON};
    int error = w->is_fresh
                    ? file_open_fresh(&x->worker->files, &w->query, out)
                    : file_cache_open(&x->worker->files, &x->worker->snapshot->gateway.open_files,
                                      &w->query, out);
    if (error == 0 && (*out)->info.is_dir) {
        file_unref(*out);
        return -ENOENT;
    }
    return error;
}

/* The path as it stands, else what it stands for: some applications encode it, others do not. */
static int open_path(struct exchange *x, struct wanted *w, struct slice path, struct file **out)
{
    int error = open_file(x, w, path, out);
    if (error == -ENOENT && slice_find(path, '%') < path.n)
        error = open_file(x, w, decoded(x, path), out);
    return error;
}

static void no_file(struct exchange *x, struct slice path, int error)
{
    const char *why = "";
    uint16_t status = error == -EPERM ? 403 : lookup_status(error, &why);
    if (error == -EPERM)
        why =
            "the application hands over a file that lies in none of the directories it may (from)";
    log_warn(x->id, "pool " SLICE_FMT " hands over " SLICE_FMT ": %s",
             SLICE_ARG(x->attempt.pool->conf->name), SLICE_ARG(path), why);
    exchange_fail(x, status, why, NULL);
}

static bool is_kept_status(uint16_t status)
{
    return status != 200 && status != 206 && status != 304;
}

static void send_file(struct exchange *x, const struct handoff *h, struct slice path)
{
    struct wanted w = {.kind = HANDOFF_SENDFILE};
    struct file_answer answer = {.kept = &h->kept,
                                 .ranges = RANGES,
                                 .status = is_kept_status(h->status) ? h->status : 0,
                                 .why = "file handed over"};
    int error = open_path(x, &w, path, &answer.file);
    if (error) {
        no_file(x, path, error);
        return;
    }
    answer.type = types_find(&x->tenure->generation->snapshot->types, path);
    file_answer_send(x, &answer);
}

/* Its name goes at once: whatever becomes of the response, it is gone. */
static void send_tempfile(struct exchange *x, const struct handoff *h)
{
    struct slice path = h->asked[ASK_TEMPFILE];
    struct wanted w = {.kind = HANDOFF_TEMPFILE, .is_fresh = true};
    struct file_answer answer = {.kept = &h->kept,
                                 .status = h->status,
                                 .is_fleeting = true,
                                 .why = "temporary file handed over"};
    int error = open_path(x, &w, path, &answer.file);
    if (error) {
        no_file(x, path, error);
        return;
    }
    error = file_cache_unlink(&x->worker->files, &w.query, answer.file);
    if (error)
        log_warn(x->id, "cannot remove the temporary file " SLICE_FMT ": %s", SLICE_ARG(path),
                 strerror(-error));
    answer.type = types_find(&x->tenure->generation->snapshot->types, path);
    file_answer_send(x, &answer);
}

/* ---- X-Sendfile2 ---- */

/* Puts a piece into the body. False: that is answered with an error. */
static bool put_piece(struct exchange *x, struct chain *body, const struct file_piece *piece)
{
    struct wanted w = {.kind = HANDOFF_SENDFILE};
    struct slice path = decoded(x, piece->path);
    struct file *file;
    int error = open_file(x, &w, path, &file);
    if (error) {
        no_file(x, path, error);
        return false;
    }
    uint64_t size = file->info.size;
    bool is_in = piece->first <= size && (piece->is_open || piece->last < size);
    uint64_t end = piece->is_open ? size : piece->last + 1;
    if (is_in)
        chain_put_file(body, &file->source, (off_t)piece->first, (size_t)(end - piece->first));
    file_unref(file);
    if (!is_in)
        exchange_fail(x, 502, "X-Sendfile2 wants more of a file than there is", NULL);
    return is_in;
}

static void send_pieces(struct exchange *x, const struct handoff *h)
{
    struct slice rest = h->asked[ASK_SENDFILE2];
    struct file_piece piece;
    struct chain body;
    unsigned n = 0;
    chain_init(&body, &x->worker->loop.bufs, SIZE_MAX);
    while (file_piece_next(&rest, &piece) && ++n <= PIECES_MAX)
        if (!put_piece(x, &body, &piece)) {
            chain_clear(&body);
            return;
        }
    if (rest.n || n == 0) {
        chain_clear(&body);
        exchange_fail(x, 502, "X-Sendfile2 is not PATH FIRST-LAST, ...", NULL);
        return;
    }
    if (answer_skip_body(x)) {
        answer_begin(x, h->status);
        answer_keep(x, &h->kept);
        chain_move(&x->resp_body, &body, SIZE_MAX);
        answer_send(x, "pieces of files handed over");
    }
    chain_clear(&body);
}

/* ---- elsewhere ---- */

/* A path as applications write it: what may not stand in a target is encoded, what is encoded
 * stays. */
static struct slice as_target(struct exchange *x, struct slice text)
{
    char *p = arena_alloc(&x->arena, text.n * 3), *out = p;
    for (size_t i = 0; i < text.n; i++) {
        bool stays = text.p[i] > ' ' && text.p[i] < 0x7f && !strchr("\"<>\\^`{|}#", text.p[i]);
        if (stays)
            *out++ = text.p[i];
        else
            out = percent_put(out, slice_of(text.p + i, 1), PERCENT_PATH);
    }
    return slice_of(p, (size_t)(out - p));
}

static void go_to_route(struct exchange *x, struct handoff *h)
{
    struct fields *kept = arena_alloc(&x->arena, sizeof(*kept));
    *kept = h->kept;
    x->kept = kept;
    const struct reroute to = {.target = as_target(x, h->asked[ASK_ACCEL_REDIRECT]),
                               .as_get = true,
                               .why = "X-Accel-Redirect"};
    exchange_reroute(x, &to);
}

static void begin_again(struct exchange *x, const struct handoff *h)
{
    const struct slice uri = h->asked[ASK_REWRITE_URI];
    const struct reroute to = {.target = uri.p ? as_target(x, uri) : relay_target(x),
                               .host = h->asked[ASK_REWRITE_HOST],
                               .backend = h->asked[ASK_REWRITE_BACKEND],
                               .why = "X-Rewrite"};
    exchange_reroute(x, &to);
}

void handoff_run(struct exchange *x)
{
    struct handoff *h = x->handoff;
    x->handoff = NULL;
    if (h->asked[ASK_ACCEL_REDIRECT].p)
        go_to_route(x, h);
    else if (h->asked[ASK_SENDFILE].p)
        send_file(x, h, h->asked[ASK_SENDFILE]);
    else if (h->asked[ASK_SEND_FILE].p)
        send_file(x, h, h->asked[ASK_SEND_FILE]);
    else if (h->asked[ASK_SENDFILE2].p)
        send_pieces(x, h);
    else if (h->asked[ASK_TEMPFILE].p)
        send_tempfile(x, h);
    else
        begin_again(x, h);
}

/* ---- after a hand-over to another route ---- */

const struct fields *handoff_kept(const struct exchange *x)
{
    return x->kept;
}

void handoff_add_cookies(struct exchange *x)
{
    for (unsigned i = 0; x->kept && i < x->kept->n; i++) {
        const struct field *f = &x->kept->v[i];
        if (f->id == FIELD_SET_COOKIE && !f->dropped)
            fields_add(&x->resp.fields, &x->arena, f->id, f->name, f->value);
    }
}
