/* SPDX-License-Identifier: MIT */
#include "codec/cgi_env.h"

#include <assert.h>

#include "base/num.h"

enum {
    VAR_EXTRA = 16,   /* bytes around a name and a value, and "HTTP_" or ", " */
    FIXED_BYTES = 64, /* values that are words of ours */
    LENGTH_SHORT = 0x7f,
};

/* ---- names ---- */

/* The variables that are not made of fields. */
/* clang-format off */
#define VARS(X) \
    X(CONTENT_LENGTH) X(SCGI) X(GATEWAY_INTERFACE) X(SERVER_SOFTWARE) X(SERVER_PROTOCOL) \
    X(REQUEST_METHOD) X(REQUEST_URI) X(QUERY_STRING) X(REQUEST_SCHEME) X(HTTPS) X(CONTENT_TYPE) \
    X(HTTP_HOST) X(DOCUMENT_URI) X(DOCUMENT_ROOT) X(SCRIPT_FILENAME) X(SCRIPT_NAME) X(PATH_INFO) \
    X(PATH_TRANSLATED) X(SERVER_NAME) X(SERVER_ADDR) X(SERVER_PORT) X(REMOTE_ADDR) X(REMOTE_PORT) \
    X(AUTH_TYPE) X(REMOTE_USER) X(REDIRECT_STATUS)
/* clang-format on */

enum var {
#define X(name) VAR_##name,
    VARS(X)
#undef X
};

enum {
#define X(name) +sizeof(#name) + VAR_EXTRA
    VARS_BYTES = VARS(X)
#undef X
};

/* Copied whole, as a length that the compiler knows needs no call: what follows comes over the
 * rest.
 */
struct name {
    uint8_t n;
    char text[31];
};

static const struct name var_names[] = {
#define X(name) [VAR_##name] = {sizeof(#name) - 1, #name},
    VARS(X)
#undef X
};

_Static_assert(sizeof(var_names) / sizeof(var_names[0]) == CGI_VARS_MAX, "as many as are promised");

static inline char *put_name(char *p, const struct name *name)
{
    memcpy(p, name->text, sizeof(name->text));
    return p + name->n;
}

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

static struct name field_names[FIELD_IDS]; /* of those that are known */

__attribute__((constructor)) static void field_names_fill(void)
{
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_IDS; id++) {
        struct slice field = field_text((enum field_id)id);
        struct name *name = &field_names[id];
        char *p = slice_put(name->text, SLICE("HTTP_"));
        assert(field.n + 5 <= sizeof(name->text));
        for (size_t i = 0; i < field.n; i++)
            *p++ = mapped(field.p[i]);
        name->n = (uint8_t)(p - name->text);
    }
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
    env->repeated = find_repeated(&request->head->fields);
}

/* ---- writing ---- */

size_t cgi_env_bound(const struct cgi_env *env)
{
    const struct codec_request *r = env->request;
    const struct cgi_info *cgi = r->cgi;
    const struct fields *fields = &r->head->fields;
    size_t n = VARS_BYTES + 3 * NUM_DEC_MAX + FIXED_BYTES + sizeof(struct name);
    n += r->head->method_text.n + r->asked.n + r->target.n * 2 + r->host.n + cgi->path.n;
    n += cgi->document_root.n * 3 + cgi->script_filename.n;
    n += (cgi->script_name.n + cgi->path_info.n) * 2;
    n += cgi->server_name.n + cgi->server_addr.n + cgi->client_addr.n;
    n += cgi->auth_type.n + cgi->auth_user.n;
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

/* What is before the value. */
static inline char *put_start(char *p, enum cgi_form form, const struct name *name, size_t value_n)
{
    return put_middle(put_name(put_front(p, form, name->n, value_n), name), form);
}

static bool has_param(const struct cgi_info *cgi, struct slice name)
{
    for (uint32_t i = 0; i < cgi->param_count; i++)
        if (slice_eq(cgi->params[i].name, name))
            return true;
    return false;
}

/* The configuration has the last word. */
static inline bool is_ours(const struct cgi_env *env, const struct name *name)
{
    const struct cgi_info *cgi = env->request->cgi;
    return !cgi->param_count || !has_param(cgi, slice_of(name->text, name->n));
}

static char *put(char *p, const struct cgi_env *env, enum var var, struct slice value)
{
    const struct name *name = &var_names[var];
    if (!is_ours(env, name))
        return p;
    p = slice_put(put_start(p, env->form, name, value.n), value);
    return put_back(p, env->form);
}

static char *put_known(char *p, const struct cgi_env *env, enum var var, struct slice value)
{
    return value.n ? put(p, env, var, value) : p;
}

static char *put_path(char *p, const struct cgi_env *env, enum var var, struct slice root,
                      struct slice path)
{
    const struct name *name = &var_names[var];
    if (!is_ours(env, name))
        return p;
    p = slice_put(slice_put(put_start(p, env->form, name, root.n + path.n), root), path);
    return put_back(p, env->form);
}

static char *put_port(char *p, const struct cgi_env *env, enum var var, uint16_t port)
{
    char digits[NUM_DEC_MAX];
    return port ? put(p, env, var, slice_of(digits, num_put_dec(digits, port))) : p;
}

static char *put_framing(char *p, const struct cgi_env *env, enum var var, struct slice value)
{
    p = slice_put(put_start(p, env->form, &var_names[var], value.n), value);
    return put_back(p, env->form);
}

/* RFC 3875 4.1.2, SCGI 3: frames what follows, so the configuration has no say in it. */
static char *put_body_length(char *p, const struct cgi_env *env)
{
    const struct framing *framing = &env->request->framing;
    bool sized = framing->kind == BODY_LENGTH && env->request->cgi->role == CGI_RESPONDER;
    uint64_t length = sized ? framing->length : 0;
    char digits[NUM_DEC_MAX];
    if (sized || env->form == CGI_STRINGS)
        p = put_framing(p, env, VAR_CONTENT_LENGTH, slice_of(digits, num_put_dec(digits, length)));
    return env->form == CGI_STRINGS ? put_framing(p, env, VAR_SCGI, SLICE("1")) : p;
}

static char *put_request(char *p, const struct cgi_env *env)
{
    const struct codec_request *r = env->request;
    const struct request_head *head = r->head;
    size_t question = slice_find(r->target, '?');
    struct slice query = slice_skip(r->target, question + (question < r->target.n));
    p = put(p, env, VAR_GATEWAY_INTERFACE, SLICE("CGI/1.1"));
    p = put(p, env, VAR_SERVER_SOFTWARE, SLICE("sluice/" SLUICE_VERSION));
    p = put(p, env, VAR_SERVER_PROTOCOL, head->minor ? SLICE("HTTP/1.1") : SLICE("HTTP/1.0"));
    p = put(p, env, VAR_REQUEST_METHOD, head->method_text);
    p = put(p, env, VAR_REQUEST_URI, r->asked.n ? r->asked : r->target);
    p = put(p, env, VAR_QUERY_STRING, query);
    p = put(p, env, VAR_REQUEST_SCHEME, r->cgi->https ? SLICE("https") : SLICE("http"));
    if (r->cgi->https)
        p = put(p, env, VAR_HTTPS, SLICE("on"));
    p = put_known(p, env, VAR_CONTENT_TYPE, fields_value(&head->fields, FIELD_CONTENT_TYPE));
    return put_known(p, env, VAR_HTTP_HOST, r->host);
}

/* SCRIPT_NAME is there even when empty (RFC 3875 4.1.13). FastCGI 6.3 has neither it nor PATH_INFO
 * for an authorizer. */
static char *put_paths(char *p, const struct cgi_env *env)
{
    const struct cgi_info *cgi = env->request->cgi;
    p = put_known(p, env, VAR_DOCUMENT_URI, cgi->path);
    p = put_known(p, env, VAR_DOCUMENT_ROOT, cgi->document_root);
    if (cgi->script_filename.n)
        p = put(p, env, VAR_SCRIPT_FILENAME, cgi->script_filename);
    else if (cgi->document_root.n)
        p = put_path(p, env, VAR_SCRIPT_FILENAME, cgi->document_root, cgi->script_name);
    if (cgi->role == CGI_AUTHORIZER)
        return p;
    p = put(p, env, VAR_SCRIPT_NAME, cgi->script_name);
    p = put_known(p, env, VAR_PATH_INFO, cgi->path_info);
    if (cgi->path_info.n && cgi->document_root.n)
        p = put_path(p, env, VAR_PATH_TRANSLATED, cgi->document_root, cgi->path_info);
    return p;
}

static char *put_peers(char *p, const struct cgi_env *env)
{
    const struct cgi_info *cgi = env->request->cgi;
    p = put_known(p, env, VAR_SERVER_NAME, cgi->server_name);
    p = put_known(p, env, VAR_SERVER_ADDR, cgi->server_addr);
    p = put_port(p, env, VAR_SERVER_PORT, cgi->server_port);
    p = put_known(p, env, VAR_REMOTE_ADDR, cgi->client_addr);
    p = put_port(p, env, VAR_REMOTE_PORT, cgi->client_port);
    p = put_known(p, env, VAR_AUTH_TYPE, cgi->auth_type);
    p = put_known(p, env, VAR_REMOTE_USER, cgi->auth_user);
    return put(p, env, VAR_REDIRECT_STATUS, SLICE("200")); /* php-cgi answers nothing without */
}

/* ---- fields ---- */

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

static bool has_variable(const struct field *f)
{
    return !f->dropped && f->id != FIELD_CONTENT_LENGTH && f->id != FIELD_CONTENT_TYPE &&
           f->id != FIELD_HOST && !slice_ieq(f->name, SLICE("Proxy"));
}

/* The name of a field that is not known, and what is before it; NULL: it has no variable. */
static char *put_other_name(char *p, const struct cgi_env *env, const struct field *f,
                            size_t value_n)
{
    const struct cgi_info *cgi = env->request->cgi;
    char *name = put_front(p, env->form, f->name.n + 5, value_n);
    p = slice_put(name, SLICE("HTTP_"));
    for (size_t i = 0; i < f->name.n; i++)
        if (!(*p++ = mapped(f->name.p[i])))
            return NULL;
    if (cgi->param_count && has_param(cgi, slice_of(name, (size_t)(p - name))))
        return NULL;
    return put_middle(p, env->form);
}

static char *put_field_name(char *p, const struct cgi_env *env, const struct field *f,
                            size_t value_n)
{
    const struct name *name = &field_names[f->id];
    if (f->id == FIELD_OTHER)
        return put_other_name(p, env, f, value_n);
    return is_ours(env, name) ? put_start(p, env->form, name, value_n) : NULL;
}

/* Answers start itself if the field is left out. */
static char *put_field(char *start, const struct cgi_env *env, const struct field *f)
{
    const struct fields *fields = &env->request->head->fields;
    bool repeated = env->repeated & UINT64_C(1) << name_bit(f);
    if (!has_variable(f) || (repeated && is_later(fields, f)))
        return start;
    size_t value_n = repeated ? joined_bytes(fields, f) : f->value.n;
    char *p = put_field_name(start, env, f, value_n);
    if (!p)
        return start;
    p = slice_put(p, f->value);
    if (repeated)
        p = put_joined(p, fields, f);
    return put_back(p, env->form);
}

static char *put_param(char *p, enum cgi_form form, const struct cgi_param *param)
{
    p = slice_put(put_front(p, form, param->name.n, param->value.n), param->name);
    p = slice_put(put_middle(p, form), param->value);
    return put_back(p, form);
}

static char *put_params(char *p, const struct cgi_env *env)
{
    const struct cgi_info *cgi = env->request->cgi;
    for (uint32_t i = 0; i < cgi->param_count; i++) {
        struct slice name = cgi->params[i].name;
        if (!slice_eq(name, SLICE("CONTENT_LENGTH")) && !slice_eq(name, SLICE("SCGI")))
            p = put_param(p, env->form, &cgi->params[i]);
    }
    return p;
}

char *cgi_env_put(const struct cgi_env *env, char *p)
{
    const struct fields *fields = &env->request->head->fields;
    p = put_body_length(p, env);
    p = put_request(p, env);
    p = put_paths(p, env);
    p = put_peers(p, env);
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
