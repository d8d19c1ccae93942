/* SPDX-License-Identifier: MIT */
#include "net/tls_cert.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_internal.h"

static BIO *bio_of(struct slice s)
{
    return BIO_new_mem_buf(s.n ? s.p : "", (int)s.n);
}

/* No passphrase is asked for: nobody is there to type it. */
static int no_passphrase(char *to, int room, int writing, void *ctx)
{
    (void)to;
    (void)room;
    (void)writing;
    (void)ctx;
    return -1;
}

EVP_PKEY *tls_read_key(struct slice pem)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    return key;
}

/* A text without a PEM block, or behind the last one, is no error. */
static bool is_end_of_pem(void)
{
    unsigned long e = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
    if (is_end)
        ERR_clear_error();
    return is_end;
}

STACK_OF(X509) * tls_read_certificates(struct slice pem)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *bio = bio_of(pem);
    X509 *x;
    while ((x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)))
        sk_X509_push(all, x);
    BIO_free(bio);
    if (is_end_of_pem() && sk_X509_num(all) > 0)
        return all;
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

void tls_put_name(char *to, size_t room, const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
    long n = BIO_get_mem_data(bio, &p);
    snprintf(to, room, "%.*s", (int)n, p);
    BIO_free(bio);
}

/* ---- names ---- */

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* Adds a name that can be one of a host; others, such as one with a NUL in it, are nobody's. */
static void add_name(struct tls_cert *c, const ASN1_STRING *s)
{
    const char *p = (const char *)ASN1_STRING_get0_data(s);
    size_t n = (size_t)ASN1_STRING_length(s);
    char *name = mem_dup(p, n);
    size_t from = n > 2 && name[0] == '*' && name[1] == '.' ? 2 : 0;
    bool ok = n > 0;
    for (size_t i = 0; i < n; i++) {
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] - 'A' + 'a');
        ok &= i < from || is_host_char(name[i]);
    }
    if (!ok) {
        free(name);
        return;
    }
    c->names = mem_grow(c->names, c->name_count + 1, sizeof(*c->names));
    c->names[c->name_count++] = name;
}

/* RFC 6125 6.4.4: the common name counts where there is no alternative name of a host. */
static void read_names(struct tls_cert *c)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            add_name(c, name->d.dNSName);
    }
    GENERAL_NAMES_free(names);
    if (c->name_count)
        return;
    X509_NAME *subject = X509_get_subject_name(c->leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0)
        add_name(c, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

/* ---- the staple ---- */

static time_t time_of(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) ? timegm(&tm) : 0;
}

/* Until when a response holds that says "good". False: it says something else, or nothing. */
static bool read_staple(struct slice der, time_t *until)
{
    const unsigned char *p = (const unsigned char *)der.p;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)der.n);
    OCSP_BASICRESP *basic = NULL;
    bool ok = response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL &&
              (basic = OCSP_response_get1_basic(response)) && OCSP_resp_count(basic) > 0;
    if (ok) {
        ASN1_GENERALIZEDTIME *next = NULL;
        int status = OCSP_single_get0_status(OCSP_resp_get0(basic, 0), NULL, NULL, NULL, &next);
        ok = status != V_OCSP_CERTSTATUS_UNKNOWN;
        *until = time_of(next);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return ok;
}

/* ---- all of it ---- */

bool tls_refuse(struct tls_fault *fault, const char *what)
{
    char why[160];
    tls_put_error(why, sizeof(why), "");
    fault->pair = -1;
    snprintf(fault->why, sizeof(fault->why), "%s%s%s", what, *why ? ": " : "", why);
    return false;
}

static bool read_pair(struct tls_cert *c, const struct tls_pair *pair, struct tls_fault *fault)
{
    c->chain = tls_read_certificates(pair->certificate);
    if (!c->chain)
        return tls_refuse(fault, "the certificate file holds no certificate that can be read");
    c->leaf = sk_X509_shift(c->chain);
    c->key = tls_read_key(pair->key);
    if (!c->key)
        return tls_refuse(fault, "the key file holds no private key that can be read (without a "
                                 "passphrase)");
    if (!X509_check_private_key(c->leaf, c->key)) {
        ERR_clear_error();
        return tls_refuse(fault, "the key does not belong to the certificate");
    }
    if (pair->staple.n && !read_staple(pair->staple, &c->staple_until))
        return tls_refuse(fault, "the OCSP response is none that tells the certificate's status");
    if (pair->staple.n)
        c->staple = slice_of(mem_dup(pair->staple.p, pair->staple.n), pair->staple.n);
    return true;
}

struct tls_cert *tls_cert_new(const struct tls_pair *pair, struct tls_fault *fault)
{
    struct tls_cert *c = mem_zalloc(sizeof(*c));
    int place = fault->pair;
    if (!read_pair(c, pair, fault)) {
        fault->pair = place;
        tls_cert_free(c);
        return NULL;
    }
    read_names(c);
    return c;
}

enum { SOON_DAYS = 14 };

static void doubt_dates(const struct tls_cert *c, int pair, tls_warn_fn *warn, void *ctx)
{
    char what[120];
    int days = 0, seconds = 0;
    if (X509_cmp_current_time(X509_get0_notBefore(c->leaf)) > 0)
        warn(ctx, pair, "the certificate is not valid yet");
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(c->leaf)))
        return;
    if (days < 0 || seconds < 0)
        snprintf(what, sizeof(what), "the certificate has expired");
    else if (days < SOON_DAYS)
        snprintf(what, sizeof(what), "the certificate expires in %d day%s", days,
                 days == 1 ? "" : "s");
    else
        return;
    warn(ctx, pair, what);
}

static void doubt_chain(const struct tls_cert *c, int pair, tls_warn_fn *warn, void *ctx)
{
    X509 *below = c->leaf;
    for (int i = 0; i < sk_X509_num(c->chain); i++) {
        X509 *above = sk_X509_value(c->chain, i);
        char what[120];
        snprintf(
            what, sizeof(what),
            "certificate %d of the file did not sign the one before it: clients may not trust it",
            i + 2);
        if (X509_check_issued(above, below) != X509_V_OK)
            warn(ctx, pair, what);
        below = above;
    }
}

void tls_cert_doubt(const struct tls_cert *c, int pair, tls_warn_fn *warn, void *ctx)
{
    if (!c->name_count)
        warn(ctx, pair, "the certificate is for no host name");
    doubt_dates(c, pair, warn, ctx);
    doubt_chain(c, pair, warn, ctx);
    if (c->staple_until && c->staple_until <= loop_wall_s())
        warn(ctx, pair, "the OCSP response is out of date, so it is not passed on");
}

bool tls_cert_use(const struct tls_cert *c, SSL_CTX *ctx)
{
    if (SSL_CTX_use_certificate(ctx, c->leaf) != 1 || SSL_CTX_use_PrivateKey(ctx, c->key) != 1)
        return false;
    for (int i = 0; i < sk_X509_num(c->chain); i++)
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(c->chain, i)) != 1)
            return false;
    return true;
}

void tls_cert_free(struct tls_cert *c)
{
    for (uint32_t i = 0; i < c->name_count; i++)
        free(c->names[i]);
    free(c->names);
    free((char *)(uintptr_t)c->staple.p);
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    free(c);
}
