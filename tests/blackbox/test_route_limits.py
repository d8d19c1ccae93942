"""What a route says of limits, deadlines and buffers counts instead of what its pool and the gateway say."""

import pytest

from harness import serve, wait_for

SITE = """site * {
    route /slow*   { proxy app; timeout response=200ms }
    route /upload* { proxy app; buffer request; limit body=100k; timeout body=200ms }
    route /stream* { proxy app; buffer off }
    route *        { proxy app }
}"""


@pytest.mark.faults
def test_a_route_waits_for_its_own_time(proxy):
    def script(c):
        c.request()
        c.wait_closed()
    g = proxy(script, site=SITE, pool=["timeout response=60s", "retry attempts=1"])
    assert g.get("/slow/x").status == 504
    assert g.access(1)[0]["reason"] == "no response from the backend (timeout response)"


def test_one_route_holds_uploads_and_another_streams_them(proxy):
    def script(c):
        m = c.head()
        c.backend.seen.append(m.target)
        c.reader.body(m)
        c.respond()
        c.wait_closed()
    g = proxy(then=script, site=SITE, threads=1)
    g.backend.seen = []
    head = "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"
    with g.client() as held, g.client() as streamed:
        held.send(head % "/upload")
        wait_for(lambda: len(g.fds()) > len(g.first_fds), "its connection")
        streamed.send(head % "/stream")
        wait_for(lambda: "/stream" in g.backend.seen, "the streamed one")
        assert "/upload" not in g.backend.seen, "it is not passed on before it is complete"
        held.send("67890")
        assert held.response("POST").status == 200
        streamed.send("67890")
        assert streamed.response("POST").status == 200


def test_a_route_has_its_own_limit_and_patience_for_bodies(proxy):
    g = proxy(then=serve(), site=SITE, gateway=["limit body=10"])
    with g.client() as c:
        assert c.post("/upload", b"x" * 100000).status == 200
        assert c.post("/upload", b"x" * 103000).status == 413
    with g.client() as c:
        assert c.post("/else", b"x" * 11).status == 413
    with g.client() as c:
        c.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        assert c.response("POST").status == 408
