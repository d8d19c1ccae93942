/* Records of TLS 1.3: as bytes from the network, and with contents that the peer has sealed.
 * SPDX-License-Identifier: MIT */
#include "net/tls_record.h"
#include "fuzz.h"

static const unsigned char secrets[2][32] = {"the secret of the client's end.",
                                             "that of the server's end."};

static struct tls_crypt crypt_of_peer, crypt_of_ours;

static struct tls_record make(bool is_client, uint8_t choice)
{
    struct tls_record r = {0};
    tls_record_take_secret(&r.out, secrets[is_client], sizeof(secrets[0]));
    tls_record_take_secret(&r.in, secrets[!is_client], sizeof(secrets[0]));
    HOLDS(tls_record_begin(&crypt_of_ours, &r, choice & 1 ? 0x1303 : 0x1301));
    return r;
}

/* Opens a copy that ends where its memory does. */
static enum tls_opened open_copy(struct tls_record *r, struct slice record, char **plain, size_t *n)
{
    uint8_t alert = 0;
    char *copy = malloc(record.n), *out = malloc(tls_record_room(record) + 1);
    memcpy(copy, record.p, record.n);
    enum tls_opened opened =
        tls_record_open(&crypt_of_ours, r, slice_of(copy, record.n), out, n, &alert);
    HOLDS(*n <= TLS_PLAIN_MAX && *n <= tls_record_room(record));
    HOLDS(opened == TLS_OPENED_DATA || *n == 0);
    free(copy);
    *plain = out;
    return opened;
}

static void try_raw(struct tls_record *r, struct slice in)
{
    char *plain;
    size_t n, bytes = tls_record_bytes(in);
    if (!bytes || bytes > in.n)
        return;
    HOLDS(open_copy(r, slice_first(in, bytes), &plain, &n) == TLS_OPENED_BAD);
    free(plain);
}

/* One record of the peer's: its type, and what it holds. */
static bool try_sealed(struct tls_record *peer, struct tls_record *r, uint8_t type, struct slice in)
{
    static char wire[TLS_PLAIN_MAX + TLS_RECORD_EXTRA + TLS_UPDATE_BYTES];
    char *plain;
    size_t n;
    size_t sealed = tls_record_seal(&crypt_of_peer, peer, type, in.p, in.n, wire);
    HOLDS(sealed == in.n + TLS_RECORD_EXTRA);
    enum tls_opened opened = open_copy(r, slice_of(wire, sealed), &plain, &n);
    if (type == TLS_DATA && opened != TLS_OPENED_BAD) {
        HOLDS(n == in.n && (n == 0 || memcmp(plain, in.p, n) == 0));
    }
    free(plain);
    return opened == TLS_OPENED_DATA;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    struct slice in = slice_of((const char *)data + 1, n - 1);
    tls_crypt_init(&crypt_of_peer);
    tls_crypt_init(&crypt_of_ours);
    struct tls_record peer = make(true, data[0]), ours = make(false, data[0]);
    if (data[0] & 2)
        try_raw(&ours, in);
    bool goes_on = !(data[0] & 2);
    while (goes_on && in.n >= 2) {
        uint8_t type = (uint8_t)in.p[0], bytes = (uint8_t)in.p[1];
        struct slice body = slice_first(slice_skip(in, 2), bytes < in.n - 2 ? bytes : in.n - 2);
        goes_on = try_sealed(&peer, &ours, type, body);
        in = slice_skip(in, 2 + body.n);
    }
    tls_crypt_fini(&crypt_of_peer);
    tls_crypt_fini(&crypt_of_ours);
    return 0;
}
