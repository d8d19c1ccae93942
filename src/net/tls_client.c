/* What a pool speaks TLS to its backends with: whom it trusts, what it shows, and the sessions it
 * goes on with.
 * SPDX-License-Identifier: MIT */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_cert.h"

struct tls_client {
    atomic_uint refs;
    uintptr_t serial; /* sessions of another context have been verified in another way */
    SSL_CTX *ctx;
    bool verify, needs_alpn;
    char *name; /* NULL: the caller's */
};

/* ---- sessions ---- */

/* A session belongs to the context under which the peer was verified. */
static int serial_index;

static void make_index(void)
{
    serial_index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static void keep_session(struct tls_session *slot, SSL_SESSION *session)
{
    SSL_SESSION *old = atomic_exchange(&slot->session, session);
    if (old)
        SSL_SESSION_free(old);
}

void tls_session_fini(struct tls_session *slot)
{
    keep_session(slot, NULL);
}

/* Called during a read; 1: the reference is ours. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls *t = SSL_get_app_data(ssl);
    if (!t->session)
        return 0;
    SSL_SESSION_set_ex_data(session, serial_index, (void *)t->client->serial);
    keep_session(t->session, session);
    return 1;
}

static void resume(struct tls *t)
{
    SSL_SESSION *session = atomic_exchange(&t->session->session, NULL), *none = NULL;
    if (!session)
        return;
    bool is_ours = SSL_SESSION_get_ex_data(session, serial_index) == (void *)t->client->serial &&
                   SSL_SESSION_is_resumable(session);
    if (is_ours)
        SSL_set_session(t->ssl, session);
    if (!is_ours || !atomic_compare_exchange_strong(&t->session->session, &none, session))
        SSL_SESSION_free(session);
}

/* ---- verifying ---- */

/* Notes which certificate is refused and why: behind the handshake nobody knows any more. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    if (ok)
        return 1;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *t = SSL_get_app_data(ssl);
    const X509 *x = X509_STORE_CTX_get_current_cert(store);
    int error = X509_STORE_CTX_get_error(store);
    const char *wanted = t->wanted ? t->wanted : "";
    bool is_name = error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH;
    char name[120] = "?";
    if (x)
        tls_put_name(name, sizeof(name), X509_get_subject_name(x));
    if (!t->why)
        t->why = mem_zalloc(TLS_WHY_MAX);
    snprintf(t->why, TLS_WHY_MAX, "TLS: the certificate %s is refused: %s%s%s", name,
             X509_verify_cert_error_string(error), is_name ? ", it is not for " : "",
             is_name ? wanted : "");
    return 0;
}

static bool set_trust(struct tls_client *c, const struct tls_client_conf *conf,
                      struct tls_fault *fault)
{
    if (!conf->ca.n)
        return SSL_CTX_set_default_verify_paths(c->ctx) == 1 ||
               tls_refuse(fault, "the system's certificates");
    STACK_OF(X509) *all = tls_read_certificates(conf->ca);
    if (!all)
        return tls_refuse(fault, "ca holds no certificate that can be read");
    for (int i = 0; i < sk_X509_num(all); i++)
        X509_STORE_add_cert(SSL_CTX_get_cert_store(c->ctx), sk_X509_value(all, i));
    sk_X509_pop_free(all, X509_free);
    return true;
}

static bool set_revoked(struct tls_client *c, const struct tls_client_conf *conf,
                        struct tls_fault *fault)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c->ctx);
    unsigned count = 0;
    X509_CRL *crl;
    if (!conf->crl.n)
        return true;
    BIO *bio = BIO_new_mem_buf(conf->crl.p, (int)conf->crl.n);
    for (; (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)); count++) {
        X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
    }
    BIO_free(bio);
    if (!count)
        return tls_refuse(fault, "crl holds no list that can be read");
    ERR_clear_error();
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return true;
}

static bool set_own(struct tls_client *c, const struct tls_client_conf *conf,
                    struct tls_fault *fault)
{
    if (!conf->pair.certificate.n)
        return true;
    struct tls_cert *cert = tls_cert_new(&conf->pair, fault);
    if (!cert)
        return false;
    bool ok = tls_cert_use(cert, c->ctx);
    tls_cert_free(cert);
    return ok || tls_refuse(fault, "the certificate cannot be used");
}

/* RFC 7301: a list of one. */
static void set_alpn(struct tls_client *c, const char *name)
{
    unsigned char list[32];
    size_t n = name ? strlen(name) : 0;
    if (!n || n >= sizeof(list))
        return;
    list[0] = (unsigned char)n;
    memcpy(list + 1, name, n);
    SSL_CTX_set_alpn_protos(c->ctx, list, (unsigned)n + 1);
    c->needs_alpn = true;
}

/* ---- contexts ---- */

static bool build(struct tls_client *c, const struct tls_client_conf *conf, struct tls_fault *fault)
{
    *fault = (struct tls_fault){.pair = -1};
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (!c->ctx)
        return tls_refuse(fault, "OpenSSL");
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(c->ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(c->ctx, on_session);
    SSL_CTX_set_verify(c->ctx, conf->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       conf->verify ? on_verify : NULL);
    set_alpn(c, conf->alpn);
    return tls_set_versions(c->ctx, conf->min, conf->max, fault) &&
           (!conf->verify || set_trust(c, conf, fault)) && set_revoked(c, conf, fault) &&
           set_own(c, conf, fault);
}

struct tls_client *tls_client_new(const struct tls_client_conf *conf, struct tls_fault *fault)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static atomic_uintptr_t serials;
    pthread_once(&once, make_index);
    struct tls_client *c = mem_zalloc(sizeof(*c));
    atomic_init(&c->refs, 1);
    c->serial = atomic_fetch_add(&serials, 1) + 1;
    c->verify = conf->verify;
    c->name = conf->name.n ? mem_dup(conf->name.p, conf->name.n) : NULL;
    if (build(c, conf, fault))
        return c;
    tls_client_unref(c);
    return NULL;
}

struct tls_client *tls_client_ref(struct tls_client *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void tls_client_unref(struct tls_client *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(c->ctx);
    free(c->name);
    free(c);
}

/* ---- connections ---- */

/* "example.org:443", "[::1]:443", "::1" to the host alone. */
static char *host_of(const char *text)
{
    size_t n = strlen(text);
    const char *colon = strrchr(text, ':');
    if (text[0] == '[' && strchr(text, ']'))
        return mem_dup(text + 1, (size_t)(strchr(text, ']') - text) - 1);
    if (colon && strchr(text, ':') == colon)
        n = (size_t)(colon - text);
    return mem_dup(text, n);
}

/* RFC 6066 3: an address is not sent as a name. RFC 6125 6.4: names by SAN, else by CN. */
static void set_name(struct tls *t, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    bool is_address = X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    ERR_clear_error();
    if (is_address)
        return;
    SSL_set_tlsext_host_name(t->ssl, host);
    if (t->client->verify) {
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    }
}

void tls_connect(struct stream *s, struct tls_client *client, const char *host,
                 struct tls_session *session)
{
    SSL *ssl = SSL_new(client->ctx);
    if (!ssl)
        abort();
    struct tls *t = tls_attach(s, ssl);
    t->client = tls_client_ref(client);
    t->session = session;
    t->needs_alpn = client->needs_alpn;
    t->wanted = client->name ? mem_dup(client->name, strlen(client->name)) : host_of(host);
    SSL_set_app_data(ssl, t);
    if (*t->wanted)
        set_name(t, t->wanted);
    if (session)
        resume(t);
    SSL_set_connect_state(ssl);
}
