/* SPDX-License-Identifier: MIT */
#include "codec/cgi_env.h"

#include <assert.h>

#include "base/num.h"

enum {
    VAR_EXTRA = 16, /* bytes around a name and a value, and "HTTP_" or ", " */
    LENGTH_SHORT = 0x7f,
};

/* ---- field names ---- */

/* The byte of a variable's name, or 0 where there is none. */
static inline char mapped(char c)
{
    static const char map[256] = {
        ['-'] = '_',      ['0'] = '0',      ['1'] = '1',      ['2'] = '2',      ['3'] = '3',
        ['4'] = '4',      ['5'] = '5',      ['6'] = '6',      ['7'] = '7',      ['8'] = '8',
        ['9'] = '9',
#define LETTER(lower, upper) [lower] = upper, [upper] = upper
        LETTER('a', 'A'), LETTER('b', 'B'), LETTER('c', 'C'), LETTER('d', 'D'), LETTER('e', 'E'),
        LETTER('f', 'F'), LETTER('g', 'G'), LETTER('h', 'H'), LETTER('i', 'I'), LETTER('j', 'J'),
        LETTER('k', 'K'), LETTER('l', 'L'), LETTER('m', 'M'), LETTER('n', 'N'), LETTER('o', 'O'),
        LETTER('p', 'P'), LETTER('q', 'Q'), LETTER('r', 'R'), LETTER('s', 'S'), LETTER('t', 'T'),
        LETTER('u', 'U'), LETTER('v', 'V'), LETTER('w', 'W'), LETTER('x', 'X'), LETTER('y', 'Y'),
        LETTER('z', 'Z'),
#undef LETTER
    };
    return map[(unsigned char)c];
}

static bool clash(struct slice with_underscore, struct slice name)
{
    if (with_underscore.n != name.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = with_underscore.p[i];
        if ((c == '_' ? c : mapped(c)) != mapped(name.p[i]) || !mapped(name.p[i]))
            return false;
    }
    return true;
}

enum parse cgi_env_check(const struct fields *fields, struct fault *f)
{
    const struct field *end = fields_end(fields);
    for (const struct field *one = fields->v; one < end; one++) {
        if (one->dropped || slice_find(one->name, '_') == one->name.n)
            continue;
        for (const struct field *other = fields->v; other < end; other++)
            if (!other->dropped && clash(one->name, other->name))
                return fault_bad(f, 400, "field names differ only in '-' and '_'",
                                 "RFC 3875 4.1.18");
    }
    return PARSE_DONE;
}

/* ---- collecting ---- */

static bool has_param(const struct cgi_info *cgi, struct slice name)
{
    for (uint32_t i = 0; i < cgi->param_count; i++)
        if (slice_eq(cgi->params[i].name, name))
            return true;
    return false;
}

static void add_joined(struct cgi_env *env, struct slice name, struct slice value,
                       struct slice rest)
{
    if (has_param(env->request->cgi, name))
        return;
    assert(env->count < CGI_VARS_MAX);
    env->vars[env->count++] = (struct cgi_var){name, value, rest};
}

static void add(struct cgi_env *env, struct slice name, struct slice value)
{
    add_joined(env, name, value, SLICE_NONE);
}

static void add_known(struct cgi_env *env, struct slice name, struct slice value)
{
    if (value.n)
        add(env, name, value);
}

static void add_port(struct cgi_env *env, struct slice name, uint16_t port, char *digits)
{
    if (port)
        add(env, name, slice_of(digits, num_put_dec(digits, port)));
}

/* RFC 3875 4.1.2, SCGI 3: frames what follows, so the configuration has no say in it. */
static void add_length(struct cgi_env *env)
{
    const struct framing *framing = &env->request->framing;
    bool sized = framing->kind == BODY_LENGTH && env->request->cgi->role == CGI_RESPONDER;
    uint64_t length = sized ? framing->length : 0;
    struct slice digits = slice_of(env->length, num_put_dec(env->length, length));
    if (sized || env->form == CGI_STRINGS)
        env->vars[env->count++] = (struct cgi_var){SLICE("CONTENT_LENGTH"), digits, SLICE_NONE};
    if (env->form == CGI_STRINGS)
        env->vars[env->count++] = (struct cgi_var){SLICE("SCGI"), SLICE("1"), SLICE_NONE};
}

static void add_request(struct cgi_env *env)
{
    const struct codec_request *r = env->request;
    const struct request_head *head = r->head;
    size_t question = slice_find(r->target, '?');
    struct slice query = slice_skip(r->target, question + (question < r->target.n));
    add(env, SLICE("GATEWAY_INTERFACE"), SLICE("CGI/1.1"));
    add(env, SLICE("SERVER_SOFTWARE"), SLICE("sluice/" SLUICE_VERSION));
    add(env, SLICE("SERVER_PROTOCOL"), head->minor ? SLICE("HTTP/1.1") : SLICE("HTTP/1.0"));
    add(env, SLICE("REQUEST_METHOD"), head->method_text);
    add(env, SLICE("REQUEST_URI"), r->asked.n ? r->asked : r->target);
    add(env, SLICE("QUERY_STRING"), query);
    add(env, SLICE("REQUEST_SCHEME"), r->cgi->https ? SLICE("https") : SLICE("http"));
    if (r->cgi->https)
        add(env, SLICE("HTTPS"), SLICE("on"));
    add_known(env, SLICE("CONTENT_TYPE"), fields_value(&head->fields, FIELD_CONTENT_TYPE));
    add_known(env, SLICE("HTTP_HOST"), r->host);
}

/* SCRIPT_NAME is there even when empty (RFC 3875 4.1.13). FastCGI 6.3 has neither it nor PATH_INFO
 * for an authorizer. */
static void add_paths(struct cgi_env *env)
{
    const struct cgi_info *cgi = env->request->cgi;
    add_known(env, SLICE("DOCUMENT_URI"), cgi->path);
    add_known(env, SLICE("DOCUMENT_ROOT"), cgi->document_root);
    if (cgi->script_filename.n)
        add(env, SLICE("SCRIPT_FILENAME"), cgi->script_filename);
    else if (cgi->document_root.n)
        add_joined(env, SLICE("SCRIPT_FILENAME"), cgi->document_root, cgi->script_name);
    if (cgi->role == CGI_AUTHORIZER)
        return;
    add(env, SLICE("SCRIPT_NAME"), cgi->script_name);
    add_known(env, SLICE("PATH_INFO"), cgi->path_info);
    if (cgi->path_info.n && cgi->document_root.n)
        add_joined(env, SLICE("PATH_TRANSLATED"), cgi->document_root, cgi->path_info);
}

static void add_peers(struct cgi_env *env)
{
    const struct cgi_info *cgi = env->request->cgi;
    add_known(env, SLICE("SERVER_NAME"), cgi->server_name);
    add_known(env, SLICE("SERVER_ADDR"), cgi->server_addr);
    add_port(env, SLICE("SERVER_PORT"), cgi->server_port, env->server_port);
    add_known(env, SLICE("REMOTE_ADDR"), cgi->client_addr);
    add_port(env, SLICE("REMOTE_PORT"), cgi->client_port, env->client_port);
    add_known(env, SLICE("AUTH_TYPE"), cgi->auth_type);
    add_known(env, SLICE("REMOTE_USER"), cgi->auth_user);
    add(env, SLICE("REDIRECT_STATUS"), SLICE("200")); /* php-cgi answers nothing without */
}

/* Different names may share a bit: then somebody looks closer. */
static unsigned name_bit(const struct field *f)
{
    if (f->id != FIELD_OTHER)
        return f->id;
    unsigned first = (unsigned char)f->name.p[0] | 0x20;
    unsigned last = (unsigned char)f->name.p[f->name.n - 1] | 0x20;
    return (first * 7 + last * 3 + (unsigned)f->name.n) % 64;
}

static uint64_t find_repeated(const struct fields *fields)
{
    uint64_t once = 0, twice = 0;
    for (unsigned i = 0; i < fields->n; i++) {
        uint64_t bit = UINT64_C(1) << name_bit(&fields->v[i]);
        twice |= once & bit;
        once |= bit;
    }
    return twice;
}

void cgi_env_init(struct cgi_env *env, enum cgi_form form, const struct codec_request *request)
{
    env->request = request;
    env->form = form;
    env->count = 0;
    env->repeated = find_repeated(&request->head->fields);
    add_length(env);
    add_request(env);
    add_paths(env);
    add_peers(env);
}

/* ---- writing ---- */

size_t cgi_env_bound(const struct cgi_env *env)
{
    const struct cgi_info *cgi = env->request->cgi;
    const struct fields *fields = &env->request->head->fields;
    size_t n = VAR_EXTRA;
    for (const struct cgi_var *v = env->vars; v < env->vars + env->count; v++)
        n += v->name.n + v->value.n + v->rest.n + VAR_EXTRA;
    for (const struct field *f = fields->v; f < fields_end(fields); f++)
        n += f->name.n + f->value.n + VAR_EXTRA;
    for (uint32_t i = 0; i < cgi->param_count; i++)
        n += cgi->params[i].name.n + cgi->params[i].value.n + VAR_EXTRA;
    return n;
}

/* FastCGI 3.4: one byte, or four with the highest bit set. */
static char *put_length(char *p, size_t n)
{
    if (n > LENGTH_SHORT) {
        *p++ = (char)(n >> 24 | 0x80);
        *p++ = (char)(n >> 16);
        *p++ = (char)(n >> 8);
    }
    *p++ = (char)n;
    return p;
}

/* Before the name, between name and value, behind the value. */
static inline char *put_front(char *p, enum cgi_form form, size_t name_n, size_t value_n)
{
    return form == CGI_PAIRS ? put_length(put_length(p, name_n), value_n) : p;
}

static inline char *put_middle(char *p, enum cgi_form form)
{
    if (form != CGI_PAIRS)
        *p++ = form == CGI_ENVIRON ? '=' : '\0';
    return p;
}

static inline char *put_back(char *p, enum cgi_form form)
{
    if (form != CGI_PAIRS)
        *p++ = '\0';
    return p;
}

static char *put_var(char *p, enum cgi_form form, const struct cgi_var *v)
{
    p = put_front(p, form, v->name.n, v->value.n + v->rest.n);
    p = slice_put(p, v->name);
    p = put_middle(p, form);
    p = slice_put(p, v->value);
    p = slice_put(p, v->rest);
    return put_back(p, form);
}

static bool is_same(const struct field *a, const struct field *b)
{
    return !a->dropped && a->id == b->id && (a->id != FIELD_OTHER || slice_ieq(a->name, b->name));
}

/* A line that has gone into the variable of an earlier one. */
static bool is_later(const struct fields *fields, const struct field *f)
{
    for (const struct field *before = fields->v; before < f; before++)
        if (is_same(before, f))
            return true;
    return false;
}

static size_t joined_bytes(const struct fields *fields, const struct field *f)
{
    size_t n = f->value.n;
    for (const struct field *next = f + 1; next < fields_end(fields); next++)
        if (is_same(next, f))
            n += next->value.n + 2;
    return n;
}

static char *put_joined(char *p, const struct fields *fields, const struct field *f)
{
    struct slice between = f->id == FIELD_COOKIE ? SLICE("; ") : SLICE(", ");
    for (const struct field *next = f + 1; next < fields_end(fields); next++)
        if (is_same(next, f))
            p = slice_put(slice_put(p, between), next->value);
    return p;
}

/* False: the name has no variable. */
static inline bool put_mapped(char *p, struct slice name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!(p[i] = mapped(name.p[i])))
            return false;
    return true;
}

static bool has_variable(const struct field *f)
{
    return !f->dropped && f->id != FIELD_CONTENT_LENGTH && f->id != FIELD_CONTENT_TYPE &&
           f->id != FIELD_HOST && !slice_ieq(f->name, SLICE("Proxy"));
}

/* Answers start itself if the field is left out. */
static char *put_field(char *start, const struct cgi_env *env, const struct field *f)
{
    const struct fields *fields = &env->request->head->fields;
    const struct cgi_info *cgi = env->request->cgi;
    bool repeated = env->repeated & UINT64_C(1) << name_bit(f);
    if (!has_variable(f) || (repeated && is_later(fields, f)))
        return start;
    size_t value_n = repeated ? joined_bytes(fields, f) : f->value.n;
    char *name = put_front(start, env->form, f->name.n + 5, value_n);
    char *p = slice_put(name, SLICE("HTTP_"));
    if (!put_mapped(p, f->name))
        return start;
    p += f->name.n;
    if (cgi->param_count && has_param(cgi, slice_of(name, (size_t)(p - name))))
        return start;
    p = put_middle(p, env->form);
    p = slice_put(p, f->value);
    if (repeated)
        p = put_joined(p, fields, f);
    return put_back(p, env->form);
}

static char *put_params(char *p, const struct cgi_env *env)
{
    const struct cgi_info *cgi = env->request->cgi;
    for (uint32_t i = 0; i < cgi->param_count; i++) {
        const struct cgi_param *param = &cgi->params[i];
        const struct cgi_var v = {param->name, param->value, SLICE_NONE};
        if (!slice_eq(v.name, SLICE("CONTENT_LENGTH")) && !slice_eq(v.name, SLICE("SCGI")))
            p = put_var(p, env->form, &v);
    }
    return p;
}

char *cgi_env_put(const struct cgi_env *env, char *p)
{
    const struct fields *fields = &env->request->head->fields;
    for (const struct cgi_var *v = env->vars; v < env->vars + env->count; v++)
        p = put_var(p, env->form, v);
    for (const struct field *f = fields->v; f < fields_end(fields); f++)
        p = put_field(p, env, f);
    return put_params(p, env);
}

/* ---- paths ---- */

bool cgi_split_path(struct cgi_info *info, struct slice path, struct slice extension)
{
    for (size_t end = 0; end < path.n;) {
        size_t start = end + 1; /* every segment begins behind a slash */
        end = start + slice_find(slice_skip(path, start), '/');
        struct slice segment = slice_of(path.p + start, end - start);
        if (segment.n > extension.n && slice_ends(segment, extension)) {
            info->script_name = slice_first(path, end);
            info->path_info = slice_skip(path, end);
            return true;
        }
    }
    return false;
}
