/* SPDX-License-Identifier: MIT */
#include "core/reroute.h"

#include <assert.h>

#include "base/log.h"
#include "base/num.h"
#include "core/answer.h"
#include "core/rewriting.h"
#include "core/worker.h"
#include "http/uri.h"

/* The request's fields as they came: what rewriting and forwarding have added goes, and what they
 * dropped is there again. What was said about the body is not repeated: it may be another by now.
 */
static void restore_fields(struct exchange *x)
{
    struct fields *fs = &x->req.fields;
    fs->n = x->field_count;
    fs->seen = 0;
    for (unsigned i = 0; i < fs->n; i++) {
        fs->v[i].dropped = fs->v[i].is_gone;
        fs->seen |= UINT64_C(1) << fs->v[i].id;
    }
    if (x->expectation_met)
        fields_drop(fs, FIELD_EXPECT);
}

static void set_length(struct exchange *x, uint64_t n)
{
    char *digits = arena_alloc(&x->arena, NUM_DEC_MAX);
    fields_drop(&x->req.fields, FIELD_CONTENT_LENGTH);
    x->req_framing = (struct framing){.kind = BODY_LENGTH, .length = n};
    fields_add(&x->req.fields, &x->arena, FIELD_CONTENT_LENGTH, field_text(FIELD_CONTENT_LENGTH),
               slice_of(digits, num_put_dec(digits, n)));
}

/* A GET without a body. What is still to come of it makes the connection end behind the answer. */
static bool drop_body(struct exchange *x)
{
    if (!answer_skip_body(x))
        return false;
    chain_clear(&x->attempt.replay);
    x->body_unread |= x->request == MSG_BODY;
    x->close_client |= x->body_unread;
    x->request = MSG_COMPLETE;
    x->req_framing = (struct framing){.kind = BODY_NONE};
    fields_drop(&x->req.fields, FIELD_CONTENT_LENGTH);
    fields_drop(&x->req.fields, FIELD_TRANSFER_ENCODING);
    fields_drop(&x->req.fields, FIELD_CONTENT_TYPE);
    fields_drop(&x->req.fields, FIELD_EXPECT);
    if (x->req.method != METHOD_HEAD) {
        x->req.method = METHOD_GET;
        x->req.method_text = SLICE("GET");
    }
    return true;
}

/* All of the body is in front of us again. */
static bool keep_body(struct exchange *x)
{
    if (!x->attempt.replay_complete && x->attempt.count) {
        exchange_fail(
            x, 500, "a body that has been passed on cannot be sent again for an internal redirect",
            NULL);
        return false;
    }
    attempt_rewind(x);
    if (x->request == MSG_COMPLETE && x->req_framing.kind == BODY_CHUNKED)
        set_length(x, x->req_body.bytes);
    else if (x->req_framing.kind == BODY_LENGTH)
        set_length(x, x->req_framing.length);
    return true;
}

static bool set_target(struct exchange *x, const struct reroute *to)
{
    struct request_head *req = &x->req;
    struct slice query;
    if (!uri_split_target(to->target, &req->path, &query)) {
        exchange_fail(x, 500, "the target of an internal redirect is no path", "RFC 9112 3.2.1");
        return false;
    }
    int port;
    if (to->host.n && !uri_split_authority(to->host, &req->host, &port)) {
        exchange_fail(x, 500, "the host of an internal redirect is none", "RFC 9112 3.2");
        return false;
    }
    req->form = TARGET_ORIGIN;
    req->target = to->target;
    req->query = query;
    req->has_query = query.p != NULL;
    if (to->host.n)
        req->authority = to->host;
    return true;
}

/* As if no backend had said anything. */
static void forget_response(struct exchange *x)
{
    size_t window = x->worker->snapshot->gateway.window;
    chain_clear(&x->resp_body);
    x->handoff = NULL;
    x->resp = (struct response_head){0};
    x->resp_trailers = (struct fields){0};
    x->resp_framing = (struct framing){0};
    x->buffer_response = false;
    x->resp_body.window = x->req_body.window = x->attempt.replay.window = window;
    x->conn_wait = WAIT_NOTHING;
    x->conn_moved = false;
}

bool exchange_reroute(struct exchange *x, const struct reroute *to)
{
    assert(x->response == MSG_NONE && x->state != EX_FINISH);
    attempt_drop(x);
    if (x->reroutes >= x->worker->snapshot->gateway.reroutes) {
        exchange_fail(x, 500, "too many internal redirects (limit reroutes)", NULL);
        return false;
    }
    x->reroutes++;
    log_debug(x->id, "%s: " SLICE_FMT " goes on as " SLICE_FMT, to->why, SLICE_ARG(x->req.target),
              SLICE_ARG(to->target));
    rewriting_keep_asked(x);
    x->wanted_backend = to->backend;
    if (to->host.n) /* another site's, maybe */
        x->site_mount = (struct mount){0};
    forget_response(x);
    restore_fields(x);
    if (!(to->as_get ? drop_body(x) : keep_body(x)) || !set_target(x, to))
        return false;
    exchange_enter(x, EX_ROUTE, to->why);
    return true;
}
