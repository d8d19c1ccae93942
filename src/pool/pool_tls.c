/* SPDX-License-Identifier: MIT */
#include "pool/pool_tls.h"

#include "net/tls.h"
#include "pool/pool_conf.h"

static const struct key_name versions[] = {
    {"1.2", TLS_1_2, "TLS 1.2"},
    {"1.3", TLS_1_3, "TLS 1.3"},
    {NULL, 0, NULL},
};

/* clang-format off */
static const struct key certificate_options[] = {
    {.name = "key", .type = KEY_STRING, .at = at(struct pool_conf, tls.key),
     .help = "the file of its private key; without it the key is in the certificate's file"},
    {.name = NULL},
};

static const struct key protocols_options[] = {
    {.name = "min", .type = KEY_ENUM, .at = at(struct pool_conf, tls.min), .init = "1.2",
     .names = versions, .help = "the oldest"},
    {.name = "max", .type = KEY_ENUM, .at = at(struct pool_conf, tls.max), .init = "1.3",
     .names = versions, .help = "the newest"},
    {.name = NULL},
};

const struct key pool_tls_keys[] = {
    {.name = "verify", .type = KEY_BOOL, .at = at(struct pool_conf, tls.verify), .init = "on",
     .help = "whether a backend must show a certificate that is trusted, valid and its own; off: "
             "anybody in between can read and change everything"},
    {.name = "ca", .type = KEY_STRING, .at = at(struct pool_conf, tls.ca),
     .help = "certificates (PEM) of those who are trusted to sign; without it the system's"},
    {.name = "crl", .type = KEY_STRING, .at = at(struct pool_conf, tls.crl),
     .help = "lists (PEM) of certificates that have been revoked"},
    {.name = "name", .type = KEY_STRING, .at = at(struct pool_conf, tls.name),
     .help = "the name that is asked for and must stand in the certificate; without it the backend's "
             "host"},
    {.name = "certificate", .type = KEY_STRING, .at = at(struct pool_conf, tls.certificate),
     .options = certificate_options,
     .help = "a certificate (PEM) of ours, for backends who ask for one"},
    {.name = "protocols", .type = KEY_NONE, .options = protocols_options,
     .help = "which versions of TLS are spoken"},
    {.name = NULL},
};
/* clang-format on */

bool pool_tls_set(struct config_reader *r, const struct directive *d,
                  const struct config_word *word, void *target)
{
    struct pool_conf *pool = target;
    pool->tls.is_on = true;
    pool->tls.at = d->name.at;
    return d->arg_count == 0 || config_error(r->diag, word->at, "'tls' takes no value");
}

bool pool_tls_finish(struct config_reader *r, const struct pool_conf *pool)
{
    const struct pool_tls_conf *tls = &pool->tls;
    if (!tls->is_on)
        return true;
    if (tls->min > tls->max)
        return config_error(r->diag, tls->at, "protocols: min is newer than max");
    if (tls->crl.n && !tls->verify)
        return config_error(r->diag, tls->at, "'crl' has no meaning with 'verify off'");
    for (uint32_t i = 0; i < pool->backend_count; i++) {
        const struct backend_conf *b = &pool->backends[i];
        if (b->program.n)
            return config_error(r->diag, tls->at, "a program is not spoken to by TLS");
        if (tls->verify && !tls->name.n && (b->endpoint.path.n || b->srv.n))
            return config_error(r->diag, b->at,
                                "there is no host name that its certificate could be checked for\n"
                                "write: tls { name NAME }");
    }
    return true;
}
