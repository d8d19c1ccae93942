/* The application behind the demo: a small HTTP/1.1 server that needs nothing installed.
 *
 * One thread for each connection, blocking reads and writes: as simple as an application may be
 * when a gateway stands in front of it. It believes what it reads, since only the gateway talks to
 * it. Not an example of how to write a server for the open network.
 *
 *     demo-backend [PORT]        default 0: any free one; prints "listening on 127.0.0.1:PORT"
 *
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 16384
#define HEAD_MAX_BYTES 65536

struct peer {
    FILE *in;
    FILE *out;
};

struct request {
    char method[32];
    char target[4096];
    char head[HEAD_MAX_BYTES]; /* as received, for /headers */
    size_t head_bytes;
    long long length; /* of the body; -1: chunked */
    bool expects;     /* the client waits for 100 Continue before it sends a body */
};

static const char home[] = "Sluice demo. This page came from a backend behind the gateway.\n"
                           "\n"
                           "  /headers     what the backend received\n"
                           "  /stream      server-sent events, one each second\n"
                           "  /slow?ms=500 an answer after that time\n"
                           "  /upload      POST anything: its size comes back\n";

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void answer(struct peer *p, const struct request *r, const char *status, const char *body,
                   size_t bytes)
{
    fprintf(p->out, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
            status, bytes);
    if (strcmp(r->method, "HEAD") != 0)
        fwrite(body, 1, bytes, p->out);
}

/* Reads `bytes` of a body and forgets them. False: the peer is gone. */
static bool skip(struct peer *p, long long bytes)
{
    char piece[65536];
    while (bytes > 0) {
        size_t want = bytes < (long long)sizeof piece ? (size_t)bytes : sizeof piece;
        size_t n = fread(piece, 1, want, p->in);
        if (n == 0)
            return false;
        bytes -= (long long)n;
    }
    return true;
}

/* The size of a chunked body; -1: the peer is gone. */
static long long skip_chunked(struct peer *p)
{
    char line[LINE_MAX_BYTES];
    long long total = 0;
    for (;;) {
        if (!fgets(line, sizeof line, p->in))
            return -1;
        long long bytes = strtoll(line, NULL, 16);
        if (bytes == 0)
            break;
        if (!skip(p, bytes + 2))
            return -1;
        total += bytes;
    }
    while (fgets(line, sizeof line, p->in)) /* trailers */
        if (line[0] == '\r')
            return total;
    return -1;
}

static bool read_head(struct peer *p, struct request *r)
{
    char line[LINE_MAX_BYTES];
    if (!fgets(line, sizeof line, p->in) || sscanf(line, "%31s %4095s", r->method, r->target) != 2)
        return false;
    r->length = 0;
    r->expects = false;
    r->head_bytes = 0;
    for (;;) {
        size_t n = strlen(line);
        if (r->head_bytes + n > sizeof r->head)
            return false;
        memcpy(r->head + r->head_bytes, line, n);
        r->head_bytes += n;
        if (!fgets(line, sizeof line, p->in))
            return false;
        if (line[0] == '\r')
            return true;
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            r->length = strtoll(line + 15, NULL, 10);
        if (strncasecmp(line, "Transfer-Encoding: chunked", 26) == 0)
            r->length = -1;
        if (strncasecmp(line, "Expect: 100-continue", 20) == 0)
            r->expects = true;
    }
}

static void stream_events(struct peer *p)
{
    fputs("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
          "Transfer-Encoding: chunked\r\n\r\n",
          p->out);
    for (int tick = 1; fflush(p->out) == 0; tick++) {
        char event[64];
        int n = snprintf(event, sizeof event, "event: tick\ndata: %d\n\n", tick);
        fprintf(p->out, "%x\r\n%s\r\n", (unsigned)n, event);
        fflush(p->out);
        pause_ms(1000);
    }
}

static bool is_path(const struct request *r, const char *path)
{
    size_t n = strlen(path);
    return strncmp(r->target, path, n) == 0 && (r->target[n] == '\0' || r->target[n] == '?');
}

static void respond(struct peer *p, struct request *r, long long body_bytes)
{
    char text[128];
    if (is_path(r, "/")) {
        answer(p, r, "200 OK", home, sizeof home - 1);
    } else if (is_path(r, "/headers")) {
        answer(p, r, "200 OK", r->head, r->head_bytes);
    } else if (is_path(r, "/stream")) {
        stream_events(p);
    } else if (is_path(r, "/slow")) {
        const char *ms = strstr(r->target, "ms=");
        long wait = ms ? strtol(ms + 3, NULL, 10) : 500;
        pause_ms(wait);
        int n = snprintf(text, sizeof text, "answered after %ld ms\n", wait);
        answer(p, r, "200 OK", text, (size_t)n);
    } else if (is_path(r, "/upload")) {
        int n = snprintf(text, sizeof text, "%lld bytes\n", body_bytes);
        answer(p, r, "200 OK", text, (size_t)n);
    } else {
        answer(p, r, "404 Not Found", "no such page; try /\n", 20);
    }
}

static void *serve(void *arg)
{
    int fd = (int)(long)arg;
    struct peer p = {fdopen(fd, "r"), fdopen(dup(fd), "w")};
    struct request *r = malloc(sizeof *r);
    while (p.in && p.out && r && read_head(&p, r)) {
        long long bytes = r->length;
        if (r->expects) {
            fputs("HTTP/1.1 100 Continue\r\n\r\n", p.out);
            fflush(p.out);
        }
        if (bytes < 0)
            bytes = skip_chunked(&p);
        else if (!skip(&p, bytes))
            bytes = -1;
        if (bytes < 0)
            break;
        respond(&p, r, bytes);
        if (fflush(p.out) != 0)
            break;
    }
    free(r);
    if (p.out)
        fclose(p.out);
    if (p.in)
        fclose(p.in);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) != 0 ||
        listen(listener, 511) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0) {
        perror("demo-backend");
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (pthread_create(&thread, NULL, serve, (void *)(long)fd) == 0)
            pthread_detach(thread);
        else
            close(fd);
    }
}
