/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { CLIENTS_MAX = 512 };

struct side {
    struct loop loop;
    struct listener listener;
    struct timer limit;
    int accepted[CLIENTS_MAX];
    unsigned count, wanted;
    struct net_addr peer;
    unsigned pause_after; /* 0: never */
    bool stop_at_first;
};

static listener_accept_fn on_accept;

static void on_accept(void *ctx, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct side *s = ctx;
    assert_true(s->count < CLIENTS_MAX);
    s->accepted[s->count++] = fd;
    net_addr_set(&s->peer, addr, len);
    if (s->count == s->pause_after)
        listener_pause(&s->listener);
    if (s->stop_at_first)
        listener_stop(&s->listener);
    if (s->count == s->wanted)
        loop_stop(&s->loop);
}

static void on_limit(struct timer *t)
{
    loop_stop(&container_of(t, struct side, limit)->loop);
}

static void side_begin(struct side *s, int fd)
{
    *s = (struct side){.count = 0};
    assert_int_equal(loop_init(&s->loop), 0);
    timer_init(&s->limit, on_limit);
    assert_int_equal(listener_start(&s->listener, &s->loop, fd, on_accept, s), 0);
}

static void run(struct side *s, unsigned wanted, uint32_t limit_ms)
{
    s->wanted = wanted;
    s->loop.stopping = false;
    s->loop.now_ms = loop_clock_us() / 1000;
    timer_set(&s->loop, &s->limit, limit_ms);
    loop_run(&s->loop);
    timer_fini(&s->loop, &s->limit);
}

static void side_end(struct side *s)
{
    listener_stop(&s->listener);
    listener_stop(&s->listener); /* harmless */
    assert_int_equal(s->listener.state, LISTENER_CLOSED);
    for (unsigned i = 0; i < s->count; i++)
        close(s->accepted[i]);
    loop_fini(&s->loop);
}

static struct listener_conf loopback(unsigned count)
{
    struct listener_conf conf = {.count = count};
    assert_true(net_addr_literal(SLICE("127.0.0.1"), 0, &conf.addr));
    return conf;
}

static int open_one(struct net_addr *bound)
{
    struct listener_conf conf = loopback(1);
    int fd = -1;
    assert_int_equal(listener_open(&conf, &fd), 0);
    assert_int_equal(listener_addr(fd, bound), 0);
    return fd;
}

static int dial(const struct net_addr *a)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, &a->sa, a->len) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static unsigned open_files(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 2048; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_a_group_shares_one_port(void **state)
{
    (void)state;
    enum { COUNT = 4, CLIENTS = 64 };
    struct listener_conf conf = loopback(COUNT);
    int fds[COUNT];
    struct side sides[COUNT];
    struct net_addr first, other;
    assert_int_equal(listener_open(&conf, fds), 0);
    assert_int_equal(listener_addr(fds[0], &first), 0);
    assert_true(net_addr_port(&first) != 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(listener_addr(fds[i], &other), 0);
        assert_true(net_addr_eq(&first, &other));
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        side_begin(&sides[i], fds[i]);
    }
    int clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        assert_true((clients[i] = dial(&first)) >= 0);
    unsigned all = 0, used = 0;
    for (int i = 0; i < COUNT; i++) {
        run(&sides[i], CLIENTS, 20);
        all += sides[i].count;
        used += sides[i].count > 0;
        side_end(&sides[i]);
    }
    assert_int_equal(all, CLIENTS);
    assert_true(used > 1); /* the kernel spreads them by hash: all 64 on one is 1 in 4^63 */
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
}

static void test_accepted_sockets_are_ready_to_use(void **state)
{
    (void)state;
    struct net_addr a;
    struct side s;
    side_begin(&s, open_one(&a));
    int client = dial(&a);
    run(&s, 1, 2000);
    assert_int_equal(s.count, 1);
    assert_true(fcntl(s.accepted[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(s.accepted[0], F_GETFL) & O_NONBLOCK);
    int on = 0;
    socklen_t len = sizeof(on);
    assert_int_equal(getsockopt(s.accepted[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_true(on);
    struct net_addr local;
    assert_int_equal(listener_addr(client, &local), 0);
    assert_true(net_addr_eq(&local, &s.peer));
    close(client);
    side_end(&s);
}

static void test_the_address_is_printable(void **state)
{
    (void)state;
    struct net_addr a;
    struct side s;
    side_begin(&s, open_one(&a));
    char out[NET_ADDR_TEXT_MAX], expected[64];
    struct text t = text_of(out, sizeof(out));
    listener_put_addr(&s.listener, &t);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u", net_addr_port(&a));
    assert_true(slice_eq(text_slice(&t), slice_str(expected)));
    side_end(&s);
}

/* SO_REUSEPORT would let a second gateway take half of the connections of the first. */
static void test_a_port_in_use_is_refused_even_if_shareable(void **state)
{
    (void)state;
    struct net_addr a;
    int fd = open_one(&a);
    unsigned before = open_files();
    struct listener_conf conf = {.addr = a, .count = 3};
    int fds[3];
    assert_int_equal(listener_open(&conf, fds), -EADDRINUSE);
    assert_int_equal(open_files(), before);
    close(fd);
    assert_int_equal(listener_open(&conf, fds), 0);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

/* Connections in TIME_WAIT must not keep a restarted gateway from its port. */
static void test_a_port_can_be_taken_again_after_use(void **state)
{
    (void)state;
    struct net_addr a;
    struct side s;
    side_begin(&s, open_one(&a));
    int client = dial(&a);
    run(&s, 1, 2000);
    side_end(&s); /* closes first: TIME_WAIT is on our side */
    close(client);
    struct listener_conf conf = {.addr = a, .count = 2};
    int fds[2];
    assert_int_equal(listener_open(&conf, fds), 0);
    close(fds[0]);
    close(fds[1]);
}

static void test_all_addresses_means_both_families(void **state)
{
    (void)state;
    struct listener_conf conf = {.count = 2};
    assert_true(net_addr_literal(SLICE("::"), 0, &conf.addr));
    int fds[2];
    struct net_addr bound, v4;
    assert_int_equal(listener_open(&conf, fds), 0);
    assert_int_equal(listener_addr(fds[0], &bound), 0);
    assert_true(net_addr_literal(SLICE("127.0.0.1"), net_addr_port(&bound), &v4));
    close(fds[1]);
    struct side s;
    side_begin(&s, fds[0]);
    int client = dial(&v4);
    assert_true(client >= 0);
    run(&s, 1, 2000);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.peer.sa.sa_family, AF_INET); /* not ::ffff:127.0.0.1 */
    close(client);
    side_end(&s);
}

static void test_a_crowd_is_taken_in_portions(void **state)
{
    (void)state;
    enum { CLIENTS = 300 };
    struct net_addr a;
    struct side s;
    side_begin(&s, open_one(&a));
    int clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        assert_true((clients[i] = dial(&a)) >= 0);
    unsigned batch = 0, before = 0;
    while (s.count < CLIENTS) {
        run(&s, 0, 0); /* one turn */
        batch = s.count - before > batch ? s.count - before : batch;
        assert_true(s.count > before);
        before = s.count;
    }
    assert_true(batch <= LISTENER_TURN_MAX);
    assert_true(batch > 1); /* more, unless the turn is long */
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    side_end(&s);
}

static void test_a_paused_listener_leaves_them_in_the_queue(void **state)
{
    (void)state;
    struct net_addr a;
    struct side s;
    side_begin(&s, open_one(&a));
    int clients[8];
    for (int i = 0; i < 8; i++)
        assert_true((clients[i] = dial(&a)) >= 0);
    s.pause_after = 3;
    run(&s, 8, 30);
    assert_int_equal(s.count, 3);
    listener_pause(&s.listener);
    s.pause_after = 0;
    listener_resume(&s.listener);
    listener_resume(&s.listener);
    run(&s, 8, 2000);
    assert_int_equal(s.count, 8);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    side_end(&s);
}

static void test_stopping_takes_what_is_connected_already(void **state)
{
    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        struct net_addr a;
        struct side s;
        side_begin(&s, open_one(&a));
        if (paused)
            listener_pause(&s.listener);
        int clients[5];
        for (int i = 0; i < 5; i++)
            assert_true((clients[i] = dial(&a)) >= 0);
        listener_stop(&s.listener);
        assert_int_equal(s.count, 5);
        assert_int_equal(dial(&a), -ECONNREFUSED);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(send(s.accepted[i], "x", 1, MSG_NOSIGNAL), 1);
            close(clients[i]);
        }
        side_end(&s);
    }
}

static void test_closing_leaves_what_is_connected_to_who_has_the_socket_too(void **state)
{
    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        struct net_addr a;
        struct side s;
        int fd = open_one(&a), other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        side_begin(&s, fd);
        if (paused)
            listener_pause(&s.listener);
        int client = dial(&a);
        assert_true(client >= 0);
        listener_close(&s.listener);
        listener_close(&s.listener); /* harmless */
        assert_int_equal(s.count, 0);
        int accepted = accept(other, NULL, NULL);
        assert_true(accepted >= 0);
        close(accepted);
        close(client);
        close(other);
        side_end(&s);
    }
}

static void test_it_may_be_stopped_from_its_own_callback(void **state)
{
    (void)state;
    struct net_addr a;
    struct side s;
    side_begin(&s, open_one(&a));
    s.stop_at_first = true;
    int clients[5];
    for (int i = 0; i < 5; i++)
        assert_true((clients[i] = dial(&a)) >= 0);
    run(&s, 5, 2000);
    assert_int_equal(s.count, 5);
    assert_int_equal(s.listener.state, LISTENER_CLOSED);
    for (int i = 0; i < 5; i++)
        close(clients[i]);
    side_end(&s);
}

static int error_lines;

static log_write_fn count_line;
static log_clock_fn no_time;

static void count_line(void *ctx, enum log_level level, struct slice line)
{
    (void)ctx;
    (void)line;
    error_lines += level == LEVEL_ERROR;
}

static int64_t no_time(void)
{
    return 0;
}

static double cpu_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* accept(2): EMFILE leaves the connection in the queue, so that epoll reports it again at once. */
static void test_without_descriptors_it_rests_and_goes_on(void **state)
{
    (void)state;
    static const struct log_sink sink = {.write = count_line, .wall_us = no_time};
    struct net_addr a;
    struct side s;
    side_begin(&s, open_one(&a));
    int client = dial(&a);
    struct rlimit old, low;
    getrlimit(RLIMIT_NOFILE, &old);
    low = (struct rlimit){.rlim_cur = (rlim_t)client + 1, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    error_lines = 0;
    log_set_sink(&sink);
    double before = cpu_ms();
    run(&s, 1, LISTENER_REST_MS * 2 + 50);
    double used = cpu_ms() - before;
    log_set_sink(NULL);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(s.count, 0);
    assert_int_equal(s.listener.state, LISTENER_RESTING);
    assert_int_equal(error_lines, 1);
    assert_true(used < 60);
    run(&s, 1, 2000);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.listener.state, LISTENER_ACCEPTING);
    close(client);
    side_end(&s);
}

static void unix_conf(struct listener_conf *conf, const char *path, unsigned count)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    *conf = (struct listener_conf){.count = count};
    net_addr_set(&conf->addr, (const struct sockaddr *)&un, sizeof(un));
}

static char *temp_path(char *path, size_t n)
{
    char dir[] = "/tmp/listener-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    snprintf(path, n, "%s/s.sock", dir);
    return path;
}

static void remove_temp(const char *path)
{
    char dir[128];
    snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

static void test_a_unix_socket_is_shared_by_duplicates(void **state)
{
    (void)state;
    char path[108];
    struct listener_conf conf;
    unix_conf(&conf, temp_path(path, sizeof(path)), 2);
    conf.mode = 0622;
    int fds[2];
    assert_int_equal(listener_open(&conf, fds), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0622);
    struct side one, two;
    side_begin(&one, fds[0]);
    side_begin(&two, fds[1]);
    int clients[4];
    for (int i = 0; i < 2; i++)
        assert_true((clients[i] = dial(&conf.addr)) >= 0);
    run(&one, 2, 2000);
    assert_int_equal(one.count, 2);
    listener_stop(&one.listener); /* the other one goes on */
    for (int i = 2; i < 4; i++)
        assert_true((clients[i] = dial(&conf.addr)) >= 0);
    run(&one, 0, 5); /* events of the shared socket do not come here any more */
    run(&two, 2, 2000);
    assert_int_equal(two.count, 2);
    char out[NET_ADDR_TEXT_MAX];
    struct text t = text_of(out, sizeof(out));
    listener_put_addr(&two.listener, &t);
    assert_true(slice_starts(text_slice(&t), SLICE("unix:/tmp/listener-test-")));
    assert_true(slice_ends(text_slice(&t), SLICE("/s.sock")));
    t = text_of(out, sizeof(out));
    net_addr_put_host(&t, &two.peer);
    assert_true(slice_eq(text_slice(&t), SLICE("unix:")));
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    side_end(&one);
    side_end(&two);
    remove_temp(path);
}

static void test_a_stale_unix_socket_is_replaced_a_live_one_is_not(void **state)
{
    (void)state;
    char path[108];
    struct listener_conf conf;
    unix_conf(&conf, temp_path(path, sizeof(path)), 1);
    int first, second;
    assert_int_equal(listener_open(&conf, &first), 0);
    assert_int_equal(listener_open(&conf, &second), -EADDRINUSE);
    close(first); /* the file stays behind, as after a crash */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(listener_open(&conf, &second), 0);
    int client = dial(&conf.addr);
    assert_true(client >= 0);
    close(client);
    close(second);
    remove_temp(path);
}

static void test_a_file_that_is_no_socket_is_left_alone(void **state)
{
    (void)state;
    char path[108];
    struct listener_conf conf;
    unix_conf(&conf, temp_path(path, sizeof(path)), 1);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), fd;
    close(file);
    assert_int_equal(listener_open(&conf, &fd), -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    remove_temp(path);
    unix_conf(&conf, "/nonexistent-directory/s.sock", 1);
    assert_int_equal(listener_open(&conf, &fd), -ENOENT);
}

static void test_an_abstract_socket_has_no_file(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "listener-test-%d", getpid());
    struct listener_conf conf = {.count = 1};
    net_addr_set(&conf.addr, (const struct sockaddr *)&un,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n));
    int fd;
    assert_int_equal(listener_open(&conf, &fd), 0);
    int client = dial(&conf.addr);
    assert_true(client >= 0);
    char out[NET_ADDR_TEXT_MAX];
    struct text t = text_of(out, sizeof(out));
    net_addr_put(&t, &conf.addr);
    assert_true(slice_starts(text_slice(&t), SLICE("unix:@listener-test-")));
    close(client);
    close(fd);
}

static void test_an_inherited_socket_is_duplicated(void **state)
{
    (void)state;
    struct net_addr a;
    int inherited = open_one(&a), fds[3];
    fcntl(inherited, F_SETFL, 0); /* as a parent may hand it over */
    assert_int_equal(listener_adopt(inherited, 3, fds), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        close(fds[i]);
    }
    close(inherited);
    assert_true(listener_adopt(inherited, 1, fds) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_group_shares_one_port),
        cmocka_unit_test(test_accepted_sockets_are_ready_to_use),
        cmocka_unit_test(test_the_address_is_printable),
        cmocka_unit_test(test_a_port_in_use_is_refused_even_if_shareable),
        cmocka_unit_test(test_a_port_can_be_taken_again_after_use),
        cmocka_unit_test(test_all_addresses_means_both_families),
        cmocka_unit_test(test_a_crowd_is_taken_in_portions),
        cmocka_unit_test(test_a_paused_listener_leaves_them_in_the_queue),
        cmocka_unit_test(test_stopping_takes_what_is_connected_already),
        cmocka_unit_test(test_closing_leaves_what_is_connected_to_who_has_the_socket_too),
        cmocka_unit_test(test_it_may_be_stopped_from_its_own_callback),
        cmocka_unit_test(test_without_descriptors_it_rests_and_goes_on),
        cmocka_unit_test(test_a_unix_socket_is_shared_by_duplicates),
        cmocka_unit_test(test_a_stale_unix_socket_is_replaced_a_live_one_is_not),
        cmocka_unit_test(test_a_file_that_is_no_socket_is_left_alone),
        cmocka_unit_test(test_an_abstract_socket_has_no_file),
        cmocka_unit_test(test_an_inherited_socket_is_duplicated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
