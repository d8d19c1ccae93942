/* From lexemes to words to the grammar. Counts lines, joins the pieces of a word, replaces
 * variables, follows includes.
 * SPDX-License-Identifier: MIT */
#include "config/ast.h"

#include <stdlib.h>

#include "base/mem.h"
#include "config/ast_builder.h"
#include "config/lexer.h"
#include "config_grammar.h"

/* Of one load: shared by the files that include each other. */
struct ast_load {
    const struct config_loader *loader;
    struct arena *arena;
    struct config_diag *diag;
    uint32_t files;
    bool is_broken; /* in one file or more */
    char *word;     /* the word being put together */
    size_t word_n, word_cap;
    bool has_variable; /* and it has a ${name} in it */
};

/* Of one file. */
struct ast_builder {
    struct ast_load *load;
    const struct config_file *file;
    const char *cur, *end, *line_start;
    uint32_t line, include_depth, depth;
    struct config_place open[CONFIG_DEPTH_MAX]; /* where blocks begin */
    struct config_place token_at;
    bool is_broken; /* a syntax error: the rest of the file is not read */
    struct directive_list result;
};

enum { AST_END = 0, AST_STOP = -1, AST_SKIP = -2 };

static struct directive_list parse_file(struct ast_load *load, struct config_file file,
                                        uint32_t include_depth);

static struct config_place place_of(const struct ast_builder *b, const char *p)
{
    return (struct config_place){b->file, b->line, (uint32_t)(p - b->line_start) + 1};
}

/* ---- words ---- */

static void word_put(struct ast_load *l, struct slice s)
{
    if (s.n > l->word_cap - l->word_n) {
        l->word_cap = (l->word_n + s.n) * 2;
        l->word = mem_grow(l->word, l->word_cap, 1);
    }
    if (s.n)
        memcpy(l->word + l->word_n, s.p, s.n);
    l->word_n += s.n;
}

/* text: ${NAME} or ${NAME:-default}. As in a shell, the default counts for an empty value too. */
static bool put_env(struct ast_builder *b, struct slice text)
{
    struct ast_load *l = b->load;
    struct slice inner = slice_of(text.p + 2, text.n - 3);
    struct slice name = arena_dup(l->arena, slice_first(inner, slice_find(inner, ':')));
    const char *value = l->loader->env(l->loader->context, name.p);
    if (name.n < inner.n && (!value || !*value)) {
        word_put(l, slice_skip(inner, name.n + 2));
        return true;
    }
    if (!value)
        return config_error(l->diag, place_of(b, text.p),
                            "the environment has no %s\nset it, or give a default: ${%s:-value}",
                            name.p, name.p);
    word_put(l, slice_str(value));
    return true;
}

static void put_escape(struct ast_load *l, char c)
{
    switch (c) {
    case 'n': c = '\n'; break;
    case 'r': c = '\r'; break;
    case 't': c = '\t'; break;
    }
    word_put(l, slice_of(&c, 1));
}

static bool bad_byte(const struct ast_builder *b, const char *p)
{
    return config_error(b->load->diag, place_of(b, p), "a control character (0x%02x) in the file",
                        (unsigned char)*p);
}

static bool bad_env(const struct ast_builder *b, const char *p)
{
    return config_error(
        b->load->diag, place_of(b, p),
        "this is no variable\n"
        "write ${NAME} or ${NAME:-default} for one of the environment, in capitals; "
        "those of a request are in small letters: ${path}");
}

/* One piece of a word; string pieces call this for what is inside them. */
static bool put_piece(struct ast_builder *b, enum lexeme kind, struct slice text);

static bool put_string(struct ast_builder *b, struct slice text)
{
    const char *cur = text.p + 1, *end = text.p + text.n - 1;
    bool ok = true;
    for (;;) {
        struct slice piece;
        enum lexeme kind = config_lex_string(&cur, end, &piece);
        if (kind == LEX_EOF)
            return ok;
        ok = put_piece(b, kind, piece) && ok;
    }
}

static bool put_piece(struct ast_builder *b, enum lexeme kind, struct slice text)
{
    switch (kind) {
    case LEX_TEXT: word_put(b->load, text); return true;
    case LEX_ENV: return put_env(b, text);
    case LEX_VARIABLE:
        b->load->has_variable = true;
        word_put(b->load, text);
        return true;
    case LEX_STRING: return put_string(b, text);
    case LEX_ESCAPE: put_escape(b->load, text.p[1]); return true;
    case LEX_BAD_ESCAPE:
        return config_error(b->load->diag, place_of(b, text.p),
                            "unknown escape\ninside quotes \\\" \\\\ \\$ \\n \\r \\t are known; "
                            "write \\\\ for a backslash");
    case LEX_BAD_ENV: return bad_env(b, text.p);
    case LEX_BAD_STRING:
        return config_error(b->load->diag, place_of(b, text.p),
                            "this quote is not closed on its line");
    case LEX_BAD_BYTE: return bad_byte(b, text.p);
    case LEX_EOF:
    case LEX_BLANK:
    case LEX_COMMENT:
    case LEX_NEWLINE:
    case LEX_SEMICOLON:
    case LEX_OPEN:
    case LEX_CLOSE: break;
    }
    return false;
}

static bool is_word_piece(enum lexeme kind)
{
    return kind == LEX_TEXT || kind == LEX_ENV || kind == LEX_VARIABLE || kind == LEX_STRING;
}

/* Takes the pieces that stand together, of which the first has been lexed. */
static struct config_word *take_word(struct ast_builder *b, enum lexeme kind, struct slice piece)
{
    struct ast_load *l = b->load;
    struct config_word *w = arena_zalloc(l->arena, sizeof(*w));
    w->at = w->text_at = place_of(b, piece.p);
    size_t option = kind == LEX_TEXT ? config_lex_option(piece) : 0;
    if (option) {
        w->option = arena_dup(l->arena, slice_first(piece, option));
        w->text_at = place_of(b, piece.p + option + 1);
        piece = slice_skip(piece, option + 1);
    }
    l->word_n = 0;
    l->has_variable = false;
    for (;;) {
        w->is_bad |= !put_piece(b, kind, piece);
        const char *before = b->cur;
        kind = config_lex(&b->cur, b->end, &piece);
        if (is_word_piece(kind))
            continue;
        b->cur = before;
        w->text = arena_dup(l->arena, slice_of(l->word, l->word_n));
        w->has_variable = l->has_variable;
        return w;
    }
}

/* ---- actions of the grammar ---- */

struct directive *ast_on_name(struct ast_builder *b, const struct config_word *word)
{
    struct directive *d = arena_zalloc(b->load->arena, sizeof(*d));
    d->name = *word;
    if (word->option.n) {
        config_error(b->load->diag, word->at,
                     "a line begins with a key, not with an option\nwrite " SLICE_FMT
                     " and its value with a blank between them",
                     SLICE_ARG(word->option));
        d->name.is_bad = true;
    }
    return d;
}

/* Grows by doubling: the capacity is the power of two at or above the count. */
static void append_word(struct ast_builder *b, struct config_word **words, uint32_t *count,
                        const struct config_word *word)
{
    if ((*count & (*count - 1)) == 0) {
        size_t cap = *count ? *count * 2 : 1;
        struct config_word *grown = arena_alloc(b->load->arena, cap * sizeof(*grown));
        if (*count)
            memcpy(grown, *words, *count * sizeof(*grown));
        *words = grown;
    }
    (*words)[(*count)++] = *word;
}

void ast_on_word(struct ast_builder *b, struct directive *d, const struct config_word *word)
{
    if (word->option.n)
        append_word(b, &d->options, &d->option_count, word);
    else
        append_word(b, &d->args, &d->arg_count, word);
}

static bool includes_itself(const struct ast_builder *b, struct slice path)
{
    for (const struct config_file *f = b->file; f; f = f->from)
        if (slice_eq(f->path, path))
            return true;
    return false;
}

static struct directive_list include_file(struct ast_builder *b, const struct config_word *word,
                                          struct slice path)
{
    struct ast_load *l = b->load;
    struct config_file file = {.path = path, .from = b->file};
    const char *why = "it cannot be read";
    if (includes_itself(b, path))
        config_error(l->diag, word->at, SLICE_FMT " includes itself", SLICE_ARG(path));
    else if (b->include_depth >= CONFIG_INCLUDE_MAX || l->files >= CONFIG_FILES_MAX)
        config_error(l->diag, word->at, "too many files are included");
    else if (!l->loader->read(l->loader->context, path, l->arena, &file.text, &why))
        config_error(l->diag, word->at, "cannot include " SLICE_FMT ": %s", SLICE_ARG(path), why);
    else
        return parse_file(l, file, b->include_depth + 1);
    return ast_nothing();
}

static struct directive_list include(struct ast_builder *b, const struct directive *d)
{
    struct ast_load *l = b->load;
    struct directive_list all = ast_nothing();
    if (d->arg_count != 1 || d->option_count || d->has_block) {
        config_error(l->diag, d->name.at, "'include' takes one file name or pattern");
        return all;
    }
    const struct config_word *word = &d->args[0];
    struct slice *paths = NULL;
    uint32_t count = 0;
    if (!word->is_bad)
        count = l->loader->glob(l->loader->context, word->text, b->file->path, l->arena, &paths);
    for (uint32_t i = 0; i < count; i++)
        all = ast_join(all, include_file(b, word, paths[i]));
    return all;
}

struct directive_list ast_on_directive(struct ast_builder *b, struct directive *d)
{
    if (slice_eq(d->name.text, SLICE("include")))
        return include(b, d);
    return (struct directive_list){d, d};
}

struct directive_list ast_on_block(struct ast_builder *b, struct directive *d,
                                   struct directive_list block)
{
    d->has_block = true;
    d->block = block.first;
    return ast_on_directive(b, d);
}

void ast_on_file(struct ast_builder *b, struct directive_list all)
{
    b->result = all;
}

void ast_on_syntax_error(struct ast_builder *b, int token, const struct config_word *word)
{
    struct config_diag *diag = b->load->diag;
    if (!b->is_broken && token == TOKEN_OPEN)
        config_error(
            diag, b->token_at,
            "'{' opens no block here\nput it on the line of the directive whose block it opens");
    else if (!b->is_broken && token == TOKEN_WORD)
        config_error(diag, b->token_at,
                     "'" SLICE_FMT "' follows a block on the same line\n"
                     "end the block's line there, or write ';' between the two",
                     SLICE_ARG(word->text));
    else if (!b->is_broken)
        config_error(diag, b->token_at, "this cannot stand here");
    b->is_broken = true;
}

void ast_on_overflow(struct ast_builder *b)
{
    if (!b->is_broken)
        config_error(b->load->diag, b->token_at, "blocks are nested too deeply");
    b->is_broken = true;
}

/* ---- the file ---- */

static int open_block(struct ast_builder *b)
{
    if (b->depth == CONFIG_DEPTH_MAX) {
        ast_on_overflow(b);
        return AST_STOP;
    }
    b->open[b->depth++] = b->token_at;
    return TOKEN_OPEN;
}

static int close_block(struct ast_builder *b)
{
    if (b->depth == 0) {
        config_error(b->load->diag, b->token_at, "'}' closes no block");
        return AST_STOP;
    }
    b->depth--;
    return TOKEN_CLOSE;
}

static int end_file(struct ast_builder *b)
{
    if (b->depth == 0)
        return AST_END;
    config_error(b->load->diag, b->open[b->depth - 1], "this block is not closed");
    return AST_STOP;
}

static int end_line(struct ast_builder *b)
{
    b->line++;
    b->line_start = b->cur;
    return TOKEN_END;
}

/* What a lexeme means to the grammar; AST_SKIP: nothing. */
static int to_token(struct ast_builder *b, enum lexeme kind, struct slice text,
                    struct config_word **word)
{
    switch (kind) {
    case LEX_EOF: return end_file(b);
    case LEX_BLANK:
    case LEX_COMMENT: return AST_SKIP;
    case LEX_NEWLINE: return end_line(b);
    case LEX_SEMICOLON: return TOKEN_END;
    case LEX_OPEN: return open_block(b);
    case LEX_CLOSE: return close_block(b);
    case LEX_TEXT:
    case LEX_STRING:
    case LEX_ENV:
    case LEX_VARIABLE: *word = take_word(b, kind, text); return TOKEN_WORD;
    case LEX_ESCAPE:
    case LEX_BAD_STRING:
    case LEX_BAD_ENV:
    case LEX_BAD_ESCAPE:
    case LEX_BAD_BYTE: break;
    }
    put_piece(b, kind, text);
    return AST_STOP;
}

int ast_next(struct ast_builder *b, struct config_word **word)
{
    int token = AST_SKIP;
    while (token == AST_SKIP && !b->is_broken) {
        struct slice text;
        enum lexeme kind = config_lex(&b->cur, b->end, &text);
        b->token_at = place_of(b, text.p);
        token = to_token(b, kind, text, word);
    }
    b->is_broken |= token == AST_STOP;
    return b->is_broken ? AST_STOP : token;
}

static struct slice without_bom(struct slice text)
{
    struct slice bom = SLICE("\xef\xbb\xbf");
    return slice_starts(text, bom) ? slice_skip(text, bom.n) : text;
}

static struct directive_list parse_file(struct ast_load *load, struct config_file file,
                                        uint32_t include_depth)
{
    struct config_file *kept = arena_alloc(load->arena, sizeof(*kept));
    file.path = arena_dup(load->arena, file.path);
    file.text = arena_dup(load->arena, without_bom(file.text));
    *kept = file;
    load->files++;
    struct ast_builder b = {.load = load,
                            .file = kept,
                            .cur = kept->text.p,
                            .end = kept->text.p + kept->text.n,
                            .line_start = kept->text.p,
                            .line = 1,
                            .include_depth = include_depth};
    ast_run(&b);
    load->is_broken |= b.is_broken;
    return b.result;
}

bool config_parse_text(struct slice name, struct slice text, const struct config_loader *loader,
                       struct arena *a, struct config_diag *diag, struct directive **first)
{
    struct ast_load load = {.loader = loader, .arena = a, .diag = diag};
    *first = parse_file(&load, (struct config_file){.path = name, .text = text}, 0).first;
    free(load.word);
    return !load.is_broken;
}

bool config_parse_file(struct slice path, const struct config_loader *loader, struct arena *a,
                       struct config_diag *diag, struct directive **first)
{
    struct slice text;
    const char *why = "it cannot be read";
    *first = NULL;
    if (loader->read(loader->context, path, a, &text, &why))
        return config_parse_text(path, text, loader, a, diag, first);
    return config_error(diag, (struct config_place){0}, "cannot read " SLICE_FMT ": %s",
                        SLICE_ARG(path), why);
}

struct slice config_directive_text(const struct directive *d, struct arena *a)
{
    struct slice text = d->name.text;
    for (uint32_t i = 0; i < d->arg_count; i++)
        text =
            arena_printf(a, SLICE_FMT " " SLICE_FMT, SLICE_ARG(text), SLICE_ARG(d->args[i].text));
    for (uint32_t i = 0; i < d->option_count; i++)
        text = arena_printf(a, SLICE_FMT " " SLICE_FMT "=" SLICE_FMT, SLICE_ARG(text),
                            SLICE_ARG(d->options[i].option), SLICE_ARG(d->options[i].text));
    return text;
}
