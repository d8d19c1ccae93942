/* SPDX-License-Identifier: MIT */
#include "net/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"

static void free_spool(struct source *source)
{
    struct spool *s = container_of(source, struct spool, source);
    if (source->fd >= 0)
        close(source->fd);
    free(s);
}

struct spool *spool_new(void)
{
    struct spool *s = mem_zalloc(sizeof(*s));
    s->source = (struct source){.fd = -1, .refs = 1, .free = free_spool};
    return s;
}

void spool_close(struct spool *s)
{
    source_unref(&s->source);
}

static int open_named(const char *dir)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/sluice-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

static int open_file(struct spool *s, const char *dir)
{
    if (s->source.fd >= 0)
        return 0;
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) /* not every file system has files without a name */
        fd = open_named(dir);
    if (fd < 0)
        return fd;
    s->source.fd = fd;
    return 0;
}

static size_t memory_bytes(const struct chain *c)
{
    size_t n = 0;
    chain_each (l, c)
        if (l->kind == LINK_MEM)
            n += l->n;
    return n;
}

/* Takes from c's end: what comes in behind lies there, and what is in front goes out next. */
static void split(struct chain *c, size_t memory, struct chain *tail)
{
    struct chain head;
    size_t kept = 0;
    chain_init(&head, c->pool, c->window);
    chain_init(tail, c->pool, c->window);
    while (c->head && (c->head->kind != LINK_MEM || kept < memory)) {
        kept += c->head->kind == LINK_MEM ? c->head->n : 0;
        chain_move(&head, c, c->head->n);
    }
    *tail = *c;
    *c = head;
}

static int write_all(struct spool *s, const struct chain *c)
{
    off_t at = s->end;
    chain_each (l, c) {
        size_t done = 0;
        while (l->kind == LINK_MEM && done < l->n) {
            ssize_t n = pwrite(s->source.fd, l->p + done, l->n - done, at);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return n < 0 ? -errno : -EIO;
            done += (size_t)n;
            at += n;
        }
    }
    return 0;
}

int spool_spill(struct spool *s, struct chain *c, size_t memory, const char *dir)
{
    if (c->bytes <= memory || memory_bytes(c) <= memory)
        return 0;
    int error = open_file(s, dir);
    if (error)
        return error;
    if (s->source.refs == 1 && s->end) {
        /* Nothing refers to the file: begin again. Cut, not overwritten: pages that sendfile has
         * queued in a socket may not have been sent. */
        if (ftruncate(s->source.fd, 0) < 0)
            return -errno;
        s->end = 0;
    }
    struct chain tail;
    split(c, memory, &tail);
    error = write_all(s, &tail);
    if (error) {
        chain_move(c, &tail, SIZE_MAX);
        return error;
    }
    chain_put_file(c, &s->source, s->end, tail.bytes);
    s->end += (off_t)tail.bytes;
    chain_clear(&tail);
    return 0;
}
