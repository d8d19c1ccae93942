/* SPDX-License-Identifier: MIT */
#include "admin/changes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/endpoints.h"
#include "base/auto.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/whole_file.h"
#include "pool/members.h"
#include "pool/view.h"

enum { VERSION = 1, FILE_MAX = 16 << 20, LOOK_MS = 1000, TEXT_MAX = 256, WEIGHT_MAX = 1000 };

struct changes {
    struct gateway *gateway;
    json_t *pools; /* {pool: {address: {"mode", "weight", "removed", "added"}}} */
    struct timer look;
};

/* Strings of the model must be keys of JSON objects: UTF-8 and no NUL. Addresses are; a pool's name
 * is as the configuration writes it, and such that is not has no changes kept. */
static char *name_of(const struct pool *p)
{
    return mem_dup(p->conf->name.p, p->conf->name.n);
}

/* ---- the file ---- */

static char *path_of(const struct changes *c)
{
    struct slice path = gateway_generation(c->gateway)->snapshot->gateway.state_path;
    return path.n ? mem_dup(path.p, path.n) : NULL;
}

static const char *save(const struct changes *c)
{
    AUTO_FREE char *path = path_of(c);
    if (!path)
        return "it is not kept over a restart: the configuration has no 'state'";
    json_t *all = json_pack("{s:i, s:O}", "version", VERSION, "pools", c->pools);
    AUTO_FREE char *text = json_dumps(all, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(all);
    int error = text ? whole_file_write(path, slice_str(text)) : -EILSEQ;
    if (!error)
        return NULL;
    log_error(0, "cannot write the state file %s: %s", path, strerror(-error));
    return "it is not kept over a restart: the state file cannot be written, see the error log";
}

/* NULL: there is none that can be used. */
static json_t *parse(const char *path, const char *text, size_t n)
{
    json_error_t error;
    json_t *all = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error), *pools = NULL;
    if (!all)
        log_error(0, "state file %s:%d:%d: %s", path, error.line, error.column, error.text);
    else if (json_integer_value(json_object_get(all, "version")) != VERSION)
        log_error(0, "state file %s: it is of another version", path);
    else if (!json_is_object(json_object_get(all, "pools")))
        log_error(0, "state file %s: it has no pools", path);
    else
        pools = json_incref(json_object_get(all, "pools"));
    json_decref(all);
    return pools;
}

/* One that cannot be read is put aside, so that nothing is lost when the next change is written. */
static json_t *load(const struct changes *c)
{
    AUTO_FREE char *path = path_of(c);
    AUTO_FREE char *text = NULL;
    size_t n;
    if (!path)
        return NULL;
    int error = whole_file_read(path, FILE_MAX, &text, &n);
    if (error && error != -ENOENT)
        log_error(0, "cannot read the state file %s: %s", path, strerror(-error));
    json_t *pools = error ? NULL : parse(path, text, n);
    if (!error && !pools && whole_file_set_aside(path) == 0)
        log_warn(0, "the state file is now %s.bad, and nothing of it in use", path);
    return pools;
}

/* ---- making pools so ---- */

static void apply_to(struct pool *p, const struct backend_view *b, const json_t *entry)
{
    const char *mode = json_string_value(json_object_get(entry, "mode"));
    json_int_t weight = json_integer_value(json_object_get(entry, "weight"));
    struct slice address = slice_str(b->address);
    int rc = 0;
    if (json_is_true(json_object_get(entry, "removed"))) {
        rc = pool_remove(p, address);
        log_info(0, "pool " SLICE_FMT " backend %s: removed, as at run time",
                 SLICE_ARG(p->conf->name), b->address);
        (void)rc;
        return;
    }
    if (mode && strcmp(mode, b->state) != 0 && strcmp(mode, "draining") == 0)
        rc = pool_drain(p, address);
    if (mode && strcmp(mode, b->state) != 0 && strcmp(mode, "disabled") == 0)
        rc = pool_disable(p, address);
    if (!rc && weight >= 1 && weight <= WEIGHT_MAX && (uint32_t)weight != b->weight)
        rc = pool_set_weight(p, address, (uint32_t)weight);
    (void)rc; /* it is there: we have just seen it */
}

static int add(struct pool *p, struct slice address, const json_t *added)
{
    struct pool_new new = {
        .max_conns = (uint32_t)json_integer_value(json_object_get(added, "max_conns")),
        .is_backup = json_is_true(json_object_get(added, "backup")),
    };
    int rc = pool_parse_address(address, &new.address);
    json_int_t weight = json_integer_value(json_object_get(added, "weight"));
    new.address.weight = weight >= 1 && weight <= WEIGHT_MAX ? (uint32_t)weight : 1;
    return rc ? rc : pool_add(p, &new);
}

static const struct backend_view *find_view(const struct pool_view *v, const char *address)
{
    for (uint32_t i = 0; i < v->count; i++)
        if (strcmp(v->backends[i].address, address) == 0)
            return &v->backends[i];
    return NULL;
}

/* What the configuration has come to say itself is no change any more: that an address is there, or
 * (b NULL) is not, and its weight. True: there was such. */
static bool settle(struct pool *p, const struct backend_view *b, const char *address, json_t *entry)
{
    if (!b)
        return json_object_get(entry, "removed") && pool_forget_removed(p, slice_str(address)) &&
               json_object_del(entry, "removed") == 0;
    bool is_adopted = json_object_get(entry, "added") && !b->is_runtime;
    if (is_adopted)
        json_object_del(entry, "added");
    if (is_adopted && b->weight != b->conf_weight)
        json_object_set_new(entry, "weight", json_integer(b->weight));
    if (b->is_runtime || json_integer_value(json_object_get(entry, "weight")) != b->conf_weight)
        return is_adopted;
    json_object_del(entry, "weight");
    return pool_set_weight(p, slice_str(b->address), b->conf_weight) == 0;
}

/* True: what is written down is less than it was. */
static bool apply_pool(struct pool *p, json_t *entries)
{
    const char *address;
    json_t *entry;
    void *next;
    bool is_settled = false;
    struct pool_view *v = pool_view_new(p);
    json_object_foreach_safe(entries, next, address, entry)
    {
        const struct backend_view *b = find_view(v, address);
        const json_t *added = json_object_get(entry, "added");
        bool settles = json_is_object(entry) && settle(p, b, address, entry);
        is_settled |= settles;
        if (settles && !json_object_size(entry)) {
            json_object_del(entries, address);
            continue;
        }
        if (b)
            apply_to(p, b, entry);
        else if (added && add(p, slice_str(address), added) == 0)
            log_info(0, "pool " SLICE_FMT " backend %s: added, as at run time",
                     SLICE_ARG(p->conf->name), address);
    }
    pool_view_free(v);
    return is_settled;
}

static void apply(struct changes *c)
{
    const struct generation *g = gateway_generation(c->gateway);
    bool is_settled = false;
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++) {
        struct pool *p = &g->pools[i]->pool;
        AUTO_FREE char *name = name_of(p);
        json_t *entries = json_object_get(c->pools, name);
        if (json_object_size(entries))
            is_settled |= apply_pool(p, entries);
        if (is_settled && !json_object_size(entries))
            json_object_del(c->pools, name);
    }
    if (is_settled)
        (void)save(c);
    if (json_object_size(c->pools))
        timer_set(gateway_loop(c->gateway), &c->look, LOOK_MS);
}

static void on_look(struct timer *t)
{
    apply(container_of(t, struct changes, look));
}

/* ---- one change ---- */

static json_t *child(json_t *object, const char *key)
{
    json_t *it = json_object_get(object, key);
    if (!json_is_object(it)) {
        it = json_object();
        if (json_object_set_new(object, key, it) < 0)
            return NULL; /* the key is no UTF-8 */
    }
    return it;
}

/* What is written down of a change. Nothing differs any more: the entry goes. conf_weight: what the
 * configuration says. */
static void note(struct changes *c, const char *pool, const char *address, uint32_t conf_weight,
                 const struct change_order *o)
{
    json_t *entries = child(c->pools, pool);
    json_t *entry = entries ? child(entries, address) : NULL;
    if (!entry)
        return;
    bool was_added = json_object_get(entry, "added");
    switch (o->change) {
    case CHANGE_DRAIN: json_object_set_new(entry, "mode", json_string("draining")); break;
    case CHANGE_DISABLE: json_object_set_new(entry, "mode", json_string("disabled")); break;
    case CHANGE_ENABLE: json_object_del(entry, "mode"); break;
    case CHANGE_WEIGHT:
        json_object_set_new(was_added ? json_object_get(entry, "added") : entry, "weight",
                            json_integer(o->weight));
        if (!was_added && o->weight == conf_weight)
            json_object_del(entry, "weight");
        break;
    case CHANGE_REMOVE:
        json_object_clear(entry);
        if (!was_added)
            json_object_set_new(entry, "removed", json_true());
        break;
    case CHANGE_ADD:
        json_object_clear(entry);
        if (o->is_of_line && o->weight)
            json_object_set_new(entry, "weight", json_integer(o->weight));
        if (!o->is_of_line)
            json_object_set_new(entry, "added",
                                json_pack("{s:i, s:i, s:b}", "weight",
                                          (int)(o->weight ? o->weight : 1), "max_conns",
                                          (int)o->max_conns, "backup", o->is_backup));
        break;
    }
    if (!json_object_size(entry))
        json_object_del(entries, address);
    if (!json_object_size(entries))
        json_object_del(c->pools, pool);
}

static int add_new(struct pool *p, struct slice address, const struct change_order *o)
{
    struct pool_new new = {.max_conns = o->max_conns, .is_backup = o->is_backup};
    int rc = pool_parse_address(address, &new.address);
    new.address.weight = o->weight;
    return rc ? rc : pool_add(p, &new);
}

static int carry_out(struct pool *p, struct slice address, struct change_order *o)
{
    switch (o->change) {
    case CHANGE_DRAIN: return pool_drain(p, address);
    case CHANGE_DISABLE: return pool_disable(p, address);
    case CHANGE_ENABLE: return pool_enable(p, address);
    case CHANGE_WEIGHT: return pool_set_weight(p, address, o->weight);
    case CHANGE_REMOVE: return pool_remove(p, address);
    case CHANGE_ADD: break;
    }
    o->is_of_line = pool_bring_back(p, address) == 0;
    if (!o->is_of_line)
        return add_new(p, address, o);
    return o->weight ? pool_set_weight(p, address, o->weight) : 0;
}

static const char *const words[] = {"drained",        "disabled", "enabled",
                                    "given a weight", "removed",  "added"};

static int change_one(struct changes *c, struct pool *p, struct slice address, uint32_t conf_weight,
                      struct change_order *o)
{
    AUTO_FREE char *pool = name_of(p);
    AUTO_FREE char *text = mem_dup(address.p, address.n);
    int rc = carry_out(p, address, o);
    if (rc)
        return rc;
    log_info(0, "pool %s backend %s: %s by the operator", pool, text, words[o->change]);
    note(c, pool, text, conf_weight, o);
    return 0;
}

/* All backends of the name; they are the ones there were before the first is changed. */
static int change_named(struct changes *c, struct pool *p, struct change_order *o)
{
    struct pool_view *v = pool_view_new(p);
    int rc = -ENOENT;
    for (uint32_t i = 0; i < v->count; i++)
        if (slice_eq(slice_str(v->backends[i].name), o->backend) ||
            slice_eq(slice_str(v->backends[i].address), o->backend)) {
            int one =
                change_one(c, p, slice_str(v->backends[i].address), v->backends[i].conf_weight, o);
            rc = one ? rc : 0;
        }
    pool_view_free(v);
    return rc;
}

/* All of the name's that were removed, or the address. */
static int change_added(struct changes *c, struct pool *p, struct change_order *o)
{
    const char *text = pool_find_removed(p, o->backend);
    int rc = text ? 0 : change_one(c, p, o->backend, 0, o);
    for (; !rc && text; text = pool_find_removed(p, o->backend)) {
        AUTO_FREE char *address = mem_dup(text, strlen(text));
        rc = change_one(c, p, slice_str(address), 0, o);
    }
    return rc;
}

int changes_make(struct changes *c, struct pool *p, struct change_order *o, const char **warning)
{
    int rc = o->change == CHANGE_ADD ? change_added(c, p, o) : change_named(c, p, o);
    *warning = rc ? NULL : save(c);
    if (!rc && o->is_of_line && (o->max_conns || o->is_backup))
        *warning = "the configuration names it: max-conns and backup are what it says there";
    if (!rc && json_object_size(c->pools))
        timer_set(gateway_loop(c->gateway), &c->look, LOOK_MS);
    return rc;
}

/* ---- being looked at ---- */

static json_t *describe(const char *pool, const char *address, const json_t *entry)
{
    char text[TEXT_MAX];
    struct text t = text_of(text, sizeof(text));
    const char *mode = json_string_value(json_object_get(entry, "mode"));
    json_int_t weight = json_integer_value(json_object_get(entry, "weight"));
    if (json_is_true(json_object_get(entry, "removed")))
        text_lit(&t, "removed, ");
    if (json_object_get(entry, "added"))
        text_lit(&t, "added, ");
    if (mode) {
        text_put(&t, slice_str(mode));
        text_lit(&t, ", ");
    }
    if (weight > 0) {
        text_lit(&t, "weight ");
        text_dec(&t, (uint64_t)weight);
        text_lit(&t, ", ");
    }
    struct slice s = text_slice(&t);
    return json_pack("{s:s, s:s, s:s%}", "pool", pool, "backend", address, "change", s.p,
                     s.n > 2 ? s.n - 2 : 0);
}

json_t *changes_json(const struct changes *c)
{
    const char *pool, *address;
    json_t *entries, *entry, *list = json_array();
    json_object_foreach(c->pools, pool, entries)
    {
        json_object_foreach(entries, address, entry)
            json_array_append_new(list, describe(pool, address, entry));
    }
    return list;
}

struct changes *changes_new(struct gateway *g)
{
    struct changes *c = mem_zalloc(sizeof(*c));
    c->gateway = g;
    timer_init(&c->look, on_look);
    c->pools = load(c);
    if (!c->pools)
        c->pools = json_object();
    apply(c);
    return c;
}

void changes_reloaded(struct changes *c)
{
    apply(c);
}

void changes_free(struct changes *c)
{
    timer_fini(gateway_loop(c->gateway), &c->look);
    json_decref(c->pools);
    free(c);
}
