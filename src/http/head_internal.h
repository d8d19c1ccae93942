/* What the head lexer, the two head grammars and head.c share. Nobody else includes this.
 *
 * The grammars call one action below for each rule; an action that refuses calls head_refuse, and
 * the run stops there.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_HEAD_INTERNAL_H
#define HTTP_HEAD_INTERNAL_H

#include "http/head.h"

/* Tokens are fused: one for a whole field line. */
struct head_token {
    const char *p;      /* name, path, scheme, ... */
    const char *second; /* field value, query (NULL: none), reason phrase */
    uint32_t n, second_n;
    uint32_t number; /* minor version, status */
};

enum { HEAD_TOKEN_BAD = -1, HEAD_TOKEN_END = 0 };

struct head_parse;

/* Reads the next token of one part of the head, and chooses the function for the next one. */
typedef int head_lex_fn(struct head_parse *h, struct head_token *t);

struct head_parse {
    const char *base, *cur, *end; /* end[-1] is LF, at which every rule of the lexer stops */
    head_lex_fn *lex;
    bool bad, accepted;
    bool after_field;  /* the line before was a field line */
    bool lf_ends_line; /* RFC 3875 7.2: CGI programs may end lines with LF alone */
    uint16_t status;   /* of every fault, if not 0: 502 for responses */
    const struct head_limits *limits;
    struct arena *arena;
    struct fields *fields;
    struct request_head *request;
    struct response_head *response;
    enum response_form form;
    struct fault *fault;
    struct head_token tokens[8]; /* in a ring: no rule has more than five on the parser's stack */
    unsigned token;
};

int head_cut_off(struct head_parse *h);
head_lex_fn head_lex_method, head_lex_field;
head_lex_fn head_lex_status_line; /* required */
head_lex_fn head_lex_first_line;  /* a status line or a field line: CGI */

void request_grammar_run(struct head_parse *h);
void response_grammar_run(struct head_parse *h);

/* The next token, at *t, which stays valid for seven more. */
static inline int head_lex(struct head_parse *h, const struct head_token **t)
{
    struct head_token *next = &h->tokens[h->token++ % 8];
    *t = next;
    return h->cur == h->end ? head_cut_off(h) : h->lex(h, next);
}

void head_refuse(struct head_parse *h, uint16_t status, const char *at, const char *what,
                 const char *rule);
void head_add_field(struct head_parse *h, const struct head_token *field);

void request_origin_form(struct head_parse *h, const struct head_token *target);
void request_absolute_form(struct head_parse *h, const struct head_token *scheme,
                           const struct head_token *authority, const struct head_token *path);
void request_authority_form(struct head_parse *h, const struct head_token *authority);
void request_asterisk_form(struct head_parse *h, const struct head_token *target);
void request_line_end(struct head_parse *h, const struct head_token *method,
                      const struct head_token *version);
void request_line_misfit(struct head_parse *h);

void response_status_line(struct head_parse *h, const struct head_token *line);
void response_no_status_line(struct head_parse *h);

#endif
