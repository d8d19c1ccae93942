/* Linux encrypts what is sent: TLS 1.3's sending half is handed to the socket, after which plain
 * writes and sendfile go out as records. Receiving stays ours.
 *
 * There is no way back, and kernels before 6.14 cannot change the key: a connection that owes a
 * KeyUpdate, or has worn its key out, has to end.
 * SPDX-License-Identifier: MIT */
#ifndef NET_TLS_KERNEL_H
#define NET_TLS_KERNEL_H

#include <linux/tls.h>

#include "net/tls_record.h"

union tls_kernel_info {
    struct tls_crypto_info head;
    struct tls12_crypto_info_aes_gcm_128 aes128;
    struct tls12_crypto_info_aes_gcm_256 aes256;
    struct tls12_crypto_info_chacha20_poly1305 chacha;
};

/* What the kernel wants to know of r's sending half. Bytes of it. Pure. */
size_t tls_kernel_describe(const struct tls_record *r, union tls_kernel_info *info);

/* Everything sealed so far is with the socket. True: the kernel seals from here on. False: it
 * cannot, and nothing has changed. */
bool tls_kernel_take(int fd, const struct tls_record *r);

/* 0 or -errno. */
int tls_kernel_alert(int fd, const unsigned char message[2]);

/* Whether the kernel has passed on to TCP all it took, or will when the socket is closed: it may
 * keep the last record to itself while the socket is full, and drops it if that is closed then. If
 * not, an event comes when it has. */
bool tls_kernel_is_flushed(int fd);

/* What sendfile has left in TCP in wait for more goes out: without it a socket whose buffer is
 * smaller than a record never becomes writable. */
void tls_kernel_push(int fd);

#endif
