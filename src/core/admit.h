/* Who may use a route: what is asked between finding the route and running its action.
 *
 * Nothing is asked yet; a route without an admission lets everybody in and never comes here.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ADMIT_H
#define CORE_ADMIT_H

#include "core/exchange.h"

struct admission; /* of a route_conf: what is asked; NULL: nothing */

/* In state EX_ADMIT. Lets x in (EX_ACT), refuses it (exchange_fail, answer_send), or PARKs while it
 * is being found out; then it is called again at every event of the client. */
enum next admit_run(struct exchange *x);

#endif
