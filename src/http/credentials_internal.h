/* What the lexer of credentials and credentials.c share.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_CREDENTIALS_INTERNAL_H
#define HTTP_CREDENTIALS_INTERNAL_H

#include "http/credentials.h"

/* credentials = "Basic" 1*SP token68 (RFC 9110 11.4): the token68. False: it is not that. */
bool credentials_lex_basic(struct slice value, struct slice *token68);

#endif
