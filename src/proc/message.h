/* What gateway and spawner say to each other: one message, one packet of a SOCK_SEQPACKET socket,
 * with descriptors beside it where a message says so.
 *
 * Pure: bytes to structs and back, no system call. The gateway is unprivileged and the spawner may
 * be root, so reading is strict: every number has its range, every text ends where it says and
 * holds no NUL, no byte is left over, or the whole message is refused.
 *
 * Both ends are the same program, so numbers travel as the machine stores them.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_MESSAGE_H
#define PROC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "net/file.h"

enum {
    MESSAGE_MAX = 192 * 1024, /* fits a default socket buffer */
    MESSAGE_ARGS_MAX = 256,
    MESSAGE_ENV_MAX = 1200,
    MESSAGE_GROUPS_MAX = 64,
    MESSAGE_LIMITS_MAX = 16,
    MESSAGE_FDS_MAX = 8,
    MESSAGE_TARGET_FD_MAX = 3, /* descriptors are placed at 0..3 in a child */
    MESSAGE_PATH_MAX = 4095,
    MESSAGE_NAME_MAX = 255,
};

/* Texts back to back, each followed by a NUL. */
struct strings {
    const char *p;
    uint32_t bytes; /* NULs included */
    uint32_t count;
};

/* Calls itself over with *at = NULL; answers NULL at the end. */
const char *strings_next(const struct strings *s, const char **at);

enum message_type {
    /* to the spawner; the first two only by the first channel */
    MESSAGE_DEFINE = 1, /* struct spawn_def */
    MESSAGE_FORGET,     /* index of a definition that is used no more */
    MESSAGE_CHANNEL,    /* one descriptor: a further, sealed channel */
    MESSAGE_START,      /* struct spawn_order, and its descriptors */
    MESSAGE_SIGNAL,     /* struct spawn_signal */
    /* to the gateway */
    MESSAGE_STARTED, /* struct spawn_started */
    MESSAGE_EXITED,  /* struct spawn_exited */
};

enum spawn_kind {
    SPAWN_APP, /* runs argv */
    SPAWN_CGI, /* runs programs beneath directory, in the directory they lie in */
};

struct spawn_limit {
    uint32_t resource; /* RLIMIT_x */
    uint64_t value;    /* soft and hard; UINT64_MAX: unlimited */
};

/* What may be run, and as whom. */
struct spawn_def {
    uint32_t index;
    enum spawn_kind kind;
    struct slice name; /* for messages: the pool's */
    struct strings
        argv; /* {port}, {path} and {n} are replaced. CGI: at most one, the only program */
    struct strings env;     /* NAME=VALUE, the whole environment; replaced as in argv */
    struct slice directory; /* empty: "/" */
    struct slice cgroup;    /* directory of a cgroup; empty: ours */
    struct slice path;      /* what {path} stands for, itself with an {n}; empty: nothing */
    bool has_umask, has_user;
    uint32_t umask;
    uint32_t uid, gid;
    uint32_t groups[MESSAGE_GROUPS_MAX];
    uint32_t group_count;
    struct spawn_limit limits[MESSAGE_LIMITS_MAX];
    uint32_t limit_count;
    enum file_links links; /* CGI: what links beneath directory are worth */
    bool dotfiles;         /* CGI: whether names that begin with a dot count */
};

/* One process of a definition. */
struct spawn_order {
    uint64_t id;                      /* unique for the channel; names the process from here on */
    uint32_t def;                     /* index of the definition */
    uint32_t number;                  /* replaces {n} */
    uint16_t port;                    /* replaces {port} */
    struct slice program;             /* CGI: relative to the definition's directory */
    struct strings env;               /* CGI: meta-variables, see message_is_cgi_variable() */
    uint32_t fd_count;                /* descriptors beside the message ... */
    uint8_t targets[MESSAGE_FDS_MAX]; /* ... and where each goes: 0, 1, 2; 3 also sets LISTEN_FDS */
};

struct spawn_signal {
    uint64_t id;
    uint32_t signo; /* to the whole process group: HUP INT QUIT KILL USR1 USR2 TERM */
};

/* How far a start came. */
#define SPAWN_STAGES(X)                                                                            \
    X(NONE, "start")                                                                               \
    X(DEFINITION, "definition")                                                                    \
    X(PROGRAM, "program")                                                                          \
    X(FORK, "fork")                                                                                \
    X(CGROUP, "cgroup")                                                                            \
    X(LIMIT, "limit")                                                                              \
    X(USER, "user")                                                                                \
    X(DIRECTORY, "directory")                                                                      \
    X(DESCRIPTOR, "descriptor")                                                                    \
    X(EXEC, "exec")
enum spawn_stage {
#define X(name, text) STAGE_##name,
    SPAWN_STAGES(X)
#undef X
        STAGES
};
const char *spawn_stage_name(enum spawn_stage stage);

struct spawn_started {
    uint64_t id;
    int32_t pid;   /* 0: it did not start */
    int32_t error; /* -errno */
    enum spawn_stage stage;
};

struct spawn_exited {
    uint64_t id;
    int32_t pid;
    int32_t status; /* exit status, or -1 */
    int32_t signo;  /* that killed it, or 0 */
    uint64_t cpu_us;
    uint64_t rss_bytes; /* at most */
};

struct message {
    enum message_type type;
    union {
        struct spawn_def def;
        uint32_t forget;
        struct spawn_order order;
        struct spawn_signal signal;
        struct spawn_started started;
        struct spawn_exited exited;
    };
};

/* Writes m, which must be within the limits above, except that its texts may be too long in sum.
 * Answers the size, or 0 when cap bytes do not hold it. */
size_t message_write(const struct message *m, char *p, size_t cap);

/* Reads a whole packet; texts in *m point into it. NULL, or what is wrong. */
const char *message_read(struct slice packet, struct message *m)
    __attribute__((warn_unused_result));

/* NAME=VALUE that a CGI program may be given by the (unprivileged) gateway: the meta-variables of
 * RFC 3875 4.1 and what servers usually add; never one that the loader, the shell or an
 * interpreter reads, nor HTTP_PROXY. */
bool message_is_cgi_variable(const char *text);

/* Copies text with {port}, {path} and {n} replaced. False: it did not fit. path: already expanded,
 * may be empty. */
bool message_expand(struct slice text, uint32_t number, uint16_t port, struct slice path, char *out,
                    size_t cap);

#endif
