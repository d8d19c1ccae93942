/* Cookies of a request (RFC 6265 4.2.1).
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_COOKIE_H
#define HTTP_COOKIE_H

#include "http/field.h"

/* The value of the first cookie of this name, as sent; false: there is none. Lines that are no
 * cookies are passed over: they are the application's to judge. */
bool cookie_find(const struct fields *fields, struct slice name, struct slice *value);

#endif
