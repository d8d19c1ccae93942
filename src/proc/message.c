/* The layout of each message is described once, by a function that walks over its members; it
 * serves for writing and for reading.
 * SPDX-License-Identifier: MIT */
#include "proc/message.h"

#include <string.h>
#include <sys/resource.h>

#include "base/text.h"

struct wire {
    char *out;      /* writing: next byte; NULL when reading */
    const char *in; /* reading: next byte */
    size_t left;
    const char *fault; /* the first; nothing is moved afterwards */
};

static void refuse(struct wire *w, const char *why)
{
    if (!w->fault)
        w->fault = why;
    w->left = 0;
}

/* Moves n bytes in the direction of w. */
static void walk_bytes(struct wire *w, void *p, size_t n)
{
    if (w->fault || w->left < n) {
        refuse(w, w->out ? "too long" : "cut off");
        if (!w->out)
            memset(p, 0, n);
        return;
    }
    if (w->out) {
        memcpy(w->out, p, n);
        w->out += n;
    } else {
        memcpy(p, w->in, n);
        w->in += n;
    }
    w->left -= n;
}

static void walk_u64(struct wire *w, uint64_t *v)
{
    walk_bytes(w, v, sizeof(*v));
}

static void walk_u32(struct wire *w, uint32_t *v, uint32_t max, const char *what)
{
    walk_bytes(w, v, sizeof(*v));
    if (*v > max) {
        refuse(w, what);
        *v = 0;
    }
}

static void walk_i32(struct wire *w, int32_t *v, int32_t min, int32_t max, const char *what)
{
    walk_bytes(w, v, sizeof(*v));
    if (*v < min || *v > max) {
        refuse(w, what);
        *v = 0;
    }
}

static void walk_bool(struct wire *w, bool *v)
{
    uint8_t byte = *v;
    walk_bytes(w, &byte, 1);
    if (byte > 1)
        refuse(w, "a flag is neither on nor off");
    *v = byte == 1;
}

/* n bytes of text: copied when writing, pointed to when reading. */
static void walk_view(struct wire *w, const char **p, size_t n)
{
    if (w->left < n) {
        refuse(w, w->out ? "too long" : "cut off");
        return;
    }
    if (w->out) {
        if (n)
            memcpy(w->out, *p, n);
        w->out += n;
    } else {
        *p = w->in;
        w->in += n;
    }
    w->left -= n;
}

/* A text and a NUL behind it. */
static void walk_text(struct wire *w, struct slice *s, uint32_t max, const char *what)
{
    uint32_t n = (uint32_t)s->n;
    char nul = '\0';
    walk_u32(w, &n, max, what);
    if (!w->fault)
        walk_view(w, &s->p, n);
    walk_bytes(w, &nul, 1);
    if (!w->fault && (nul != '\0' || (n && memchr(s->p, '\0', n))))
        refuse(w, "a text does not end where it says");
    *s = w->fault ? SLICE_NONE : slice_of(s->p, n);
}

static uint32_t count_texts(const char *p, uint32_t n)
{
    uint32_t count = 0;
    for (const char *end = p + n; p < end; count++) {
        const char *nul = memchr(p, '\0', (size_t)(end - p));
        if (!nul)
            return UINT32_MAX;
        p = nul + 1;
    }
    return count;
}

static void walk_strings(struct wire *w, struct strings *s, uint32_t max, const char *what)
{
    walk_u32(w, &s->count, max, what);
    walk_u32(w, &s->bytes, MESSAGE_MAX, what);
    if (!w->fault)
        walk_view(w, &s->p, s->bytes);
    if (!w->fault && !w->out && count_texts(s->p, s->bytes) != s->count)
        refuse(w, "the texts are not as many as said");
    if (w->fault)
        *s = (struct strings){.p = ""};
}

const char *strings_next(const struct strings *s, const char **at)
{
    const char *p = *at ? *at + strlen(*at) + 1 : s->p;
    *at = s->bytes && p < s->p + s->bytes ? p : NULL;
    return *at;
}

/* ---- one function for each message ---- */

static bool are_variables(const struct strings *s, bool (*is_good)(const char *text))
{
    for (const char *at = NULL; strings_next(s, &at);)
        if (!is_good(at))
            return false;
    return true;
}

static bool is_variable(const char *text)
{
    return text[0] != '=' && strchr(text, '=');
}

static void walk_identity(struct wire *w, struct spawn_def *d)
{
    walk_bool(w, &d->has_umask);
    walk_u32(w, &d->umask, 0777, "umask out of range");
    walk_bool(w, &d->has_user);
    walk_u32(w, &d->uid, UINT32_MAX - 1, "no user id"); /* -1: "leave as it is" */
    walk_u32(w, &d->gid, UINT32_MAX - 1, "no group id");
    walk_u32(w, &d->group_count, MESSAGE_GROUPS_MAX, "too many groups");
    for (uint32_t i = 0; i < d->group_count; i++)
        walk_u32(w, &d->groups[i], UINT32_MAX - 1, "no group id");
    walk_u32(w, &d->limit_count, MESSAGE_LIMITS_MAX, "too many limits");
    for (uint32_t i = 0; i < d->limit_count; i++) {
        walk_u32(w, &d->limits[i].resource, RLIMIT_NLIMITS - 1, "no such limit");
        walk_u64(w, &d->limits[i].value);
    }
}

static void walk_def(struct wire *w, struct spawn_def *d)
{
    uint32_t kind = d->kind, links = d->links;
    walk_u32(w, &d->index, UINT32_MAX, "");
    walk_u32(w, &kind, SPAWN_CGI, "no such kind");
    d->kind = (enum spawn_kind)kind;
    walk_text(w, &d->name, MESSAGE_NAME_MAX, "the name is too long");
    walk_strings(w, &d->argv, MESSAGE_ARGS_MAX, "too many arguments");
    walk_strings(w, &d->env, MESSAGE_ENV_MAX, "too many variables");
    walk_text(w, &d->directory, MESSAGE_PATH_MAX, "the directory is too long");
    walk_text(w, &d->cgroup, MESSAGE_PATH_MAX, "the cgroup is too long");
    walk_text(w, &d->path, MESSAGE_PATH_MAX, "the path is too long");
    walk_identity(w, d);
    walk_u32(w, &links, FILE_LINKS_KINDS - 1, "no such worth of links");
    d->links = (enum file_links)links;
    walk_bool(w, &d->dotfiles);
    if (w->fault || w->out)
        return;
    if (d->kind == SPAWN_APP ? d->argv.count == 0 || !*d->argv.p : d->argv.count > 1)
        refuse(w, "no such command");
    if (d->kind == SPAWN_CGI && !d->directory.n)
        refuse(w, "no directory");
    if (!are_variables(&d->env, is_variable))
        refuse(w, "a variable without a name or value");
}

static void walk_order(struct wire *w, struct spawn_order *o)
{
    uint32_t port = o->port;
    walk_u64(w, &o->id);
    walk_u32(w, &o->def, UINT32_MAX, "");
    walk_u32(w, &o->number, UINT32_MAX, "");
    walk_u32(w, &port, UINT16_MAX, "no port");
    o->port = (uint16_t)port;
    walk_text(w, &o->program, MESSAGE_PATH_MAX, "the program is too long");
    walk_strings(w, &o->env, MESSAGE_ENV_MAX, "too many variables");
    walk_u32(w, &o->fd_count, MESSAGE_FDS_MAX, "too many descriptors");
    uint32_t seen = 0;
    for (uint32_t i = 0; i < o->fd_count; i++) {
        walk_bytes(w, &o->targets[i], 1);
        uint32_t bit = o->targets[i] <= MESSAGE_TARGET_FD_MAX ? 1u << o->targets[i] : 0;
        if (!bit || seen & bit)
            refuse(w, "no such place for a descriptor, or it is taken");
        seen |= bit;
    }
    if (!w->fault && !w->out && !are_variables(&o->env, message_is_cgi_variable))
        refuse(w, "a variable that no CGI program may be given");
}

static void walk_signal(struct wire *w, struct spawn_signal *s)
{
    /* HUP 1, INT 2, QUIT 3, KILL 9, USR1 10, USR2 12, TERM 15 */
    static const uint32_t allowed =
        1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 10 | 1u << 12 | 1u << 15;
    walk_u64(w, &s->id);
    walk_u32(w, &s->signo, 31, "no such signal");
    if (!w->fault && !(allowed >> s->signo & 1))
        refuse(w, "no such signal");
}

static void walk_started(struct wire *w, struct spawn_started *s)
{
    uint32_t stage = s->stage;
    walk_u64(w, &s->id);
    walk_i32(w, &s->pid, 0, INT32_MAX, "no process id");
    walk_i32(w, &s->error, -4095, 0, "no error number");
    walk_u32(w, &stage, STAGES - 1, "no such stage");
    s->stage = (enum spawn_stage)stage;
    if (!w->fault && (s->pid == 0) != (s->error != 0))
        refuse(w, "neither started nor failed");
}

static void walk_exited(struct wire *w, struct spawn_exited *e)
{
    walk_u64(w, &e->id);
    walk_i32(w, &e->pid, 1, INT32_MAX, "no process id");
    walk_i32(w, &e->status, -1, 255, "no exit status");
    walk_i32(w, &e->signo, 0, 127, "no such signal");
    walk_u64(w, &e->cpu_us);
    walk_u64(w, &e->rss_bytes);
}

static void walk(struct wire *w, struct message *m)
{
    uint32_t type = m->type;
    walk_u32(w, &type, MESSAGE_EXITED, "no such message");
    if (!w->fault && type == 0)
        refuse(w, "no such message");
    m->type = (enum message_type)type;
    if (w->fault)
        return;
    switch (m->type) {
    case MESSAGE_DEFINE: walk_def(w, &m->def); break;
    case MESSAGE_FORGET: walk_u32(w, &m->forget, UINT32_MAX, ""); break;
    case MESSAGE_CHANNEL: break;
    case MESSAGE_START: walk_order(w, &m->order); break;
    case MESSAGE_SIGNAL: walk_signal(w, &m->signal); break;
    case MESSAGE_STARTED: walk_started(w, &m->started); break;
    case MESSAGE_EXITED: walk_exited(w, &m->exited); break;
    }
}

size_t message_write(const struct message *m, char *p, size_t cap)
{
    struct message copy = *m;
    struct wire w = {.out = p, .left = cap < MESSAGE_MAX ? cap : MESSAGE_MAX};
    walk(&w, &copy);
    return w.fault ? 0 : (size_t)(w.out - p);
}

const char *message_read(struct slice packet, struct message *m)
{
    struct wire w = {.in = packet.p, .left = packet.n};
    *m = (struct message){0};
    walk(&w, m);
    if (!w.fault && w.left)
        refuse(&w, "bytes behind the end");
    return w.fault;
}

/* ---- texts ---- */

const char *spawn_stage_name(enum spawn_stage stage)
{
    static const char *const names[] = {
#define X(name, text) text,
        SPAWN_STAGES(X)
#undef X
    };
    return names[stage];
}

bool message_is_cgi_variable(const char *text)
{
    /* A name, or the beginning of names (those that end in '_'). */
    static const char *const known[] = {
        "AUTH_TYPE",    "CONTENT_",  "CONTEXT_",  "DOCUMENT_", "GATEWAY_INTERFACE",
        "HTTP_",        "HTTPS",     "ORIG_",     "PATH_INFO", "PATH_TRANSLATED",
        "QUERY_STRING", "REDIRECT_", "REMOTE_",   "REQUEST_",  "SCRIPT_",
        "SERVER_",      "SSL_",      "UNIQUE_ID",
    };
    struct slice name = slice_of(text, strcspn(text, "="));
    if (text[name.n] != '=' || slice_eq(name, SLICE("HTTP_PROXY")))
        return false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct slice k = slice_str(known[i]);
        if (slice_ends(k, SLICE("_")) ? slice_starts(name, k) : slice_eq(name, k))
            return true;
    }
    return false;
}

bool message_expand(struct slice text, uint32_t number, uint16_t port, struct slice path, char *out,
                    size_t cap)
{
    struct text t = text_of(out, cap);
    while (text.n) {
        struct slice rest = slice_skip(text, slice_find(text, '{'));
        text_put(&t, slice_first(text, text.n - rest.n));
        text = rest;
        size_t skip = 1;
        if (slice_starts(rest, SLICE("{port}")))
            text_dec(&t, port), skip = 6;
        else if (slice_starts(rest, SLICE("{path}")))
            text_put(&t, path), skip = 6;
        else if (slice_starts(rest, SLICE("{n}")))
            text_dec(&t, number), skip = 3;
        else if (rest.n)
            text_char(&t, '{');
        text = slice_skip(text, skip < text.n ? skip : text.n);
    }
    bool fits = text_left(&t) > 0;
    if (fits)
        text_char(&t, '\0');
    return fits;
}
