/* Any path, in any spelling, reaches only what lies beneath the root, and nothing hidden.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "http/uri.h"
#include "static/lookup.h"

static char top[64], root[80];
static struct loop loop;
static struct file_cache cache;

static void put(const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    HOLDS(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static void make(int error)
{
    HOLDS(error == 0);
}

static void make_link(const char *name, const char *target)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    make(symlink(target, path));
}

static void clean_up(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", top);
    HOLDS(system(command) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Files that may be seen begin with 'o', others with 's'. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[160];
    (void)argc, (void)argv;
    strcpy(top, "/tmp/static_path.XXXXXX");
    HOLDS(mkdtemp(top));
    atexit(clean_up);
    snprintf(root, sizeof(root), "%s/r", top);
    make(mkdir(root, 0700));
    snprintf(path, sizeof(path), "%s/d", root);
    make(mkdir(path, 0700));
    put("a", "open");
    put("d/a", "open");
    put("d/i", "open");
    put("../s", "secret");
    put(".h", "secret");
    put("d/.h", "secret");
    make_link("o", "../s");
    make_link("u", "..");
    make_link("l", "d");
    make_link("p", "/");
    make(loop_init(&loop));
    file_cache_init(&cache, &loop);
    return 0;
}

static void check(struct slice raw, struct arena *a, enum file_links links)
{
    static const struct file_cache_conf conf = {.files = 8, .valid_ms = 1000};
    static struct slice index_name[] = {SLICE_INIT("i")};
    const struct files_conf files = {.root = slice_str(root),
                                     .index = index_name,
                                     .index_count = 1,
                                     .links = (int)links,
                                     .listing = true};
    struct lookup l = {.conf = &files, .cache = &cache, .cache_conf = &conf, .arena = a};
    struct slice path;
    struct fault f;
    if (uri_normalise_path(raw, a, &path, &f) != PARSE_DONE || path.p[0] != '/')
        return;
    enum found found = lookup_path(&l, path);
    if (found == FOUND_NOTHING)
        return;
    char first = 'o';
    HOLDS(found != FOUND_FILE || file_read(l.file->source.fd, &first, 1, 0));
    HOLDS(first == 'o');
    HOLDS(l.file->info.is_dir == (found != FOUND_FILE));
    file_unref(l.file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_arena a;
    struct arena *arena = fuzz_arena_init(&a);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data, n);
    for (int links = FILE_LINKS_ON; links <= FILE_LINKS_OFF; links++)
        check(slice_of(exact, n), arena, (enum file_links)links);
    free(exact);
    fuzz_arena_fini(&a);
    return 0;
}
