/* What an exchange says to applications that speak CGI variables.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CGI_INFO_H
#define CORE_CGI_INFO_H

#include "codec/codec.h"

struct exchange;

/* Texts that are made are in the exchange's arena. */
void cgi_info_fill(struct cgi_info *info, struct exchange *x);
/* A prefix that a rule has taken off the path is where the script is mounted: it goes in front of
 * SCRIPT_NAME. Once the script has been found. */
void cgi_info_mount(struct cgi_info *info, struct exchange *x);

#endif
