/* SPDX-License-Identifier: MIT */
#include "pool/backend.h"

#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "pool/pool_conf.h"
#include "pool/tally.h"

static void put_text(struct backend *b)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (b->addr.ss_family == AF_UNSPEC) {
        snprintf(b->text, sizeof(b->text), "%.79s", b->host);
        return;
    }
    if (b->addr.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)&b->addr;
        snprintf(b->text, sizeof(b->text), "unix:%.70s", un->sun_path);
        return;
    }
    if (getnameinfo((const struct sockaddr *)&b->addr, b->addr_len, host, sizeof(host), port,
                    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    bool v6 = b->addr.ss_family == AF_INET6;
    snprintf(b->text, sizeof(b->text), "%s%.60s%s:%.6s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

void backend_set_conf(struct backend *b, const struct backend_conf *conf)
{
    b->conf = conf;
    b->weight = conf->weight ? conf->weight : 1;
    b->max_open = conf->max_conns ? conf->max_conns : UINT32_MAX;
}

struct backend *backend_new(const struct backend_conf *conf, const struct sockaddr *addr,
                            socklen_t addr_len, uint32_t workers)
{
    assert(addr_len <= sizeof(struct sockaddr_storage));
    size_t size = sizeof(struct backend) + workers * sizeof(struct idle);
    struct backend *b = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (!b)
        abort();
    memset(b, 0, size);
    atomic_init(&b->refs, 1);
    backend_set_conf(b, conf);
    snprintf(b->host, sizeof(b->host), SLICE_FMT, SLICE_ARG(conf->text));
    memcpy(&b->addr, addr, addr_len);
    b->addr_len = addr_len;
    b->slot = BACKEND_NO_SLOT;
    b->idle_lists = workers;
    b->tally = tally_new(workers);
    for (uint32_t i = 0; i < workers; i++)
        list_init(&b->idle[i].conns);
    put_text(b);
    return b;
}

void backend_unref(struct backend *b)
{
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    tally_free(b->tally);
    free(b);
}
