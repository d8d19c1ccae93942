/* SPDX-License-Identifier: MIT */
#include "house/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"

void notify_serving(pid_t main_pid)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    char text[64];
    if (n < 2 || n >= sizeof(un.sun_path))
        return;
    memcpy(un.sun_path, path, n);
    if (un.sun_path[0] == '@') /* an abstract name */
        un.sun_path[0] = '\0';
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int length = snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\n", (int)main_pid);
    if (fd >= 0)
        sendto(fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&un,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}
