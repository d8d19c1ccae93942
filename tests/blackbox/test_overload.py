"""Four times as much as a pool can do: it does what it can, refuses the rest, and recovers at once."""

import heapq
import selectors
import socket
import time

import pytest

from conftest import make_config
from harness.admin import ADMIN, ask
from harness.messages import Reader

SLOTS, MS, CLIENTS, SECONDS, TIMEOUT_MS = 8, 20, 256, 2, 500
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


def most_connections(origin):
    origin.stdin.write("stats\n")
    origin.stdin.flush()
    return int(origin.stdout.readline())


@pytest.mark.alone
@pytest.mark.parametrize("protocol", ["http", "fastcgi"])
def test_four_times_the_capacity(gateway, program, here, protocol):
    """The origin never sees a ninth connection; who is refused is told when to come again; who is served
    has not waited for longer than the queue's timeout; and afterwards nobody waits."""
    origin = program("/usr/bin/python3", f"{here}/apps/slots_origin.py", str(SLOTS), str(MS),
                     *(["fcgi"] if protocol == "fastcgi" else []))
    g = gateway(make_config(f"{protocol}://127.0.0.1:{origin.first}", threads=4, pool=[
        f"max-conns {SLOTS}", f"queue length=128 timeout={TIMEOUT_MS}ms"],
        gateway=["error-log off", "access-log access.log format=json"]))
    answers = burst(g.address, 4 * CAPACITY, SECONDS)
    assert most_connections(origin) == SLOTS

    good = [m for m in answers if m.status == 200]
    refused = [m for m in answers if m.status != 200]
    print(f"{len(good)} served, {len(good) / (CAPACITY * SECONDS):.3f} of capacity; {len(refused)} refused")
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
    assert most_connections(origin) <= SLOTS


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
    assert most_connections(origin) < CLIENTS / 2
