/* recv and send for descriptors that never block. The functions of libc are points where a thread
 * may be cancelled and say so before and after with an atomic operation; nobody cancels a thread
 * here. Sanitizers want to see the calls, so they get libc's.
 * SPDX-License-Identifier: MIT */
#ifndef NET_DIRECT_H
#define NET_DIRECT_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#define DIRECT_SANITIZED                                                                           \
    (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                        \
     __has_feature(memory_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DIRECT_SANITIZED 1
#else
#define DIRECT_SANITIZED 0
#endif

#if DIRECT_SANITIZED || !defined(SYS_recvfrom) || !defined(SYS_sendto)

static inline ssize_t direct_recv(int fd, void *p, size_t n, int flags)
{
    return recv(fd, p, n, flags);
}

static inline ssize_t direct_send(int fd, const void *p, size_t n, int flags)
{
    return send(fd, p, n, flags);
}

#else

static inline ssize_t direct_recv(int fd, void *p, size_t n, int flags)
{
    return syscall(SYS_recvfrom, fd, p, n, flags, NULL, NULL);
}

static inline ssize_t direct_send(int fd, const void *p, size_t n, int flags)
{
    return syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

#endif

#endif
