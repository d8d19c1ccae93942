"""Many things at once. Under ThreadSanitizer its reports fail the test; without, it is short.

SLUICE_LOAD_SECONDS: how long (default 3).
"""

import os
import random
import re
import subprocess
import threading
import time

import pytest

from harness import Broken, Client

pytestmark = [pytest.mark.load, pytest.mark.alone, pytest.mark.faults]
SECONDS = int(os.environ.get("SLUICE_LOAD_SECONDS", "3"))


@pytest.fixture
def demo(program, here):
    """Two of the demo's backends: quick, and written in C."""
    from harness.gateway import BIN
    path = os.path.join(os.path.dirname(BIN), "..", "examples", "demo", "demo-backend")
    env = {**os.environ, "TSAN_OPTIONS": "report_bugs=0"}      # it is not what is tested here
    wrap = os.environ.get("SLUICE_WRAP", "").split()
    return [program(*wrap, path, env=env).first.split()[-1] for _ in range(2)]


def test_200_connections_on_4_threads(proxy, demo):
    """Keep-alive load, with clients beside it that leave, send slowly, upload, pipeline and break rules."""
    g = proxy(*demo, threads=4, pool=["keep-alive idle=16 timeout=2s requests=50", "timeout response=20s"],
              gateway=["timeout head=5s body=5s idle=3s"])
    end = time.monotonic() + SECONDS
    wrk = subprocess.Popen(["wrk", "-t1", "-c200", f"-d{SECONDS}s", f"{g.url}/headers"],
                           stdout=subprocess.PIPE, text=True)
    failures = []

    def crowd(seed, behave):
        chance = random.Random(seed)
        while time.monotonic() < end:
            try:
                with Client(g.address, timeout=30) as c:
                    behave(c, chance)
            except (Broken, OSError):
                pass
            except AssertionError as e:
                failures.append(repr(e))

    def upload(c, chance):
        size = chance.randrange(200_000)
        m = c.post("/upload", b"u" * size)
        assert m.status == 200 and m.body == b"%d bytes\n" % size, m

    def pipeline(c, chance):
        n = chance.randrange(1, 20)
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n" * n)
        for _ in range(n):
            assert c.response().status == 200

    def leave(c, chance):
        c.send("GET /slow?ms=100 HTTP/1.1\r\nHost: t\r\n\r\n"[:chance.randrange(1, 60)])
        c.reset() if chance.random() < 0.5 else c.close()

    def break_rules(c, chance):
        c.send(chance.choice(["GET / HTTP/1.1\r\n\r\n", "\0\0\0\r\n\r\n", "GET /x HTTP/3.0\r\nHost: t\r\n\r\n",
                              "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]))
        assert c.response().status >= 400

    def half_close(c, chance):
        c.send("GET /slow?ms=20 HTTP/1.1\r\nHost: t\r\n\r\n").half_close()
        assert c.response().status == 200

    def events(c, chance):
        c.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n")
        c.reader.until(b"tick")

    behaviours = [upload, pipeline, leave, break_rules, half_close, events]
    threads = [threading.Thread(target=crowd, args=(n, b)) for n, b in enumerate(behaviours)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(SECONDS + 60)
    report = wrk.communicate(timeout=60)[0]
    print(report)
    done = int(re.search(r"(\d+) requests in", report)[1])
    assert done > 100
    assert "Non-2xx" not in report, report
    assert failures == []


def test_stopping_in_the_middle_of_load(proxy, demo):
    """Repeated starts and stops with traffic: what ends must not race with what runs."""
    for _ in range(3):
        g = proxy(*demo, threads=4)
        wrk = subprocess.Popen(["wrk", "-t1", "-c50", "-d1s", f"{g.url}/"], stdout=subprocess.DEVNULL)
        with g.client() as c:
            assert c.get().status == 200
        time.sleep(0.3)
        g.stop()
        wrk.wait(30)
