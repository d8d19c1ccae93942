/* Cleanup at the end of a scope. For configuration load, spawn set-up, admin and tests only: in
 * event code lifetimes outlive the scope and these would lie. Always initialise; hand ownership
 * on with take(); never use goto in a function that uses them.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_AUTO_H
#define BASE_AUTO_H

#include <stdlib.h>
#include <unistd.h>

static inline void auto_free_(void *p)
{
    free(*(void **)p);
}

static inline void auto_close_(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define AUTO_FREE      __attribute__((cleanup(auto_free_)))
#define AUTO_CLOSE     __attribute__((cleanup(auto_close_)))
#define AUTO_UNREF(fn) __attribute__((cleanup(fn))) /* fn(T **) drops the reference if not NULL */

#define take(p)                                                                                    \
    ({                                                                                             \
        __auto_type taken_ = (p);                                                                  \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#endif
