"""Slow clients hold no process of an application: not while they send, not while they read."""

import select
import threading

import pytest

from conftest import make_config
from harness import wait_for
from harness.admin import ADMIN, ask
from harness.apps import Fpm, site

SLOW = 200
LARGE = 5_000_000


class Trickle:
    """Moves a kilobyte of each client a second, until it is stopped."""

    def __init__(self, uploads, readers):
        self.uploads, self.readers, self.over = uploads, readers, threading.Event()
        self.got = [0] * len(readers)
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        while not self.over.is_set():
            for c in self.uploads:
                c.try_send(b"u" * 1000)
            for i, c in enumerate(self.readers):
                if select.select([c.socket], [], [], 0)[0]:
                    self.got[i] += len(c.socket.recv(1000))
            self.over.wait(1)

    def stop(self):
        self.over.set()
        self.thread.join()


@pytest.fixture
def fpm(started, tmp_path):
    (tmp_path / "large.php").write_text(
        f"<?php header('Content-Length: {LARGE}'); for ($i = 0; $i < 50; $i++) echo str_repeat('x', {LARGE // 50});")
    (tmp_path / "upload.php").write_text("<?php echo strlen(file_get_contents('php://input'));")
    (tmp_path / "small.php").write_text("<?php echo 'ok';")
    f = Fpm(2)
    started.processes.append(f)
    return f


@pytest.mark.alone
@pytest.mark.plain
def test_a_fast_client_waits_for_none_of_four_hundred_slow_ones(gateway, fpm, tmp_path):
    """No request of it finds both processes busy: the log says that none has waited for a slot."""
    g = gateway(make_config(fpm, site=site(tmp_path), gateway=[f"temp-dir {tmp_path}", *ADMIN], pool=[
        "protocol fastcgi", "max-conns 2", "queue length=1000 timeout=60s"]))

    def pool():
        return ask(g, "/pools/app")
    fast = g.client(timeout=60)
    uploads = [g.client(timeout=60) for _ in range(SLOW)]
    for c in uploads:
        c.send("POST /upload.php HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n")
    readers = [g.client(timeout=60, rcvbuf=4096) for _ in range(SLOW)]
    for c in readers:
        c.send("GET /large.php HTTP/1.1\r\nHost: t\r\n\r\n")
    most, sockets = [0], [c.socket for c in readers]

    def all_begun():
        most[0] = max(most[0], fpm.connections())
        return len(select.select(sockets, [], [], 0)[0]) == SLOW
    wait_for(all_begun, "every slow reader's response to begin", 60)
    wait_for(lambda: pool()["connections"]["busy"] == 0, "all that is slow to hold no process", 60)
    trickle = Trickle(uploads, readers)
    try:
        assert fast.get("/small.php").body == b"ok"     # may wait for a connection that another thread keeps
        waited = pool()["latency"]["queue_us"]
        for n in range(500):
            assert fast.get("/small.php").body == b"ok"
            most[0] = max(most[0], fpm.connections())
            if n % 50 == 0:
                assert pool()["connections"]["busy"] == pool()["queue"]["waiting"] == 0
        after = pool()["latency"]["queue_us"]
        assert after["sum_us"] == waited["sum_us"], "somebody waited for a process"
        served = [r for r in g.access(501) if r["target"] == "/small.php"]
        assert len(served) == 501 and [r["queue_us"] for r in served[1:]] == [0] * 500
        assert fast.post("/upload.php", b"x" * 100_000).body == b"100000"
        assert not select.select([c.socket for c in uploads], [], [], 0)[0], "an upload was answered early"
        assert max(trickle.got) < LARGE, "a slow reader was done"
        assert most[0] <= 2
    finally:
        trickle.stop()
    got = trickle.got[0]        # and what is slow comes whole, if somebody reads it
    while got < LARGE:
        piece = readers[0].recv(65536)
        assert piece, "a slow reader's response broke off"
        got += len(piece)
