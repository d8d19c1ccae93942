/* Files and environment of the tests: two of each, in memory.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_MEMORY_LOADER_H
#define CONFIG_MEMORY_LOADER_H

#include "config/ast.h"

struct memory_file {
    const char *path, *text;
};

static const struct memory_file memory_files[] = {
    {"a.conf", "alpha 1\n"},
    {"b.conf", "beta {\n    inner\n}"},
    {"loop.conf", "include loop.conf\n"},
    {"bad.conf", "fine\nbroken {\n"},
    {"pool.conf", "pool app {\n    backend 127.0.0.1:9\n    weight 3\n}\n"},
};
enum { MEMORY_FILES = sizeof(memory_files) / sizeof(memory_files[0]) };

static bool memory_read(void *context, struct slice path, struct arena *a, struct slice *text,
                        const char **why)
{
    (void)context;
    for (int i = 0; i < MEMORY_FILES; i++)
        if (slice_eq(slice_str(memory_files[i].path), path)) {
            *text = arena_dup(a, slice_str(memory_files[i].text));
            return true;
        }
    *why = "No such file or directory";
    return false;
}

/* "*.conf" names a.conf and b.conf; everything else names itself; "none*" nothing. */
static uint32_t memory_glob(void *context, struct slice pattern, struct slice from, struct arena *a,
                            struct slice **paths)
{
    (void)context;
    (void)from;
    *paths = arena_alloc(a, 2 * sizeof(**paths));
    (*paths)[0] = slice_str(memory_files[0].path);
    (*paths)[1] = slice_str(memory_files[1].path);
    if (slice_eq(pattern, SLICE("*.conf")))
        return 2;
    if (slice_starts(pattern, SLICE("none")))
        return 0;
    (*paths)[0] = pattern;
    return 1;
}

static const char *memory_env(void *context, const char *name)
{
    (void)context;
    if (strcmp(name, "PORT") == 0)
        return "8080";
    return strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

static const struct config_loader memory_loader = {
    .read = memory_read, .glob = memory_glob, .env = memory_env};

#endif
