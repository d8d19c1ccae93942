/* What a TLS listener presents itself with: certificates, chosen by the name that the client asks
 * for (SNI, RFC 6066 3), protocols and ciphers.
 *
 * OpenSSL's context holds one certificate of each key type. So certificates are put together by
 * name: all names that are served by the same set of certificates share a context.
 * SPDX-License-Identifier: MIT */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "net/tls_cert.h"
#include "net/tls_provider.h"

static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
static const char default_curves[] = "X25519:P-256:P-384";

enum { TYPES = 4 }; /* of keys that one name may have certificates of */

/* Certificates that serve the same names; indices into the pairs, -1 for none. */
struct set {
    int pairs[TYPES];
    SSL_CTX *ctx;
};

struct name {
    char *text; /* lower case; may begin with "*." */
    struct set *set;
};

struct tls_server {
    atomic_uint refs;
    uint32_t handshake_ms;
    bool kernel;
    struct tls_cert **certs;
    uint32_t cert_count;
    struct set **sets; /* [0] for those who name nobody we know */
    uint32_t set_count;
    struct name *names; /* in order */
    uint32_t name_count;
};

static int type_of(const struct tls_cert *c)
{
    switch (EVP_PKEY_get_base_id(c->key)) {
    case EVP_PKEY_EC: return 0;
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448: return 1;
    case EVP_PKEY_RSA_PSS: return 2;
    default: return 3;
    }
}

/* ---- names to sets ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static struct set *find_name(const struct tls_server *s, const char *text)
{
    const struct name key = {.text = (char *)(uintptr_t)text};
    const struct name *found =
        s->name_count ? bsearch(&key, s->names, s->name_count, sizeof(key), compare_names) : NULL;
    return found ? found->set : NULL;
}

enum { HOST_MAX = 253 }; /* RFC 1035 2.3.4 */

/* As RFC 6125 6.4.3 has it: the wildcard stands for the leftmost label, whole. */
static struct set *find_set(const struct tls_server *s, const char *host)
{
    char name[HOST_MAX + 2];
    size_t n = strlen(host);
    if (n == 0 || n > HOST_MAX)
        return s->sets[0];
    for (size_t i = 0; i <= n; i++)
        name[i + 1] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] - 'A' + 'a') : host[i];
    if (name[n] == '.')
        name[n] = '\0';
    struct set *found = find_name(s, name + 1);
    char *dot = found ? NULL : strchr(name + 1, '.');
    if (dot && dot > name + 1) {
        dot[-1] = '*';
        found = find_name(s, dot - 1);
    }
    return found ? found : s->sets[0];
}

/* The certificates that have a name; NULL: all count. */
static struct set make_set(const struct tls_server *s, const char *name)
{
    struct set set = {.pairs = {-1, -1, -1, -1}};
    for (uint32_t i = 0; i < s->cert_count; i++) {
        const struct tls_cert *c = s->certs[i];
        bool has = !name;
        for (uint32_t j = 0; j < c->name_count && !has; j++)
            has = strcmp(c->names[j], name) == 0;
        int *place = &set.pairs[type_of(c)];
        if (has && *place < 0)
            *place = (int)i;
    }
    return set;
}

static struct set *find_or_add(struct tls_server *s, const struct set *set)
{
    for (uint32_t i = 0; i < s->set_count; i++)
        if (memcmp(s->sets[i]->pairs, set->pairs, sizeof(set->pairs)) == 0)
            return s->sets[i];
    s->sets = mem_grow(s->sets, s->set_count + 1, sizeof(struct set *));
    struct set *added = mem_alloc(sizeof(*added));
    *added = *set;
    return s->sets[s->set_count++] = added;
}

static bool has_name(const struct tls_server *s, const char *text)
{
    for (uint32_t i = 0; i < s->name_count; i++)
        if (strcmp(s->names[i].text, text) == 0)
            return true;
    return false;
}

static void index_names(struct tls_server *s)
{
    struct set all = make_set(s, NULL);
    find_or_add(s, &all);
    for (uint32_t i = 0; i < s->cert_count; i++)
        for (uint32_t j = 0; j < s->certs[i]->name_count; j++) {
            char *name = s->certs[i]->names[j];
            if (has_name(s, name))
                continue;
            struct set set = make_set(s, name);
            s->names = mem_grow(s->names, s->name_count + 1, sizeof(*s->names));
            s->names[s->name_count++] = (struct name){name, find_or_add(s, &set)};
        }
    if (s->name_count)
        qsort(s->names, s->name_count, sizeof(*s->names), compare_names);
}

/* ---- what OpenSSL asks during a handshake ---- */

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_server *s = arg;
    const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    const struct set *set = host ? find_set(s, host) : s->sets[0];
    if (set != s->sets[0])
        SSL_set_SSL_CTX(ssl, set->ctx);
    return SSL_TLSEXT_ERR_OK;
}

static const unsigned char alpn_both[] = "\x02h2\x08http/1.1";

/* RFC 7301 3.2: a client that offers none of ours is told so. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                   unsigned in_n, void *arg)
{
    const struct slice *ours = arg;
    unsigned char *chosen;
    (void)ssl;
    int rc = SSL_select_next_proto(&chosen, n, (const unsigned char *)ours->p, (unsigned)ours->n,
                                   in, in_n);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static const struct slice alpn_lists[2][2] = {
    {{NULL, 0}, {(const char *)alpn_both + 3, 9}}, /* [h2][http1] */
    {{(const char *)alpn_both, 3}, {(const char *)alpn_both, 12}},
};

static const struct tls_cert *cert_in_use(const struct tls_server *s, SSL *ssl)
{
    const X509 *leaf = SSL_get_certificate(ssl);
    for (uint32_t i = 0; i < s->cert_count; i++)
        if (s->certs[i]->leaf == leaf)
            return s->certs[i];
    return NULL;
}

/* RFC 6066 8; a response that is out of date is worse than none. */
static int on_status(SSL *ssl, void *arg)
{
    const struct tls_cert *c = cert_in_use(arg, ssl);
    if (!c || !c->staple.n || (c->staple_until && c->staple_until <= loop_wall_s()))
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *copy = OPENSSL_memdup(c->staple.p, c->staple.n);
    if (!copy)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)c->staple.n);
    return SSL_TLSEXT_ERR_OK;
}

/* ---- contexts ---- */

static bool refuse(struct tls_fault *fault, int pair, const char *what)
{
    tls_refuse(fault, what);
    fault->pair = pair;
    return false;
}

static bool use_certs(SSL_CTX *ctx, const struct tls_server *s, const struct set *set,
                      struct tls_fault *fault)
{
    for (int i = 0; i < TYPES; i++)
        if (set->pairs[i] >= 0 && !tls_cert_use(s->certs[set->pairs[i]], ctx))
            return refuse(fault, set->pairs[i], "the certificate cannot be used");
    return true;
}

bool tls_set_versions(SSL_CTX *ctx, int min, int max, struct tls_fault *fault)
{
    int oldest = min == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    int newest = max == TLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
    return (SSL_CTX_set_min_proto_version(ctx, oldest) == 1 &&
            SSL_CTX_set_max_proto_version(ctx, newest) == 1) ||
           tls_refuse(fault, "protocols");
}

static bool set_protocols(SSL_CTX *ctx, const struct tls_server_conf *conf, struct tls_fault *fault)
{
    if (!tls_set_versions(ctx, conf->min, conf->max, fault))
        return false;
    if (SSL_CTX_set_cipher_list(ctx, conf->ciphers ? conf->ciphers : default_ciphers) != 1)
        return refuse(fault, -1, "ciphers");
    if (conf->suites && SSL_CTX_set_ciphersuites(ctx, conf->suites) != 1)
        return refuse(fault, -1, "ciphersuites");
    if (SSL_CTX_set1_groups_list(ctx, conf->curves ? conf->curves : default_curves) != 1)
        return refuse(fault, -1, "curves");
    return true;
}

/* A ticket that one listener gave is no use at another that wants other clients. */
static bool set_session_context(SSL_CTX *ctx, const struct tls_server_conf *conf)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, &conf->verify, sizeof(conf->verify)) == 1 &&
              EVP_DigestUpdate(md, conf->client_ca.p, conf->client_ca.n) == 1 &&
              EVP_DigestFinal_ex(md, digest, &n) == 1;
    EVP_MD_CTX_free(md);
    return ok && SSL_CTX_set_session_id_context(ctx, digest, n) == 1;
}

static bool set_resumption(SSL_CTX *ctx, const struct tls_server_conf *conf)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (conf->tickets)
        return set_session_context(ctx, conf) && tls_tickets_install(ctx, conf->tickets);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    return set_session_context(ctx, conf) && SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

static bool set_client_ca(SSL_CTX *ctx, const struct tls_server_conf *conf, struct tls_fault *fault)
{
    if (conf->verify == TLS_VERIFY_OFF)
        return true;
    STACK_OF(X509) *all = tls_read_certificates(conf->client_ca);
    if (!all)
        return refuse(fault, -1, "client-ca holds no certificate that can be read");
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    for (int i = 0; i < sk_X509_num(all); i++) {
        X509_STORE_add_cert(store, sk_X509_value(all, i));
        SSL_CTX_add_client_CA(ctx, sk_X509_value(all, i));
    }
    sk_X509_pop_free(all, X509_free);
    int must = conf->verify == TLS_VERIFY_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | must, NULL);
    return true;
}

static void set_callbacks(SSL_CTX *ctx, struct tls_server *s, const struct tls_server_conf *conf)
{
    const struct slice *alpn = &alpn_lists[conf->h2][conf->http1];
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, s);
    SSL_CTX_set_tlsext_status_cb(ctx, on_status);
    SSL_CTX_set_tlsext_status_arg(ctx, s);
    if (alpn->n)
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, (void *)(uintptr_t)alpn);
}

static bool make_context(struct tls_server *s, struct set *set, const struct tls_server_conf *conf,
                         struct tls_fault *fault)
{
    SSL_CTX *ctx = set->ctx = SSL_CTX_new_ex(NULL, tls_provider_query(), TLS_server_method());
    if (!ctx)
        return refuse(fault, -1, "OpenSSL");
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    set_callbacks(ctx, s, conf);
    if (!set_resumption(ctx, conf))
        return refuse(fault, -1, "session tickets");
    return set_protocols(ctx, conf, fault) && use_certs(ctx, s, set, fault) &&
           set_client_ca(ctx, conf, fault);
}

/* ---- all of it ---- */

static bool build(struct tls_server *s, const struct tls_server_conf *conf, struct tls_fault *fault)
{
    s->certs = mem_zalloc(conf->pair_count * sizeof(struct tls_cert *));
    for (; s->cert_count < conf->pair_count; s->cert_count++) {
        *fault = (struct tls_fault){.pair = (int)s->cert_count};
        s->certs[s->cert_count] = tls_cert_new(&conf->pairs[s->cert_count], fault);
        if (!s->certs[s->cert_count])
            return false;
        if (conf->warn)
            tls_cert_doubt(s->certs[s->cert_count], (int)s->cert_count, conf->warn, conf->warn_ctx);
    }
    index_names(s);
    for (uint32_t i = 0; i < s->set_count; i++)
        if (!make_context(s, s->sets[i], conf, fault))
            return false;
    return true;
}

static void free_server(struct tls_server *s)
{
    for (uint32_t i = 0; i < s->set_count; i++) {
        SSL_CTX_free(s->sets[i]->ctx);
        free(s->sets[i]);
    }
    for (uint32_t i = 0; i < s->cert_count; i++)
        tls_cert_free(s->certs[i]);
    free(s->sets);
    free(s->names);
    free(s->certs);
    free(s);
}

struct tls_server *tls_server_new(const struct tls_server_conf *conf, struct tls_fault *fault)
{
    struct tls_server *s = mem_zalloc(sizeof(*s));
    atomic_init(&s->refs, 1);
    s->handshake_ms = conf->handshake_ms;
    s->kernel = conf->kernel;
    if (build(s, conf, fault))
        return s;
    free_server(s);
    return NULL;
}

struct tls_server *tls_server_ref(struct tls_server *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void tls_server_unref(struct tls_server *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        free_server(s);
}

uint32_t tls_server_handshake_ms(const struct tls_server *s)
{
    return s->handshake_ms;
}

bool tls_server_wants_kernel(const struct tls_server *s)
{
    return s->kernel;
}

SSL *tls_server_ssl(const struct tls_server *s)
{
    SSL *ssl = SSL_new(s->sets[0]->ctx);
    if (!ssl)
        abort();
    return ssl;
}
