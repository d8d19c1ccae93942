/* SPDX-License-Identifier: MIT */
#include "core/tls_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/whole_file.h"

enum { FILE_MAX_BYTES = 4 << 20 };

static int read_directly(void *ctx, const char *path, char **text, size_t *n)
{
    (void)ctx;
    return whole_file_read(path, FILE_MAX_BYTES, text, n);
}

const struct tls_reader tls_read_directly = {read_directly, NULL};

bool tls_files_read(struct tls_files *f, struct slice path, struct config_place at,
                    struct slice *text)
{
    char *bytes;
    size_t n;
    *text = SLICE_NONE;
    if (!path.n)
        return true;
    int error = f->reader->read(f->reader->ctx, path.p, &bytes, &n);
    if (error)
        return config_error(f->diag, at, "cannot read " SLICE_FMT ": %s", SLICE_ARG(path),
                            strerror(-error));
    f->texts = mem_grow(f->texts, f->count + 1, sizeof(*f->texts));
    *text = f->texts[f->count++] = slice_of(bytes, n);
    return true;
}

void tls_log_diag(struct config_diag *diag)
{
    struct slice text = config_diag_print(diag, &diag->arena);
    for (struct slice line; text.n;
         text = slice_skip(text, line.n < text.n ? line.n + 1 : line.n)) {
        line = slice_first(text, slice_find(text, '\n'));
        log_error(0, "TLS: " SLICE_FMT, SLICE_ARG(line));
    }
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
