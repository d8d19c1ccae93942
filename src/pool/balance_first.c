/* The first that has room, in the order of the file: as few backends as possible are busy, and the
 * others can be switched off. Works with max-conns.
 * SPDX-License-Identifier: MIT */
#include "pool/balance.h"

#include <stddef.h>

static balance_pick_fn first_pick;

static struct backend *first_pick(const struct choice *choice)
{
    for (uint32_t i = 0; i < choice->count; i++)
        if (choice_has(choice, choice->backends[i]))
            return choice->backends[i];
    return NULL;
}

extern const struct balancer balance_first;
const struct balancer balance_first = {"first", first_pick};
