/* SPDX-License-Identifier: MIT */
#include "pool/backend_conf.h"

/* clang-format off */
const struct key backend_options[] = {
    {.name = "srv", .type = KEY_STRING, .at = at(struct backend_conf, srv),
     .help = "in place of an address: a name whose SRV records say hosts, ports, weights and "
             "priorities; those of a higher priority number are asked when all before are down"},
    {.name = "weight", .type = KEY_UINT, .at = at(struct backend_conf, weight),
     .init = "1", .min = "1", .max = "1000",
     .help = "share of the requests, relative to the other backends"},
    {.name = "max-conns", .type = KEY_UINT, .at = at(struct backend_conf, max_conns),
     .init = "0", .zero = "unlimited", .max = "1000000",
     .help = "connections to each address at a time, over all threads"},
    {.name = NULL},
};
/* clang-format on */

/* Takes "scheme://" off *text, and an empty path behind the address. */
static bool split_url(struct slice *text, struct slice *scheme)
{
    size_t colon = slice_find(*text, ':');
    struct slice rest = slice_skip(*text, colon);
    *scheme = SLICE_NONE;
    if (!slice_starts(rest, SLICE("://")))
        return false;
    *scheme = slice_first(*text, colon);
    *text = slice_skip(rest, 3);
    if (!slice_starts(*text, SLICE("unix:")) && slice_ends(*text, SLICE("/")))
        text->n--;
    return true;
}

static bool has_option(const struct directive *d, struct slice name)
{
    for (uint32_t i = 0; i < d->option_count; i++)
        if (slice_eq(d->options[i].option, name))
            return true;
    return false;
}

static bool set_address(struct config_reader *r, struct backend_conf *b,
                        const struct config_word *word)
{
    struct slice address = word->text;
    bool is_url = split_url(&address, &b->scheme);
    if (slice_eq(b->scheme, SLICE("cgi"))) {
        b->program = address;
        return address.n && address.p[0] == '/'
                   ? true
                   : config_error(r->diag, word->at,
                                  "a CGI backend is an absolute path: cgi:///usr/lib/cgi-bin");
    }
    bool has_path = !slice_starts(address, SLICE("unix:")) && slice_find(address, '/') < address.n;
    if (is_url && has_path)
        return config_error(r->diag, word->at,
                            "a backend has no path\nthe path of the request reaches it unchanged");
    const char *why = endpoint_parse(address, &b->endpoint);
    return why ? config_error(r->diag, word->at, "'" SLICE_FMT "' is no backend: %s",
                              SLICE_ARG(word->text), why)
               : true;
}

bool backend_conf_set(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct backend_conf *b = target;
    b->at = d->arg_count ? word->at : d->name.at;
    if (has_option(d, SLICE("srv"))) {
        b->is_backup = d->arg_count == 1 && slice_eq(word->text, SLICE("backup"));
        return d->arg_count == (uint32_t)b->is_backup ||
               config_error(r->diag, b->at, "srv= stands in place of the address");
    }
    if (d->arg_count == 0)
        return config_error(r->diag, b->at, "'backend' takes HOST:PORT | unix:PATH | URL");
    b->is_backup = d->arg_count == 2 && slice_eq(word[1].text, SLICE("backup"));
    if (d->arg_count > 1 + (uint32_t)b->is_backup)
        return config_error(r->diag, word[1].at,
                            "'backend' takes one value: '" SLICE_FMT "' is too much",
                            SLICE_ARG(word[1].text));
    return set_address(r, b, word);
}

static struct slice endpoint_text(struct arena *a, const struct endpoint *e)
{
    if (e->path.n)
        return arena_printf(a, "unix:" SLICE_FMT, SLICE_ARG(e->path));
    bool is_v6 = slice_find(e->host, ':') < e->host.n;
    return arena_printf(a, "%s" SLICE_FMT "%s:%u", is_v6 ? "[" : "", SLICE_ARG(e->host),
                        is_v6 ? "]" : "", e->port);
}

bool backend_conf_finish(struct config_reader *r, struct backend_conf *b, struct slice protocol,
                         uint16_t default_port)
{
    if (b->scheme.n && !slice_eq(b->scheme, protocol))
        return config_error(r->diag, b->at,
                            "the pool speaks '" SLICE_FMT "', not '" SLICE_FMT "'\n"
                            "all backends of a pool speak the same protocol",
                            SLICE_ARG(protocol), SLICE_ARG(b->scheme));
    if (b->srv.n) {
        b->text = arena_printf(r->arena, "srv:" SLICE_FMT, SLICE_ARG(b->srv));
        return true;
    }
    if (b->program.n) {
        b->text = arena_printf(r->arena, "cgi:" SLICE_FMT, SLICE_ARG(b->program));
        return true;
    }
    if (!b->endpoint.path.n && !b->endpoint.port)
        b->endpoint.port = default_port;
    if (!b->endpoint.path.n && !b->endpoint.port)
        return config_error(r->diag, b->at, "the port is missing");
    b->text = endpoint_text(r->arena, &b->endpoint);
    return true;
}
