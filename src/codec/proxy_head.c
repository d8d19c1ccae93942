/* SPDX-License-Identifier: MIT */
#include "codec/proxy_head.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

static const struct slice v1_start = SLICE_INIT("PROXY ");
static const struct slice v2_start = SLICE_INIT("\r\n\r\n\0\r\nQUIT\n");

enum { V2_LOCAL = 0, V2_PROXY = 1, V2_UNSPEC = 0, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };
enum { TLV_CHECKSUM = 3, TLV_NOOP = 4, TLV_HEAD = 3, CHECKSUM_BYTES = 4 };

static void set_v4(struct sockaddr_storage *to, const void *address, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(&in.sin_addr, address, sizeof(in.sin_addr));
    memcpy(to, &in, sizeof(in));
}

static void set_v6(struct sockaddr_storage *to, const void *address, uint16_t port)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(&in.sin6_addr, address, sizeof(in.sin6_addr));
    memcpy(to, &in, sizeof(in));
}

/* ---- version 1: a line ---- */

/* Words are apart by exactly one space. */
static bool next_word(struct slice *line, struct slice *word)
{
    size_t n = slice_find(*line, ' ');
    *word = slice_first(*line, n);
    *line = slice_skip(*line, n < line->n ? n + 1 : n);
    return word->n > 0;
}

/* 2.1: decimal, without leading zeros. */
static bool read_port(struct slice word, uint16_t *port)
{
    uint64_t n;
    if (!word.n || (word.n > 1 && word.p[0] == '0') || !num_dec(word, &n) || n > 65535)
        return false;
    *port = (uint16_t)n;
    return true;
}

static bool set_text(struct sockaddr_storage *to, int family, struct slice word, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    if (word.n >= sizeof(text))
        return false;
    memcpy(text, word.p, word.n);
    text[word.n] = '\0';
    if (strlen(text) != word.n || inet_pton(family, text, address) != 1)
        return false;
    if (family == AF_INET)
        set_v4(to, address, port);
    else
        set_v6(to, address, port);
    return true;
}

static bool read_line(struct slice line, struct proxy_head *out)
{
    struct slice protocol, client, server, client_port, server_port;
    uint16_t from, to;
    if (!next_word(&line, &protocol))
        return false;
    if (slice_eq(protocol, SLICE("UNKNOWN")))
        return true; /* whatever follows */
    int family = slice_eq(protocol, SLICE("TCP4"))   ? AF_INET
                 : slice_eq(protocol, SLICE("TCP6")) ? AF_INET6
                                                     : AF_UNSPEC;
    out->is_known = true;
    return family != AF_UNSPEC && next_word(&line, &client) && next_word(&line, &server) &&
           next_word(&line, &client_port) && next_word(&line, &server_port) && !line.n &&
           server_port.p + server_port.n == line.p && read_port(client_port, &from) &&
           read_port(server_port, &to) && set_text(&out->client, family, client, from) &&
           set_text(&out->server, family, server, to);
}

static enum parse parse_v1(struct slice in, struct proxy_head *out, size_t *taken, struct fault *f)
{
    size_t end = slice_find(slice_first(in, PROXY_V1_MAX), '\n');
    if (end >= PROXY_V1_MAX)
        return fault_bad(f, 400, "line is too long", "PROXY protocol 2.1");
    if (end >= in.n)
        return PARSE_MORE;
    if (in.p[end - 1] != '\r')
        return fault_bad(f, 400, "line does not end in CRLF", "PROXY protocol 2.1");
    struct slice line = slice_skip(slice_first(in, end - 1), v1_start.n);
    *taken = end + 1;
    return read_line(line, out) ? PARSE_DONE
                                : fault_bad(f, 400, "line is not valid", "PROXY protocol 2.1");
}

/* ---- version 2: binary ---- */

static uint16_t read_be16(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint16_t)(u[0] << 8 | u[1]);
}

static uint32_t read_be32(const char *p)
{
    return (uint32_t)read_be16(p) << 16 | read_be16(p + 2);
}

/* CRC-32C (RFC 3720 12.1), where `hole` of CHECKSUM_BYTES counts as zero. */
static uint32_t checksum(struct slice all, size_t hole)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < all.n; i++) {
        bool is_hole = i >= hole && i < hole + CHECKSUM_BYTES;
        crc ^= is_hole ? 0 : (unsigned char)all.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* What follows the addresses: type, length, value. */
static bool check_values(struct slice all, size_t at)
{
    while (at < all.n) {
        if (all.n - at < TLV_HEAD)
            return false;
        size_t n = read_be16(all.p + at + 1), value = at + TLV_HEAD;
        if (all.n - value < n)
            return false;
        if (all.p[at] == TLV_CHECKSUM &&
            (n != CHECKSUM_BYTES || read_be32(all.p + value) != checksum(all, value)))
            return false;
        at = value + n;
    }
    return true;
}

/* Bytes of addresses and ports; 0: of no kind that says who. */
static size_t address_bytes(unsigned char family)
{
    return family == V2_TCP4 ? 12 : family == V2_TCP6 ? 36 : 0;
}

static enum parse parse_v2(struct slice in, struct proxy_head *out, size_t *taken, struct fault *f)
{
    if (in.n < PROXY_V2_MIN)
        return PARSE_MORE;
    unsigned char command = (unsigned char)in.p[12], family = (unsigned char)in.p[13];
    size_t n = read_be16(in.p + 14), whole = PROXY_V2_MIN + n;
    size_t addresses = address_bytes(family);
    if (command >> 4 != 2 || (command & 15) > V2_PROXY)
        return fault_bad(f, 400, "unknown version or command", "PROXY protocol 2.2");
    if (family >> 4 > 3 || (family & 15) > 2)
        return fault_bad(f, 400, "unknown family", "PROXY protocol 2.2");
    if (whole > PROXY_HEAD_MAX)
        return fault_bad(f, 400, "head is too large", "PROXY protocol 2.2");
    if (n < addresses)
        return fault_bad(f, 400, "addresses do not fit", "PROXY protocol 2.2");
    if (in.n < whole)
        return PARSE_MORE;
    *taken = whole;
    out->is_known = (command & 15) == V2_PROXY && addresses;
    const char *p = in.p + PROXY_V2_MIN;
    if (addresses && !check_values(slice_first(in, whole), PROXY_V2_MIN + addresses))
        return fault_bad(f, 400, "values do not fit, or not their checksum",
                         "PROXY protocol 2.2.1");
    if (family == V2_TCP4) {
        set_v4(&out->client, p, read_be16(p + 8));
        set_v4(&out->server, p + 4, read_be16(p + 10));
    } else if (family == V2_TCP6) {
        set_v6(&out->client, p, read_be16(p + 32));
        set_v6(&out->server, p + 16, read_be16(p + 34));
    }
    return PARSE_DONE;
}

/* in begins with start, as far as it goes. */
static bool may_be(struct slice in, struct slice start)
{
    return in.n < start.n ? slice_starts(start, in) : slice_starts(in, start);
}

enum parse proxy_head_parse(struct slice in, struct proxy_head *out, size_t *taken, struct fault *f)
{
    *out = (struct proxy_head){.is_known = false};
    *taken = 0;
    if (in.n && may_be(in, v1_start))
        return in.n < v1_start.n ? PARSE_MORE : parse_v1(in, out, taken, f);
    if (in.n && may_be(in, v2_start))
        return parse_v2(in, out, taken, f);
    return in.n ? fault_bad(f, 400, "no head of the PROXY protocol", "PROXY protocol 2")
                : PARSE_MORE;
}

/* ---- writing ---- */

/* An address as IPv6 writes it, IPv4 mapped. */
static void get_v6(const struct sockaddr *sa, struct in6_addr *address, uint16_t *port)
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    if (sa->sa_family == AF_INET6) {
        memcpy(&in6, sa, sizeof(in6));
        *address = in6.sin6_addr;
        *port = ntohs(in6.sin6_port);
        return;
    }
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(&in4, sa, sizeof(in4));
    memcpy(address, mapped, sizeof(mapped));
    memcpy((char *)address + sizeof(mapped), &in4.sin_addr, sizeof(in4.sin_addr));
    *port = ntohs(in4.sin_port);
}

static bool is_inet(const struct sockaddr *sa)
{
    return sa && (sa->sa_family == AF_INET || sa->sa_family == AF_INET6);
}

static size_t put_v1(char *p, bool is_known, bool is_v4, const struct in6_addr address[2],
                     const uint16_t port[2])
{
    char text[2][INET6_ADDRSTRLEN];
    if (!is_known)
        return (size_t)snprintf(p, PROXY_PUT_MAX, "PROXY UNKNOWN\r\n");
    for (int i = 0; i < 2; i++)
        inet_ntop(is_v4 ? AF_INET : AF_INET6, (const char *)&address[i] + (is_v4 ? 12 : 0), text[i],
                  sizeof(text[i]));
    return (size_t)snprintf(p, PROXY_PUT_MAX, "PROXY TCP%c %s %s %u %u\r\n", is_v4 ? '4' : '6',
                            text[0], text[1], port[0], port[1]);
}

static char *put_be16(char *p, size_t n)
{
    *p++ = (char)(n >> 8);
    *p++ = (char)n;
    return p;
}

static size_t put_v2(char *p, bool is_known, bool is_v4, const struct in6_addr address[2],
                     const uint16_t port[2])
{
    size_t bytes = is_v4 ? 4 : 16;
    char *start = p;
    p = slice_put(p, v2_start);
    *p++ = 0x20 | (is_known ? V2_PROXY : V2_LOCAL);
    *p++ = (char)(!is_known ? V2_UNSPEC : is_v4 ? V2_TCP4 : V2_TCP6);
    p = put_be16(p, is_known ? 2 * bytes + 4 : 0);
    for (int i = 0; is_known && i < 2; i++)
        p = slice_put(p, slice_of((const char *)&address[i] + (16 - bytes), bytes));
    for (int i = 0; is_known && i < 2; i++)
        p = put_be16(p, port[i]);
    return (size_t)(p - start);
}

size_t proxy_head_put(char *p, int version, const struct sockaddr *client,
                      const struct sockaddr *server)
{
    struct in6_addr address[2] = {0};
    uint16_t port[2] = {0};
    bool is_known = is_inet(client) && is_inet(server);
    bool is_v4 = is_known && client->sa_family == AF_INET && server->sa_family == AF_INET;
    if (is_known) {
        get_v6(client, &address[0], &port[0]);
        get_v6(server, &address[1], &port[1]);
    }
    return version == 1 ? put_v1(p, is_known, is_v4, address, port)
                        : put_v2(p, is_known, is_v4, address, port);
}
