/* SPDX-License-Identifier: MIT */
#include "static/lookup.h"

#include <errno.h>

/* What is not to be had is not there, whatever the reason: nobody learns the names of what he may
 * not see. */
static const struct {
    int error;
    uint16_t status;
    const char *why;
} errors[] = {
    {ENOENT, 404, "no such file"},
    {ENOTDIR, 404, "no such file: a part of the path is no directory"},
    {ENAMETOOLONG, 404, "no such file: the path is too long"},
    {EINVAL, 404, "no such file: the path has a NUL in it"},
    {ELOOP, 404, "a symbolic link that does not count (symlinks)"},
    {EXDEV, 404, "a symbolic link that leads out of the root (symlinks)"},
    {ENXIO, 404, "neither a file nor a directory"},
    {ENODEV, 404, "neither a file nor a directory"},
    {EACCES, 403, "the file may not be read by us"},
    {EPERM, 403, "the file may not be read by us"},
    {EMFILE, 503, "too many files are open (limit of descriptors)"},
    {ENFILE, 503, "too many files are open on this machine"},
    {ENOMEM, 503, "no memory to open a file"},
};

uint16_t lookup_status(int error, const char **why)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (errors[i].error != -error)
            continue;
        *why = errors[i].why;
        return errors[i].status;
    }
    *why = "the file cannot be opened";
    return 500;
}

static enum found nothing(struct lookup *l, int error)
{
    l->status = lookup_status(error, &l->why);
    return FOUND_NOTHING;
}

/* The path as a name beneath the root. */
static struct slice name_of(const struct files_conf *conf, struct slice path)
{
    size_t n = conf->strip.n;
    if (n && slice_starts(path, conf->strip) && (path.n == n || path.p[n] == '/'))
        path = slice_skip(path, n);
    return slice_skip(path, slice_starts(path, SLICE("/")) ? 1 : 0);
}

static int open_name(struct lookup *l, struct slice name, bool keeps_missing, struct file **out)
{
    const struct file_query query = {.root = l->conf->root,
                                     .path = name,
                                     .links = (enum file_links)l->conf->links,
                                     .keeps_missing = keeps_missing};
    int error = file_cache_open(l->cache, l->cache_conf, &query, out);
    if (l->tell)
        l->tell(l->ctx, name, error);
    return error;
}

/* A directory of the name of an index is none. */
static enum found find_index(struct lookup *l, struct slice path, struct slice name)
{
    for (uint32_t i = 0; i < l->conf->index_count; i++) {
        l->name = arena_join(l->arena, name, l->conf->index[i]);
        int error = open_name(l, l->name, false, &l->file);
        if (error == 0 && !l->file->info.is_dir) {
            l->path = arena_join(l->arena, path, l->conf->index[i]);
            l->is_index = true;
            return FOUND_FILE;
        }
        if (error == 0)
            file_unref(l->file);
        l->file = NULL;
        if (error && error != -ENOENT && error != -ENOTDIR)
            return nothing(l, error);
    }
    l->status = 404;
    l->why = "no such file: none that 'index' names";
    return FOUND_NOTHING;
}

static enum found find_directory(struct lookup *l, struct slice path, struct slice name)
{
    enum found found = find_index(l, path, name);
    if (found == FOUND_FILE || l->status != 404 || !l->conf->listing)
        return found;
    int error = open_name(l, name, false, &l->file);
    if (error)
        return nothing(l, error);
    l->name = name;
    return FOUND_LIST;
}

enum found lookup_path(struct lookup *l, struct slice path)
{
    struct slice name = name_of(l->conf, path);
    l->file = NULL;
    l->is_index = false;
    l->cache->root_error = 0;
    if (!l->conf->dotfiles && file_is_hidden(name)) {
        l->status = 404;
        l->why = "names that begin with a dot are not served (dotfiles)";
        return FOUND_NOTHING;
    }
    if (slice_ends(path, SLICE("/")))
        return find_directory(l, path, name);
    int error = open_name(l, name, false, &l->file);
    if (error)
        return nothing(l, error);
    l->path = path;
    l->name = name;
    return l->file->info.is_dir ? FOUND_DIRECTORY : FOUND_FILE;
}

struct file *lookup_sibling(struct lookup *l, struct slice extension)
{
    struct file *file;
    if (open_name(l, arena_join(l->arena, l->name, extension), true, &file))
        return NULL;
    if (!file->info.is_dir)
        return file;
    file_unref(file);
    return NULL;
}
