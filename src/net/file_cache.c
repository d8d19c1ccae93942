/* SPDX-License-Identifier: MIT */
#include "net/file_cache.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- what is kept ---- */

static struct file *file_of(struct list *node)
{
    return container_of(node, struct file, node);
}

static void drop_content(struct file *f)
{
    if (!f->content)
        return;
    f->cache->memory -= f->content->cap;
    buf_unref(f->content);
    f->content = NULL;
}

static void free_file(struct source *source)
{
    struct file *f = container_of(source, struct file, source);
    drop_content(f);
    if (f->source.fd >= 0)
        close(f->source.fd);
    free(f);
}

static void forget(struct file_cache *c, struct file *f)
{
    map_remove(&c->map, slice_of(f->key, f->key_bytes));
    list_remove(&f->node);
    drop_content(f);
    file_unref(f);
}

static void forget_all(struct file_cache *c)
{
    while (!list_is_empty(&c->oldest))
        forget(c, file_of(c->oldest.next));
}

static void on_sweep(struct timer *t)
{
    struct file_cache *c = container_of(t, struct file_cache, sweep);
    while (!list_is_empty(&c->oldest) && file_of(c->oldest.next)->until_ms <= c->loop->now_ms)
        forget(c, file_of(c->oldest.next));
    if (!list_is_empty(&c->oldest))
        timer_set_at(c->loop, t, file_of(c->oldest.next)->until_ms);
}

void file_cache_init(struct file_cache *c, struct loop *loop)
{
    struct map_key key = {0};
    *c = (struct file_cache){.loop = loop};
    ssize_t got = getrandom(&key, sizeof(key), 0);
    (void)got; /* few bytes come at once, or not at all: then keys are guessable, no more */
    map_init(&c->map, key);
    list_init(&c->oldest);
    timer_init(&c->sweep, on_sweep);
}

void file_cache_fini(struct file_cache *c)
{
    forget_all(c);
    map_fini(&c->map);
    timer_fini(c->loop, &c->sweep);
}

static void keep(struct file_cache *c, const struct file_cache_conf *conf, struct file *f)
{
    struct file *old = map_get(&c->map, slice_of(f->key, f->key_bytes));
    if (old) /* its time has passed, and the sweep's has not come */
        forget(c, old);
    while (c->map.count >= conf->files && c->map.count)
        forget(c, file_of(c->oldest.next));
    f->until_ms = c->loop->now_ms + conf->valid_ms;
    map_put(&c->map, slice_of(f->key, f->key_bytes), f);
    list_append(&c->oldest, &f->node);
    source_ref(&f->source);
    timer_set(c->loop, &c->sweep, conf->valid_ms);
}

/* ---- keys ---- */

/* root NUL links path: a path has no NUL in it. A root itself is the path "". */
enum { KEY_MAX = 2 * PATH_MAX };

struct key {
    struct slice text;
    char p[KEY_MAX];
};

static bool make_key(struct key *key, const struct file_query *q)
{
    if (q->root.n + q->path.n + 2 > KEY_MAX || slice_find(q->path, '\0') < q->path.n)
        return false;
    char *p = slice_put(key->p, q->root);
    *p++ = '\0';
    *p++ = (char)q->links;
    p = slice_put(p, q->path);
    key->text = slice_of(key->p, (size_t)(p - key->p));
    return true;
}

static struct file *find(const struct file_cache *c, const struct key *key)
{
    struct file *f = map_get(&c->map, key->text);
    return f && f->until_ms > c->loop->now_ms ? f : NULL;
}

static struct file *file_new(struct file_cache *c, const struct key *key, int fd,
                             const struct file_info *info)
{
    struct file *f = mem_alloc(sizeof(*f) + key->text.n);
    *f = (struct file){.source = {.fd = fd, .refs = 1, .free = free_file},
                       .info = *info,
                       .cache = c,
                       .key_bytes = (uint32_t)key->text.n};
    list_init(&f->node);
    memcpy(f->key, key->text.p, key->text.n);
    return f;
}

/* ---- opening ---- */

static int open_text(int dir, struct slice path, enum file_links links, struct file_info *info)
{
    char text[PATH_MAX];
    if (path.n >= sizeof(text))
        return -ENAMETOOLONG;
    memcpy(text, path.p, path.n);
    text[path.n] = '\0';
    return dir < 0 ? file_open_dir(text) : file_open(dir, text, links, info);
}

/* The root, kept for as long as other files: should its path come to name another directory, that
 * is what counts from then on. */
static int open_root(struct file_cache *c, const struct file_cache_conf *conf, struct slice root,
                     struct file **out)
{
    struct key key;
    if (!make_key(&key, &(struct file_query){.root = root}))
        return -ENAMETOOLONG;
    *out = find(c, &key);
    if (*out) {
        source_ref(&(*out)->source);
        return 0;
    }
    int fd = open_text(-1, root, FILE_LINKS_FOLLOW, NULL);
    if (fd < 0)
        return fd;
    *out = file_new(c, &key, fd, &(struct file_info){.is_dir = true});
    if (conf->files)
        keep(c, conf, *out);
    return 0;
}

static int open_beneath(struct file_cache *c, const struct file_cache_conf *conf,
                        const struct file_query *q, struct file_info *info)
{
    struct file *root;
    int fd = c->root_error = open_root(c, conf, q->root, &root);
    if (fd < 0)
        return fd;
    fd = open_text(root->source.fd, q->path.n ? q->path : SLICE("."), q->links, info);
    file_unref(root);
    return fd;
}

static void keep_missing(struct file_cache *c, const struct file_cache_conf *conf,
                         const struct key *key)
{
    struct file *f = file_new(c, key, -1, &(struct file_info){0});
    f->error = -ENOENT;
    keep(c, conf, f);
    file_unref(f);
}

int file_cache_open(struct file_cache *c, const struct file_cache_conf *conf,
                    const struct file_query *q, struct file **out)
{
    struct key key;
    struct file_info info;
    if (!make_key(&key, q))
        return slice_find(q->path, '\0') < q->path.n ? -EINVAL : -ENAMETOOLONG;
    *out = q->path.n ? find(c, &key) : NULL;
    if (*out && (*out)->error)
        return (*out)->error;
    if (*out) {
        source_ref(&(*out)->source);
        return 0;
    }
    int fd = open_beneath(c, conf, q, &info);
    if (fd == -EMFILE || fd == -ENFILE) {
        forget_all(c);
        fd = open_beneath(c, conf, q, &info);
    }
    if (fd == -ENOENT && q->keeps_missing && conf->files)
        keep_missing(c, conf, &key);
    if (fd < 0)
        return fd;
    *out = file_new(c, &key, fd, &info);
    if (conf->files && q->path.n)
        keep(c, conf, *out);
    return 0;
}

int file_open_fresh(struct file_cache *c, const struct file_query *q, struct file **out)
{
    static const struct file_cache_conf nothing_kept = {0};
    struct key key;
    struct file_info info;
    if (!make_key(&key, q))
        return slice_find(q->path, '\0') < q->path.n ? -EINVAL : -ENAMETOOLONG;
    int fd = open_beneath(c, &nothing_kept, q, &info);
    if (fd < 0)
        return fd;
    *out = file_new(c, &key, fd, &info);
    return 0;
}

int file_cache_unlink(struct file_cache *c, const struct file_query *q, const struct file *f)
{
    static const struct file_cache_conf nothing_kept = {0};
    char text[PATH_MAX];
    struct file *root;
    if (q->path.n >= sizeof(text))
        return -ENAMETOOLONG;
    int error = open_root(c, &nothing_kept, q->root, &root);
    if (error < 0)
        return error;
    memcpy(text, q->path.p, q->path.n);
    text[q->path.n] = '\0';
    error = file_unlink(root->source.fd, text, &f->info);
    file_unref(root);
    return error;
}

uint64_t file_cache_random(const struct file_cache *c, uint64_t n)
{
    return map_siphash24(c->map.key, slice_of(&n, sizeof(n)));
}

/* ---- contents ---- */

struct buf *file_content(struct file *f, const struct file_cache_conf *conf)
{
    if (f->content)
        return buf_ref(f->content);
    if (f->info.size > FILE_SMALL || f->info.is_dir)
        return NULL;
    struct buf *b = buf_take(&f->cache->loop->bufs, (size_t)f->info.size);
    if (!file_read(f->source.fd, b->data, (size_t)f->info.size, 0)) {
        buf_unref(b);
        return NULL;
    }
    b->used = b->cap; /* nobody may add to it */
    if (list_is_linked(&f->node) && f->cache->memory + b->cap <= conf->memory_bytes) {
        f->content = buf_ref(b);
        f->cache->memory += b->cap;
    }
    return b;
}
