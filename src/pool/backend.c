/* SPDX-License-Identifier: MIT */
#include "pool/backend.h"

#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/map.h"
#include "pool/pool_conf.h"
#include "pool/tally.h"

/* The same in every process, so that gateways side by side hash alike; nobody gains by choosing
 * what it is made of. */
static const struct map_key id_key = {0x736c756963652d62, 0x61636b656e642d31};

static void put_text(struct backend *b)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (b->addr.ss_family == AF_UNSPEC) { /* a program, not an address */
        snprintf(b->text, sizeof(b->text), "%.119s", b->host);
        return;
    }
    if (b->addr.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)&b->addr;
        snprintf(b->text, sizeof(b->text), "unix:%.108s", un->sun_path);
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
    uint32_t weight = b->record_weight ? b->record_weight : conf->weight;
    b->conf_weight = weight ? weight : 1;
    if (!b->weight_is_set)
        b->weight = b->conf_weight;
    b->conf_open = conf->max_conns ? conf->max_conns : UINT32_MAX;
    b->tier = b->record_tier + (conf->is_backup ? BACKEND_TIER_BACKUP : 0);
}

struct backend *backend_new(struct slice line, const struct sockaddr *addr, socklen_t addr_len,
                            uint32_t workers)
{
    assert(addr_len <= sizeof(struct sockaddr_storage));
    size_t size = sizeof(struct backend) + workers * sizeof(struct idle);
    struct backend *b = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (!b)
        abort();
    memset(b, 0, size);
    atomic_init(&b->refs, 1);
    snprintf(b->host, sizeof(b->host), SLICE_FMT, SLICE_ARG(line));
    memcpy(&b->addr, addr, addr_len);
    b->addr_len = addr_len;
    b->weight = 1;
    b->max_open = b->conf_open = UINT32_MAX;
    b->slot = BACKEND_NO_SLOT;
    b->order = BACKEND_LAST;
    b->idle_lists = workers;
    b->tally = tally_new(workers);
    list_init(&b->gone_node);
    for (uint32_t i = 0; i < workers; i++) {
        list_init(&b->idle[i].conns);
        list_init(&b->idle[i].shared);
    }
    put_text(b);
    b->id = map_siphash13(id_key, slice_str(b->text));
    return b;
}

void backend_unref(struct backend *b)
{
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    tls_session_fini(&b->session);
    tally_free(b->tally);
    free(b);
}

const char *backend_state_name(enum backend_state state)
{
    static const char *const names[] = {
#define STATE(id, name) [BACKEND_##id] = name,
#include "pool/backend_states.def"
#undef STATE
    };
    return names[state];
}

uint32_t backend_warm_share(const struct backend *b, uint64_t now_us)
{
    uint64_t full = (uint64_t)b->weight * BACKEND_SHARE;
    uint64_t passed = now_us > b->warm_from_us ? now_us - b->warm_from_us : 0;
    uint64_t share = full * passed / (b->warm_until_us - b->warm_from_us);
    uint64_t least = full / 20; /* something, or it would learn nothing */
    return (uint32_t)(share > least ? share : least ? least : 1);
}

uint32_t backend_idle(const struct backend *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->idle_lists; i++)
        n += b->idle[i].count;
    return n;
}
