/* SPDX-License-Identifier: MIT */
#include "pool/health_conf.h"

#include "base/num.h"
#include "pool/pool_conf.h"

static key_set_fn set_statuses, set_header;

/* clang-format off */
const struct key health_options[] = {
    {.name = "interval", .type = KEY_MS, .at = at(struct health_conf, interval_ms),
     .init = "5s", .min = "10ms", .max = "1h",
     .help = "between two probes of a backend, a tenth more or less"},
    {.name = "fast", .type = KEY_MS, .at = at(struct health_conf, fast_ms),
     .init = "1s", .min = "10ms", .max = "1h",
     .help = "the same while it is down, or has begun to fail or to recover"},
    {.name = "timeout", .type = KEY_MS, .at = at(struct health_conf, timeout_ms),
     .init = "2s", .min = "1ms", .max = "1h", .help = "how long a probe may take"},
    {.name = "rise", .type = KEY_UINT, .at = at(struct health_conf, rise),
     .init = "2", .min = "1", .max = "1000", .help = "good probes in a row that bring it up"},
    {.name = "fall", .type = KEY_UINT, .at = at(struct health_conf, fall),
     .init = "3", .min = "1", .max = "1000", .help = "failed ones in a row that take it down"},
    {.name = "status", .type = KEY_CUSTOM, .set = set_statuses, .init = "200-399",
     .syntax = "CODE[-CODE][,...]", .help = "statuses of a good answer"},
    {.name = "match", .type = KEY_STRING, .at = at(struct health_conf, match),
     .help = "a text that stands in the first 64k of a good answer's body"},
    {.name = "header", .type = KEY_CUSTOM, .set = set_header, .syntax = "NAME[:VALUE]",
     .help = "a field that a good answer has, with this very value if one is given"},
    {.name = "host", .type = KEY_STRING, .at = at(struct health_conf, host),
     .help = "the Host field of the probe; without it the backend's own address"},
    {.name = NULL},
};
/* clang-format on */

static bool read_status(struct slice text, uint64_t *status)
{
    return num_dec(text, status) && *status >= 100 && *status <= 599;
}

bool status_set_add(struct status_set *s, struct slice text)
{
    uint64_t first, last;
    size_t dash = slice_find(text, '-');
    if (text.n == 3 && slice_ends(text, SLICE("xx")) && text.p[0] >= '1' && text.p[0] <= '5') {
        first = (uint64_t)(text.p[0] - '0') * 100;
        last = first + 99;
    } else {
        if (!read_status(slice_first(text, dash), &first))
            return false;
        last = first;
        if (dash < text.n && !read_status(slice_skip(text, dash + 1), &last))
            return false;
    }
    for (uint64_t i = first; i <= last; i++)
        s->bits[i / 64] |= UINT64_C(1) << i % 64;
    return first <= last;
}

static bool set_statuses(struct config_reader *r, const struct directive *d,
                         const struct config_word *word, void *target)
{
    (void)d;
    struct health_conf *h = target;
    struct slice list = word->text, text;
    h->statuses = (struct status_set){{0}};
    while (slice_next_token(&list, &text))
        if (!status_set_add(&h->statuses, text))
            return config_error(r->diag, word->text_at,
                                "'" SLICE_FMT "' is no status\nwrite 200, 200-399 or 2xx",
                                SLICE_ARG(text));
    return true;
}

static bool set_header(struct config_reader *r, const struct directive *d,
                       const struct config_word *word, void *target)
{
    (void)d;
    struct health_conf *h = target;
    size_t colon = slice_find(word->text, ':');
    h->header_name = slice_first(word->text, colon);
    h->has_value = colon < word->text.n;
    if (h->has_value)
        h->header_value = slice_trim(slice_skip(word->text, colon + 1));
    return h->header_name.n || config_error(r->diag, word->text_at, "'header' names no field");
}

void *health_conf_open(struct config_reader *r, const struct directive *d, void *target)
{
    (void)r;
    (void)d;
    struct pool_conf *pool = target;
    return &pool->health;
}

static bool is_method(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 'A' || s.p[i] > 'Z')
            return false;
    return s.n > 0;
}

bool health_conf_set(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct health_conf *h = target;
    bool is_one = d->arg_count == 1, is_two = d->arg_count == 2;
    if (is_one && slice_eq(word->text, SLICE("off"))) {
        h->kind = HEALTH_OFF;
    } else if (is_one && slice_eq(word->text, SLICE("tcp"))) {
        h->kind = HEALTH_TCP;
    } else if (is_one && slice_eq(word->text, SLICE("values"))) {
        h->kind = HEALTH_VALUES;
    } else if (is_two && is_method(word[0].text) && slice_starts(word[1].text, SLICE("/"))) {
        h->kind = HEALTH_REQUEST;
        h->method = word[0].text;
        h->path = word[1].text;
    } else {
        return config_error(r->diag, d->arg_count ? word->at : d->name.at,
                            "'health' takes a request such as GET /healthz, or tcp, values "
                            "(fastcgi) or off");
    }
    return true;
}
