"""Asking a second backend when the first takes long: who answers first is listened to."""

import socket
import threading

import pytest

from conftest import make_config
from harness import Event, wait_for
from harness.admin import ADMIN, ask


class Stalling:
    """A backend that waits with its answer until it is let go."""

    def __init__(self, backend, name):
        self.name, self.asked, self.closed = name, [], Event()
        self.gate = Event()
        self.backend = backend(then=self.script)
        self.address = self.backend.address

    def script(self, c):
        while (r := c.request()) is not None:
            self.asked.append(r.target)
            if r.target != "/quick":
                threading.Thread(target=self.watch, args=(c,), daemon=True).start()
                self.gate.wait(20)
            try:
                c.respond(self.name)
            except OSError:
                return

    def watch(self, c):
        """The gateway closes the connection of who has lost."""
        try:
            gone = c.socket.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            gone = True
        if gone:
            self.closed.set()


@pytest.fixture
def pair(gateway, backend):
    """Two that stall, asked in turn, the first one first."""
    two = []

    def start(hedge="hedge after=50ms budget=100%", *more, **keys):
        two.extend(Stalling(backend, name) for name in "AB")
        g = gateway(make_config(*two, pool=[hedge, *more], gateway=ADMIN, threads=1, **keys))
        return g, *two
    yield start
    for s in two:
        s.gate.set()


def begin(g, target="/", method="GET", body=b""):
    c = g.client()
    c.send(f"{method} {target} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
           if body else f"{method} {target} HTTP/1.1\r\nHost: t\r\n\r\n")
    return c


def test_the_second_answers_and_the_first_is_let_go(pair):
    g, a, b = pair()
    c = begin(g)
    wait_for(lambda: a.asked and b.asked, "both to be asked")
    b.gate.set()
    assert c.response().body == b"B"
    assert a.closed.wait(10)
    wait_for(lambda: ask(g, "/pools/app")["connections"]["busy"] == 0, "no slot to be held")
    assert (a.asked, b.asked) == (["/"], ["/"])
    pool = ask(g, "/pools/app")
    assert pool["backends"][0]["state"] == "up"     # to be slow is no failure
    assert [x["counters"]["hedges"] for x in (pool, *pool["backends"])] == [1, 0, 1]


def test_the_first_answers_after_all(pair):
    g, a, b = pair()
    c = begin(g)
    wait_for(lambda: a.asked and b.asked, "both to be asked")
    a.gate.set()
    assert c.response().body == b"A"
    assert b.closed.wait(10)
    assert c.get("/quick").status == 200        # the connection of the client goes on
    wait_for(lambda: ask(g, "/pools/app")["connections"]["busy"] == 0, "no slot to be held")


@pytest.mark.faults
@pytest.mark.parametrize("how", ["reset", "garbage", "refused"])
def test_a_second_that_fails_does_no_harm(gateway, backend, how):
    a = Stalling(backend, "A")
    failed = Event()

    def script(c):
        c.request()
        failed.set()
        if how == "garbage":
            c.send("HTTX/1.1 what\r\n\r\n")
        c.reset()
    b = "127.0.0.1:1" if how == "refused" else backend(then=script)
    g = gateway(make_config(a, b, pool=["hedge after=50ms budget=100%", "retry attempts=2"], threads=1))
    c = begin(g)
    if how == "refused":
        g.wait_line("Connection refused")
    else:
        assert failed.wait(10)
        g.wait_line("warn .* backend ")
    a.gate.set()
    assert c.response().body == b"A"
    assert a.asked == ["/"]


@pytest.mark.faults
@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_first_that_fails_leaves_it_to_the_second(gateway, backend, how):
    b = Stalling(backend, "B")

    def script(c):
        c.request()
        wait_for(lambda: b.asked, "the other to be asked")
        c.reset() if how == "reset" else c.close()
    a = backend(then=script)
    g = gateway(make_config(a, b, pool=["hedge after=50ms budget=100%"], threads=1))
    c = begin(g)
    g.wait_line("another is asked already")
    b.gate.set()
    assert c.response().body == b"B"
    assert b.asked == ["/"]


@pytest.mark.faults
def test_with_both_too_late_the_answer_is_504(pair):
    g, a, b = pair("hedge after=50ms budget=100%", "timeout response=300ms")
    assert begin(g).response().status == 504
    assert a.closed.wait(10) and b.closed.wait(10)
    wait_for(lambda: ask(g, "/pools/app")["connections"]["busy"] == 0, "no slot to be held")


@pytest.mark.parametrize("method, body", [("POST", b"x"), ("POST", b""), ("DELETE", b""), ("GET", b"x")])
def test_only_what_is_safe_and_has_no_body_is_asked_twice(pair, method, body):
    g, a, b = pair()
    c = begin(g, method=method, body=body)
    wait_for(lambda: a.asked, "one to be asked")
    with g.client() as other:       # one that is asked twice, and later
        other.send("GET /later HTTP/1.1\r\nHost: t\r\n\r\n")
        wait_for(lambda: "/later" in a.asked and "/later" in b.asked, "the other request to be asked twice")
    a.gate.set()
    b.gate.set()
    assert c.response().body == b"A"
    assert "/" not in b.asked


def test_the_budget_is_kept(pair):
    """One for ten requests: the eleventh slow one is asked twice, and no other."""
    g, a, b = pair("hedge after=30ms budget=10%")
    for _ in range(9):
        assert g.get("/quick").status == 200
    clients = [begin(g, f"/slow{n}") for n in range(4)]
    wait_for(lambda: len(a.asked + b.asked) == 9 + 4 + 1, "one to be asked twice")
    a.gate.set()
    b.gate.set()
    for c in clients:
        assert c.response().status == 200
    assert len(a.asked + b.asked) == 9 + 4 + 1


def test_a_client_that_leaves_takes_both_along(pair):
    g, a, b = pair()
    c = begin(g)
    wait_for(lambda: a.asked and b.asked, "both to be asked")
    c.close()
    assert a.closed.wait(10) and b.closed.wait(10)
    wait_for(lambda: ask(g, "/pools/app")["connections"]["busy"] == 0, "no slot to be held")


def test_fastcgi_is_asked_twice_too(gateway, program, here):
    slow, quick = (program("/usr/bin/python3", f"{here}/apps/slots_origin.py", "8", ms, "fcgi") for ms in ("20000", "0"))
    g = gateway(make_config(f"fastcgi://127.0.0.1:{slow.first}", f"fastcgi://127.0.0.1:{quick.first}",
                            pool=["hedge after=50ms budget=100%"], gateway=ADMIN, threads=1))
    assert g.get().body == b"ok"
    pool = ask(g, "/pools/app")
    assert [b["counters"]["hedges"] for b in pool["backends"]] == [0, 1]
    assert pool["connections"]["busy"] == 0


def test_it_is_off_by_default(gateway, backend):
    a, b = Stalling(backend, "A"), Stalling(backend, "B")
    g = gateway(make_config(a, b, threads=1))
    c = begin(g)
    wait_for(lambda: a.asked, "one to be asked")
    assert g.get("/quick").body == b"B"
    a.gate.set()
    assert c.response().body == b"A"
    assert b.asked == ["/quick"]
