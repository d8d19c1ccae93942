/* SPDX-License-Identifier: MIT */
#include "pool/handoff_conf.h"

static key_set_fn set_from;

const struct key_name handoff_kinds[] = {
    {"sendfile", HANDOFF_SENDFILE, NULL},
    {"accel", HANDOFF_ACCEL, NULL},
    {"tempfile", HANDOFF_TEMPFILE, NULL},
    {"rewrite", HANDOFF_REWRITE, NULL},
    {NULL, 0, NULL},
};

enum { BY_PATH = HANDOFF_SENDFILE | HANDOFF_TEMPFILE };

/* clang-format off */
const struct key handoff_options[] = {
    {.name = "from", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = set_from, .syntax = "DIR",
     .help = "a directory that files may be handed over from (sendfile, tempfile); nothing outside "
             "is ever read"},
    {.name = NULL},
};
/* clang-format on */

static const struct key_name *find_kind(struct slice text)
{
    const struct key_name *k = handoff_kinds;
    while (k->name && !slice_eq(text, slice_str(k->name)))
        k++;
    return k->name ? k : NULL;
}

bool handoff_conf_set(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct handoff_line *line = target;
    for (uint32_t i = 0; i < d->arg_count; i++) {
        const struct key_name *kind = find_kind(word[i].text);
        if (!kind)
            return config_error(r->diag, word[i].at,
                                "'hand-over' does not know '" SLICE_FMT
                                "'\nknown: sendfile, accel, tempfile, rewrite",
                                SLICE_ARG(word[i].text));
        line->kinds |= (unsigned)kind->value;
    }
    line->conf->kinds |= line->kinds;
    return d->arg_count || config_error(r->diag, d->name.at,
                                        "'hand-over' says what an answer may ask for: sendfile, "
                                        "accel, tempfile, rewrite");
}

static bool set_from(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    (void)d;
    struct handoff_line *line = target;
    struct handoff_conf *conf = line->conf;
    struct handoff_dir dir = {.path = word->text, .kinds = line->kinds & BY_PATH};
    while (dir.path.n > 1 && slice_ends(dir.path, SLICE("/")))
        dir.path.n--;
    if (!slice_starts(dir.path, SLICE("/")))
        return config_error(r->diag, word->text_at, "'from' takes a path that begins with '/'");
    if (!dir.kinds)
        return config_error(r->diag, word->at, "'from' is for sendfile and tempfile");
    line->dirs++;
    *(struct handoff_dir *)config_append(r, &conf->dirs, &conf->dir_count, sizeof(dir)) = dir;
    return true;
}

bool handoff_conf_close(struct config_reader *r, const struct directive *d, void *opened)
{
    const struct handoff_line *line = opened;
    return !(line->kinds & BY_PATH) || line->dirs ||
           config_error(r->diag, d->name.at,
                        "files are handed over from directories that are named\n"
                        "write where they are: hand-over sendfile from=DIR");
}
