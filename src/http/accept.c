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

/* Named twice, the first counts. */
static void weigh(int16_t *place, struct slice weight)
{
    if (*place == ACCEPT_UNNAMED)
        *place = thousandths(weight);
}

static void weigh_name(struct accept_parse *p, struct slice name, struct slice weight)
{
    for (unsigned i = 0; i < p->asked->n; i++)
        if (slice_ieq(name, p->asked->names[i]))
            weigh(&p->weight[i], weight);
}

/* RFC 9110 8.4.1.3: x-gzip is gzip. */
void accept_add_coding(struct accept_parse *p, struct slice coding, struct slice weight)
{
    if (p->field != FIELD_ACCEPT_ENCODING)
        accept_bad(p);
    else if (slice_eq(coding, SLICE("*")))
        weigh(&p->any, weight);
    else if (slice_ieq(coding, SLICE("identity")))
        weigh(&p->identity, weight);
    else
        weigh_name(p, slice_ieq(coding, SLICE("x-gzip")) ? SLICE("gzip") : coding, weight);
}

void accept_add_type(struct accept_parse *p, struct slice type, struct slice weight)
{
    if (p->field != FIELD_ACCEPT)
        accept_bad(p);
    else
        weigh_name(p, type, weight);
}

/* One that is called q is a weight in no right form. */
void accept_parameter(struct accept_parse *p, struct slice parameter)
{
    struct slice name = slice_trim(slice_skip(slice_trim(parameter), 1));
    if (slice_ieq(slice_first(name, 2), SLICE("q=")))
        accept_bad(p);
}

static void forget(struct accept_parse *p)
{
    for (unsigned i = 0; i < p->asked->n; i++)
        p->weight[i] = ACCEPT_UNNAMED;
    p->identity = p->any = ACCEPT_UNNAMED;
}

static void read_lines(struct accept_parse *p, const struct fields *fields)
{
    forget(p);
    for (unsigned i = 0; fields_has(fields, p->field) && i < fields->n; i++) {
        const struct field *f = &fields->v[i];
        if (f->id != p->field || f->dropped || !f->value.n)
            continue;
        p->rest = f->value;
        accept_grammar_run(p);
    }
    if (p->bad)
        forget(p);
}

static void fill(struct accept *a, const struct accept_parse *p)
{
    for (unsigned i = 0; i < a->n; i++) {
        int16_t weight = p->weight[i] == ACCEPT_UNNAMED ? p->any : p->weight[i];
        a->weight[i] = weight == ACCEPT_UNNAMED ? 0 : (uint16_t)weight;
    }
    a->identity = p->identity != ACCEPT_UNNAMED ? (uint16_t)p->identity : p->any == 0 ? 0 : 1;
}

void accept_encoding(struct accept *a, const struct fields *fields)
{
    struct accept_parse p = {.asked = a, .field = FIELD_ACCEPT_ENCODING};
    read_lines(&p, fields);
    fill(a, &p);
}

void accept_types(struct accept *a, const struct fields *fields)
{
    struct accept_parse p = {.asked = a, .field = FIELD_ACCEPT};
    read_lines(&p, fields);
    fill(a, &p);
}
