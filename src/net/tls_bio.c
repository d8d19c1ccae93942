/* OpenSSL's view of the socket: memory that the loop's streams share, filled by the read before and
 * emptied by the write after.
 * SPDX-License-Identifier: MIT */
#include "net/tls_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int bio_read(BIO *bio, char *p, int n)
{
    struct tls *t = BIO_get_data(bio);
    struct tls_loop *tl = tls_loop_of(t->stream);
    size_t left = (size_t)(tl->end - tl->in);
    size_t take = (size_t)n < left ? (size_t)n : left;
    BIO_clear_retry_flags(bio);
    if (!take) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(p, tl->in, take);
    tl->in += take;
    return (int)take;
}

static int bio_write(BIO *bio, const char *p, int n)
{
    struct tls *t = BIO_get_data(bio);
    struct tls_loop *tl = tls_loop_of(t->stream);
    BIO_clear_retry_flags(bio);
    if ((size_t)n > TLS_OUT_BYTES - tl->used)
        return -1;
    memcpy(tl->out + tl->used, p, (size_t)n);
    tl->used += (size_t)n;
    return n;
}

static long bio_ctrl(BIO *bio, int what, long n, void *p)
{
    (void)bio;
    (void)n;
    (void)p;
    return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (!bio_method)
        abort();
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

BIO *tls_bio_new(struct tls *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);
    BIO *bio = BIO_new(bio_method);
    if (!bio)
        abort();
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    return bio;
}
