/* Several requests on one connection to a FastCGI application (FastCGI 3.3): records of different
 * ids come as they please, and go to the lane of their id, which the codec of a single request
 * decodes as if it were alone. What lanes write is whole records, put out lane by lane.
 *
 * An application is asked once whether it can (FastCGI 4.1), on a connection that is at work
 * meanwhile; one that says nothing cannot. A request that is given up is aborted, and its id is
 * used again when the application has ended it. One that claimed to be able to and then says that
 * it cannot (CANT_MPX_CONN) is believed, from then on. SPDX-License-Identifier: MIT */
#include "base/list.h"
#include "codec/fcgi_internal.h"

enum { LANES_MAX = 128 };

/*  FREE   may be given to a request
 *  OPEN   a lane's
 *  LEFT   nobody's; the application has not ended it */
enum slot_state { FREE, OPEN, LEFT };

struct slot {
    enum slot_state state;
    struct mux_lane *lane; /* OPEN */
};

struct mux_conn {
    struct mux_conf conf;
    struct slot slots[LANES_MAX]; /* of ids 1... */
    uint32_t left_count;          /* in state LEFT */
    uint16_t last;                /* the slot given last */
    uint16_t turn;                /* the slot that has written last */
    struct list news;
    struct chain control; /* records of our own, before those of lanes */
    uint16_t id;          /* of the record under way */
    bool is_end;          /* it is END_REQUEST */
    uint32_t content;     /* of it, and padding, that are still to come */
    uint32_t passed;      /* bytes of it that have come */
    bool was_shared;      /* it was given a request when it might have several */
    bool is_single;       /* it cannot have lanes after all: takes no request any more */
    const char *error;
};

static uint32_t known_lanes(const struct mux_conn *m)
{
    uint32_t lanes = atomic_load_explicit(m->conf.memory, memory_order_relaxed);
    return lanes < LANES_MAX ? lanes : LANES_MAX;
}

static void mux_open(void *state, const struct mux_conf *conf, struct buf_pool *bufs)
{
    struct mux_conn *m = state;
    uint32_t unknown = 0;
    m->conf = *conf;
    list_init(&m->news);
    chain_init(&m->control, bufs, SIZE_MAX);
    if (atomic_compare_exchange_strong(conf->memory, &unknown, 1)) /* until it says more */
        fcgi_put_get_values(&m->control);
}

static void mux_close(void *state)
{
    struct mux_conn *m = state;
    chain_clear(&m->control);
}

/* Ids take turns, so that what comes late is seen to. A carrier has no more lanes than slots. */
static uint16_t take_slot(struct mux_conn *m)
{
    for (uint16_t i = 1; i <= LANES_MAX; i++) {
        uint16_t n = (uint16_t)((m->last + i) % LANES_MAX);
        if (m->slots[n].state == FREE)
            return m->last = n;
    }
    return LANES_MAX;
}

static void mux_join(void *state, struct mux_lane *lane)
{
    struct mux_conn *m = state;
    uint16_t n = take_slot(m);
    if (n == LANES_MAX) { /* its records would be nobody's: the connection ends */
        m->error = "no request id is free";
        return;
    }
    m->slots[n] = (struct slot){OPEN, lane};
    m->was_shared |= known_lanes(m) > 1;
    fcgi_set_lane(lane->state, (uint16_t)(n + 1));
}

static struct slot *slot_of(struct mux_conn *m, const struct mux_lane *lane)
{
    for (uint16_t n = 0; n < LANES_MAX; n++)
        if (m->slots[n].state == OPEN && m->slots[n].lane == lane)
            return &m->slots[n];
    return NULL;
}

static void mux_leave(void *state, struct mux_lane *lane)
{
    struct mux_conn *m = state;
    struct slot *s = slot_of(m, lane);
    if (!s)
        return; /* it has ended */
    s->lane = NULL;
    s->state = lane->is_begun ? LEFT : FREE;
    if (s->state == FREE)
        return;
    m->left_count++;
    fcgi_copy_header(&m->control, ABORT_REQUEST, (uint16_t)(s - m->slots + 1), 0);
}

/* ---- in ---- */

static void add_news(struct mux_conn *m, struct mux_lane *lane)
{
    if (!list_is_linked(&lane->news_node))
        list_append(&m->news, &lane->news_node);
}

/* False: more has to come, or the record is none. */
static bool read_values(struct mux_conn *m, struct slice *in)
{
    struct fcgi_values values;
    struct fault f;
    switch (fcgi_read_values(in, &values, &f)) {
    case PARSE_MORE: return false;
    case PARSE_BAD: m->error = f.what; return false;
    case PARSE_DONE: break;
    }
    if (values.multiplexes)
        atomic_store(m->conf.memory, values.max_requests ? values.max_requests : LANES_MAX);
    return true;
}

static struct slot *slot_at(struct mux_conn *m, uint16_t id)
{
    return id >= 1 && id <= LANES_MAX && m->slots[id - 1].state != FREE ? &m->slots[id - 1] : NULL;
}

/* Nobody has an answer before it has a question; its lane could leave it behind. */
static bool is_asked(const struct slot *s)
{
    return s && (!s->lane || s->lane->is_begun);
}

/* A record begins; its header goes to the lane, too. */
static bool open_record(struct mux_conn *m, struct slice in)
{
    const unsigned char *u = (const unsigned char *)in.p;
    m->id = (uint16_t)(u[2] << 8 | u[3]);
    m->is_end = u[1] == END_REQUEST;
    m->passed = 0;
    m->content = FCGI_HEADER_BYTES + ((uint32_t)u[4] << 8 | u[5]) + u[6];
    if (u[0] != FCGI_VERSION)
        m->error = "record of an unknown version";
    else if (!is_asked(slot_at(m, m->id)))
        m->error = "record of a request that is not ours";
    return !m->error;
}

/* FastCGI 5.5. Of a connection that never had more than one lane it is a refusal like others. */
static void look_at_end(struct mux_conn *m, struct slice part)
{
    enum { AT = FCGI_HEADER_BYTES + FCGI_STATUS_AT };
    bool is_here = m->is_end && m->passed <= AT && AT < m->passed + part.n;
    if (!is_here || part.p[AT - m->passed] != CANT_MPX_CONN || !m->was_shared)
        return;
    m->is_single = true;
    atomic_store(m->conf.memory, 1);
}

static void end_record(struct mux_conn *m, struct slot *s)
{
    if (!m->is_end)
        return;
    m->left_count -= s->state == LEFT;
    *s = (struct slot){FREE, NULL};
}

/* Part of the record under way. False: its lane has no room. */
static bool pass(struct mux_conn *m, struct slice *in, struct buf *hold)
{
    struct slot *s = slot_at(m, m->id);
    struct slice part = slice_first(*in, m->content);
    if (s->lane && !chain_room(&s->lane->in))
        return false;
    if (s->lane) {
        chain_put(&s->lane->in, hold, part);
        add_news(m, s->lane);
    }
    look_at_end(m, part);
    *in = slice_skip(*in, part.n);
    m->content -= (uint32_t)part.n;
    m->passed += (uint32_t)part.n;
    if (!m->content)
        end_record(m, s);
    return true;
}

static bool is_management(struct slice in)
{
    return in.p[2] == 0 && in.p[3] == 0;
}

static void mux_feed(void *state, struct slice *in, struct buf *hold)
{
    struct mux_conn *m = state;
    while (in->n && !m->error) {
        if (!m->content) {
            if (in->n < FCGI_HEADER_BYTES)
                return;
            if (is_management(*in)) {
                if (!read_values(m, in))
                    return;
                continue;
            }
            if (!open_record(m, *in))
                return;
        }
        if (!pass(m, in, hold))
            return;
    }
}

static struct mux_lane *mux_next(void *state)
{
    struct mux_conn *m = state;
    struct list *node = list_shift(&m->news);
    return node ? container_of(node, struct mux_lane, news_node) : NULL;
}

/* ---- out ---- */

/* All that a lane has, for it is whole records. */
static void emit_lane(struct mux_conn *m, struct mux_lane *lane, struct chain *out)
{
    size_t n = chain_move(out, &lane->out, SIZE_MAX);
    lane->sent_bytes += n;
    lane->is_begun |= n > 0;
    if (n)
        add_news(m, lane);
}

static void mux_emit(void *state, struct chain *out)
{
    struct mux_conn *m = state;
    chain_move(out, &m->control, SIZE_MAX);
    for (uint16_t i = 1; i <= LANES_MAX && chain_room(out); i++) {
        uint16_t n = (uint16_t)((m->turn + i) % LANES_MAX);
        struct mux_lane *lane = m->slots[n].lane;
        if (!lane || chain_is_empty(&lane->out))
            continue;
        emit_lane(m, lane, out);
        m->turn = n;
    }
}

/* ---- the connection ---- */

static uint32_t mux_lanes(const void *state)
{
    const struct mux_conn *m = state;
    uint32_t known = known_lanes(m);
    return m->error || m->is_single || known <= m->left_count ? 0 : known - m->left_count;
}

static bool mux_is_over(const void *state)
{
    const struct mux_conn *m = state;
    return m->error;
}

static const char *mux_error(const void *state)
{
    const struct mux_conn *m = state;
    return m->error;
}

const struct mux fcgi_mux = {
    .state_bytes = sizeof(struct mux_conn),
    .is_optional = true,
    .open = mux_open,
    .close = mux_close,
    .join = mux_join,
    .leave = mux_leave,
    .feed = mux_feed,
    .next = mux_next,
    .emit = mux_emit,
    .lanes = mux_lanes,
    .is_over = mux_is_over,
    .error = mux_error,
};
