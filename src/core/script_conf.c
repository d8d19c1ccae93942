/* SPDX-License-Identifier: MIT */
#include "core/script_conf.h"

#include <string.h>

#include "codec/cgi_env.h"
#include "net/file.h"

static bool begins_with_slash(struct config_reader *r, const struct directive *d,
                              const struct config_word *word)
{
    return slice_starts(word->text, SLICE("/")) ||
           config_error(r->diag, word->at, "'" SLICE_FMT "' takes a path that begins with '/'",
                        SLICE_ARG(d->name.text));
}

bool script_set_root(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct script_conf *conf = target;
    conf->root = word->text;
    while (conf->root.n > 1 && slice_ends(conf->root, SLICE("/")))
        conf->root.n--;
    return begins_with_slash(r, d, word);
}

bool script_set_script(struct config_reader *r, const struct directive *d,
                       const struct config_word *word, void *target)
{
    struct script_conf *conf = target;
    conf->script = word->text;
    return begins_with_slash(r, d, word);
}

bool script_set_split(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    (void)d;
    struct script_conf *conf = target;
    conf->split = word->text;
    return (slice_starts(word->text, SLICE(".")) && word->text.n > 1) ||
           config_error(r->diag, word->at, "'split-path' takes an extension such as .php");
}

bool script_set_index(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct script_conf *conf = target;
    if (d->arg_count == 0)
        return config_error(r->diag, d->name.at, "'index' takes the names of files");
    for (uint32_t i = 0; i < d->arg_count; i++) {
        struct slice name = word[i].text;
        if (!name.n || slice_find(name, '/') < name.n)
            return config_error(r->diag, word[i].at, "'index' takes names without '/'");
        *(struct slice *)config_append(r, &conf->index, &conf->index_count, sizeof(name)) = name;
    }
    return true;
}

static void add_param(struct config_reader *r, struct script_conf *conf,
                      const struct cgi_param *param, const struct template *value)
{
    uint32_t count = conf->param_count;
    struct slice fixed;
    *(struct template *)config_append(r, &conf->templates, &count, sizeof(*value)) = *value;
    struct cgi_param *kept =
        config_append(r, &conf->params, &conf->param_count, sizeof(*conf->params));
    *kept = *param;
    if (template_is_fixed(value, &fixed))
        kept->value = fixed;
    else
        conf->has_templates = true;
}

bool script_set_param(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct script_conf *conf = target;
    if (d->arg_count != 2)
        return config_error(r->diag, d->name.at, "'param' takes a name and a value");
    struct cgi_param param = {word[0].text, word[1].text};
    if (!param.name.n || slice_find(param.name, '=') < param.name.n)
        return config_error(r->diag, word[0].at, "a parameter's name is not empty and has no '='");
    if (slice_eq(param.name, SLICE("CONTENT_LENGTH")) || slice_eq(param.name, SLICE("SCGI")))
        return config_error(r->diag, word[0].at, "'" SLICE_FMT "' is made from the request alone",
                            SLICE_ARG(param.name));
    struct template value;
    if (!template_read(r, &word[1], TEMPLATE_FIELD, conf->groups, &value))
        return false;
    add_param(r, conf, &param, &value);
    return true;
}

static bool has_param(const struct script_conf *conf, struct slice name)
{
    for (uint32_t i = 0; i < conf->param_count; i++)
        if (slice_eq(conf->params[i].name, name))
            return true;
    return false;
}

void script_conf_inherit(struct config_reader *r, struct script_conf *route,
                         const struct script_conf *site)
{
    if (!route->root.n)
        route->root = site->root;
    if (!route->index_count) {
        route->index = site->index;
        route->index_count = site->index_count;
    }
    if (!route->split.n)
        route->split = site->split;
    for (uint32_t i = 0; i < site->param_count; i++)
        if (!has_param(route, site->params[i].name))
            add_param(r, route, &site->params[i], &site->templates[i]);
}

void script_conf_finish(struct script_conf *route, const struct back_codec *codec)
{
    route->is_used = codec && codec->wants_cgi;
    if (!route->split.n && route->root.n && codec && codec->script_end)
        route->split = slice_str(codec->script_end);
}

/* The first index that is a script; which files there are is not looked at. */
static bool add_index(const struct script_conf *conf, struct slice path, struct arena *a,
                      struct cgi_info *info)
{
    if (!slice_ends(path, SLICE("/")))
        return false;
    for (uint32_t i = 0; i < conf->index_count; i++)
        if (slice_ends(conf->index[i], conf->split)) {
            info->script_name = arena_join(a, path, conf->index[i]);
            info->path_info = SLICE_NONE;
            return true;
        }
    return false;
}

void script_split(const struct script_conf *conf, struct slice path, struct arena *a,
                  struct cgi_info *info)
{
    info->document_root = conf->root;
    info->params = conf->params;
    info->param_count = conf->param_count;
    info->script_name = conf->script;
    info->path_info = conf->script.n ? SLICE_NONE : path;
    if (!conf->script.n && conf->split.n && !cgi_split_path(info, path, conf->split))
        add_index(conf, path, a, info);
}

/* Above whom there is something but the root. */
static bool is_deep(struct slice path)
{
    return path.n && memchr(path.p + 1, '/', path.n - 1);
}

bool script_is_beneath_file(const struct script_conf *conf, struct slice path, struct arena *a)
{
    struct cgi_info info = {0};
    if (!conf->root.n || conf->script.n)
        return false;
    script_split(conf, path, a, &info);
    if (!is_deep(info.script_name))
        return false;
    struct slice file =
        arena_printf(a, SLICE_FMT SLICE_FMT, SLICE_ARG(conf->root), SLICE_ARG(info.script_name));
    return file_is_beneath_file(file.p);
}
