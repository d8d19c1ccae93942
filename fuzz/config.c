/* Loads the input as a configuration: lexer, grammar, key tables, every setter and check, and then
 * routes a request through what came out.
 * SPDX-License-Identifier: MIT */
#include "core/snapshot.h"
#include "fuzz.h"

/* "a" is a file with a directive, "self" includes itself; others are missing. */
static bool read_file(void *context, struct slice path, struct arena *a, struct slice *text,
                      const char **why)
{
    (void)context;
    (void)a;
    *text = slice_eq(path, SLICE("self")) ? SLICE("include self\n") : SLICE("backlog 1; proxy a");
    *why = "it is missing";
    return slice_eq(path, SLICE("self")) || slice_eq(path, SLICE("a"));
}

static uint32_t glob_files(void *context, struct slice pattern, struct slice from, struct arena *a,
                           struct slice **paths)
{
    (void)context;
    (void)from;
    *paths = arena_alloc(a, sizeof(**paths));
    **paths = pattern;
    return slice_find(pattern, '*') < pattern.n ? 0 : 1;
}

static const char *get_env(void *context, const char *name)
{
    (void)context;
    return *name == 'P' ? "80" : *name == 'E' ? "" : NULL;
}

static const struct config_loader loader = {.read = read_file, .glob = glob_files, .env = get_env};

static void route_some(const struct snapshot *s)
{
    struct field line = {.name = SLICE_INIT("X"), .value = SLICE_INIT("y")};
    struct fields fields = {.v = &line, .n = 1};
    struct facts q = {.host = SLICE("www.example.org"),
                      .path = SLICE("/a/b.php"),
                      .method = SLICE("GET"),
                      .fields = &fields};
    const struct site_conf *site = route_find_site(s, q.host);
    struct route_match m = {0};
    if (site)
        m = route_find(site, &q);
    HOLDS(!m.route || m.route->action);
    HOLDS(!m.route || !m.route->pool || m.route->pool == &s->pools[m.route->pool_index]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_diag diag;
    config_diag_init(&diag);
    struct snapshot *s = snapshot_load_text(SLICE("fuzz"), slice_of(data, size), &loader, &diag);
    struct slice report = config_diag_print(&diag, &diag.arena);
    HOLDS((s == NULL) == (diag.errors > 0));
    HOLDS((report.n == 0) == (diag.first == NULL));
    if (s)
        route_some(s);
    snapshot_unref(s);
    config_diag_fini(&diag);
    return 0;
}
