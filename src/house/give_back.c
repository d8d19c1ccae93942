/* SPDX-License-Identifier: MIT */
#include "house/give_back.h"

#include <malloc.h>
#include <stdbool.h>

#include "core/worker.h"

enum {
    BURST_MIN = 128, /* a walk through all that is free is not for a few */
    BURST_PART = 8,  /* of the load that is left: no swing of an ordinary day */
    CALM_LOOKS = 5,  /* the workers' pools have given back by then what they keep of bufs */
};

static uint64_t load_of(const struct worker *w)
{
    const struct worker_stats *s = &w->stats;
    uint64_t gone = counter_get(&s->clients_left) + counter_get(&s->ended); /* first: never more */
    return counter_get(&s->clients_joined) + counter_get(&s->begun) - gone;
}

void give_back_look(struct give_back *b, const struct worker *workers, uint32_t count)
{
    uint64_t load = 0;
    for (uint32_t i = 0; i < count; i++)
        load += load_of(&workers[i]);
    if (load > b->most)
        b->most = load;
    bool is_calm = load <= b->most / BURST_PART && b->most - load >= BURST_MIN;
    b->calm = is_calm ? b->calm + 1 : 0;
    if (b->calm < CALM_LOOKS)
        return;
    b->calm = 0;
    b->most = load;
    malloc_trim(0);
}
