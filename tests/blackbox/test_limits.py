"""Limits and timeouts on the client's side: each a key, each with its status."""

import contextlib
import threading
import time

import pytest

from harness import Broken, Endless, Event, serve, stretched


def elapsed(begin):
    return time.monotonic() - begin


# ---- sizes ----

def test_a_head_that_is_too_large_is_a_431(proxy, backend):
    """RFC 6585 5"""
    b = backend()
    c = proxy(b, gateway=["limit head=4k"]).client()
    c.try_send("GET / HTTP/1.1\r\nHost: t\r\nX: " + "x" * 8000 + "\r\n\r\n")
    assert c.response().status == 431
    c.expect_closed()
    assert b.requests == []


def test_a_head_just_below_the_limit_passes(proxy):
    g = proxy(gateway=["limit head=4k"])
    assert g.get("/", "X: " + "x" * 3900 + "\r\n").status == 200


def test_the_default_head_limit_lets_real_heads_pass(proxy):
    g = proxy()
    cookies = "".join(f"Cookie: c{n}={'v' * 3500}\r\n" for n in range(4))
    assert g.get("/" + "p" * 4000, cookies).status == 200


def test_too_many_fields_are_a_431(proxy, backend):
    b = backend()
    c = proxy(b, gateway=["limit fields=20"]).client()
    assert c.get("/", "X: y\r\n" * 10).status == 200
    assert c.get("/", "X: y\r\n" * 30).status == 431
    c.expect_closed()
    assert len(b.requests) == 1


def test_a_target_that_is_too_long_is_a_414(proxy, backend):
    """RFC 9110 15.5.15"""
    b = backend()
    c = proxy(b, gateway=["limit target=1k"]).client()
    assert c.get("/" + "a" * 900).status == 200
    assert c.get("/" + "a" * 1100).status == 414
    assert len(b.requests) == 1


def test_an_endless_request_line_is_refused_early(proxy, backend):
    b = backend()
    c = proxy(b).client()
    while c.try_send("GET /" + "a" * 16000):
        try:
            c.socket.setblocking(False)
            if c.reader.fill():
                break
        except BlockingIOError:
            pass
        finally:
            c.socket.settimeout(10)
    assert c.response().status in (414, 431, 400)


def test_a_body_announced_too_large_is_a_413(proxy, backend):
    """RFC 9110 15.5.14"""
    b = backend()
    c = proxy(b, gateway=["limit body=10k"]).client()
    assert c.post("/", b"x" * 10_000).status == 200
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\n\r\n")
    assert c.response().status == 413
    assert len(b.requests) == 1


def test_a_chunked_body_that_grows_too_large_is_a_413(proxy):
    def script(c):
        with contextlib.suppress(Broken):
            assert c.request() is None, "taken for complete"
    c = proxy(then=script, gateway=["limit body=10k"]).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10):
        c.try_send("1000\r\n" + "x" * 4096 + "\r\n")
    assert c.response().status == 413
    c.expect_closed()


def test_a_refused_body_of_a_polite_client_costs_nothing(proxy, backend):
    b = backend()
    c = proxy(b, gateway=["limit body=10k"]).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\nExpect: 100-continue\r\n\r\n")
    assert c.response(interim=True).status == 413
    assert b.requests == []


# ---- times ----

def test_a_head_that_does_not_end_is_a_408(proxy, backend):
    """RFC 9110 15.5.9"""
    b = backend()
    c = proxy(b, gateway=["timeout head=300ms"]).client()
    begin = time.monotonic()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n")
    m = c.response()
    assert m.status == 408 and "close" in m.tokens("connection")
    assert 0.25 < elapsed(begin) < stretched(5)
    c.expect_closed()
    assert b.requests == []


def test_a_head_that_trickles_does_not_win_time(proxy):
    g = proxy(gateway=["timeout head=500ms"])
    c = g.client()
    begin = time.monotonic()
    stop = threading.Event()

    def trickle():
        while not stop.wait(0.05) and c.try_send("X"):
            pass
    c.send("GET / HTTP/1.1\r\nHost: t\r\nX-Slow: ")
    t = threading.Thread(target=trickle)
    t.start()
    m = c.response()
    stop.set()
    t.join()
    assert m.status == 408 and elapsed(begin) < stretched(5)


def test_a_body_that_stalls_is_a_408(proxy):
    def script(c):
        with contextlib.suppress(Broken):
            assert c.request() is None, "taken for complete"
    c = proxy(then=script, gateway=["timeout body=300ms"]).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf")
    begin = time.monotonic()
    assert c.response().status == 408
    assert elapsed(begin) < stretched(5)
    c.expect_closed()


def test_a_body_that_makes_progress_is_waited_for(proxy):
    g = proxy(then=serve(lambda r, c: r.body), gateway=["timeout body=400ms"])
    c = g.client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\n")
    for byte in "abcdef":
        time.sleep(0.15)                # the pace is what is tested
        c.send(byte)
    assert c.response().body == b"abcdef"


def test_an_idle_connection_is_closed_without_a_word(proxy):
    c = proxy(gateway=["timeout idle=300ms"]).client()
    assert c.get().status == 200
    begin = time.monotonic()
    c.expect_closed()
    assert 0.2 < elapsed(begin) < stretched(5)


def test_a_connection_that_never_asks_is_closed_without_a_word(proxy):
    c = proxy(gateway=["timeout idle=300ms head=300ms"]).client()
    c.expect_closed()


def test_a_client_that_reads_nothing_is_given_up(proxy):
    endless = Endless()
    c = proxy(then=endless, gateway=["timeout write=400ms"]).client(rcvbuf=4096)
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert endless.given_up.wait(10)
    with pytest.raises(Broken):
        c.response()


def test_a_slow_answer_is_not_the_clients_fault(proxy):
    """No timeout of the client's side runs while the backend works."""
    def answer(r, c):
        time.sleep(0.8)
        return b"late"
    g = proxy(then=serve(answer), gateway=["timeout head=200ms body=200ms idle=200ms write=200ms"])
    assert g.get().body == b"late"


def test_requests_on_a_connection_can_be_limited(proxy):
    c = proxy(gateway=["limit requests=3"]).client()
    assert "close" not in c.get().tokens("connection")
    assert "close" not in c.get().tokens("connection")
    assert "close" in c.get().tokens("connection")
    c.expect_closed()


def test_a_quiet_tunnel_is_closed(proxy):
    def script(c):
        c.request()
        c.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        c.wait_closed()
    c = proxy(then=script, gateway=["timeout tunnel=400ms"]).client()
    assert c.get("/", "Upgrade: x\r\nConnection: upgrade\r\n").status == 101
    c.expect_closed()
