/* SPDX-License-Identifier: MIT */
#include "house/tls_back.h"

#include "codec/codec.h"

static bool read_all(struct tls_files *f, const struct pool_conf *pool,
                     struct tls_client_conf *conf)
{
    const struct pool_tls_conf *tls = &pool->tls;
    struct slice key = tls->key.n ? tls->key : tls->certificate;
    return tls_files_read(f, tls->ca, tls->at, &conf->ca) &&
           tls_files_read(f, tls->crl, tls->at, &conf->crl) &&
           tls_files_read(f, tls->certificate, tls->at, &conf->pair.certificate) &&
           tls_files_read(f, key, tls->at, &conf->pair.key);
}

struct tls_client *tls_back_new(const struct pool_conf *pool, struct tls_store *store,
                                struct config_diag *diag)
{
    struct tls_files f = {.store = store, .diag = diag};
    struct tls_fault fault;
    struct tls_client_conf conf = {.verify = pool->tls.verify,
                                   .name = pool->tls.name,
                                   .min = pool->tls.min,
                                   .max = pool->tls.max,
                                   .alpn = codec_find(pool->codec)->alpn};
    struct tls_client *client = NULL;
    if (read_all(&f, pool, &conf)) {
        client = tls_client_new(&conf, &fault);
        if (!client)
            config_error(diag, pool->tls.at.line ? pool->tls.at : pool->at, "%s", fault.why);
    }
    tls_files_forget(&f);
    return client;
}
