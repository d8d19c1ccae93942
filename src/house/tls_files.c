/* SPDX-License-Identifier: MIT */
#include "house/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/whole_file.h"
#include "proc/opener.h"

enum { FILE_MAX_BYTES = 4 << 20 };

static int open_file(const struct tls_store *s, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0)
        return fd;
    int error = -errno;
    return error == -EACCES && s->opener >= 0 ? opener_open(s->opener, path) : error;
}

/* ---- how they look ---- */

static struct tls_look look_at(int fd)
{
    struct stat st;
    struct tls_look look;
    memset(&look, 0, sizeof(look)); /* also between the members */
    if (fd < 0 || fstat(fd, &st) < 0)
        return look;
    look.device = st.st_dev;
    look.inode = st.st_ino;
    look.size = st.st_size;
    look.changed = st.st_ctim;
    look.modified = st.st_mtim;
    return look;
}

static void note(struct tls_store *s, const char *path, int fd)
{
    struct tls_look look = look_at(fd);
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->seen[i].path, path) == 0) {
            s->seen[i].look = look;
            return;
        }
    s->seen = mem_grow(s->seen, s->count + 1, sizeof(*s->seen));
    s->seen[s->count++] = (struct tls_seen){mem_dup(path, strlen(path)), look};
}

bool tls_store_has_changed(struct tls_store *s)
{
    bool changed = false;
    for (uint32_t i = 0; i < s->count; i++) {
        AUTO_CLOSE int fd = open_file(s, s->seen[i].path);
        struct tls_look look = look_at(fd);
        changed |= memcmp(&look, &s->seen[i].look, sizeof(look)) != 0;
        s->seen[i].look = look;
    }
    return changed;
}

void tls_store_forget_looks(struct tls_store *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        memset(&s->seen[i].look, 0, sizeof(s->seen[i].look));
}

void tls_store_fini(struct tls_store *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        free(s->seen[i].path);
    free(s->seen);
    if (s->opener >= 0)
        close(s->opener);
    *s = (struct tls_store){.opener = -1};
}

/* ---- reading ---- */

bool tls_files_read(struct tls_files *f, struct slice path, struct config_place at,
                    struct slice *text)
{
    char *bytes;
    size_t n;
    *text = SLICE_NONE;
    if (!path.n)
        return true;
    AUTO_CLOSE int fd = open_file(f->store, path.p);
    note(f->store, path.p, fd);
    int error = fd < 0 ? fd : whole_file_read_fd(fd, FILE_MAX_BYTES, &bytes, &n);
    if (error)
        return config_error(f->diag, at, "cannot read " SLICE_FMT ": %s", SLICE_ARG(path),
                            strerror(-error));
    f->texts = mem_grow(f->texts, f->count + 1, sizeof(*f->texts));
    *text = f->texts[f->count++] = slice_of(bytes, n);
    return true;
}

void tls_files_forget(struct tls_files *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        char *p = (char *)(uintptr_t)f->texts[i].p;
        explicit_bzero(p, f->texts[i].n);
        free(p);
    }
    free(f->texts);
    f->texts = NULL;
    f->count = 0;
}

void tls_log_diag(struct config_diag *diag)
{
    struct slice text = config_diag_print(diag, &diag->arena);
    enum log_level level = diag->errors ? LEVEL_ERROR : LEVEL_WARN;
    for (struct slice line; text.n;
         text = slice_skip(text, line.n < text.n ? line.n + 1 : line.n)) {
        line = slice_first(text, slice_find(text, '\n'));
        log_at(level, 0, "TLS: " SLICE_FMT, SLICE_ARG(line));
    }
}
