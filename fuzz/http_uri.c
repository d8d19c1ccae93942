/* A normal path has no spelling left, and an authority no surprises.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/uri.h"

static bool has(struct slice s, const char *part)
{
    return s.n && memmem(s.p, s.n, part, strlen(part)) != NULL;
}

/* Percent signs of a normal path stand for themselves: encoded again, they must come back. */
static struct slice encode(struct arena *a, struct slice path)
{
    char *p = arena_alloc(a, path.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        p[n++] = path.p[i];
        if (path.p[i] == '%') {
            p[n++] = '2';
            p[n++] = '5';
        }
    }
    return slice_of(p, n);
}

static void check_path(struct slice raw, struct arena *a)
{
    struct slice path, again;
    struct fault f = {0};
    if (uri_normalise_path(raw, a, &path, &f) == PARSE_BAD) {
        HOLDS(f.status == 400 && f.what && f.rule);
        return;
    }
    if (slice_eq(raw, SLICE("*")))
        return;
    HOLDS(path.p[0] == '/' && path.n <= raw.n);
    HOLDS(!has(path, "/../") && !has(path, "/./") && !has(path, "//"));
    HOLDS(!slice_ends(path, SLICE("/..")) && !slice_ends(path, SLICE("/.")));
    HOLDS(memchr(path.p, '\0', path.n) == NULL);
    HOLDS(uri_normalise_path(encode(a, path), a, &again, &f) == PARSE_DONE);
    HOLDS(slice_eq(path, again));
}

static void check_authority(struct slice authority)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-._~:";
    struct slice host;
    int port;
    if (!uri_split_authority(authority, &host, &port))
        return;
    HOLDS(host.n > 0 && fuzz_lies_in(authority, host) && port >= -1 && port <= 65535);
    for (size_t i = 0; i < host.n; i++)
        HOLDS(memchr(safe, host.p[i], sizeof(safe) - 1));
    HOLDS((slice_find(host, ':') < host.n) == (authority.p[0] == '['));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_arena a;
    struct arena *arena = fuzz_arena_init(&a);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data, n);
    check_path(slice_of(exact, n), arena);
    check_authority(slice_of(exact, n));
    free(exact);
    fuzz_arena_fini(&a);
    return 0;
}
