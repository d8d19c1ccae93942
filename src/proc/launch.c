/* The child shares the parent's memory until it has called exec (vfork), so that starting a process
 * costs no copy of page tables: all it needs is prepared before, and it only makes system calls.
 * What fails there is told through a pipe, which exec closes.
 * SPDX-License-Identifier: MIT */
#include "proc/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/file.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum {
    CANDIDATES_MAX = 32,
    TEXTS_MAX = 2 * MESSAGE_MAX,
    CGI_TEXTS_MAX = MESSAGE_PATH_MAX + 128, /* a name, and what tells of a socket */
};

struct trouble {
    int error; /* -errno */
    enum spawn_stage stage;
};

struct launch {
    const struct spawn_def *def;
    char **argv, **envp;
    char *programs[CANDIDATES_MAX + 1]; /* tried in order; ends with NULL */
    char *listen_pid;                   /* where the process id is to be put in the environment */
    int fds[LAUNCH_FDS];                /* -1: none */
    int directory_fd;                   /* -1: def->directory */
    int trouble_fd;                     /* the pipe's writing end */
    pid_t parent;
    char *texts, *texts_end; /* memory of what is not in the definition or the order */
    size_t texts_size;
};

/* ---- in the child: system calls only ---- */

static void give_up(const struct launch *l, enum spawn_stage stage)
{
    struct trouble t = {.error = -errno, .stage = stage};
    ssize_t n = write(l->trouble_fd, &t, sizeof(t));
    (void)n;
    _exit(127);
}

/* The spawner blocks all and ignores none. */
static void unblock_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int enter_cgroup(const struct spawn_def *d)
{
    if (!d->cgroup.n)
        return 0;
    int dir = open(d->cgroup.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, "0", 1) != 1 ? -1 : 0;
}

static int set_limits(const struct spawn_def *d)
{
    for (uint32_t i = 0; i < d->limit_count; i++) {
        rlim_t value = d->limits[i].value == UINT64_MAX ? RLIM_INFINITY : d->limits[i].value;
        struct rlimit limit = {value, value};
        if (setrlimit((int)d->limits[i].resource, &limit) < 0)
            return -1;
    }
    return 0;
}

/* To be who we are needs no right. */
static int become_user(const struct spawn_def *d)
{
    gid_t groups[MESSAGE_GROUPS_MAX];
    if (!d->has_user || (geteuid() != 0 && geteuid() == d->uid && getegid() == d->gid))
        return 0;
    for (uint32_t i = 0; i < d->group_count; i++)
        groups[i] = d->groups[i];
    if (setgroups(d->group_count, groups) < 0 || setresgid(d->gid, d->gid, d->gid) < 0 ||
        setresuid(d->uid, d->uid, d->uid) < 0)
        return -1;
    if (d->uid != 0 && setuid(0) == 0) { /* there must be no way back */
        errno = EPERM;
        return -1;
    }
    return 0;
}

static int enter_directory(const struct launch *l)
{
    if (l->directory_fd >= 0)
        return fchdir(l->directory_fd);
    return chdir(l->def->directory.n ? l->def->directory.p : "/");
}

/* An application ends with its spawner, gracefully if it knows how; a CGI program at once. The
 * setting does not survive a change of user, so it comes after that. */
static int die_with_parent(const struct launch *l)
{
    int signo = l->def->kind == SPAWN_APP ? SIGTERM : SIGKILL;
    if (prctl(PR_SET_PDEATHSIG, signo) < 0)
        return -1;
    if (getppid() != l->parent)
        _exit(127);
    return 0;
}

/* The last of the places keeps /dev/null until its turn. */
static int place_fds(const struct launch *l)
{
    for (int target = 0; target < LAUNCH_FDS; target++) {
        int fd = l->fds[target];
        if (fd < 0 && target < 3)
            fd = LAUNCH_FDS - 1;
        if (fd >= 0 ? dup2(fd, target) < 0 : close(target) < 0 && errno != EBADF)
            return -1;
    }
    return 0;
}

/* All else is close-on-exec as it is; this holds even if something was not. */
static int close_rest(const struct launch *l)
{
    unsigned keep = (unsigned)l->trouble_fd;
    if (keep > LAUNCH_FDS && close_range(LAUNCH_FDS, keep - 1, 0) < 0)
        return -1;
    return close_range(keep + 1, UINT_MAX, 0);
}

static void put_listen_pid(const struct launch *l)
{
    if (l->listen_pid)
        l->listen_pid[num_put_dec(l->listen_pid, (uint64_t)getpid())] = '\0';
}

static void exec_program(const struct launch *l)
{
    int error = ENOENT;
    for (char *const *p = l->programs; *p; p++) {
        execve(*p, l->argv, l->envp);
        if (errno != ENOENT && errno != ENOTDIR)
            error = errno;
        if (error != ENOENT && error != EACCES)
            break;
    }
    errno = error;
}

__attribute__((noinline, noreturn)) static void run_child(const struct launch *l)
{
    unblock_signals();
    setsid();
    if (l->def->has_umask)
        umask(l->def->umask);
    if (enter_cgroup(l->def) < 0)
        give_up(l, STAGE_CGROUP);
    if (set_limits(l->def) < 0)
        give_up(l, STAGE_LIMIT);
    if (become_user(l->def) < 0)
        give_up(l, STAGE_USER);
    if (enter_directory(l) < 0)
        give_up(l, STAGE_DIRECTORY);
    if (die_with_parent(l) < 0 || place_fds(l) < 0 || close_rest(l) < 0)
        give_up(l, STAGE_DESCRIPTOR);
    put_listen_pid(l);
    exec_program(l);
    give_up(l, STAGE_EXEC);
    _exit(127);
}

/* ---- in the spawner, before ---- */

static char *put_text(struct launch *l, struct slice s)
{
    char *p = l->texts_end;
    memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    l->texts_end += s.n + 1;
    return p;
}

static size_t texts_left(const struct launch *l)
{
    return l->texts_size - (size_t)(l->texts_end - l->texts);
}

/* Copies the texts with what is in braces replaced. */
static int expand_texts(struct launch *l, const struct strings *s, const struct spawn_order *o,
                        struct slice path, char **out)
{
    for (const char *at = NULL; strings_next(s, &at);) {
        if (!message_expand(slice_str(at), o->number, o->port, path, l->texts_end, texts_left(l)))
            return -E2BIG;
        *out++ = l->texts_end;
        l->texts_end += strlen(l->texts_end) + 1;
    }
    *out = NULL;
    return 0;
}

/* The texts where they lie: exec copies them. */
static void point_to_texts(const struct strings *s, char **out)
{
    for (const char *at = NULL; strings_next(s, &at);)
        *out++ = (char *)at;
    *out = NULL;
}

static int build_environment(struct launch *l, const struct spawn_def *d,
                             const struct spawn_order *o, struct slice path)
{
    int error = 0;
    if (d->kind == SPAWN_APP)
        error = expand_texts(l, &d->env, o, path, l->envp);
    else
        point_to_texts(&d->env, l->envp);
    point_to_texts(&o->env, l->envp + d->env.count);
    if (error || l->fds[3] < 0)
        return error;
    if (texts_left(l) < 64)
        return -E2BIG;
    char **end = l->envp + d->env.count + o->env.count;
    end[0] = put_text(l, SLICE("LISTEN_FDS=1"));
    end[1] = put_text(l, SLICE("LISTEN_PID=00000000000000000000"));
    end[2] = NULL;
    l->listen_pid = end[1] + sizeof("LISTEN_PID=") - 1;
    return 0;
}

static const char *find_path(char *const *envp)
{
    for (; *envp; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    return DEFAULT_PATH;
}

/* Where a command without a slash may lie, as the shell looks for it. */
static int list_candidates(struct launch *l)
{
    struct slice name = slice_str(l->argv[0]);
    uint32_t n = 0;
    if (slice_find(name, '/') < name.n) {
        l->programs[0] = l->argv[0];
        return 0;
    }
    for (struct slice path = slice_str(find_path(l->envp)); path.n && n < CANDIDATES_MAX;) {
        struct slice dir = slice_first(path, slice_find(path, ':'));
        path = slice_skip(path, dir.n < path.n ? dir.n + 1 : dir.n);
        if (dir.n + name.n + 2 > texts_left(l))
            return -E2BIG;
        if (!dir.n)
            continue; /* not the current directory */
        char *p = l->texts_end;
        memcpy(p, dir.p, dir.n);
        p[dir.n] = '/';
        memcpy(p + dir.n + 1, name.p, name.n + 1);
        l->texts_end += dir.n + name.n + 2;
        l->programs[n++] = p;
    }
    return 0;
}

static int prepare_app(struct launch *l, const struct spawn_def *d, const struct spawn_order *o)
{
    char path[MESSAGE_PATH_MAX + 1];
    if (o->program.n || o->env.count)
        return -EINVAL;
    if (!message_expand(d->path, o->number, o->port, SLICE_NONE, path, sizeof(path)))
        return -ENAMETOOLONG;
    int error = expand_texts(l, &d->argv, o, slice_str(path), l->argv);
    if (!error)
        error = build_environment(l, d, o, slice_str(path));
    return error ? error : list_candidates(l);
}

/* ---- programs beneath a directory ---- */

static bool leads_up(struct slice path)
{
    while (path.n) {
        size_t end = slice_find(path, '/');
        if (slice_eq(slice_first(path, end), SLICE("..")))
            return true;
        path = slice_skip(path, end < path.n ? end + 1 : end);
    }
    return false;
}

static int check_program(int root, const char *path, enum file_links links)
{
    struct stat st;
    AUTO_CLOSE int fd = file_find(root, path, links);
    if (fd < 0)
        return fd;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 0 : -EACCES;
}

/* It is run as ./NAME in the directory it lies in: who could change what that is meanwhile can put
 * a program there as well. */
static int prepare_cgi(struct launch *l, const struct spawn_def *d, const struct spawn_order *o)
{
    char path[MESSAGE_PATH_MAX + 3];
    struct slice program = o->program;
    if (leads_up(program))
        return -EXDEV;
    if (!program.n || program.p[0] == '/' || slice_ends(program, SLICE("/")) ||
        slice_ends(program, SLICE("/.")) || (!d->dotfiles && file_is_hidden(program)))
        return -ENOENT;
    if (d->argv.count && !slice_eq(program, slice_str(d->argv.p)))
        return -EPERM;
    AUTO_CLOSE int root = file_open_dir(d->directory.p);
    int error = root < 0 ? root : check_program(root, program.p, d->links);
    if (error)
        return error;
    memcpy(path, "./", 2);
    memcpy(path + 2, program.p, program.n + 1);
    char *name = strrchr(path, '/');
    *name++ = '\0';
    l->directory_fd = file_find(root, path, d->links);
    if (l->directory_fd < 0)
        return l->directory_fd;
    memcpy(l->texts_end, "./", 2);
    l->texts_end += 2;
    l->programs[0] = l->argv[0] = put_text(l, slice_str(name)) - 2;
    l->argv[1] = NULL;
    return build_environment(l, d, o, SLICE_NONE);
}

/* ---- both ---- */

static int prepare(struct launch *l, const struct spawn_order *o, const int *fds)
{
    const struct spawn_def *d = l->def;
    for (int i = 0; i < LAUNCH_FDS; i++)
        l->fds[i] = -1;
    for (uint32_t i = 0; i < o->fd_count; i++)
        l->fds[o->targets[i]] = fds[i];
    l->texts_size = d->kind == SPAWN_APP ? TEXTS_MAX : CGI_TEXTS_MAX;
    l->texts = l->texts_end = mem_alloc(l->texts_size);
    l->argv = mem_alloc((d->argv.count + 2) * sizeof(char *));
    l->envp = mem_alloc((d->env.count + o->env.count + 3) * sizeof(char *));
    return d->kind == SPAWN_APP ? prepare_app(l, d, o) : prepare_cgi(l, d, o);
}

static void release(struct launch *l)
{
    free(l->texts);
    free(l->argv);
    free(l->envp);
    if (l->directory_fd >= 0)
        close(l->directory_fd);
}

/* Reads what the child had to say: nothing, if it got to run its program. */
static struct trouble hear_trouble(int fd)
{
    struct trouble t = {0};
    ssize_t n;
    do
        n = read(fd, &t, sizeof(t));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(t) ? t : (struct trouble){0};
}

static pid_t fork_child(struct launch *l, enum spawn_stage *stage)
{
    int ends[2];
    *stage = STAGE_FORK;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    l->trouble_fd = ends[1];
    l->parent = getpid();
    pid_t pid = vfork();
    if (pid == 0)
        run_child(l);
    int error = pid < 0 ? -errno : 0;
    close(ends[1]);
    struct trouble t = hear_trouble(ends[0]);
    close(ends[0]);
    if (error)
        return error;
    if (t.error) {
        *stage = t.stage;
        waitpid(pid, NULL, 0);
        return t.error;
    }
    *stage = STAGE_NONE;
    return pid;
}

pid_t launch(const struct spawn_def *def, const struct spawn_order *order, const int *fds,
             enum spawn_stage *stage)
{
    struct launch l = {.def = def, .directory_fd = -1};
    *stage = STAGE_PROGRAM;
    int error = prepare(&l, order, fds);
    pid_t pid = error ? error : fork_child(&l, stage);
    release(&l);
    return pid;
}
