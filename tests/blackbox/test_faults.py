"""Backends that misbehave: the right status, or a response that is visibly broken; nothing hangs.

After each test the fixtures check that no descriptor is left and that the gateway ends cleanly.
"""

import random
import socket
import threading
import time

import pytest

from harness import Broken, Event, serve, stretched, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.serial]
ONCE = ["retry attempts=1", "fail count=off"]       # what comes next shall find the backend as it was


def wait_noticed(g, count):
    """Until the gateway has closed its side of what a backend closed."""
    wait_for(lambda: len(g.fds()) <= count, "the gateway to notice a closed connection")


# ---- before a response ----

def test_a_backend_that_refuses_is_a_502(proxy, backend):
    b = backend(listen=False)
    c = proxy(b).client()
    m = c.get()
    assert m.status == 502 and m.body
    assert c.get().status == 502        # the client's connection is not to blame


def test_a_backend_that_is_not_there_yet_is_found_when_it_comes(proxy, backend):
    b = backend(listen=False)
    c = proxy(b).client()
    assert c.get().status == 502
    b.listen()
    b.then = serve()
    wait_for(lambda: c.get().status == 200, "the backend to be used")


def test_reset_before_the_response(shared_proxy):
    def script(c):
        c.request()
        c.reset()
    c = shared_proxy(then=script, pool=ONCE).client()
    assert c.get().status == 502
    assert c.get().status == 502


def test_close_before_the_response(shared_proxy):
    def script(c):
        c.request()
    assert shared_proxy(then=script, pool=ONCE).get().status == 502


def test_reset_on_accept(proxy):
    g = proxy(then=lambda c: c.reset())
    assert g.get().status == 502
    assert g.get("/", "Content-Length: 0\r\n").status == 502


def test_close_on_accept(proxy):
    assert proxy(then=lambda c: c.close()).get().status == 502


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("part", ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"])
def test_an_end_in_the_middle_of_the_head(shared_proxy, part, end):
    def script(c):
        c.request()
        c.send(part)
        getattr(c, end)()
    assert shared_proxy(then=script, pool=ONCE).get().status == 502


def test_an_end_after_an_interim_response(shared_proxy):
    def script(c):
        c.request()
        c.send("HTTP/1.1 103 Early Hints\r\n\r\n")
    c = shared_proxy(then=script, pool=ONCE).client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert c.response().status == 502


def test_too_large_a_response_head(shared_proxy):
    def script(c):
        c.request()
        try:
            c.send("HTTP/1.1 200 OK\r\nX-Big: " + "x" * 300_000 + "\r\n\r\n")
            c.wait_closed()
        except OSError:
            c.closed = True
    assert shared_proxy(then=script, pool=ONCE).get().status == 502


def test_an_endless_response_head_takes_no_memory(shared_proxy):
    def script(c):
        c.request()
        try:
            c.send("HTTP/1.1 200 OK\r\n")
            while True:
                c.send("X-Field: value\r\n" * 1000)
        except OSError:
            c.closed = True
    assert shared_proxy(then=script, pool=ONCE).get().status == 502


def test_endless_interim_responses_end(shared_proxy):
    """No client waits for ever because a backend promises for ever."""
    def script(c):
        c.request()
        try:
            while True:
                c.send("HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        except OSError:
            c.closed = True
    c = shared_proxy(then=script, pool=ONCE).client()
    c.send("GET / HTTP/1.0\r\nHost: t\r\n\r\n")
    assert c.response().status == 502


# ---- in the body ----

@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("sent", [0, 1, 100_000])
def test_a_body_that_breaks_off_is_seen_as_broken_off(shared_proxy, end, sent):
    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * sent)
        getattr(c, end)()
    c = shared_proxy(then=script, pool=ONCE).client()
    with pytest.raises(Broken):
        if c.get().status == 502:       # when nothing has been passed on yet
            raise Broken("refused as a whole")
    c.expect_closed()


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("part", ["", "5\r\nhe", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n",
                                  "5\r\nhello\r\n0\r\nX-T: 1\r\n"])
def test_a_chunked_body_that_breaks_off_has_no_end(shared_proxy, part, end):
    """RFC 9112 8: a missing last chunk tells that the message is incomplete."""
    def script(c):
        c.request()
        c.send(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{part}")
        getattr(c, end)()
    c = shared_proxy(then=script, pool=ONCE).client()
    with pytest.raises(Broken):
        if c.get().status == 502:
            raise Broken("refused as a whole")
    c.expect_closed()


def test_a_reset_close_delimited_body_is_broken_for_the_client(shared_proxy):
    """The client is told by a missing last chunk, or by a reset: never by a clean end."""
    got = Event()

    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\n\r\nhalf a page")
        assert got.wait(10)
        c.reset()
    g = shared_proxy(then=script, pool=ONCE)
    c = g.client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    m = c.reader.head()
    c.reader.until(b"half a page")
    got.set()
    if "chunked" in m.tokens("transfer-encoding"):
        with pytest.raises(Broken):
            c.reader.until(b"0\r\n\r\n")
    else:
        with pytest.raises(ConnectionResetError):
            while c.socket.recv(100):
                pass


# ---- timeouts ----

def test_a_backend_that_never_answers_is_a_504(proxy):
    def script(c):
        c.request()
        c.wait_closed()
    begin = time.monotonic()
    g = proxy(then=script, pool=["timeout response=300ms"])
    assert g.get().status == 504
    assert time.monotonic() - begin < stretched(5)
    assert len(g.backend.requests) == 1     # it may be at work still: not asked again


def test_a_backend_that_does_not_accept_is_a_504(proxy, unreachable):
    g = proxy(unreachable, pool=["timeout connect=300ms"])
    assert g.get().status == 504


def test_a_backend_that_stalls_in_the_body_breaks_the_response(proxy):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        c.wait_closed()
    c = proxy(then=script, pool=["timeout idle=300ms"]).client()
    with pytest.raises(Broken):
        c.get()


def test_a_backend_that_takes_no_more_of_the_body_is_given_up(proxy):
    release = Event()

    def script(c):
        c.head()
        release.wait(20)
    g = proxy(then=script, pool=["timeout idle=300ms response=300ms"])
    c = g.client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000000\r\n\r\n")

    def push():
        while c.try_send(b"x" * 65536):
            pass
    sender = threading.Thread(target=push, daemon=True)
    sender.start()
    try:
        assert c.response().status in (502, 504)
    except Broken:
        pass
    release.set()
    c.close()
    sender.join(10)


# ---- stale connections ----

def stale(end):
    """Answers once and ends the connection when the next request has been read."""
    def script(c):
        c.request()
        c.respond("first")
        if c.request() is not None:
            getattr(c, end)()
    return script


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_stale_connection_never_shows_to_a_get(proxy, end):
    g = proxy(stale(end), then=serve(lambda r, c: b"fresh"), threads=1)
    c = g.client()
    assert c.get("/1").body == b"first"
    assert c.get("/2").body == b"fresh"
    assert [r.target for r in g.backend.requests] == ["/1", "/2", "/2"]


def test_a_stale_connection_does_not_show_to_a_client_that_has_half_closed(proxy):
    closed = Event()

    def script(c):
        c.request()
        c.respond("first")
        c.request()
        assert closed.wait(10)
    g = proxy(script, then=serve(lambda r, c: b"fresh"), threads=1)
    c = g.client()
    assert c.get("/1").body == b"first"
    c.send("GET /2 HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: len(g.backend.requests) == 2, "the second request")
    c.half_close()
    assert g.get("/other").body == b"fresh"     # the only thread has seen the end of what is sent
    closed.set()
    assert c.response().body == b"fresh"
    c.expect_closed()


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_post_is_never_sent_twice(proxy, end):
    """RFC 9110 9.2.2: whether the backend has acted on it is unknown."""
    g = proxy(stale(end), then=serve(lambda r, c: b"fresh"), threads=1)
    c = g.client()
    assert c.get("/1").body == b"first"
    assert c.post("/2", "pay 100").status == 502
    assert [r.method for r in g.backend.requests] == ["GET", "POST"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_closed_while_idle_is_not_used(proxy, end, method):
    ended = Event()

    def once(c):
        c.request()
        c.respond("first")
        getattr(c, end)()
        ended.set()
    g = proxy(once, then=serve(lambda r, c: b"fresh"), threads=1)
    c = g.client()
    assert c.get().body == b"first"
    assert ended.wait(10)
    wait_noticed(g, len(g.first_fds) + 1)
    assert c.ask(method, "/2", body=b"x" if method == "POST" else b"").body == b"fresh"
    assert len(g.backend.requests) == 2


def test_many_stale_connections_in_a_row(proxy):
    """Each kept connection turns out dead; the request still gets through."""
    g = proxy(then=stale("close"), threads=1)
    c = g.client()
    assert [c.get(f"/{n}").status for n in range(20)] == [200] * 20


def test_a_head_begun_on_a_stale_connection_is_not_retried(proxy):
    """Part of a response came: it is not stale but broken."""
    def script(c):
        c.request()
        c.respond("first")
        c.request()
        c.send("HTTP/1.1 2")
    g = proxy(script, then=serve(lambda r, c: b"fresh"), threads=1)
    c = g.client()
    assert c.get("/1").body == b"first"
    assert c.get("/2").status in (502, 200)


def test_a_post_that_fails_on_a_fresh_connection_is_sent_once(proxy):
    def script(c):
        c.request()
    g = proxy(then=script)
    assert g.client().post("/", "x").status == 502
    assert len(g.backend.requests) == 1


# ---- bytes that nobody asked for ----

@pytest.mark.parametrize("extra", ["x", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "\r\n"])
def test_bytes_after_a_response_never_reach_the_next_client(proxy, extra):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)
        c.wait_closed()
    g = proxy(script, then=serve(lambda r, c: b"good"), threads=1)
    assert g.get("/1").body == b"ok"
    assert g.get("/2").body == b"good"
    assert g.backend.accepted == 2


def test_bytes_on_an_idle_connection_poison_it(proxy):
    sent = Event()
    go = Event()

    def script(c):
        c.request()
        c.respond("ok")
        assert go.wait(10)
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        sent.set()
        c.wait_closed()
    g = proxy(script, then=serve(lambda r, c: b"good"), threads=1)
    c = g.client()
    assert c.get("/1").body == b"ok"
    go.set()
    assert sent.wait(10)
    wait_noticed(g, len(g.first_fds) + 1)
    assert c.get("/2").body == b"good"


@pytest.mark.parametrize("method, status", [("HEAD", "200 OK"), ("GET", "204 No Content"),
                                            ("GET", "304 Not Modified")])
def test_a_body_where_none_may_be_poisons_the_connection(proxy, method, status):
    """RFC 9112 6.3"""
    def script(c):
        c.request()
        length = "" if status.startswith("204") else "Content-Length: 4\r\n"
        c.send(f"HTTP/1.1 {status}\r\n{length}\r\nevil")
        c.wait_closed()
    g = proxy(script, then=serve(lambda r, c: b"good"), threads=1)
    c = g.client()
    m = c.ask(method, "/1")
    assert m.status == int(status[:3]) and m.body == b""
    assert c.get("/2").body == b"good"


def test_bytes_after_the_last_chunk_poison_the_connection(proxy):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 evil\r\n")
        c.wait_closed()
    g = proxy(script, then=serve(lambda r, c: b"good"), threads=1)
    c = g.client()
    assert c.get("/1").body == b"ok"
    assert c.get("/2").body == b"good"


# ---- many of them ----

@pytest.mark.plain
def test_nothing_is_left_after_many_faults(proxy):
    """Descriptors and memory return."""
    chance = random.Random(7)
    kinds = [lambda c: c.reset(), lambda c: c.close(), lambda c: c.send("HTTP/1.1 2"),
             lambda c: c.send("garbage\r\n\r\n"), lambda c: c.respond("fine"),
             lambda c: c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
             lambda c: c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")]

    def script(c):
        if c.request() is not None:
            kinds[chance.randrange(len(kinds))](c)
    g = proxy(then=script)

    def round_of(n):
        for _ in range(n):
            try:
                g.get()
            except Broken:
                pass
    round_of(300)
    before = g.rss_kb()
    round_of(1500)
    assert g.rss_kb() - before < 1024
    g.wait_fds_back()
