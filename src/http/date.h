/* HTTP dates (RFC 9110 5.6.7).
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdint.h>

#include "base/slice.h"

enum { DATE_LEN = 29 };
void date_put(char *p, int64_t wall_s); /* IMF-fixdate, DATE_LEN bytes, no NUL */
/* All three formats of RFC 9110 5.6.7; false if it is none. */
bool date_parse(struct slice s, int64_t *wall_s);

#endif
