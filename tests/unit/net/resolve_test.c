/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/resolve.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- a name server that follows a script, on UDP and TCP, in a thread of its own ---- */

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, TYPE_SRV = 33 };
enum { FLAGS_OK = 0x8580, NXDOMAIN = 3, SERVFAIL = 2, REFUSED = 5, TRUNCATED = 0x0200 };
enum behaviour { ANSWER, SILENT, REFUSE, FAIL, FAIL_SIX, GARBAGE, ONLY_TCP };

static const struct row {
    const char *name;
    int type;         /* 0: none, the row is about behaviour or a name without addresses */
    const char *data; /* address, or target of the alias */
    uint32_t ttl;
    enum behaviour behaviour;
} script[] = {
    {"one.test", TYPE_A, "192.0.2.1", 300, ANSWER},
    {"many.test", TYPE_A, "192.0.2.1", 60, ANSWER},
    {"many.test", TYPE_A, "192.0.2.2", 30, ANSWER},
    {"many.test", TYPE_A, "192.0.2.1", 90, ANSWER},
    {"many.test", TYPE_AAAA, "2001:db8::1", 45, ANSWER},
    {"half.test", TYPE_A, "192.0.2.7", 30, FAIL_SIX},
    {"_half._tcp.test", TYPE_SRV, "1 1 80 half.test", 90, ANSWER},
    {"alias.test", TYPE_CNAME, "one.test", 10, ANSWER},
    {"six.test", TYPE_AAAA, "2001:db8::6", 77, ANSWER},
    {"_a._tcp.test", TYPE_SRV, "10 60 8080 one.test", 40, ANSWER},
    {"_a._tcp.test", TYPE_SRV, "10 40 8081 six.test", 20, ANSWER},
    {"_a._tcp.test", TYPE_SRV, "20 0 80 missing.test", 90, ANSWER},
    {"_none._tcp.test", TYPE_SRV, "0 0 0 .", 90, ANSWER},
    {"_broken._tcp.test", TYPE_SRV, "1 1 80 one.test", 90, ANSWER},
    {"_broken._tcp.test", TYPE_SRV, "1 1 80 failed.test", 90, ANSWER},
    {"_slow._tcp.test", TYPE_SRV, "1 1 80 silent.test", 90, ANSWER},
    {"_short._tcp.test", TYPE_SRV, "cut", 90, ANSWER},
    {"empty.test", 0, NULL, 0, ANSWER},
    {"silent.test", 0, NULL, 0, SILENT},
    {"refused.test", 0, NULL, 0, REFUSE},
    {"failed.test", 0, NULL, 0, FAIL},
    {"garbage.test", 0, NULL, 0, GARBAGE},
    {"big.test", TYPE_A, "192.0.2.200", 5, ONLY_TCP},
};
enum { ROWS = sizeof(script) / sizeof(script[0]) };

struct message {
    uint8_t p[4096];
    size_t n;
};

static struct {
    int udp, tcp, stop[2];
    char address[32];
    pthread_t thread;
} server;

static void put(struct message *m, const void *p, size_t n)
{
    memcpy(m->p + m->n, p, n);
    m->n += n;
}

static void put16(struct message *m, uint32_t v)
{
    put(m, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void put_name(struct message *m, const char *name)
{
    while (*name) {
        size_t n = strcspn(name, ".");
        put(m, &(uint8_t){(uint8_t)n}, 1);
        put(m, name, n);
        name += n + (name[n] == '.');
    }
    put(m, "", 1);
}

static void put_service(struct message *m, const char *text)
{
    unsigned priority, weight, port;
    char target[64] = "";
    if (sscanf(text, "%u %u %u %63s", &priority, &weight, &port, target) != 4) {
        put(m, "\0\1\0", 3); /* less than there must be */
        return;
    }
    put16(m, priority);
    put16(m, weight);
    put16(m, port);
    put_name(m, strcmp(target, ".") == 0 ? "" : target);
}

static void put_record(struct message *m, const char *owner, const struct row *r)
{
    struct message data = {.n = 0};
    if (r->type == TYPE_CNAME) {
        put_name(&data, r->data);
    } else if (r->type == TYPE_SRV) {
        put_service(&data, r->data);
    } else {
        assert_int_equal(inet_pton(r->type == TYPE_A ? AF_INET : AF_INET6, r->data, data.p), 1);
        data.n = r->type == TYPE_A ? 4 : 16;
    }
    put_name(m, owner);
    put16(m, (uint32_t)r->type);
    put16(m, 1);
    put16(m, r->ttl >> 16);
    put16(m, r->ttl);
    put16(m, (uint32_t)data.n);
    put(m, data.p, data.n);
}

/* The question's name in dots; answers where its type stands. */
static size_t read_name(const struct message *q, char *name, size_t size)
{
    size_t at = 12, n = 0;
    while (at < q->n && q->p[at]) {
        size_t label = q->p[at];
        assert_true(n + label + 2 < size && at + label < q->n);
        memcpy(name + n, q->p + at + 1, label);
        n += label;
        name[n++] = '.';
        at += label + 1;
    }
    name[n ? n - 1 : 0] = '\0';
    return at + 1;
}

static const struct row *find_row(const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcasecmp(script[i].name, name) == 0)
            return &script[i];
    }
    return NULL;
}

static unsigned put_records(struct message *a, const char *name, int type)
{
    unsigned count = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *r = &script[i];
        if (strcasecmp(r->name, name) != 0)
            continue;
        if (r->type == type || r->type == TYPE_CNAME) {
            put_record(a, name, r);
            count++;
        }
        if (r->type == TYPE_CNAME)
            count += put_records(a, r->data, type);
    }
    return count;
}

/* "n7.test" is 10.0.0.7, and so on: names in numbers. */
static unsigned put_numbered(struct message *a, const char *name, int type)
{
    unsigned n;
    char address[32];
    if (type != TYPE_A || sscanf(name, "n%u.test", &n) != 1)
        return 0;
    snprintf(address, sizeof(address), "10.0.%u.%u", n / 256, n % 256);
    put_record(a, name, &(struct row){.type = TYPE_A, .data = address, .ttl = 9});
    return 1;
}

/* False: no answer is sent. */
static bool reply(const struct message *q, struct message *a, bool by_tcp)
{
    char name[300];
    size_t at = read_name(q, name, sizeof(name));
    int type = q->p[at] << 8 | q->p[at + 1];
    const struct row *row = find_row(name);
    bool numbered = name[0] == 'n';
    uint32_t code = !row && !numbered                 ? NXDOMAIN
                    : row && row->behaviour == REFUSE ? REFUSED
                    : row && row->behaviour == FAIL   ? SERVFAIL
                                                      : 0u;
    if (row && row->behaviour == FAIL_SIX && type == TYPE_AAAA)
        code = SERVFAIL;
    bool cut = row && row->behaviour == ONLY_TCP && !by_tcp;
    if (row && row->behaviour == SILENT)
        return false;
    a->n = 0;
    put(a, q->p, 2);
    if (row && row->behaviour == GARBAGE) {
        put(a, "\x85\x80\0\1\0\7\0\0\0\0\377\377garbage", 19);
        return true;
    }
    put16(a, FLAGS_OK | code | (cut ? TRUNCATED : 0u));
    put16(a, 1);
    put(a, "\0\0\0\0\0\0", 6);
    put(a, q->p + 12, at + 4 - 12);
    if (!cut && !code)
        a->p[7] = (uint8_t)(put_records(a, name, type) + put_numbered(a, name, type));
    return true;
}

static void serve_udp(void)
{
    struct message q, a;
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(server.udp, q.p, sizeof(q.p), 0, (struct sockaddr *)&from, &len);
    if (n < 0)
        return;
    q.n = (size_t)n;
    if (reply(&q, &a, false))
        assert_int_equal(sendto(server.udp, a.p, a.n, 0, (struct sockaddr *)&from, len), a.n);
}

/* Each question has its length in front (RFC 1035 4.2.2); the answer is sent in two parts. */
static void serve_tcp(void)
{
    int fd = accept(server.tcp, NULL, NULL);
    uint8_t length[2];
    struct message q, a;
    while (recv(fd, length, 2, MSG_WAITALL) == 2) {
        q.n = (size_t)(length[0] << 8 | length[1]);
        if (recv(fd, q.p, q.n, MSG_WAITALL) != (ssize_t)q.n)
            break;
        reply(&q, &a, true);
        struct message out = {.n = 0};
        put16(&out, (uint32_t)a.n);
        put(&out, a.p, a.n);
        assert_int_equal(send(fd, out.p, 9, MSG_NOSIGNAL), 9);
        assert_int_equal(send(fd, out.p + 9, out.n - 9, MSG_NOSIGNAL), out.n - 9);
    }
    close(fd);
}

static void *serve(void *ctx)
{
    (void)ctx;
    struct pollfd fds[3] = {{.fd = server.udp, .events = POLLIN},
                            {.fd = server.tcp, .events = POLLIN},
                            {.fd = server.stop[0], .events = POLLIN}};
    while (poll(fds, 3, -1) > 0 && !fds[2].revents) {
        if (fds[0].revents)
            serve_udp();
        if (fds[1].revents)
            serve_tcp();
    }
    return NULL;
}

/* UDP and TCP on one port: the kernel's choice for the first may be taken for the second. */
static int start_server(void **state)
{
    (void)state;
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    for (int tries = 0; tries < 50; tries++) {
        server.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        server.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (bind(server.udp, (struct sockaddr *)&in, len) == 0 &&
            getsockname(server.udp, (struct sockaddr *)&in, &len) == 0 &&
            bind(server.tcp, (struct sockaddr *)&in, len) == 0)
            break;
        close(server.udp);
        close(server.tcp);
    }
    int size = 1 << 20;
    setsockopt(server.udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    snprintf(server.address, sizeof(server.address), "127.0.0.1:%u", ntohs(in.sin_port));
    return listen(server.tcp, 8) || pipe2(server.stop, O_CLOEXEC) ||
           pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    close(server.stop[1]);
    pthread_join(server.thread, NULL);
    close(server.stop[0]);
    close(server.udp);
    close(server.tcp);
    return 0;
}

/* ---- the asking side ---- */

struct asker {
    struct loop loop;
    struct resolver *resolver;
    unsigned waiting;
    unsigned calls;
    enum resolve_status status;
    uint32_t ttl_s;
    unsigned unknown;
    char text[512]; /* all addresses, in order, each with a blank behind it */
};

static void ask_begin_at(struct asker *a, const char *address, uint32_t timeout_ms)
{
    *a = (struct asker){.calls = 0};
    assert_int_equal(loop_init(&a->loop), 0);
    struct resolver_conf conf = {.nameservers = address, .timeout_ms = timeout_ms};
    int error;
    a->resolver = resolver_new(&a->loop, &conf, &error);
    assert_non_null(a->resolver);
}

static void ask_begin(struct asker *a, uint32_t timeout_ms)
{
    ask_begin_at(a, server.address, timeout_ms);
}

static void ask_end(struct asker *a)
{
    if (a->resolver)
        resolver_free(a->resolver);
    loop_drain(&a->loop);
    loop_fini(&a->loop);
}

static resolve_done_fn on_done;

static void on_done(void *ctx, const struct resolve_answer *answer)
{
    struct asker *a = ctx;
    a->calls++;
    a->status = answer->status;
    a->unknown = answer->unknown;
    a->ttl_s = answer->ttl_s;
    struct text t = text_of(a->text, sizeof(a->text) - 1);
    for (unsigned i = 0; i < answer->count; i++) {
        net_addr_put(&t, &answer->addrs[i]);
        if (answer->records) {
            text_char(&t, '/');
            text_dec(&t, answer->records[i].priority);
            text_char(&t, '/');
            text_dec(&t, answer->records[i].weight);
        }
        text_char(&t, ' ');
    }
    *t.p = '\0';
    if (a->waiting && --a->waiting == 0)
        loop_stop(&a->loop);
}

static void ask(struct asker *a, const char *name)
{
    a->waiting = 1;
    a->loop.stopping = false;
    unsigned calls = a->calls;
    resolve_start(a->resolver, slice_str(name), 80, on_done, a);
    assert_int_equal(a->calls, calls); /* never from inside */
    loop_run(&a->loop);
    assert_int_equal(a->calls, calls + 1);
}

static const struct {
    const char *name;
    enum resolve_status status;
    uint32_t ttl_s;
    const char *addresses;
} answers[] = {
    {"one.test", RESOLVE_OK, 300, "192.0.2.1:80 "},
    {"ONE.Test", RESOLVE_OK, 300, "192.0.2.1:80 "},
    {"one.test.", RESOLVE_OK, 300, "192.0.2.1:80 "},
    {"six.test", RESOLVE_OK, 77, "[2001:db8::6]:80 "},
    {"alias.test", RESOLVE_OK, 10, "192.0.2.1:80 "},
    {"big.test", RESOLVE_OK, 5, "192.0.2.200:80 "},
    {"missing.test", RESOLVE_NO_NAME, 0, ""},
    {"empty.test", RESOLVE_NO_NAME, 0, ""},
    {"refused.test", RESOLVE_REFUSED, 0, ""},
    {"failed.test", RESOLVE_REFUSED, 0, ""},
    {"127.0.0.9", RESOLVE_OK, RESOLVE_TTL_NEVER, "127.0.0.9:80 "},
    {"::1", RESOLVE_OK, RESOLVE_TTL_NEVER, "[::1]:80 "},
    {"[2001:db8::2]", RESOLVE_OK, RESOLVE_TTL_NEVER, "[2001:db8::2]:80 "},
    {"::ffff:1.2.3.4", RESOLVE_OK, RESOLVE_TTL_NEVER, "[::ffff:1.2.3.4]:80 "},
    {"", RESOLVE_MALFORMED, 0, ""},
    {"a..b", RESOLVE_MALFORMED, 0, ""},
};

static void test_each_name_gets_its_answer(void **state)
{
    (void)state;
    struct asker a;
    ask_begin(&a, 0);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        ask(&a, answers[i].name);
        if (a.status != answers[i].status || strcmp(a.text, answers[i].addresses) != 0 ||
            a.ttl_s != answers[i].ttl_s)
            fail_msg("\"%s\": %s, ttl %u, %s", answers[i].name, resolve_status_text(a.status),
                     a.ttl_s, a.text);
    }
    ask_end(&a);
}

static void test_a_family_that_fails_is_unknown_and_one_that_is_gone_is_not(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned unknown;
    } expected[] = {{"half.test", RESOLVE_V6}, {"one.test", 0}, {"many.test", 0}, {"::1", 0}};
    struct asker a;
    ask_begin(&a, 0);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        a.waiting = 1;
        a.loop.stopping = false;
        resolve_expect(resolve_start(a.resolver, slice_str(expected[i].name), 80, on_done, &a),
                       RESOLVE_V4 | RESOLVE_V6);
        loop_run(&a.loop);
        assert_int_equal(a.status, RESOLVE_OK);
        assert_int_equal(a.unknown, expected[i].unknown);
    }
    a.waiting = 1;
    a.loop.stopping = false;
    resolve_expect(resolve_start_srv(a.resolver, SLICE("_half._tcp.test"), on_done, &a),
                   RESOLVE_V6);
    loop_run(&a.loop);
    assert_int_equal(a.status, RESOLVE_OK);
    assert_int_equal(a.unknown, RESOLVE_V6);
    ask_end(&a);
}

static void ask_services(struct asker *a, const char *name)
{
    a->waiting = 1;
    a->loop.stopping = false;
    resolve_start_srv(a->resolver, slice_str(name), on_done, a);
    loop_run(&a->loop);
}

static void test_services_are_found_with_their_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum resolve_status status;
        uint32_t ttl_s;
        const char *addresses;
    } services[] = {
        {"_a._tcp.test", RESOLVE_OK, 20, "192.0.2.1:8080/10/60 [2001:db8::6]:8081/10/40 "},
        {"_none._tcp.test", RESOLVE_NO_NAME, 0, ""}, /* RFC 2782: decidedly not there */
        {"_missing._tcp.test", RESOLVE_NO_NAME, 0, ""},
        {"one.test", RESOLVE_NO_NAME, 0, ""},
        {"_broken._tcp.test", RESOLVE_REFUSED, 0, ""}, /* half an answer is none */
        {"_short._tcp.test", RESOLVE_NO_NAME, 0, ""},
        {"", RESOLVE_MALFORMED, 0, ""},
    };
    struct asker a;
    ask_begin(&a, 0);
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        ask_services(&a, services[i].name);
        bool in_order = strcmp(a.text, services[i].addresses) == 0;
        bool turned = i == 0 && strncmp(a.text, "[2001", 5) == 0; /* as the answers come */
        if (a.status != services[i].status || !(in_order || turned) ||
            (a.status == RESOLVE_OK && a.ttl_s != services[i].ttl_s))
            fail_msg("\"%s\": %s, ttl %u, %s", services[i].name, resolve_status_text(a.status),
                     a.ttl_s, a.text);
    }
    ask_end(&a);
}

static void test_a_question_for_services_ends_with_its_hosts(void **state)
{
    (void)state;
    struct asker a;
    ask_begin(&a, 60);
    ask_services(&a, "_slow._tcp.test");
    assert_int_equal(a.status, RESOLVE_TIMEOUT);
    for (int i = 0; i < 3; i++) /* cancelled at every stage, by the resolver's end at the latest */
        resolve_start_srv(a.resolver, SLICE("_slow._tcp.test"), on_done, &a);
    resolve_cancel(resolve_start_srv(a.resolver, SLICE("_a._tcp.test"), on_done, &a));
    ask(&a, "one.test");
    ask_end(&a);
}

static void test_all_addresses_come_once_with_the_smallest_ttl(void **state)
{
    (void)state;
    struct asker a;
    ask_begin(&a, 0);
    ask(&a, "many.test");
    assert_int_equal(a.status, RESOLVE_OK);
    assert_int_equal(a.ttl_s, 30);
    assert_non_null(strstr(a.text, "192.0.2.1:80 "));
    assert_null(strstr(strstr(a.text, "192.0.2.1:80 ") + 1, "192.0.2.1:80 "));
    assert_non_null(strstr(a.text, "192.0.2.2:80 "));
    assert_non_null(strstr(a.text, "[2001:db8::1]:80 "));
    ask_end(&a);
}

static void test_the_hosts_file_counts(void **state)
{
    (void)state;
    struct asker a;
    ask_begin(&a, 0);
    ask(&a, "localhost");
    assert_int_equal(a.status, RESOLVE_OK);
    assert_true(strstr(a.text, "127.0.0.1:80 ") || strstr(a.text, "[::1]:80 "));
    ask_end(&a);
}

static void test_names_that_cannot_be_are_refused_without_asking(void **state)
{
    (void)state;
    struct asker a;
    ask_begin(&a, 0);
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    ask(&a, longest);
    assert_int_equal(a.status, RESOLVE_MALFORMED);
    a.waiting = 1;
    a.loop.stopping = false;
    resolve_start(a.resolver, SLICE("a\0.test"), 80, on_done, &a);
    loop_run(&a.loop);
    assert_int_equal(a.status, RESOLVE_MALFORMED);
    ask_end(&a);
}

static void test_silence_ends_at_the_deadline(void **state)
{
    (void)state;
    struct asker a;
    ask_begin(&a, 60);
    uint64_t start = loop_clock_us();
    ask(&a, "silent.test");
    uint64_t took_ms = (loop_clock_us() - start) / 1000;
    assert_int_equal(a.status, RESOLVE_TIMEOUT);
    assert_true(took_ms >= 50 && took_ms < 900);
    ask(&a, "one.test"); /* the resolver is not the worse for it */
    assert_int_equal(a.status, RESOLVE_OK);
    ask_end(&a); /* the question is still open inside c-ares */
}

static void test_garbage_is_no_answer(void **state)
{
    (void)state;
    struct asker a;
    ask_begin(&a, 100);
    ask(&a, "garbage.test");
    assert_true(a.status == RESOLVE_MALFORMED || a.status == RESOLVE_TIMEOUT);
    assert_string_equal(a.text, "");
    ask_end(&a);
}

struct numbered {
    struct asker *asker;
    unsigned n;
};

static resolve_done_fn on_numbered;

static void on_numbered(void *ctx, const struct resolve_answer *answer)
{
    const struct numbered *q = ctx;
    on_done(q->asker, answer);
    char expected[32];
    snprintf(expected, sizeof(expected), "10.0.%u.%u:80 ", q->n / 256, q->n % 256);
    assert_string_equal(q->asker->text, expected);
}

static void test_many_questions_at_once(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static struct numbered questions[COUNT];
    struct asker a;
    ask_begin(&a, 0);
    a.waiting = COUNT;
    for (unsigned i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%u.test", i);
        questions[i] = (struct numbered){&a, i};
        resolve_start(a.resolver, slice_str(name), 80, on_numbered, &questions[i]);
    }
    loop_run(&a.loop);
    assert_int_equal(a.calls, COUNT);
    ask_end(&a);
}

static void test_a_cancelled_question_is_not_answered(void **state)
{
    (void)state;
    struct asker a;
    ask_begin(&a, 0);
    resolve_cancel(resolve_start(a.resolver, SLICE("one.test"), 80, on_done, &a));
    resolve_cancel(resolve_start(a.resolver, SLICE("127.0.0.1"), 80, on_done, &a));
    resolve_cancel(resolve_start(a.resolver, SLICE("silent.test"), 80, on_done, &a));
    ask(&a, "many.test");
    assert_int_equal(a.calls, 1);
    ask_end(&a);
}

static resolve_done_fn free_resolver;

static void free_resolver(void *ctx, const struct resolve_answer *answer)
{
    struct asker *a = ctx;
    resolver_free(a->resolver);
    a->resolver = NULL;
    on_done(a, answer);
}

static void test_the_resolver_may_go_at_any_time(void **state)
{
    (void)state;
    static const char *const names[] = {"127.0.0.1", "one.test", "silent.test"};
    struct asker a;
    for (int i = 0; i < 3; i++) { /* from its own answer, others being open */
        ask_begin(&a, 40);
        resolve_start(a.resolver, SLICE("silent.test"), 80, on_done, &a);
        a.waiting = 1;
        resolve_start(a.resolver, slice_str(names[i]), 80, i == 2 ? on_done : free_resolver, &a);
        if (i == 2) /* or with all of them open */
            loop_stop(&a.loop);
        loop_run(&a.loop);
        assert_int_equal(a.calls, i == 2 ? 0 : 1);
        ask_end(&a);
    }
}

struct goer {
    struct watch watch;
    struct asker asker;
};

static void on_go(struct watch *w, uint32_t events)
{
    struct goer *g = container_of(w, struct goer, watch);
    (void)events;
    resolver_free(g->asker.resolver);
    g->asker.resolver = NULL;
    loop_close(&g->asker.loop, w);
    loop_stop(&g->asker.loop);
}

/* Nobody listens at the name server's port, so that the kernel's refusal is there at once. */
static void test_the_resolver_may_go_when_news_for_it_come_in_the_same_turn(void **state)
{
    (void)state;
    struct goer g = {.watch.on_event = on_go};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    char address[32];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    close(fd);
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(in.sin_port));
    ask_begin_at(&g.asker, address, 0);
    g.watch.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(loop_watch(&g.asker.loop, &g.watch, EPOLLIN), 0);
    resolve_start_srv(g.asker.resolver, SLICE("_a._tcp.test"), on_done, &g.asker);
    loop_run(&g.asker.loop);
    assert_int_equal(g.asker.calls, 0);
    ask_end(&g.asker);
}

static void test_bad_name_servers_are_told_at_once(void **state)
{
    (void)state;
    struct loop loop;
    assert_int_equal(loop_init(&loop), 0);
    int error = 0;
    assert_null(resolver_new(&loop, &(struct resolver_conf){.nameservers = "nonsense"}, &error));
    assert_true(error < 0);
    loop_fini(&loop);
}

static void test_blocking_needs_no_loop(void **state)
{
    (void)state;
    struct asker a = {.calls = 0};
    struct resolver_conf conf = {.nameservers = server.address, .timeout_ms = 2000};
    struct resolve_question q = {.name = SLICE("one.test"), .port = 80, .done = on_done, .ctx = &a};
    resolve_blocking(&conf, &q, 1);
    assert_string_equal(a.text, "192.0.2.1:80 ");
    q.name = SLICE("192.0.2.77");
    q.port = 8080;
    resolve_blocking(&conf, &q, 1);
    assert_string_equal(a.text, "192.0.2.77:8080 ");
    q.name = SLICE("missing.test");
    resolve_blocking(&conf, &q, 1);
    assert_int_equal(a.status, RESOLVE_NO_NAME);
    resolve_blocking(&conf, NULL, 0);
    assert_int_equal(a.calls, 3);
}

static void test_many_that_have_no_answer_are_waited_for_no_longer_than_one(void **state)
{
    (void)state;
    enum { COUNT = 50, TIMEOUT_MS = 200 };
    struct asker a[COUNT] = {{.calls = 0}};
    struct resolve_question all[COUNT];
    struct resolver_conf conf = {.nameservers = server.address, .timeout_ms = TIMEOUT_MS};
    for (int i = 0; i < COUNT; i++)
        all[i] = (struct resolve_question){
            .name = SLICE("silent.test"), .port = 80, .done = on_done, .ctx = &a[i]};
    uint64_t begin_us = loop_clock_us();
    resolve_blocking(&conf, all, COUNT);
    assert_in_range(loop_clock_us() - begin_us, TIMEOUT_MS * 1000, COUNT / 2 * TIMEOUT_MS * 1000);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].status, RESOLVE_TIMEOUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_name_gets_its_answer),
        cmocka_unit_test(test_a_family_that_fails_is_unknown_and_one_that_is_gone_is_not),
        cmocka_unit_test(test_all_addresses_come_once_with_the_smallest_ttl),
        cmocka_unit_test(test_services_are_found_with_their_hosts),
        cmocka_unit_test(test_a_question_for_services_ends_with_its_hosts),
        cmocka_unit_test(test_the_hosts_file_counts),
        cmocka_unit_test(test_names_that_cannot_be_are_refused_without_asking),
        cmocka_unit_test(test_silence_ends_at_the_deadline),
        cmocka_unit_test(test_garbage_is_no_answer),
        cmocka_unit_test(test_many_questions_at_once),
        cmocka_unit_test(test_a_cancelled_question_is_not_answered),
        cmocka_unit_test(test_the_resolver_may_go_at_any_time),
        cmocka_unit_test(test_the_resolver_may_go_when_news_for_it_come_in_the_same_turn),
        cmocka_unit_test(test_bad_name_servers_are_told_at_once),
        cmocka_unit_test(test_blocking_needs_no_loop),
        cmocka_unit_test(test_many_that_have_no_answer_are_waited_for_no_longer_than_one),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
