"""HTTP/2 clients that mean harm: memory stays bounded, others are served, and the connection is closed
with ENHANCE_YOUR_CALM, a counter and a line in the log."""

import re
import threading
import time

import pytest

from harness import Event, H2Client, serve, stretched, wait_for
from harness.admin import AdminClient
from harness.h2 import (CONTINUATION, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PRIORITY, block, data,
                        frame, get, headers, integer, literal, ping, post, request, rst_stream, settings,
                        window_update)

pytestmark = [pytest.mark.alone, pytest.mark.plain]
ADMIN = "admin unix:admin.sock"
ALLOWED_KB = 16 << 10


def tolerant(script, c):
    try:
        script(c)
    except Exception:
        c.close()


@pytest.fixture
def attacked(proxy):
    """A gateway, another client that asks all the time, and what is to hold when it is over."""
    class Attacked:
        def start(self, *limits, script=None):
            play = script or serve()
            self.gateway = proxy(then=lambda c: tolerant(play, c), gateway=[ADMIN, *limits])
            self.gateway.wait_line("admin: listening")
            self.gateway.first_fds = self.gateway.fds()
            self.other = H2Client(self.gateway.address)
            for _ in range(50):
                assert self.other.get().status == 200
            self.gateway.reset_peak()
            self.before = self.gateway.rss_kb()
            self.worst, self.served, self.going, self.failed = 0, 0, True, None
            self.thread = threading.Thread(target=self.ask)
            self.thread.start()
            return self

        def ask(self):
            try:
                while self.going:
                    begin = time.monotonic()
                    assert self.other.get().status == 200
                    self.worst = max(self.worst, time.monotonic() - begin)
                    self.served += 1
                    time.sleep(0.002)
            except Exception as e:
                self.failed = e

        def client(self, **more):
            c = H2Client(self.gateway.address, **more)
            self.gateway.clients.append(c)
            return c

        def check(self, kind=None, memory=True):
            self.going = False
            self.thread.join()
            self.other.close()
            assert not self.failed, self.failed
            assert self.served > 0 and self.worst < stretched(2), f"another client waited {self.worst} s"
            if memory:
                grown = self.gateway.peak_kb() - self.before
                assert grown < ALLOWED_KB, f"{grown} kB more at the peak"
            if kind:
                self.gateway.wait_line(r"warn client 127\.0\.0\.1: HTTP/2 connection closed: \w+")
                with AdminClient(self.gateway) as c:
                    text = c.get("/metrics").body.decode()
                counted = int(re.search(r'h2_abuses_total\{kind="%s"\} (\d+)' % kind, text)[1])
                assert counted > 0, "it is counted"
                return counted
            return None
    a = Attacked()
    yield a
    a.going = False


def flood(c, piece, times=10_000):
    """Sends until the gateway has had enough; how often."""
    for n in range(times):
        if not c.try_send(piece):
            return n
    return times


def calmed(c):
    """The gateway has closed, and says why, if it could."""
    end = c.wait_end()
    return end == "ENHANCE_YOUR_CALM" or (end is None and c.was_reset)


def test_100000_rapid_resets(attacked):
    a = attacked.start()
    sent = 0
    while sent < 100_000:
        with a.client() as c:
            for first in range(1, 2001, 200):
                burst = b"".join(get(n) + rst_stream(n) for n in range(first, first + 200, 2))
                if not c.try_send(burst):
                    break
            sent += 1000
            assert calmed(c)
    assert a.check("resets") == 100


def test_100000_rapid_resets_that_are_allowed(attacked):
    a = attacked.start("limit h2-resets=1000000")
    c = a.client()
    for first in range(1, 200_001, 2000):
        c.send(b"".join(get(n) + rst_stream(n) for n in range(first, first + 2000, 2)))
    c.sync()
    c.send(get(300_001))
    assert c.wait(300_001).status == 200
    a.check()


def test_resets_that_the_gateway_is_made_to_send(attacked):
    a = attacked.start("limit h2-window-updates=100000")
    c = a.client()
    for first in range(1, 20_001, 200):
        if not c.try_send(b"".join(post(n) + window_update(n, (1 << 31) - 1) for n in range(first, first + 200, 2))):
            break
    assert calmed(c)
    a.check("resets")


def test_continuation_flood(attacked):
    a = attacked.start()
    c = a.client()
    c.send(frame(HEADERS, END_STREAM, 1, request()))
    flood(c, frame(CONTINUATION, 0, 1, literal("x-a", "b")))
    assert calmed(c)
    a.check("continuations")


def test_continuation_flood_of_empty_frames(attacked):
    a = attacked.start()
    c = a.client()
    c.send(frame(HEADERS, END_STREAM, 1, request()))
    flood(c, frame(CONTINUATION, 0, 1) * 100)
    assert calmed(c)
    a.check("continuations")


def test_hpack_bomb(attacked):
    """One entry of 4000 bytes, named by one byte each, four thousand times in a frame."""
    a = attacked.start()
    for n in range(20):
        c = a.client()
        c.send(headers(1, request() + literal("x-a", "b" * 4000, 0x40)))
        assert c.wait(1).status == 200
        c.try_send(headers(3, request() + b"\xbe" * 16000))
        assert calmed(c)
    a.check("head")


def test_hpack_bomb_within_the_limit(attacked):
    """More than a head may have, less than closes the connection: 431, and nothing is kept."""
    a = attacked.start()
    c = a.client()
    c.send(headers(1, request() + literal("x-a", "b" * 4000, 0x40)))
    assert c.wait(1).status == 200
    for n in range(3, 2003, 2):
        c.send(headers(n, request() + b"\xbe" * 60))
        assert c.wait(n).status == 431
    a.check()


def test_many_small_cookies(attacked):
    a = attacked.start("limit fields=1000")
    c = a.client()
    for n in range(1, 201, 2):
        c.send(headers(n, request() + literal("cookie", "a") * 900))
        assert c.wait(n).status == 200
    a.check()


def test_ping_flood(attacked):
    a = attacked.start()
    c = a.client()
    flood(c, ping() * 1000, 100)
    assert calmed(c)
    a.check("pings")


def test_ping_flood_without_reading(attacked):
    a = attacked.start("limit h2-pings=1000000")
    c = a.client(rcvbuf=4096)
    flood(c, ping() * 1000, 1000)
    a.check("waiting")


def test_settings_flood(attacked):
    a = attacked.start()
    c = a.client()
    flood(c, settings((INITIAL_WINDOW_SIZE, 1)) * 100, 100)
    assert calmed(c)
    a.check("settings")


def test_empty_data_flood(attacked):
    a = attacked.start()
    c = a.client()
    c.send(post(1))
    flood(c, data(1) * 100, 100)
    assert calmed(c)
    a.check("empties")


def test_window_update_flood(attacked):
    a = attacked.start()
    c = a.client()
    flood(c, window_update(0, 1) * 1000, 100)
    assert calmed(c)
    a.check("updates")


def test_priority_flood(attacked):
    a = attacked.start()
    c = a.client()
    for n in range(1, 20_001, 200):
        if not c.try_send(b"".join(frame(PRIORITY, 0, i, bytes(5)) for i in range(n, n + 200, 2))):
            break
    assert calmed(c)
    a.check("priorities")


def test_more_streams_than_are_read(attacked):
    """Streams beyond the limit, before the settings are agreed on, by a client that reads nothing."""
    a = attacked.start()
    c = a.client(rcvbuf=4096)
    section = request()
    for first in range(1, 2_000_001, 2000):
        if not c.try_send(b"".join(headers(n, section) for n in range(first, first + 2000, 2))):
            break
    a.check("waiting")


BIG = bytes(1 << 20)


@pytest.mark.parametrize("connections", [10, 1])
def test_1000_stalled_windows(attacked, connections):
    """Responses of a megabyte that nobody takes: each holds no more than its window, and whoever has many
    of them end by the time limit is closed."""
    streams = 1000 // connections
    a = attacked.start("timeout write=2s", f"limit h2-streams={streams}",
                       script=serve(lambda r, c: BIG if r.target == "/big" else "ok"))
    a.gateway.expect_error("backend")
    crowd = [a.client(window=0) for _ in range(connections)]
    for c in crowd:
        c.send(b"".join(get(n, "/big") for n in range(1, 2 * streams, 2)))
    for c in crowd:
        assert c.wait_end() == "ENHANCE_YOUR_CALM"
        assert sum(s.status == 200 for s in c.streams.values()) > 50, "they were answered, and stood still"
    held = a.gateway.peak_kb() - a.before
    assert held < 1000 * 280, f"{held} kB for 1000 responses"
    assert a.check("stalls", memory=False) == connections


def test_a_few_stalled_windows_end_by_themselves(attacked):
    """A browser has downloads that are held, and goes on with others on the same connection."""
    a = attacked.start("timeout write=1s", script=serve(lambda r, c: BIG if r.target == "/big" else "ok"))
    a.gateway.expect_error("backend")
    c = a.client(window=0, grow=False)
    c.send(b"".join(get(n, "/big") for n in range(1, 41, 2)))
    for n in range(1, 41, 2):
        assert c.wait(n).error == "INTERNAL_ERROR"
    c.send(get(41) + window_update(41, 1000))
    assert c.wait(41).status == 200
    a.check(memory=False)


def test_slow_uploads_hold_little(attacked):
    """Tiny DATA frames between junk, so that large reads would be pinned by small pieces."""
    go = Event()

    def script(c):
        while (head := c.reader.head()) is not None:
            if head.method == "POST":
                go.wait(30)
                c.reader.body(head)
            c.respond("ok")
    a = attacked.start("limit h2-window-updates=1000000", script=script)
    a.gateway.expect_error("backend")
    c = a.client()
    c.until(lambda: c.settings, "the settings")
    for n in range(1, 41, 2):
        c.send(post(n))
    junk = frame(0xee, 0, 0, bytes(16000))
    for _ in range(20):
        for n in range(1, 41, 2):
            if c.room(n) >= 2500:
                c.send(data(n, bytes(2500)) + junk)
                c.sent[n] = c.sent.get(n, 0) + 2500
                c.sent[0] += 2500
    c.sync()
    held = a.gateway.rss_kb() - a.before
    assert held < 24 << 10, f"{held} kB for 1 MB of bodies"
    go.set()
    a.check(memory=False)

