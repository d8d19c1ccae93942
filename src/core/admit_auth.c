/* `auth`: the line of the configuration.
 * SPDX-License-Identifier: MIT */
#include "core/admit_auth.h"

#include "core/action.h"

static key_set_fn set_file, set_copy;

/* clang-format off */
const struct key admit_auth_options[] = {
    {.name = "realm", .type = KEY_STRING, .at = at(struct auth_conf, realm), .init = "restricted",
     .help = "basic: what browsers show beside their question"},
    {.name = "file", .type = KEY_CUSTOM, .set = set_file, .syntax = "FILE",
     .help = "basic: users, a line NAME:HASH each, as `htpasswd -B` or `mkpasswd` write them: "
             "bcrypt, SHA-crypt, yescrypt, scrypt. Read at start and reload; a relative name begins "
             "at the configuration file"},
    {.name = "remember", .type = KEY_MS, .at = at(struct auth_conf, keep_ms), .init = "5m",
     .zero = "off", .max = "1d",
     .help = "basic: how long a password that was right is not checked again"},
    {.name = "pass", .type = KEY_BOOL, .at = at(struct auth_conf, passes), .init = "off",
     .help = "basic: leave Authorization in the request for the backend"},
    {.name = "header", .type = KEY_STRING, .at = at(struct auth_conf, header), .syntax = "NAME",
     .help = "basic: a field that tells the backend the user; what clients send by that name never "
             "reaches it"},
    {.name = "copy", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = set_copy,
     .syntax = "NAME[,NAME...]",
     .help = "forward: fields of the answer that the backend gets with the request; what clients "
             "send by these names never reaches it"},
    {.name = "cookies", .type = KEY_BOOL, .at = at(struct auth_conf, adds_cookies), .init = "off",
     .help = "forward: Set-Cookie of an answer that lets a request through goes on to the client, "
             "with whatever the response is; without it, only what refuses brings cookies"},
    {.name = "timeout", .type = KEY_MS, .at = at(struct auth_conf, timeout_ms), .init = "10s",
     .min = "1ms", .max = "1h", .help = "forward: for the answer, all told (504)"},
    {.name = NULL},
};
/* clang-format on */

static bool set_file(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct auth_conf *conf = target;
    (void)d;
    conf->file = *word;
    return word->text.n || config_error(r->diag, word->text_at, "'file' is empty");
}

void *admit_open_auth(struct config_reader *r, const struct directive *d, struct admission *a)
{
    struct auth_conf *conf = arena_zalloc(r->arena, sizeof(*conf));
    conf->admission = a;
    conf->at = d->name.at;
    return conf;
}

static bool set_copy(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct auth_conf *conf = target;
    struct slice list = word->text, name;
    (void)d;
    while (slice_next_token(&list, &name))
        *(struct slice *)config_append(r, &conf->copy, &conf->copy_count, sizeof(name)) = name;
    return conf->copy_count || config_error(r->diag, word->text_at, "'copy' names none");
}

/* forward POOL [PATH] */
static bool set_forward(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, struct auth_conf *conf)
{
    conf->path = d->arg_count == 3 ? word[2].text : SLICE("/");
    if (!slice_starts(conf->path, SLICE("/")) || slice_find(conf->path, '?') < conf->path.n)
        return config_error(r->diag, word[2].at, "'" SLICE_FMT "' is no path",
                            SLICE_ARG(conf->path));
    admission_add(r, conf->admission, &forward_gate, conf);
    conf->route.at = conf->at;
    conf->route.text = SLICE("auth forward");
    return pool_action_set_proxy(r, d, &word[1], &conf->route);
}

bool admit_set_auth(struct config_reader *r, const struct directive *d,
                    const struct config_word *word, void *target)
{
    struct auth_conf *conf = target;
    struct slice kind = d->arg_count ? word->text : SLICE_NONE;
    if (slice_eq(kind, SLICE("forward")) && (d->arg_count == 2 || d->arg_count == 3))
        return set_forward(r, d, word, conf);
    if (slice_eq(kind, SLICE("off")) && d->arg_count == 1)
        admission_add(r, conf->admission, &basic_gate, NULL);
    else if (slice_eq(kind, SLICE("basic")) && d->arg_count == 1)
        admission_add(r, conf->admission, &basic_gate, conf);
    else
        return config_error(r->diag, d->name.at, "'auth' takes basic, forward POOL [PATH], or off");
    return true;
}
