/* Telling the service manager that started us how we are, where it wants to know (sd_notify(3): a
 * datagram to the socket that NOTIFY_SOCKET names).
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_NOTIFY_H
#define HOUSE_NOTIFY_H

#include <sys/types.h>

/* We serve; main_pid is the process that stands for the service, which after an upgrade is another
 * than before. */
void notify_serving(pid_t main_pid);

#endif
