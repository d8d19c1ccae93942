/* The `spawn` block of a pool: an application that the gateway runs itself.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_SPAWN_CONF_H
#define PROC_SPAWN_CONF_H

#include "config/schema.h"
#include "config/source.h"
#include "proc/message.h"

enum spawn_socket {
    SPAWN_FD0,  /* it gets a listening socket on descriptor 0 (FastCGI, SCGI) */
    SPAWN_FD3,  /* the same on descriptor 3, with LISTEN_FDS and LISTEN_PID */
    SPAWN_PORT, /* it listens on 127.0.0.1, on the port in {port} and PORT */
    SPAWN_PATH, /* it listens on the unix socket in {path} */
};

struct spawn_conf {
    struct strings command;
    struct strings env;
    struct config_place at;

    uint32_t min, max;    /* processes */
    uint32_t concurrency; /* requests each takes at a time; 0: as the socket says */
    uint32_t idle_ms;     /* 0: never stopped for being idle */
    uint32_t max_requests;
    uint64_t memory_bytes;
    uint32_t age_ms;
    uint32_t start_ms, stop_ms, drain_ms;
    uint32_t finish_ms; /* CGI: for a program that has answered */
    uint32_t backoff_min_ms, backoff_max_ms;

    int socket;  /* enum spawn_socket */
    bool shared; /* one listening socket for all processes */

    struct slice user, group;
    struct slice directory;
    struct config_place user_at, group_at, directory_at;
    struct slice cgroup;
    bool has_umask;
    uint32_t umask;
    struct spawn_limit limits[MESSAGE_LIMITS_MAX];
    uint32_t limit_count;

    int links; /* enum file_links: of CGI programs */
    bool dotfiles;
};

/* What may stand in the block. For the row of the directive itself:
 *     {.name = "spawn", .type = KEY_CUSTOM, .set = spawn_conf_set, .open = (allocates, zeroed),
 *      .block = spawn_keys, .close = spawn_conf_close, .syntax = "COMMAND [ARGUMENT...]"} */
extern const struct key spawn_keys[];
/* The same for CGI programs, which are started for a request each. Without a block: */
enum { SPAWN_RUN_FINISH_MS = 10000, SPAWN_RUN_STOP_MS = 2000 };
extern const struct key spawn_run_keys[];
key_set_fn spawn_conf_set;
key_close_fn spawn_conf_close;

/* Whether processes are started, counted and renewed by the same rules; what they are is in the
 * definitions (proc/define.h). */
bool spawn_conf_runs_alike(const struct spawn_conf *a, const struct spawn_conf *b);
/* How many requests a process takes at a time, `auto` decided. */
uint32_t spawn_conf_concurrency(const struct spawn_conf *conf);

#endif
