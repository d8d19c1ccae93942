/* SPDX-License-Identifier: MIT */
#include "cli/explain_rules.h"

#include "core/gateway_conf.h"

static void print_rule(FILE *out, const char *label, const struct rule *rule)
{
    fprintf(out, "%-10s" SLICE_FMT, label, SLICE_ARG(rule->text));
    if (rule->at.file)
        fprintf(out, "  (" SLICE_FMT ":%u)", SLICE_ARG(rule->at.file->path), rule->at.line);
    fputc('\n', out);
}

static void print_result(FILE *out, const struct rule *rule, const struct facts *f,
                         enum rule_result result)
{
    const struct cond *missed = NULL;
    enum regex_result found = match_facts(&rule->match, f, &missed);
    fprintf(out, "%-10s  %s%s%s\n", "", rule_result_text(result),
            result == RULE_SKIPPED && found == REGEX_NO ? ": " : "",
            result == RULE_SKIPPED && found == REGEX_NO ? match_miss(missed) : "");
}

static void print_target(FILE *out, const struct target *t)
{
    fprintf(out, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(t->path), t->has_query ? "?" : "",
            SLICE_ARG(t->query));
}

static void print_change(FILE *out, const struct target *before, const struct target *after)
{
    fprintf(out, "%-10s  ", "");
    if (after->mount.host.p != before->mount.host.p) {
        fprintf(out, "Host: " SLICE_FMT "\n", SLICE_ARG(after->mount.host));
        return;
    }
    print_target(out, before);
    fputs("  becomes  ", out);
    print_target(out, after);
    fputc('\n', out);
}

bool explain_target(FILE *out, const struct rewrite *rewrite, struct facts *f, struct target *t,
                    const struct gateway_conf *conf, struct arena *a)
{
    for (uint32_t i = 0; i < rewrite->target.n; i++) {
        const struct rule *rule = &rewrite->target.v[i];
        struct target before = *t;
        struct facts seen = *f;
        enum rule_result result = rule_apply_target(rule, f, t, conf->target_bytes, a);
        print_rule(out, "rewrite", rule);
        if (result == RULE_APPLIED)
            print_change(out, &before, t);
        else
            print_result(out, rule, &seen, result);
        if (result > RULE_APPLIED)
            return false;
        if (result == RULE_APPLIED && rule->is_last)
            break;
    }
    return true;
}

static void print_new_fields(FILE *out, const struct fields *fs, unsigned from)
{
    for (unsigned i = from; i < fs->n; i++)
        fprintf(out, "%-10s  " SLICE_FMT ": " SLICE_FMT "\n", "", SLICE_ARG(fs->v[i].name),
                SLICE_ARG(fs->v[i].value));
}

bool explain_fields(FILE *out, const struct rewrite *rewrite, struct facts *f, struct fields *fs,
                    const struct gateway_conf *conf, struct arena *a)
{
    f->fields = fs;
    for (uint32_t i = 0; i < rewrite->request.n; i++) {
        const struct rule *rule = &rewrite->request.v[i];
        unsigned before = fs->n;
        enum rule_result result = rule_apply_fields(rule, f, fs, conf->head_bytes, a);
        print_rule(out, "headers", rule);
        if (result != RULE_APPLIED)
            print_result(out, rule, f, result);
        if (result > RULE_APPLIED)
            return false;
        print_new_fields(out, fs, before);
    }
    return true;
}

void explain_response(FILE *out, const struct rewrite *rewrite, const struct target *t)
{
    for (uint32_t i = 0; i < rewrite->response.n; i++)
        print_rule(out, "response", &rewrite->response.v[i]);
    bool changed = t->mount.prefix.n || t->mount.prepended.n || t->mount.host.n;
    if (rewrite->map_back == MAP_BACK_ON || (rewrite->map_back == MAP_BACK_AUTO && changed))
        fprintf(out,
                "%-10sLocation, Content-Location, Refresh and cookies, for what the client knows\n",
                "map-back");
    if (rewrite->cookie_flags.n)
        fprintf(out, "%-10s" SLICE_FMT "\n", "cookies",
                SLICE_ARG(slice_skip(rewrite->cookie_flags, 2)));
}
