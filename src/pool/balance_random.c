/* Two at random, by weight, and the freer of them: nearly as even as least-conn, without everybody
 * turning to the same one. With a lock around it that matters little here; it is what people know
 * from gateways that stand side by side and do not see each other's requests.
 * SPDX-License-Identifier: MIT */
#include "pool/balance.h"

#include <stddef.h>

static balance_pick_fn random_pick;

static uint64_t total_share(const struct choice *c, const struct backend *but)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->backends[i] != but && choice_has(c, c->backends[i]))
            total += backend_share(c->backends[i], c->now_us);
    return total;
}

/* One but `but`, each as likely as its share. */
static struct backend *draw(const struct choice *c, const struct backend *but)
{
    uint64_t total = total_share(c, but);
    uint64_t at = total ? choice_random(c) % total : 0;
    for (uint32_t i = 0; total && i < c->count; i++) {
        struct backend *b = c->backends[i];
        if (b == but || !choice_has(c, b))
            continue;
        uint32_t share = backend_share(b, c->now_us);
        if (at < share)
            return b;
        at -= share;
    }
    return NULL;
}

static struct backend *random_pick(const struct choice *c)
{
    struct backend *a = draw(c, NULL);
    struct backend *b = a ? draw(c, a) : NULL;
    if (!b)
        return a;
    uint64_t load_a = (uint64_t)a->busy * backend_share(b, c->now_us);
    uint64_t load_b = (uint64_t)b->busy * backend_share(a, c->now_us);
    return load_b < load_a ? b : a;
}

extern const struct balancer balance_random;
const struct balancer balance_random = {"random-two", random_pick};
