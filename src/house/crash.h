/* A crash leaves a trace: what the workers did last goes to stderr before the process dies.
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_CRASH_H
#define HOUSE_CRASH_H

#include <stdint.h>

struct worker;

void crash_watch(const struct worker *workers, uint32_t count);
void crash_unwatch(void);

#endif
