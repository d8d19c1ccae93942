"""Connections spread evenly over the threads, whatever the kernel's hash says."""

import collections

from harness import serve, wait_for
from harness.admin import ADMIN, ask


def counts(g):
    return collections.Counter(c["worker"] for c in ask(g, "/connections")["connections"])


def test_threads_have_about_as_many_connections_each(proxy):
    g = proxy(then=serve(), threads=4, gateway=ADMIN)
    clients = [g.client() for _ in range(64)]
    wait_for(lambda: sum(counts(g).values()) == 64, "all to be there")
    spread = counts(g)
    print(dict(spread))
    assert len(spread) == 4
    assert max(spread.values()) - min(spread.values()) <= 6
    for c in clients:       # those handed over are served as the others are
        assert c.get().body == b"ok"


def test_what_is_handed_over_is_not_lost_when_connections_come_and_go(proxy):
    g = proxy(then=serve(), threads=4, gateway=ADMIN)
    for _ in range(8):
        some = [g.client() for _ in range(32)]
        for c in some:
            assert c.get("/", "Connection: close\r\n").status == 200
            c.expect_closed()
    wait_for(lambda: not counts(g), "nobody to be left")
