/* SPDX-License-Identifier: MIT */
#include "core/tls_conf.h"

#include "core/listen_conf.h"

static key_set_fn set_alpn;
static key_open_fn open_pair;

static const struct key_name versions[] = {
    {"1.2", TLS_1_2, "TLS 1.2"},
    {"1.3", TLS_1_3, "TLS 1.3"},
    {NULL, 0, NULL},
};

static const struct key_name verifies[] = {
    {"required", TLS_VERIFY_REQUIRED, "clients must have a certificate"},
    {"optional", TLS_VERIFY_OPTIONAL, "clients may have a certificate; a bad one is refused"},
    {NULL, 0, NULL},
};

/* clang-format off */
const struct key tls_pair_options[] = {
    {.name = "key", .type = KEY_STRING, .at = at(struct tls_pair_conf, key),
     .help = "the file of its private key; without it the key is in the certificate's file"},
    {.name = "ocsp", .type = KEY_STRING, .at = at(struct tls_pair_conf, ocsp),
     .help = "a file with an OCSP response in DER, passed on to clients who ask; renew it before it "
             "ends"},
    {.name = NULL},
};

static const struct key protocols_options[] = {
    {.name = "min", .type = KEY_ENUM, .at = at(struct listen_conf, tls.min), .init = "1.2",
     .names = versions, .help = "the oldest"},
    {.name = "max", .type = KEY_ENUM, .at = at(struct listen_conf, tls.max), .init = "1.3",
     .names = versions, .help = "the newest"},
    {.name = NULL},
};

static const struct key client_ca_options[] = {
    {.name = "verify", .type = KEY_ENUM, .at = at(struct listen_conf, tls.verify), .init = "required",
     .names = verifies, .help = "whether a client can do without"},
    {.name = NULL},
};

const struct key tls_listen_keys[] = {
    {.name = "certificate", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_ONE, .set = tls_pair_set,
     .open = open_pair, .options = tls_pair_options, .syntax = "FILE",
     .help = "a certificate (PEM) with its chain; several for several names and key types: the name "
             "a client asks for chooses, the first ones serve everybody else"},
    {.name = "protocols", .type = KEY_NONE, .options = protocols_options,
     .help = "which versions of TLS are spoken"},
    {.name = "ciphers", .type = KEY_STRING, .at = at(struct listen_conf, tls.ciphers),
     .help = "ciphers of TLS 1.2, as OpenSSL writes them; without it those with forward secrecy and "
             "AEAD"},
    {.name = "ciphersuites", .type = KEY_STRING, .at = at(struct listen_conf, tls.suites),
     .help = "cipher suites of TLS 1.3, with ':' between them"},
    {.name = "curves", .type = KEY_STRING, .at = at(struct listen_conf, tls.curves),
     .help = "groups for the key exchange, with ':' between them; without it X25519:P-256:P-384"},
    {.name = "alpn", .type = KEY_CUSTOM, .set = set_alpn, .init = "", .syntax = "h2 | http/1.1 ...",
     .help = "protocols a client may choose from; without it both"},
    {.name = "tickets", .type = KEY_BOOL, .at = at(struct listen_conf, tls.tickets), .init = "on",
     .help = "clients may resume a session; nothing is kept here, and the keys of the tickets change "
             "every hour"},
    {.name = "kernel", .type = KEY_BOOL, .at = at(struct listen_conf, tls.kernel), .init = "off",
     .help = "what is sent over TLS 1.3 is encrypted by the kernel, files by sendfile, where it has "
             "its module 'tls'"},
    {.name = "client-ca", .type = KEY_STRING, .at = at(struct listen_conf, tls.client_ca),
     .options = client_ca_options,
     .help = "certificates (PEM) of those who sign clients' certificates; then clients are asked for "
             "one"},
    {.name = "handshake", .type = KEY_MS, .at = at(struct listen_conf, tls.handshake_ms), .init = "10s",
     .min = "1ms", .max = "1h", .help = "how long a handshake may take"},
    {.name = NULL},
};
/* clang-format on */

static void *open_pair(struct config_reader *r, const struct directive *d, void *target)
{
    struct listen_conf *l = target;
    struct tls_conf *tls = &l->tls;
    (void)d;
    return config_append(r, &tls->pairs, &tls->pair_count, sizeof(*tls->pairs));
}

bool tls_pair_set(struct config_reader *r, const struct directive *d,
                  const struct config_word *word, void *target)
{
    struct tls_pair_conf *pair = target;
    (void)d;
    pair->certificate = word->text;
    pair->at = word->at;
    return word->text.n || config_error(r->diag, word->at, "'certificate' is empty");
}

static bool set_alpn(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct listen_conf *l = target;
    struct tls_conf *tls = &l->tls;
    tls->h2 = tls->http1 = !d;
    for (uint32_t i = 0; d && i < d->arg_count; i++) {
        bool is_h2 = slice_eq(word[i].text, SLICE("h2"));
        if (!is_h2 && !slice_eq(word[i].text, SLICE("http/1.1")))
            return config_error(r->diag, word[i].at, "'alpn' takes h2, http/1.1 or both");
        tls->h2 |= is_h2;
        tls->http1 |= !is_h2;
    }
    return tls->h2 || tls->http1 ||
           config_error(r->diag, d->name.at, "'alpn' takes h2, http/1.1 or both");
}
