"""How often, and how many at a time: exact over all threads, for clients and other keys."""

import json
import threading
import time

from harness import Event, H2Client, serve, wait_for
from harness.admin import ADMIN, admin, ask, sluice

SITE = """site * {
    route /burst   { rate 1/h burst=5; proxy app }
    route /key     { rate 1/h burst=2 key=header:X-Api-Key; proxy app }
    route /cookie  { rate 1/h burst=2 key=cookie:id; proxy app }
    route /all     { rate 1/h burst=3 key=all; proxy app }
    route /both    { rate 1/h burst=4; rate 1/h burst=2 key=path; proxy app }
    route /slowly  { rate 20/s burst=1 delay=10s; proxy app }
    route /hop     { reroute /twice }
    route /twice   { rate 1/h burst=1; proxy app }
    route /three   { concurrent 3; proxy app }
    route /free    { rate off; proxy app }
    route *        { proxy app }
    %s
}"""


def statuses(g, target, n, fields="", source=None):
    with g.client(source=source) as c:
        return [c.get(target, fields).status for _ in range(n)]


def test_a_burst_passes_and_then_nothing_until_the_rate_allows(proxy):
    g = proxy(then=serve(), site=SITE % "")
    assert statuses(g, "/burst", 7) == [200] * 5 + [429] * 2
    assert statuses(g, "/burst", 1, source="127.0.0.2") == [200], "another client"
    with g.client() as c:
        m = c.get("/burst")
        assert m.status == 429 and 3500 < int(m["Retry-After"]) <= 3600
    assert len(g.backend.requests) == 6
    refused = [line for line in g.access(9) if line["status"] == 429]
    assert [line["reason"] for line in refused] == ["more requests than the rate allows"] * 3


def test_the_burst_is_exact_over_threads_and_connections(proxy):
    g = proxy(then=serve(), site=SITE % "", threads=4)
    found = []

    def run():
        found.extend(statuses(g, "/burst", 5))
    threads = [threading.Thread(target=run) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(found) == [200] * 5 + [429] * 55


def test_keys_are_counted_apart_and_who_has_none_by_its_client(proxy):
    g = proxy(then=serve(), site=SITE % "")
    a, b = "X-Api-Key: a\r\n", "X-Api-Key: b\r\n"
    assert statuses(g, "/key", 3, a) == [200, 200, 429]
    assert statuses(g, "/key", 3, a, source="127.0.0.2") == [429] * 3
    assert statuses(g, "/key", 3, b) == [200, 200, 429]
    assert statuses(g, "/key", 3) == [200, 200, 429]
    assert statuses(g, "/key", 3, source="127.0.0.2") == [200, 200, 429]
    assert statuses(g, "/cookie", 3, "Cookie: a=1; id=x\r\n") == [200, 200, 429]
    assert statuses(g, "/cookie", 1, "Cookie: id=y; a=1\r\n") == [200]
    assert [s for n in (1, 2, 3, 4) for s in statuses(g, "/all", 1, source=f"127.0.0.{n}")] == [200] * 3 + [429]


def test_every_line_counts(proxy):
    g = proxy(then=serve(), site=SITE % "")
    assert statuses(g, "/both", 3) == [200, 200, 429]
    assert statuses(g, "/both", 1, source="127.0.0.2") == [429], "the path's own is used up"


def test_the_site_says_it_for_routes_that_do_not(proxy):
    g = proxy(then=serve(), site=SITE % "rate 1/h burst=2")
    assert statuses(g, "/x", 2) + statuses(g, "/y", 1) == [200, 200, 429], "all routes together"
    assert statuses(g, "/free", 9) == [200] * 9
    assert statuses(g, "/burst", 6) == [200] * 5 + [429]


def test_those_that_may_wait_come_one_after_the_other(proxy):
    g = proxy(then=serve(), site=SITE % "")
    clients = [g.client() for _ in range(8)]
    for c in clients:
        c.send("GET /slowly HTTP/1.1\r\nHost: a\r\n\r\n")
    started = time.monotonic()
    assert [c.response().status for c in clients] == [200] * 8
    assert time.monotonic() - started > 0.25, "seven times a twentieth of a second, roughly"


def test_a_client_that_leaves_while_it_waits_is_forgotten(proxy):
    g = proxy(then=serve(), site=(SITE % "").replace("rate 20/s", "rate 1/m").replace("delay=10s", "delay=1m"),
              gateway=ADMIN)
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    assert statuses(g, "/slowly", 1) == [200]
    c = g.client()
    c.send("GET /slowly HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_for(lambda: '"admit"' in json.dumps(ask(g, "/connections")), "the one that waits")
    c.reset()
    left = [line for line in g.access(2) if line["status"] == 0]
    assert left[0]["reason"] == "connection reset by the client"
    assert len(g.backend.requests) == 1


def test_a_request_that_goes_on_inside_is_charged_once(proxy):
    g = proxy(then=serve(), site=(SITE % "rate 1/h burst=1"))
    assert statuses(g, "/hop", 1) == [200]


def test_so_many_at_a_time_and_not_one_more(proxy):
    go = Event()

    def answer(request, c):
        if request.target == "/three":
            assert go.wait(20)
        return b"ok"
    g = proxy(then=serve(answer), site=SITE % "", threads=3)
    clients = [g.client() for _ in range(3)]
    for c in clients:
        c.send("GET /three HTTP/1.1\r\nHost: a\r\n\r\n")
    g.backend.wait_requests(3)
    with g.client() as c:
        m = c.get("/three")
        assert m.status == 429 and m["Retry-After"] == "1"
        assert c.get("/else").status == 200
    assert statuses(g, "/else", 1, source="127.0.0.2") == [200]
    clients.pop().reset()
    wait_for(lambda: statuses_soon(g) == 200, "the place of the one that left")
    go.set()
    assert [c.response().status for c in clients] == [200, 200]
    assert statuses(g, "/three", 9) == [200] * 9


def statuses_soon(g):
    """The status of a request that may be let in, which then hangs: it is left."""
    with g.client() as c:
        c.send("GET /three HTTP/1.1\r\nHost: a\r\n\r\n")
        c.socket.settimeout(0.3)
        try:
            return c.response().status
        except TimeoutError:
            return 200


def test_http2_streams_count_as_requests(proxy):
    g = proxy(then=serve(), site=SITE % "")
    with H2Client(g.address) as c:
        assert [c.get("/burst").status for _ in range(6)] == [200] * 5 + [429]


def test_a_reload_forgets_nothing_and_metrics_tell(proxy):
    g = proxy(then=serve(), site=SITE % "", gateway=[*ADMIN])
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    assert statuses(g, "/burst", 6) == [200] * 5 + [429]
    g.config.write_text(g.config.read_text().replace("concurrent 3", "concurrent 4"))
    assert sluice(g, "reload").returncode == 0
    assert statuses(g, "/burst", 1) == [429]
    with admin(g) as c:
        assert b'sluice_admission_refused_total{gate="rate"} 2\n' in c.get("/metrics").body
    text = sluice(g, "explain", "GET", "/both").stdout
    assert "limit: rate 1/h burst=4\n" in text and "limit: rate 1/h burst=2 key=path\n" in text
