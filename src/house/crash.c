/* SPDX-License-Identifier: MIT */
#include "house/crash.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "core/worker.h"

static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

/* A signal handler has no argument of ours. */
static const struct worker *crash_workers;
static uint32_t crash_count;

static void write_stderr(void *ctx, struct slice s)
{
    (void)ctx;
    ssize_t n = write(STDERR_FILENO, s.p, s.n);
    (void)n;
}

static void on_crash(int signo)
{
    signal(signo, SIG_DFL);
    write_stderr(NULL, SLICE("sluice: crashed; what the workers did last:\n"));
    for (uint32_t i = 0; i < crash_count; i++)
        ring_dump(&crash_workers[i].ring, 0, write_stderr, NULL);
    raise(signo);
}

static void set_all(void (*handler)(int))
{
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        signal(fatal[i], handler);
}

void crash_watch(const struct worker *workers, uint32_t count)
{
    crash_workers = workers;
    crash_count = count;
    set_all(on_crash);
}

void crash_unwatch(void)
{
    set_all(SIG_DFL);
    crash_count = 0;
}
