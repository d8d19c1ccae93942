/* SPDX-License-Identifier: MIT */
#include "core/verifier.h"

#include <crypt.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "net/loop.h"

enum { THREADS_MAX = 4, NICE = 5, WAYS = 4, YES_SETS = 256, NO_SETS = 64, NO_KEPT_MS = 10000 };

/* What stands for a question: two keyed hashes, as one alone could be hit by luck. */
struct digest {
    uint64_t a, b;
};

struct memory {
    struct digest digest;
    uint64_t until_ms;
};

struct job {
    struct list node;  /* in queue or running */
    struct list waits; /* struct verify_wait */
    struct digest digest;
    uint64_t client; /* who asked first, by a keyed hash */
    uint32_t keep_ms;
    char password[VERIFY_PASSWORD_MAX + 1];
    char hash[]; /* + NUL */
};

struct verify_wait {
    struct list node; /* in job.waits until it is posted */
    struct post post;
    struct verifier *verifier;
    struct job *job; /* NULL: posted */
    struct loop *loop;
    void (*done)(void *ctx, bool yes);
    void *ctx; /* NULL: cancelled */
    bool yes;
};

struct verifier {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list queue, running;
    uint32_t queued, thread_count;
    pthread_t threads[THREADS_MAX];
    bool is_stopping;
    struct map_key secrets[2];
    struct memory yes[YES_SETS * WAYS], no[NO_SETS * WAYS];
};

struct verifier *verifier_new(void)
{
    struct verifier *v = mem_zalloc(sizeof(*v));
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->wake, NULL);
    list_init(&v->queue);
    list_init(&v->running);
    ssize_t got = getrandom(v->secrets, sizeof(v->secrets), 0);
    (void)got; /* so few bytes come at once */
    return v;
}

/* ---- what is remembered ---- */

static struct digest digest_of(const struct verifier *v, const struct verify_question *q)
{
    char text[3 * 1024], *end = text;
    const struct slice parts[] = {q->hash, q->user, q->password};
    for (int i = 0; i < 3; i++) {
        end = slice_put(end, slice_first(parts[i], 1000));
        *end++ = '\0';
    }
    struct slice all = slice_of(text, (size_t)(end - text));
    struct digest d = {map_siphash24(v->secrets[0], all), map_siphash24(v->secrets[1], all)};
    explicit_bzero(text, sizeof(text));
    return d;
}

static bool is_same(struct digest a, struct digest b)
{
    return ((a.a ^ b.a) | (a.b ^ b.b)) == 0;
}

static bool remembers(const struct memory *sets, uint32_t count, struct digest d, uint64_t now_ms)
{
    const struct memory *set = &sets[d.a % count * WAYS];
    for (int i = 0; i < WAYS; i++)
        if (is_same(set[i].digest, d) && set[i].until_ms > now_ms)
            return true;
    return false;
}

static void remember(struct memory *sets, uint32_t count, struct digest d, uint64_t until_ms)
{
    struct memory *set = &sets[d.a % count * WAYS], *oldest = set;
    for (int i = 1; i < WAYS; i++)
        if (set[i].until_ms < oldest->until_ms)
            oldest = &set[i];
    *oldest = (struct memory){.digest = d, .until_ms = until_ms};
}

static void remember_answer(struct verifier *v, const struct job *job, bool yes)
{
    uint64_t now_ms = loop_clock_us() / 1000;
    if (yes && job->keep_ms)
        remember(v->yes, YES_SETS, job->digest, now_ms + job->keep_ms);
    else if (!yes)
        remember(v->no, NO_SETS, job->digest, now_ms + NO_KEPT_MS);
}

/* ---- the threads ---- */

/* How long it takes tells nothing of where they differ; how long they are is no secret. */
static bool is_equal(const char *a, const char *b)
{
    size_t n = strlen(a);
    unsigned char differ = 0;
    if (n != strlen(b))
        return false;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

static bool fits(const struct job *job, struct crypt_data *data)
{
    const char *made = crypt_r(job->password, job->hash, data);
    return made && made[0] != '*' && is_equal(made, job->hash);
}

static void on_answer(struct post *post)
{
    struct verify_wait *w = container_of(post, struct verify_wait, post);
    void *ctx = w->ctx;
    void (*done)(void *, bool) = w->done;
    bool yes = w->yes;
    free(w);
    if (ctx)
        done(ctx, yes);
}

static void free_job(struct job *job)
{
    explicit_bzero(job->password, sizeof(job->password));
    free(job);
}

static void answer(struct verifier *v, struct job *job, bool yes)
{
    struct list *node;
    remember_answer(v, job, yes);
    while ((node = list_shift(&job->waits))) {
        struct verify_wait *w = container_of(node, struct verify_wait, node);
        w->job = NULL;
        w->yes = yes;
        loop_post(w->loop, &w->post);
    }
    list_remove(&job->node);
    free_job(job);
}

static void *run(void *ctx)
{
    struct verifier *v = ctx;
    struct crypt_data *data = mem_zalloc(sizeof(*data));
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    prctl(PR_SET_NAME, "sluice-auth");
    pthread_mutex_lock(&v->lock);
    while (!v->is_stopping) {
        struct list *node = list_shift(&v->queue);
        if (!node) {
            pthread_cond_wait(&v->wake, &v->lock);
            continue;
        }
        struct job *job = container_of(node, struct job, node);
        list_append(&v->running, &job->node);
        v->queued--;
        if (list_is_empty(&job->waits)) { /* whoever asked has left */
            list_remove(&job->node);
            free_job(job);
            continue;
        }
        pthread_mutex_unlock(&v->lock);
        bool yes = fits(job, data);
        pthread_mutex_lock(&v->lock);
        answer(v, job, yes);
    }
    pthread_mutex_unlock(&v->lock);
    explicit_bzero(data, sizeof(*data));
    free(data);
    return NULL;
}

/* Signals are the main thread's. */
static void start_thread(struct verifier *v)
{
    sigset_t all, before;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (v->thread_count == THREADS_MAX || v->thread_count >= cores || v->is_stopping)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&v->threads[v->thread_count], NULL, run, v);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        log_error(0, "cannot start a thread to check passwords: %s", strerror(error));
    else
        v->thread_count++;
}

void verifier_stop(struct verifier *v)
{
    pthread_mutex_lock(&v->lock);
    v->is_stopping = true;
    pthread_cond_broadcast(&v->wake);
    pthread_mutex_unlock(&v->lock);
    for (uint32_t i = 0; i < v->thread_count; i++)
        pthread_join(v->threads[i], NULL);
    v->thread_count = 0;
}

void verifier_free(struct verifier *v)
{
    struct list *node, *wait;
    verifier_stop(v);
    while ((node = list_shift(&v->queue))) {
        struct job *job = container_of(node, struct job, node);
        while ((wait = list_shift(&job->waits)))
            free(container_of(wait, struct verify_wait, node));
        free_job(job);
    }
    pthread_cond_destroy(&v->wake);
    pthread_mutex_destroy(&v->lock);
    explicit_bzero(v, sizeof(*v));
    free(v);
}

/* ---- asking ---- */

static struct job *find_job(struct list *jobs, struct digest d)
{
    for (struct list *node = jobs->next; node != jobs; node = node->next) {
        struct job *job = container_of(node, struct job, node);
        if (is_same(job->digest, d))
            return job;
    }
    return NULL;
}

static uint32_t count_of_client(const struct verifier *v, uint64_t client)
{
    uint32_t n = 0;
    for (const struct list *node = v->queue.next; node != &v->queue; node = node->next)
        n += container_of(node, struct job, node)->client == client;
    return n;
}

static struct job *add_job(struct verifier *v, const struct verify_question *q, struct digest d,
                           enum verification *found)
{
    uint64_t client = map_siphash24(v->secrets[0], q->client);
    *found = v->queued >= VERIFY_QUEUE_MAX                     ? VERIFY_BUSY
             : count_of_client(v, client) >= VERIFY_CLIENT_MAX ? VERIFY_ENOUGH
                                                               : VERIFY_LATER;
    if (*found != VERIFY_LATER)
        return NULL;
    struct job *job = mem_zalloc(sizeof(*job) + q->hash.n + 1);
    job->digest = d;
    job->client = client;
    job->keep_ms = q->keep_ms;
    list_init(&job->node);
    list_init(&job->waits);
    slice_put(job->password, slice_first(q->password, VERIFY_PASSWORD_MAX));
    slice_put(job->hash, q->hash);
    list_append(&v->queue, &job->node);
    v->queued++;
    if (v->thread_count < v->queued)
        start_thread(v);
    pthread_cond_signal(&v->wake);
    return job;
}

static struct verify_wait *wait_for(struct verifier *v, const struct verify_question *q,
                                    struct digest d, enum verification *found)
{
    *found = VERIFY_LATER;
    struct job *job = find_job(&v->running, d);
    if (!job)
        job = find_job(&v->queue, d);
    if (!job)
        job = add_job(v, q, d, found);
    if (job && !v->thread_count)
        *found = VERIFY_BUSY;
    if (*found != VERIFY_LATER)
        return NULL;
    struct verify_wait *w = mem_alloc(sizeof(*w));
    *w = (struct verify_wait){.post = {.run = on_answer}, .verifier = v, .job = job};
    list_init(&w->node);
    list_append(&job->waits, &w->node);
    return w;
}

enum verification verifier_ask(struct verifier *v, const struct verify_question *q,
                               struct loop *loop, void (*done)(void *ctx, bool yes), void *ctx,
                               struct verify_wait **wait)
{
    struct digest d = digest_of(v, q);
    enum verification found;
    pthread_mutex_lock(&v->lock);
    if (remembers(v->yes, YES_SETS, d, loop->now_ms)) {
        found = VERIFY_YES;
    } else if (remembers(v->no, NO_SETS, d, loop->now_ms)) {
        found = VERIFY_NO;
    } else if ((*wait = wait_for(v, q, d, &found))) {
        (*wait)->loop = loop;
        (*wait)->done = done;
        (*wait)->ctx = ctx;
    }
    pthread_mutex_unlock(&v->lock);
    return found;
}

void verify_cancel(struct verify_wait *w)
{
    struct verifier *v = w->verifier;
    pthread_mutex_lock(&v->lock);
    bool is_posted = !w->job;
    list_remove(&w->node);
    pthread_mutex_unlock(&v->lock);
    if (is_posted)
        w->ctx = NULL;
    else
        free(w);
}
