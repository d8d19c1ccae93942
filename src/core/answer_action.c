/* The actions that answer by themselves: `redirect` and `respond`.
 * SPDX-License-Identifier: MIT */
#include "base/num.h"
#include "core/action.h"
#include "core/answer.h"
#include "core/error_pages.h"
#include "core/rewriting.h"
#include "core/route.h"
#include "core/snapshot.h"

struct redirect_conf {
    struct route_conf *route;
    uint16_t status;
    struct template target;
    struct slice text; /* as it was written */
};

struct respond_conf {
    struct route_conf *route;
    uint16_t status;
    const struct config_word *word; /* of the text; NULL: none, or the page for an error */
    struct template text;
    struct slice type;
};

static bool read_status(struct slice text, uint16_t *status)
{
    uint64_t n;
    if (text.n != 3 || !num_dec(text, &n))
        return false;
    *status = (uint16_t)n;
    return true;
}

/* ---- redirect [STATUS] TARGET ---- */

/* What is written as a path stays one: with two slashes, or what browsers take for them, would
 * begin the name of another host, which a client could have chosen. */
static struct slice at_home(struct exchange *x, const struct redirect_conf *conf,
                            struct slice target)
{
    size_t n = 0;
    while (n < target.n && (target.p[n] == '/' || target.p[n] == '\\'))
        n++;
    if (n < 2 || slice_starts(conf->text, SLICE("//")))
        return target;
    return arena_join(&x->arena, SLICE("/"), slice_skip(target, n));
}

/* https:///x: the template has put in a host that the request does not name (HTTP/1.0). */
static bool lacks_host(struct slice target)
{
    size_t colon = slice_find(target, ':');
    struct slice rest = slice_skip(target, colon);
    if (slice_find(target, '/') < colon)
        return false;
    return slice_eq(rest, SLICE("://")) || slice_starts(rest, SLICE(":///"));
}

static enum next run_redirect(struct exchange *x)
{
    const struct redirect_conf *conf = x->route->action_conf;
    struct slice target;
    if (!answer_skip_body(x) || !rewriting_expand(x, &conf->target, &target))
        return NEXT;
    if (lacks_host(target)) {
        exchange_fail(x, 400, "the request names no host to redirect to", "RFC 9110 7.2");
        return NEXT;
    }
    answer_begin(x, conf->status);
    answer_field(x, FIELD_LOCATION, at_home(x, conf, target));
    answer_send(x, "redirected");
    return NEXT;
}

static void explain_redirect(struct explaining *e)
{
    const struct redirect_conf *conf = e->route->action_conf;
    struct slice target;
    if (template_expand(&conf->target, e->facts, e->facts->groups, e->snapshot->gateway.head_bytes,
                        e->arena, &target) != TEMPLATE_OK)
        target = SLICE("(fails)");
    fprintf(e->out, "redirect %u " SLICE_FMT, conf->status, SLICE_ARG(conf->text));
    if (!slice_eq(target, conf->text))
        fprintf(e->out, "  to  " SLICE_FMT, SLICE_ARG(target));
    fputc('\n', e->out);
}

void *answer_action_open_redirect(struct config_reader *r, const struct directive *d, void *target)
{
    struct redirect_conf *conf = arena_zalloc(r->arena, sizeof(*conf));
    (void)d;
    conf->route = target;
    conf->route->action_conf = conf;
    return conf;
}

static bool is_redirect(uint16_t status)
{
    return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

bool answer_action_set_redirect(struct config_reader *r, const struct directive *d,
                                const struct config_word *word, void *target)
{
    static const struct action redirect = {"redirect", NULL, run_redirect, explain_redirect};
    struct redirect_conf *conf = target;
    if (d->arg_count < 1 || d->arg_count > 2)
        return config_error(r->diag, d->name.at,
                            "'redirect' takes a status (or none) and a target");
    conf->status = 302;
    if (d->arg_count == 2 &&
        (!read_status(word->text, &conf->status) || !is_redirect(conf->status)))
        return config_error(r->diag, word->at,
                            "a redirect has the status 301, 302, 303, 307 or 308");
    const struct config_word *last = &d->args[d->arg_count - 1];
    conf->text = last->text;
    return template_read(r, last, TEMPLATE_TARGET, route_group_count(conf->route), &conf->target) &&
           action_choose(r, conf->route, &redirect, d->name.at);
}

/* ---- respond STATUS [TEXT] ---- */

static enum next run_respond(struct exchange *x)
{
    const struct respond_conf *conf = x->route->action_conf;
    struct slice text = SLICE_NONE;
    if (!answer_skip_body(x) || (!conf->word && error_pages_show(x, conf->status)) ||
        (conf->word && !rewriting_expand(x, &conf->text, &text)))
        return NEXT;
    answer_begin(x, conf->status);
    if (conf->word) {
        answer_field(x, FIELD_CONTENT_TYPE, conf->type);
        answer_text(x, text);
    } else if (conf->status >= 400) {
        answer_error_page(x, conf->status);
    }
    answer_send(x, "fixed answer");
    return NEXT;
}

static void explain_respond(struct explaining *e)
{
    const struct respond_conf *conf = e->route->action_conf;
    struct slice text;
    fprintf(e->out, "respond %u", conf->status);
    if (!conf->word) {
        fputc('\n', e->out);
        return;
    }
    if (template_expand(&conf->text, e->facts, e->facts->groups, e->snapshot->gateway.head_bytes,
                        e->arena, &text) != TEMPLATE_OK)
        text = SLICE("(fails)");
    fprintf(e->out, " with %zu bytes of " SLICE_FMT "\n", text.n, SLICE_ARG(conf->type));
}

/* clang-format off */
const struct key answer_action_respond_options[] = {
    {.name = "type", .type = KEY_STRING, .at = at(struct respond_conf, type),
     .init = "text/plain; charset=utf-8", .help = "Content-Type of the text"},
    {.name = NULL},
};
/* clang-format on */

void *answer_action_open_respond(struct config_reader *r, const struct directive *d, void *target)
{
    struct respond_conf *conf = arena_zalloc(r->arena, sizeof(*conf));
    (void)d;
    conf->route = target;
    conf->route->action_conf = conf;
    return conf;
}

bool answer_action_set_respond(struct config_reader *r, const struct directive *d,
                               const struct config_word *word, void *target)
{
    static const struct action respond = {"respond", NULL, run_respond, explain_respond};
    struct respond_conf *conf = target;
    if (d->arg_count < 1 || d->arg_count > 2)
        return config_error(r->diag, d->name.at, "'respond' takes a status and a text (or none)");
    if (!read_status(word->text, &conf->status) || conf->status < 200 || conf->status > 599)
        return config_error(r->diag, word->at, "'" SLICE_FMT "' is no status from 200 to 599",
                            SLICE_ARG(word->text));
    if (d->arg_count == 2 && word[1].text.n)
        conf->word = &word[1];
    if (conf->word && (conf->status == 204 || conf->status == 304))
        return config_error(r->diag, word[1].at, "an answer with status %u has no text",
                            conf->status);
    return action_choose(r, conf->route, &respond, d->name.at);
}

static bool has(struct slice type, struct slice part)
{
    for (; type.n >= part.n; type = slice_skip(type, 1))
        if (slice_ieq(slice_first(type, part.n), part))
            return true;
    return false;
}

/* Only now it is known what the text is. */
bool answer_action_close_respond(struct config_reader *r, const struct directive *d, void *target)
{
    struct respond_conf *conf = target;
    bool is_markup = has(conf->type, SLICE("html")) || has(conf->type, SLICE("xml"));
    enum template_use use = is_markup                        ? TEMPLATE_HTML
                            : has(conf->type, SLICE("json")) ? TEMPLATE_JSON
                                                             : TEMPLATE_TEXT;
    (void)d;
    return !conf->word ||
           template_read(r, conf->word, use, route_group_count(conf->route), &conf->text);
}
