/* Statuses and their reason phrases (RFC 9110 15).
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_STATUS_H
#define HTTP_STATUS_H

#include <stdint.h>

const char *status_reason(uint16_t status); /* "Not Found"; "" if unknown */

#endif
