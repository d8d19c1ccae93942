/* What OpenSSL asks us for during a server's handshake: the secrets of TLS 1.3, by a provider (see
 * provider(7)) with one algorithm, the KDF of its key schedule.
 *
 * It tells us the traffic secrets, which the record layer goes on with (net/tls_record.h): OpenSSL
 * says them by itself only in a log of keys, written byte by byte in hexadecimal digits. And it is
 * cheaper than OpenSSL's (net/tls_hkdf.h). SPDX-License-Identifier: MIT */
#ifndef NET_TLS_PROVIDER_H
#define NET_TLS_PROVIDER_H

#include "net/tls_record.h"

/* The query for a context whose handshakes are to use it: it prefers what is ours and takes all
 * else as ever. NULL: OpenSSL does not take the provider; handshakes work, and secrets are not
 * told. */
const char *tls_provider_query(void);

/* Until it is called with NULL, secrets that this thread's handshake agrees on go into r. */
void tls_provider_tell(struct tls_crypt *c, struct tls_record *r);

#endif
