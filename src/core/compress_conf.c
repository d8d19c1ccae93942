/* SPDX-License-Identifier: MIT */
#include "core/compress_conf.h"

static key_set_fn set_types;

/* clang-format off */
const struct key compress_options[] = {
    {.name = "level", .type = KEY_UINT, .at = at(struct compress_conf, level), .init = "auto",
     .max = "9", .zero = "auto", .help = "1, the quickest, to 9, the smallest; auto: 5"},
    {.name = "min", .type = KEY_SIZE, .at = at(struct compress_conf, min), .init = "1k",
     .help = "shorter bodies are sent as they are; one whose length is not known counts as long"},
    {.name = "types", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = set_types,
     .syntax = "TYPE[,TYPE...]",
     .help = "media types: text/html, text/*, *+json. Without it text, JSON, XML, JavaScript, SVG, "
             "WebAssembly and uncompressed fonts"},
    {.name = NULL},
};
/* clang-format on */

static const struct slice usual_types[] = {
    SLICE_INIT("text/*"),
    SLICE_INIT("application/json"),
    SLICE_INIT("application/javascript"),
    SLICE_INIT("application/xml"),
    SLICE_INIT("application/wasm"),
    SLICE_INIT("application/x-javascript"),
    SLICE_INIT("application/x-ndjson"),
    SLICE_INIT("application/vnd.ms-fontobject"),
    SLICE_INIT("font/ttf"),
    SLICE_INIT("font/otf"),
    SLICE_INIT("image/bmp"),
    SLICE_INIT("*+json"),
    SLICE_INIT("*+xml"), /* image/svg+xml, feeds */
    SLICE_INIT("*+text"),
};

static bool set_types(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    (void)d;
    struct compress_conf *conf = target;
    struct slice list = word->text, type;
    while (slice_next_token(&list, &type)) {
        size_t star = slice_find(type, '*');
        bool is_suffix = slice_starts(type, SLICE("*+")) && type.n > 2;
        bool is_type = slice_find(type, '/') < type.n && (star == type.n || star == type.n - 1);
        if (!is_suffix && !is_type)
            return config_error(r->diag, word->text_at,
                                "'" SLICE_FMT "' is no media type\n"
                                "write text/html, text/* or *+json",
                                SLICE_ARG(type));
        *(struct slice *)config_append(r, &conf->types, &conf->type_count, sizeof(type)) = type;
    }
    return conf->type_count || config_error(r->diag, word->text_at, "'types' names none");
}

static bool add_coding(struct config_reader *r, const struct config_word *word,
                       struct compress_conf *conf)
{
    const struct coding *coding = coding_find(word->text);
    if (!coding)
        return config_error(r->diag, word->at,
                            "there is no content coding '" SLICE_FMT "'\nknown: zstd, br, gzip",
                            SLICE_ARG(word->text));
    for (uint32_t i = 0; i < conf->count; i++)
        if (conf->codings[i] == coding)
            return config_error(r->diag, word->at, "'" SLICE_FMT "' stands here twice",
                                SLICE_ARG(word->text));
    conf->codings[conf->count++] = coding;
    return true;
}

bool compress_set(struct config_reader *r, const struct directive *d,
                  const struct config_word *word, void *target)
{
    struct compress_conf *conf = target;
    conf->is_set = true;
    if (d->arg_count == 0)
        return config_error(r->diag, d->name.at, "'compress' takes on, off or codings");
    if (d->arg_count == 1 && slice_eq(word->text, SLICE("off")))
        return true;
    if (d->arg_count == 1 && slice_eq(word->text, SLICE("on"))) {
        for (unsigned i = 0; coding_at(i); i++)
            conf->codings[conf->count++] = coding_at(i);
        return true;
    }
    bool ok = true;
    for (uint32_t i = 0; i < d->arg_count; i++)
        ok = add_coding(r, &word[i], conf) && ok;
    return ok;
}

void compress_conf_finish(struct compress_conf *route, const struct compress_conf *site)
{
    if (!route->is_set)
        *route = *site;
}

static bool matches(struct slice pattern, struct slice type)
{
    if (slice_starts(pattern, SLICE("*"))) {
        struct slice suffix = slice_skip(pattern, 1);
        return type.n > suffix.n && slice_ieq(slice_skip(type, type.n - suffix.n), suffix);
    }
    if (slice_ends(pattern, SLICE("*"))) {
        pattern.n--;
        type = slice_first(type, pattern.n);
    }
    return slice_ieq(pattern, type);
}

bool compress_conf_has_type(const struct compress_conf *conf, struct slice type)
{
    size_t usual_count = sizeof(usual_types) / sizeof(usual_types[0]);
    const struct slice *types = conf->type_count ? conf->types : usual_types;
    size_t count = conf->type_count ? conf->type_count : usual_count;
    type = slice_trim(slice_first(type, slice_find(type, ';')));
    for (size_t i = 0; i < count; i++)
        if (matches(types[i], type))
            return true;
    return false;
}

void compress_conf_explain(const struct compress_conf *conf, FILE *out)
{
    for (uint32_t i = 0; i < conf->count; i++)
        fprintf(out, "%s" SLICE_FMT, i ? " " : "", SLICE_ARG(conf->codings[i]->name));
    if (!conf->count) {
        fputs("off\n", out);
        return;
    }
    if (conf->level)
        fprintf(out, "  level=%u", conf->level);
    fprintf(out, "  min=%llu  types=", (unsigned long long)conf->min);
    if (!conf->type_count)
        fputs("the usual", out);
    for (uint32_t i = 0; i < conf->type_count; i++)
        fprintf(out, "%s" SLICE_FMT, i ? "," : "", SLICE_ARG(conf->types[i]));
    fputc('\n', out);
}
