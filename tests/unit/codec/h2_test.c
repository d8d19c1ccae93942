/* Sessions of one worker: what they share must not show.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/h2.h"

enum { STREAMS = 3, LONG_FIELD = 40000, BODY_BYTES = 60000, OUT_MAX = 1 << 20 };

static void fill(unsigned char *p, size_t n)
{
    memset(p, 7, n);
}

static const struct h2_conf conf = {
    .streams = STREAMS,
    .window = 65536,
    .limits = {.head_bytes = 4096, .target_bytes = 1024, .fields = 32},
    .abuse = {50, 50, 50, 500, 50, 50, 8, 8, 65536, 1000},
    .random = fill,
};

#define GET(stream)                                                                                \
    "\0\0\6\1\5\0\0\0" stream "\x82\x86\x84\x41\1t" /* RFC 7541: GET, http, /, authority t */

/* The last two open the windows. */
static const char asked[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                            "\0\0\6\4\0\0\0\0\0\0\4\0\x0f\0\0"
                            "\0\0\4\x8\0\0\0\0\0\0\x0f\0\0" GET("\1") GET("\3") GET("\5");

/* A client's connection, of which all responses are made of one byte. */
struct side {
    struct h2 *session;
    struct chain out, bodies[STREAMS];
    struct arena arenas[STREAMS];
    struct h2_stream *streams[STREAMS];
    struct response_head head;
    size_t n;
    char sent[OUT_MAX];
};

static void answer(struct side *s, unsigned i, struct buf_pool *bufs, char mark)
{
    struct h2_stream *stream = s->streams[i];
    s->arenas[i] = stream->own;
    stream->arena = &s->arenas[i];
    stream->owner = s;
    char *text = arena_alloc(&s->arenas[i], LONG_FIELD);
    memset(text, mark, LONG_FIELD);
    s->head = (struct response_head){.status = 200, .minor = 1};
    struct field *f = fields_add(&s->head.fields, &s->arenas[i], FIELD_OTHER, SLICE("x-long"),
                                 slice_of(text, LONG_FIELD));
    assert_non_null(f);
    chain_init(&s->bodies[i], bufs, BODY_BYTES);
    for (size_t left = BODY_BYTES; left; left -= LONG_FIELD / 2)
        chain_copy(&s->bodies[i], slice_of(text, LONG_FIELD / 2));
    stream->complete = true;
    h2_put_response(stream, &s->head, SLICE_NONE, &s->bodies[i], true);
}

static struct side *side_new(struct buf_pool *bufs, char mark)
{
    struct side *s = mem_zalloc(sizeof(*s));
    unsigned news, count = 0;
    s->session = h2_new(&conf, bufs);
    chain_init(&s->out, bufs, 1); /* room for one frame more, or none */
    h2_feed(s->session, slice_of(asked, sizeof(asked) - 1), NULL, 1);
    for (struct h2_stream *stream; (stream = h2_next(s->session, &news));)
        s->streams[count++] = stream;
    assert_int_equal(count, STREAMS);
    for (unsigned i = 0; i < STREAMS; i++)
        answer(s, i, bufs, mark);
    return s;
}

/* One frame, or one piece of a head. False: there is nothing more. */
static bool emit(struct side *s)
{
    h2_emit(s->session, &s->out, NULL);
    size_t n = s->out.bytes;
    chain_each (l, &s->out) {
        assert_true(s->n + l->n <= OUT_MAX);
        memcpy(s->sent + s->n, l->p, l->n);
        s->n += l->n;
    }
    chain_clear(&s->out);
    return n > 0;
}

static void side_free(struct side *s)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        h2_release(s->streams[i], H2_DONE, 1);
        chain_clear(&s->bodies[i]);
        arena_fini(&s->arenas[i]);
    }
    h2_free(s->session);
    free(s);
}

static void test_frames_of_sessions_that_take_turns_are_those_of_one_alone(void **state)
{
    (void)state;
    struct buf_pool bufs;
    buf_pool_init(&bufs, 1 << 20);
    struct side *alone[2], *other[2];
    for (int i = 0; i < 2; i++) {
        alone[i] = side_new(&bufs, (char)('a' + i));
        while (emit(alone[i]))
            ;
        assert_true(alone[i]->n > STREAMS * (LONG_FIELD / 2 + BODY_BYTES));
    }
    for (int i = 0; i < 2; i++)
        other[i] = side_new(&bufs, (char)('a' + i));
    for (bool more = true; more;) {
        more = emit(other[0]);
        more = emit(other[1]) || more;
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(other[i]->n, alone[i]->n);
        assert_memory_equal(other[i]->sent, alone[i]->sent, alone[i]->n);
        side_free(alone[i]);
        side_free(other[i]);
    }
    buf_pool_fini(&bufs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_of_sessions_that_take_turns_are_those_of_one_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
