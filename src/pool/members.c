/* SPDX-License-Identifier: MIT */
#include "pool/members.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/map.h"
#include "base/mem.h"
#include "net/addr.h"
#include "pool/pool_internal.h"

#define BALANCER(kind, identifier) extern const struct balancer identifier;
#include "pool/balancers.def"
#undef BALANCER

static const struct balancer *const balancers[] = {
#define BALANCER(kind, identifier) [kind] = &identifier,
#include "pool/balancers.def"
#undef BALANCER
};

/* ---- with the lock held ---- */

/* What a cookie of ours calls the backend: nothing can be learnt from it without the secret. */
static uint64_t stick_of(const struct pool_conf *conf, const struct backend *b)
{
    if (!conf->sticky.n)
        return 0;
    struct map_key key = {0, 0};
    struct slice secret = conf->sticky_secret.n ? conf->sticky_secret : conf->name;
    key.k0 = map_siphash24(key, secret);
    key.k1 = map_siphash24(key, conf->name);
    uint64_t stick = map_siphash24(key, slice_str(b->text));
    return stick ? stick : 1;
}

/* ---- newcomers ---- */

/* A pool that works already starts them slowly. */
static void start_slowly(struct pool *p, struct backend *b, uint64_t now_us)
{
    bool works = false;
    pool_lock(p);
    for (uint32_t i = 0; i < p->count; i++)
        works |= p->backends[i]->picked > 0;
    if (works && p->conf->slow_ms) {
        b->warm_from_us = now_us;
        b->warm_until_us = now_us + p->conf->slow_ms * UINT64_C(1000);
    }
    pool_unlock(p);
}

/* One of the list that had left, as it is wished. */
static void come_back(struct pool *p, struct backend *b, uint64_t now_us)
{
    const struct wish *wish = wishes_find(&p->wishes, slice_str(b->text));
    if (list_is_linked(&b->gone_node)) {
        list_remove(&b->gone_node);
        backend_unref(b);
    }
    if (b->state == BACKEND_GONE)
        backend_enter(p, b, wish ? wish->mode : BACKEND_UP, "it has come back", now_us);
}

/* Puts another list in the place of the old one, whose members that are not in it leave. The list
 * has references of its own. */
static void replace(struct pool *p, struct backend **list, uint32_t count, uint64_t now_us)
{
    struct backend **old = p->backends;
    uint32_t old_count = p->count;
    p->backends = list;
    p->count = count;
    for (uint32_t i = 0; i < count; i++)
        come_back(p, list[i], now_us);
    pool_recount(p);
    for (uint32_t i = 0; i < old_count; i++) {
        bool stays = false;
        for (uint32_t k = 0; k < count && !stays; k++)
            stays = list[k] == old[i];
        if (stays) {
            backend_unref(old[i]);
            continue;
        }
        backend_enter(p, old[i], BACKEND_GONE, "it has left the pool", now_us);
        if (old[i]->open)
            list_append(&p->gone, &old[i]->gone_node);
        else
            backend_unref(old[i]);
    }
}

/* ---- lists ---- */

static void tell_changed(struct pool *p)
{
    if (p->on_change)
        p->on_change(p->on_change_ctx);
}

/* Puts the new list in place; frees the old one. */
static void commit(struct pool *p, struct backend **list, uint32_t count)
{
    uint64_t now_us = loop_clock_us();
    struct backend **old = p->backends;
    pool_lock(p);
    replace(p, list, count, now_us);
    pool_serve(p, now_us);
    pool_unlock(p);
    free(old);
    tell_changed(p);
}

static bool is_of(const struct backend *b, const struct backend_conf *line)
{
    return !b->is_runtime && b->slot == BACKEND_NO_SLOT && slice_eq(slice_str(b->host), line->text);
}

static struct backend *find_at(struct pool *p, const struct backend_conf *line,
                               const struct pool_address *a)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        if (is_of(b, line) && b->addr_len == a->len && memcmp(&b->addr, &a->sa, a->len) == 0)
            return b;
    }
    return NULL;
}

/* One that has left and has connections open is the same again when it comes back: it may not have
 * as many once more. A reference, or NULL. */
static struct backend *find_gone(struct pool *p, struct slice host, const struct pool_address *a)
{
    struct backend *found = NULL;
    pool_lock(p);
    list_each (node, &p->gone) {
        struct backend *b = container_of(node, struct backend, gone_node);
        if (!found && b->slot == BACKEND_NO_SLOT && slice_eq(slice_str(b->host), host) &&
            b->addr_len == a->len && memcmp(&b->addr, &a->sa, a->len) == 0)
            found = backend_ref(b);
    }
    pool_unlock(p);
    return found;
}

static struct backend *newcomer(struct pool *p, struct slice host, const struct pool_address *a)
{
    struct backend *b = find_gone(p, host, a);
    return b ? b : backend_new(host, (const struct sockaddr *)&a->sa, a->len, p->worker_count);
}

static uint32_t order_of(const struct pool *p, const struct backend_conf *line)
{
    for (uint32_t i = 0; i < p->conf->backend_count; i++)
        if (&p->conf->backends[i] == line)
            return i;
    return BACKEND_LAST;
}

static void set_line(struct pool *p, struct backend *b, const struct backend_conf *line,
                     const struct pool_address *a)
{
    pool_lock(p);
    b->order = order_of(p, line);
    b->record_weight = a->weight;
    b->record_tier = a->tier;
    backend_set_conf(b, line);
    adapt_configure(p, b, loop_clock_us());
    pool_unlock(p);
}

/* A newcomer is as the operator wants its address. With the lock held, if others know it. */
static void fulfil(struct backend *b, const struct wish *wish, uint64_t now_us)
{
    if (wish->mode != BACKEND_UP && b->state != BACKEND_GONE) {
        b->state = wish->mode;
        b->health.since_us = now_us;
        b->health.why = "the operator has said so";
    }
    if (wish->weight) {
        b->weight = wish->weight;
        b->weight_is_set = true;
    }
}

/* One that was added at run time is the line's from the moment that one names it. */
static void adopt(struct pool *p, const struct backend_conf *line, const struct pool_address *a)
{
    pool_lock(p);
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        if (b->is_runtime && slice_eq(slice_str(b->host), line->text) && b->addr_len == a->len &&
            memcmp(&b->addr, &a->sa, a->len) == 0)
            b->is_runtime = false;
    }
    pool_unlock(p);
}

/* It stays away, and is known when it is wanted again: b is taken over. */
static void remember_removed(struct wish *wish, struct backend *b)
{
    wish_forget_removed(wish);
    wish->removed = b;
}

/* A reference on the line's backend at the address, old or new; NULL: it was removed at run time.
 */
static struct backend *member(struct pool *p, const struct backend_conf *line,
                              const struct pool_address *a)
{
    adopt(p, line, a);
    struct backend *b = find_at(p, line, a);
    if (b) {
        set_line(p, b, line, a);
        return backend_ref(b);
    }
    b = newcomer(p, line->text, a);
    struct wish *wish = wishes_find(&p->wishes, slice_str(b->text));
    if (wish && wish->removed) {
        b->record_weight = a->weight;
        b->record_tier = a->tier;
        remember_removed(wish, b);
        return NULL;
    }
    pool_lock(p);
    b->is_runtime = false;
    b->weight_is_set = false;
    if (wish)
        fulfil(b, wish, loop_clock_us());
    pool_unlock(p);
    set_line(p, b, line, a);
    b->stick = stick_of(p->conf, b);
    start_slowly(p, b, loop_clock_us());
    return b;
}

static bool names(const struct pool_address *list, uint32_t count, const void *addr, socklen_t len)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].len == len && memcmp(&list[i].sa, addr, len) == 0)
            return true;
    return false;
}

/* Whether a line's addresses take its place: its own, or one that was added before they were known.
 */
static bool is_replaced(const struct backend *b, const struct backend_conf *line,
                        const struct pool_address *addresses, uint32_t count)
{
    return is_of(b, line) || (b->is_runtime && names(addresses, count, &b->addr, b->addr_len));
}

void pool_set_addresses(struct pool *p, const struct backend_conf *line,
                        const struct pool_address *addresses, uint32_t count)
{
    struct backend **list = mem_alloc((p->count + count + 1) * sizeof(*list));
    uint32_t n = 0, at = 0, order = order_of(p, line);
    for (; at < p->count && p->backends[at]->order <= order; at++)
        if (!is_replaced(p->backends[at], line, addresses, count))
            list[n++] = backend_ref(p->backends[at]);
    for (uint32_t i = 0; i < count; i++) {
        bool is_new = !names(addresses, i, &addresses[i].sa, addresses[i].len);
        struct backend *b = is_new ? member(p, line, &addresses[i]) : NULL;
        if (b)
            list[n++] = b;
    }
    for (; at < p->count; at++)
        if (!is_replaced(p->backends[at], line, addresses, count))
            list[n++] = backend_ref(p->backends[at]);
    commit(p, list, n);
}

uint32_t pool_get_addresses(const struct pool *p, const struct backend_conf *line,
                            struct pool_address *addresses, uint32_t room)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct backend *b = p->backends[i];
        if (!is_of(b, line) || n++ >= room)
            continue;
        addresses[n - 1] = (struct pool_address){
            .sa = b->addr, .len = b->addr_len, .weight = b->record_weight, .tier = b->record_tier};
    }
    return n;
}

static const struct backend_conf *find_line(const struct pool_conf *conf, const struct backend *b)
{
    for (uint32_t i = 0; i < conf->backend_count; i++)
        if (is_of(b, &conf->backends[i]))
            return &conf->backends[i];
    return NULL;
}

/* With the lock held. */
static void use_conf(struct pool *p, const struct pool_conf *conf)
{
    uint32_t target_ms = conf->queue_target_ms ? conf->queue_target_ms : conf->queue_ms / 2;
    uint64_t now_us = loop_clock_us();
    p->conf = conf;
    p->balancer = balancers[conf->balance];
    p->max_open = conf->max_conns ? conf->max_conns : UINT32_MAX;
    queue_set_limits(&p->queue, conf->queue_length, target_ms);
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        const struct backend_conf *line = find_line(conf, b);
        b->stick = stick_of(conf, b);
        b->order = line ? (uint32_t)(line - conf->backends) : BACKEND_LAST;
        if (line)
            backend_set_conf(b, line);
        if (b->slot == BACKEND_NO_SLOT)
            adapt_configure(p, b, now_us);
    }
}

/* Another file may have its lines in another order; most often it has not. */
static void sort(struct backend **list, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct backend *b = list[i];
        uint32_t k = i;
        for (; k && list[k - 1]->order > b->order; k--)
            list[k] = list[k - 1];
        list[k] = b;
    }
}

void pool_set_conf(struct pool *p, const struct pool_conf *conf)
{
    struct backend **list = mem_alloc((p->count + 1) * sizeof(*list));
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->backends[i]->is_runtime || p->backends[i]->slot != BACKEND_NO_SLOT ||
            find_line(conf, p->backends[i]))
            list[n++] = backend_ref(p->backends[i]);
    pool_lock(p);
    use_conf(p, conf);
    p->tidy_wanted = p->has_news = true; /* limits may be lower */
    pool_unlock(p);
    sort(list, n);
    commit(p, list, n);
}

/* ---- at run time ---- */

static void wish_mode(struct pool *p, struct slice text, enum backend_state mode)
{
    wishes_get(&p->wishes, text)->mode = mode;
    wishes_tidy(&p->wishes);
}

/* Enters a state for every backend with this address. */
static int enter_named(struct pool *p, struct slice text, enum backend_state state, const char *why)
{
    uint64_t now_us = loop_clock_us();
    int rc = -ENOENT;
    pool_lock(p);
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        if (!slice_eq(slice_str(b->text), text))
            continue;
        bool is_down = state == BACKEND_UP && b->health.is_probed && !b->health.probe_ok;
        b->health.backoff_ms = 0;
        backend_enter(p, b, is_down ? BACKEND_DOWN : state, why, now_us);
        rc = 0;
    }
    pool_serve(p, now_us);
    pool_unlock(p);
    if (!rc)
        wish_mode(p, text, state);
    return rc;
}

int pool_drain(struct pool *p, struct slice text)
{
    return enter_named(p, text, BACKEND_DRAINING, "the operator says so");
}

int pool_disable(struct pool *p, struct slice text)
{
    return enter_named(p, text, BACKEND_DISABLED, "the operator says so");
}

int pool_enable(struct pool *p, struct slice text)
{
    return enter_named(p, text, BACKEND_UP, "the operator says so");
}

/* What the configuration says itself is no wish: another configuration may change it. */
int pool_set_weight(struct pool *p, struct slice text, uint32_t weight)
{
    int rc = -ENOENT;
    bool differs = false;
    pool_lock(p);
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        if (!slice_eq(slice_str(b->text), text))
            continue;
        b->weight = weight;
        b->weight_is_set = weight != b->conf_weight;
        b->credit = 0;
        differs |= b->weight_is_set;
        rc = 0;
    }
    pool_unlock(p);
    if (!rc)
        wishes_get(&p->wishes, text)->weight = differs ? weight : 0;
    wishes_tidy(&p->wishes);
    return rc;
}

/* Nothing is wished any more but that this one of a line be away, or (NULL) not even that. */
static void wish_removed(struct pool *p, struct slice text, struct backend *b)
{
    struct wish *w = wishes_get(&p->wishes, text);
    wish_forget_removed(w);
    *w = (struct wish){.text = w->text, .mode = BACKEND_UP};
    if (b)
        remember_removed(w, backend_ref(b));
    wishes_tidy(&p->wishes);
}

int pool_remove(struct pool *p, struct slice text)
{
    struct backend **list = mem_alloc((p->count + 1) * sizeof(*list)), *of_line = NULL;
    uint32_t n = 0, count = p->count;
    for (uint32_t i = 0; i < count; i++) {
        struct backend *b = p->backends[i];
        if (!slice_eq(slice_str(b->text), text))
            list[n++] = backend_ref(b);
        else if (!b->is_runtime)
            of_line = b;
    }
    if (n < count)
        wish_removed(p, text, of_line);
    commit(p, list, n);
    return n < count ? 0 : -ENOENT;
}

/* Puts b, a reference on it, where its line stands; else at the end. */
static void join(struct pool *p, struct backend *b)
{
    struct backend **list = mem_alloc((p->count + 1) * sizeof(struct backend *));
    for (uint32_t i = 0; i < p->count; i++)
        list[i] = backend_ref(p->backends[i]);
    list[p->count] = b;
    sort(list, p->count + 1);
    commit(p, list, p->count + 1);
}

const char *pool_find_removed(const struct pool *p, struct slice name)
{
    for (uint32_t i = 0; i < p->wishes.count; i++) {
        const struct wish *wish = &p->wishes.v[i];
        if (wish->removed && slice_eq(slice_str(wish->removed->host), name))
            return wish->text;
    }
    return NULL;
}

static const struct backend_conf *line_of_removed(const struct pool *p, const struct backend *was)
{
    for (uint32_t i = 0; i < p->conf->backend_count; i++)
        if (slice_eq(slice_str(was->host), p->conf->backends[i].text))
            return &p->conf->backends[i];
    return NULL;
}

bool pool_forget_removed(struct pool *p, struct slice text)
{
    const struct wish *wish = wishes_find(&p->wishes, text);
    if (!wish || !wish->removed || line_of_removed(p, wish->removed))
        return false;
    wish_removed(p, text, NULL);
    return true;
}

int pool_bring_back(struct pool *p, struct slice text)
{
    const struct wish *wish = wishes_find(&p->wishes, text);
    const struct backend *was = wish ? wish->removed : NULL;
    const struct backend_conf *line = was ? line_of_removed(p, was) : NULL;
    if (!line)
        return -ENOENT;
    struct pool_address a = {.sa = was->addr,
                             .len = was->addr_len,
                             .weight = was->record_weight,
                             .tier = was->record_tier};
    wish_removed(p, text, NULL);
    join(p, member(p, line, &a));
    return 0;
}

int pool_add(struct pool *p, const struct pool_new *new)
{
    const struct pool_address *a = &new->address;
    struct backend *b =
        backend_new(SLICE_NONE, (const struct sockaddr *)&a->sa, a->len, p->worker_count);
    memcpy(b->host, b->text, sizeof(b->text));
    for (uint32_t i = 0; i < p->count; i++)
        if (strcmp(p->backends[i]->text, b->text) == 0) {
            backend_unref(b);
            return -EEXIST;
        }
    wish_removed(p, slice_str(b->text), NULL);
    struct backend *gone = find_gone(p, slice_str(b->host), a);
    if (gone) {
        backend_unref(b);
        b = gone;
    }
    pool_lock(p);
    b->is_runtime = true;
    b->weight_is_set = false;
    b->weight = b->conf_weight = a->weight ? a->weight : 1;
    b->conf_open = new->max_conns ? new->max_conns : UINT32_MAX;
    adapt_configure(p, b, loop_clock_us());
    b->tier = new->is_backup ? BACKEND_TIER_BACKUP : 0;
    b->stick = stick_of(p->conf, b);
    pool_unlock(p);
    start_slowly(p, b, loop_clock_us());
    join(p, b);
    return 0;
}

int pool_parse_address(struct slice text, struct pool_address *address)
{
    struct endpoint e;
    struct net_addr a;
    *address = (struct pool_address){.len = 0};
    if (endpoint_parse(text, &e))
        return -EINVAL;
    if (e.path.n) {
        struct sockaddr_un *un = (struct sockaddr_un *)&address->sa;
        if (e.path.n >= sizeof(un->sun_path))
            return -EINVAL;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, e.path.p, e.path.n);
        address->len = sizeof(*un);
        return 0;
    }
    if (!e.port || !net_addr_literal(e.host, e.port, &a))
        return -EINVAL;
    memcpy(&address->sa, &a.sa, a.len);
    address->len = a.len;
    return 0;
}

/* ---- backends that are processes of ours ---- */

void pool_set_grower(struct pool *p, struct loop *home, void (*on_wait)(void *ctx), void *ctx)
{
    if (on_wait && p->home != home)
        p->home = home;
    p->on_wait_ctx = ctx;
    p->on_wait = on_wait;
    p->is_grown = on_wait;
}

static struct backend *find_slot(struct pool *p, uint32_t slot)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->backends[i]->slot == (int64_t)slot)
            return p->backends[i];
    return NULL;
}

void pool_drop_slot(struct pool *p, uint32_t slot)
{
    struct backend **list = mem_alloc((p->count + 1) * sizeof(*list));
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->backends[i]->slot != (int64_t)slot)
            list[n++] = backend_ref(p->backends[i]);
    commit(p, list, n);
}

static void join_slot(struct pool *p, uint32_t slot, const struct pool_address *a)
{
    struct backend *b =
        backend_new(SLICE("localhost"), (const struct sockaddr *)&a->sa, a->len, p->worker_count);
    b->slot = slot;
    b->max_open = 0;
    b->weight = b->conf_weight = 1;
    b->stick = stick_of(p->conf, b);
    join(p, b);
}

/* What was known of a process goes with it: one that takes its place is new. */
static void set_capacity(struct pool *p, struct backend *b, uint32_t capacity)
{
    uint64_t now_us = loop_clock_us();
    pool_lock(p);
    bool is_new = b->max_open == 0 && capacity > 0 && b->state == BACKEND_DOWN;
    b->max_open = capacity;
    if (is_new)
        backend_enter(p, b, BACKEND_UP, "another process has taken its place", now_us);
    if (b->open > capacity)
        p->has_news = p->tidy_wanted = true;
    pool_serve(p, now_us);
    pool_unlock(p);
}

void pool_put_slot(struct pool *p, uint32_t slot, const struct pool_address *a, uint32_t capacity)
{
    struct backend *b = find_slot(p, slot);
    if (b && (b->addr_len != a->len || memcmp(&b->addr, &a->sa, a->len) != 0)) {
        pool_drop_slot(p, slot);
        b = NULL;
    }
    if (!b)
        join_slot(p, slot, a);
    set_capacity(p, find_slot(p, slot), capacity);
}

struct slot_load pool_slot_load(struct pool *p, uint32_t slot)
{
    struct slot_load load = {0};
    pool_lock(p);
    const struct backend *b = find_slot(p, slot);
    if (b)
        load = (struct slot_load){.busy = b->busy, .served = b->picked};
    pool_unlock(p);
    return load;
}

uint32_t pool_waiting(struct pool *p)
{
    pool_lock(p);
    uint32_t waiting = p->queue.count;
    pool_unlock(p);
    return waiting;
}

/* ---- what probes say ---- */

void pool_probe(struct pool *p, struct backend *b, bool is_probed)
{
    pool_lock(p);
    b->health.is_probed = is_probed;
    b->health.probe_ok = true; /* until they say otherwise */
    pool_recount(p);
    pool_unlock(p);
}

bool pool_begin_probe(struct pool *p, struct backend *b)
{
    pool_lock(p);
    bool is_free = b->open < b->max_open && p->open < p->max_open;
    b->health.wants_slot = !is_free;
    if (is_free)
        pool_open_slot(p, b);
    else if (b->open >= b->max_open && backend_idle(b))
        p->has_news = p->tidy_wanted = true;
    pool_unlock(p);
    return is_free;
}

void pool_end_probe(struct pool *p, struct backend *b)
{
    pool_lock(p);
    b->busy--;
    pool_close_slot(p, b);
    pool_serve(p, loop_clock_us());
    pool_unlock(p);
}

bool pool_is_down(struct pool *p, const struct backend *b)
{
    pool_lock(p);
    bool is_down = b->state == BACKEND_DOWN;
    pool_unlock(p);
    return is_down;
}

void pool_probed(struct pool *p, struct backend *b, bool ok, const char *why)
{
    uint64_t now_us = loop_clock_us();
    pool_lock(p);
    b->health.probe_ok = ok;
    bool is_ours = b->state == BACKEND_UP || b->state == BACKEND_TRIAL;
    if (!ok && is_ours) {
        b->counts.downs++;
        b->health.retry_us = now_us;
        backend_enter(p, b, BACKEND_DOWN, why, now_us);
    } else if (ok && b->state == BACKEND_DOWN && now_us >= b->health.retry_us) {
        backend_enter(p, b, BACKEND_UP, why, now_us);
    }
    pool_serve(p, now_us);
    pool_unlock(p);
}
