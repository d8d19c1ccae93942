/* SPDX-License-Identifier: MIT */
#include "core/cgi_info.h"

#include "core/exchange.h"
#include "http/uri.h"
#include "net/addr.h"
#include "net/tls.h"

static void fill_client(struct cgi_info *info, const struct exchange *x)
{
    struct net_addr a;
    if (x->peer->sa_family == AF_UNIX)
        return;
    info->client_addr = x->asker_text;
    if (x->asker_text.p != x->peer_text.p)
        return; /* a proxy has not told its port */
    net_addr_set(&a, x->peer, sizeof(a.in6));
    info->client_port = net_addr_port(&a);
}

static uint16_t asked_port(const struct exchange *x, uint16_t usual)
{
    struct slice host;
    int port = -1;
    bool is_said = x->req.authority.n && uri_split_authority(x->req.authority, &host, &port);
    return is_said && port > 0 ? (uint16_t)port : usual;
}

static void fill_server(struct cgi_info *info, struct exchange *x)
{
    struct sockaddr_storage sa;
    struct net_addr a;
    socklen_t len = x->front->local(x, &sa);
    info->server_name = x->req.host;
    if (!len || sa.ss_family == AF_UNIX) {
        info->server_port = asked_port(x, info->https ? 443 : 80);
        return;
    }
    net_addr_set(&a, (const struct sockaddr *)&sa, len);
    struct text t = text_of(arena_alloc(&x->arena, NET_ADDR_TEXT_MAX), NET_ADDR_TEXT_MAX);
    net_addr_put_host(&t, &a);
    info->server_addr = text_slice(&t);
    info->server_port = net_addr_port(&a);
    if (!info->server_name.n)
        info->server_name = info->server_addr;
}

static bool has_param(const struct cgi_info *info, struct slice name)
{
    for (uint32_t i = 0; i < info->param_count; i++)
        if (slice_eq(info->params[i].name, name))
            return true;
    return false;
}

/* Variables as Apache's mod_ssl names them; those of the configuration come first. */
static void add_tls(struct cgi_info *info, struct exchange *x)
{
    const struct tls_peer *peer = x->tls_peer;
    if (!peer)
        return;
    const struct cgi_param ours[] = {
        {SLICE("SSL_CLIENT_VERIFY"), SLICE("SUCCESS")},
        {SLICE("SSL_CLIENT_S_DN"), peer->subject},
        {SLICE("SSL_CLIENT_I_DN"), peer->issuer},
        {SLICE("SSL_CLIENT_M_SERIAL"), peer->serial},
        {SLICE("SSL_CLIENT_FINGERPRINT"), peer->fingerprint},
    };
    enum { OURS = sizeof(ours) / sizeof(ours[0]) };
    uint32_t count = info->param_count;
    struct cgi_param *all = arena_alloc(&x->arena, (count + OURS) * sizeof(*all));
    if (count)
        memcpy(all, info->params, count * sizeof(*all));
    for (size_t i = 0; i < OURS; i++)
        if (!has_param(info, ours[i].name))
            all[count++] = ours[i];
    info->params = all;
    info->param_count = count;
}

/* FastCGI 6.3: what an authorizer has set stands in for everything else. */
static void add_authorized(struct cgi_info *info, struct exchange *x)
{
    uint32_t count = x->auth_param_count;
    if (!count)
        return;
    struct cgi_param *all = arena_alloc(&x->arena, (count + info->param_count) * sizeof(*all));
    memcpy(all, x->auth_params, count * sizeof(*all));
    const struct cgi_param *others = info->params;
    uint32_t other_count = info->param_count;
    info->params = all;
    info->param_count = count;
    for (uint32_t i = 0; i < other_count; i++)
        if (!has_param(info, others[i].name))
            all[info->param_count++] = others[i];
}

/* By us, or by a proxy that is trusted: what others say of it has been dropped by now (forward.c).
 */
static bool is_https(const struct exchange *x)
{
    return x->https ||
           slice_ieq(fields_value(&x->req.fields, FIELD_X_FORWARDED_PROTO), SLICE("https"));
}

void cgi_info_fill(struct cgi_info *info, struct exchange *x)
{
    *info = (struct cgi_info){.path = x->path,
                              .https = is_https(x),
                              .auth_type = x->auth_type,
                              .auth_user = x->auth_user};
    script_split(&x->route->script, x->path, &x->arena, info);
    if (x->params)
        info->params = x->params;
    if (x->is_authorizer)
        info->role = CGI_AUTHORIZER;
    fill_client(info, x);
    fill_server(info, x);
    add_authorized(info, x);
    add_tls(info, x);
}

void cgi_info_mount(struct cgi_info *info, struct exchange *x)
{
    if (!x->mount.prefix.n)
        return;
    if (!info->script_filename.n && info->document_root.n && info->script_name.n)
        info->script_filename = arena_join(&x->arena, info->document_root, info->script_name);
    info->script_name = arena_join(&x->arena, x->mount.prefix, info->script_name);
}
