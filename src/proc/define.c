/* SPDX-License-Identifier: MIT */
#include "proc/define.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/text.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { MEMORY_MAX = MESSAGE_MAX, USER_UMASK = 007 };

/* ---- who it runs as ---- */

static const char *take_user(struct spawn_def *def, const char *user, const char *group,
                             const struct passwd **pw)
{
    gid_t groups[MESSAGE_GROUPS_MAX];
    int count = MESSAGE_GROUPS_MAX;
    *pw = getpwnam(user);
    if (!*pw)
        return "no such user";
    const struct group *gr = *group ? getgrnam(group) : NULL;
    if (*group && !gr)
        return "no such group";
    def->has_user = true;
    def->uid = (*pw)->pw_uid;
    def->gid = gr ? gr->gr_gid : (*pw)->pw_gid;
    if (getgrouplist(user, def->gid, groups, &count) < 0)
        return "the user is in too many groups";
    def->group_count = (uint32_t)count;
    for (int i = 0; i < count; i++)
        def->groups[i] = groups[i];
    return NULL;
}

static const char *define_user(const struct define_in *in, const struct spawn_conf *conf,
                               struct spawn_def *def, const struct passwd **pw)
{
    bool is_own = conf->user.n;
    struct slice user = is_own ? conf->user : in->user;
    struct slice group = is_own ? conf->group : in->group;
    *pw = NULL;
    if (!user.n || (!is_own && geteuid() != 0)) /* then the gateway does not change either */
        return NULL;
    AUTO_FREE char *user_text = mem_dup(user.p, user.n);
    AUTO_FREE char *group_text = mem_dup(group.p ? group.p : "", group.n);
    return take_user(def, user_text, group_text, pw);
}

/* ---- its environment ---- */

static bool has_variable(const struct strings *s, struct slice name)
{
    for (const char *at = NULL; strings_next(s, &at);)
        if (strncmp(at, name.p, name.n) == 0 && at[name.n] == '=')
            return true;
    return false;
}

struct env_writer {
    struct text t;
    const struct strings *own; /* what is configured goes before ours */
    uint32_t count;
};

static void put_variable(struct env_writer *w, const char *name, const char *value)
{
    if (!value || has_variable(w->own, slice_str(name)))
        return;
    text_put(&w->t, slice_str(name));
    text_char(&w->t, '=');
    text_put(&w->t, slice_str(value));
    text_char(&w->t, '\0');
    w->count++;
}

static const char *define_environment(const struct define_in *in, const struct spawn_conf *conf,
                                      const struct passwd *pw, struct text *memory,
                                      struct strings *env)
{
    static const char *const inherited[] = {"LANG", "LC_ALL", "TZ", "TMPDIR"};
    struct env_writer w = {.t = *memory, .own = &conf->env};
    const char *path = getenv("PATH");
    put_variable(&w, "PATH", path ? path : DEFAULT_PATH);
    put_variable(&w, "HOME", pw ? pw->pw_dir : getenv("HOME"));
    put_variable(&w, "USER", pw ? pw->pw_name : getenv("USER"));
    for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++)
        put_variable(&w, inherited[i], getenv(inherited[i]));
    if (!in->cgi_root.n && conf->socket == SPAWN_PORT)
        put_variable(&w, "PORT", "{port}");
    if (!in->cgi_root.n && conf->socket == SPAWN_PATH)
        put_variable(&w, "SOCKET", "{path}");
    text_put(&w.t, slice_of(conf->env.p, conf->env.bytes));
    if (text_left(&w.t) == 0 || w.count + conf->env.count > MESSAGE_ENV_MAX)
        return "its environment is too large";
    *env = (struct strings){
        .p = memory->p, .bytes = (uint32_t)(w.t.p - memory->p), .count = w.count + conf->env.count};
    *memory = w.t;
    return NULL;
}

/* ---- where it runs and listens ---- */

static struct slice close_text(struct text *memory, const char *start)
{
    struct slice s = slice_of(start, (size_t)(memory->p - start));
    text_char(memory, '\0');
    return s;
}

/* Relative to where sluice was started: that is not where the spawner is. */
static const char *define_directory(struct slice dir, struct text *memory, struct spawn_def *def)
{
    char cwd[PATH_MAX];
    const char *start = memory->p;
    if (!dir.n || dir.p[0] != '/') {
        if (!getcwd(cwd, sizeof(cwd)))
            return "the current directory cannot be told";
        text_put(memory, slice_str(cwd));
        text_lit(memory, "/");
    }
    text_put(memory, dir);
    def->directory = close_text(memory, start);
    return def->directory.n > MESSAGE_PATH_MAX ? "the directory's name is too long" : NULL;
}

/* A directory in which an application of another user may make its socket, and we may use it. The
 * directory passes its group on to what is made in it. */
static const char *make_socket_dir(const char *path, struct spawn_def *def, gid_t group)
{
    if (!def->has_umask) {
        def->has_umask = true;
        def->umask = USER_UMASK;
    }
    if (mkdir(path, 02770) < 0 && errno != EEXIST)
        return "cannot make a directory for its socket";
    if (chown(path, def->uid, group) < 0 || chmod(path, 02770) < 0)
        return "cannot make a directory for its socket that is its user's";
    return NULL;
}

static const char *define_path(const struct define_in *in, const struct spawn_conf *conf,
                               struct text *memory, struct spawn_def *def)
{
    const char *why = NULL;
    const char *start = memory->p;
    if (conf->socket != SPAWN_PATH || in->cgi_root.n)
        return NULL;
    text_put(memory, slice_str(in->run_dir));
    text_lit(memory, "/a");
    text_dec(memory, in->index);
    if (def->has_user && geteuid() == 0) {
        struct stat dir;
        char *path = mem_dup(start, (size_t)(memory->p - start));
        why = stat(in->run_dir, &dir) < 0 ? "the directory for sockets is not there"
                                          : make_socket_dir(path, def, dir.st_gid);
        free(path);
    }
    text_put(memory, def->has_user && geteuid() == 0 ? SLICE("/{n}") : SLICE("-{n}"));
    def->path = close_text(memory, start);
    return why;
}

const char *define(const struct define_in *in, struct spawn_def *def, char **memory)
{
    static const struct spawn_conf nothing = {0};
    const struct spawn_conf *conf = in->conf ? in->conf : &nothing;
    const struct passwd *pw;
    *memory = mem_alloc(MEMORY_MAX);
    struct text t = text_of(*memory, MEMORY_MAX);
    *def = (struct spawn_def){.index = in->index,
                              .kind = in->cgi_root.n ? SPAWN_CGI : SPAWN_APP,
                              .name = slice_first(in->name, MESSAGE_NAME_MAX),
                              .argv = conf->command,
                              .cgroup = conf->cgroup,
                              .has_umask = conf->has_umask,
                              .umask = conf->umask,
                              .limit_count = conf->limit_count};
    memcpy(def->limits, conf->limits, sizeof(def->limits));
    const char *why = define_user(in, conf, def, &pw);
    if (!why)
        why = define_environment(in, conf, pw, &t, &def->env);
    if (!why)
        why = define_directory(in->cgi_root.n ? in->cgi_root : conf->directory, &t, def);
    if (!why)
        why = define_path(in, conf, &t, def);
    if (def->kind == SPAWN_CGI) {
        const char *start = t.p;
        text_put(&t, in->cgi_program);
        struct slice only = close_text(&t, start);
        def->argv = (struct strings){.p = only.p, .bytes = (uint32_t)only.n + 1, .count = 1};
        if (!only.n)
            def->argv = (struct strings){.p = ""};
        def->links = only.n ? FILE_LINKS_FOLLOW : (enum file_links)conf->links;
        def->dotfiles = only.n || conf->dotfiles;
    }
    return !why && text_left(&t) == 0 ? "its environment is too large" : why;
}

/* ---- the directory for sockets ---- */

static int make_beneath(const char *base, char *path, uid_t owner, gid_t group)
{
    if (!base || base[0] != '/')
        return -ENOENT;
    int n = snprintf(path, RUN_DIR_MAX, "%s/sluice-XXXXXX", base);
    if (n >= RUN_DIR_MAX)
        return -ENAMETOOLONG;
    if (!mkdtemp(path))
        return -errno;
    /* Others may pass through, to a socket that is theirs and whose name they were told. */
    if (chmod(path, 0711) < 0 || (owner != (uid_t)-1 && chown(path, owner, group) < 0)) {
        int error = -errno;
        rmdir(path);
        return error;
    }
    return 0;
}

int run_dir_make(char *path, uid_t owner, gid_t group)
{
    const char *bases[] = {getenv("RUNTIME_DIRECTORY"), geteuid() == 0 ? "/run" : NULL,
                           getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    int error = -ENOENT;
    for (size_t i = 0; error && i < sizeof(bases) / sizeof(bases[0]); i++)
        error = make_beneath(bases[i], path, owner, group);
    return error;
}

/* One level of directories, as define_path() makes them. */
static void empty(int dir_fd, bool is_top)
{
    DIR *dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);
    const struct dirent *e;
    if (!dir && dir_fd >= 0)
        close(dir_fd);
    while (dir && (e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (is_top && e->d_type == DT_DIR) {
            empty(openat(dirfd(dir), e->d_name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), false);
            unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
        } else {
            unlinkat(dirfd(dir), e->d_name, 0);
        }
    }
    if (dir)
        closedir(dir);
}

void run_dir_remove(const char *path)
{
    empty(open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), true);
    rmdir(path);
}
