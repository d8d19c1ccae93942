/* What the head lexer, the two head grammars and head.c share. Nobody else includes this.
 *
 * The grammars call one action below for each rule; an action that refuses calls head_refuse, and
 * the run stops there.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_HEAD_INTERNAL_H
#define HTTP_HEAD_INTERNAL_H

#include "http/head.h"

/* The part of the head that the lexer reads next. */
enum head_at {
    HEAD_AT_METHOD,
    HEAD_AT_TARGET,
    HEAD_AT_AUTHORITY, /* of an absolute-form */
    HEAD_AT_PATH,      /* of an absolute-form */
    HEAD_AT_VERSION,
    HEAD_AT_STATUS_LINE, /* required */
    HEAD_AT_FIRST_LINE,  /* a status line or a field line: CGI */
    HEAD_AT_FIELDS,
};

/* Tokens are fused: one for a whole field line. */
struct head_token {
    const char *p;      /* name, path, scheme, ... */
    const char *second; /* field value, query (NULL: none), reason phrase */
    uint32_t n, second_n;
    uint32_t number; /* minor version, status */
};

enum { HEAD_TOKEN_BAD = -1, HEAD_TOKEN_END = 0 };

struct head_parse {
    const char *base, *cur, *end; /* end[-1] is LF, at which every rule of the lexer stops */
    enum head_at at;
    bool bad, accepted;
    bool lf_ends_line; /* RFC 3875 7.2: CGI programs may end lines with LF alone */
    uint16_t status;   /* of every fault, if not 0: 502 for responses */
    const struct head_limits *limits;
    struct arena *arena;
    struct fields *fields;
    struct request_head *request;
    struct response_head *response;
    enum response_form form;
    struct fault *fault;
};

int head_lex(struct head_parse *h, struct head_token *t);

void request_grammar_run(struct head_parse *h);
void response_grammar_run(struct head_parse *h);

void head_refuse(struct head_parse *h, uint16_t status, const char *at, const char *what,
                 const char *rule);
void head_add_field(struct head_parse *h, struct head_token field);

void request_origin_form(struct head_parse *h, struct head_token target);
void request_absolute_form(struct head_parse *h, struct head_token scheme,
                           struct head_token authority, struct head_token path);
void request_authority_form(struct head_parse *h, struct head_token authority);
void request_asterisk_form(struct head_parse *h, struct head_token target);
void request_line_end(struct head_parse *h, struct head_token method, struct head_token version);
void request_line_misfit(struct head_parse *h);

void response_status_line(struct head_parse *h, struct head_token line);
void response_no_status_line(struct head_parse *h);

#endif
