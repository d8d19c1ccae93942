/* The only thing bodies travel in: a bounded queue of memory pieces, file ranges and pipes.
 *
 * A chain does no I/O and owns what it names: a memory piece holds a reference on its buf, a file
 * or pipe piece one on its source. chain_room() is the back-pressure: whoever fills a chain stops
 * when it answers 0, and goes on when the other end has taken something out.
 *
 * Small pieces are copied together so that a peer who sends one-byte chunks cannot pin a buf for
 * each; larger ones are referred to where they lie.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_CHAIN_H
#define BASE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/slice.h"

enum { CHAIN_COPY_MAX = 2048 }; /* pieces up to this size are copied when the tail has room */

/* A descriptor that links refer to: a file to send from, or a pipe filled by splice. */
struct source {
    int fd;
    uint32_t refs;
    size_t waiting;                /* LINK_PIPE: bytes in it */
    void (*free)(struct source *); /* called when the last reference goes */
};

enum link_kind { LINK_MEM, LINK_FILE, LINK_PIPE };

struct link {
    struct link *next;
    enum link_kind kind;
    struct buf *buf; /* LINK_MEM: what keeps p alive; NULL for memory that outlives the chain */
    union {
        const char *p; /* LINK_MEM */
        struct {
            struct source *source; /* LINK_FILE, LINK_PIPE */
            off_t offset;          /* LINK_FILE */
        };
    };
    size_t n;
};

struct chain {
    struct link *head, *tail;
    struct buf_pool *pool;
    size_t bytes;
    size_t window; /* chain_room() answers 0 from here on */
};

void chain_init(struct chain *c, struct buf_pool *pool, size_t window);
void chain_clear(struct chain *c);           /* drops everything; usable afterwards */
void chain_pool_trim(struct buf_pool *pool); /* gives spare links back to malloc */

static inline size_t chain_room(const struct chain *c)
{
    return c->bytes < c->window ? c->window - c->bytes : 0;
}

static inline bool chain_is_empty(const struct chain *c)
{
    return c->bytes == 0;
}

/* Appends bytes that lie in b (refers to b, or copies when short). Ignores empty data. */
void chain_put(struct chain *c, struct buf *b, struct slice data);
/* Appends a copy. */
void chain_copy(struct chain *c, struct slice data);
/* Appends memory that outlives the chain: literals, or what lies in the exchange's arena. */
void chain_put_static(struct chain *c, struct slice data);
/* Appends n bytes of a file from offset; takes a reference on source. */
void chain_put_file(struct chain *c, struct source *source, off_t offset, size_t n);
/* Appends n bytes that wait in a pipe; takes a reference on source. */
void chain_put_pipe(struct chain *c, struct source *source, size_t n);

/* n contiguous writable bytes at the end (n <= BUF_LARGE). chain_commit must follow before anything
 * else happens to the chain, and says how many were used: at least one. */
char *chain_reserve(struct chain *c, size_t n) __attribute__((returns_nonnull));
void chain_commit(struct chain *c, size_t n);

/* Moves up to max bytes from the front of src to the end of dst; pipes move whole or not at all
 * unless they are at most max. Answers what was moved. */
size_t chain_move(struct chain *dst, struct chain *src, size_t max);
/* Appends what src holds, which keeps it: both refer to the same bytes. False, and nothing done, if
 * src has a pipe in it, whose bytes can be had once only. */
bool chain_share(struct chain *dst, const struct chain *src);
/* Has the first n bytes (at most BUF_LARGE, and all in memory) lie in one piece. */
void chain_gather(struct chain *c, size_t n);
/* Removes n bytes from the front: they have been sent. */
void chain_drop(struct chain *c, size_t n);
/* The leading memory pieces as iovecs; answers their count (0: empty, or a file or pipe is next).
 */
int chain_iov(const struct chain *c, struct iovec *iov, int max);

static inline void source_ref(struct source *s)
{
    s->refs++;
}

static inline void source_unref(struct source *s)
{
    if (--s->refs == 0)
        s->free(s);
}

#define chain_each(it, c) for (const struct link *it = (c)->head; it; it = it->next)

#endif
