/* Who may use a route: what is asked between finding the route and running its action.
 *
 * A gate is one kind of question: access lists, rates, concurrent requests, passwords, another
 * application. Each is one file; the core knows none of them. Those of a route are asked in the
 * order of their kinds, the cheap first, and those of one kind in the order of the file. What a
 * route says of a kind stands in place of what its site says of it.
 *
 * A route without any lets everybody in and never comes here.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ADMIT_H
#define CORE_ADMIT_H

#include <stdio.h>

#include "config/schema.h"
#include "core/exchange.h"

struct facts;
struct site_conf;
struct snapshot;

enum gate_kind { GATE_ACCESS, GATE_RATE, GATE_CONCURRENT, GATE_AUTH, GATE_KINDS };
/* "access" */
const char *gate_kind_name(enum gate_kind kind);

enum admit {
    ADMIT_PASS,
    ADMIT_OVER, /* it has been answered, or another state was entered */
    ADMIT_WAIT, /* exchange_run() will be called: by the gate, x->timer, or an event of the client;
                   then it is asked again */
};

struct gate {
    const char *name;
    enum gate_kind kind;
    /* Loading, once every directive is read. NULL: nothing is to be done. False: reported. */
    bool (*finish)(struct config_reader *r, struct snapshot *s, const struct site_conf *site,
                   void *conf);
    /* In EX_ADMIT. x->gate_state is the gate's while it waits, NULL at first. */
    enum admit (*ask)(struct exchange *x, const void *conf);
    /* Gives up waiting: x->gate_state is not NULL. NULL: there is nothing to give up. */
    void (*drop)(struct exchange *x);
    /* For `sluice explain`: what it says, of such a request where that can be told; a line. */
    void (*explain)(const void *conf, const struct facts *q, FILE *out);
};

struct gate_conf {
    const struct gate *gate;
    void *conf; /* the gate's own; NULL: the kind is off */
    bool is_finished;
};

/* Of a route, or of a site while it is loaded. */
struct admission {
    struct gate_conf *gates;
    uint32_t count;
};

/* For the setters of the keys: one more. conf NULL: switched off, whatever the site says. */
void admission_add(struct config_reader *r, struct admission *a, const struct gate *gate,
                   void *conf);
/* Puts what counts for a route into *all, and finishes it. NULL: nothing is asked. */
bool admission_finish(struct config_reader *r, struct snapshot *s, const struct site_conf *site,
                      struct admission *own, const struct admission **all);
void admission_explain(const struct admission *a, const struct facts *q, FILE *out);

/* In state EX_ADMIT. Lets x in (EX_ACT), refuses it, or PARKs while it is being found out; then it
 * is called again at every event of the client. */
enum next admit_run(struct exchange *x);
/* Forgets what was asked, and what is waited for. */
void admit_drop(struct exchange *x);
/* Refuses, with a field that goes with the status. */
enum admit admit_refuse(struct exchange *x, uint16_t status, enum field_id id, struct slice value,
                        const char *why, const char *rule);

/* For the metrics. */
void admit_count_refusal(struct exchange *x);
/* Gives back what the gates have counted x as; it is over. */
void admit_end_charges(struct exchange *x);

/* The keys. An opener of a site or route hands over the admission that a line belongs to, and gets
 * what options and words go to. */
typedef void *admit_open_fn(struct config_reader *r, const struct directive *d,
                            struct admission *a);
admit_open_fn admit_open; /* by the name of the key */
key_set_fn admit_set_access, admit_set_rate, admit_set_concurrent, admit_set_auth;
extern const struct key admit_rate_options[], admit_concurrent_options[], admit_auth_options[];

/* For admit_open(). */
admit_open_fn admit_open_access, admit_open_rate, admit_open_concurrent, admit_open_auth;

#define ADMIT_KEYS(opener)                                                                         \
    {.name = "allow",                                                                              \
     .type = KEY_CUSTOM,                                                                           \
     .flags = KEY_REPEAT,                                                                          \
     .set = admit_set_access,                                                                      \
     .open = opener,                                                                               \
     .syntax = "CIDR ... | unix | all",                                                            \
     .help = "who may come in, by address. allow and deny are looked at in the order of the file " \
             "and the first that matches counts; who matches none gets the opposite of the last"}, \
        {.name = "deny",                                                                           \
         .type = KEY_CUSTOM,                                                                       \
         .flags = KEY_REPEAT,                                                                      \
         .set = admit_set_access,                                                                  \
         .open = opener,                                                                           \
         .syntax = "CIDR ... | unix | all",                                                        \
         .help = "who may not come in (403): see allow"},                                          \
        {.name = "rate",                                                                           \
         .type = KEY_CUSTOM,                                                                       \
         .flags = KEY_REPEAT | KEY_ONE,                                                            \
         .set = admit_set_rate,                                                                    \
         .open = opener,                                                                           \
         .options = admit_rate_options,                                                            \
         .syntax = "NUMBER/TIME | off",                                                            \
         .help =                                                                                   \
             "how often requests may come (429), such as 10/s, 100/m, 5/10s; counted exactly for " \
             "all threads, and on through a reload. Several lines all count"},                     \
        {.name = "concurrent",                                                                     \
         .type = KEY_CUSTOM,                                                                       \
         .flags = KEY_REPEAT | KEY_ONE,                                                            \
         .set = admit_set_concurrent,                                                              \
         .open = opener,                                                                           \
         .options = admit_concurrent_options,                                                      \
         .syntax = "NUMBER | off",                                                                 \
         .help = "how many requests there may be at a time (429)"},                                \
    {                                                                                              \
        .name = "auth", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = admit_set_auth,            \
        .open = opener, .options = admit_auth_options,                                             \
        .syntax = "basic | forward POOL [PATH] | off",                                             \
        .help = "who may come in: by name and password (401), or as the pool answers"              \
    }

#endif
