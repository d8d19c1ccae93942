/* From configuration to definition: what main prepares for the spawner while it may still look up
 * users and make directories for them.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_DEFINE_H
#define PROC_DEFINE_H

#include <sys/types.h>

#include "proc/message.h"
#include "proc/spawn_conf.h"

struct define_in {
    const struct spawn_conf *conf; /* NULL: CGI with nothing configured */
    struct slice name;             /* of the pool */
    uint32_t index;                /* of the definition */
    const char *run_dir;           /* for sockets */
    struct slice user, group;      /* who the gateway becomes; empty: it stays who it is */
    struct slice cgi_root;         /* CGI: the directory of its programs */
    struct slice cgi_program;      /* CGI: the only one that may be run; empty: all */
};

/* Fills *def. Its texts point into what in points to and into *memory (from malloc), which the
 * caller frees when def is used no more. NULL, or what is wrong (static). */
const char *define(const struct define_in *in, struct spawn_def *def, char **memory)
    __attribute__((warn_unused_result));

/* Makes a directory for the sockets of this gateway, beneath $RUNTIME_DIRECTORY, /run,
 * $XDG_RUNTIME_DIR or $TMPDIR, that only owner can list and write to (-1: who we are). path: of
 * RUN_DIR_MAX bytes. 0 or -errno. */
enum { RUN_DIR_MAX = 64 };
int run_dir_make(char *path, uid_t owner, gid_t group) __attribute__((warn_unused_result));
/* Removes it with what is in it. */
void run_dir_remove(const char *path);

#endif
