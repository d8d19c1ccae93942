/* Answers of our own: error pages, redirects, fixed texts, files.
 *
 *     answer_begin(x, 200);
 *     answer_field(x, FIELD_CONTENT_TYPE, SLICE("text/plain; charset=utf-8"));
 *     answer_text(x, text);
 *     answer_send(x, "fixed text");
 *
 * Only while nothing of another response has gone out: x->response is MSG_NONE.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ANSWER_H
#define CORE_ANSWER_H

#include "core/exchange.h"

/* A fresh head in x->resp, and no body. */
void answer_begin(struct exchange *x, uint16_t status);
void answer_field(struct exchange *x, enum field_id id, struct slice value);
/* Adds those of an application's fields that are not dropped. */
void answer_keep(struct exchange *x, const struct fields *fields);
/* Appends a copy to the body. What lies in files is put into x->resp_body (chain_put_file). */
void answer_text(struct exchange *x, struct slice text);
/* Our page for an error, in the form that the client reads: type and body. */
void answer_error_page(struct exchange *x, uint16_t status);
/* Sends head and body: what x->resp_body holds is all of it, and its length. HEAD and statuses that
 * have no body (RFC 9110 6.4.1) lose it. why: for the trace. */
void answer_send(struct exchange *x, const char *why);

/* Reads away what is here of a request's body that nobody wants, so that the connection can go on
 * behind the answer; if more is to come, the connection ends there. Before answer_begin. False: the
 * request has failed meanwhile, and that is answered. */
bool answer_skip_body(struct exchange *x);

#endif
