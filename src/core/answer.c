/* SPDX-License-Identifier: MIT */
#include "core/answer.h"

#include <assert.h>

#include "base/num.h"
#include "core/error_page.h"
#include "core/rewriting.h"
#include "core/worker.h"
#include "http/status.h"

enum { SKIP_ROUNDS = 4 }; /* windows of a body that are read away at once */

void answer_begin(struct exchange *x, uint16_t status)
{
    assert(x->response == MSG_NONE);
    chain_clear(&x->resp_body);
    x->resp = (struct response_head){
        .status = status, .reason = slice_str(status_reason(status)), .minor = 1};
    answer_field(x, FIELD_SERVER, x->worker->snapshot->gateway.name);
}

void answer_field(struct exchange *x, enum field_id id, struct slice value)
{
    fields_add(&x->resp.fields, &x->arena, id, field_text(id), value);
}

void answer_keep(struct exchange *x, const struct fields *fields)
{
    for (unsigned i = 0; i < fields->n; i++)
        if (!fields->v[i].dropped)
            fields_add(&x->resp.fields, &x->arena, fields->v[i].id, fields->v[i].name,
                       fields->v[i].value);
}

void answer_text(struct exchange *x, struct slice text)
{
    chain_copy(&x->resp_body, text);
}

void answer_error_page(struct exchange *x, uint16_t status)
{
    enum error_format format = error_page_format(&x->req.fields);
    char *page = arena_alloc(&x->arena, ERROR_PAGE_MAX);
    size_t n = error_page_put(page, ERROR_PAGE_MAX, format, status, x->id);
    answer_field(x, FIELD_CONTENT_TYPE, error_page_type(format));
    answer_text(x, slice_of(page, n));
}

/* RFC 9110 6.4.1, 8.6: 204 has no length either, and that of 304 would be another response's. */
static bool has_length(uint16_t status)
{
    return status != 204 && status != 304;
}

void answer_send(struct exchange *x, const char *why)
{
    if (!rewriting_response(x))
        return;
    size_t n = x->resp_body.bytes;
    bool bodiless = x->req.method == METHOD_HEAD || !has_length(x->resp.status);
    if (has_length(x->resp.status)) {
        char *digits = arena_alloc(&x->arena, NUM_DEC_MAX);
        answer_field(x, FIELD_CONTENT_LENGTH, slice_of(digits, num_put_dec(digits, n)));
    }
    x->resp_framing = (struct framing){.kind = bodiless ? BODY_NONE : BODY_LENGTH, .length = n};
    if (bodiless)
        chain_clear(&x->resp_body);
    if (x->request == MSG_NONE || x->request == MSG_BODY)
        x->close_client = true;
    x->response = MSG_COMPLETE;
    x->head_us = x->worker->loop.now_us;
    exchange_put_head(x);
    exchange_enter(x, EX_RELAY, why);
}

bool answer_skip_body(struct exchange *x)
{
    enum exchange_state state = x->state;
    chain_clear(&x->req_body);
    /* Who waits for leave to send its body has not sent it (RFC 9110 10.1.1). */
    if (fields_has(&x->req.fields, FIELD_EXPECT))
        return true;
    bool goes_on = true;
    for (int i = 0; goes_on && i < SKIP_ROUNDS && x->request == MSG_BODY && x->front->take(x);
         i++) {
        goes_on = x->state == state && x->response == MSG_NONE; /* else it has been answered */
        chain_clear(&x->req_body);
    }
    return goes_on;
}
