"""Upgrades: what becomes a tunnel, and that no request goes through one unseen (RFC 9110 7.8)."""

import threading

import pytest

from harness import Event, serve

ASK = "GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"
SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize("asked, goes_on", [("h2c", None), ("H2C, chat/1,HTTP/2.0 , TLS/1.2, x", "chat/1, x"), ("", None)])
def test_a_tunnel_is_not_for_http(proxy, asked, goes_on):
    """What is asked in a tunnel, no route has seen."""
    g = proxy(then=serve())
    m = g.get("/", f"Connection: Upgrade\r\nUpgrade: {asked}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")
    assert m.status == 200
    r, = g.backend.requests
    assert r["Upgrade"] == goes_on and ("upgrade" in r.tokens("connection")) == bool(goes_on)


def test_upgrade_makes_a_tunnel(proxy):
    """RFC 9110 7.8"""
    def script(c):
        m = c.request()
        assert m["upgrade"] == "chat/1" and "upgrade" in m.tokens("connection")
        c.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat/1\r\nConnection: Upgrade\r\n\r\nhi ")
        c.send(c.reader.exactly(5)[::-1])
        assert c.wait_closed() == b"bye"
    c = proxy(script).client()
    c.send("GET /chat HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n\r\n")
    m = c.response()
    assert m.status == 101 and m["upgrade"] == "chat/1" and "upgrade" in m.tokens("connection")
    assert c.reader.exactly(3) == b"hi "
    c.send("hello")
    assert c.reader.exactly(5) == b"olleh"
    c.send("bye").half_close()
    c.expect_closed()


def test_bytes_sent_ahead_of_101_reach_the_tunnel(proxy):
    def script(c):
        c.head()
        c.send(SWITCH)
        c.send(c.reader.exactly(5)[::-1])
    c = proxy(script).client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nahead")
    assert c.response().status == 101
    assert c.reader.exactly(5) == b"daeha"
    c.expect_closed()


def test_a_refused_upgrade_is_an_ordinary_response(proxy):
    def script(c):
        c.request()
        c.respond("no", "426 Upgrade Required", "Upgrade: chat/2\r\nConnection: upgrade\r\n")
        c.request()
        c.respond("next")
    c = proxy(script).client()
    m = c.get("/", "Connection: Upgrade\r\nUpgrade: chat/1\r\n")
    assert m.status == 426 and m.body == b"no"
    assert c.get().body == b"next"


def test_a_tunnel_carries_much_both_ways(proxy):
    def script(c):
        c.request()
        c.send(SWITCH)
        while data := c.recv(65536):
            c.send(data)
    c = proxy(script).client()
    c.send(ASK)
    assert c.response().status == 101
    data = bytes(range(256)) * 40_000
    sender = threading.Thread(target=c.send, args=(data,))
    sender.start()
    assert c.reader.exactly(len(data)) == data
    sender.join()
    c.half_close()
    c.expect_closed()


def test_what_goes_through_a_tunnel_is_no_body(proxy):
    """How long a body may be says nothing of it."""
    def script(c):
        c.request()
        c.send(SWITCH)
        c.send(c.reader.exactly(500_000)[::-1])
    c = proxy(script, route=["limit body=1k"]).client()
    c.send(ASK)
    assert c.response().status == 101
    c.send(b"a" * 500_000)
    assert c.reader.exactly(500_000) == b"a" * 500_000
    c.expect_closed()


def test_either_end_of_a_tunnel_ends_it(proxy):
    ended = Event()

    def script(c):
        c.request()
        c.send(SWITCH)
        c.wait_closed()
        ended.set()
    g = proxy(then=script)
    for leave in ("close", "reset"):
        ended.clear()
        c = g.client()
        c.send(ASK)
        assert c.response().status == 101
        getattr(c, leave)()
        assert ended.wait(10)
