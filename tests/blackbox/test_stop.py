"""The end: requests in flight are finished, new ones are not taken, and a deadline ends it all."""

import signal
import socket
import threading
import time

import pytest

from harness import Broken, Event, Held, serve, stretched, wait_for


def refused(address):
    with socket.socket() as s:
        s.settimeout(5)
        return s.connect_ex(address) != 0


def busy(proxy, *keys):
    """A gateway, a client that waits for its answer, and what lets the answer go."""
    held = Held()
    g = proxy(then=held, gateway=keys)
    c = g.client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert held.asked.wait(10)
    return g, c, held


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_request_in_flight_is_finished(proxy, sig):
    g, c, held = busy(proxy)
    g.signal(sig)
    wait_for(lambda: refused(g.address), "every worker to be told")
    held.go.set()
    m = c.response()
    assert m.status == 200 and m.body == b"finished" and "close" in m.tokens("connection")
    c.expect_closed()
    assert g.wait_exit() == 0


def test_listeners_close_first(proxy):
    g, c, held = busy(proxy)
    g.signal(signal.SIGTERM)
    wait_for(lambda: refused(g.address), "the listener to be closed")
    assert g.running()
    held.go.set()
    assert c.response().body == b"finished"
    assert g.wait_exit() == 0


def test_idle_connections_do_not_hold_it_up(proxy):
    g = proxy()
    clients = [g.client() for _ in range(50)]
    for c in clients[:25]:
        assert c.get().status == 200    # these have asked once, the others never
    begin = time.monotonic()
    g.signal(signal.SIGTERM)
    assert g.wait_exit() == 0
    assert time.monotonic() - begin < stretched(5)
    for c in clients:
        c.expect_closed()


def test_an_upload_and_a_download_in_flight_are_finished(proxy):
    first = Event()
    go = Event()

    def script(c):
        r = c.head()
        if r.target == "/up":
            assert c.reader.exactly(4) == b"half"
            first.set()
            assert c.reader.exactly(4) == b"rest"
            c.respond("stored")
        else:
            c.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
            assert go.wait(20)
            c.send("rest")
    g = proxy(then=script)
    up, down = g.client(), g.client()
    up.send("POST /up HTTP/1.1\r\nHost: t\r\nContent-Length: 8\r\n\r\nhalf")
    down.send("GET /down HTTP/1.1\r\nHost: t\r\n\r\n")
    head = down.reader.head()
    assert down.reader.exactly(4) == b"half" and head.status == 200 and first.wait(10)
    g.signal(signal.SIGTERM)
    g.wait_line("stopping|draining|stop")
    up.send("rest")
    go.set()
    assert down.reader.exactly(4) == b"rest"
    assert up.response().body == b"stored"
    assert g.wait_exit() == 0


def test_a_deadline_ends_it(proxy):
    g, c, held = busy(proxy, "stop-timeout 400ms")
    g.expect_error("deadline|timeout|unfinished|cut|stop")
    begin = time.monotonic()
    g.signal(signal.SIGTERM)
    assert g.wait_exit() == 0
    assert 0.3 < time.monotonic() - begin < stretched(5)
    held.go.set()
    with pytest.raises(Broken):
        if c.response().status in (502, 503, 504):
            raise Broken("told so")


def test_a_second_signal_ends_it_at_once(proxy):
    g, _, held = busy(proxy)
    g.expect_error(".")
    g.signal(signal.SIGTERM)
    g.wait_line("stopping|draining|stop")
    g.signal(signal.SIGTERM)
    assert g.wait_exit(5) == 0
    held.go.set()


def test_any_number_of_signals_ends_it_too(proxy):
    g, _, held = busy(proxy, "stop-timeout 500ms")
    g.expect_error(".")

    def has_ended():
        for _ in range(50):
            g.signal(signal.SIGTERM)
        return not g.running()
    wait_for(has_ended, "the end")
    assert g.wait_exit() == 0
    assert sum("breaking them off" in line for line in g.lines) <= 1
    held.go.set()


def test_no_request_is_lost_when_stopping_under_load(proxy):
    """Whoever got a connection accepted and its request read gets an answer, or is told by a close
    before any answer that it may ask again."""
    def answer(r, c):
        time.sleep(0.01)
        return r.target.encode()
    g = proxy(then=serve(answer), threads=2)
    lost, done = [], []

    def ask(k):
        try:
            c = g.client()
        except OSError:
            return
        n = 0
        while True:
            target = f"/{k}-{n}"
            try:
                c.send(f"GET {target} HTTP/1.1\r\nHost: t\r\n\r\n")
                m = c.response()
            except (Broken, OSError) as e:
                partial = getattr(e, "message", None)
                if partial is not None or c.reader.buffer:
                    lost.append(target)
                return
            if m.body != target.encode():
                lost.append(target)
            done.append(1)
            n += 1
            if "close" in m.tokens("connection"):
                return
    threads = [threading.Thread(target=ask, args=(k,)) for k in range(20)]
    for t in threads:
        t.start()
    while len(done) < 200:
        time.sleep(0.01)
    g.signal(signal.SIGTERM)
    for t in threads:
        t.join(20)
    assert g.wait_exit() == 0
    assert lost == []
    asked = {r.target for r in g.backend.requests}
    assert len(done) >= len(asked), "the backend worked for a client that got no answer"


def test_a_tunnel_does_not_hold_it_up_for_ever(proxy):
    def script(c):
        c.request()
        c.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        c.wait_closed()
    g = proxy(then=script, gateway=["stop-timeout 500ms"])
    g.expect_error(".")
    c = g.client()
    assert c.get("/", "Upgrade: x\r\nConnection: upgrade\r\n").status == 101
    g.signal(signal.SIGTERM)
    assert g.wait_exit(10) == 0
