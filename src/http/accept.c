/* SPDX-License-Identifier: MIT */
#include "http/accept.h"

#include "http/accept_internal.h"

void accept_bad(struct accept_parse *p)
{
    p->bad = true;
}

/* RFC 9110 12.4.2: up to three digits behind the point; the lexer has seen to the form. */
static int16_t thousandths(struct slice weight)
{
    if (!weight.n)
        return ACCEPT_FULL;
    struct slice q = slice_skip(weight, slice_find(weight, '=') + 1);
    int16_t v = (int16_t)(q.p[0] - '0');
    for (size_t i = 2; i < 5; i++)
        v = (int16_t)(v * 10 + (i < q.n ? q.p[i] - '0' : 0));
    return v;
}

/* RFC 9110 8.4.1.3: x-gzip is gzip. Named twice, the first counts. */
void accept_add(struct accept_parse *p, struct slice coding, struct slice weight)
{
    int16_t *place = NULL;
    if (slice_ieq(coding, SLICE("x-gzip")))
        coding = SLICE("gzip");
    if (slice_eq(coding, SLICE("*")))
        place = &p->any;
    else if (slice_ieq(coding, SLICE("identity")))
        place = &p->identity;
    for (unsigned i = 0; !place && i < p->asked->n; i++)
        if (slice_ieq(coding, p->asked->names[i]))
            place = &p->weight[i];
    if (place && *place == ACCEPT_UNNAMED)
        *place = thousandths(weight);
}

static void forget(struct accept_parse *p)
{
    for (unsigned i = 0; i < p->asked->n; i++)
        p->weight[i] = ACCEPT_UNNAMED;
    p->identity = p->any = ACCEPT_UNNAMED;
}

void accept_encoding(struct accept *a, const struct fields *fields)
{
    struct accept_parse p = {.asked = a};
    forget(&p);
    for (unsigned i = 0; fields_has(fields, FIELD_ACCEPT_ENCODING) && i < fields->n; i++) {
        const struct field *f = &fields->v[i];
        if (f->id != FIELD_ACCEPT_ENCODING || f->dropped || !f->value.n)
            continue;
        p.rest = f->value;
        accept_grammar_run(&p);
    }
    if (p.bad)
        forget(&p);
    for (unsigned i = 0; i < a->n; i++) {
        int16_t weight = p.weight[i] == ACCEPT_UNNAMED ? p.any : p.weight[i];
        a->weight[i] = weight == ACCEPT_UNNAMED ? 0 : (uint16_t)weight;
    }
    a->identity = p.identity != ACCEPT_UNNAMED ? (uint16_t)p.identity : p.any == 0 ? 0 : 1;
}
