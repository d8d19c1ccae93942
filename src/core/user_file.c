/* SPDX-License-Identifier: MIT */
#include "core/user_file.h"

#include <crypt.h>
#include <stdlib.h>

static int compare_names(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_users(const void *a, const void *b)
{
    return compare_names(((const struct user *)a)->name, ((const struct user *)b)->name);
}

/* Those that are made to be slow, and SHA-crypt, which can be. */
static bool is_known_hash(struct slice hash)
{
    static const struct slice prefixes[] = {
        SLICE_INIT("$2a$"), SLICE_INIT("$2b$"), SLICE_INIT("$2y$"), SLICE_INIT("$5$"),
        SLICE_INIT("$6$"),  SLICE_INIT("$7$"),  SLICE_INIT("$y$"),  SLICE_INIT("$gy$"),
    };
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (slice_starts(hash, prefixes[i])) {
            int verdict = crypt_checksalt(hash.p);
            return verdict == CRYPT_SALT_OK || verdict == CRYPT_SALT_METHOD_LEGACY;
        }
    return false;
}

static bool bad_line(struct config_reader *r, const struct config_word *word, uint32_t line,
                     const char *what)
{
    return config_error(r->diag, word->text_at, SLICE_FMT ":%u: %s", SLICE_ARG(word->text), line,
                        what);
}

static bool add_user(struct config_reader *r, const struct config_word *word, uint32_t number,
                     struct slice line, struct users *users)
{
    size_t colon = slice_find(line, ':');
    struct slice name = slice_first(line, colon);
    struct slice rest = slice_skip(line, colon + (colon < line.n));
    struct slice hash = arena_dup(r->arena, slice_first(rest, slice_find(rest, ':')));
    if (colon == line.n || !name.n || name.n > USER_NAME_MAX)
        return bad_line(r, word, number, "a line is NAME:HASH");
    if (!is_known_hash(hash))
        return bad_line(r, word, number,
                        "this hash is of no kind that is known, or too weak\n"
                        "write it with `htpasswd -B`, `openssl passwd -6` or `mkpasswd`");
    *(struct user *)config_append(r, &users->v, &users->n, sizeof(*users->v)) =
        (struct user){.name = arena_dup(r->arena, name), .hash = hash};
    return true;
}

static bool check_twice(struct config_reader *r, const struct config_word *word,
                        const struct users *users)
{
    for (uint32_t i = 1; i < users->n; i++)
        if (slice_eq(users->v[i - 1].name, users->v[i].name))
            return config_error(r->diag, word->text_at, SLICE_FMT ": '" SLICE_FMT "' stands twice",
                                SLICE_ARG(word->text), SLICE_ARG(users->v[i].name));
    return true;
}

bool user_file_parse(struct config_reader *r, const struct config_word *word, struct slice text,
                     struct users *out)
{
    for (uint32_t number = 1; text.n; number++) {
        size_t end = slice_find(text, '\n');
        struct slice line = slice_first(text, end);
        text = slice_skip(text, end + (end < text.n));
        if (slice_ends(line, SLICE("\r")))
            line.n--;
        if (!slice_trim(line).n || slice_starts(line, SLICE("#")))
            continue;
        if (!add_user(r, word, number, line, out))
            return false;
    }
    if (!out->n)
        return config_error(r->diag, word->text_at, SLICE_FMT " names no user",
                            SLICE_ARG(word->text));
    qsort(out->v, out->n, sizeof(*out->v), compare_users);
    return check_twice(r, word, out);
}

const struct user *user_find(const struct users *users, struct slice name)
{
    struct user key = {.name = name};
    return bsearch(&key, users->v, users->n, sizeof(*users->v), compare_users);
}
