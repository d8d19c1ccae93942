"""HTTP/2 in front: streams are exchanges like any others, and do no harm to each other."""

import json
import signal
import subprocess
import time

import pytest

from harness import Event, H2Client, Held, serve, stretched, wait_for
from harness.h2 import (END_HEADERS, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, block, data, frame, get,
                        headers, literal, post, request, rst_stream, settings, window_update)

pytestmark = pytest.mark.serial

WS_MODULE = "/usr/share/nodejs/ws"


@pytest.fixture
def h2():
    """h2(gateway, ...): a raw client."""
    def connect(g, **more):
        c = H2Client(g.address, **more)
        g.clients.append(c)
        return c
    return connect


# ---- messages ----

def test_what_the_backend_sees(shared_proxy, h2):
    g = shared_proxy()
    s = h2(g).get("/a%20b?c=d", ("cookie", "a=1"), ("x-own", "v"), ("cookie", "b=2"), ("user-agent", "me"),
                  authority="example.org:8080")
    assert s.status == 200 and s.body == b"ok"
    r = g.backend.requests[0]
    assert (r.method, r.target, r.version) == ("GET", "/a%20b?c=d", "1.1")
    assert r["host"] == "example.org:8080" and r["cookie"] == "a=1; b=2" and r["x-own"] == "v"
    assert r["via"] == "2.0 sluice" and r["x-forwarded-for"] == "127.0.0.1"
    assert b"User-Agent: me" in r.head, "known names are spelled as HTTP/1.1 is used to"
    assert "connection" not in r and "content-length" not in r and "transfer-encoding" not in r


def test_what_the_client_sees(shared_proxy, h2):
    fields = "X-Own: V\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    g = shared_proxy(then=serve(lambda r, c: c.respond("hello", fields=fields)))
    s = h2(g).get()
    names = [n for n, _ in s.fields]
    assert s.status == 200 and s.body == b"hello" and s["content-length"] == "5"
    assert s["x-own"] == "V" and "date" in names and s["via"] == "1.1 sluice" and names.count("set-cookie") == 2
    assert not {"connection", "keep-alive", "x-hop", "transfer-encoding"} & set(names)


def test_the_access_log_says_so(proxy, h2):
    g = proxy()
    h2(g).ask("POST", "/x", body=b"12345")
    r = g.access(1)[0]
    assert r["version"] == "HTTP/2.0" and r["received_bytes"] == 5 and r["status"] == 200 and r["target"] == "/x"
    assert r["sent_bytes"] == 2 and r["end"] == "complete"


@pytest.mark.parametrize("size", [0, 1, 1000, 16384, 65536, 1_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_response_bodies(shared_proxy, h2, size, framing):
    body = bytes(i % 251 for i in range(size))

    def script(c):
        while c.request() is not None:
            if framing == "chunked":
                c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for at in range(0, size, 10_000):
                    piece = body[at:at + 10_000]
                    c.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                c.send("0\r\n\r\n")
            elif framing == "length":
                c.respond(body)
            else:
                c.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
                c.half_close()
                return
    g = shared_proxy(then=script)
    s = h2(g).get()
    assert s.status == 200 and s.body == body and s.ended and not s.error


@pytest.mark.parametrize("size", [0, 1, 16384, 70_000, 1_000_000])
@pytest.mark.parametrize("length", [True, False], ids=["length", "unknown"])
def test_request_bodies(shared_proxy, h2, size, length):
    g = shared_proxy(then=serve(lambda r, c: r.body))
    c = h2(g)
    c.send(post(1, "/", *([("content-length", str(size))] if length else [])))
    c.upload(1, size)
    s = c.wait(1)
    assert s.status == 200 and s.body == bytes(size)
    r = g.backend.requests[0]
    assert ("content-length" in r) == length and r.tokens("transfer-encoding") == ([] if length else ["chunked"])


def test_bodiless_responses(shared_proxy, h2):
    def answer(r, c):
        status = {"/204": "204 No Content", "/304": "304 Not Modified"}.get(r.target, "200 OK")
        fields = "Content-Length: 1234\r\n" if r.method == "HEAD" else ""
        c.send(f"HTTP/1.1 {status}\r\n{fields}\r\n")
    c = h2(shared_proxy(then=serve(answer)))
    for method, path, status in (("HEAD", "/", 200), ("GET", "/204", 204), ("GET", "/304", 304)):
        s = c.ask(method, path)
        assert s.status == status and s.ended and not s.bytes and not s.error
    assert c.streams[1]["content-length"] == "1234"
    assert not [f for f in c.frames if f[0] == 0 and f[3]], "no DATA with anything in it"


def test_trailers_both_ways(shared_proxy, h2):
    def answer(r, c):
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\nX-More: 1\r\n\r\n")
    g = shared_proxy(then=serve(answer))
    c = h2(g)
    c.send(post(1) + data(1, b"abc") + headers(1, block(("x-in", "7"), ("connection-id", "8"))))
    s = c.wait(1)
    assert s.body == b"ok" and s.trailers == [("x-sum", "42"), ("x-more", "1")]
    r = g.backend.requests[0]
    assert r.body == b"abc" and r.trailers == [("x-in", "7"), ("connection-id", "8")]


def test_trailers_of_an_empty_body(shared_proxy, h2):
    g = shared_proxy(then=serve(lambda r, c: c.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGrpc-Status: 0\r\n\r\n")))
    s = h2(g).get()
    assert s.ended and s.body == b"" and s.trailers == [("grpc-status", "0")]


def test_interim_responses(shared_proxy, h2):
    def answer(r, c):
        c.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n")
        c.respond("ok")
    s = h2(shared_proxy(then=serve(answer))).get()
    assert [(n, dict(f)["link"]) for n, f in s.interim] == [(103, "</a.css>"), (103, "</b.css>")]
    assert s.status == 200 and s.body == b"ok"


def test_100_continue(shared_proxy, h2):
    def script(c):
        head = c.head()
        assert head["expect"] == "100-continue"
        c.send("HTTP/1.1 100 Continue\r\n\r\n")
        c.reader.body(head)
        c.respond(head.body)
    c = h2(shared_proxy(script))
    c.send(post(1, "/", ("expect", "100-continue"), ("content-length", "4")))
    c.until(lambda: c.stream(1).interim, "leave to go on")
    assert c.stream(1).interim[0][0] == 100
    c.send(data(1, b"body", end=True))
    assert c.wait(1).body == b"body"


def test_a_head_too_large_for_one_frame(shared_proxy, h2):
    many = "".join(f"X-{n}: {'v' * 400}\r\n" for n in range(60))
    g = shared_proxy(then=serve(lambda r, c: c.respond("ok", fields=many)))
    c = h2(g)
    s = c.get()
    assert s.status == 200 and s["x-59"] == "v" * 400 and [f for f in c.frames if f[0] == 9], "CONTINUATION"
    assert c.get().status == 200


def test_errors_of_our_own(gateway, h2):
    g = gateway("gateway {\n    access-log access.log format=json\n}\nlisten 127.0.0.1:0\n"
                "site example.org {\n}\n")
    c = h2(g)
    s = c.get()
    assert s.status == 404 and s.bytes == int(s["content-length"]) and s.ended
    assert c.ask("HEAD").status == 404


# ---- streams and their ends ----

def test_many_streams_at_once(shared_proxy, h2):
    held = Held("gone on")
    g = shared_proxy(then=held)
    c = h2(g)
    c.send(b"".join(get(n, f"/{n}") for n in range(1, 201, 2)))
    g.backend.wait_requests(100)
    held.go.set()
    for n in range(1, 201, 2):
        assert c.wait(n).body == b"gone on"


def test_reset_reaches_the_backend_and_frees_the_slot(proxy, h2):
    closed = Event()

    def first(c):
        c.request()
        assert c.wait_closed() == b""
        closed.set()
    g = proxy(first, then=serve(), pool=["max-conns 1", "queue length=10 timeout=20s"])
    c = h2(g)
    c.send(get(1))
    g.backend.wait_requests(1)
    c.send(get(3))
    c.sync()
    c.send(rst_stream(1))
    assert closed.wait(10)
    assert c.wait(3).status == 200
    r = next(r for r in g.access(2) if r["status"] == 0)
    assert r["end"] == "client"


@pytest.mark.faults
def test_a_response_that_breaks_off(proxy, h2):
    def script(c):
        while (r := c.request()) is not None:
            if r.target == "/broken":
                c.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                c.reset()
                return
            c.respond("fine")
    c = h2(proxy(then=script))
    c.send(get(1) + get(3, "/broken") + get(5))
    assert c.wait(3).error == "INTERNAL_ERROR" and c.streams[3].status == 200
    assert c.wait(1).body == c.wait(5).body == b"fine"
    assert c.ask("GET").ended or True
    assert c.goaway is None


def declining(proxy, *gateway):
    """A gateway whose backend answers when it has the head."""
    def script(c):
        c.head()
        c.respond("enough", status="413 Content Too Large", fields="Connection: close\r\n")
        c.wait_closed()
    return proxy(script, then=serve(), gateway=gateway)


def test_an_answer_before_the_body_is_complete(proxy, h2):
    """The client is not made to lose it by a reset behind it: what it goes on sending is read away."""
    c = h2(declining(proxy))
    c.send(post(1))
    c.upload(1, 1000, end=False)
    s = c.wait(1)
    assert s.status == 413 and s.body == b"enough"
    c.upload(1, 300_000)
    c.sync()
    assert not s.error
    c.last = 1
    assert c.get().status == 200
    assert not s.error and c.goaway is None


def test_the_rest_of_a_body_is_not_read_for_ever(proxy, h2):
    c = h2(declining(proxy, "timeout linger=200ms"))
    c.send(post(1) + data(1, b"x" * 1000))
    s = c.wait(1)
    assert s.status == 413 and s.body == b"enough"
    c.until(lambda: s.error, "the rest to be declined")
    assert s.error == "NO_ERROR"
    c.send(data(1, b"more"))
    c.last = 1
    assert c.get().status == 200


def test_who_resets_what_is_answered_does_no_harm(proxy, h2):
    """So do clients of gRPC; it counts for no flood of resets."""
    c = h2(proxy(gateway=["limit h2-resets=3"]))
    c.sync()
    for n in range(1, 21, 2):
        c.send(post(n, "/", ("expect", "nonsense")))
        assert c.wait(n).status == 417
        c.send(rst_stream(n, 0))
    c.last = 19
    assert c.get().status == 200


def test_curl_gets_what_comes_before_its_body(gateway):
    g = gateway("listen 127.0.0.1:0\nsite * { respond 405 no }\n")
    for size in 1, 300_000:
        done = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-w", "%{http_code}", "--data-binary", "@-",
                               f"http://{g.address[0]}:{g.address[1]}/"], input=b"x" * size, capture_output=True)
        assert (done.returncode, done.stdout) == (0, b"no405"), size


@pytest.mark.faults
def test_a_body_beyond_the_limit(proxy, h2):
    g = proxy(gateway=["limit body=10k"], then=serve(lambda r, c: "ok"))
    c = h2(g)
    c.last = 3
    c.send(post(1, "/", ("content-length", "20000")))
    assert c.wait(1).status == 413
    c.send(post(3) + data(3, b"x" * 12000, end=True))
    assert c.wait(3).status in (413, 502)
    assert c.get().status == 200


def test_what_the_client_may_have_at_once(proxy, h2):
    held = Held("gone on")
    g = proxy(then=held, gateway=["limit h2-streams=10"])
    c = h2(g)
    c.send(b"".join(get(n) for n in range(1, 31, 2)))
    refused = [c.stream(n) for n in range(21, 31, 2)]
    c.until(lambda: all(s.error == "REFUSED_STREAM" for s in refused), "those beyond the limit to be refused")
    assert c.settings[3] == 10
    held.go.set()
    assert all(c.wait(n).status == 200 for n in range(1, 21, 2))
    knows = h2(g)
    knows.sync()
    held.go.clear()
    knows.send(b"".join(get(n) for n in range(1, 31, 2)))
    assert knows.wait_end() == "PROTOCOL_ERROR", "who has agreed to the limit has no excuse"
    held.go.set()


def test_requests_on_a_connection(proxy, h2):
    g = proxy(gateway=["limit requests=5"])
    c = h2(g)
    for _ in range(5):
        assert c.get().status == 200
    assert c.wait_end() == "NO_ERROR" and c.goaways[-1] == 9
    assert h2(g).get().status == 200


# ---- flow control ----

def test_an_upload_is_held_back_by_the_backend(proxy, h2):
    go = Event()

    def script(c):
        head = c.head()
        assert go.wait(20)
        c.reader.body(head)
        c.respond(str(len(head.body)))
    size = 64 << 20
    g = proxy(script, then=serve())
    c = h2(g, timeout=60)
    c.send(post(1, "/", ("content-length", str(size))))
    c.until(lambda: c.settings, "the settings")
    left = size
    while True:
        left, before = c.push(1, left), left
        c.sync()
        if left == before:
            time.sleep(0.05)
            c.sync()
            if c.room(1) == 0:
                break
    held = size - left
    assert held < 16 << 20, f"{held} bytes were taken for a backend that reads nothing"
    c.last = 1
    assert c.get("/other").status == 200, "others are not held up"
    go.set()
    c.upload(1, left)
    assert c.wait(1, timeout=60).body == str(size).encode()


def test_a_stalled_stream_does_not_hold_up_others(shared_proxy, h2):
    big = bytes(1 << 20)
    g = shared_proxy(then=serve(lambda r, c: big if r.target == "/big" else "small"))
    c = h2(g, window=1000, grow=False)
    c.send(get(1, "/big"))
    c.until(lambda: c.stream(1).bytes == 1000, "the window to be used up")
    c.send(get(3) + get(5))
    assert c.wait(3).body == c.wait(5).body == b"small"
    assert c.streams[1].bytes == 1000
    c.grow = True
    c.send(window_update(0, 1 << 20) + window_update(1, 1 << 20))
    assert c.wait(1).bytes == len(big)


def test_streams_take_turns(shared_proxy, h2):
    big = bytes(4 << 20)
    g = shared_proxy(then=serve(lambda r, c: big))
    c = h2(g, window=0, keep=False)
    c.send(window_update(0, 1 << 30) + b"".join(get(n, "/big") for n in range(1, 9, 2)))
    for n in range(1, 9, 2):
        c.wait_status(n)
    c.sync()
    c.send(settings((INITIAL_WINDOW_SIZE, 1 << 30)))
    for n in range(1, 9, 2):
        c.wait(n, timeout=30)
    order = [s for k, _, s, n in c.frames if k == 0 and n]
    last = {n: len(order) - 1 - order[::-1].index(n) for n in range(1, 9, 2)}
    assert min(last.values()) > len(order) * 0.6, "none is served to its end before the others"


def test_a_window_that_is_opened_by_settings(shared_proxy, h2):
    g = shared_proxy(then=serve(lambda r, c: bytes(5000)))
    c = h2(g, window=0)
    c.send(get(1))
    c.wait_status(1)
    c.sync()
    assert c.streams[1].bytes == 0
    c.send(settings((INITIAL_WINDOW_SIZE, 65535)))
    assert c.wait(1).bytes == 5000


# ---- deadlines ----

def test_an_idle_connection_is_ended(proxy, h2):
    g = proxy(gateway=["timeout idle=300ms"])
    c = h2(g)
    assert c.get().status == 200
    assert c.wait_end() == "NO_ERROR" and c.goaways == [1]


@pytest.mark.parametrize("answer", ["respond 200 ok", "proxy app"])
def test_requests_keep_it_alive(gateway, backend, h2, answer):
    """Also those that are answered before anybody could say that it is busy."""
    g = gateway("gateway { access-log off; timeout idle=700ms }\nlisten 127.0.0.1:0\n"
                f"pool app {{ backend {backend(then=serve()).address} }}\nsite {{ {answer} }}\n")
    c = h2(g)
    begin = time.monotonic()
    while time.monotonic() - begin < stretched(2):
        assert c.get().status == 200
    assert not c.goaways
    assert c.wait_end() == "NO_ERROR"


def test_pings_do_not_keep_it_alive(proxy, h2):
    g = proxy(gateway=["timeout idle=300ms"])
    c = h2(g)
    begin = time.monotonic()
    while not c.closed and time.monotonic() - begin < stretched(10):
        c.try_send(frame(6, 0, 0, b"12345678"))
        c.read()
        time.sleep(0.02)
    assert c.closed and c.goaway == "NO_ERROR"


def test_a_head_that_never_ends(proxy, h2):
    g = proxy(gateway=["timeout head=300ms"])
    c = h2(g)
    c.sync()
    c.send(frame(HEADERS, 1, 1, request()))
    assert c.wait_end() == "ENHANCE_YOUR_CALM"
    c = h2(g)
    c.sync()
    c.send(frame(HEADERS, 5, 1, request())[:20])
    assert c.wait_end() == "ENHANCE_YOUR_CALM"


@pytest.mark.faults
def test_a_body_that_stops_coming(proxy, h2):
    def script(c):
        try:
            c.request()
        except Exception:
            pass
    g = proxy(then=script, gateway=["timeout body=300ms"])
    c = h2(g)
    c.send(post(1) + data(1, b"x"))
    s = c.wait(1)
    assert s.status == 408
    c.sync()
    assert not c.closed


def test_a_stream_that_takes_nothing(proxy, h2):
    big = bytes(1 << 20)
    g = proxy(then=serve(lambda r, c: big if r.target == "/big" else "ok"), gateway=["timeout write=400ms"])
    g.expect_error("backend")
    c = h2(g, window=100, grow=False)
    c.send(get(1, "/big"))
    s = c.wait(1)
    assert s.error == "INTERNAL_ERROR" and s.bytes == 100
    c.send(get(3))
    assert c.wait(3).status == 200


def test_a_connection_that_takes_nothing(proxy, h2):
    def script(c):
        c.request()
        try:
            c.respond(bytes(64 << 20))
        except OSError:
            c.close()
    g = proxy(script, gateway=["timeout write=400ms"])
    c = h2(g, window=1 << 30, rcvbuf=8192)
    c.send(window_update(0, 1 << 30) + get(1, "/big"))
    r = g.access(1)[0]
    assert r["end"] == "client" and "write" in r["reason"]


# ---- the end ----

def test_graceful_stop(proxy, h2):
    held = Held("gone on")
    g = proxy(then=held)
    c = h2(g)
    c.send(get(1))
    assert held.asked.wait(10)
    g.signal(signal.SIGTERM)
    c.until(lambda: c.goaways, "a notice")
    assert c.goaways == [(1 << 31) - 1] and c.goaway == "NO_ERROR"
    c.until(lambda: len(c.goaways) > 1, "the last word")
    assert c.goaways[1] == 1
    held.go.set()
    assert c.wait(1).body == b"gone on"
    assert c.wait_end() == "NO_ERROR"
    c.close()
    assert g.wait_exit() == 0


def test_requests_on_their_way_to_a_stopping_gateway(proxy, h2):
    held = Held("gone on")
    g = proxy(then=held)
    c = h2(g)
    c.send(get(1))
    assert held.asked.wait(10)
    take = c.take

    def late(kind, flags, number, payload):
        if kind == GOAWAY and not c.goaways:
            c.send(get(3))                  # sent before the answer to the PING, so it counts
        take(kind, flags, number, payload)
    c.take = late
    g.signal(signal.SIGTERM)
    c.until(lambda: len(c.goaways) > 1, "the last word")
    assert c.goaways[1] == 3, c.frames
    held.go.set()
    assert c.wait(1).status == c.wait(3).status == 200
    c.wait_end()
    c.close()
    assert g.wait_exit() == 0


def test_idle_connections_do_not_hold_up_a_stop(proxy, h2):
    g = proxy()
    clients = [h2(g) for _ in range(5)]
    for c in clients:
        assert c.get().status == 200
    silent = h2(g)
    silent.sync()
    begin = time.monotonic()
    g.signal(signal.SIGTERM)
    for c in clients:
        assert c.wait_end() == "NO_ERROR"
    assert g.wait_exit() == 0
    assert time.monotonic() - begin < stretched(6)


@pytest.mark.faults
def test_the_deadline_of_a_stop(proxy, h2):
    held = Held("gone on")
    g = proxy(then=held, gateway=["stop-timeout 300ms"])
    c = h2(g)
    c.send(get(1))
    assert held.asked.wait(10)
    g.signal(signal.SIGTERM)
    c.wait_end()
    assert c.streams[1].status == 503
    c.close()
    held.go.set()
    assert g.wait_exit() == 0


def test_a_client_that_vanishes(proxy, h2):
    closed = []

    def script(c):
        c.request()
        closed.append(c.wait_closed())
    g = proxy(then=script)
    c = h2(g)
    c.send(b"".join(get(n) for n in (1, 3, 5)))
    g.backend.wait_requests(3)
    c.reset()
    wait_for(lambda: len(closed) == 3, "the backends to be told")
    assert all(r["end"] == "client" for r in g.access(3))


# ---- WebSocket (RFC 8441) ----

def connect_request(path="/ws", *fields):
    return block((":method", "CONNECT"), (":scheme", "http"), (":path", path), (":authority", "test"),
                 (":protocol", "websocket"), ("sec-websocket-version", "13"), *fields)


def test_websocket_over_http_2(shared_proxy, h2):
    def script(c):
        r = c.head()
        assert (r.method, r.target) == ("GET", "/ws") and r.tokens("upgrade") == ["websocket"]
        assert r.tokens("connection") == ["upgrade"] and len(r["sec-websocket-key"]) == 24
        assert r["sec-websocket-version"] == "13" and r["sec-websocket-protocol"] == "chat"
        c.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
               "Sec-WebSocket-Accept: abc\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello")
        assert c.reader.exactly(4) == b"ping"
        c.send("pong")
        assert c.wait_closed() == b"bye"
        c.send("last")
    g = shared_proxy(script, then=serve())
    c = h2(g)
    c.until(lambda: c.settings, "the settings")
    assert c.settings[8] == 1
    c.send(headers(1, connect_request("/ws", ("sec-websocket-protocol", "chat"), ("sec-websocket-key", "x")),
                   END_HEADERS))
    s = c.wait_status(1)
    assert s.status == 200 and s["sec-websocket-protocol"] == "chat" and s["sec-websocket-accept"] is None
    c.send(data(1, b"ping"))
    c.until(lambda: s.body == b"hellopong", "the answer")
    c.last = 1
    assert c.get().status == 200, "beside it, others go on"
    c.send(data(1, b"bye", end=True))
    c.wait(1)
    assert s.body == b"helloponglast" and s.ended


def test_a_websocket_has_no_length(shared_proxy, h2):
    g = shared_proxy(then=serve())
    c = h2(g)
    c.send(headers(1, connect_request("/ws", ("content-length", "9")), END_HEADERS))
    assert c.wait_status(1).status == 400
    assert not g.backend.requests


def test_websocket_refused_by_the_backend(shared_proxy, h2):
    def answer(r, c):
        c.respond("no", status="403 Forbidden" if r.target == "/403" else "200 OK")
    c = h2(shared_proxy(then=serve(answer)))
    c.send(headers(1, connect_request("/403"), END_HEADERS) + headers(3, connect_request("/200"), END_HEADERS))
    assert c.wait(1).status == 403
    assert c.wait(3).status == 502, "what is no tunnel must not look like one"


def test_websocket_reset_by_the_client(shared_proxy, h2):
    closed = Event()

    def script(c):
        c.head()
        c.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        c.wait_closed()
        closed.set()
    c = h2(shared_proxy(script))
    c.send(headers(1, connect_request(), END_HEADERS))
    assert c.wait_status(1).status == 200
    c.send(rst_stream(1))
    assert closed.wait(10)


# ---- real clients ----

def test_curl(shared_proxy, tmp_path):
    g = shared_proxy(then=serve(lambda r, c: r.body or b"got " + r.target.encode()))
    body = bytes(range(256)) * 4000
    (tmp_path / "in").write_bytes(body)
    run = ["curl", "-sS", "--http2-prior-knowledge", "-m", "20"]
    out = subprocess.run([*run, "-o", "-", "-w", "%{http_version}", f"{g.url}/a"], capture_output=True, check=True)
    assert out.stdout == b"got /a2"
    out = subprocess.run([*run, "--data-binary", f"@{tmp_path}/in", f"{g.url}/a"], capture_output=True, check=True)
    assert out.stdout == body
    out = subprocess.run([*run, "-I", f"{g.url}/a"], capture_output=True, check=True)
    assert out.stdout.startswith(b"HTTP/2 200")


def test_nghttp(shared_proxy):
    g = shared_proxy(then=serve(lambda r, c: bytes(100_000)))
    out = subprocess.run(["nghttp", "-nsv", *[f"{g.url}/{n}" for n in range(20)]], capture_output=True, text=True,
                         timeout=20)
    assert out.returncode == 0 and out.stdout.count(":status: 200") == 20, out.stdout[-2000:]


def test_h2load(shared_proxy):
    g = shared_proxy(then=serve(lambda r, c: bytes(1000)), gateway=["access-log off"])
    out = subprocess.run(["h2load", "-n", "2000", "-c", "10", "-m", "20", f"{g.url}/"], capture_output=True,
                         text=True, timeout=60)
    assert "2000 succeeded, 0 failed, 0 errored" in out.stdout, out.stdout


def test_node(proxy, program, here):
    import os
    backend = program("node", f"{here}/apps/node.js", env={**os.environ, "WS_MODULE": WS_MODULE})
    g = proxy(f"127.0.0.1:{backend.first}")
    out = subprocess.run(["node", f"{here}/apps/h2_client.js", g.url], capture_output=True, text=True, timeout=60)
    r = json.loads(out.stdout)
    assert r.get("many") == 200 and r["large"] is True and r["trailers"] == "3", r
    assert r["hints"] == [103] and r["missing"] == 404 and r["cancelled"] == 8 and r["ping"] is True
    assert "x-mixed-case" in r["fields"]


def test_both_protocols_on_one_listener(shared_proxy, h2):
    g = shared_proxy()
    assert h2(g).get().status == 200 and g.get().status == 200
    c = g.client()
    c.send("PRI * HTTP/2.0\r\n\r\nXX")
    assert c.response().status in (400, 505)
    for at in range(1, 24):
        slow = H2Client(g.address, start=False)
        slow.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[:at])
        time.sleep(0.002)
        slow.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[at:] + settings())
        assert slow.get().status == 200
        slow.close()
