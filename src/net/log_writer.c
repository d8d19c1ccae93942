/* SPDX-License-Identifier: MIT */
#include "net/log_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

enum { OUTPUTS = 64, IOVS = 256, FILE_MODE = 0640, PATIENCE_MS = 2000, ALIGN = 8 };

/* What stands before a line in a lane. Records start at multiples of ALIGN, so that this one never
 * wraps around the end. */
struct record {
    uint32_t length;
    uint32_t output;
};
_Static_assert(sizeof(struct record) == ALIGN, "a record's head must not wrap");

/* Counts of bytes ever put and taken; the difference waits. The halves are on cache lines of their
 * own: the thread that puts and the one that takes do not disturb each other. */
struct lane {
    _Alignas(64) _Atomic uint64_t put;
    uint64_t taken_seen; /* what the putting thread last saw of taken */
    _Atomic uint64_t dropped;
    _Atomic bool owned; /* by a thread; else the next one may have it */
    _Alignas(64) _Atomic uint64_t taken;
    uint64_t dropped_told; /* how many of dropped have been reported */
    struct lane *next;
    struct log_writer *writer;
    char *bytes;
};

enum output_state { OUTPUT_FREE, OUTPUT_OPEN, OUTPUT_CLOSING };

struct log_output {
    struct log_writer *writer;
    uint32_t index;
    uint32_t users;          /* under control */
    enum output_state state; /* under control */
    char *path;
    _Atomic int fd;
    uint64_t lost; /* lines that could not be written; the writer's own, as is error */
    int error;     /* errno of the last write, 0 if it succeeded */
};

enum mood { AWAKE, ASLEEP };

struct log_writer {
    size_t lane_bytes;
    _Atomic(struct lane *) lanes; /* only ever prepended to */
    struct lane shared;           /* of the threads that have none, under shared_lock */
    pthread_mutex_t shared_lock;

    struct log_output outputs[OUTPUTS];
    pthread_mutex_t control; /* opening, closing, and waiting for a round to end */
    pthread_cond_t round_ended;
    bool ended;                          /* the thread is about to return; under control */
    uint64_t rounds;                     /* finished; under control */
    _Atomic(struct log_output *) errors; /* where drops are reported; where base/log goes */
    struct log_sink sink;

    sem_t wake;
    _Atomic enum mood mood;
    _Atomic bool hurry; /* a lane is half full, or somebody waits: the nap is cut short */
    _Atomic bool reopen;
    _Atomic bool stopping;
    pthread_t thread;
};

static _Thread_local struct lane *own_lane;

static int64_t wall_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static struct timespec in_ms(uint64_t ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += (time_t)(ms / 1000);
    ts.tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_nsec -= 1000000000;
        ts.tv_sec++;
    }
    return ts;
}

/* ---- putting ---- */

static void wake_early(struct log_writer *w)
{
    if (!atomic_load_explicit(&w->hurry, memory_order_relaxed) && !atomic_exchange(&w->hurry, true))
        sem_post(&w->wake);
}

/* Copies n bytes to a place in the lane, around its end if need be. */
static void copy_in(struct lane *l, uint64_t at, const void *from, size_t n)
{
    size_t size = l->writer->lane_bytes, start = at & (size - 1);
    size_t first = n < size - start ? n : size - start;
    memcpy(l->bytes + start, from, first);
    memcpy(l->bytes, (const char *)from + first, n - first);
}

static uint64_t record_size(uint64_t length)
{
    return (sizeof(struct record) + length + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

static bool has_room(struct lane *l, uint64_t put, uint64_t need)
{
    size_t size = l->writer->lane_bytes;
    if (put + need - l->taken_seen <= size)
        return true;
    l->taken_seen = atomic_load_explicit(&l->taken, memory_order_acquire);
    return put + need - l->taken_seen <= size;
}

static void lane_put(struct lane *l, uint32_t output, struct slice line)
{
    struct log_writer *w = l->writer;
    uint64_t put = atomic_load_explicit(&l->put, memory_order_relaxed);
    uint64_t need = record_size(line.n);
    if (need > w->lane_bytes || !has_room(l, put, need)) {
        atomic_fetch_add_explicit(&l->dropped, 1, memory_order_relaxed);
        wake_early(w);
        return;
    }
    struct record head = {.length = (uint32_t)line.n, .output = output};
    copy_in(l, put, &head, sizeof(head));
    copy_in(l, put + sizeof(head), line.p, line.n);
    /* Sequentially consistent, as are the writer's `mood = ASLEEP` and its look at the lanes
     * thereafter: either it sees this line, or we see it asleep. */
    atomic_store(&l->put, put + need);
    if (atomic_load(&w->mood) == ASLEEP && atomic_exchange(&w->mood, AWAKE) == ASLEEP)
        sem_post(&w->wake);
    if (put + need - l->taken_seen > w->lane_bytes / 2) {
        l->taken_seen = atomic_load_explicit(&l->taken, memory_order_acquire);
        if (put + need - l->taken_seen > w->lane_bytes / 2)
            wake_early(w);
    }
}

void log_writer_put(struct log_output *o, struct slice line)
{
    struct log_writer *w = o->writer;
    if (own_lane && own_lane->writer == w) {
        lane_put(own_lane, o->index, line);
        return;
    }
    pthread_mutex_lock(&w->shared_lock);
    lane_put(&w->shared, o->index, line);
    pthread_mutex_unlock(&w->shared_lock);
}

static log_write_fn put_to_errors;

static void put_to_errors(void *ctx, enum log_level level, struct slice line)
{
    (void)level;
    struct log_writer *w = ctx;
    struct log_output *o = atomic_load(&w->errors);
    if (o)
        log_writer_put(o, line);
}

/* ---- taking: the writer's thread ---- */

/* Lines of one output that lie one behind the other in a lane, on their way to one writev(). */
struct batch {
    struct log_output *output;
    struct iovec iov[IOVS];
    int count;
    unsigned lines;
};

/* Waits for a pipe or terminal somebody else made non-blocking, as long as we are not to end. */
static bool may_retry(const struct log_writer *w, int error)
{
    if (error == EINTR)
        return true;
    if (error != EAGAIN || atomic_load(&w->stopping))
        return false;
    struct timespec pause = {.tv_nsec = LOG_WRITER_NAP_MS * 1000000L};
    nanosleep(&pause, NULL);
    return true;
}

static void write_batch(struct log_writer *w, struct batch *b)
{
    struct iovec *iov = b->iov;
    int count = b->count;
    while (count) {
        ssize_t n = writev(atomic_load(&b->output->fd), iov, count);
        if (n < 0 && may_retry(w, errno))
            continue;
        b->output->error = n < 0 ? errno : 0;
        if (n < 0) {
            b->output->lost += b->lines;
            break;
        }
        while (count && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    b->count = 0;
    b->lines = 0;
}

static void add_iov(struct batch *b, char *p, size_t n)
{
    if (n)
        b->iov[b->count++] = (struct iovec){.iov_base = p, .iov_len = n};
}

/* A line that wraps around the end of its lane takes two. */
static void add_line(struct log_writer *w, struct batch *b, const struct lane *l, uint64_t at,
                     size_t n)
{
    size_t start = at & (w->lane_bytes - 1);
    size_t first = n < w->lane_bytes - start ? n : w->lane_bytes - start;
    add_iov(b, l->bytes + start, first);
    add_iov(b, l->bytes, n - first);
    b->lines++;
}

/* Room is given back batch by batch, so that a slow file stops only what is behind it. */
static bool drain_lane(struct log_writer *w, struct lane *l)
{
    struct batch b = {0};
    uint64_t taken = atomic_load_explicit(&l->taken, memory_order_relaxed);
    uint64_t put = atomic_load(&l->put);
    bool any = put != taken;
    while (taken != put) {
        struct record head;
        memcpy(&head, l->bytes + (taken & (w->lane_bytes - 1)), sizeof(head));
        struct log_output *o = &w->outputs[head.output];
        if (b.count && (b.output != o || b.count + 2 > IOVS)) {
            write_batch(w, &b);
            atomic_store_explicit(&l->taken, taken, memory_order_release);
        }
        b.output = o;
        add_line(w, &b, l, taken + sizeof(head), head.length);
        taken += record_size(head.length);
    }
    if (b.count)
        write_batch(w, &b);
    atomic_store_explicit(&l->taken, taken, memory_order_release);
    return any;
}

static bool drain_all(struct log_writer *w)
{
    bool any = drain_lane(w, &w->shared);
    for (struct lane *l = atomic_load(&w->lanes); l; l = l->next)
        any |= drain_lane(w, l);
    return any;
}

static bool is_empty(struct log_writer *w)
{
    bool empty = atomic_load(&w->shared.put) == atomic_load(&w->shared.taken);
    for (struct lane *l = atomic_load(&w->lanes); l && empty; l = l->next)
        empty = atomic_load(&l->put) == atomic_load(&l->taken);
    return empty;
}

static uint64_t new_drops(struct lane *l)
{
    uint64_t dropped = atomic_load_explicit(&l->dropped, memory_order_relaxed);
    uint64_t fresh = dropped - l->dropped_told;
    l->dropped_told = dropped;
    return fresh;
}

/* A file that fails is reported, but not to itself: that waits until it can be written again. */
static void report_lost(struct log_writer *w)
{
    pthread_mutex_lock(&w->control);
    for (unsigned i = 0; i < OUTPUTS; i++) {
        struct log_output *o = &w->outputs[i];
        if (o->state == OUTPUT_FREE || !o->lost || (o->error && o == atomic_load(&w->errors)))
            continue;
        log_error(0, "%llu lines of the log %s are lost: %s", (unsigned long long)o->lost, o->path,
                  o->error ? strerror(o->error) : "it could not be written for a while");
        o->lost = 0;
    }
    pthread_mutex_unlock(&w->control);
}

/* Goes through base/log like every other message, and so into the shared lane, which has just been
 * emptied. */
static void report_dropped(struct log_writer *w)
{
    uint64_t dropped = new_drops(&w->shared);
    for (struct lane *l = atomic_load(&w->lanes); l; l = l->next)
        dropped += new_drops(l);
    if (dropped)
        log_error(0, "%llu log lines were dropped: they came faster than they could be written",
                  (unsigned long long)dropped);
}

/* A pipe that nobody reads is an error now, and nothing to wait for; writing to one may wait. */
static int open_file(const char *path)
{
    enum { FLAGS = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };
    int fd = open(path, FLAGS, FILE_MODE);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

static int open_path(const char *path)
{
    int fd;
    if (slice_eq(slice_str(path), SLICE("stdout")))
        fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    else if (slice_eq(slice_str(path), SLICE("stderr")))
        fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        fd = open_file(path);
    return fd < 0 ? -errno : fd;
}

/* The descriptor keeps its number: a line on its way never meets a closed one. */
static void reopen_one(struct log_output *o)
{
    int fd = open_path(o->path);
    int old = atomic_load(&o->fd);
    if (fd < 0) {
        log_error(0, "cannot reopen the log %s, keeping the old file: %s", o->path, strerror(-fd));
        return;
    }
    dup3(fd, old, O_CLOEXEC);
    close(fd);
}

static void reopen_all(struct log_writer *w)
{
    pthread_mutex_lock(&w->control);
    for (unsigned i = 0; i < OUTPUTS; i++) {
        if (w->outputs[i].state == OUTPUT_OPEN)
            reopen_one(&w->outputs[i]);
    }
    pthread_mutex_unlock(&w->control);
}

static void free_output(struct log_output *o)
{
    close(atomic_exchange(&o->fd, -1)); /* for a line that comes too late */
    free(o->path);
    o->path = NULL;
    o->lost = 0;
    o->error = 0;
    o->state = OUTPUT_FREE;
}

/* closing: outputs that nobody used any more when the round began; their lines are written now. */
static void end_round(struct log_writer *w, uint64_t closing)
{
    pthread_mutex_lock(&w->control);
    for (unsigned i = 0; i < OUTPUTS; i++) {
        if (closing & (uint64_t)1 << i)
            free_output(&w->outputs[i]);
    }
    w->rounds++;
    pthread_cond_broadcast(&w->round_ended);
    pthread_mutex_unlock(&w->control);
}

static uint64_t begin_round(struct log_writer *w)
{
    uint64_t closing = 0;
    pthread_mutex_lock(&w->control);
    for (unsigned i = 0; i < OUTPUTS; i++) {
        if (w->outputs[i].state == OUTPUT_CLOSING)
            closing |= (uint64_t)1 << i;
    }
    pthread_mutex_unlock(&w->control);
    return closing;
}

static bool run_round(struct log_writer *w)
{
    atomic_store(&w->hurry, false);
    uint64_t closing = begin_round(w);
    bool any = drain_all(w);
    report_lost(w);
    report_dropped(w);
    log_summarise(false);
    if (atomic_exchange(&w->reopen, false))
        reopen_all(w);
    end_round(w, closing);
    return any || !is_empty(w);
}

static void nap(struct log_writer *w)
{
    struct timespec until = in_ms(LOG_WRITER_NAP_MS);
    sem_clockwait(&w->wake, CLOCK_MONOTONIC, &until);
}

static void sleep_long(struct log_writer *w)
{
    atomic_store(&w->mood, ASLEEP);
    if (is_empty(w) && !atomic_load(&w->hurry) && !atomic_load(&w->reopen) &&
        !atomic_load(&w->stopping))
        sem_wait(&w->wake);
    atomic_store(&w->mood, AWAKE);
}

/* Naps while there is something to do, sleeps after a nap in which nothing came. */
static void *run_writer(void *ctx)
{
    struct log_writer *w = ctx;
    prctl(PR_SET_NAME, "sluice-log");
    while (!atomic_load(&w->stopping)) {
        if (run_round(w))
            nap(w);
        else
            sleep_long(w);
    }
    while (run_round(w))
        ;
    pthread_mutex_lock(&w->control);
    w->ended = true;
    pthread_cond_broadcast(&w->round_ended);
    pthread_mutex_unlock(&w->control);
    return NULL;
}

/* ---- life cycle ---- */

static void lane_init(struct lane *l, struct log_writer *w)
{
    l->writer = w;
    l->bytes = mem_alloc(w->lane_bytes);
}

struct log_writer *log_writer_new(size_t lane_bytes, int *error)
{
    struct log_writer *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);
    if (!w) {
        *error = -ENOMEM;
        return NULL;
    }
    memset(w, 0, sizeof(*w));
    w->lane_bytes = lane_bytes ? lane_bytes : LOG_LANE_BYTES;
    assert((w->lane_bytes & (w->lane_bytes - 1)) == 0 && w->lane_bytes >= LOG_LINE_MAX);
    lane_init(&w->shared, w);
    pthread_mutex_init(&w->shared_lock, NULL);
    pthread_mutex_init(&w->control, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->round_ended, &attr);
    pthread_condattr_destroy(&attr);
    sem_init(&w->wake, 0, 0);
    *error = -pthread_create(&w->thread, NULL, run_writer, w);
    if (!*error)
        return w;
    free(w->shared.bytes);
    free(w);
    return NULL;
}

static void free_all(struct log_writer *w)
{
    for (struct lane *l = atomic_load(&w->lanes), *next; l; l = next) {
        next = l->next;
        free(l->bytes);
        free(l);
    }
    free(w->shared.bytes);
    for (unsigned i = 0; i < OUTPUTS; i++) {
        if (w->outputs[i].state != OUTPUT_FREE)
            free_output(&w->outputs[i]);
    }
    sem_destroy(&w->wake);
    pthread_cond_destroy(&w->round_ended);
    pthread_mutex_destroy(&w->control);
    pthread_mutex_destroy(&w->shared_lock);
    free(w);
}

/* A thread that hangs in a write to a pipe nobody reads cannot be ended: it keeps its memory. */
void log_writer_free(struct log_writer *w)
{
    atomic_store(&w->stopping, true);
    sem_post(&w->wake);
    struct timespec until = in_ms(PATIENCE_MS);
    int error = 0;
    pthread_mutex_lock(&w->control);
    while (!w->ended && !error)
        error = pthread_cond_timedwait(&w->round_ended, &w->control, &until);
    bool ended = w->ended;
    pthread_mutex_unlock(&w->control);
    if (atomic_load(&w->errors))
        log_set_sink(NULL);
    if (!ended) {
        pthread_detach(w->thread);
        return;
    }
    pthread_join(w->thread, NULL);
    free_all(w);
}

static struct log_output *find_output(struct log_writer *w, const char *path)
{
    struct log_output *spare = NULL;
    for (unsigned i = 0; i < OUTPUTS; i++) {
        struct log_output *o = &w->outputs[i];
        if (o->state == OUTPUT_OPEN && slice_eq(slice_str(o->path), slice_str(path)))
            return o;
        if (o->state == OUTPUT_FREE && !spare)
            spare = o;
    }
    return spare;
}

static int take_output(struct log_writer *w, struct log_output *o, const char *path)
{
    if (o->state == OUTPUT_FREE) {
        int fd = open_path(path);
        if (fd < 0)
            return fd;
        o->writer = w;
        o->index = (uint32_t)(o - w->outputs);
        o->users = 0;
        o->path = mem_dup(path, strlen(path));
        o->state = OUTPUT_OPEN;
        atomic_store(&o->fd, fd);
    }
    o->users++;
    return 0;
}

struct log_output *log_output_open(struct log_writer *w, const char *path, int *error)
{
    pthread_mutex_lock(&w->control);
    struct log_output *o = find_output(w, path);
    *error = o ? take_output(w, o, path) : -EMFILE;
    pthread_mutex_unlock(&w->control);
    return *error ? NULL : o;
}

void log_output_close(struct log_output *o)
{
    struct log_writer *w = o->writer;
    pthread_mutex_lock(&w->control);
    bool last = --o->users == 0;
    if (last)
        o->state = OUTPUT_CLOSING;
    pthread_mutex_unlock(&w->control);
    if (last)
        wake_early(w);
}

static struct lane *claim_lane(struct log_writer *w)
{
    for (struct lane *l = atomic_load(&w->lanes); l; l = l->next) {
        bool owned = false;
        if (atomic_compare_exchange_strong(&l->owned, &owned, true))
            return l;
    }
    return NULL;
}

void log_writer_attach(struct log_writer *w)
{
    assert(!own_lane);
    own_lane = claim_lane(w);
    if (own_lane)
        return;
    struct lane *l = aligned_alloc(64, sizeof(*l));
    if (!l)
        return; /* the shared one will do */
    memset(l, 0, sizeof(*l));
    lane_init(l, w);
    atomic_store(&l->owned, true);
    l->next = atomic_load(&w->lanes);
    while (!atomic_compare_exchange_weak(&w->lanes, &l->next, l))
        ;
    own_lane = l;
}

void log_writer_detach(struct log_writer *w)
{
    if (!own_lane || own_lane->writer != w)
        return;
    log_summarise(true);
    atomic_store(&own_lane->owned, false);
    own_lane = NULL;
}

void log_writer_install(struct log_writer *w, struct log_output *o, enum log_format format)
{
    atomic_store(&w->errors, o);
    if (!w->sink.write) /* later calls change the output alone: threads are logging */
        w->sink = (struct log_sink){
            .write = put_to_errors, .wall_us = wall_us, .ctx = w, .format = format};
    log_set_sink(o ? &w->sink : NULL);
}

void log_writer_reopen(struct log_writer *w)
{
    atomic_store(&w->reopen, true);
    sem_post(&w->wake);
}

/* A round that is running may have passed our lane already: the one after it has not. */
void log_writer_flush(struct log_writer *w, uint32_t timeout_ms)
{
    struct timespec until = in_ms(timeout_ms);
    int error = 0;
    pthread_mutex_lock(&w->control);
    uint64_t wanted = w->rounds + 2;
    while (w->rounds < wanted && !error) {
        wake_early(w);
        error = pthread_cond_timedwait(&w->round_ended, &w->control, &until);
    }
    pthread_mutex_unlock(&w->control);
}

uint64_t log_writer_dropped(const struct log_writer *w)
{
    uint64_t dropped = atomic_load_explicit(&w->shared.dropped, memory_order_relaxed);
    for (const struct lane *l = atomic_load(&w->lanes); l; l = l->next)
        dropped += atomic_load_explicit(&l->dropped, memory_order_relaxed);
    return dropped;
}
