/* SPDX-License-Identifier: MIT */
#include "core/admit.h"

enum next admit_run(struct exchange *x)
{
    exchange_enter(x, EX_ACT, "admitted");
    return NEXT;
}
