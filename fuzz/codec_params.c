/* Variables: the fields of a request come out as the same variables in each form, none twice and
 * none of a name that could be taken for another; and pairs and values from an application are read
 * without going astray. An input is what stands behind a request line.
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/mem.h"
#include "codec/cgi_env.h"
#include "codec/fcgi.h"
#include "fuzz.h"

static const struct head_limits limits = {.head_bytes = 16384, .target_bytes = 8192, .fields = 100};

struct vars {
    struct slice name[256], value[256];
    unsigned n;
};

static void add(struct vars *v, struct slice name, struct slice value)
{
    HOLDS(v->n < 256);
    v->name[v->n] = name;
    v->value[v->n++] = value;
}

static struct slice until(struct slice *bytes, char c)
{
    size_t n = slice_find(*bytes, c);
    HOLDS(n < bytes->n);
    struct slice s = slice_first(*bytes, n);
    *bytes = slice_skip(*bytes, n + 1);
    return s;
}

static void read_vars(enum cgi_form form, struct slice bytes, struct vars *v)
{
    struct slice name, value;
    v->n = 0;
    while (form == CGI_PAIRS && fcgi_next_pair(&bytes, &name, &value))
        add(v, name, value);
    while (form != CGI_PAIRS && bytes.n) {
        name = until(&bytes, form == CGI_ENVIRON ? '=' : '\0');
        add(v, name, until(&bytes, '\0'));
    }
    HOLDS(bytes.n == 0);
}

static struct slice written(enum cgi_form form, const struct codec_request *request)
{
    struct cgi_env env;
    cgi_env_init(&env, form, request);
    size_t bound = cgi_env_bound(&env);
    char *p = mem_alloc(bound);
    size_t n = (size_t)(cgi_env_put(&env, p) - p);
    HOLDS(n <= bound);
    return slice_of(p, n);
}

static void check_names(const struct vars *v)
{
    for (unsigned i = 0; i < v->n; i++) {
        HOLDS(!slice_eq(v->name[i], SLICE("HTTP_PROXY")));
        HOLDS(!slice_eq(v->name[i], SLICE("HTTP_CONTENT_LENGTH")));
        HOLDS(!slice_eq(v->name[i], SLICE("HTTP_CONTENT_TYPE")));
        for (size_t k = 0; k < v->name[i].n; k++) {
            char c = v->name[i].p[k];
            HOLDS((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_');
        }
        for (unsigned k = 0; k < i; k++)
            HOLDS(!slice_eq(v->name[i], v->name[k]));
    }
}

static void write_forms(const struct codec_request *request)
{
    static struct vars pairs, strings, environ;
    struct slice p = written(CGI_PAIRS, request), s = written(CGI_STRINGS, request),
                 e = written(CGI_ENVIRON, request);
    read_vars(CGI_PAIRS, p, &pairs);
    read_vars(CGI_STRINGS, s, &strings);
    read_vars(CGI_ENVIRON, e, &environ);
    check_names(&strings);
    check_names(&pairs);
    unsigned extra = strings.n - pairs.n; /* CONTENT_LENGTH, SCGI */
    HOLDS(environ.n == pairs.n && extra >= 1 && extra <= 2);
    HOLDS(slice_eq(strings.name[0], SLICE("CONTENT_LENGTH")));
    for (unsigned i = 0; i < pairs.n; i++) {
        HOLDS(slice_eq(pairs.name[i], environ.name[i]));
        HOLDS(slice_eq(pairs.value[i], environ.value[i]));
    }
    for (unsigned i = 1; i < pairs.n; i++)
        HOLDS(slice_eq(pairs.value[i], strings.value[i + extra]));
    free((char *)(uintptr_t)p.p);
    free((char *)(uintptr_t)s.p);
    free((char *)(uintptr_t)e.p);
}

static void write_request(struct slice fields, struct arena *a)
{
    static const struct slice line = SLICE_INIT("GET /a?b HTTP/1.1\r\n");
    struct request_head head;
    struct fault f;
    const struct cgi_info cgi = {.path = SLICE("/a"), .path_info = SLICE("/a")};
    char *text = arena_alloc(a, line.n + fields.n);
    slice_put(slice_put(text, line), fields);
    if (request_head_parse(slice_of(text, line.n + fields.n), &limits, a, &head, &f) != PARSE_DONE)
        return;
    if (cgi_env_check(&head.fields, &f) != PARSE_DONE)
        HOLDS(f.status == 400);
    const struct codec_request request = {
        .head = &head, .target = head.target, .host = head.authority, .cgi = &cgi};
    write_forms(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0 || n > 16384)
        return 0;
    struct fuzz_arena memory;
    struct fcgi_values values;
    struct fault f;
    struct slice bytes = slice_of(data, n), pairs = bytes, in = bytes, name, value;
    write_request(bytes, fuzz_arena_init(&memory));
    fuzz_arena_fini(&memory);
    while (fcgi_next_pair(&pairs, &name, &value))
        HOLDS(fuzz_lies_in(bytes, name) && fuzz_lies_in(bytes, value));
    HOLDS(fuzz_lies_in(bytes, pairs));
    enum parse read = fcgi_read_values(&in, &values, &f);
    HOLDS(read == PARSE_DONE ? in.n < n : in.n == n);
    return 0;
}
