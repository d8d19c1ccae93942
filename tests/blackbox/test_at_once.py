"""Several things happen to one request in the same turn of the loop, in the order that is the worst."""

import contextlib
import fcntl
import os
import pathlib
import re
import signal
import struct
import termios
import time

import pytest

from harness import Event, H2Client, serve, wait_for
from harness.admin import ADMIN, ask
from harness.h2 import PREFACE, block, data, get, headers, post, settings


class Held:
    """While the process stands still, what peers send piles up; then it finds everything at once."""

    def __init__(self, g):
        self.pid = g.serving_pid()

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        wait_for(lambda: all(re.search(r"^State:\s+T", t.read_text(), re.M)
                             for t in pathlib.Path(f"/proc/{self.pid}/task").glob("*/status")), "all its threads to stop")

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def unread(sock):
    """Bytes that wait in a socket."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))[0]


CHUNKED = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_client_that_resets_while_it_is_told_to_send_its_body(proxy):
    g = proxy(then=serve(), pool=["buffer request"])
    c = g.client()
    assert c.get().status == 200
    with Held(g):
        c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").reset()
    assert g.access(2)[1]["end"] == "client"
    assert g.get().status == 200


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_client_that_leaves_with_its_first_requests_of_http2(proxy, leave):
    """Its preface, its requests and its end are found at once."""
    ended = []

    def script(c):
        if c.request() is None:     # it was given up before it was sent
            return
        c.wait_closed()
        ended.append(1)
    g = proxy(then=script, gateway=ADMIN)
    for _ in range(5):
        c = H2Client(g.address, start=False)
        with Held(g):
            c.send(PREFACE + settings() + get(1, "/") + get(3, "/"))
            getattr(c, leave)()
    wait_for(lambda: ask(g, "/status")["requests"]["in_flight"] == 0, "the requests to be given up")
    wait_for(lambda: len(ended) == len(g.backend.requests), "their connections to be closed")
    assert [r["end"] for r in g.access(10)] == ["client"] * 10


# ---- a body that breaks a rule, while the answer is on its way ----

BAD = {"too much": (413, chunk(b"x" * 400_000)), "no chunk": (400, b"no chunk\r\n")}


@pytest.mark.parametrize("status, rest", BAD.values(), ids=BAD)
@pytest.mark.parametrize("ask", ["X-Sendfile: DIR/file", "X-Accel-Redirect: /inside/file"])
def test_a_body_that_is_refused_when_something_else_is_to_be_the_answer(proxy, backend, tmp_path, ask, status, rest):
    """What the backend did not take is read away before a file is sent, and that is where it goes wrong."""
    (tmp_path / "file").write_bytes(b"a file")

    def script(c):
        c.head()
        seen = []

        def is_still():
            seen.append(unread(c.socket))
            return len(seen) > 60 and seen[-60] == seen[-1]
        wait_for(is_still, "the gateway to send no more")
        with contextlib.suppress(BrokenPipeError):      # what has been read at once was refused before
            c.respond("", fields=ask.replace("DIR", str(tmp_path)) + "\r\n")
        c.wait_closed()
    g = proxy(backend(then=script, host=f"unix:{tmp_path}/socket"),
              pool=[f"hand-over sendfile accel from={tmp_path}"],
              site=f"""site * {{
                  route /inside/* {{ internal; root {tmp_path}; files {{ strip /inside }} }}
                  route *         {{ proxy app; limit body=600k }}
              }}""")
    c = g.client()
    c.send(CHUNKED).send(chunk(b"x" * 500_000)).try_send(rest)
    assert c.response().status == status
    assert g.get().body == b"a file"


@pytest.mark.parametrize("rate", ["", "limit rate=1k"])
@pytest.mark.parametrize("page", ["", "error-page 400 /sorry", "error-page 400 file=../sorry.html"])
def test_a_body_that_breaks_a_rule_is_answered_once(proxy, tmp_path, page, rate):
    (tmp_path / "sorry.html").write_text("sorry" * 200)

    def script(c):
        if c.head().target == "/":
            begun.set()
            return c.wait_closed()
        c.respond("sorry" * 200)
    begun = Event()
    g = proxy(then=script, route=[page, rate])
    c = g.client()
    c.send(CHUNKED + "5\r\nhello\r\n")
    assert begun.wait()
    c.send("no chunk\r\n")
    m = c.response()
    assert m.status == 400 and (not page or m.body == b"sorry" * 200)
    c.expect_closed()
    assert g.access(1)[0]["status"] == 400


def test_trailers_that_break_a_rule_are_answered_once_over_http2(proxy):
    def script(c):
        if c.head().target == "/":
            begun.set()
            return c.wait_closed()
        c.respond("sorry")
    begun = Event()
    g = proxy(then=script, route=["error-page 4xx /sorry"])
    with H2Client(g.address) as c:
        c.send(post(1) + data(1, "hello"))
        assert begun.wait()
        c.send(headers(1, block(*[(f"x-{n}", "") for n in range(101)])))
        s = c.wait(1)
    assert s.status == 431 and s.body == b"sorry"


def test_a_hand_over_is_forgotten_when_the_body_becomes_too_much(proxy, tmp_path):
    """The answer's rest is still waited for; then it is the page for the error that is asked for."""
    (tmp_path / "file").write_bytes(b"a file")
    begun, go = Event(), Event()

    def script(c):
        m = c.head()
        if m.target == "/sorry":
            return c.respond("sorry")
        begun.set()
        assert go.wait()
        c.send("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /inside/file\r\nContent-Length: 5\r\n\r\n")
        sent.set()
        c.wait_closed()
    sent = Event()
    g = proxy(then=script, pool=["hand-over accel"],
              site=f"""site * {{
                  error-page 413 /sorry
                  route /inside/* {{ internal; root {tmp_path}; files {{ strip /inside }} }}
                  route *         {{ proxy app; limit body=1k }}
              }}""")
    c = g.client()
    c.send(CHUNKED).send(chunk(b"hello"))
    assert begun.wait()
    with Held(g):
        go.set()
        assert sent.wait()
        c.send(chunk(b"x" * 2000))
    m = c.response()
    assert m.status == 413 and m.body == b"sorry"


def test_a_body_that_nobody_wants_any_more_is_not_waited_for(proxy, tmp_path):
    """It was, until the answer sent the request to a route that lets it wait."""
    (tmp_path / "file").write_bytes(b"a file")

    def script(c):
        if c.head().method == "POST":
            c.reader.exactly(5)
        c.respond("", fields="X-Accel-Redirect: /inside/file\r\n")
        c.wait_closed()
    g = proxy(then=script, pool=["hand-over accel", "keep-alive idle=off"], gateway=["timeout body=200ms"],
              site=f"""site * {{
                  route /inside/* {{ internal; rate 1/s burst=1 delay=10s; root {tmp_path}; files {{ strip /inside }} }}
                  route *         {{ proxy app }}
              }}""")
    assert g.get().body == b"a file"
    c = g.client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello")
    assert c.response().body == b"a file"
    c.expect_closed()


# ---- who is to blame where one side is slow ----

def test_a_slow_backend_is_no_fault_of_the_client(proxy, backend, tmp_path):
    """The client has sent all that there was room for, and waits, whichever way that room has become free."""
    size = 6 << 20

    def script(c):
        c.head()
        left = size - len(c.reader.buffer)
        for n in range(20):
            until = left - 150_000 - n * 2000
            while left > until:
                left -= len(c.socket.recv(left - until))
            time.sleep(0.2)         # longer than a client may take
        while left:
            left -= len(c.socket.recv(left))
        c.respond("thanks")
    g = proxy(backend(then=script, host=f"unix:{tmp_path}/socket"), threads=1,
              gateway=["timeout body=100ms", "limit window=256k"])
    m = g.client().post("/", b"x" * size)
    assert m.status == 200 and m.body == b"thanks"


# ---- what moves much waits for its turn ----

LARGE = 600_000


@pytest.mark.parametrize("way", ["download", "upload"])
def test_what_has_come_in_time_counts_however_late_it_is_looked_at(proxy, backend, way):
    """Its deadline has passed meanwhile, and it takes turns with others that move much."""
    asked, arrived, parts = Event(), Event(), [8 << 20, LARGE, 1000]

    def download(c):
        c.head()
        c.send(f"HTTP/1.1 200 OK\r\nContent-Length: {sum(parts)}\r\n\r\n")
        for n in parts:
            c.send(bytes(n))
            asked.wait(20)
            asked.clear()

    def upload(c):
        c.head()
        for n in parts:
            c.reader.exactly(n)
            arrived.set()
        c.respond("thanks")
    b = backend(then=download if way == "download" else upload)
    g = proxy(b, threads=1, pool=["timeout idle=1s"], gateway=["timeout body=1s"])
    c = g.client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n" if way == "download" else
           f"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {sum(parts)}\r\n\r\n")

    def pass_on(n):
        if way == "upload":
            c.send(bytes(n))
        else:
            asked.set()

    def take(n):
        if way == "upload":
            assert arrived.wait(10)
            arrived.clear()
        else:
            c.reader.exactly(n)
    if way == "download":
        c.reader.until(b"\r\n\r\n")
    else:
        c.send(bytes(parts[0]))
    take(parts[0])
    with Held(g):
        pass_on(parts[1])
    take(parts[1])
    with Held(g):
        pass_on(parts[2])
        time.sleep(1.1)             # longer than both may take
    take(parts[2])
    if way == "upload":
        assert c.response().body == b"thanks"


def test_an_upload_that_moves_much_is_told_of_the_end(proxy, backend):
    """It is broken off by an answer, though it would go on in another turn."""
    size, got = 16 << 20, Event()

    def script(c):
        c.head()
        for n in size, LARGE:
            c.reader.exactly(n)
            got.set()
        c.wait_closed()
    g = proxy(backend(then=script), threads=1, gateway=["stop-timeout 500ms"])
    c = g.client()
    c.send(f"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {2 * size}\r\n\r\n")
    c.send(bytes(size))
    assert got.wait(10)
    got.clear()
    with Held(g):
        c.send(bytes(LARGE))
    assert got.wait(10)
    g.signal(signal.SIGTERM)
    assert c.response().status == 503
    assert g.wait_exit() == 0
