/* A FastCGI application that needs nothing installed: the demo's front page, and at /fastcgi what
 * it was told about the request. The gateway starts it, with its listening socket on descriptor 0,
 * and serves one request at a time with it.
 *
 * It believes what it reads, since only the gateway talks to it.
 * SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, KEEP_CONN = 1 };
enum { CONTENT_MAX = 65535, PARAMS_MAX = 256 * 1024 };

struct record {
    uint8_t version, type;
    uint8_t id[2], length[2];
    uint8_t padding, reserved;
};

static const char page[] =
    "<!DOCTYPE html>\n<meta charset=utf-8>\n<title>Sluice demo</title>\n"
    "<style>body{font:16px/1.5 sans-serif;max-width:52em;margin:2em auto;padding:0 1em}"
    "pre{background:#f3f3f0;padding:.7em;overflow:auto;max-height:14em}h2{font-size:1.1em}</"
    "style>\n"
    "<h1>Sluice demo</h1>\n"
    "<p>One gateway, three protocols. It has started every application on this page itself; this "
    "text comes from a FastCGI process.\n"
    "<h2>HTTP: what the backend received (/headers)</h2><pre id=h></pre>\n"
    "<h2>FastCGI: what the application was told (/fastcgi)</h2><pre id=f></pre>\n"
    "<h2>CGI: a shell script, run for each request (/cgi-bin/hello)</h2><pre id=c></pre>\n"
    "<h2>HTTP, streaming: an event each second (/stream)</h2><pre id=s></pre>\n"
    "<script>for(const[i,u]of[['h','/headers'],['f','/fastcgi'],['c','/cgi-bin/hello?from=page']])"
    "fetch(u).then(r=>r.text()).then(t=>document.getElementById(i).textContent=t);"
    "new "
    "EventSource('/"
    "stream').addEventListener('tick',e=>document.getElementById('s').textContent+='tick "
    "'+e.data+'\\n')"
    "</script>\n";

static int read_all(int fd, void *p, size_t n)
{
    for (char *at = p; n;) {
        ssize_t got = read(fd, at, n);
        if (got <= 0)
            return -1;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

static int put_record(int fd, const struct record *request, uint8_t type, const void *p, size_t n)
{
    struct record r = {.version = 1,
                       .type = type,
                       .id = {request->id[0], request->id[1]},
                       .length = {(uint8_t)(n >> 8), (uint8_t)n}};
    if (write(fd, &r, sizeof(r)) != sizeof(r))
        return -1;
    return n == 0 || write(fd, p, n) == (ssize_t)n ? 0 : -1;
}

static size_t take_length(const uint8_t **p)
{
    size_t n = *(*p)++;
    if (n & 0x80) {
        n = (n & 0x7f) << 24 | (size_t)(*p)[0] << 16 | (size_t)(*p)[1] << 8 | (*p)[2];
        *p += 3;
    }
    return n;
}

/* Writes NAME=VALUE lines; answers the length of the text. */
static size_t list_params(const uint8_t *p, size_t n, char *out, size_t room)
{
    size_t used = 0;
    for (const uint8_t *end = p + n; p < end;) {
        size_t name = take_length(&p), value = take_length(&p);
        int more = snprintf(out + used, room - used, "%.*s=%.*s\n", (int)name, (const char *)p,
                            (int)value, (const char *)p + name);
        used = used + (size_t)more < room ? used + (size_t)more : room - 1;
        p += name + value;
    }
    return used;
}

static int answer(int fd, const struct record *r, const uint8_t *params, size_t n)
{
    static char text[CONTENT_MAX];
    int head = snprintf(text, sizeof(text),
                        "Content-Type: text/plain; charset=utf-8\r\n\r\n"
                        "process %d\n",
                        (int)getpid());
    size_t used = (size_t)head;
    used += list_params(params, n, text + used, sizeof(text) - used);
    if (!strstr(text, "\nREQUEST_URI=/fastcgi"))
        used = (size_t)snprintf(text, sizeof(text), "Content-Type: text/html\r\n\r\n%s", page);
    static const uint8_t complete[8] = {0};
    return put_record(fd, r, STDOUT, text, used) || put_record(fd, r, STDOUT, NULL, 0) ||
           put_record(fd, r, END, complete, sizeof(complete));
}

/* Requests of one connection, one after the other. */
static void serve(int fd)
{
    static uint8_t params[PARAMS_MAX], content[CONTENT_MAX + 255];
    size_t used = 0;
    int keep = 0;
    struct record r;
    while (read_all(fd, &r, sizeof(r)) == 0) {
        size_t n = (size_t)r.length[0] << 8 | r.length[1];
        if (read_all(fd, content, n + r.padding) != 0)
            return;
        if (r.type == BEGIN) {
            keep = content[2] & KEEP_CONN;
            used = 0;
        } else if (r.type == PARAMS && used + n <= sizeof(params)) {
            memcpy(params + used, content, n);
            used += n;
        } else if (r.type == STDIN && n == 0) {
            if (answer(fd, &r, params, used) || !keep)
                return;
        }
    }
}

int main(void)
{
    for (;;) {
        int fd = accept(STDIN_FILENO, NULL, NULL);
        if (fd < 0)
            return 1;
        serve(fd);
        close(fd);
    }
}
