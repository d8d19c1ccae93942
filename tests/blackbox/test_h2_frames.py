"""Every error of RFC 9113 and RFC 7541 as frames, each with its verdict.

    conn CODE        the connection ends, with this code
    stream N CODE    the stream is reset, and the connection goes on
    N STATUS         the stream is answered so, and the connection goes on
    ok               nothing happens; every stream that was opened whole is answered with 200

A code may be a choice (A|B) where the RFC leaves one. "Goes on" is tried out with another request.
"""

import re
import struct

import pytest

from harness import Broken, H2Client, serve
from harness.h2 import (ACK, CONTINUATION, DATA, ENABLE_CONNECT_PROTOCOL, ENABLE_PUSH, END_HEADERS, END_STREAM,
                        GOAWAY, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS,
                        MAX_FRAME_SIZE, PADDED, PING, PREFACE, PRIORITISED, PRIORITY, PUSH_PROMISE, RST_STREAM,
                        SETTINGS, WINDOW_UPDATE, block, data, frame, get, headers, integer, literal, ping, post,
                        request, rst_stream, settings, string, window_update)

pytestmark = pytest.mark.serial

GET = request()
POST = request("POST")
COMPRESSION, CLOSED, CALM = "conn COMPRESSION_ERROR", "STREAM_CLOSED", "conn ENHANCE_YOUR_CALM"
PROTOCOL, FRAME_SIZE, FLOW = "conn PROTOCOL_ERROR", "conn FRAME_SIZE_ERROR", "conn FLOW_CONTROL_ERROR"
MALFORMED = "stream 1 PROTOCOL_ERROR"
U32 = struct.Struct(">I").pack


def continued(*parts, stream=1, first=END_STREAM):
    """A field section in as many frames."""
    out = [frame(HEADERS, first, stream, parts[0])]
    out += [frame(CONTINUATION, 0, stream, p) for p in parts[1:-1]]
    return b"".join(out) + frame(CONTINUATION, END_HEADERS, stream, parts[-1])


def with_fields(*fields, **pseudo):
    return headers(1, request("GET", "/", *fields, **pseudo))


def section(*pairs):
    return headers(1, block(*pairs))


M, S, P, A = (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test")
PUT = (":method", "PUT")

# name: (bytes behind the preface and an empty SETTINGS, verdict, rule)
CASES = {
    # ---- frames as such (4.1, 4.2)
    "unknown-type": (frame(0xbb, 0, 0, b"whatever"), "ok", "4.1"),
    "unknown-type-on-a-stream": (get(1) + frame(0xbb, 0xff, 1, b"x"), "ok", "4.1"),
    "unknown-flags": (frame(PING, 0xfe, 0, b"12345678"), "ok", "4.1"),
    "reserved-bit-of-the-stream": (frame(HEADERS, 5, 0x80000001, GET), "ok", "4.1"),
    "reserved-bit-of-an-increment": (frame(WINDOW_UPDATE, 0, 0, U32(0x80000001)), "ok", "6.9"),
    "data-too-large": (post(1) + data(1, b"x" * 16385), "conn FRAME_SIZE_ERROR", "4.2"),
    "data-of-the-largest-size": (post(1) + data(1, b"x" * 16384, end=True), "ok", "4.2"),
    "headers-too-large": (frame(HEADERS, 5, 1, b"x" * 16385), FRAME_SIZE, "4.2"),
    "ping-too-large": (frame(PING, 0, 0, b"x" * 16385), FRAME_SIZE, "4.2"),
    "unknown-too-large": (frame(0xbb, 0, 0, b"x" * 16385), FRAME_SIZE, "4.2"),
    "claims-16-million": (frame(DATA, 0, 1, b"x", length=0xffffff), FRAME_SIZE, "4.2"),

    # ---- DATA (6.1)
    "data-on-stream-0": (data(0, b"x"), PROTOCOL, "6.1"),
    "data-on-an-idle-stream": (data(1, b"x"), PROTOCOL, "5.1"),
    "data-on-an-even-stream": (data(2, b"x"), PROTOCOL, "5.1"),
    "data-after-the-end": (get(1) + data(1, b"x"), f"stream 1 {CLOSED}|ok|conn {CLOSED}", "5.1"),
    "data-after-reset": (post(1) + rst_stream(1) + data(1, b"x"), f"stream 1 {CLOSED}|ok|conn {CLOSED}", "5.1"),
    "data-padded": (post(1) + frame(DATA, PADDED | END_STREAM, 1, b"\4body\0\0\0\0"), "ok", "6.1"),
    "data-only-padding": (post(1) + frame(DATA, PADDED | END_STREAM, 1, b"\4\0\0\0\0"), "ok", "6.1"),
    "data-padding-of-0": (post(1) + frame(DATA, PADDED | END_STREAM, 1, b"\0body"), "ok", "6.1"),
    "data-padding-as-long-as-the-frame": (post(1) + frame(DATA, PADDED, 1, b"\5body"), PROTOCOL, "6.1"),
    "data-padding-longer": (post(1) + frame(DATA, PADDED, 1, b"\xffbody"), PROTOCOL, "6.1"),
    "data-padded-without-length": (post(1) + frame(DATA, PADDED, 1), "conn FRAME_SIZE_ERROR|PROTOCOL_ERROR", "6.1"),
    "data-empty": (post(1) + data(1) + data(1, b"x") + data(1, end=True), "ok", "6.1"),
    "data-and-trailers": (post(1) + data(1, b"x") + headers(1, block(("x-sum", "1"))), "ok", "8.1"),

    # ---- HEADERS (6.2, 5.1)
    "headers-on-stream-0": (headers(0, GET), PROTOCOL, "6.2"),
    "headers-on-an-even-stream": (headers(2, GET), PROTOCOL, "5.1.1"),
    "headers-on-a-smaller-stream": (get(1) + get(5) + get(3), PROTOCOL, "5.1.1"),
    "headers-on-skipped-streams": (get(1) + get(9) + get(21), "ok", "5.1.1"),
    "headers-again-after-the-end": (get(1) + get(1), f"stream 1 {CLOSED}|conn {CLOSED}|PROTOCOL_ERROR", "5.1"),
    "headers-after-reset": (post(1) + rst_stream(1) + headers(1, GET), f"conn {CLOSED}|PROTOCOL_ERROR|ok", "5.1"),
    "headers-padded": (frame(HEADERS, 5 | PADDED, 1, b"\3" + GET + b"\0\0\0"), "ok", "6.2"),
    "headers-padding-too-long": (frame(HEADERS, 5 | PADDED, 1, b"\xff" + GET), PROTOCOL, "6.2"),
    "headers-padded-without-length": (frame(HEADERS, 5 | PADDED, 1), "conn FRAME_SIZE_ERROR|PROTOCOL_ERROR", "6.2"),
    "headers-with-priority": (frame(HEADERS, 5 | PRIORITISED, 1, U32(0) + b"\x0f" + GET), "ok", "6.2"),
    "headers-priority-cut-off": (frame(HEADERS, 5 | PRIORITISED, 1, b"\0\0\0\0"), FRAME_SIZE, "6.2"),
    "headers-depends-on-itself": (frame(HEADERS, 5 | PRIORITISED, 1, U32(1) + b"\x0f" + GET), "ok|conn PROTOCOL_ERROR|" + MALFORMED, "5.3.1"),
    "headers-empty": (headers(1, b""), MALFORMED, "8.3.1"),
    "stream-of-the-highest-number": (headers(0x7fffffff, GET), "alone", "5.1.1"),

    # ---- CONTINUATION (6.10)
    "continuation": (continued(GET[:5], GET[5:]), "ok", "6.10"),
    "continuation-of-single-bytes": (continued(GET[:-3], GET[-3:-2], GET[-2:-1], GET[-1:]), "ok", "6.10"),
    "continuation-empty": (continued(GET, b"", b""), "ok", "6.10"),
    "continuation-all-but-the-headers": (continued(b"", GET), "ok", "6.10"),
    "continuation-without-headers": (frame(CONTINUATION, END_HEADERS, 1, GET), PROTOCOL, "6.10"),
    "continuation-after-the-end": (get(1) + frame(CONTINUATION, END_HEADERS, 1, GET), PROTOCOL, "6.10"),
    "continuation-on-stream-0": (frame(HEADERS, 1, 1, GET) + frame(CONTINUATION, 4, 0, b""), PROTOCOL, "6.10"),
    "continuation-on-another-stream": (frame(HEADERS, 1, 1, GET) + frame(CONTINUATION, 4, 3, b""), PROTOCOL, "6.10"),
    "continuation-behind-data": (post(1) + data(1, b"x") + frame(CONTINUATION, 4, 1, GET), PROTOCOL, "6.10"),
    "ping-inside-a-section": (frame(HEADERS, 1, 1, GET) + ping(), PROTOCOL, "6.2"),
    "data-inside-a-section": (frame(HEADERS, 0, 1, POST) + data(1, b"x"), PROTOCOL, "6.2"),
    "headers-inside-a-section": (frame(HEADERS, 1, 1, GET) + get(3), PROTOCOL, "6.2"),
    "priority-inside-a-section": (frame(HEADERS, 1, 1, GET) + frame(PRIORITY, 0, 1, bytes(5)), PROTOCOL, "6.2"),
    "settings-inside-a-section": (frame(HEADERS, 1, 1, GET) + settings(), PROTOCOL, "6.2"),
    "unknown-inside-a-section": (frame(HEADERS, 1, 1, GET) + frame(0xbb, 0, 1, b"x"), PROTOCOL, "5.5"),
    "continuations-too-many": (continued(GET, *[b""] * 12), CALM, "10.5"),

    # ---- PRIORITY (6.3, 5.3.2)
    "priority": (frame(PRIORITY, 0, 1, U32(0) + b"\x10") + get(1), "ok", "6.3"),
    "priority-of-a-closed-stream": (post(1) + rst_stream(1) + frame(PRIORITY, 0, 1, bytes(5)), "ok", "6.3"),
    "priority-on-stream-0": (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL, "6.3"),
    "priority-of-4-bytes": (frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE, "6.3"),
    "priority-of-6-bytes": (frame(PRIORITY, 0, 1, bytes(6)), FRAME_SIZE, "6.3"),

    # ---- RST_STREAM (6.4)
    "reset": (post(1) + rst_stream(1), "ok", "6.4"),
    "reset-with-an-unknown-code": (post(1) + rst_stream(1, 0xbadc0de), "ok", "7"),
    "reset-twice": (post(1) + rst_stream(1) + rst_stream(1), "ok", "6.4"),
    "reset-on-stream-0": (rst_stream(0), PROTOCOL, "6.4"),
    "reset-of-an-idle-stream": (rst_stream(1), PROTOCOL, "6.4"),
    "reset-of-3-bytes": (post(1) + frame(RST_STREAM, 0, 1, b"123"), FRAME_SIZE, "6.4"),
    "reset-of-5-bytes": (post(1) + frame(RST_STREAM, 0, 1, b"12345"), FRAME_SIZE, "6.4"),

    # ---- SETTINGS (6.5)
    "settings-again": (settings() + settings((MAX_CONCURRENT_STREAMS, 0)), "ok", "6.5"),
    "settings-of-an-unknown-id": (settings((0xabcd, 7)), "ok", "6.5.2"),
    "settings-twice-the-same": (settings((INITIAL_WINDOW_SIZE, 1), (INITIAL_WINDOW_SIZE, 65535)), "ok", "6.5.3"),
    "settings-on-a-stream": (frame(SETTINGS, 0, 1), PROTOCOL, "6.5"),
    "settings-of-5-bytes": (frame(SETTINGS, 0, 0, b"12345"), FRAME_SIZE, "6.5"),
    "settings-ack-with-a-payload": (frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE, "6.5"),
    "settings-push-of-0": (settings((ENABLE_PUSH, 0)), "ok", "6.5.2"),
    "settings-push-of-2": (settings((ENABLE_PUSH, 2)), PROTOCOL, "6.5.2"),
    "settings-connect-of-2": (settings((ENABLE_CONNECT_PROTOCOL, 2)), PROTOCOL, "RFC 8441 3"),
    "settings-window-too-large": (settings((INITIAL_WINDOW_SIZE, 1 << 31)), FLOW, "6.5.2"),
    "settings-largest-window": (settings((INITIAL_WINDOW_SIZE, (1 << 31) - 1)), "ok", "6.5.2"),
    "settings-frame-too-small": (settings((MAX_FRAME_SIZE, 16383)), PROTOCOL, "6.5.2"),
    "settings-frame-too-large": (settings((MAX_FRAME_SIZE, 1 << 24)), PROTOCOL, "6.5.2"),
    "settings-largest-frame": (settings((MAX_FRAME_SIZE, (1 << 24) - 1)), "ok", "6.5.2"),
    "settings-no-table": (settings((HEADER_TABLE_SIZE, 0)) + get(1), "ok", "RFC 7541 4.2"),
    "settings-huge-table": (settings((HEADER_TABLE_SIZE, 0xffffffff)) + get(1), "ok", "RFC 7541 4.2"),
    "settings-that-overflow-a-window": (post(1) + window_update(1, (1 << 31) - 1 - 65535) +
                                        settings((INITIAL_WINDOW_SIZE, 65536)),
                                        "conn FLOW_CONTROL_ERROR|stream 1 FLOW_CONTROL_ERROR", "6.9.2"),
    "settings-of-too-many": (settings(*[(0xabcd, 7)] * 60), CALM, "10.5"),

    # ---- PUSH_PROMISE (6.6)
    "push-promise": (get(1) + frame(PUSH_PROMISE, 4, 1, U32(2) + GET), PROTOCOL, "8.4"),

    # ---- PING (6.7)
    "ping": (ping(), "ok", "6.7"),
    "ping-answer-to-nothing": (ping(ack=True), "ok", "6.7"),
    "ping-of-7-bytes": (frame(PING, 0, 0, b"1234567"), FRAME_SIZE, "6.7"),
    "ping-of-9-bytes": (frame(PING, 0, 0, b"123456789"), FRAME_SIZE, "6.7"),
    "ping-on-a-stream": (frame(PING, 0, 1, b"12345678"), PROTOCOL, "6.7"),

    # ---- GOAWAY (6.8)
    "goaway-on-a-stream": (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL, "6.8"),
    "goaway-of-7-bytes": (frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE, "6.8"),
    "goaway": (get(1) + frame(GOAWAY, 0, 0, bytes(8) + b"bye"), "alone", "6.8"),
    "goaway-with-an-unknown-code": (get(1) + frame(GOAWAY, 0, 0, bytes(4) + U32(0xbad)), "alone", "7"),

    # ---- WINDOW_UPDATE, flow control (6.9)
    "update-of-0": (window_update(0, 0), PROTOCOL, "6.9"),
    "update-of-0-on-a-stream": (post(1) + window_update(1, 0), "stream 1 PROTOCOL_ERROR|conn PROTOCOL_ERROR", "6.9"),
    "update-of-3-bytes": (frame(WINDOW_UPDATE, 0, 0, b"123"), FRAME_SIZE, "6.9"),
    "update-of-5-bytes": (frame(WINDOW_UPDATE, 0, 0, b"12345"), FRAME_SIZE, "6.9"),
    "update-of-an-idle-stream": (window_update(1, 1), PROTOCOL, "5.1"),
    "update-of-a-closed-stream": (post(1) + rst_stream(1) + window_update(1, 1), "ok", "6.9"),
    "update-behind-the-end": (get(1) + window_update(1, 1), "ok", "6.9"),
    "update-too-far": (window_update(0, (1 << 31) - 1), FLOW, "6.9.1"),
    "update-too-far-on-a-stream": (post(1) + window_update(1, (1 << 31) - 1), "stream 1 FLOW_CONTROL_ERROR", "6.9.1"),

    # ---- HPACK (RFC 7541)
    "hpack-index-0": (headers(1, GET + b"\x80"), COMPRESSION, "RFC 7541 6.1"),
    "hpack-index-beyond-the-tables": (headers(1, GET + integer(62, 7, 0x80)), COMPRESSION, "RFC 7541 2.3.3"),
    "hpack-name-beyond-the-tables": (headers(1, GET + integer(70, 4) + string("x")), COMPRESSION, "RFC 7541 2.3.3"),
    "hpack-static-pairs": (headers(1, b"\x82\x86\x84" + literal(*A)), "ok", "RFC 7541 6.1"),
    "hpack-dynamic-entry": (headers(1, GET + literal("x-a", "b", 0x40)) + headers(3, GET + b"\xbe"), "ok", "RFC 7541 2.3.2"),
    "hpack-evicted-entry": (headers(1, b"\x20" + GET + literal("x-a", "b", 0x40) + b"\xbe"), COMPRESSION, "RFC 7541 4.4"),
    "hpack-never-indexed": (headers(1, GET + literal("x-a", "b", 0x10)), "ok", "RFC 7541 6.2.3"),
    "hpack-integer-overflow": (headers(1, GET + b"\xff" + b"\xff" * 9 + b"\x7f"), COMPRESSION, "RFC 7541 5.1"),
    "hpack-integer-cut-off": (headers(1, GET + b"\xff\x80"), COMPRESSION, "RFC 7541 5.1"),
    "hpack-string-cut-off": (headers(1, GET + b"\0\3x-a\5b"), COMPRESSION, "RFC 7541 5.2"),
    "hpack-name-cut-off": (headers(1, GET + b"\0\5x"), COMPRESSION, "RFC 7541 5.2"),
    "hpack-huffman": (headers(1, GET + b"\0\3x-a\x81\x1f"), "ok", "RFC 7541 5.2"),
    "hpack-huffman-eos": (headers(1, GET + b"\0\3x-a\x84\xff\xff\xff\xff"), COMPRESSION, "RFC 7541 5.2"),
    "hpack-huffman-padding-of-8": (headers(1, GET + b"\0\3x-a\x82\x1f\xff"), COMPRESSION, "RFC 7541 5.2"),
    "hpack-huffman-padding-of-zeros": (headers(1, GET + b"\0\3x-a\x81\x18"), COMPRESSION, "RFC 7541 5.2"),
    "hpack-table-size": (headers(1, integer(4096, 5, 0x20) + GET), "ok", "RFC 7541 6.3"),
    "hpack-table-size-twice": (headers(1, b"\x20" + integer(4096, 5, 0x20) + GET), "ok", "RFC 7541 4.2"),
    "hpack-table-size-too-large": (headers(1, integer(4097, 5, 0x20) + GET), COMPRESSION, "RFC 7541 4.2"),
    "hpack-table-size-at-the-end": (headers(1, GET + b"\x20"), COMPRESSION, "RFC 7541 4.2"),
    "hpack-garbage": (headers(1, bytes(range(128, 256))), COMPRESSION + "|PROTOCOL_ERROR", "RFC 7541 3"),
    "hpack-error-on-a-refused-stream": (get(5) + headers(7, GET + b"\x80"), COMPRESSION, "4.3"),
    "hpack-larger-than-the-table": (headers(1, GET + literal("x-a", "b" * 5000, 0x40)), "ok", "RFC 7541 4.4"),

    # ---- names and values (8.2)
    "name-in-upper-case": (with_fields(("X-A", "b")), MALFORMED, "8.2.1"),
    "name-with-a-blank": (with_fields(("x a", "b")), MALFORMED, "8.2.1"),
    "name-with-a-colon": (with_fields(("x:a", "b")), MALFORMED, "8.2.1"),
    "name-with-a-control": (with_fields(("x\x01a", "b")), MALFORMED, "8.2.1"),
    "name-beyond-ascii": (with_fields(("x\xe9", "b")), MALFORMED, "8.2.1"),
    "name-empty": (with_fields(("", "b")), MALFORMED, "8.2.1"),
    "value-with-nul": (with_fields(("x-a", "b\0c")), MALFORMED, "8.2.1"),
    "value-with-cr": (with_fields(("x-a", "b\rc")), MALFORMED, "8.2.1"),
    "value-with-lf": (with_fields(("x-a", "b\r\nx-b: c")), MALFORMED, "8.2.1"),
    "value-with-a-leading-blank": (with_fields(("x-a", " b")), MALFORMED, "8.2.1"),
    "value-with-a-trailing-tab": (with_fields(("x-a", "b\t")), MALFORMED, "8.2.1"),
    "value-with-del": (with_fields(("x-a", "b\x7f")), MALFORMED, "RFC 9110 5.5"),
    "value-with-a-tab": (with_fields(("x-a", "b\tc")), "ok", "RFC 9110 5.5"),
    "value-beyond-ascii": (with_fields(("x-a", "\xe9")), "ok", "RFC 9110 5.5"),
    "value-empty": (with_fields(("x-a", "")), "ok", "RFC 9110 5.5"),
    "connection": (with_fields(("connection", "close")), MALFORMED, "8.2.2"),
    "keep-alive": (with_fields(("keep-alive", "timeout=5")), MALFORMED, "8.2.2"),
    "proxy-connection": (with_fields(("proxy-connection", "close")), MALFORMED, "8.2.2"),
    "transfer-encoding": (with_fields(("transfer-encoding", "chunked")), MALFORMED, "8.2.2"),
    "upgrade": (with_fields(("upgrade", "websocket")), MALFORMED, "8.2.2"),
    "te-gzip": (with_fields(("te", "gzip")), MALFORMED, "8.2.2"),
    "te-trailers-and-more": (with_fields(("te", "trailers, gzip")), MALFORMED, "8.2.2"),
    "te-trailers": (with_fields(("te", "trailers")), "ok", "8.2.2"),
    "cookies": (with_fields(("cookie", "a=b"), ("cookie", "c=d")), "ok", "8.2.3"),

    # ---- pseudo-fields (8.3)
    "no-method": (section(S, P, A), MALFORMED, "8.3.1"),
    "no-scheme": (section(M, P, A), MALFORMED, "8.3.1"),
    "no-path": (section(M, S, A), MALFORMED, "8.3.1"),
    "method-twice": (section(M, M, S, P, A), MALFORMED, "8.3.1"),
    "scheme-twice": (section(M, S, S, P, A), MALFORMED, "8.3.1"),
    "path-twice": (section(M, S, P, P, A), MALFORMED, "8.3.1"),
    "authority-twice": (section(M, S, P, A, A), MALFORMED, "8.3.1"),
    "pseudo-behind-a-field": (section(M, S, ("x-a", "b"), P, A), MALFORMED, "8.3"),
    "pseudo-unknown": (section(M, S, P, A, (":x", "y")), MALFORMED, "8.3"),
    "pseudo-of-a-response": (section(M, S, P, A, (":status", "200")), MALFORMED, "8.3"),
    "pseudo-in-trailers": (post(1) + headers(1, block((":path", "/"))), MALFORMED, "8.3"),
    "pseudo-in-upper-case": (section((":Method", "GET"), S, P, A), MALFORMED, "8.2.1"),
    "method-empty": (section((":method", ""), S, P, A), MALFORMED, "RFC 9110 9.1"),
    "method-with-a-blank": (section((":method", "G T"), S, P, A), MALFORMED, "RFC 9110 9.1"),
    "method-unknown": (section((":method", "BREW"), S, P, A), "ok", "RFC 9110 9.1"),
    "path-empty": (section(M, S, (":path", ""), A), MALFORMED, "8.3.1"),
    "path-without-slash": (section(M, S, (":path", "x"), A), MALFORMED, "8.3.1"),
    "path-asterisk": (section(M, S, (":path", "*"), A), MALFORMED, "8.3.1"),
    "path-asterisk-of-options": (section((":method", "OPTIONS"), S, (":path", "*"), A), "1 404|1 200", "8.3.1"),
    "path-absolute": (section(M, S, (":path", "http://test/"), A), MALFORMED, "8.3.1"),
    "path-with-a-blank": (section(M, S, (":path", "/a b"), A), "1 400|" + MALFORMED, "RFC 3986 3.3"),
    "path-with-a-fragment": (section(M, S, (":path", "/a#b"), A), "1 400|" + MALFORMED, "RFC 3986 3.3"),
    "path-with-a-bad-escape": (section(M, S, (":path", "/a%zz"), A), "1 400", "RFC 3986 2.1"),
    "path-with-a-nul": (section(M, S, (":path", "/a%00"), A), "1 400", "RFC 3986 2.1"),
    "path-above-the-root": (section(M, S, (":path", "/../a"), A), "1 400", "RFC 3986 5.2.4"),
    "path-with-a-control": (section(M, S, (":path", "/a\x01"), A), MALFORMED, "RFC 3986 3.3"),
    "path-too-long": (section(M, S, (":path", "/" + "a" * 9000), A), "1 414", "RFC 9110 15.5.15"),
    "query": (section(M, S, (":path", "/?a=b&c=/?"), A), "ok", "8.3.1"),
    "scheme-unknown": (section(M, (":scheme", "ftp"), P, A), "1 400", "RFC 9110 7.4"),
    "scheme-invalid": (section(M, (":scheme", "1http"), P, A), MALFORMED, "RFC 3986 3.1"),
    "authority-missing": (section(M, S, P), "1 400|" + MALFORMED, "8.3.1"),
    "authority-empty": (section(M, S, P, (":authority", "")), "1 400|" + MALFORMED, "8.3.1"),
    "authority-with-a-user": (section(M, S, P, (":authority", "me@test")), "1 400|" + MALFORMED, "8.3.1"),
    "authority-with-a-path": (section(M, S, P, (":authority", "test/x")), "1 400|" + MALFORMED, "8.3.1"),
    "authority-with-a-bad-port": (section(M, S, P, (":authority", "test:x")), "1 400", "RFC 9110 4.2"),
    "host-instead": (section(M, S, P, ("host", "test")), "ok", "8.3.1"),
    "host-the-same": (section(M, S, P, A, ("host", "test")), "ok", "8.3.1"),
    "host-differs": (section(M, S, P, A, ("host", "other")), "1 400", "8.3.1"),
    "host-twice": (section(M, S, P, ("host", "test"), ("host", "test")), "1 400|" + MALFORMED, "RFC 9112 3.2"),
    "connect": (section((":method", "CONNECT"), (":authority", "test:80")), "1 501", "8.5"),
    "connect-with-a-path": (section((":method", "CONNECT"), P, A), MALFORMED, "8.5"),
    "connect-with-a-scheme": (section((":method", "CONNECT"), S, A), MALFORMED, "8.5"),
    "connect-without-authority": (section((":method", "CONNECT"), ("x-a", "b")), MALFORMED, "8.5"),
    "protocol-without-connect": (section(M, S, P, A, (":protocol", "websocket")), MALFORMED, "RFC 8441 4"),
    "protocol-unknown": (section((":method", "CONNECT"), S, P, A, (":protocol", "smtp")), "1 501", "RFC 8441 4"),
    "protocol-without-path": (section((":method", "CONNECT"), S, A, (":protocol", "websocket")), MALFORMED, "RFC 8441 4"),

    # ---- messages (8.1)
    "length-too-long": (post(1, "/", ("content-length", "5")) + data(1, b"four", end=True), MALFORMED, "8.1.1"),
    "length-too-short": (post(1, "/", ("content-length", "3")) + data(1, b"four"), MALFORMED, "8.1.1"),
    "length-without-a-body": (with_fields(("content-length", "5")), MALFORMED, "8.1.1"),
    "length-of-0": (with_fields(("content-length", "0")), "ok", "8.1.1"),
    "length-right": (post(1, "/", ("content-length", "4")) + data(1, b"fo") + data(1, b"ur", end=True), "ok", "8.1.1"),
    "length-twice": (post(1, "/", ("content-length", "4"), ("content-length", "4")), MALFORMED, "8.1.1"),
    "length-no-number": (post(1, "/", ("content-length", "four")), MALFORMED, "RFC 9110 8.6"),
    "length-negative": (post(1, "/", ("content-length", "-4")), MALFORMED, "RFC 9110 8.6"),
    "length-too-long-with-trailers": (post(1, "/", ("content-length", "5")) + data(1, b"four") +
                                      headers(1, block(("x-a", "b"))), MALFORMED, "8.1.1"),
    "trailers-without-an-end": (post(1) + data(1, b"x") + headers(1, block(("x-a", "b")), END_HEADERS), MALFORMED, "8.1"),
    "trailers-with-a-bad-name": (post(1) + headers(1, block(("X", "b"))), MALFORMED, "8.2.1"),
    "trailers-of-the-connection": (post(1) + headers(1, block(("connection", "x"))), MALFORMED, "8.2.2"),
    "head-too-large": (continued(GET + literal("x-a", "b" * 12000), literal("x-b", "c" * 12000),
                                 literal("x-c", "d" * 12000)), "1 431", "RFC 6585 5"),
    "fields-too-many": (headers(1, GET + literal("a", "b") * 120), "1 431", "RFC 6585 5"),
}

# What begins a connection, after nothing.
STARTS = {
    "ping-first": (PREFACE + ping(), PROTOCOL, "3.4"),
    "headers-first": (PREFACE + get(1), PROTOCOL, "3.4"),
    "window-update-first": (PREFACE + window_update(0, 1), PROTOCOL, "3.4"),
    "settings-ack-first": (PREFACE + frame(SETTINGS, ACK), PROTOCOL, "3.4"),
    "preface-twice": (PREFACE + settings() + PREFACE, PROTOCOL + "|FRAME_SIZE_ERROR", "3.4"),
    "http-1-behind": (PREFACE + settings() + b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", PROTOCOL + "|FRAME_SIZE_ERROR", "3.4"),
}


def opened_whole(sent):
    """Streams whose request is complete, as far as the frames are right."""
    at, dead, whole = 0, set(), set()
    while at + 9 <= len(sent):
        n, kind, flags = int.from_bytes(sent[at:at + 3], "big"), sent[at + 3], sent[at + 4]
        stream = int.from_bytes(sent[at + 5:at + 9], "big") & 0x7fffffff
        at += 9 + n
        if kind == RST_STREAM:
            dead.add(stream)
        elif kind in (HEADERS, DATA) and flags & END_STREAM:
            whole.add(stream)
    return whole - dead


def happens(c, verdict, sent):
    kind, *rest = verdict.split()
    if kind == "conn":
        return c.wait_end() == rest[0] and not any(s.status for s in c.streams.values() if s.status == 500)
    if kind == "stream":
        return c.stream(int(rest[0])).error == rest[1]
    if kind == "ok":
        return not c.goaway and all(c.wait(n).status == 200 for n in opened_whole(sent))
    return c.wait(int(kind)).status == int(rest[0])


def choices(verdict):
    """'conn A|B' is 'conn A' or 'conn B'."""
    out = []
    for part in verdict.split("|"):
        if re.fullmatch(r"[A-Z_]+", part):
            part = " ".join([*out[-1].split()[:-1], part])
        out.append(part)
    return out


def judge(c, verdict, sent):
    options = choices(verdict)
    lasts = not any(v.startswith("conn") for v in options)
    if not lasts and len(options) > 1 and not all(v.startswith("conn") for v in options):
        c.try_send(ping(b"lasting?"))
        while not c.closed and b"lasting?" not in c.pings and c.read():
            pass
        lasts = not c.closed
        options = [v for v in options if v.startswith("conn") != lasts]
    if lasts:
        c.sync()
        m = c.wait_reset_or_status(options)
    ended = [v for v in options if happens(c, v, sent)]
    assert ended, f"{verdict} expected: {c!r}"
    if lasts:
        c.last = 1001
        assert c.get().status == 200, f"the connection must go on: {c!r}"


@pytest.fixture
def shared(shared_proxy):
    def answer(c):
        """Requests break off in many of these tests."""
        try:
            serve()(c)
        except Broken:
            pass
    return shared_proxy(then=answer)


@pytest.fixture
def client(shared):
    class Judged(H2Client):
        def wait_reset_or_status(self, options):
            """A verdict on one stream comes when it comes."""
            numbers = {int(v.split()[1] if v.startswith("stream") else v.split()[0])
                       for v in options if v[0] in "s123456789"}
            if len(options) == 1 or all(v[0] in "s123456789" for v in options):
                for n in numbers:
                    self.wait(n)

    opened = []

    def start(**more):
        opened.append(Judged(shared.address, **more))
        return opened[-1]
    yield start
    for c in opened:
        c.close()


@pytest.mark.parametrize("name", CASES)
def test_frames(client, name):
    sent, verdict, _ = CASES[name]
    c = client()
    c.send(sent)
    if verdict == "alone":
        assert c.wait(min(opened_whole(sent))).status == 200
        return
    judge(c, verdict, sent)


@pytest.mark.parametrize("name", CASES)
def test_frames_in_pieces(client, name):
    """The same verdict when it comes a few bytes at a time."""
    sent, verdict, _ = CASES[name]
    c = client()
    for at in range(0, 700, 7):
        c.try_send(sent[at:at + 7])
    c.try_send(sent[700:])
    if verdict == "alone":
        assert c.wait(min(opened_whole(sent))).status == 200
        return
    judge(c, verdict, sent)


@pytest.mark.parametrize("name", STARTS)
def test_starts(client, name):
    sent, verdict, _ = STARTS[name]
    c = client(start=False)
    c.send(sent)
    judge(c, verdict, sent)


def test_the_table_is_large():
    assert len(CASES) + len(STARTS) >= 120


# ---- HEADERS on a stream that is closed (5.1)

TRAILERS = block(("x-a", "b"))


def test_headers_on_a_stream_that_is_over(client):
    c = client()
    assert c.get().status == 200
    c.sync()
    c.send(get(1))
    assert c.wait_end() == CLOSED


def test_headers_on_a_stream_that_was_over_long_ago(client):
    c = client()
    for _ in range(100):
        assert c.get().status == 200
    c.sync()
    c.send(get(1))
    assert c.wait_end() == CLOSED


def test_trailers_behind_an_early_answer(client):
    """The gateway has reset the stream, and the client may not know that yet, however many there are."""
    c = client()
    for n in range(1, 161, 2):
        c.send(post(n, "/a%zz"))
        assert c.wait(n).status == 400
    c.sync()
    for n in range(1, 161, 2):
        c.send(data(n, b"x") + headers(n, TRAILERS))
    c.last = 1001
    assert c.get().status == 200 and not c.goaway


def test_trailers_of_refused_streams(client):
    """More streams than are allowed, from a client that has not seen the limit."""
    c = client()
    c.send(b"".join(post(n) for n in range(1, 801, 2)) + b"".join(headers(n, TRAILERS) for n in range(1, 801, 2)))
    ends = [c.wait(n) for n in range(1, 801, 2)]
    assert {s.status or s.error for s in ends} == {200, "REFUSED_STREAM"}
    c.last = 1001
    assert c.get().status == 200 and not c.goaway
