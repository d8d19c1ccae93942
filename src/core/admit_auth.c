/* `auth`: the line of the configuration.
 * SPDX-License-Identifier: MIT */
#include "core/admit_auth.h"

static key_set_fn set_file;

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

bool admit_set_auth(struct config_reader *r, const struct directive *d,
                    const struct config_word *word, void *target)
{
    struct auth_conf *conf = target;
    struct slice kind = d->arg_count ? word->text : SLICE_NONE;
    if (slice_eq(kind, SLICE("off")) && d->arg_count == 1)
        admission_add(r, conf->admission, &basic_gate, NULL);
    else if (slice_eq(kind, SLICE("basic")) && d->arg_count == 1)
        admission_add(r, conf->admission, &basic_gate, conf);
    else
        return config_error(r->diag, d->name.at, "'auth' takes basic, or off");
    return true;
}
