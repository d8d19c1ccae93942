/* What the grammar's actions call (config_grammar.y); only ast.c and the grammar include this.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_AST_BUILDER_H
#define CONFIG_AST_BUILDER_H

#include "config/ast.h"

struct ast_builder;

struct directive_list {
    struct directive *first, *last;
};

static inline struct directive_list ast_nothing(void)
{
    return (struct directive_list){NULL, NULL};
}

static inline struct directive_list ast_join(struct directive_list a, struct directive_list b)
{
    if (!a.first)
        return b;
    if (!b.first)
        return a;
    a.last->next = b.first;
    a.last = b.last;
    return a;
}

/* The next token for the grammar: 0 at the end, negative when the file is broken. */
int ast_next(struct ast_builder *b, struct config_word **word);
/* Feeds the tokens to the parser; lives beside the grammar, which knows the parser's size. */
void ast_run(struct ast_builder *b);

struct directive *ast_on_name(struct ast_builder *b, const struct config_word *word);
void ast_on_word(struct ast_builder *b, struct directive *d, const struct config_word *word);
struct directive_list ast_on_directive(struct ast_builder *b, struct directive *d);
struct directive_list ast_on_block(struct ast_builder *b, struct directive *d,
                                   struct directive_list block);
void ast_on_file(struct ast_builder *b, struct directive_list all);
void ast_on_syntax_error(struct ast_builder *b, int token, const struct config_word *word);
void ast_on_overflow(struct ast_builder *b);

#endif
