/* `auth basic`: a name and a password (RFC 7617).
 *
 * A name that nobody has costs as much time as a wrong password does, so that guessing names tells
 * nothing.
 * SPDX-License-Identifier: MIT */
#include "core/admit_auth.h"
#include "core/request_key.h"
#include "core/verifier.h"
#include "core/worker.h"
#include "http/credentials.h"

enum { ANSWER_MS = 10000 };

struct waiting {
    struct exchange *exchange;
    struct verify_wait *wait; /* NULL: answered */
    struct slice user;
    bool yes;
};

/* ---- the question ---- */

static enum admit challenge(struct exchange *x, const struct auth_conf *conf, const char *why)
{
    return admit_refuse(x, 401, FIELD_WWW_AUTHENTICATE, conf->challenge, why, "RFC 7617 2");
}

/* The one line there is (RFC 9110 11.6.2); false: none, several, or not Basic. */
static bool find_credentials(struct exchange *x, struct slice *user, struct slice *password)
{
    const struct fields *fields = &x->req.fields;
    struct slice value = SLICE_NONE;
    unsigned count = 0;
    for (unsigned i = 0; fields_has(fields, FIELD_AUTHORIZATION) && i < fields->n; i++) {
        if (fields->v[i].id != FIELD_AUTHORIZATION || fields->v[i].dropped)
            continue;
        value = fields->v[i].value;
        count++;
    }
    return count == 1 &&
           credentials_basic(value, arena_alloc(&x->arena, value.n + 1), user, password) &&
           user->n <= USER_NAME_MAX && password->n <= VERIFY_PASSWORD_MAX;
}

static void on_verdict(void *ctx, bool yes)
{
    struct waiting *w = ctx;
    w->wait = NULL;
    w->yes = yes;
    exchange_run(w->exchange);
}

static void drop(struct exchange *x)
{
    struct waiting *w = x->gate_state;
    if (w->wait)
        verify_cancel(w->wait);
    w->wait = NULL;
    timer_clear(&x->timer);
}

/* ---- the answer ---- */

static enum admit let_in(struct exchange *x, const struct auth_conf *conf, struct slice user)
{
    struct fields *fields = &x->req.fields;
    x->auth_type = SLICE("Basic");
    x->auth_user = user;
    if (!conf->passes)
        fields_drop(fields, FIELD_AUTHORIZATION);
    if (conf->header.n) {
        fields_expel(fields, conf->header);
        fields_add(fields, &x->arena, field_lookup(conf->header), conf->header, user);
    }
    return ADMIT_PASS;
}

static enum admit conclude(struct exchange *x, const struct auth_conf *conf, struct slice user,
                           bool yes)
{
    if (yes && user_find(&conf->users, user))
        return let_in(x, conf, user);
    return challenge(x, conf, "wrong name or password");
}

static enum admit go_on(struct exchange *x, const struct auth_conf *conf)
{
    struct waiting *w = x->gate_state;
    if (!w->wait) {
        timer_clear(&x->timer);
        return conclude(x, conf, w->user, w->yes);
    }
    if (x->timer.due_ms && x->worker->loop.now_ms < x->timer.due_ms)
        return ADMIT_WAIT;
    drop(x);
    exchange_fail(x, 503, "the password could not be checked in time", NULL);
    return ADMIT_OVER;
}

static enum admit ask(struct exchange *x, const void *gate_conf)
{
    const struct auth_conf *conf = gate_conf;
    struct slice user, password;
    if (x->gate_state)
        return go_on(x, conf);
    if (!find_credentials(x, &user, &password))
        return challenge(x, conf, "no name and password");
    const struct user *known = user_find(&conf->users, user);
    static const struct request_key by_client = {.kind = REQUEST_KEY_CLIENT};
    bool is_client;
    const struct verify_question q = {.user = user,
                                      .password = password,
                                      .client = request_key_of(x, &by_client, &is_client),
                                      .hash = known ? known->hash : conf->users.v[0].hash,
                                      .keep_ms = conf->keep_ms};
    struct waiting *w = arena_zalloc(&x->arena, sizeof(*w));
    *w = (struct waiting){.exchange = x, .user = user};
    struct worker *worker = x->worker;
    switch (verifier_ask(worker->verifier, &q, &worker->loop, on_verdict, w, &w->wait)) {
    case VERIFY_YES: return conclude(x, conf, user, true);
    case VERIFY_NO: return conclude(x, conf, user, false);
    case VERIFY_BUSY:
        exchange_fail(x, 503, "too many passwords wait to be checked", NULL);
        return ADMIT_OVER;
    case VERIFY_ENOUGH:
        return admit_refuse(x, 429, FIELD_RETRY_AFTER, SLICE("1"),
                            "too many passwords of this client wait to be checked", "RFC 6585 4");
    case VERIFY_LATER: break;
    }
    x->gate_state = w;
    timer_set(&worker->loop, &x->timer, ANSWER_MS);
    return ADMIT_WAIT;
}

/* ---- configuration ---- */

static struct slice challenge_of(struct arena *a, struct slice realm)
{
    char *text = arena_alloc(a, realm.n * 2 + 1), *end = text;
    for (size_t i = 0; i < realm.n; i++) {
        if (realm.p[i] == '"' || realm.p[i] == '\\')
            *end++ = '\\';
        *end++ = realm.p[i];
    }
    struct slice quoted = slice_of(text, (size_t)(end - text));
    return arena_printf(a, "Basic realm=\"" SLICE_FMT "\", charset=\"UTF-8\"", SLICE_ARG(quoted));
}

static bool finish(struct config_reader *r, struct snapshot *s, const struct site_conf *site,
                   void *gate_conf)
{
    (void)site;
    struct auth_conf *conf = gate_conf;
    struct slice text;
    (void)s;
    conf->challenge = challenge_of(r->arena, conf->realm);
    if (!conf->file.text.n)
        return config_error(r->diag, conf->at, "there are no users\nwrite: auth basic file=FILE");
    return config_read_file(r, &conf->file, USER_FILE_MAX, &text) &&
           user_file_parse(r, &conf->file, text, &conf->users);
}

static void explain(const void *gate_conf, const struct facts *q, FILE *out)
{
    const struct auth_conf *conf = gate_conf;
    (void)q;
    fprintf(out, "auth: basic, %u users of " SLICE_FMT ", realm " SLICE_FMT "\n", conf->users.n,
            SLICE_ARG(conf->file.text), SLICE_ARG(conf->realm));
}

const struct gate basic_gate = {
    .name = "basic",
    .kind = GATE_AUTH,
    .finish = finish,
    .ask = ask,
    .drop = drop,
    .explain = explain,
};
