/* What the files of the pool share: its lock, and what happens under it.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_POOL_INTERNAL_H
#define POOL_POOL_INTERNAL_H

#include "pool/pool.h"

/* Waits for it, ready to give the processor away: where there are more threads than processors, who
 * holds it may have been stopped. */
void pool_lock_slowly_(struct pool *p);
static inline void pool_lock(struct pool *p)
{
    if (__builtin_expect(pthread_spin_trylock(&p->lock) != 0, 0))
        pool_lock_slowly_(p);
}

/* Releases the lock, then logs and posts what was noted under it. */
void pool_tell_(struct pool *p);
static inline void pool_unlock(struct pool *p)
{
    if (__builtin_expect(p->has_news, 0))
        pool_tell_(p);
    else
        pthread_spin_unlock(&p->lock);
}

/* Threads look at the clock at different moments: what came later may carry an earlier time. */
static inline uint64_t pool_passed(uint64_t from_us, uint64_t now_us)
{
    return now_us > from_us ? now_us - from_us : 0;
}

static inline uint64_t pool_now_us(const struct pool *p, uint32_t worker)
{
    return p->workers[worker].loop->now_us;
}

/* Hundredths of retries. */
enum {
    POOL_RETRY_COST = 100,
    POOL_RETRY_START = 100 * POOL_RETRY_COST,
    POOL_RETRY_MAX = 1000 * POOL_RETRY_COST,
};

/* ---- with the lock held ---- */

/* A backend with room for another connection, or (use_idle) an idle one of this worker, or
 * (use_lanes) a lane; NULL: none. */
struct backend *pool_choose(struct pool *p, uint32_t worker, bool use_idle, bool use_lanes,
                            const struct demand *d, uint64_t now_us);
/* The backend that the request's cookie names, or that an answer has named, as long as it serves at
 * all. */
struct backend *pool_find_stuck(const struct pool *p, const struct demand *d);
/* Why none was chosen: PICK_WAIT if there is a backend to wait for. */
enum pick pool_why_none(const struct pool *p, const struct demand *d);
/* There are n lanes more for the worker to promise. */
void pool_change_lanes(struct pool *p, struct backend *b, uint32_t worker, int32_t n);
void pool_promise_lane(struct pool *p, struct backend *b, uint32_t worker);

/* The only writer of a backend's state. why: a literal. */
void backend_enter(struct pool *p, struct backend *b, enum backend_state state, const char *why,
                   uint64_t now_us);
/* Makes the sums over the backends anew. */
void pool_recount(struct pool *p);
/* What an attempt has shown. */
void health_note(struct pool *p, struct backend *b, const struct pool_outcome *o, uint64_t now_us);
/* Takes a backend that is down and whose time has come for a trial with this request. */
struct backend *health_trial(struct pool *p, const struct demand *d, const struct choice *c);
/* Gives slots that are free to those who wait, asks workers for idle connections where none is, and
 * refuses those who wait in vain. */
void pool_serve(struct pool *p, uint64_t now_us);
/* Who gets the next slot of the backend; NULL: nobody wants it. */
struct waiter *pool_first_waiter(struct pool *p, const struct backend *b);
/* Whether an idle connection of the backend is of use. */
bool pool_is_worth_parking(const struct pool *p, const struct backend *b);
/* Puts the workers that have idle connections to see to on a list. */
void pool_find_tidiers(struct pool *p, struct list *tidiers);
/* A slot is taken, or given back; the caller holds a reference on the backend. */
void pool_open_slot(struct pool *p, struct backend *b);
void pool_close_slot(struct pool *p, struct backend *b);

#endif
