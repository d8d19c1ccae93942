/* GET /: the live page. It is page.html, made a string by the build.
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "admin/endpoints.h"
#include "base/mem.h"

static const char page[] =
#include "page.inc"
    ;

void answer_page(struct call *c)
{
    size_t n = sizeof(page) - 1;
    admin_reply(c->conn, 200, "text/html; charset=utf-8", mem_dup(page, n), n);
}
