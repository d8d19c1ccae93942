/* SPDX-License-Identifier: MIT */
#include "rewrite/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/diag.h"
#include "config/schema.h"

enum { JIT_STACK_FIRST = 32 * 1024, JIT_STACK_MAX = 512 * 1024 };

struct regex {
    struct regex *next;
    pcre2_code *code;
    uint32_t groups;
    bool is_compiled; /* to machine code */
};

/* What a thread matches with; made at its first match. */
struct matcher {
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
};

static _Thread_local struct matcher here;

static void matcher_init(void)
{
    here.context = pcre2_match_context_create(NULL);
    here.data = pcre2_match_data_create(REGEX_GROUPS, NULL);
    here.stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
    if (!here.context || !here.data || !here.stack)
        abort();
    pcre2_set_match_limit(here.context, REGEX_STEPS_MAX);
    pcre2_jit_stack_assign(here.context, NULL, here.stack);
}

void regex_end_thread(void)
{
    pcre2_match_data_free(here.data);
    pcre2_match_context_free(here.context);
    pcre2_jit_stack_free(here.stack);
    here = (struct matcher){0};
}

struct regex *regex_new(struct slice pattern, struct regex **list, char error[REGEX_ERROR_MAX],
                        size_t *offset)
{
    int code = 0;
    /* A path can hold a newline (%0A): '.' takes it, or it would lead past a route such as
     * ^/private/.*$, and '$' does not match before one at the end. */
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.n,
                                         PCRE2_DOLLAR_ENDONLY | PCRE2_DOTALL, &code, offset, NULL);
    if (!compiled) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)error, REGEX_ERROR_MAX);
        return NULL;
    }
    struct regex *r = mem_alloc(sizeof(*r));
    *r = (struct regex){.next = *list, .code = compiled};
    r->is_compiled = pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0; /* else it interprets */
    pcre2_pattern_info(compiled, PCRE2_INFO_CAPTURECOUNT, &r->groups);
    *list = r;
    return r;
}

struct regex *regex_read(struct config_reader *r, const struct config_word *word,
                         struct slice pattern)
{
    char error[REGEX_ERROR_MAX];
    size_t offset = 0;
    struct regex *regex = regex_new(pattern, r->regexes, error, &offset);
    if (!regex)
        config_error(r->diag, word->text_at, "bad regular expression: %s, after %zu characters",
                     error, offset);
    return regex;
}

void regex_free_all(struct regex *list)
{
    for (struct regex *r = list, *next; r; r = next) {
        next = r->next;
        pcre2_code_free(r->code);
        free(r);
    }
}

uint32_t regex_group_count(const struct regex *r)
{
    return r->groups < REGEX_GROUPS ? r->groups : REGEX_GROUPS - 1;
}

static int run(const struct regex *r, struct slice subject, size_t from)
{
    PCRE2_SPTR text = (PCRE2_SPTR)(subject.p ? subject.p : "");
    if (!here.data)
        matcher_init();
    if (r->is_compiled)
        return pcre2_jit_match(r->code, text, subject.n, from, 0, here.data, here.context);
    return pcre2_match(r->code, text, subject.n, from, 0, here.data, here.context);
}

static enum regex_result result_of(int rc)
{
    return rc >= 0 ? REGEX_YES : rc == PCRE2_ERROR_NOMATCH ? REGEX_NO : REGEX_GAVE_UP;
}

enum regex_result regex_match(const struct regex *r, struct slice subject)
{
    return result_of(run(r, subject, 0));
}

enum regex_result regex_find(const struct regex *r, struct slice subject, size_t from,
                             struct groups *groups)
{
    int rc = run(r, subject, from);
    if (rc < 0)
        return result_of(rc);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(here.data);
    uint32_t n = rc == 0 ? REGEX_GROUPS : (uint32_t)rc; /* 0: there are more than fit */
    for (uint32_t i = 0; i < n; i++)
        groups->v[i] =
            at[2 * i] == PCRE2_UNSET || at[2 * i] > at[2 * i + 1]
                ? SLICE_NONE
                : slice_of((subject.p ? subject.p : "") + at[2 * i], at[2 * i + 1] - at[2 * i]);
    groups->n = n;
    return REGEX_YES;
}
