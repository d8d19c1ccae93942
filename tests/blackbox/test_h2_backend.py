"""HTTP/2 to backends (h2c): connections that several requests share, and what goes wrong on them."""

import concurrent.futures
import json
import threading

import pytest

from conftest import make_config
from harness import Event, H2Client, wait_for
from harness.h2 import (END_HEADERS, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, block, data, frame,
                        headers, ping, rst_stream)
from harness.h2_peer import H2Peer, serve_h2

H2C = ("protocol h2c",)


def shared(*more):
    return [*H2C, *more]


def goaway(last, error=0):
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + error.to_bytes(4, "big"))


# ---- a real server ----

@pytest.fixture
def node(program, here):
    return "127.0.0.1:" + program("node", f"{here}/apps/h2_server.js").first


def test_node_answers_over_http2(proxy, node):
    g = proxy(node, pool=H2C)
    response = g.get("/hello")
    assert (response.status, response.body) == (200, b"hello from node\n")
    assert response["via"] == "2.0 sluice"


def test_the_request_that_node_sees_is_one_of_http2(proxy, node):
    g = proxy(node, pool=H2C)
    seen = json.loads(g.get("/seen", "TE: trailers\r\nX-Mine: 1\r\nConnection: TE, X-Gone\r\nX-Gone: 1\r\n").body)
    assert seen[":authority"] == "test" and seen[":scheme"] == "http" and seen[":method"] == "GET"
    assert seen["te"] == "trailers" and seen["x-mine"] == "1"
    assert not {"host", "connection", "x-gone", "upgrade", "transfer-encoding"} & set(seen)


def test_a_large_response_and_a_large_echo_come_whole(proxy, node):
    g = proxy(node, pool=H2C)
    assert len(g.get("/large").body) == 320 * 65536
    body = bytes(range(256)) * 20_000
    with g.client() as c:
        response = c.post("/echo", body)
    assert response.body == body


def test_trailers_go_both_ways(proxy, node):
    g = proxy(node, pool=H2C)
    with g.client() as c:
        c.send("POST /trailers HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n"
               "Trailer: X-Asked\r\n\r\n3\r\nabc\r\n0\r\nX-Asked: 42\r\n\r\n")
        response = c.response()
    assert response.body == b"body" and dict(response.trailers)["x-sum"] == "42"


def test_early_hints_and_heads_without_bodies(proxy, node):
    g = proxy(node, pool=H2C)
    with H2Client(g.address) as c:
        early = c.get("/early")
        assert early.interim[0][0] == 103 and early.body == b"late"
        head = c.ask("HEAD", "/hello")
        assert head.status == 200 and head.body == b""


@pytest.fixture
def nginx(nginx_server):
    """It says goodbye after twenty requests on a connection."""
    return nginx_server('location / { return 200 "$request_method $request_uri $server_protocol"; }',
                        listen="http2", http="keepalive_requests 20;")


def test_nginx_says_goodbye_all_the_time_and_nobody_notices(proxy, nginx):
    g = proxy(nginx, pool=H2C)

    def client(i):
        with H2Client(g.address) as c:
            numbers = {}
            for k in range(100):
                n = c.next_stream()
                numbers[n] = method = ("GET", "POST")[k % 2]
                c.send(headers(n, block((":method", method), (":scheme", "http"), (":path", f"/{i}"),
                                        (":authority", "test"))))
            return all(c.wait(n).body == f"{method} /{i} HTTP/2.0".encode() for n, method in numbers.items())
    with concurrent.futures.ThreadPoolExecutor(8) as many:
        assert all(many.map(client, range(8)))


# ---- sharing ----

def answer_path(r):
    return r[":path"]


def test_many_requests_share_one_connection(proxy):
    gate = threading.Barrier(2)

    def script(c):
        h = H2Peer(c)
        asked = [h.request() for _ in range(20)]        # all are there before one is answered
        gate.wait(20)
        for r in reversed(asked):
            h.respond(r.stream, r[":path"])
        h.serve(answer_path)
    g = proxy(script, pool=H2C, threads=1)
    with H2Client(g.address) as c:
        numbers = {}
        for i in range(20):
            n = c.next_stream()
            numbers[n] = f"/{i}"
            c.send(headers(n, block((":method", "GET"), (":scheme", "http"), (":path", f"/{i}"),
                                    (":authority", "test"))))
        gate.wait(20)
        for n, path in numbers.items():
            assert c.wait(n).body == path.encode()
    assert g.backend.accepted == 1


def test_no_more_streams_than_the_backend_allows(proxy):
    most = []

    def script(c):
        h = H2Peer(c, [(MAX_CONCURRENT_STREAMS, 3)])
        while (r := h.request()) is not None:
            active = [q for q in h.requests.values() if not getattr(q, "answered", False)]
            most.append(len(active))
            h.respond(r.stream)
            r.answered = True
    g = proxy(then=script, pool=shared("max-conns 1"), threads=1)
    with H2Client(g.address) as c:
        for _ in range(30):
            n = c.next_stream()
            c.send(headers(n, block((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test"))))
        for n in range(1, 60, 2):
            assert c.wait(n).status == 200
    assert g.backend.accepted == 1 and max(most) <= 3


@pytest.mark.alone
def test_max_conns_counts_connections_over_all_threads(proxy):
    g = proxy(then=serve_h2(), pool=shared("max-conns 1", "keep-alive streams=4"), threads=2)

    def client(_):
        with g.client() as c:
            return [c.get("/").status for _ in range(20)]
    with concurrent.futures.ThreadPoolExecutor(16) as many:
        statuses = [s for part in many.map(client, range(16)) for s in part]
    assert statuses == [200] * 320
    wait_for(lambda: len(g.backend.open) <= 1, "those that were replaced to be closed")


def test_a_stream_that_is_reset_harms_no_other(proxy):
    def script(c):
        h = H2Peer(c)
        first, second = h.request(), h.request()
        h.send(rst_stream(first.stream, 2))
        h.respond(second.stream, "fine")
        h.serve()
    g = proxy(script, pool=shared("retry attempts=1"), threads=1)
    with H2Client(g.address) as c:
        a, b = c.next_stream(), c.next_stream()
        for n in (a, b):
            c.send(headers(n, block((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test"))))
        assert c.wait(a).status == 502 and c.wait(b).body == b"fine"
    g.wait_line("stream reset by the backend .INTERNAL_ERROR.")
    assert g.backend.accepted == 1


def test_a_client_that_leaves_resets_its_stream_alone(proxy):
    here, left = Event(), Event()

    def script(c):
        h = H2Peer(c)
        first, second = h.head(), h.head()
        here.set()
        h.until(lambda: first.error)
        assert first.error == "CANCEL"
        left.set()
        h.respond(second.stream, "fine")
        h.serve()
    g = proxy(script, pool=H2C, threads=1)
    with H2Client(g.address) as c:
        a, b = c.next_stream(), c.next_stream()
        for n in (a, b):
            c.send(headers(n, block((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test"))))
        assert here.wait(20)
        c.send(rst_stream(a))
        assert left.wait(20)
        assert c.wait(b).body == b"fine"


def test_a_lane_that_is_not_read_holds_up_no_other(proxy):
    """Windows end to end: what the client does not take is not sent by the backend."""
    sent = []

    def script(c):
        h = H2Peer(c)
        slow = h.request()
        h.send(headers(slow.stream, block((":status", "200")), END_HEADERS))
        room = h.room(slow.stream)
        h.data(slow.stream, bytes(room))
        sent.append(room)
        for _ in range(50):
            r = h.request()
            h.respond(r.stream, "quick")
        rest = 4 << 20
        h.data(slow.stream, bytes(rest), end=True)
        h.serve()
    g = proxy(script, pool=H2C, threads=1)
    with H2Client(g.address, window=1000, grow=False) as c:
        slow = c.next_stream()
        c.send(headers(slow, block((":method", "GET"), (":scheme", "http"), (":path", "/slow"),
                                   (":authority", "test"))))
        c.wait_status(slow)
        with H2Client(g.address) as other:
            assert all(other.get("/").body == b"quick" for _ in range(50))
        assert sent[0] <= 1 << 17
        c.send(rst_stream(slow))
        c.sync()


def test_uploads_and_responses_stream_both_ways_at_once(proxy):
    def script(c):
        h = H2Peer(c)
        r = h.head()
        h.send(headers(r.stream, block((":status", "200")), END_HEADERS))
        for i in range(5):
            h.until(lambda: len(r.body) > i)
            h.data(r.stream, r.body[i:i + 1].upper())
        h.until(lambda: r.ended)
        h.data(r.stream, b"!", end=True)
        h.serve()
    g = proxy(script, pool=H2C)
    with H2Client(g.address) as c:
        n = c.next_stream()
        c.send(headers(n, block((":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "test")),
                       END_HEADERS))
        for i, letter in enumerate(b"abcde"):
            c.send(data(n, bytes([letter])))
            c.until(lambda: c.stream(n).bytes > i, "the echo")
        c.send(data(n, end=True))
        assert c.wait(n).body == b"ABCDE!"


# ---- GOAWAY, refusals, loss ----

def test_streams_that_goaway_leaves_out_are_tried_on_another_connection(proxy):
    def first(c):
        h = H2Peer(c)
        a, b = h.request(), h.request()
        h.send(goaway(a.stream))
        h.respond(a.stream, "old")
        assert h.until(lambda: False) is False          # the gateway closes once `a` is answered
        assert b
    g = proxy(first, then=serve_h2(lambda r: b"new"), pool=H2C, threads=1)
    with H2Client(g.address) as c:
        a, b = c.next_stream(), c.next_stream()
        for n in (a, b):                # POST: it may be sent again, for it was not executed
            c.send(headers(n, block((":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "test"),
                                    ("content-length", "1")), END_HEADERS) + data(n, b"x", end=True))
        assert c.wait(a).body == b"old" and c.wait(b).body == b"new"
    assert g.backend.accepted == 2


def test_a_refused_stream_goes_to_another_backend(proxy, backend):
    def refuse(c):
        h = H2Peer(c)
        while (r := h.request()) is not None:
            h.send(rst_stream(r.stream, 7))
    a, b = backend(then=refuse), backend(then=serve_h2(lambda r: b"second"))
    g = proxy(a, b, pool=shared("balance first"))
    with g.client() as c:
        assert c.post("/", b"x").body == b"second"


def test_a_lost_connection_is_told_to_each_of_its_requests(proxy, backend):
    """GETs are tried again; what began to answer is broken off; a POST that was sent is not repeated."""
    def first(c):
        h = H2Peer(c)
        asked = {r[":path"]: r for r in (h.request() for _ in range(3))}
        h.send(headers(asked["/begun"].stream, block((":status", "200")), END_HEADERS) +
               data(asked["/begun"].stream, b"half"))
        h.send(ping(b"are u in"))
        h.until(lambda: h.pings)
        c.reset()
    a = backend(first)
    g = proxy(a, backend(then=serve_h2(lambda r: b"again")), pool=shared("balance first"), threads=1)
    with H2Client(g.address) as c:
        numbers = [c.next_stream() for _ in range(3)]
        for n, method, path in zip(numbers, ("GET", "POST", "GET"), ("/get", "/post", "/begun")):
            c.send(headers(n, block((":method", method), (":scheme", "http"), (":path", path),
                                    (":authority", "test"))))
        get, post, begun = (c.wait(n) for n in numbers)
        assert get.body == b"again"
        assert post.status == 502
        assert begun.status == 200 and begun.body == b"half" and begun.error


def test_a_backend_that_does_not_speak_http2_is_a_bad_gateway(proxy):
    def script(c):
        c.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        c.wait_closed()
    g = proxy(then=script, pool=H2C)
    assert g.get("/").status == 502
    g.wait_line("502|Bad Gateway")


def test_nobody_listens(proxy, backend):
    b = backend(listen=False)
    g = proxy(b, pool=H2C)
    assert g.get("/").status == 502


def test_a_silent_connection_is_asked_for_a_sign_of_life(proxy, backend):
    class Mute(H2Peer):
        def on_ping(self, payload):
            pass

    def mute(c):
        Mute(c).until(lambda: False)
    g = proxy(backend(mute), backend(then=serve_h2(lambda r: b"alive")),
              pool=shared("balance first", "keep-alive ping=100ms"), threads=1)
    assert g.get("/").body == b"alive"
    g.wait_line("no answer to a PING")


def test_a_response_that_is_a_head_alone_ends_for_a_client_of_http1(proxy):
    """Its end is a flag of the frame, which another protocol has to say in a field (RFC 9112 6.3)."""
    def script(c):
        h = H2Peer(c)
        while r := h.request():
            h.send(headers(r.stream, block((":status", "200"), ("x-a", "b"))))
    g = proxy(script, pool=H2C)
    with g.client() as c:
        for _ in range(2):
            response = c.get("/")
            assert response.status == 200 and response["content-length"] == "0" and response.body == b""
        assert c.ask("HEAD", "/").status == 200


@pytest.mark.parametrize("limit, ill, line", [
    ("h2 waiting=10", lambda h, r: h.send(ping() * 500), "Flooding|flood"),
    ("h2 head=2000", lambda h, r: h.send(headers(r.stream, block((":status", "200"), ("x-long", "a" * 3000)))),
     "field section unpacks to too much"),
], ids=["waiting", "head"])
def test_a_backend_that_asks_too_much_of_us_is_left(proxy, backend, limit, ill, line):
    """What the limit is for breaks the connection; without it the same does no harm."""
    def script(c):
        h = H2Peer(c)
        r = h.request()
        try:
            ill(h, r)
            if "waiting" in limit:
                h.respond(r.stream, "ok")
            h.serve()
        except OSError:         # the gateway has left
            c.close()
    strict = proxy(script, pool=shared(limit, "retry attempts=1"))
    assert strict.get("/").status == 502
    strict.wait_line(line)
    assert proxy(script, pool=H2C).get("/").status == 200


def test_a_slow_answer_is_waited_for_where_pings_are_answered(proxy):
    def script(c):
        h = H2Peer(c)
        r = h.request()
        seen = []
        h.on_ping = lambda payload: (seen.append(payload), h.send(ping(payload, ack=True)))
        h.until(lambda: len(seen) >= 3)
        h.respond(r.stream, "at last")
        h.serve()
    g = proxy(script, pool=shared("keep-alive ping=50ms"), threads=1)
    assert g.get("/").body == b"at last"


def test_deadlines_are_of_each_lane(gateway, backend):
    def script(c):
        h = H2Peer(c)
        late = h.request()
        while (r := h.head()) is not None:
            h.respond(r.stream)
            if late.error:
                break
        h.serve()
    b = backend(script)
    site = "site * {\n route /late { timeout response=200ms; proxy app }\n route * { proxy app }\n}\n"
    g = gateway(make_config(b, pool=shared("retry attempts=1"), site=site, threads=1))
    with H2Client(g.address) as c:
        n = c.next_stream()
        c.send(headers(n, block((":method", "GET"), (":scheme", "http"), (":path", "/late"),
                               (":authority", "test"))))
        assert c.get("/").status == 200
        assert c.wait(n).status == 504
        assert c.get("/").status == 200
    assert b.accepted == 1


# ---- keeping ----

def test_an_idle_connection_answers_pings_and_is_used_again(proxy):
    ponged = Event()

    def script(c):
        h = H2Peer(c)
        h.respond(h.request().stream)
        h.send(ping(b"idle now"))
        h.until(lambda: h.pings)
        ponged.set()
        h.serve()
    g = proxy(script, pool=H2C, threads=1)
    assert g.get("/").status == 200
    assert ponged.wait(20)
    assert g.get("/").status == 200
    assert g.backend.accepted == 1


def test_an_idle_connection_that_says_goodbye_is_closed(proxy):
    gone = Event()

    def script(c):
        h = H2Peer(c)
        r = h.request()
        h.respond(r.stream)
        h.send(goaway(r.stream))
        h.until(lambda: False)
        gone.set()
    g = proxy(script, then=serve_h2(), pool=H2C, threads=1)
    assert g.get("/").status == 200
    assert gone.wait(20)
    assert g.get("/").status == 200


@pytest.mark.parametrize("keep", ["keep-alive requests=1", "keep-alive age=50ms", "keep-alive timeout=50ms", ""])
def test_the_gateway_says_goodbye_to_a_connection_that_it_closes(proxy, keep):
    """Or when it stops."""
    seen = []

    def script(c):
        h = H2Peer(c)
        h.serve()
        seen.append(h.goaway)
    g = proxy(then=script, pool=shared(*([keep] if keep else [])), threads=1)
    assert g.get("/").status == 200
    if not keep:
        g.stop()
    if "age" in keep:
        wait_for(lambda: g.get("/").status == 200 and seen, "the connection to be too old")
    wait_for(lambda: seen, "the connection to be closed")
    assert set(seen) == {"NO_ERROR"}


def test_a_connection_is_worn_by_requests_and_by_age(proxy):
    g = proxy(then=serve_h2(), pool=shared("keep-alive requests=3"), threads=1)
    with g.client() as c:
        assert [c.get("/").status for _ in range(9)] == [200] * 9
    assert g.backend.accepted == 3


def test_probes_ask_over_http2(proxy):
    g = proxy(then=serve_h2(lambda r: b"well"), pool=shared("health GET /up interval=1s match=well"))
    assert g.get("/").status == 200
    g.wait_line("up: its probes succeed|listening")


# ---- malformed responses ----

MALFORMED = {
    "no status": block(("x-a", "b")),
    "status twice": block((":status", "200"), (":status", "200")),
    "status that is no number": block((":status", "2x0")),
    "pseudo-field of a request": block((":status", "200"), (":path", "/")),
    "pseudo-field after a field": block(("x-a", "b"), (":status", "200")),
    "upper case": block((":status", "200"), ("X-A", "b")),
    "connection": block((":status", "200"), ("connection", "close")),
    "transfer-encoding": block((":status", "200"), ("transfer-encoding", "chunked")),
    "line break in a value": block((":status", "200"), ("x-a", "b\r\nc: d")),
    "101": block((":status", "101")),
    "two lengths": block((":status", "200"), ("content-length", "1"), ("content-length", "2")),
    "length that is none": block((":status", "200"), ("content-length", "-1")),
}


@pytest.mark.faults
@pytest.mark.serial
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_response_is_a_bad_gateway_and_harms_no_other(shared_proxy, name):
    def script(c):
        h = H2Peer(c)
        good, bad = h.request(), h.request()
        h.send(frame(HEADERS, END_HEADERS | 1, bad.stream, MALFORMED[name]))
        h.until(lambda: bad.error)
        h.respond(good.stream, "fine")
        h.serve()
    g = shared_proxy(script, pool=shared("retry attempts=1", "fail count=off"), threads=1)
    with H2Client(g.address) as c:
        a, b = c.next_stream(), c.next_stream()
        for n in (a, b):
            c.send(headers(n, block((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test"))))
        assert c.wait(b).status == 502 and c.wait(a).body == b"fine"


@pytest.mark.faults
@pytest.mark.parametrize("status", ["099", "600"])
def test_a_status_that_is_none_is_a_bad_gateway(proxy, status):
    def script(c):
        h = H2Peer(c)
        h.send(headers(h.request().stream, block((":status", status))))
        h.serve()
    g = proxy(script, pool=shared("retry attempts=1"), threads=1)
    assert g.get("/").status == 502
    assert g.get("/").body == b"ok"
    assert g.backend.accepted == 1


def test_a_body_that_is_not_as_long_as_it_says_is_broken_off(proxy):
    def script(c):
        h = H2Peer(c)
        r = h.request()
        h.respond(r.stream, "four", 200, ("content-length", "5"))
        h.serve()
    g = proxy(script, pool=shared("retry attempts=1"), threads=1)
    with H2Client(g.address) as c:
        n = c.next_stream()
        c.send(headers(n, block((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test"))))
        s = c.wait(n)
        assert s.error or s.status == 502


def test_endless_interim_responses_are_not_taken(proxy):
    def script(c):
        h = H2Peer(c)
        r = h.request()
        for _ in range(100):
            h.send(headers(r.stream, block((":status", "103"), ("x-a", "b" * 100)), END_HEADERS))
        h.until(lambda: r.error)
        h.serve()
    g = proxy(script, pool=shared("retry attempts=1"), threads=1)
    assert g.get("/").status in (502, 103)


def test_a_window_that_shrinks_while_a_body_is_sent(proxy):
    def script(c):
        h = H2Peer(c, [(INITIAL_WINDOW_SIZE, 10)], grow=False)
        r = h.head()
        h.until(lambda: len(r.body) >= 10)
        h.send(frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x05"))
        h.until(lambda: h.acks >= 2)
        h.send(frame(8, 0, r.stream, (1 << 20).to_bytes(4, "big")))
        h.until(lambda: r.ended)
        h.respond(r.stream, str(len(r.body)))
        h.serve()
    g = proxy(script, pool=H2C)
    with g.client() as c:
        assert c.post("/", bytes(30_000)).body == b"30000"
