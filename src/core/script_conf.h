/* How applications that speak CGI variables learn which program a path means: keys of a site, which
 * its routes inherit unless they have their own.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_SCRIPT_CONF_H
#define CORE_SCRIPT_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "config/schema.h"
#include "rewrite/template.h"

struct script_conf {
    struct slice root;   /* DOCUMENT_ROOT, without '/' at its end */
    struct slice *index; /* names for a path that ends in '/' */
    struct slice split;  /* extension of the segment that ends SCRIPT_NAME */
    struct slice script; /* SCRIPT_NAME for every path */
    struct cgi_param *params;
    struct template *templates; /* the params' values; used if one of them has a variable */
    uint32_t index_count, param_count;
    uint32_t groups; /* for templates: of the route's expression */
    bool has_templates;
    bool is_used; /* the protocol tells the application of scripts */
};

/* Targets are a struct script_conf. */
key_set_fn script_set_root, script_set_index, script_set_split, script_set_script, script_set_param;

/* What the route has not said is as the site has it. Its parameters come first. */
void script_conf_inherit(struct config_reader *r, struct script_conf *route,
                         const struct script_conf *site);
/* What neither has said is as is usual for the protocol. NULL: it is unknown, which was reported.
 */
void script_conf_finish(struct script_conf *route, const struct back_codec *codec);

/* Splits the normalised path into SCRIPT_NAME and PATH_INFO: `script` names it, or the extension
 * ends it, or it is the index of a directory; else the application is one program, mounted at the
 * root, and all of the path is PATH_INFO. Texts that are made are in the arena. */
void script_split(const struct script_conf *conf, struct slice path, struct arena *a,
                  struct cgi_info *info);
/* Whether the path of the script leads through a file: /uploads/photo.jpg/x.php. PHP would go up to
 * that file and run it, whoever has put it there (cgi.fix_pathinfo). Where the scripts are another
 * machine's, nothing is known: false. */
bool script_is_beneath_file(const struct script_conf *conf, struct slice path, struct arena *a);

#endif
