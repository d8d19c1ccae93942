/* `allow` and `deny`: by the address of who asks.
 * SPDX-License-Identifier: MIT */
#include "config/address.h"
#include "core/admit.h"
#include "core/route.h"

struct access_rule {
    bool is_allow, is_all;
    struct cidr net;
    struct slice text;
};

struct access_list {
    struct access_rule *rules;
    uint32_t count;
};

/* NULL: none matches. */
static const struct access_rule *find_rule(const struct access_list *list,
                                           const struct sockaddr *client)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const struct access_rule *rule = &list->rules[i];
        if (rule->is_all || (client && cidr_has(&rule->net, client)))
            return rule;
    }
    return NULL;
}

static bool is_allowed(const struct access_list *list, const struct access_rule *found)
{
    return found ? found->is_allow : !list->rules[list->count - 1].is_allow;
}

static enum admit ask(struct exchange *x, const void *conf)
{
    const struct access_list *list = conf;
    if (is_allowed(list, find_rule(list, &x->asker.sa)))
        return ADMIT_PASS;
    return admit_refuse(x, 403, FIELD_OTHER, SLICE_NONE, "the client's address is denied",
                        "RFC 9110 15.5.4");
}

static void explain(const void *conf, const struct facts *q, FILE *out)
{
    const struct access_list *list = conf;
    const struct access_rule *found = find_rule(list, q->client);
    fprintf(out, "access: %s by ", is_allowed(list, found) ? "allowed" : "denied (403)");
    if (found)
        fprintf(out, "%s " SLICE_FMT "\n", found->is_allow ? "allow" : "deny",
                SLICE_ARG(found->text));
    else
        fprintf(out, "no rule: the opposite of the last%s\n",
                q->client ? "" : " (give an address with --client)");
}

static const struct gate access_gate = {
    .name = "access",
    .kind = GATE_ACCESS,
    .ask = ask,
    .explain = explain,
};

/* All lines together are one list. */
void *admit_open_access(struct config_reader *r, const struct directive *d, struct admission *a)
{
    (void)d;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->gates[i].gate == &access_gate)
            return a->gates[i].conf;
    struct access_list *list = arena_zalloc(r->arena, sizeof(*list));
    admission_add(r, a, &access_gate, list);
    return list;
}

bool admit_set_access(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct access_list *list = target;
    if (d->arg_count == 0)
        return config_error(r->diag, d->name.at,
                            "'" SLICE_FMT "' takes networks such as 10.0.0.0/8, or all",
                            SLICE_ARG(d->name.text));
    for (uint32_t i = 0; i < d->arg_count; i++) {
        struct access_rule rule = {.is_allow = slice_eq(d->name.text, SLICE("allow")),
                                   .is_all = slice_eq(word[i].text, SLICE("all")),
                                   .text = word[i].text};
        const char *why = rule.is_all ? NULL : cidr_parse(word[i].text, &rule.net);
        if (why)
            return config_error(r->diag, word[i].at, "%s", why);
        if (list->count && list->rules[list->count - 1].is_all)
            config_warn(r->diag, word[i].at, "nobody gets here: 'all' stands before it");
        *(struct access_rule *)config_append(r, &list->rules, &list->count, sizeof(rule)) = rule;
    }
    return true;
}
