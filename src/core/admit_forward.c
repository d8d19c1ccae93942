/* `auth forward`: another application is asked, and its answer counts.
 *
 * Over HTTP, SCGI and CGI it gets a GET for a path of its own, with the fields of the request and,
 * in fields that no client can send, what was asked for. FastCGI has a role for it (6.3), whose
 * applications see the request itself, and whose variables go on to the application behind.
 * SPDX-License-Identifier: MIT */
#include "core/action.h"
#include "core/admit_auth.h"
#include "core/answer.h"
#include "core/rewriting.h"
#include "core/subrequest.h"
#include "core/worker.h"
#include "http/uri.h"

/* ---- the question ---- */

static void set_field(struct exchange *x, struct slice name, struct slice value)
{
    struct fields *fields = &x->req.fields;
    fields_expel(fields, name);
    if (value.n)
        fields_add(fields, &x->arena, FIELD_OTHER, name, value);
}

static void set_target(struct exchange *x, const struct auth_conf *conf)
{
    struct request_head *req = &x->req;
    req->method = METHOD_GET;
    req->method_text = SLICE("GET");
    req->form = TARGET_ORIGIN;
    req->target = req->path = conf->path;
    req->query = SLICE_NONE;
    req->has_query = false;
}

static struct subrequest *begin(struct exchange *x, const struct auth_conf *conf)
{
    struct subrequest *s = subrequest_new(x, &conf->route);
    struct exchange *own = s->exchange;
    struct slice asked = rewriting_asked(x), method = x->req.method_text;
    own->path = own->matched = conf->path;
    own->is_authorizer = conf->is_authorizer;
    if (!conf->is_authorizer)
        set_target(own, conf);
    set_field(own, SLICE("X-Original-Method"), method);
    set_field(own, SLICE("X-Original-URI"), asked);
    set_field(own, SLICE("X-Forwarded-Method"), method);
    set_field(own, SLICE("X-Forwarded-Uri"), asked);
    return s;
}

/* ---- the answer ---- */

/* FastCGI 6.3: what the authorizer says for those behind it. */
static void keep_variables(struct exchange *x, const struct subrequest *s)
{
    static const struct slice prefix = SLICE_INIT("Variable-");
    uint32_t n = 0;
    struct cgi_param *params = arena_alloc(&x->arena, s->fields.n * sizeof(*params) + 1);
    for (unsigned i = 0; i < s->fields.n; i++) {
        const struct field *f = &s->fields.v[i];
        if (f->name.n > prefix.n && slice_ieq(slice_first(f->name, prefix.n), prefix))
            params[n++] = (struct cgi_param){slice_skip(f->name, prefix.n), f->value};
    }
    x->auth_params = params;
    x->auth_param_count = n;
}

/* The first of each name; what the client has sent by it goes, whether there is one or not. */
static void copy_fields(struct exchange *x, const struct auth_conf *conf,
                        const struct subrequest *s)
{
    for (uint32_t i = 0; i < conf->copy_count; i++) {
        struct slice name = conf->copy[i];
        const struct field *f = fields_find_name(&s->fields, name);
        set_field(x, name, SLICE_NONE);
        if (f)
            fields_add(&x->req.fields, &x->arena, field_lookup(name), name, f->value);
    }
}

/* A login that is prolonged: for whatever response there will be, even of an error. */
static void grant_cookies(struct exchange *x, const struct subrequest *s)
{
    for (unsigned i = 0; i < s->fields.n; i++) {
        const struct field *f = &s->fields.v[i];
        if (f->id != FIELD_SET_COOKIE || f->dropped)
            continue;
        if (!x->granted)
            x->granted = arena_zalloc(&x->arena, sizeof(*x->granted));
        fields_add(x->granted, &x->arena, f->id, f->name, f->value);
    }
}

static bool is_passed_on(enum field_id id)
{
    return id != FIELD_CONTENT_LENGTH && id != FIELD_SERVER && id != FIELD_DATE;
}

/* The client gets the answer: a login page, a redirect to one, a refusal. */
static enum admit refuse(struct exchange *x, struct subrequest *s)
{
    admit_count_refusal(x);
    if (!answer_skip_body(x))
        return ADMIT_OVER;
    answer_begin(x, s->status);
    for (unsigned i = 0; i < s->fields.n; i++)
        if (is_passed_on((enum field_id)s->fields.v[i].id))
            fields_add(&x->resp.fields, &x->arena, s->fields.v[i].id, s->fields.v[i].name,
                       s->fields.v[i].value);
    chain_move(&x->resp_body, &s->body, SIZE_MAX);
    x->record.ended_by = END_GATEWAY;
    x->record.end_reason = SLICE("refused by the application that is asked (auth forward)");
    answer_send(x, "refused by another application");
    return ADMIT_OVER;
}

static enum admit conclude(struct exchange *x, const struct auth_conf *conf, struct subrequest *s)
{
    bool allows = conf->is_authorizer ? s->status == 200 : s->status / 100 == 2;
    if (!s->failed && allows) {
        keep_variables(x, s);
        copy_fields(x, conf, s);
        if (conf->adds_cookies)
            grant_cookies(x, s);
        chain_clear(&s->body);
        return ADMIT_PASS;
    }
    if (!s->failed && s->status >= 300 && s->status < 500 && s->status != 304)
        return refuse(x, s);
    chain_clear(&s->body);
    exchange_fail(x, s->status == 503 || s->status == 504 ? s->status : 502,
                  "the application that is asked about admission has failed (auth forward)", NULL);
    return ADMIT_OVER;
}

/* ---- the gate ---- */

static void drop(struct exchange *x)
{
    timer_clear(&x->timer);
    subrequest_drop(x->gate_state);
}

static enum admit ask(struct exchange *x, const void *gate_conf)
{
    const struct auth_conf *conf = gate_conf;
    struct subrequest *s = x->gate_state;
    if (!s) {
        x->gate_state = s = begin(x, conf);
        timer_set(&x->worker->loop, &x->timer, conf->timeout_ms);
        subrequest_start(s);
        return ADMIT_WAIT; /* even if it is over: it has seen to that we are asked again */
    }
    if (!s->exchange) {
        timer_clear(&x->timer);
        x->gate_state = NULL;
        return conclude(x, conf, s);
    }
    if (x->timer.due_ms && x->worker->loop.now_ms < x->timer.due_ms)
        return ADMIT_WAIT;
    drop(x);
    x->gate_state = NULL;
    exchange_fail(x, 504, "no answer about admission in time (auth forward timeout)", NULL);
    return ADMIT_OVER;
}

/* ---- configuration ---- */

static bool finish(struct config_reader *r, struct snapshot *s, const struct site_conf *site,
                   void *gate_conf)
{
    struct auth_conf *conf = gate_conf;
    struct route_conf *route = &conf->route;
    route->site = site;
    script_conf_inherit(r, &route->script, &site->script);
    if (!action_finish(r, s, route))
        return false;
    const struct back_codec *codec = codec_find(route->pool->codec);
    script_conf_finish(&route->script, codec);
    serve_conf_init(&route->serve);
    route->serve.request_ms = conf->timeout_ms;
    serve_conf_finish(&route->serve, &s->gateway, route->pool);
    conf->is_authorizer = codec && codec->authorizes;
    snapshot_use_pool(s, route->pool_index);
    return true;
}

static void explain(const void *gate_conf, const struct facts *q, FILE *out)
{
    const struct auth_conf *conf = gate_conf;
    (void)q;
    fprintf(out, "auth: pool " SLICE_FMT " is asked%s for " SLICE_FMT "\n",
            SLICE_ARG(conf->route.pool_name), conf->is_authorizer ? ", as an authorizer," : "",
            SLICE_ARG(conf->path));
}

const struct gate forward_gate = {
    .name = "forward",
    .kind = GATE_AUTH,
    .finish = finish,
    .ask = ask,
    .drop = drop,
    .explain = explain,
};
