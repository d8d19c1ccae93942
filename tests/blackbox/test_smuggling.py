"""Messages that two readers could understand differently are refused, over the wire.

The large table is a unit test (tests/unit); here is shown that what it says also happens: the right
status, the connection closed, and not a byte of it at the backend.
"""

import pytest

from harness import Broken, serve

pytestmark = [pytest.mark.faults, pytest.mark.serial]
HOST = "Host: test\r\n"
NEXT = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"

# name: (bytes, status, rule)
REQUESTS = {
    # Content-Length and Transfer-Encoding
    "both": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}",
             400, "RFC 9112 6.1"),
    "both-other-order": (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                         400, "RFC 9112 6.1"),
    "length-twice": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, "RFC 9112 6.3"),
    "length-twice-same": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, "RFC 9112 6.3"),
    "length-list": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5, 5\r\n\r\nhello", 400, "RFC 9112 6.3"),
    "length-plus": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: +5\r\n\r\nhello", 400, "RFC 9110 8.6"),
    "length-minus": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: -5\r\n\r\nhello", 400, "RFC 9110 8.6"),
    "length-hex": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0x5\r\n\r\nhello", 400, "RFC 9110 8.6"),
    "length-space": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5 5\r\n\r\nhello", 400, "RFC 9110 8.6"),
    "length-empty": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: \r\n\r\n", 400, "RFC 9110 8.6"),
    "length-overflow": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 18446744073709551621\r\n\r\nhello", (400, 413), "RFC 9110 8.6"),
    "coding-twice": (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     400, "RFC 9112 6.1"),
    "coding-list": (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "RFC 9112 6.1"),
    "coding-unknown": (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "RFC 9112 6.1"),
    "coding-gzip": (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "RFC 9112 6.1"),
    "coding-not-last": (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", (400, 501), "RFC 9112 6.3"),
    "coding-identity": (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", (400, 501), "RFC 9112 6.1"),
    "coding-1.0": (f"POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "RFC 9112 6.1"),
    "coding-tab": (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400, "RFC 9110 5.5"),
    # lines
    "bare-lf": (f"GET / HTTP/1.1\n{HOST}\r\n", 400, "RFC 9112 2.2"),
    "bare-lf-in-fields": ("GET / HTTP/1.1\r\nHost: test\nX: y\r\n\r\n", 400, "RFC 9112 2.2"),
    "bare-lf-at-the-end": ("GET / HTTP/1.1\r\nHost: test\r\n\n", 400, "RFC 9112 2.2"),
    "bare-cr": ("GET / HTTP/1.1\r\nHost: test\r\nX: a\rb\r\n\r\n", 400, "RFC 9112 2.2"),
    "obs-fold": (f"GET / HTTP/1.1\r\n{HOST}X: a\r\n b\r\n\r\n", 400, "RFC 9112 5.2"),
    "fold-first": ("GET / HTTP/1.1\r\n Host: test\r\n\r\n", 400, "RFC 9112 2.2"),
    "space-before-colon": (f"POST / HTTP/1.1\r\n{HOST}Content-Length : 5\r\n\r\nhello", 400, "RFC 9112 5.1"),
    "no-colon": (f"GET / HTTP/1.1\r\n{HOST}Nonsense\r\n\r\n", 400, "RFC 9112 5"),
    "no-name": (f"GET / HTTP/1.1\r\n{HOST}: x\r\n\r\n", 400, "RFC 9110 5.1"),
    "bad-name": (f"GET / HTTP/1.1\r\n{HOST}X(Y): z\r\n\r\n", 400, "RFC 9110 5.1"),
    "nul": (f"GET / HTTP/1.1\r\n{HOST}X: a\0b\r\n\r\n", 400, "RFC 9110 5.5"),
    "control": (f"GET / HTTP/1.1\r\n{HOST}X: a\x07b\r\n\r\n", 400, "RFC 9110 5.5"),
    # request line
    "two-spaces": (f"GET  / HTTP/1.1\r\n{HOST}\r\n", 400, "RFC 9112 3"),
    "tab": (f"GET\t/ HTTP/1.1\r\n{HOST}\r\n", 400, "RFC 9112 3"),
    "space-at-the-end": (f"GET / HTTP/1.1 \r\n{HOST}\r\n", 400, "RFC 9112 3"),
    "no-version": (f"GET /\r\n{HOST}\r\n", 400, "RFC 9112 3"),
    "lower-case-version": (f"GET / http/1.1\r\n{HOST}\r\n", 400, "RFC 9112 2.3"),
    "version-2": (f"GET / HTTP/2.0\r\n{HOST}\r\n", 505, "RFC 9110 15.6.6"),
    "version-1.10": (f"GET / HTTP/1.10\r\n{HOST}\r\n", 400, "RFC 9112 2.3"),
    "method": (f"G@T / HTTP/1.1\r\n{HOST}\r\n", 400, "RFC 9110 9.1"),
    "target-space": (f"GET /a b HTTP/1.1\r\n{HOST}\r\n", 400, "RFC 9112 3.2"),
    "target-control": (f"GET /a\x01 HTTP/1.1\r\n{HOST}\r\n", 400, "RFC 9112 3.2"),
    "target-high": (f"GET /\xff HTTP/1.1\r\n{HOST}\r\n", 400, "RFC 9112 3.2"),
    "target-relative": (f"GET a/b HTTP/1.1\r\n{HOST}\r\n", 400, "RFC 9112 3.2"),
    # host
    "no-host": ("GET / HTTP/1.1\r\nX: y\r\n\r\n", 400, "RFC 9112 3.2"),
    "two-hosts": (f"GET / HTTP/1.1\r\n{HOST}Host: other\r\n\r\n", 400, "RFC 9112 3.2"),
    "two-hosts-same": (f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n", 400, "RFC 9112 3.2"),
    "bad-host": ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "RFC 9112 3.2"),
    "host-path": ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "RFC 9112 3.2"),
    "host-user": ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "RFC 9112 3.2"),
    "host-port": ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "RFC 9112 3.2"),
    "other-protocol": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "RFC 9112 2.2"),
}

# What is wrong inside a chunked body may be noticed when the head has gone on.
CHUNKS = {
    "not-hex": "zz\r\nabc\r\n0\r\n\r\n",
    "minus": "-3\r\nabc\r\n0\r\n\r\n",
    "0x": "0x3\r\nabc\r\n0\r\n\r\n",
    "space": " 3\r\nabc\r\n0\r\n\r\n",
    "bare-lf": "3\nabc\r\n0\r\n\r\n",
    "overflow": "10000000000000003\r\nabc\r\n0\r\n\r\n",
    "no-crlf-after-data": "3\r\nabc0\r\n\r\n",
    "lf-after-data": "3\r\nabc\n0\r\n\r\n",
    "too-long": "3\r\nabcd\r\n0\r\n\r\n",
    "nothing": "\r\nabc\r\n0\r\n\r\n",
    "bad-trailer": "3\r\nabc\r\n0\r\nX Y: z\r\n\r\n",
    "folded-trailer": "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
    "lf-in-extension": "3;a\nb\r\nabc\r\n0\r\n\r\n",
}


@pytest.fixture
def quiet(shared_proxy):
    """A gateway whose backend must hear nothing."""
    return shared_proxy()


@pytest.mark.parametrize("name", REQUESTS)
def test_an_ambiguous_request_is_refused_and_the_connection_closed(quiet, name):
    data, status, rule = REQUESTS[name]
    with quiet.client() as c:
        c.send(data)
        m = c.response()
        assert m.status in (status if isinstance(status, tuple) else (status,)), rule
        assert "close" in m.tokens("connection")
        c.expect_closed()
    assert quiet.backend.requests == [], rule


@pytest.mark.parametrize("late", [False, True], ids=["at-once", "late"])
@pytest.mark.parametrize("name", CHUNKS)
def test_a_malformed_chunked_body_never_counts_as_complete(shared_proxy, name, late):
    """RFC 9112 7.1"""
    whole = []

    def script(c):
        try:
            head = c.head()
            c.reader.body(head)
            whole.append(head)
            c.respond("taken for complete")
        except Broken:
            pass
    g = shared_proxy(then=script)
    c = g.client()
    c.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n")
    if late:
        c.send("2\r\nab\r\n")
        g.backend.wait_requests(1)
    c.send(CHUNKS[name] + NEXT)
    assert c.response().status == 400
    c.expect_closed()
    assert whole == [] and all(r.target != "/smuggled" for r in g.backend.requests)


def test_what_follows_a_refused_request_is_not_looked_at(quiet):
    with quiet.client() as c:
        c.send(f"GET / HTTP/1.1\r\n\r\n{NEXT}{NEXT}")
        assert c.response().status == 400
        c.expect_closed()
    assert quiet.backend.requests == []


def test_a_large_refused_request_still_gets_its_answer(quiet):
    """Closing with unread bytes would reset the connection and lose the answer (RFC 9112 9.6)."""
    with quiet.client() as c:
        c.try_send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 3000000\r\nContent-Length: 1\r\n\r\n" + "x" * 3_000_000)
        assert c.response().status == 400


# ---- responses ----

OK = "HTTP/1.1 200 OK\r\n"
RESPONSES = {
    "both": f"{OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "length-twice": f"{OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\noka",
    "length-list": f"{OK}Content-Length: 2, 3\r\n\r\noka",
    "length-minus": f"{OK}Content-Length: -2\r\n\r\nok",
    "length-hex": f"{OK}Content-Length: 0x2\r\n\r\nok",
    "length-overflow": f"{OK}Content-Length: 18446744073709551618\r\n\r\nok",
    "coding-unknown": f"{OK}Transfer-Encoding: cow\r\n\r\nmoo",
    "coding-twice": f"{OK}Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "bare-lf": "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bare-cr": f"{OK}X: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "obs-fold": f"{OK}X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "space-before-colon": f"{OK}Content-Length : 2\r\n\r\nok",
    "no-colon": f"{OK}Nonsense\r\nContent-Length: 2\r\n\r\nok",
    "nul": f"{OK}X: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "nul-reason": "HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
    "version": "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "version-name": "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "status-short": "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status-long": "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status-word": "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    "status-0": "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "garbage": "\x00\x01\x02\x03 what is this\r\n\r\n",
    "mysql": "J\0\0\0\n5.7.0\0\r\n\r\n",
    "101-unasked": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", RESPONSES)
def test_an_ambiguous_response_is_a_502(shared_proxy, name):
    def script(c):
        c.request()
        c.send(RESPONSES[name])
        c.wait_closed()
    g = shared_proxy(script, then=serve(lambda r, c: b"fine"), pool=["retry attempts=1", "fail count=off"])
    c = g.client()
    assert c.get().status == 502
    m = c.get("/") if not c.reader.ended else None
    assert m is None or m.body == b"fine"
    assert g.running()


@pytest.mark.parametrize("name", [n for n in CHUNKS if "trailer" not in n])
def test_a_malformed_chunk_of_a_response_breaks_the_response(shared_proxy, name):
    def script(c):
        c.request()
        c.send(f"{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n{CHUNKS[name]}")
        c.wait_closed()
    g = shared_proxy(then=script, pool=["fail count=off"])
    with pytest.raises(Broken):
        if g.get().status == 502:
            raise Broken("refused as a whole")
