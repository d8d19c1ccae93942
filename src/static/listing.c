/* SPDX-License-Identifier: MIT */
#include "static/listing.h"

#include <stdlib.h>

#include "base/text.h"
#include "http/percent.h"

struct entry {
    struct slice name;
    enum file_kind kind;
    uint64_t size;
    int64_t modified_s;
};

struct list_page {
    const struct files_conf *conf;
    struct arena *arena;
    struct entry *entries;
    uint32_t n;
    bool is_cut;
};

static bool add_entry(void *ctx, const char *name, enum file_kind kind,
                      const struct file_info *info)
{
    struct list_page *page = ctx;
    if ((!page->conf->dotfiles && name[0] == '.') ||
        (kind == FILE_LINK && page->conf->links == FILE_LINKS_OFF))
        return true;
    if (page->n == page->conf->listing_entries) {
        page->is_cut = true;
        return false;
    }
    page->entries[page->n++] = (struct entry){
        .name = arena_dup(page->arena, slice_str(name)),
        .kind = kind,
        .size = info->size,
        .modified_s = info->mtime_ns / 1000000000,
    };
    return true;
}

/* Directories first, then by the bytes of their names. */
static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    bool x_dir = x->kind == FILE_DIRECTORY, y_dir = y->kind == FILE_DIRECTORY;
    if (x_dir != y_dir)
        return x_dir ? -1 : 1;
    return strcmp(x->name.p, y->name.p); /* arena_dup() puts a NUL behind it */
}

/* ---- the page ---- */

enum { LINE_MAX = 8 * 1024 };

static void put_head(struct text *t, struct slice path)
{
    text_lit(t, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    text_html(t, path);
    text_lit(t, "</title>\n<style>\n:root { color-scheme: light dark }\n"
                "body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; "
                "padding: 0 1em }\nh1 { font-size: 1.3rem }\ntd { padding-right: 2em }\n"
                "td + td { text-align: right; opacity: .7 }\n</style>\n<h1>");
    text_html(t, path);
    text_lit(t, "</h1>\n<table>\n");
    if (path.n > 1)
        text_lit(t, "<tr><td><a href=\"../\">../</a>\n");
}

static void put_entry(struct text *t, const struct entry *e, struct arena *a)
{
    bool is_dir = e->kind == FILE_DIRECTORY;
    text_lit(t, "<tr><td><a href=\"./");
    text_html(t, percent_encode(e->name, PERCENT_PATH, a));
    text_put(t, is_dir ? SLICE("/\">") : SLICE("\">"));
    text_html(t, e->name);
    text_put(t, is_dir ? SLICE("/</a>") : SLICE("</a>"));
    text_lit(t, "<td>");
    text_time(t, e->modified_s * 1000000);
    text_lit(t, "<td>");
    if (e->kind == FILE_PLAIN)
        text_dec(t, e->size);
    text_char(t, '\n');
}

static void put_page(const struct list_page *page, struct slice path, struct chain *body)
{
    char line[LINE_MAX];
    struct text t = text_of(line, sizeof(line));
    put_head(&t, slice_first(path, LINE_MAX / 16)); /* each byte may become six, twice */
    chain_copy(body, text_slice(&t));
    for (uint32_t i = 0; i < page->n; i++) {
        t = text_of(line, sizeof(line));
        put_entry(&t, &page->entries[i], page->arena);
        chain_copy(body, text_slice(&t));
    }
    chain_copy(body, SLICE("</table>\n"));
    if (page->is_cut)
        chain_copy(body, SLICE("<p>There are more, which are not shown.</p>\n"));
}

int listing_put(const struct lookup *l, struct slice path, struct chain *body)
{
    struct list_page page = {.conf = l->conf, .arena = l->arena};
    page.entries = arena_alloc(l->arena, l->conf->listing_entries * sizeof(*page.entries));
    int error = file_list(l->file->source.fd, add_entry, &page);
    if (error)
        return error;
    qsort(page.entries, page.n, sizeof(*page.entries), by_name);
    put_page(&page, path, body);
    return 0;
}
