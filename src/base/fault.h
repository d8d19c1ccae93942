/* Why something was refused: decided once, carried as a value, logged once.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdint.h>

struct fault {
    uint16_t status;  /* the HTTP status this deserves; 0 where none applies */
    uint32_t offset;  /* of the offending byte in what was parsed */
    const char *what; /* for people: "field value has a control character" */
    const char *rule; /* where it is forbidden: "RFC 9110 5.5" */
};

/* Outcome of everything that parses bytes of a peer. */
enum parse { PARSE_MORE, PARSE_DONE, PARSE_BAD };

/* Fills *f and answers PARSE_BAD, so that a refusal is one return statement. */
__attribute__((cold)) static inline enum parse fault_bad(struct fault *f, uint16_t status,
                                                         const char *what, const char *rule)
{
    *f = (struct fault){.status = status, .what = what, .rule = rule};
    return PARSE_BAD;
}

#endif
