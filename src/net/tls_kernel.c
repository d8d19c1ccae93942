/* SPDX-License-Identifier: MIT */
#include "net/tls_kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

enum {
    SALT = 4, /* the front of an AES-GCM nonce; ChaCha20's has none */
};

static void put_seq(unsigned char out[8], uint64_t seq)
{
    for (int i = 0; i < 8; i++)
        out[7 - i] = (unsigned char)(seq >> (8 * i));
}

static size_t describe_aes128(const struct tls_half *h, struct tls12_crypto_info_aes_gcm_128 *info)
{
    info->info.cipher_type = TLS_CIPHER_AES_GCM_128;
    memcpy(info->key, h->key, sizeof(info->key));
    memcpy(info->salt, h->iv, SALT);
    memcpy(info->iv, h->iv + SALT, sizeof(info->iv));
    put_seq(info->rec_seq, h->seq);
    return sizeof(*info);
}

static size_t describe_aes256(const struct tls_half *h, struct tls12_crypto_info_aes_gcm_256 *info)
{
    info->info.cipher_type = TLS_CIPHER_AES_GCM_256;
    memcpy(info->key, h->key, sizeof(info->key));
    memcpy(info->salt, h->iv, SALT);
    memcpy(info->iv, h->iv + SALT, sizeof(info->iv));
    put_seq(info->rec_seq, h->seq);
    return sizeof(*info);
}

static size_t describe_chacha(const struct tls_half *h,
                              struct tls12_crypto_info_chacha20_poly1305 *info)
{
    info->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
    memcpy(info->key, h->key, sizeof(info->key));
    memcpy(info->iv, h->iv, sizeof(info->iv));
    put_seq(info->rec_seq, h->seq);
    return sizeof(*info);
}

size_t tls_kernel_describe(const struct tls_record *r, union tls_kernel_info *info)
{
    memset(info, 0, sizeof(*info));
    info->head.version = TLS_1_3_VERSION;
    switch (r->suite) {
    case 0x1301: return describe_aes128(&r->out, &info->aes128);
    case 0x1302: return describe_aes256(&r->out, &info->aes256);
    case 0x1303: return describe_chacha(&r->out, &info->chacha);
    }
    return 0;
}

/* Kernels without TLS are not asked again. */
static atomic_bool is_absent;

static void note_absence(int error)
{
    if (error == ENOENT && !atomic_exchange(&is_absent, true))
        log_info(0, "the kernel does not offer TLS (kernel on; modprobe tls): it is done without");
}

bool tls_kernel_take(int fd, const struct tls_record *r)
{
    union tls_kernel_info info;
    if (atomic_load_explicit(&is_absent, memory_order_relaxed))
        return false;
    if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) < 0) {
        note_absence(errno);
        return false;
    }
    size_t n = tls_kernel_describe(r, &info);
    bool is_taken = n && setsockopt(fd, SOL_TLS, TLS_TX, &info, (socklen_t)n) == 0;
    explicit_bzero(&info, sizeof(info));
    return is_taken;
}

int tls_kernel_alert(int fd, const unsigned char message[2])
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(1)];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)message, 2};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_TLS;
    c->cmsg_type = TLS_SET_RECORD_TYPE;
    c->cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(c) = TLS_ALERT;
    return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

bool tls_kernel_is_flushed(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1;
}

void tls_kernel_push(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}
