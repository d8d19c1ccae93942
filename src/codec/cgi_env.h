/* CGI variables (RFC 3875 4.1 and what PHP, Python, Perl and Ruby applications expect), made here
 * for FastCGI, SCGI and CGI alike; only the bytes around names and values differ.
 *
 * Fields of the request become HTTP_* variables by these rules:
 *  - Proxy does not become HTTP_PROXY, which programs take for a setting of theirs;
 *  - Content-Length, Content-Type and Host are CONTENT_LENGTH, CONTENT_TYPE and, as it goes to the
 *    backend, HTTP_HOST; there is no second copy;
 *  - lines of one name are joined with ", ", Cookie with "; " (RFC 9110 5.3, RFC 9113 8.2.3);
 *  - a name with anything but letters, digits and '-' has no variable and is left out, as nginx and
 *    Apache do: X_Real_IP must not be able to pass for X-Real-IP. cgi_env_check() refuses a request
 *    that has both, since somebody before us may have looked at the one and not at the other.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_CGI_ENV_H
#define CODEC_CGI_ENV_H

#include "codec/codec.h"

/* PARSE_BAD (400): two field names that differ only in '-' and '_'. */
enum parse cgi_env_check(const struct fields *fields, struct fault *f)
    __attribute__((warn_unused_result));

enum cgi_form {
    CGI_PAIRS,   /* lengths, name, value (FastCGI 3.4) */
    CGI_STRINGS, /* name NUL value NUL; CONTENT_LENGTH stands first, then SCGI=1 */
    CGI_ENVIRON, /* NAME=value NUL */
};

/* So many variables at most are made of neither fields nor the configuration. */
enum { CGI_VARS_MAX = 26 };

/* The variables of one request, not yet written; points into the request. */
struct cgi_env {
    const struct codec_request *request;
    enum cgi_form form;
    uint64_t repeated; /* a bit for each field name that may have more than one line */
};

void cgi_env_init(struct cgi_env *env, enum cgi_form form, const struct codec_request *request);
/* At least what cgi_env_put() writes, and what it writes over on the way. */
size_t cgi_env_bound(const struct cgi_env *env);
/* Writes all variables at p; answers the end. */
char *cgi_env_put(const struct cgi_env *env, char *p);

/* Splits path behind the first segment that ends in extension (".php": /a.php/b is /a.php and /b);
 * false, and nothing done, if there is none. */
bool cgi_split_path(struct cgi_info *info, struct slice path, struct slice extension);

#endif
