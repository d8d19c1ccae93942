/* SPDX-License-Identifier: MIT */
#include "http/forwarded.h"

#include "http/forwarded_internal.h"

void forwarded_bad(struct forwarded_parse *p)
{
    p->bad = true;
}

static struct slice without_quotes(struct slice value)
{
    return slice_starts(value, SLICE("\"")) ? slice_of(value.p + 1, value.n - 2) : value;
}

/* RFC 7239 4: each parameter occurs once in an element. */
void forwarded_add_pair(struct forwarded_parse *p, struct slice name, struct slice value)
{
    if (!slice_ieq(name, SLICE("for")))
        return;
    if (p->has_node)
        forwarded_bad(p);
    p->node = without_quotes(value);
    p->has_node = true;
}

void forwarded_end_element(struct forwarded_parse *p)
{
    struct forwarded *out = p->out;
    if (out->n == FORWARDED_MAX) {
        memmove(out->v, out->v + 1, (FORWARDED_MAX - 1) * sizeof(out->v[0]));
        out->n--;
    }
    out->v[out->n++] = p->has_node ? p->node : SLICE_NONE;
    p->node = SLICE_NONE;
    p->has_node = false;
}

bool forwarded_parse(struct slice value, struct forwarded *out)
{
    struct forwarded_parse p = {.rest = value, .out = out};
    out->n = 0;
    if (value.n)
        forwarded_grammar_run(&p);
    return !p.bad;
}
