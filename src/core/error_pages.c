/* SPDX-License-Identifier: MIT */
#include "core/error_pages.h"

#include "base/num.h"
#include "core/answer.h"
#include "core/attempt.h"
#include "core/grpc.h"
#include "core/reroute.h"
#include "core/worker.h"
#include "http/status.h"
#include "http/uri.h"

enum { FILE_MAX = 256 * 1024, FIRST = 400, LAST = 599 };

/* ---- configuration ---- */

static key_set_fn set_file;

/* clang-format off */
const struct key error_pages_options[] = {
    {.name = "file", .type = KEY_CUSTOM, .set = set_file, .syntax = "FILE",
     .help = "read at start and reload; a relative name begins at the configuration file"},
    {.name = "type", .type = KEY_STRING, .at = at(struct error_page_conf, type),
     .init = "text/html; charset=utf-8", .help = "Content-Type of the file"},
    {.name = "intercept", .type = KEY_BOOL, .at = at(struct error_page_conf, intercepts),
     .init = "off", .help = "also in place of what a backend answers with such a status"},
    {.name = NULL},
};
/* clang-format on */

void *error_pages_open(struct config_reader *r, struct error_pages *pages)
{
    return config_append(r, &pages->v, &pages->n, sizeof(*pages->v));
}

static void add_status(struct error_page_conf *page, uint32_t status)
{
    uint32_t bit = status - FIRST;
    page->statuses[bit / 8] |= (uint8_t)(1 << bit % 8);
}

static bool has_status(const struct error_page_conf *page, uint32_t status)
{
    uint32_t bit = status - FIRST;
    return status >= FIRST && status <= LAST && page->statuses[bit / 8] >> bit % 8 & 1;
}

static bool read_status(struct error_page_conf *page, struct slice text)
{
    uint64_t status;
    bool is_class = slice_eq(text, SLICE("4xx")) || slice_eq(text, SLICE("5xx"));
    if (is_class) {
        uint32_t first = (uint32_t)(text.p[0] - '0') * 100;
        for (uint32_t i = 0; i < 100; i++)
            add_status(page, first + i);
        return true;
    }
    if (text.n != 3 || !num_dec(text, &status) || status < FIRST || status > LAST)
        return false;
    add_status(page, (uint32_t)status);
    return true;
}

static bool read_path(struct config_reader *r, const struct config_word *word,
                      struct error_page_conf *page)
{
    struct slice path, query;
    page->path = word->text;
    return uri_split_target(word->text, &path, &query) ||
           config_error(r->diag, word->at,
                        "'" SLICE_FMT "' is neither a status from 400 to 599 nor a path",
                        SLICE_ARG(word->text));
}

bool error_pages_set(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct error_page_conf *page = target;
    uint32_t n = 0;
    for (; n < d->arg_count && read_status(page, word[n].text); n++)
        page->said = arena_printf(r->arena, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(page->said),
                                  n ? " " : "", SLICE_ARG(word[n].text));
    if (n == 0 || n + 1 < d->arg_count)
        return config_error(r->diag, n < d->arg_count ? word[n].at : d->name.at,
                            "'error-page' takes statuses from 400 to 599, then a path or file=");
    return n == d->arg_count || read_path(r, &word[n], page);
}

static bool set_file(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct error_page_conf *page = target;
    (void)d;
    page->file = *word;
    return config_read_file(r, word, FILE_MAX, &page->text);
}

bool error_pages_close(struct config_reader *r, const struct directive *d, void *opened)
{
    const struct error_page_conf *page = opened;
    bool has_file = page->file.at.line > 0;
    return has_file != (page->path.n > 0) ||
           config_error(r->diag, d->name.at,
                        "'error-page' takes either a path or file=FILE behind the statuses");
}

void error_pages_explain(const struct error_pages *pages, FILE *out)
{
    const char *label = "errors";
    for (; pages; pages = pages->outer)
        for (uint32_t i = 0; i < pages->n; i++) {
            const struct error_page_conf *page = &pages->v[i];
            fprintf(out, "%-10s" SLICE_FMT "  %s" SLICE_FMT "%s\n", label, SLICE_ARG(page->said),
                    page->path.n ? "" : "file ",
                    SLICE_ARG(page->path.n ? page->path : page->file.text),
                    page->intercepts ? "  of backends too" : "");
            label = "";
        }
}

/* ---- serving ---- */

static const struct error_page_conf *find_page(const struct exchange *x, uint16_t status,
                                               bool intercepting)
{
    if (x->error_status) /* this is one, and has failed */
        return NULL;
    for (const struct error_pages *pages = x->pages; pages; pages = pages->outer)
        for (uint32_t i = 0; i < pages->n; i++)
            if (has_status(&pages->v[i], status) && (!intercepting || pages->v[i].intercepts))
                return &pages->v[i];
    return NULL;
}

static void show_text(struct exchange *x, const struct error_page_conf *page, uint16_t status)
{
    x->is_failing = true;
    answer_begin(x, status);
    if (x->fail_id)
        answer_field(x, x->fail_id, x->fail_value);
    answer_field(x, FIELD_CONTENT_TYPE, page->type);
    chain_put_static(&x->resp_body, page->text); /* lives as long as the configuration */
    answer_send(x, "page for an error");
}

/* What the client has of the page, if it has one, is of no interest: it gets all of it. */
static void drop_conditions(struct fields *fields)
{
    static const enum field_id ids[] = {
        FIELD_RANGE,         FIELD_IF_RANGE,          FIELD_IF_MATCH,
        FIELD_IF_NONE_MATCH, FIELD_IF_MODIFIED_SINCE, FIELD_IF_UNMODIFIED_SINCE};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        fields_drop(fields, ids[i]);
}

/* Whatever becomes of it has been arranged. */
static void show_path(struct exchange *x, const struct error_page_conf *page, uint16_t status)
{
    const struct reroute to = {.target = page->path, .as_get = true, .why = "error-page"};
    x->error_status = status;
    x->kept = NULL; /* it describes what is not sent */
    if (exchange_reroute(x, &to))
        drop_conditions(&x->req.fields);
}

static bool show(struct exchange *x, const struct error_page_conf *page, uint16_t status)
{
    bool may_ask = !x->worker->stopping; /* a stop does not wait for pages */
    if (!page || grpc_asks(x) || (page->path.n && !may_ask))
        return false;
    if (page->path.n)
        show_path(x, page, status);
    else
        show_text(x, page, status);
    return true;
}

bool error_pages_show(struct exchange *x, uint16_t status)
{
    return show(x, find_page(x, status, false), status);
}

/* How to try again belongs to the status. */
static void keep_field(struct exchange *x)
{
    enum field_id id = x->resp.status == 401 ? FIELD_WWW_AUTHENTICATE : FIELD_RETRY_AFTER;
    if (!fields_has(&x->resp.fields, id))
        return;
    x->fail_id = id;
    x->fail_value = fields_value(&x->resp.fields, id);
}

bool error_pages_intercept(struct exchange *x)
{
    uint16_t status = x->resp.status;
    const struct error_page_conf *page = find_page(x, status, true);
    if (!page)
        return false;
    keep_field(x);
    if (!page->path.n)
        attempt_drop(x);
    return show(x, page, status);
}

/* A redirect is one, whatever it stands for. */
void error_pages_mark(struct exchange *x)
{
    if (!x->error_status || x->is_failing || x->resp.status / 100 == 3)
        return;
    x->resp.status = x->error_status;
    x->resp.reason = slice_str(status_reason(x->error_status));
    if (x->fail_id && !fields_has(&x->resp.fields, x->fail_id))
        answer_field(x, x->fail_id, x->fail_value);
}
