/* Users and the hashes of their passwords, as htpasswd and mkpasswd write them: NAME:HASH lines.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_USER_FILE_H
#define CORE_USER_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/schema.h"

enum { USER_FILE_MAX = 4 * 1024 * 1024, USER_NAME_MAX = 255 };

struct user {
    struct slice name, hash; /* hash: followed by a NUL */
};

struct users {
    struct user *v; /* by name */
    uint32_t n;
};

/* text: of the file, whose name stands at word. Everything is copied. False: reported. */
bool user_file_parse(struct config_reader *r, const struct config_word *word, struct slice text,
                     struct users *out);
/* NULL: there is none of this name. */
const struct user *user_find(const struct users *users, struct slice name);

#endif
