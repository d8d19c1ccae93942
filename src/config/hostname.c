/* SPDX-License-Identifier: MIT */
#include "config/hostname.h"

#include "config/address.h"
#include "config/diag.h"

static struct slice lower(struct arena *a, struct slice s)
{
    struct slice copy = arena_dup(a, s);
    char *p = (char *)copy.p;
    for (size_t i = 0; i < copy.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] + ('a' - 'A'));
    return copy;
}

bool hostname_read(struct config_reader *r, const struct config_word *word, struct slice text,
                   struct slice *out)
{
    bool is_wildcard = slice_starts(text, SLICE("*."));
    struct slice name = slice_skip(text, is_wildcard ? 2 : 0);
    struct endpoint e = {0};
    if (name.n > 1 && slice_ends(name, SLICE(".")))
        name.n--;
    if (slice_starts(text, SLICE("http://")) || slice_starts(text, SLICE("https://")))
        return config_error(r->diag, word->text_at,
                            "'" SLICE_FMT "' is a URL\nwrite the host name alone", SLICE_ARG(text));
    if (endpoint_parse(name, &e) || e.path.n)
        return config_error(r->diag, word->text_at,
                            "'" SLICE_FMT "' is no host name\n"
                            "write a name such as example.org, *.example.org or *",
                            SLICE_ARG(text));
    if (e.port)
        return config_error(r->diag, word->text_at,
                            "a host is named without its port\nwrite '" SLICE_FMT "'",
                            SLICE_ARG(e.host));
    *out = lower(r->arena, arena_printf(r->arena, "%s" SLICE_FMT, is_wildcard ? "*." : "",
                                        SLICE_ARG(e.host)));
    return true;
}
