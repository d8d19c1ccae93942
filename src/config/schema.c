/* SPDX-License-Identifier: MIT */
#include "config/schema.h"

#include <assert.h>

#include "base/num.h"
#include "config/suggest.h"

enum { KEYS_MAX = 64 };

static const struct key *find_key(const struct key *keys, struct slice name)
{
    for (const struct key *k = keys; k && k->name; k++)
        if (slice_eq(slice_str(k->name), name))
            return k;
    return NULL;
}

void *config_append(struct config_reader *r, void *array, uint32_t *count, size_t size)
{
    char *v;
    memcpy(&v, array, sizeof(v)); /* array is a T **, whatever T */
    if ((*count & (*count - 1)) == 0) {
        size_t cap = *count ? *count * (size_t)2 : 1;
        char *grown = arena_zalloc(r->arena, cap * size);
        if (*count)
            memcpy(grown, v, *count * size);
        v = grown;
        memcpy(array, &v, sizeof(v));
    }
    return v + (*count)++ * size;
}

/* ---- values ---- */

/* What a value looks like, for "'threads' takes ...". */
static const char *type_name(const struct key *k)
{
    switch (k->type) {
    case KEY_NONE: return "no value";
    case KEY_BOOL: return "on or off";
    case KEY_UINT: return "a number";
    case KEY_SIZE: return "a size such as 512, 64k or 10m";
    case KEY_MS: return "a time such as 250ms, 10s, 5m or 1h";
    case KEY_STRING: return "a value";
    case KEY_ENUM: return "a name";
    case KEY_CUSTOM: return k->syntax ? k->syntax : "a value";
    }
    return "";
}

static bool parse_number(enum key_type type, struct slice text, uint64_t *out)
{
    if (type == KEY_UINT)
        return num_dec(text, out);
    return type == KEY_SIZE ? num_size(text, out) : num_ms(text, out);
}

/* Table rows are ours: a limit that cannot be read is a bug of the table. */
static uint64_t bound(const struct key *k, const char *text, uint64_t otherwise)
{
    uint64_t v = otherwise;
    bool ok = !text || parse_number(k->type, slice_str(text), &v);
    assert(ok);
    return ok ? v : otherwise;
}

static void store_number(const struct key *k, uint64_t v, char *target)
{
    if (k->type == KEY_SIZE) {
        memcpy(target + k->at, &v, sizeof(v));
    } else {
        uint32_t small = (uint32_t)v;
        memcpy(target + k->at, &small, sizeof(small));
    }
}

static bool bad_number(struct config_reader *r, const struct key *k, const struct config_word *word)
{
    uint64_t bare;
    struct slice text = word->text;
    if (k->type == KEY_MS && num_dec(text, &bare))
        return config_error(r->diag, word->text_at,
                            "'%s' needs a unit\nwrite " SLICE_FMT "ms, " SLICE_FMT "s, " SLICE_FMT
                            "m or " SLICE_FMT "h",
                            k->name, SLICE_ARG(text), SLICE_ARG(text), SLICE_ARG(text),
                            SLICE_ARG(text));
    return config_error(r->diag, word->text_at, "'%s' takes %s%s%s, not '" SLICE_FMT "'", k->name,
                        type_name(k), k->zero ? ", or " : "", k->zero ? k->zero : "",
                        SLICE_ARG(text));
}

static bool out_of_range(struct config_reader *r, const struct key *k,
                         const struct config_word *word, bool is_small)
{
    if (k->max)
        return config_error(r->diag, word->text_at,
                            "'%s' is " SLICE_FMT ": it must lie between %s and %s", k->name,
                            SLICE_ARG(word->text), k->min ? k->min : "0", k->max);
    const char *least = k->min, *beyond = k->type == KEY_MS ? "49d" : "4294967296";
    return config_error(r->diag, word->text_at, "'%s' is " SLICE_FMT ": it must be %s %s", k->name,
                        SLICE_ARG(word->text), is_small ? "at least" : "smaller than",
                        is_small ? least : beyond);
}

static bool set_number(struct config_reader *r, const struct key *k, const struct config_word *word,
                       char *target)
{
    uint64_t v = 0, min = bound(k, k->min, 0);
    uint64_t max = bound(k, k->max, k->type == KEY_SIZE ? UINT64_MAX : UINT32_MAX);
    bool is_zero_word = k->zero && slice_eq(word->text, slice_str(k->zero));
    if (!is_zero_word && !parse_number(k->type, word->text, &v))
        return bad_number(r, k, word);
    if (v == 0 && k->zero) /* 0 itself says the same as its word */
        min = 0;
    if (v < min || v > max)
        return out_of_range(r, k, word, v < min);
    store_number(k, v, target);
    return true;
}

static bool set_bool(struct config_reader *r, const struct key *k, const struct config_word *word,
                     char *target)
{
    bool on = slice_eq(word->text, SLICE("on"));
    if (!on && !slice_eq(word->text, SLICE("off")))
        return config_error(r->diag, word->text_at, "'%s' takes on or off, not '" SLICE_FMT "'",
                            k->name, SLICE_ARG(word->text));
    memcpy(target + k->at, &on, sizeof(on));
    return true;
}

static bool set_string(struct config_reader *r, const struct key *k, const struct config_word *word,
                       char *target)
{
    if (word->text.n == 0)
        return config_error(r->diag, word->text_at, "'%s' is empty", k->name);
    memcpy(target + k->at, &word->text, sizeof(word->text));
    if (k->place)
        memcpy(target + k->place, &word->text_at, sizeof(word->text_at));
    return true;
}

static bool bad_name(struct config_reader *r, const struct key *k, const struct config_word *word)
{
    struct slice known = SLICE("");
    struct suggest near = suggest_for(word->text);
    for (const struct key_name *n = k->names; n->name; n++) {
        suggest_try(&near, n->name);
        known = arena_printf(r->arena, SLICE_FMT "%s%s", SLICE_ARG(known), known.n ? ", " : "",
                             n->name);
    }
    if (near.best)
        return config_error(r->diag, word->text_at,
                            "'%s' does not know '" SLICE_FMT "'\ndid you mean '%s'?", k->name,
                            SLICE_ARG(word->text), near.best);
    return config_error(r->diag, word->text_at,
                        "'%s' does not know '" SLICE_FMT "'\nknown: " SLICE_FMT, k->name,
                        SLICE_ARG(word->text), SLICE_ARG(known));
}

static bool set_enum(struct config_reader *r, const struct key *k, const struct config_word *word,
                     char *target)
{
    for (const struct key_name *n = k->names; n->name; n++)
        if (slice_eq(word->text, slice_str(n->name))) {
            memcpy(target + k->at, &n->value, sizeof(n->value));
            return true;
        }
    return bad_name(r, k, word);
}

static bool no_variables(struct config_reader *r, const struct key *k,
                         const struct config_word *word)
{
    return config_error(r->diag, word->text_at,
                        "'%s' takes no variable of a request\n"
                        "write one of the environment in capitals: ${NAME}",
                        k->name);
}

static bool set_value(struct config_reader *r, const struct key *k, const struct directive *d,
                      const struct config_word *word, void *target)
{
    if (word && word->is_bad)
        return false;
    if (word && word->has_variable && !(k->flags & KEY_TEMPLATE))
        return no_variables(r, k, word);
    switch (k->type) {
    case KEY_NONE: return true;
    case KEY_BOOL: return set_bool(r, k, word, target);
    case KEY_UINT:
    case KEY_SIZE:
    case KEY_MS: return set_number(r, k, word, target);
    case KEY_STRING: return set_string(r, k, word, target);
    case KEY_ENUM: return set_enum(r, k, word, target);
    case KEY_CUSTOM: return k->set(r, d, word, target);
    }
    return false;
}

/* ---- defaults ---- */

static void set_default(struct config_reader *r, const struct key *k, void *target)
{
    struct config_word word = {.text = slice_str(k->init)};
    bool ok = set_value(r, k, NULL, &word, target);
    assert(ok);
    (void)ok;
}

void config_defaults(struct config_reader *r, const struct key *keys, void *target)
{
    for (const struct key *k = keys; k && k->name; k++) {
        if (k->init)
            set_default(r, k, target);
        if (!k->open) {
            config_defaults(r, k->options, target);
            config_defaults(r, k->block, target);
        }
    }
}

/* ---- directives ---- */

/* Which keys of a table have been met, and where. */
struct seen {
    const struct key *keys;
    struct config_place at[KEYS_MAX];
};

static bool note_seen(struct config_reader *r, struct seen *seen, const struct key *k,
                      struct config_place at)
{
    size_t i = (size_t)(k - seen->keys);
    assert(i < KEYS_MAX);
    if (seen->at[i].line && !(k->flags & KEY_REPEAT))
        return config_error(r->diag, at, "'%s' stands here twice\nit stands at line %u too",
                            k->name, seen->at[i].line);
    seen->at[i] = at;
    return true;
}

static bool check_required(struct config_reader *r, const struct seen *seen, const char *what,
                           struct config_place at)
{
    bool ok = true;
    for (const struct key *k = seen->keys; k && k->name; k++)
        if (k->flags & KEY_REQUIRED && !seen->at[k - seen->keys].line)
            ok = config_error(r->diag, at, "%s has no '%s'", what, k->name);
    return ok;
}

/* What people write who come from nginx, HAProxy or lighttpd; where: in which block, if it means
 * something of its own there. */
static const struct {
    const char *name, *here, *where;
} words_of_others[] = {
    {"server", "'backend'", "pool"},
    {"server", "a 'site', with its 'listen' beside it", NULL},
    {"location", "a 'route'", NULL},
    {"upstream", "a 'pool'", NULL},
    {"frontend", "a 'listen' and the routes of a 'site'", NULL},
    {"bind", "'listen'", NULL},
    {"use_backend", "'proxy POOL' in a route", NULL},
    {"default_backend", "'proxy POOL' in a route", NULL},
    {"proxy_pass", "'proxy POOL' in a route", NULL},
    {"fastcgi_pass", "'proxy POOL', of a pool with 'protocol fastcgi'", NULL},
    {"try_files", "'files else ...'", NULL},
    {"return", "'redirect' or 'respond'", NULL},
};

static const char *word_here(struct slice name, const char *what)
{
    for (size_t i = 0; i < sizeof(words_of_others) / sizeof(words_of_others[0]); i++) {
        const char *where = words_of_others[i].where;
        if (slice_eq(name, slice_str(words_of_others[i].name)) &&
            (!where || strcmp(where, what) == 0))
            return words_of_others[i].here;
    }
    return NULL;
}

static bool unknown_key(struct config_reader *r, const struct key *keys, const char *what,
                        const char *kind, struct config_place at, struct slice name)
{
    struct suggest near = suggest_for(name);
    const char *here = word_here(name, what);
    if (here)
        return config_error(r->diag, at, "unknown %s '" SLICE_FMT "' in %s\nhere that is %s", kind,
                            SLICE_ARG(name), what, here);
    for (const struct key *k = keys; k && k->name; k++)
        suggest_try(&near, k->name);
    return config_error(r->diag, at, "unknown %s '" SLICE_FMT "' in %s%s%s%s", kind,
                        SLICE_ARG(name), what, near.best ? "\ndid you mean '" : "",
                        near.best ? near.best : "", near.best ? "'?" : "");
}

static bool unknown_option(struct config_reader *r, const struct key *k,
                           const struct config_word *word)
{
    struct suggest near = suggest_for(word->option);
    for (const struct key *o = k->options; o->name; o++)
        suggest_try(&near, o->name);
    if (near.best)
        return unknown_key(r, k->options, k->name, "option", word->at, word->option);
    return config_error(r->diag, word->at,
                        "unknown option '" SLICE_FMT "' in %s\n"
                        "put the word in quotes if it is a value",
                        SLICE_ARG(word->option), k->name);
}

static bool apply_options(struct config_reader *r, const struct key *k, const struct directive *d,
                          void *target)
{
    struct seen seen = {.keys = k->options};
    bool ok = true;
    for (uint32_t i = 0; i < d->option_count; i++) {
        const struct config_word *word = &d->options[i];
        const struct key *option = find_key(k->options, word->option);
        if (!k->options)
            ok = config_error(r->diag, word->at,
                              "'%s' takes no options\nput the word in quotes if it is a value",
                              k->name);
        else if (!option)
            ok = unknown_option(r, k, word);
        else
            ok = note_seen(r, &seen, option, word->at) && set_value(r, option, d, word, target) &&
                 ok;
    }
    return check_required(r, &seen, k->name, d->name.at) && ok;
}

/* keys: the table that k is from. Two directives on one line without ';' are what brings too many
 * words most often. */
static bool extra_word(struct config_reader *r, const struct key *keys, const struct key *k,
                       const struct config_word *word)
{
    bool is_key = find_key(keys, word->text);
    return config_error(r->diag, word->at, "'%s' takes %s: '" SLICE_FMT "' is too much%s", k->name,
                        k->type == KEY_NONE ? "no value" : "one value", SLICE_ARG(word->text),
                        is_key ? "\nwrite ';' between two directives on one line" : "");
}

static bool has_bad_word(struct config_reader *r, const struct key *k, const struct directive *d)
{
    for (uint32_t i = 0; i < d->arg_count; i++) {
        if (d->args[i].is_bad)
            return true;
        if (d->args[i].has_variable && !(k->flags & KEY_TEMPLATE))
            return !no_variables(r, k, &d->args[i]);
    }
    return false;
}

static bool apply_words(struct config_reader *r, const struct key *keys, const struct key *k,
                        const struct directive *d, void *target)
{
    bool is_free = k->type == KEY_CUSTOM && !(k->flags & KEY_ONE);
    uint32_t takes = k->type == KEY_NONE ? 0 : 1;
    if (!is_free && d->arg_count > takes)
        return extra_word(r, keys, k, &d->args[takes]);
    if (!is_free && d->arg_count < takes)
        return config_error(r->diag, d->name.at, "'%s' takes %s", k->name, type_name(k));
    return !has_bad_word(r, k, d) && set_value(r, k, d, d->args, target);
}

static bool apply_block(struct config_reader *r, const struct key *k, const struct directive *d,
                        void *target)
{
    if (d->has_block && !k->block)
        return config_error(r->diag, d->name.at, "'%s' takes no block", k->name);
    if (!k->block)
        return true;
    return config_apply(r, k->block, d->block, k->name, d->name.at, target);
}

static bool apply_one(struct config_reader *r, const struct key *keys, const struct key *k,
                      const struct directive *d, void *target)
{
    if (k->open) {
        target = k->open(r, d, target);
        if (!target)
            return false;
        config_defaults(r, k->options, target);
        config_defaults(r, k->block, target);
    }
    bool ok = apply_words(r, keys, k, d, target);
    if (ok || k->options) /* else what looks like an option may belong to the words */
        ok = apply_options(r, k, d, target) && ok;
    ok = apply_block(r, k, d, target) && ok;
    return ok && (!k->close || k->close(r, d, target));
}

bool config_apply(struct config_reader *r, const struct key *keys, const struct directive *first,
                  const char *what, struct config_place place, void *target)
{
    struct seen seen = {.keys = keys};
    bool ok = true, all_known = true;
    for (const struct directive *d = first; d && !config_diag_is_full(r->diag); d = d->next) {
        const struct key *k = find_key(keys, d->name.text);
        if (d->name.is_bad)
            all_known = false;
        else if (!k)
            all_known = unknown_key(r, keys, what, "key", d->name.at, d->name.text);
        else
            ok = note_seen(r, &seen, k, d->name.at) && apply_one(r, keys, k, d, target) && ok;
    }
    /* What seems to be missing may stand there misspelt. */
    return all_known && check_required(r, &seen, what, place) && ok;
}

/* ---- files ---- */

static struct slice path_beside(struct config_reader *r, const struct config_word *word)
{
    struct slice dir = word->at.file ? word->at.file->path : SLICE_NONE;
    while (dir.n && dir.p[dir.n - 1] != '/')
        dir.n--;
    if (slice_starts(word->text, SLICE("/")) || !dir.n)
        return word->text;
    return arena_printf(r->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(dir), SLICE_ARG(word->text));
}

bool config_read_file(struct config_reader *r, const struct config_word *word, uint64_t max,
                      struct slice *text)
{
    const char *why = "files cannot be read here";
    if (!r->loader ||
        !r->loader->read(r->loader->context, path_beside(r, word), r->arena, text, &why))
        return config_error(r->diag, word->text_at, "cannot read '" SLICE_FMT "': %s",
                            SLICE_ARG(word->text), why);
    return text->n <= max ||
           config_error(r->diag, word->text_at, "'" SLICE_FMT "' is larger than %llu bytes",
                        SLICE_ARG(word->text), (unsigned long long)max);
}
