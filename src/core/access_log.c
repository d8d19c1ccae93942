/* SPDX-License-Identifier: MIT */
#include "core/access_log.h"

#include <assert.h>

#include "base/text.h"

/* What the longest line may need besides the long fields: keys, numbers, and short fields at their
 * limit. The three long ones share the rest. */
enum { SHORT_MAX = 256, REST_MAX = 2600, LONG_FIELDS = 3 };
_Static_assert(ACCESS_LINE_MIN > REST_MAX + LONG_FIELDS * SHORT_MAX, "long fields need room");

static const char *const end_names[] = {
    [END_COMPLETE] = "complete",
    [END_CLIENT] = "client",
    [END_BACKEND] = "backend",
    [END_GATEWAY] = "gateway",
};

static const struct slice phase_names[ACCESS_PHASES] = {
    [PHASE_HEAD] = SLICE_INIT("head_us"),       [PHASE_QUEUE] = SLICE_INIT("queue_us"),
    [PHASE_CONNECT] = SLICE_INIT("connect_us"), [PHASE_FIRST] = SLICE_INIT("first_us"),
    [PHASE_TOTAL] = SLICE_INIT("total_us"),
};

const char *access_end_name(enum access_end end)
{
    return end_names[end];
}

bool access_format_parse(struct slice s, enum access_format *format)
{
    *format = slice_eq(s, SLICE("json")) ? ACCESS_JSON : ACCESS_COMBINED;
    return *format == ACCESS_JSON || slice_eq(s, SLICE("combined"));
}

/* combined: a field, or "-" */
static void put_or_dash(struct text *t, struct slice s, size_t max)
{
    if (s.n)
        text_quoted(t, s, max);
    else
        text_char(t, '-');
}

/* combined: ` name="value"`, nothing when empty */
static void put_pair(struct text *t, struct slice name, struct slice s)
{
    if (!s.n)
        return;
    text_put(t, name);
    text_char(t, '"');
    text_quoted(t, s, SHORT_MAX);
    text_char(t, '"');
}

static void put_combined(struct text *t, size_t long_max, const struct access_record *r)
{
    put_or_dash(t, r->client, SHORT_MAX);
    text_lit(t, " - ");
    put_or_dash(t, r->user, SHORT_MAX);
    text_lit(t, " [");
    text_clf_time(t, r->wall_us);
    text_lit(t, "] \"");
    if (r->method.n) {
        text_quoted(t, r->method, SHORT_MAX);
        text_char(t, ' ');
        put_or_dash(t, r->target, long_max);
        text_char(t, ' ');
        put_or_dash(t, r->version, SHORT_MAX);
    } else {
        text_char(t, '-');
    }
    text_lit(t, "\" ");
    text_padded(t, r->status, 3);
    text_char(t, ' ');
    text_dec(t, r->sent_bytes);
    text_lit(t, " \"");
    put_or_dash(t, r->referer, long_max);
    text_lit(t, "\" \"");
    put_or_dash(t, r->user_agent, long_max);
    text_lit(t, "\" id=");
    text_id(t, r->id);
    put_pair(t, SLICE(" host="), r->host);
    text_lit(t, " in=");
    text_dec(t, r->received_bytes);
    put_pair(t, SLICE(" pool="), r->pool);
    put_pair(t, SLICE(" backend="), r->backend);
    text_lit(t, " attempts=");
    text_dec(t, r->attempts);
    for (unsigned i = 0; i < ACCESS_PHASES; i++) {
        if (r->phase_us[i] < 0)
            continue;
        text_char(t, ' ');
        text_put(t, phase_names[i]);
        text_char(t, '=');
        text_dec(t, (uint64_t)r->phase_us[i]);
    }
    text_lit(t, " end=");
    text_put(t, slice_str(end_names[r->ended_by]));
    put_pair(t, SLICE(" reason="), r->end_reason);
}

/* json: `,"name":"value"`, nothing when empty. name comes with its punctuation. */
static void put_member(struct text *t, struct slice name, struct slice s, size_t max)
{
    if (!s.n)
        return;
    text_put(t, name);
    text_json(t, s, max);
    text_char(t, '"');
}

static void put_number(struct text *t, struct slice name, uint64_t v)
{
    text_put(t, name);
    text_dec(t, v);
}

static void put_json(struct text *t, size_t long_max, const struct access_record *r)
{
    text_lit(t, "{\"time\":\"");
    text_time(t, r->wall_us);
    text_lit(t, "\",\"id\":\"");
    text_id(t, r->id);
    text_char(t, '"');
    put_member(t, SLICE(",\"client\":\""), r->client, SHORT_MAX);
    put_member(t, SLICE(",\"user\":\""), r->user, SHORT_MAX);
    put_member(t, SLICE(",\"method\":\""), r->method, SHORT_MAX);
    put_member(t, SLICE(",\"host\":\""), r->host, SHORT_MAX);
    put_member(t, SLICE(",\"target\":\""), r->target, long_max);
    put_member(t, SLICE(",\"version\":\""), r->version, SHORT_MAX);
    put_number(t, SLICE(",\"status\":"), r->status);
    put_number(t, SLICE(",\"sent_bytes\":"), r->sent_bytes);
    put_number(t, SLICE(",\"received_bytes\":"), r->received_bytes);
    put_member(t, SLICE(",\"referer\":\""), r->referer, long_max);
    put_member(t, SLICE(",\"user_agent\":\""), r->user_agent, long_max);
    put_member(t, SLICE(",\"pool\":\""), r->pool, SHORT_MAX);
    put_member(t, SLICE(",\"backend\":\""), r->backend, SHORT_MAX);
    put_number(t, SLICE(",\"attempts\":"), r->attempts);
    for (unsigned i = 0; i < ACCESS_PHASES; i++) {
        if (r->phase_us[i] < 0)
            continue;
        text_lit(t, ",\"");
        text_put(t, phase_names[i]);
        text_lit(t, "\":");
        text_dec(t, (uint64_t)r->phase_us[i]);
    }
    text_lit(t, ",\"end\":\"");
    text_put(t, slice_str(end_names[r->ended_by]));
    text_char(t, '"');
    put_member(t, SLICE(",\"reason\":\""), r->end_reason, SHORT_MAX);
    text_char(t, '}');
}

size_t access_log_put(char *p, size_t n, enum access_format format, const struct access_record *r)
{
    assert(n >= ACCESS_LINE_MIN);
    struct text t = text_of(p, n);
    size_t long_max = (n - REST_MAX) / LONG_FIELDS;
    if (format == ACCESS_JSON)
        put_json(&t, long_max, r);
    else
        put_combined(&t, long_max, r);
    text_char(&t, '\n');
    return text_slice(&t).n;
}
