/* Cases whose outcome is a report: {text, whether it is accepted, report}. With SHOW_REPORTS set
 * the tests print the table as it would have to be, to be read before it is kept.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_REPORT_CASE_H
#define CONFIG_REPORT_CASE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct report_case {
    const char *text;
    bool ok;
    const char *report;
};

/* A literal for each line of text. */
static void report_print_literal(const char *text, const char *indent)
{
    const char *p = text;
    printf("%s\"", indent);
    for (; *p; p++) {
        if (*p == '\n')
            printf(p[1] ? "\\n\"\n%s\"" : "\\n", indent);
        else if (*p == '\t')
            printf("\\t");
        else if ((unsigned char)*p < ' ')
            printf("\\%03o", *p);
        else
            printf(*p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
    }
    printf("\"");
}

/* True: printed, and there is nothing to check. */
static bool report_is_shown(const struct report_case *c, bool ok, const char *report)
{
    if (!getenv("SHOW_REPORTS"))
        return false;
    printf("{");
    report_print_literal(c->text, "");
    printf(",\n %s,\n", ok ? "true" : "false");
    report_print_literal(report, " ");
    printf("},\n");
    return true;
}

#endif
