/* SPDX-License-Identifier: MIT */
#include "proc/output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void log_line(const struct output *o, struct slice line)
{
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n)
        log_said(o->level, o->exchange, "pool " SLICE_FMT " [%d] " SLICE_FMT, SLICE_ARG(o->name),
                 (int)o->pid, SLICE_ARG(line));
}

/* Logs the lines that are complete, and a piece when there is no room for more. */
static void split_lines(struct output *o, bool is_end)
{
    struct slice rest = slice_of(o->line, o->used);
    size_t at;
    while ((at = slice_find(rest, '\n')) < rest.n) {
        log_line(o, slice_first(rest, at));
        rest = slice_skip(rest, at + 1);
    }
    if (is_end || rest.n == sizeof(o->line)) {
        log_line(o, rest);
        rest.n = 0;
    }
    if (rest.n)
        memmove(o->line, rest.p, rest.n);
    o->used = (uint32_t)rest.n;
}

/* 0 at the end of it, -EAGAIN when there is nothing for now. */
static ssize_t read_some(struct output *o)
{
    ssize_t n;
    do
        n = read(o->watch.fd, o->line + o->used, sizeof(o->line) - o->used);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    o->used += (uint32_t)n;
    split_lines(o, false);
    return n;
}

static void read_turn(struct output *o)
{
    for (ssize_t total = 0, n; total < OUTPUT_TURN_MAX; total += n) {
        n = read_some(o);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            output_close(o);
            return;
        }
    }
    loop_defer(o->loop, &o->again);
}

static void read_again(struct deferred *d)
{
    struct output *o = container_of(d, struct output, again);
    if (o->watch.fd >= 0)
        read_turn(o);
}

static void on_event(struct watch *w, uint32_t events)
{
    (void)events;
    read_turn(container_of(w, struct output, watch));
}

void output_init(struct output *o, struct loop *l, struct slice name, enum log_level level)
{
    *o = (struct output){.loop = l, .name = name, .level = level};
    o->watch = (struct watch){.fd = -1, .on_event = on_event};
    deferred_init(&o->again, read_again);
}

int output_open(struct output *o, int *write_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    o->watch.fd = ends[0];
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) { /* ours alone, not the child's */
        int error = -errno;
        output_close(o);
        close(ends[1]);
        return error;
    }
    *write_fd = ends[1];
    return 0;
}

int output_start(struct output *o, pid_t pid)
{
    o->pid = pid;
    return loop_watch(o->loop, &o->watch, EPOLLIN); /* which tells of what is there already */
}

/* A process of the group may still hold the other end and write on, so this does not wait. */
void output_close(struct output *o)
{
    if (o->watch.fd >= 0) {
        for (ssize_t total = 0, n; total < OUTPUT_TURN_MAX && (n = read_some(o)) > 0; total += n)
            ;
        split_lines(o, true);
    }
    loop_close(o->loop, &o->watch);
    if (list_is_linked(&o->again.node))
        list_remove(&o->again.node);
}
