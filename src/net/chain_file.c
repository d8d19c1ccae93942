/* SPDX-License-Identifier: MIT */
#include "net/chain_file.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

ssize_t chain_file_read(struct chain *c, char *p, size_t n)
{
    const struct link *l = c->head;
    assert(l && l->kind == LINK_FILE);
    ssize_t got;
    do
        got = pread(l->source->fd, p, n < l->n ? n : l->n, l->offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (got == 0)
        return -EIO;
    chain_drop(c, (size_t)got);
    return got;
}
