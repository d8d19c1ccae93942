/* SPDX-License-Identifier: MIT */
#include "house/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/mem.h"

/* What the kernel's table of our descriptors has room for from the beginning: half a megabyte. */
enum { TABLE_MAX = 65536 };

/* The table grows with the highest number in use. While threads share it, whoever needs the next
 * number waits until no processor looks at the old one: 20 ms for all clients of a worker. */
static void grow_table(rlim_t limit)
{
    int last = (int)(limit < TABLE_MAX ? limit : TABLE_MAX) - 1;
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, last);
    if (fd >= 0)
        close(fd);
}

void privilege_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    grow_table(limit.rlim_cur);
}

static int become(const char *user, gid_t gid, uid_t uid)
{
    if (initgroups(user, gid) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
        return -errno;
    return uid != 0 && setuid(0) == 0 ? -EPERM : 0; /* there must be no way back */
}

bool privilege_will_drop(const struct gateway_conf *conf)
{
    return conf->user.n && geteuid() == 0;
}

int privilege_drop(const struct gateway_conf *conf)
{
    if (!privilege_will_drop(conf))
        return 0;
    AUTO_FREE char *user = mem_dup(conf->user.p, conf->user.n);
    AUTO_FREE char *group = mem_dup(conf->group.p, conf->group.n);
    const struct passwd *pw = getpwnam(user);
    if (!pw) {
        log_error(0, "no such user: %s", user);
        return -ENOENT;
    }
    gid_t gid = pw->pw_gid;
    const struct group *gr = conf->group.n ? getgrnam(group) : NULL;
    if (conf->group.n && !gr) {
        log_error(0, "no such group: %s", group);
        return -ENOENT;
    }
    int error = become(user, gr ? gr->gr_gid : gid, pw->pw_uid);
    if (error)
        log_error(0, "cannot change to user %s: %s", user, strerror(-error));
    return error;
}
