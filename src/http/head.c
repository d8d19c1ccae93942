/* Actions of the head grammars, and what a head must fulfil as a whole.
 * SPDX-License-Identifier: MIT */
#include "http/head.h"

#include <assert.h>

#include "base/num.h"
#include "http/head_internal.h"
#include "http/uri.h"

struct method_row {
    struct slice text;
    bool safe, idempotent;
};

static const struct method_row methods[] = {
    [METHOD_OTHER] = {SLICE_INIT(""), false, false},
#define METHOD(id, text, safe, idempotent) [METHOD_##id] = {SLICE_INIT(text), safe, idempotent},
#include "http/method.def"
#undef METHOD
};

enum { METHODS = sizeof(methods) / sizeof(methods[0]) };

bool method_is_safe(enum method m)
{
    return methods[m].safe;
}

bool method_is_idempotent(enum method m)
{
    return methods[m].idempotent;
}

enum method method_lookup(struct slice text)
{
    for (unsigned m = METHOD_OTHER + 1; m < METHODS; m++)
        if (slice_eq(methods[m].text, text))
            return (enum method)m;
    return METHOD_OTHER;
}

/* Line by line; a line is empty if the byte before its LF, but for a CR, is another LF. Looking
 * back instead of keeping a state lets the search go on at any byte. */
enum parse head_find_end(struct slice bytes, size_t *scanned, size_t *end)
{
    const char *p = bytes.p;
    size_t at = *scanned;
    const char *lf;
    while (at < bytes.n && (lf = memchr(p + at, '\n', bytes.n - at))) {
        size_t before = (size_t)(lf - p), line = before - at;
        at = before + 1;
        if (line > 1)
            continue;
        if (before > 0 && p[before - 1] == '\r')
            before--;
        if (before == 0 || p[before - 1] == '\n') {
            *scanned = *end = at;
            return PARSE_DONE;
        }
    }
    *scanned = bytes.n;
    return PARSE_MORE;
}

enum parse head_check_size(struct slice bytes, const struct head_limits *limits, struct fault *f)
{
    if (bytes.n <= limits->head_bytes)
        return PARSE_MORE;
    struct slice within = slice_first(bytes, limits->head_bytes);
    f->offset = limits->head_bytes;
    if (slice_find(within, '\n') == within.n)
        return fault_bad(f, 414, "request line is too long", "RFC 9110 15.5.15");
    return fault_bad(f, 431, "head is too large", "RFC 6585 5");
}

void head_refuse(struct head_parse *h, uint16_t status, const char *at, const char *what,
                 const char *rule)
{
    if (h->bad)
        return;
    h->bad = true;
    *h->fault = (struct fault){.status = h->status ? h->status : status,
                               .offset = (uint32_t)(at - h->base),
                               .what = what,
                               .rule = rule};
}

int head_cut_off(struct head_parse *h)
{
    head_refuse(h, 400, h->cur, "head is cut off", "RFC 9112 2.1");
    return HEAD_TOKEN_BAD;
}

void head_add_field(struct head_parse *h, const struct head_token *t)
{
    struct slice name = slice_of(t->p, t->n);
    enum field_id id = field_lookup(name);
    if (h->fields->n >= h->limits->fields)
        return head_refuse(h, 431, t->p, "too many fields", "RFC 6585 5");
    if (fields_has(h->fields, id) && (field_flags(id) & FIELD_SINGLE))
        return head_refuse(h, 400, t->p, "field must not be repeated",
                           id == FIELD_HOST ? "RFC 9112 3.2" : "RFC 9110 5.3");
    fields_add(h->fields, h->arena, id, name, slice_of(t->second, t->second_n));
}

/* The rest of the target's length is checked here too: this is the only place that knows it. */
static void set_target(struct head_parse *h, enum target_form form, const char *p, const char *end)
{
    h->request->form = form;
    h->request->target = slice_of(p, (size_t)(end - p));
    if (h->request->target.n > h->limits->target_bytes)
        head_refuse(h, 414, p, "target is too long", "RFC 9110 15.5.15");
}

static void set_path(struct request_head *r, const struct head_token *t)
{
    r->path = slice_of(t->p, t->n);
    r->query = slice_of(t->second, t->second_n);
    r->has_query = t->second != NULL;
}

static const char *token_end(const struct head_token *t)
{
    return t->second ? t->second + t->second_n : t->p + t->n;
}

void request_origin_form(struct head_parse *h, const struct head_token *target)
{
    set_path(h->request, target);
    set_target(h, TARGET_ORIGIN, target->p, token_end(target));
}

void request_absolute_form(struct head_parse *h, const struct head_token *scheme,
                           const struct head_token *authority, const struct head_token *path)
{
    struct request_head *r = h->request;
    r->scheme = slice_of(scheme->p, scheme->n);
    r->authority = slice_of(authority->p, authority->n);
    set_path(r, path);
    set_target(h, TARGET_ABSOLUTE, scheme->p, token_end(path));
    if (!slice_ieq(r->scheme, SLICE("http")) && !slice_ieq(r->scheme, SLICE("https")))
        head_refuse(h, 400, scheme->p, "scheme is neither http nor https", "RFC 9110 7.4");
}

void request_authority_form(struct head_parse *h, const struct head_token *authority)
{
    h->request->authority = slice_of(authority->p, authority->n);
    set_target(h, TARGET_AUTHORITY, authority->p, token_end(authority));
}

void request_asterisk_form(struct head_parse *h, const struct head_token *target)
{
    h->request->path = slice_of(target->p, target->n);
    set_target(h, TARGET_ASTERISK, target->p, token_end(target));
}

void request_line_end(struct head_parse *h, const struct head_token *method,
                      const struct head_token *version)
{
    struct request_head *r = h->request;
    r->method_text = slice_of(method->p, method->n);
    r->method = method_lookup(r->method_text);
    r->minor = version->number >= 1;
    /* RFC 9110 4.2.3; RFC 9112 3.2.4: the last proxy turns an OPTIONS without path into "*". */
    if (r->form == TARGET_ABSOLUTE && r->path.n == 0)
        r->path = r->method == METHOD_OPTIONS && !r->has_query ? SLICE("*") : SLICE("/");
}

void request_line_misfit(struct head_parse *h)
{
    head_refuse(h, 400, h->base, "form of the target does not fit the method", "RFC 9112 3.2");
}

void response_status_line(struct head_parse *h, const struct head_token *line)
{
    uint64_t status;
    if (!num_dec(slice_of(line->p, line->n), &status) || status < 100 || status > 599)
        return head_refuse(h, 502, line->p, "status is not in 100..599", "RFC 9110 15");
    h->response->status = (uint16_t)status;
    h->response->reason = slice_of(line->second, line->second_n);
    h->response->minor = line->number >= 1;
}

void response_no_status_line(struct head_parse *h)
{
    if (h->response && h->form != RESPONSE_CGI)
        head_refuse(h, 502, h->base, "no status line", "RFC 9112 4");
}

/* What can be said only when all fields are known. Host counts even beside an absolute-form, which
 * overrides it (RFC 9112 3.2.2): an invalid one is refused all the same. */
static enum parse request_check(struct request_head *r, struct fault *f)
{
    struct slice host;
    int port;
    const struct field *field = fields_find(&r->fields, FIELD_HOST);
    if (!field && r->minor >= 1)
        return fault_bad(f, 400, "no Host field", "RFC 9112 3.2");
    if (field && !uri_split_authority(field->value, &host, &port))
        return fault_bad(f, 400, "invalid Host field", "RFC 9112 3.2");
    if (r->form == TARGET_ORIGIN || r->form == TARGET_ASTERISK)
        r->authority = field ? field->value : SLICE_NONE;
    else if (!uri_split_authority(r->authority, &host, &port))
        return fault_bad(f, 400, "invalid authority in the target", "RFC 9110 4.2");
    else if (r->form == TARGET_AUTHORITY && port < 0)
        return fault_bad(f, 400, "CONNECT without a port", "RFC 9110 9.3.6");
    r->host = r->authority.n ? host : SLICE_NONE;
    return PARSE_DONE;
}

/* RFC 3875 6.3.3: Status = "Status:" status-code SP reason-phrase NL. */
static enum parse cgi_status(struct response_head *r, struct fault *f)
{
    const struct field *field = fields_find(&r->fields, FIELD_STATUS);
    if (!field) {
        r->status = fields_has(&r->fields, FIELD_LOCATION) ? 302 : 200;
        return PARSE_DONE;
    }
    struct slice value = field->value;
    uint64_t status;
    bool cut = value.n < 3 || (value.n > 3 && value.p[3] != ' ');
    if (cut || !num_dec(slice_first(value, 3), &status) || status < 100 || status > 599)
        return fault_bad(f, 502, "invalid Status field", "RFC 3875 6.3.3");
    r->status = (uint16_t)status;
    r->reason = slice_trim(slice_skip(value, 3));
    return PARSE_DONE;
}

static enum parse cgi_check(struct response_head *r, struct fault *f)
{
    if (r->fields.n == 0)
        return fault_bad(f, 502, "CGI response without a field", "RFC 3875 6.2");
    unsigned statuses = 0;
    for (const struct field *field = r->fields.v; field < fields_end(&r->fields); field++)
        statuses += field->id == FIELD_STATUS;
    if (statuses > 1)
        return fault_bad(f, 502, "repeated Status field", "RFC 3875 6.3");
    if (r->status == 0 && cgi_status(r, f) == PARSE_BAD)
        return PARSE_BAD;
    fields_drop(&r->fields, FIELD_STATUS);
    return PARSE_DONE;
}

/* Common to all heads: limits and the run of the grammar. */
static enum parse run(struct head_parse *h, struct slice bytes,
                      void (*grammar)(struct head_parse *))
{
    h->base = h->cur = bytes.p;
    h->end = bytes.p + bytes.n;
    if (bytes.n > h->limits->head_bytes) {
        enum parse big = head_check_size(bytes, h->limits, h->fault);
        h->fault->status = h->status ? h->status : h->fault->status;
        return big;
    }
    if (bytes.n == 0 || h->end[-1] != '\n')
        head_cut_off(h);
    else
        grammar(h);
    if (!h->bad && h->cur != h->end)
        head_refuse(h, 400, h->cur, "bytes behind the empty line", "RFC 9112 2.1");
    if (!h->bad && !h->accepted)
        head_cut_off(h);
    return h->bad ? PARSE_BAD : PARSE_DONE;
}

enum parse request_head_parse(struct slice bytes, const struct head_limits *limits, struct arena *a,
                              struct request_head *out, struct fault *f)
{
    *out = (struct request_head){0};
    struct head_parse h = {
        .lex = head_lex_method,
        .limits = limits,
        .arena = a,
        .fields = &out->fields,
        .request = out,
        .fault = f,
    };
    if (run(&h, bytes, request_grammar_run) == PARSE_BAD)
        return PARSE_BAD;
    return request_check(out, f);
}

enum parse response_head_parse(struct slice bytes, enum response_form form,
                               const struct head_limits *limits, struct arena *a,
                               struct response_head *out, struct fault *f)
{
    *out = (struct response_head){.minor = 1};
    struct head_parse h = {
        .lex = form == RESPONSE_CGI ? head_lex_first_line : head_lex_status_line,
        .lf_ends_line = form == RESPONSE_CGI,
        .status = 502,
        .limits = limits,
        .arena = a,
        .fields = &out->fields,
        .response = out,
        .form = form,
        .fault = f,
    };
    if (run(&h, bytes, response_grammar_run) == PARSE_BAD)
        return PARSE_BAD;
    return form == RESPONSE_CGI ? cgi_check(out, f) : PARSE_DONE;
}

/* RFC 9110 6.5.1: what frames or routes a message cannot come after it and is refused; other fields
 * that we rely on or that belong to the connection are not passed on. */
static enum parse trailers_check(struct fields *fs, struct fault *f)
{
    if (fields_has(fs, FIELD_CONTENT_LENGTH) || fields_has(fs, FIELD_TRANSFER_ENCODING) ||
        fields_has(fs, FIELD_HOST))
        return fault_bad(f, 400, "field is not allowed in trailers", "RFC 9110 6.5.1");
    for (unsigned i = 0; i < fs->n; i++)
        fs->v[i].dropped = field_flags(fs->v[i].id) & (FIELD_HOP | FIELD_KEEP);
    fields_drop_aliases(fs, fs->n);
    return PARSE_DONE;
}

enum parse trailers_parse(struct slice bytes, const struct head_limits *limits, struct arena *a,
                          struct fields *out, struct fault *f)
{
    *out = (struct fields){0};
    struct head_parse h = {
        .lex = head_lex_field,
        .limits = limits,
        .arena = a,
        .fields = out,
        .fault = f,
    };
    if (run(&h, bytes, response_grammar_run) == PARSE_BAD)
        return PARSE_BAD;
    return trailers_check(out, f);
}
