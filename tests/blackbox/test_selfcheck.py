"""The tests' own tools, tried against each other without a gateway."""

import pytest

from harness import Broken, Client, serve

pytestmark = pytest.mark.serial


def direct(backend):
    return Client((backend.host, backend.port))


def test_script_plays_in_order(backend):
    def first(c):
        assert c.request().target == "/a"
        c.respond("one")
        assert c.request().body == b"xyz"
        c.respond("two")
    b = backend(first)
    with direct(b) as c:
        assert c.get("/a").body == b"one"
        assert c.post("/b", "xyz").body == b"two"
        c.expect_closed()
    assert [r.method for r in b.requests] == ["GET", "POST"]


def test_reader_reads_chunks_and_trailers(backend):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n")
    with direct(backend(script)) as c:
        m = c.get("/")
        assert m.body == b"abc" and m.chunks == [3] and m.trailers == [("x-sum", "9")]


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"garbage\r\n\r\n"])
def test_reader_sees_a_broken_response(backend, answer):
    def script(c):
        c.request()
        c.send(answer)
    with direct(backend(script)) as c, pytest.raises(Broken):
        c.get("/")


def test_reset_looks_like_an_end(backend):
    def script(c):
        c.head()
        c.reset()
    with direct(backend(script)) as c, pytest.raises(Broken):
        c.get("/")


def test_interim_responses_are_seen_when_asked_for(backend):
    def script(c):
        c.request()
        c.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        c.respond("late")
    b = backend(then=script)
    with direct(b) as c:
        assert c.get("/").body == b"late"
    with direct(b) as c:
        c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.response(interim=True).status == 103
        assert c.response(interim=True).body == b"late"


def test_serve_counts_requests(backend):
    b = backend(then=serve(lambda r, c: r.target.encode()))
    with direct(b) as c:
        assert [c.get(f"/{n}").body for n in range(3)] == [b"/0", b"/1", b"/2"]
    assert b.accepted == 1 and len(b.requests) == 3
