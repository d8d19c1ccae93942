/* SPDX-License-Identifier: MIT */
#include "core/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct regex {
    struct regex *next;
    pcre2_code *code;
};

/* What a thread matches with; made at its first match and freed when it ends. */
struct matcher {
    pcre2_match_context *context;
    pcre2_match_data *data;
};

static _Thread_local struct matcher *matcher_here;
static pthread_once_t matcher_once = PTHREAD_ONCE_INIT;
static pthread_key_t matcher_key;

static void matcher_free(void *p)
{
    struct matcher *m = p;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    free(m);
}

static void matcher_make_key(void)
{
    if (pthread_key_create(&matcher_key, matcher_free) != 0)
        abort();
}

static struct matcher *matcher_get(void)
{
    if (matcher_here)
        return matcher_here;
    pthread_once(&matcher_once, matcher_make_key);
    struct matcher *m = mem_alloc(sizeof(*m));
    m->context = pcre2_match_context_create(NULL);
    m->data = pcre2_match_data_create(1, NULL);
    if (!m->context || !m->data)
        abort();
    pcre2_set_match_limit(m->context, REGEX_STEPS_MAX);
    pthread_setspecific(matcher_key, m);
    return matcher_here = m;
}

struct regex *regex_new(struct slice pattern, struct regex *list, char error[REGEX_ERROR_MAX],
                        size_t *offset)
{
    int code = 0;
    /* '$' must not match before a newline at the end, which a path can hold as %0A. */
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.n,
                                         PCRE2_DOLLAR_ENDONLY, &code, offset, NULL);
    if (!compiled) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)error, REGEX_ERROR_MAX);
        return NULL;
    }
    pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* without it, matching interprets */
    struct regex *r = mem_alloc(sizeof(*r));
    *r = (struct regex){.next = list, .code = compiled};
    return r;
}

void regex_free_all(struct regex *list)
{
    for (struct regex *r = list, *next; r; r = next) {
        next = r->next;
        pcre2_code_free(r->code);
        free(r);
    }
}

enum regex_result regex_match(const struct regex *r, struct slice subject)
{
    struct matcher *m = matcher_get();
    int found = pcre2_match(r->code, (PCRE2_SPTR)(subject.p ? subject.p : ""), subject.n, 0, 0,
                            m->data, m->context);
    if (found >= 0)
        return REGEX_YES;
    return found == PCRE2_ERROR_NOMATCH ? REGEX_NO : REGEX_GAVE_UP;
}
