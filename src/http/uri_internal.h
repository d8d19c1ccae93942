/* What the lexer of uri.c finds. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_URI_INTERNAL_H
#define HTTP_URI_INTERNAL_H

#include "base/slice.h"

/* RFC 3986 3.2.2, 3.2.3. False if authority is not uri-host [ ":" port ]; port: digits or none. */
bool uri_authority_lex(struct slice authority, struct slice *host, struct slice *port);

/* False if target is not absolute-path [ "?" query ]. query.p is NULL if there is no '?'. */
bool uri_target_lex(struct slice target, struct slice *path, struct slice *query);

enum path_token { PATH_END, PATH_SLASH, PATH_TEXT, PATH_ENCODED, PATH_BAD };

/* Takes the next token off *path: slashes (raw or encoded), text, or one encoded byte. */
enum path_token uri_path_lex(struct slice *path, struct slice *token);

#endif
