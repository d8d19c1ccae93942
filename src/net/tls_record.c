/* SPDX-License-Identifier: MIT */
#include "net/tls_record.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls_hkdf.h"

enum {
    TAG = 16,
    IDLE_RECORDS_MAX = 32, /* empty ones and key updates in a row: nobody has a use for more */
    KEY_UPDATE = 24,       /* RFC 8446 4.6.3 */
    KEY_UPDATE_BYTES = 5,
};

/* RFC 8446 5.5: a key of AES-GCM is good for 2^24.5 full records. */
static const uint64_t RECORDS_MAX = UINT64_C(1) << 24;

/* ---- suites ---- */

struct suite {
    uint16_t id;
    const char *cipher, *digest_name;
    uint8_t key_bytes;
    EVP_CIPHER *fetched;
    const struct tls_digest *digest;
};

static struct suite suites[] = {
    {0x1301, "AES-128-GCM", "SHA2-256", 16, NULL, NULL},
    {0x1302, "AES-256-GCM", "SHA2-384", 32, NULL, NULL},
    {0x1303, "ChaCha20-Poly1305", "SHA2-256", 32, NULL, NULL},
};

static void fetch_all(void)
{
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        suites[i].fetched = EVP_CIPHER_fetch(NULL, suites[i].cipher, NULL);
        suites[i].digest = tls_digest_find(suites[i].digest_name);
    }
}

static const struct suite *find_suite(uint16_t id)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch_all);
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
        if (suites[i].id == id && suites[i].fetched && suites[i].digest)
            return &suites[i];
    return NULL;
}

/* ---- keys ---- */

static bool expand(struct tls_crypt *c, const struct suite *suite, const struct tls_half *h,
                   struct slice label, unsigned char *out, size_t n)
{
    struct slice secret = slice_of((const char *)h->secret, suite->digest->bytes);
    return tls_hkdf_expand(c->digest, suite->digest, secret, label, SLICE_NONE, out, n);
}

static bool make_keys(struct tls_crypt *c, const struct suite *suite, struct tls_half *h)
{
    h->seq = 0;
    return expand(c, suite, h, SLICE("key"), h->key, suite->key_bytes) &&
           expand(c, suite, h, SLICE("iv"), h->iv, sizeof(h->iv));
}

/* RFC 8446 7.2. */
static bool next_keys(struct tls_crypt *c, const struct suite *suite, struct tls_half *h)
{
    unsigned char next[TLS_SECRET_MAX];
    if (!expand(c, suite, h, SLICE("traffic upd"), next, suite->digest->bytes))
        return false;
    memcpy(h->secret, next, suite->digest->bytes);
    OPENSSL_cleanse(next, sizeof(next));
    return make_keys(c, suite, h);
}

void tls_record_take_secret(struct tls_half *h, const void *secret, size_t n)
{
    if (n > TLS_SECRET_MAX)
        return;
    memcpy(h->secret, secret, n);
    h->secret_bytes = (uint8_t)n;
}

bool tls_record_begin(struct tls_crypt *c, struct tls_record *r, uint16_t id)
{
    const struct suite *suite = find_suite(id);
    if (!suite || r->in.secret_bytes != suite->digest->bytes ||
        r->out.secret_bytes != suite->digest->bytes)
        return false;
    r->suite = id;
    return make_keys(c, suite, &r->in) && make_keys(c, suite, &r->out);
}

/* ---- contexts ---- */

void tls_crypt_init(struct tls_crypt *c)
{
    *c = (struct tls_crypt){
        .seal = EVP_CIPHER_CTX_new(), .open = EVP_CIPHER_CTX_new(), .digest = EVP_MD_CTX_new()};
    if (!c->seal || !c->open || !c->digest)
        abort();
}

void tls_crypt_fini(struct tls_crypt *c)
{
    EVP_CIPHER_CTX_free(c->seal);
    EVP_CIPHER_CTX_free(c->open);
    EVP_MD_CTX_free(c->digest);
}

void tls_crypt_forget(struct tls_crypt *c, const struct tls_record *r)
{
    if (c->sealer == &r->out)
        c->sealer = NULL;
    if (c->opener == &r->in)
        c->opener = NULL;
}

/* RFC 8446 5.3. */
static void put_nonce(const struct tls_half *h, unsigned char nonce[12])
{
    memcpy(nonce, h->iv, 12);
    for (int i = 0; i < 8; i++)
        nonce[11 - i] ^= (unsigned char)(h->seq >> (8 * i));
}

/* With the half's key in it and the nonce of its next record. */
static bool ready(EVP_CIPHER_CTX *ctx, const struct tls_half **owner, const struct tls_half *h,
                  const struct suite *suite, int sealing)
{
    unsigned char nonce[12];
    bool is_set = *owner == h && h->seq > 0;
    put_nonce(h, nonce);
    *owner = h;
    return EVP_CipherInit_ex(ctx, is_set ? NULL : suite->fetched, NULL, is_set ? NULL : h->key,
                             nonce, sealing) == 1;
}

/* ---- sealing ---- */

static void put_head(unsigned char *p, size_t cipher_bytes)
{
    p[0] = TLS_DATA;
    p[1] = 3;
    p[2] = 3;
    p[3] = (unsigned char)(cipher_bytes >> 8);
    p[4] = (unsigned char)cipher_bytes;
}

static size_t seal(struct tls_crypt *c, struct tls_half *h, const struct suite *suite,
                   enum tls_content type, const void *p, size_t n, char *out)
{
    unsigned char *to = (unsigned char *)out, inner = (unsigned char)type;
    int len = 0;
    put_head(to, n + 1 + TAG);
    bool ok =
        ready(c->seal, &c->sealer, h, suite, 1) &&
        EVP_EncryptUpdate(c->seal, NULL, &len, to, TLS_RECORD_HEAD) == 1 &&
        (!n || EVP_EncryptUpdate(c->seal, to + TLS_RECORD_HEAD, &len, p, (int)n) == 1) &&
        EVP_EncryptUpdate(c->seal, to + TLS_RECORD_HEAD + n, &len, &inner, 1) == 1 &&
        EVP_EncryptFinal_ex(c->seal, to + TLS_RECORD_HEAD + n + 1, &len) == 1 &&
        EVP_CIPHER_CTX_ctrl(c->seal, EVP_CTRL_AEAD_GET_TAG, TAG, to + TLS_RECORD_HEAD + n + 1) == 1;
    h->seq++;
    return ok ? n + TLS_RECORD_EXTRA : 0;
}

/* Bytes of the KeyUpdate; 0: OpenSSL failed. */
static size_t update_keys(struct tls_crypt *c, struct tls_record *r, const struct suite *suite,
                          char *out)
{
    static const unsigned char message[KEY_UPDATE_BYTES] = {KEY_UPDATE, 0, 0, 1, 0};
    size_t n = seal(c, &r->out, suite, TLS_HANDSHAKE, message, sizeof(message), out);
    r->owes_update = false;
    c->sealer = NULL;
    return next_keys(c, suite, &r->out) ? n : 0;
}

bool tls_record_is_worn(const struct tls_record *r)
{
    return r->out.seq >= RECORDS_MAX;
}

size_t tls_record_seal(struct tls_crypt *c, struct tls_record *r, enum tls_content type,
                       const void *p, size_t n, char *out)
{
    const struct suite *suite = find_suite(r->suite);
    size_t before = 0;
    if (r->owes_update || tls_record_is_worn(r)) {
        before = update_keys(c, r, suite, out);
        if (!before)
            return 0;
    }
    size_t sealed = seal(c, &r->out, suite, type, p, n, out + before);
    return sealed ? before + sealed : 0;
}

/* ---- opening ---- */

static size_t cipher_bytes(struct slice in)
{
    const unsigned char *p = (const unsigned char *)in.p;
    return (size_t)p[3] << 8 | p[4];
}

size_t tls_record_bytes(struct slice in)
{
    return in.n < TLS_RECORD_HEAD ? 0 : TLS_RECORD_HEAD + cipher_bytes(in);
}

size_t tls_record_room(struct slice record)
{
    return record.n > TLS_RECORD_HEAD + TAG ? record.n - TLS_RECORD_HEAD - TAG : 0;
}

static enum tls_opened bad(uint8_t *alert, enum tls_alert what)
{
    *alert = (uint8_t)what;
    return TLS_OPENED_BAD;
}

static bool decipher(struct tls_crypt *c, struct tls_half *h, const struct suite *suite,
                     struct slice record, char *out)
{
    const unsigned char *from = (const unsigned char *)record.p;
    size_t n = tls_record_room(record);
    int len = 0;
    bool ok = ready(c->open, &c->opener, h, suite, 0) &&
              EVP_DecryptUpdate(c->open, NULL, &len, from, TLS_RECORD_HEAD) == 1 &&
              EVP_CIPHER_CTX_ctrl(c->open, EVP_CTRL_AEAD_SET_TAG, TAG,
                                  (void *)(uintptr_t)(from + TLS_RECORD_HEAD + n)) == 1 &&
              EVP_DecryptUpdate(c->open, (unsigned char *)out, &len, from + TLS_RECORD_HEAD,
                                (int)n) == 1 &&
              EVP_DecryptFinal_ex(c->open, (unsigned char *)out + n, &len) == 1;
    h->seq++;
    return ok;
}

/* RFC 8446 4.6.3, 5.1: alone in its record, for keys change behind it. */
static enum tls_opened on_handshake(struct tls_crypt *c, struct tls_record *r,
                                    const struct suite *suite, const char *p, size_t n,
                                    uint8_t *alert)
{
    static const char head[] = {KEY_UPDATE, 0, 0, 1};
    if (n != KEY_UPDATE_BYTES || memcmp(p, head, sizeof(head)) != 0)
        return bad(alert, TLS_UNEXPECTED_MESSAGE);
    if (p[4] != 0 && p[4] != 1)
        return bad(alert, 47); /* illegal_parameter */
    c->opener = NULL;
    r->owes_update |= p[4] == 1;
    return next_keys(c, suite, &r->in) ? TLS_OPENED_NOTHING : bad(alert, TLS_INTERNAL_ERROR);
}

static enum tls_opened on_alert(const char *p, size_t n, uint8_t *alert)
{
    if (n != 2)
        return bad(alert, TLS_DECODE_ERROR);
    *alert = (uint8_t)p[1];
    return *alert == TLS_CLOSE_NOTIFY ? TLS_OPENED_CLOSE : TLS_OPENED_ALERT;
}

enum tls_opened tls_record_open(struct tls_crypt *c, struct tls_record *r, struct slice record,
                                char *out, size_t *n, uint8_t *alert)
{
    const struct suite *suite = find_suite(r->suite);
    *n = 0;
    if ((unsigned char)record.p[0] != TLS_DATA)
        return bad(alert, TLS_UNEXPECTED_MESSAGE);
    if (cipher_bytes(record) > TLS_CIPHER_MAX)
        return bad(alert, TLS_RECORD_OVERFLOW);
    if (tls_record_room(record) == 0 || !decipher(c, &r->in, suite, record, out))
        return bad(alert, TLS_BAD_RECORD_MAC);
    size_t end = tls_record_room(record);
    while (end && out[end - 1] == 0)
        end--;
    if (!end)
        return bad(alert, TLS_UNEXPECTED_MESSAGE); /* RFC 8446 5.4: nothing but padding */
    unsigned char type = (unsigned char)out[--end];
    if (end > TLS_PLAIN_MAX)
        return bad(alert, TLS_RECORD_OVERFLOW);
    r->idle_records = type == TLS_DATA && end ? 0 : r->idle_records + 1;
    if (r->idle_records > IDLE_RECORDS_MAX)
        return bad(alert, TLS_UNEXPECTED_MESSAGE);
    switch (type) {
    case TLS_DATA: *n = end; return TLS_OPENED_DATA;
    case TLS_HANDSHAKE: return on_handshake(c, r, suite, out, end, alert);
    case TLS_ALERT: return on_alert(out, end, alert);
    }
    return bad(alert, TLS_UNEXPECTED_MESSAGE);
}
