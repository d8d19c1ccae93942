/* SPDX-License-Identifier: MIT */
#include "static/files_conf.h"

#include "base/num.h"
#include "config/suggest.h"
#include "http/range.h"
#include "net/file.h"

enum { TYPES_FILE_MAX = 1024 * 1024 };

static key_set_fn set_strip, set_precompressed, set_default_type, set_charset, set_type, set_types,
    set_cache_control, set_expires;

static const struct {
    struct slice name, extension;
} precompressed[] = {
    [PRECOMPRESSED_BR] = {SLICE_INIT("br"), SLICE_INIT(".br")},
    [PRECOMPRESSED_ZSTD] = {SLICE_INIT("zstd"), SLICE_INIT(".zst")},
    [PRECOMPRESSED_GZIP] = {SLICE_INIT("gzip"), SLICE_INIT(".gz")},
};

struct slice precompressed_name(enum precompressed kind)
{
    return precompressed[kind].name;
}

struct slice precompressed_extension(enum precompressed kind)
{
    return precompressed[kind].extension;
}

static const struct key_name links[] = {
#define X(name, text, help) {text, FILE_LINKS_##name, help},
    FILE_LINKS(X)
#undef X
        {NULL, 0, NULL},
};

/* clang-format off */
static const struct key listing_options[] = {
    {.name = "entries", .type = KEY_UINT, .at = at(struct files_conf, listing_entries),
     .init = "1000", .min = "1", .max = "10000",
     .help = "names shown at most; a longer list says that it is cut"},
    {.name = NULL},
};

const struct key files_keys[] = {
    {.name = "strip", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_strip, .syntax = "/PREFIX",
     .help = "the front part of paths that is no part of the files' names"},
    {.name = "symlinks", .type = KEY_ENUM, .at = at(struct files_conf, links), .init = "on",
     .names = links, .help = "what symbolic links beneath the root are worth"},
    {.name = "dotfiles", .type = KEY_BOOL, .at = at(struct files_conf, dotfiles), .init = "off",
     .help = "whether names that begin with a dot are served; /.well-known/ always is"},
    {.name = "listing", .type = KEY_BOOL, .at = at(struct files_conf, listing), .init = "off",
     .options = listing_options,
     .help = "show what is in a directory that has no index"},
    {.name = "ranges", .type = KEY_UINT, .at = at(struct files_conf, ranges), .init = "16",
     .max = "16", .zero = "off",
     .help = "ranges in one request; one with more is answered with all of the file"},
    {.name = "precompressed", .type = KEY_CUSTOM, .set = set_precompressed,
     .syntax = "br | zstd | gzip ...",
     .help = "codings to look for beside a file: FILE.br, FILE.zst, FILE.gz; among those the client "
             "likes equally, the first counts"},
    {.name = "charset", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_charset, .init = "utf-8",
     .syntax = "NAME | off", .help = "what text is said to be written in"},
    {.name = "type", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = set_type,
     .syntax = "EXTENSION TYPE",
     .help = "the media type of files with this extension, in place of the built-in one"},
    {.name = "types", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_types, .syntax = "FILE",
     .help = "a file such as /etc/mime.types, with a media type and its extensions on each line, "
             "in place of the built-in ones; 'type' counts before it. Read at start and reload"},
    {.name = "default-type", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_default_type,
     .init = "application/octet-stream", .syntax = "TYPE | off",
     .help = "the media type of all other files"},
    {.name = "cache-control", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_cache_control,
     .syntax = "VALUE", .help = "what caches are told: \"public, immutable\""},
    {.name = "expires", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_expires, .syntax = "TIME",
     .help = "how long a copy is fresh: max-age of Cache-Control"},
    {.name = NULL},
};
/* clang-format on */

static bool set_strip(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    (void)d;
    struct files_conf *conf = target;
    conf->strip = word->text;
    while (slice_ends(conf->strip, SLICE("/")))
        conf->strip.n--;
    return slice_starts(word->text, SLICE("/")) ||
           config_error(r->diag, word->at, "'strip' takes a path that begins with '/'");
}

static bool is_chosen(const struct files_conf *conf, enum precompressed kind)
{
    for (uint32_t i = 0; i < conf->precompressed_count; i++)
        if (conf->precompressed[i] == kind)
            return true;
    return false;
}

static bool set_precompressed(struct config_reader *r, const struct directive *d,
                              const struct config_word *word, void *target)
{
    struct files_conf *conf = target;
    if (d->arg_count == 0)
        return config_error(r->diag, d->name.at, "'precompressed' takes names: br, zstd, gzip");
    for (uint32_t i = 0; i < d->arg_count; i++) {
        unsigned kind = 0;
        while (kind < PRECOMPRESSED_KINDS && !slice_eq(word[i].text, precompressed[kind].name))
            kind++;
        if (kind == PRECOMPRESSED_KINDS)
            return config_error(r->diag, word[i].at,
                                "'precompressed' does not know '" SLICE_FMT
                                "'\nknown: br, zstd, gzip",
                                SLICE_ARG(word[i].text));
        if (!is_chosen(conf, kind))
            conf->precompressed[conf->precompressed_count++] = kind;
    }
    return true;
}

/* Whether it can stand in a field: what is configured must not break a head. */
static bool is_field_text(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static bool bad_text(struct config_reader *r, const struct directive *d,
                     const struct config_word *word)
{
    return config_error(r->diag, word->at, "'" SLICE_FMT "' takes text without control characters",
                        SLICE_ARG(d->name.text));
}

static bool set_default_type(struct config_reader *r, const struct directive *d,
                             const struct config_word *word, void *target)
{
    struct files_conf *conf = target;
    conf->default_type = slice_eq(word->text, SLICE("off")) ? SLICE_NONE : word->text;
    return is_field_text(word->text) || bad_text(r, d, word);
}

static bool set_charset(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    struct files_conf *conf = target;
    conf->charset = slice_eq(word->text, SLICE("off")) ? SLICE_NONE : word->text;
    return is_field_text(word->text) || bad_text(r, d, word);
}

static bool set_type(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct files_conf *conf = target;
    if (d->arg_count != 2)
        return config_error(r->diag, d->name.at, "'type' takes an extension and a media type");
    struct slice extension = word[0].text;
    if (slice_starts(extension, SLICE(".")))
        extension = slice_skip(extension, 1);
    if (!is_field_text(word[1].text) || slice_find(word[1].text, '/') == word[1].text.n)
        return config_error(r->diag, word[1].at, "'" SLICE_FMT "' is no media type",
                            SLICE_ARG(word[1].text));
    for (size_t i = 0; i < extension.n; i++)
        if (extension.p[i] >= 'A' && extension.p[i] <= 'Z')
            return config_error(r->diag, word[0].at,
                                "an extension is written in small letters; both are meant");
    struct type *type = config_append(r, &conf->given, &conf->given_count, sizeof(*conf->given));
    *type = (struct type){extension, word[1].text};
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice next_word(struct slice *line)
{
    size_t skip = 0, n;
    while (skip < line->n && is_blank(line->p[skip]))
        skip++;
    for (n = skip; n < line->n && !is_blank(line->p[n]) && line->p[n] != '#';)
        n++;
    struct slice word = slice_skip(slice_first(*line, n), skip);
    *line = slice_skip(*line, n);
    return word;
}

/* Names that differ in their case alone are one here. */
static struct slice small_letters(struct slice s, struct arena *a)
{
    char *p = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
    return slice_of(p, s.n);
}

/* TYPE EXTENSION... # comment */
static bool add_types(struct config_reader *r, struct files_conf *conf, struct slice line)
{
    struct slice value = next_word(&line), extension;
    if (value.n && (!is_field_text(value) || slice_find(value, '/') == value.n))
        return false;
    while ((extension = next_word(&line)).n) {
        struct type *type = config_append(r, &conf->read, &conf->read_count, sizeof(*conf->read));
        *type = (struct type){small_letters(extension, r->arena), value};
    }
    return true;
}

static bool set_types(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    (void)d;
    struct slice rest;
    if (!config_read_file(r, word, TYPES_FILE_MAX, &rest))
        return false;
    for (unsigned number = 1; rest.n; number++) {
        size_t end = slice_find(rest, '\n');
        if (!add_types(r, target, slice_first(rest, end)))
            return config_error(r->diag, word->at,
                                "line %u of '" SLICE_FMT "' does not begin with a media type\n"
                                "lines are as in /etc/mime.types: text/html html htm",
                                number, SLICE_ARG(word->text));
        rest = slice_skip(rest, end + (end < rest.n));
    }
    return true;
}

static bool set_cache_control(struct config_reader *r, const struct directive *d,
                              const struct config_word *word, void *target)
{
    struct files_conf *conf = target;
    conf->cache_control = word->text;
    return is_field_text(word->text) || bad_text(r, d, word);
}

static bool set_expires(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    (void)d;
    struct files_conf *conf = target;
    uint64_t ms;
    if (!num_ms(word->text, &ms) || ms / 1000 > UINT32_MAX)
        return config_error(r->diag, word->at, "'expires' takes a time such as 10m, 1h or 30d");
    conf->expires_s = (uint32_t)(ms / 1000);
    conf->has_expires = true;
    return true;
}

/* A path, to begin again at, or the status of an error, or "next". */
static bool set_else(struct config_reader *r, const struct config_word *word,
                     struct files_conf *conf)
{
    uint64_t status;
    if (slice_starts(word->text, SLICE("/"))) {
        conf->else_path = word->text;
        return true;
    }
    conf->else_next = slice_eq(word->text, SLICE("next"));
    if (conf->else_next)
        return true;
    if (!num_dec(word->text, &status) || status < 400 || status > 599)
        return config_error(r->diag, word->at,
                            "'else' takes a path that begins with '/', 'next', or a status of 400 "
                            "to 599");
    conf->else_status = (uint16_t)status;
    return true;
}

bool files_conf_set(struct config_reader *r, const struct directive *d,
                    const struct config_word *word, void *target)
{
    struct files_conf *conf = target;
    conf->else_status = 404;
    if (d->arg_count == 0)
        return true;
    if (d->arg_count != 2 || !slice_eq(word[0].text, SLICE("else")))
        return config_error(r->diag, word[0].at,
                            "'files' takes nothing, or: else /PATH, else next, else STATUS");
    return set_else(r, &word[1], conf);
}

void files_conf_finish(struct config_reader *r, struct files_conf *conf)
{
    conf->types.otherwise = conf->default_type;
    for (uint32_t i = 0; i < conf->given_count; i++)
        *(struct type *)config_append(r, &conf->read, &conf->read_count, sizeof(*conf->read)) =
            conf->given[i];
    types_build(&conf->types, conf->read, conf->read_count, conf->charset, r->arena);
    if (!conf->has_expires)
        return;
    conf->cache_control =
        arena_printf(r->arena, SLICE_FMT "%smax-age=%u", SLICE_ARG(conf->cache_control),
                     conf->cache_control.n ? ", " : "", conf->expires_s);
}
