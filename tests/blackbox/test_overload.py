"""Four times as much as a pool can do: it does what it can, refuses the rest, and recovers at once."""

import collections
import functools
import heapq
import random
import selectors
import socket
import time

import pytest

from conftest import make_config
from harness.admin import ADMIN, ask
from harness.answering import Fcgi, Http
from harness.messages import Reader
from harness.wait import STRETCH

SLOTS, MS, CLIENTS, FACTOR, SECONDS, TIMEOUT_MS = 8, 20, 256, 4, 2, 500
TICKS, WAIT_S = 300, 2
CAPACITY = SLOTS * 1000 / MS        # in a second
REQUEST = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


class Asker:
    """A client that asks at its times, whatever has become of the request before; unless that is under way."""

    def __init__(self, address):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.socket.recv)
        self.is_busy = False

    def ask(self):
        if not self.is_busy:
            self.is_busy = True
            self.socket.sendall(REQUEST)

    def answer(self):
        self.is_busy = False
        return self.reader.response("GET")


def burst(address, rate, seconds):
    """The answers there are when every client asks so often that together they ask at this rate."""
    sel, answers, begin = selectors.DefaultSelector(), [], time.monotonic()
    askers = [Asker(address) for _ in range(CLIENTS)]
    due = [(begin + n / rate, n) for n in range(CLIENTS)]
    for a in askers:
        sel.register(a.socket, selectors.EVENT_READ, a)
    while any(a.is_busy for a in askers) or time.monotonic() < begin + seconds:
        now = time.monotonic()
        while due and due[0][0] <= now:
            at, n = heapq.heappop(due)
            askers[n].ask()
            if at + CLIENTS / rate < begin + seconds:
                heapq.heappush(due, (at + CLIENTS / rate, n))
        for key, _ in sel.select(max(0, due[0][0] - now) if due else 1):
            answers.append(key.data.answer())
    for a in askers:
        a.socket.close()
    return answers


class Origin:
    """SLOTS workers that are done when they are told, in the loop of the test. What comes meanwhile waits."""

    def __init__(self, sel, codec):
        self.sel, self.codec = sel, codec
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections, self.most, self.answered = {}, 0, 0
        self.waiting = collections.deque()      # (connection, what answers it, whether it is kept)
        sel.register(self.listener, selectors.EVENT_READ, self.on_connect)

    @property
    def busy(self):
        return min(SLOTS, len(self.waiting))

    def on_connect(self, _):
        for c in list(self.connections):        # one that was closed before this one was made does not count
            self.on_readable(c)
        c, _ = self.listener.accept()
        c.setblocking(False)
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections[c] = self.codec()
        self.most = max(self.most, len(self.connections))
        self.sel.register(c, selectors.EVENT_READ, self.on_readable)

    def on_readable(self, c):
        if c not in self.connections:       # closed in this turn
            return
        try:
            data = c.recv(65536)
        except BlockingIOError:
            return
        self.waiting.extend((c, *answer) for answer in self.connections[c].feed(data))
        if not data:
            self.sel.unregister(c)
            del self.connections[c]
            c.close()

    def answer(self, n):
        for _ in range(n):
            c, answer, is_kept = self.waiting.popleft()
            self.answered += 1
            c.send(answer)
            if not is_kept:
                c.shutdown(socket.SHUT_WR)


class Crowd:
    """Clients that ask when they are told, those first that have waited for longest."""

    def __init__(self, sel, address):
        self.free = collections.deque(Asker(address) for _ in range(CLIENTS))
        self.answers, self.asked = [], 0
        for a in self.free:
            sel.register(a.socket, selectors.EVENT_READ, functools.partial(self.on_answer, a))

    def on_answer(self, asker, _):
        self.answers.append(asker.answer())
        self.free.append(asker)

    def ask(self, n):
        for _ in range(n):
            self.free.popleft().ask()
        self.asked += n


def run_until(sel, condition, what):
    end = time.monotonic() + 20 * STRETCH
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        for key, _ in sel.select(1):
            key.data(key.fileobj)


@pytest.mark.parametrize("protocol, pool", [("http", []), ("fastcgi", []), ("http", ["keep-alive idle=0"]),
                                            ("fastcgi", ["keep-alive idle=0"])],
                         ids=["http", "fastcgi", "http-close", "fastcgi-close"])
def test_no_slot_is_idle_while_somebody_waits_and_no_answer_is_for_nobody(gateway, protocol, pool):
    """Four ask for each that is answered, whatever the time. All slots are busy again after each answer, so the
    origin does all it can; and all of that reaches clients. The rest are told when to come again. It never sees
    a ninth connection, and when it is over nobody waits."""
    sel, random_ = selectors.DefaultSelector(), random.Random(1)
    origin = Origin(sel, {"http": Http, "fastcgi": Fcgi}[protocol])
    g = gateway(make_config(f"{protocol}://{origin.address}", threads=4, pool=[
        f"max-conns {SLOTS}", f"queue length=128 timeout={WAIT_S}s", *pool],
        gateway=["error-log off", "access-log access.log format=json"]))
    crowd = Crowd(sel, g.address)
    crowd.ask(FACTOR * SLOTS)
    for _ in range(TICKS):
        n = random_.choice([1, SLOTS])
        run_until(sel, lambda: origin.busy == SLOTS, "all slots to be busy")
        origin.answer(n)
        run_until(sel, lambda: len(crowd.free) >= FACTOR * n, "refusals of who finds no place in the queue")
        crowd.ask(FACTOR * n)
    during = origin.answered
    while len(crowd.free) < CLIENTS:
        run_until(sel, lambda: origin.busy == min(SLOTS, CLIENTS - len(crowd.free)), "all slots to be busy")
        origin.answer(origin.busy)
        run_until(sel, lambda: origin.busy or len(crowd.free) == CLIENTS, "answers")

    answers = list(crowd.answers)
    good = [m for m in answers if m.status == 200]
    refused = [m for m in answers if m.status != 200]
    print(f"{during} answered in the burst, {origin.answered} in all, {len(good)} served, {len(refused)} refused")
    assert len(answers) == crowd.asked
    assert len(good) >= 0.98 * origin.answered
    assert all(m.body == b"ok" for m in good)
    assert all(m.status == 503 and int(m["retry-after"]) >= 1 for m in refused)
    assert len(refused) > 0.6 * len(answers)
    assert origin.most == SLOTS
    waited = sorted(r["queue_us"] for r in g.access(len(answers)) if r["status"] == 200)
    assert waited[int(0.99 * len(waited))] <= WAIT_S * 1_000_000

    # One that asks by itself: once it may need a connection of another thread's, and then has its own.
    for _ in range(2 * SLOTS):
        crowd.ask(1)
        run_until(sel, lambda: origin.busy, "the request")
        origin.answer(1)
        run_until(sel, lambda: len(crowd.free) == CLIENTS, "the answer")
        crowd.free.rotate(1)
    after = [r["queue_us"] for r in g.access(len(answers) + 2 * SLOTS)[len(answers):]]
    assert all(m.status == 200 for m in crowd.answers[-2 * SLOTS:])
    assert sum(us > 0 for us in after) <= 1, after
    assert origin.most == SLOTS
    for s in [a.socket for a in crowd.free] + [*origin.connections, origin.listener]:
        s.close()


def counts_of(origin):
    """The most connections at a time since this was last asked, and how many answers there have been."""
    origin.stdin.write("stats\n")
    origin.stdin.flush()
    return map(int, origin.stdout.readline().split())


@pytest.mark.alone
@pytest.mark.parametrize("protocol", ["http", "fastcgi"])
def test_four_times_the_capacity(gateway, program, here, protocol):
    """With real time: the origin never sees a ninth connection, and every answer it gives is wanted; who is
    refused is told when to come again; who is served has not waited for longer than the queue's timeout."""
    origin = program("/usr/bin/python3", f"{here}/apps/slots_origin.py", str(SLOTS), str(MS),
                     *(["fcgi"] if protocol == "fastcgi" else []))
    g = gateway(make_config(f"{protocol}://127.0.0.1:{origin.first}", threads=4, pool=[
        f"max-conns {SLOTS}", f"queue length=128 timeout={TIMEOUT_MS}ms"],
        gateway=["error-log off", "access-log access.log format=json"]))
    answers = burst(g.address, FACTOR * CAPACITY, SECONDS)
    most, answered = counts_of(origin)
    assert most == SLOTS

    good = [m for m in answers if m.status == 200]
    refused = [m for m in answers if m.status != 200]
    print(f"{len(good)} served, {len(good) / (CAPACITY * SECONDS):.3f} of capacity; {len(refused)} refused")
    assert len(good) == answered
    assert all(m.body == b"ok" for m in good)
    assert all(m.status == 503 and int(m["retry-after"]) >= 1 for m in refused)
    assert len(good) > 0.5 * CAPACITY * SECONDS     # generous: it is the machine's as well
    assert len(refused) > 0.25 * len(answers)

    records = g.access(len(answers))
    waited = sorted(r["queue_us"] for r in records if r["status"] == 200)
    assert waited[int(0.99 * len(waited))] <= 1.2 * TIMEOUT_MS * 1000
    for _ in range(2 * SLOTS):
        assert g.get().status == 200
    after = sorted(r["queue_us"] for r in g.access(len(answers) + 2 * SLOTS)[len(answers):])
    print(f"waited: median {waited[len(waited) // 2]} us, afterwards {after}")
    assert after[SLOTS] < MS * 1000     # for no other request, though maybe for another thread's connection
    most, _ = counts_of(origin)
    assert most <= SLOTS


@pytest.mark.alone
@pytest.mark.plain
def test_a_limit_is_found_where_none_is_configured(gateway, program, here):
    """Near what the origin does at a time: the rest waits here, and not there."""
    origin = program("/usr/bin/python3", f"{here}/apps/slots_origin.py", str(SLOTS), str(MS))
    g = gateway(make_config(f"127.0.0.1:{origin.first}", threads=4, pool=["adaptive latency=200%"],
                            gateway=[*ADMIN, "access-log off", "error-log off"]))
    burst(g.address, 1.5 * CAPACITY, 3)
    limit = ask(g, "/pools/app")["backends"][0]["connections"]["limit"]
    print(f"limit {limit}")
    assert 4 <= limit <= 8 * SLOTS      # without it there would be 256 at a time
    most, _ = counts_of(origin)
    assert most < CLIENTS / 2
