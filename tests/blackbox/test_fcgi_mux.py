"""Several requests on one connection to a FastCGI application that can."""

import concurrent.futures
import sys

import pytest

from harness import Event, H2Client, fcgi, wait_for
from harness.admin import ADMIN
from harness.admin import ask as ask_admin
from harness.h2 import data, headers, post, request, rst_stream

SHARED = ("protocol fastcgi", "max-conns 1", "keep-alive multiplex=on idle=4", "buffer off")


@pytest.fixture
def app(program, here):
    """app(MPXS): the address of an application that says so of itself."""
    def start(says):
        return "127.0.0.1:" + program(sys.executable, f"{here}/apps/fcgi_mux.py", says).first
    return start


def in_flight(g):
    return ask_admin(g, "/status")["requests"]["in_flight"]


def ask(c, path):
    n = c.next_stream()
    c.send(headers(n, request("GET", path)))
    return n


def test_requests_share_a_connection_with_an_application_that_can(proxy, app):
    g = proxy(app("1"), pool=SHARED, threads=1)
    assert g.get("/first").body == b"/first"
    with H2Client(g.address) as c:
        held = [ask(c, f"/hold/{i}") for i in range(20)]

        def release():
            r = c.get("/release")
            assert r.status == 200
            return int(r.body)
        count = [0]

        def all_released():
            count[0] += release()
            return count[0] == 20
        wait_for(all_released, "all that were held at once or after each other")
        assert [c.wait(n).body for n in held] == [b"/hold/%d" % i for i in range(20)]
    g.wait_line("says: about /hold/7")


@pytest.mark.parametrize("says", ["0", "-"])
def test_one_after_the_other_with_one_that_cannot(proxy, app, says):
    g = proxy(app(says), pool=SHARED, threads=1)
    with concurrent.futures.ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda i: g.get(f"/{i}").body, range(40)))
    assert answers == [b"/%d" % i for i in range(40)]


def test_an_application_that_cannot_after_all_is_asked_one_after_the_other(proxy, app):
    """POSTs too: what is refused for that was not executed."""
    g = proxy(app("lie"), pool=("protocol fastcgi", "max-conns 2", "keep-alive multiplex=on idle=4"), threads=1)
    assert g.get("/first").status == 200
    with H2Client(g.address) as c:
        held = ask(c, "/hold/first")
        others = []
        for i in range(20):
            others.append(c.next_stream())
            c.send(post(others[-1], "/echo") + data(others[-1], b"%d" % i, end=True))
        assert [c.wait(n).body for n in others] == [b"%d" % i for i in range(20)]
        assert c.get("/release").status == 200
        assert c.wait(held).body == b"/hold/first"
        refused = int(c.get("/refused").body)
        assert refused > 0
        with concurrent.futures.ThreadPoolExecutor(8) as many:
            answers = list(many.map(lambda i: g.get(f"/{i}").body, range(40)))
        assert answers == [b"/%d" % i for i in range(40)]
        assert int(c.get("/refused").body) == refused, "nothing is shared any more"
    g.wait_line(r"pool app backend .*: application cannot multiplex \(CANT_MPX_CONN\) \[FastCGI 5.5\]")


def test_interleaved_responses_come_to_their_own_requests(proxy, app):
    g = proxy(app("1"), pool=SHARED, threads=1)
    assert g.get("/first").status == 200

    def client(i):
        with g.client() as c:
            body = bytes([i]) * 70_000
            assert c.post("/echo", body).body == body
            assert c.get("/large").body == b"0123456789abcdef" * 65536
            return c.get(f"/{i}").body
    with concurrent.futures.ThreadPoolExecutor(8) as many:
        assert list(many.map(client, range(8))) == [b"/%d" % i for i in range(8)]


def test_a_request_that_is_given_up_is_aborted_and_harms_no_other(proxy, app):
    g = proxy(app("1"), pool=SHARED, threads=1)
    assert g.get("/first").status == 200
    with H2Client(g.address) as c:
        gone, stays = ask(c, "/hold/gone"), ask(c, "/hold/stays")
        assert c.get("/through").status == 200
        c.send(rst_stream(gone))
        wait_for(lambda: c.get("/aborted").body == b"1", "the application to be told")
        assert c.get("/release").status == 200
        assert c.wait(stays).body == b"/hold/stays"


def test_requests_of_both_threads_are_served_over_their_one_connection(proxy, app):
    g = proxy(app("1"), pool=SHARED, threads=2)
    with concurrent.futures.ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda i: g.get(f"/{i}").body, range(80)))
    assert answers == [b"/%d" % i for i in range(80)]


def begin_huge(g):
    """A client that has the beginning of a large response, and reads nothing more."""
    c = g.client(rcvbuf=4096, timeout=60)
    c.send("GET /huge HTTP/1.1\r\nHost: t\r\n\r\n")
    assert c.socket.recv(12) == b"HTTP/1.1 200"
    return c


@pytest.mark.plain
def test_a_client_that_does_not_read_holds_up_nobody_on_its_connection(proxy, app, tmp_path):
    """FastCGI has no windows: what one does not take is held for it in a file, even with `buffer off`."""
    g = proxy(app("1"), pool=SHARED, threads=1, gateway=[f"temp-dir {tmp_path}"])
    assert g.get("/first").status == 200
    slow = [begin_huge(g) for _ in range(2)]
    for i in range(50):
        assert g.get(f"/{i}").body == b"/%d" % i
    got = 0
    while got < 64 << 20:               # nothing of it is lost
        piece = slow[0].socket.recv(1 << 16)
        assert piece, "a response broke off"
        got += len(piece)
    assert g.get("/last").body == b"/last"


@pytest.mark.plain
def test_a_client_that_does_not_read_is_given_up_where_no_more_may_be_held_for_it(proxy, app, tmp_path):
    g = proxy(app("1"), pool=[*SHARED[:-1], "buffer off memory=64k file=1m"], threads=1,
              gateway=[f"temp-dir {tmp_path}"])
    assert g.get("/first").status == 200
    slow = [begin_huge(g) for _ in range(2)]
    for i in range(50):
        assert g.get(f"/{i}").body == b"/%d" % i
    g.wait_line("response broken off /huge: its client does not read, and others wait for the connection")
    for c in slow:
        got = 0
        try:
            while piece := c.socket.recv(1 << 20):
                got += len(piece)
        except ConnectionResetError:
            pass
        assert got < 64 << 20, "more was held than may be"


@pytest.mark.faults
@pytest.mark.parametrize("octets", [
    b"\x02\x06\0\x01\0\0\0\0", b"\x01\x06\0\x07\0\0\0\0", b"\x01\x06\xff\xff\0\x01\0\0x", b"\x01\x0a\0\0\0\x02\0\0\xff\xff",
    b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_records_that_are_nobodys_end_the_connection(proxy, octets):
    def script(c):
        c.recv(16)
        c.send(octets)
        c.wait_closed()
    g = proxy(then=script, pool=[*SHARED, "retry attempts=1"], threads=1)
    assert g.get("/").status == 502


def test_an_answer_before_its_question_ends_the_connection(proxy):
    """Where the application reads nothing more, a request cannot be sent, and may leave again."""
    asked, gone = Event(), Event()

    def script(c):
        c.recv(16)
        values = [(b"FCGI_MPXS_CONNS", b"1"), (b"FCGI_MAX_REQS", b"4")]
        c.send(fcgi.record(fcgi.VALUES, 0, b"".join(bytes([len(n), len(v)]) + n + v for n, v in values)))
        assert asked.wait(20)
        c.send(fcgi.record(fcgi.STDOUT, 3, b"x" * 10)[:9])
        assert gone.wait(20)
        c.send(b"x" * 9)
        c.wait_closed()
    pool = [*SHARED, "retry attempts=1", "timeout idle=20s"]
    g = proxy(then=script, pool=pool, threads=1, gateway=ADMIN)
    first, second = g.client(), H2Client(g.address)
    first.socket.settimeout(1)      # then there is no room left
    first.send(f"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {1 << 30}\r\n\r\n")
    while first.try_send(bytes(1 << 20)):
        pass
    n = ask(second, "/")
    wait_for(lambda: in_flight(g) == 2, "the second request")
    asked.set()
    second.send(rst_stream(n))
    wait_for(lambda: in_flight(g) < 2, "its end")
    gone.set()
    first.close()
    second.close()
    assert g.get("/").status == 502 and g.running()
