/* What the process gives up once it has opened what needs it, and limits it raises before.
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_PRIVILEGE_H
#define HOUSE_PRIVILEGE_H

#include "core/gateway_conf.h"

/* As many descriptors as the hard limit allows. To be called before there are threads. */
void privilege_raise_limits(void);
/* Whether privilege_drop() would change anything. */
bool privilege_will_drop(const struct gateway_conf *conf);
/* Becomes the configured user and group, if there is one and we are root. 0 or -errno, logged. */
int privilege_drop(const struct gateway_conf *conf);

#endif
