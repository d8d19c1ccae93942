/* Session tickets (RFC 5077, RFC 8446 4.6.1): the server's state travels with the client, sealed by
 * a key that only we have. Keys live in this process alone; a restart makes all tickets useless,
 * which costs clients one full handshake.
 * SPDX-License-Identifier: MIT */
#include "net/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

enum { KEYS = 3, NAME = 16, CIPHER_KEY = 32, MAC_KEY = 32, IV = 16 };

struct ticket_key {
    unsigned char name[NAME], cipher[CIPHER_KEY], mac[MAC_KEY];
};

/* keys[0] seals; it and those before it open. */
struct tls_tickets {
    pthread_mutex_t lock;
    uint64_t rotate_us;
    uint64_t made_us; /* keys[0] */
    unsigned count;
    struct ticket_key keys[KEYS];
};

/* With the lock held. */
static void make_key(struct tls_tickets *t, uint64_t now_us)
{
    memmove(&t->keys[1], &t->keys[0], (KEYS - 1) * sizeof(t->keys[0]));
    if (RAND_bytes((unsigned char *)&t->keys[0], sizeof(t->keys[0])) != 1)
        abort();
    t->made_us = now_us;
    t->count = t->count < KEYS ? t->count + 1 : KEYS;
}

static void rotate(struct tls_tickets *t)
{
    uint64_t now_us = loop_clock_us();
    if (now_us - t->made_us >= KEYS * t->rotate_us)
        t->count = 0; /* nobody came for so long: all are too old */
    if (t->count == 0 || now_us - t->made_us >= t->rotate_us)
        make_key(t, now_us);
}

struct tls_tickets *tls_tickets_new(uint32_t rotate_ms)
{
    struct tls_tickets *t = mem_zalloc(sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    t->rotate_us = rotate_ms * UINT64_C(1000);
    rotate(t);
    return t;
}

void tls_tickets_free(struct tls_tickets *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t, sizeof(*t));
    free(t);
}

/* The key to seal with; or the one of this name. False: it is unknown. */
static bool find_key(struct tls_tickets *t, const unsigned char *name, struct ticket_key *key,
                     bool *is_newest)
{
    bool found = false;
    pthread_mutex_lock(&t->lock);
    rotate(t);
    for (unsigned i = 0; i < t->count && !found; i++) {
        found = !name || memcmp(t->keys[i].name, name, NAME) == 0;
        *key = t->keys[i];
        *is_newest = i == 0;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, MAC_KEY),
        OSSL_PARAM_END,
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0: no such key, 1: fine, 2: fine, and to be renewed. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key key;
    bool is_newest = true;
    if (!find_key(t, sealing ? NULL : name, &key, &is_newest))
        return 0;
    bool ok = set_mac(mac, &key);
    if (sealing) {
        memcpy(name, key.name, NAME);
        ok = ok && RAND_bytes(iv, IV) == 1;
    }
    ok = ok && EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv, sealing) == 1;
    OPENSSL_cleanse(&key, sizeof(key));
    bool is_used_up = !sealing && (!is_newest || SSL_version(ssl) == TLS1_3_VERSION);
    return !ok ? -1 : is_used_up ? 2 : 1;
}

bool tls_tickets_install(SSL_CTX *ctx, struct tls_tickets *t)
{
    SSL_CTX_set_app_data(ctx, t);
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1;
}
