/* SPDX-License-Identifier: MIT */
#include "core/request_key.h"

#include "core/exchange.h"
#include "http/cookie.h"

static const struct {
    const char *text;
    enum request_key_kind kind;
    bool has_name;
} kinds[] = {
    {"client", REQUEST_KEY_CLIENT, false}, {"all", REQUEST_KEY_ALL, false},
    {"host", REQUEST_KEY_HOST, false},     {"path", REQUEST_KEY_PATH, false},
    {"header:", REQUEST_KEY_HEADER, true}, {"cookie:", REQUEST_KEY_COOKIE, true},
};

bool request_key_parse(struct slice text, struct request_key *key)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct slice kind = slice_str(kinds[i].text);
        struct slice name = slice_skip(text, kind.n < text.n ? kind.n : text.n);
        if (!slice_starts(text, kind) || kinds[i].has_name != (name.n > 0))
            continue;
        *key = (struct request_key){.kind = kinds[i].kind, .name = name};
        return true;
    }
    return false;
}

static struct slice client_part(const struct exchange *x)
{
    if (x->asker.sa.sa_family == AF_INET)
        return slice_of(&x->asker.in4.sin_addr, sizeof(x->asker.in4.sin_addr));
    if (x->asker.sa.sa_family == AF_INET6) /* a client has a whole /64 to itself */
        return slice_of(&x->asker.in6.sin6_addr, 8);
    return SLICE("unix");
}

static struct slice part_of(const struct exchange *x, const struct request_key *key)
{
    struct slice value = SLICE_NONE;
    const struct field *field;
    switch (key->kind) {
    case REQUEST_KEY_CLIENT: break;
    case REQUEST_KEY_ALL: return SLICE("all");
    case REQUEST_KEY_HOST: return x->req.authority;
    case REQUEST_KEY_PATH: return x->path;
    case REQUEST_KEY_HEADER:
        field = fields_find_name(&x->req.fields, key->name);
        return field ? field->value : SLICE_NONE;
    case REQUEST_KEY_COOKIE: cookie_find(&x->req.fields, key->name, &value); return value;
    }
    return SLICE_NONE;
}

struct slice request_key_of(const struct exchange *x, const struct request_key *key,
                            bool *is_client)
{
    struct slice part = part_of(x, key);
    *is_client = !part.n;
    return part.n ? part : client_part(x);
}
