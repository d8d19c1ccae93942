"""Requests and responses pass through as they should: RFC 9112 on both sides."""

import threading

import pytest

from conftest import make_config
from harness import Broken, Endless, Event, serve, wait_for
from harness.fcgi import STDOUT, end, read_fcgi, read_scgi, record

pytestmark = pytest.mark.serial


def echo(request, c):
    """Answers with what was asked and sent."""
    return f"{request.method} {request.target} ".encode() + request.body


# ---- the usual ----

def test_get_passes_through(shared_proxy):
    g = shared_proxy(then=serve(echo))
    with g.client() as c:
        m = c.get("/a/b?c=d%20e&f")
    assert m.status == 200 and m.version == "1.1" and m.body == b"GET /a/b?c=d%20e&f "


def test_client_connection_is_kept(shared_proxy):
    g = shared_proxy(then=serve(echo))
    with g.client() as c:
        assert [c.get(f"/{n}").body for n in range(50)] == [b"GET /%d " % n for n in range(50)]


def test_backend_connection_is_reused(shared_proxy):
    g = shared_proxy(then=serve(echo), threads=1)
    for n in range(10):
        assert g.get(f"/{n}").body == b"GET /%d " % n
    assert g.backend.accepted == 1


def test_status_reason_and_fields_pass_through(shared_proxy):
    def script(c):
        c.request()
        c.respond("made", "201 Made It", "X-One: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty:\r\n")
    m = shared_proxy(script).get()
    assert (m.status, m.reason, m.body) == (201, "Made It", b"made")
    assert m["x-one"] == "1" and m.all("set-cookie") == ["a=1", "b=2"] and m["x-empty"] == ""


def test_obs_text_in_a_field_passes_through(shared_proxy):
    """RFC 9110 5.5"""
    def script(c):
        assert c.request()["x-name"] == "caf\xe9"
        c.send("HTTP/1.1 200 OK\r\nX-Back: \xe9t\xe9\r\nContent-Length: 0\r\n\r\n")
    assert shared_proxy(script).get("/", "X-Name: caf\xe9\r\n")["x-back"] == "\xe9t\xe9"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "PURGE", "M-SEARCH"])
def test_any_method_may_have_a_body(shared_proxy, method):
    m = shared_proxy(then=serve(echo)).client().ask(method, "/x", body=b"hello")
    assert m.body == method.encode() + b" /x hello"


def test_post_with_empty_body(shared_proxy):
    m = shared_proxy(then=serve(echo)).client().ask("POST", "/x", "Content-Length: 0\r\n")
    assert m.body == b"POST /x "


def test_head_arriving_byte_by_byte(shared_proxy):
    g = shared_proxy(then=serve(echo))
    c = g.client()
    for byte in b"POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc":
        c.send(bytes([byte]))
    assert c.response().body == b"POST /slow abc"


def test_response_arriving_byte_by_byte(shared_proxy):
    def script(c):
        c.request()
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            c.send(bytes([byte]))
    assert shared_proxy(script).get().body == b"abc"


def test_empty_lines_before_a_request_are_ignored(shared_proxy):
    """RFC 9112 2.2"""
    c = shared_proxy(then=serve(echo)).client()
    c.send("\r\nGET /a HTTP/1.1\r\nHost: test\r\n\r\n")
    assert c.response().body == b"GET /a "


# ---- pipelining ----

def test_pipelined_requests_are_answered_in_order(shared_proxy):
    c = shared_proxy(then=serve(echo)).client()
    c.send("".join(f"GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n" for n in range(100)))
    assert [c.response().body for n in range(100)] == [b"GET /%d " % n for n in range(100)]


def test_pipelined_requests_with_bodies(shared_proxy):
    c = shared_proxy(then=serve(echo)).client()
    c.send("POST /1 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
           "POST /2 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
           "HEAD /3 HTTP/1.1\r\nHost: t\r\n\r\n"
           "GET /4 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert c.response().body == b"POST /1 abc"
    assert c.response().body == b"POST /2 de"
    assert c.response("HEAD")["content-length"] == "8"
    assert c.response().body == b"GET /4 "
    c.expect_closed()


# ---- chunked ----

def test_chunked_request_body(shared_proxy):
    c = shared_proxy(then=serve(echo)).client()
    m = c.ask("POST", "/x", "Transfer-Encoding: chunked\r\n",
              b"5\r\nhello\r\n1;ext=\"v\"\r\n \r\n005\r\nworld\r\n0\r\n\r\n")
    assert m.body == b"POST /x hello world"
    assert c.get("/next").body == b"GET /next "


def test_chunked_response_body(shared_proxy):
    def script(c):
        for _ in range(2):
            c.request()
            c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n")
    c = shared_proxy(script).client()
    assert c.get().body == b"hello0123456789"
    assert c.get().body == b"hello0123456789"


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 65535, 65536, 65537, 1_000_003])
def test_bodies_of_any_size_both_ways(shared_proxy, size):
    body = bytes(n * 7 % 251 for n in range(1000)) * (size // 1000 + 1)
    body = body[:size]

    def answer(request, c):
        if request.target == "/length":
            return request.body
        chunks = [request.body[n:n + 9999] for n in range(0, size, 9999)]
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in chunks) + b"0\r\n\r\n")
    c = shared_proxy(then=serve(answer)).client()
    for target in ("/length", "/chunked"):
        assert c.ask("POST", target, f"Content-Length: {size}\r\n", body).body == body
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p)
                           for p in (body[n:n + 7777] for n in range(0, size, 7777))) + b"0\r\n\r\n"
        assert c.ask("POST", target, "Transfer-Encoding: chunked\r\n", chunked).body == body


def test_a_request_body_is_passed_on_as_it_arrives(shared_proxy):
    first_seen = Event()

    def script(c):
        c.head()
        assert c.reader.exactly(5) == b"first"
        first_seen.set()
        assert c.reader.exactly(6) == b"second"
        c.respond("both")
    c = shared_proxy(script).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\nfirst")
    assert first_seen.wait(10)
    c.send("second")
    assert c.response().body == b"both"


def test_a_chunked_request_body_is_passed_on_as_it_arrives(shared_proxy):
    first_seen = Event()

    def script(c):
        c.head()
        c.reader.until(b"first")
        first_seen.set()
        c.reader.until(b"0\r\n\r\n")
        c.respond("both")
    c = shared_proxy(script).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    assert first_seen.wait(10)
    c.send("6\r\nsecond\r\n0\r\n\r\n")
    assert c.response().body == b"both"


def test_a_response_body_is_passed_on_as_it_arrives(shared_proxy):
    proceed = Event()

    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst")
        assert proceed.wait(10)
        c.send("second")
    c = shared_proxy(script).client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    head = c.reader.head()
    assert c.reader.exactly(5, head) == b"first"
    proceed.set()
    assert c.reader.exactly(6, head) == b"second"


def test_a_response_head_is_passed_on_before_any_body(shared_proxy):
    proceed = Event()

    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert proceed.wait(10)
        c.send("2\r\nok\r\n0\r\n\r\n")
    c = shared_proxy(script).client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    m = c.reader.head()
    assert m.status == 200
    proceed.set()
    c.reader.body(m)
    assert m.body == b"ok"


# ---- trailers ----

def test_request_trailers_reach_the_backend(shared_proxy):
    """RFC 9110 6.5"""
    g = shared_proxy(then=serve(echo))
    c = g.client()
    m = c.ask("POST", "/x", "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
              b"3\r\nabc\r\n0\r\nX-Sum: 294\r\nX-More: y\r\n\r\n")
    assert m.body == b"POST /x abc"
    assert g.backend.requests[0].trailers == [("x-sum", "294"), ("x-more", "y")]
    assert c.get("/next").status == 200


def test_response_trailers_reach_the_client(shared_proxy):
    def script(c):
        for _ in range(2):
            c.request()
            c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                   "3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n")
    c = shared_proxy(script).client()
    for _ in range(2):
        m = c.get("/", "TE: trailers\r\nConnection: TE\r\n")
        assert m.body == b"abc" and m.trailers == [("x-sum", "294")]


@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: evil",
                                   "Connection: close", "X-Forwarded-For: 6.6.6.6", "X_Forwarded_For: 6.6.6.6"])
def test_trailers_that_would_change_the_message_are_not_passed_on(shared_proxy, field):
    """RFC 9110 6.5.1: framing, routing and hop-by-hop fields are no trailers."""
    g = shared_proxy(then=serve(echo))
    c = g.client()
    try:
        c.ask("POST", "/x", "Transfer-Encoding: chunked\r\n",
              f"3\r\nabc\r\n0\r\n{field}\r\n\r\n".encode())
    except Broken:
        pass
    assert all(n != field.split(":")[0].lower() for r in g.backend.requests for n, v in r.trailers)


# ---- without a body ----

@pytest.mark.parametrize("framing", ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n", ""])
def test_head_has_no_body_and_the_connection_goes_on(shared_proxy, framing):
    def script(c):
        assert c.request().method == "HEAD"
        c.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n")
        if not framing:
            return
        c.request()
        c.respond("next")
    c = shared_proxy(script, then=serve(lambda r, c: b"next")).client()
    m = c.ask("HEAD", "/")
    assert m.status == 200 and m.body == b""
    if "Length" in framing:
        assert m["content-length"] == "1000"
    assert c.get().body == b"next"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_204_and_304_have_no_body(shared_proxy, status):
    def script(c):
        c.request()
        c.send(f"HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n")
        c.request()
        c.respond("next")
    g = shared_proxy(script)
    c = g.client()
    m = c.get()
    assert m.status == int(status[:3]) and m["etag"] == '"x"' and m.body == b""
    assert c.get().body == b"next"
    assert g.backend.accepted == 1


@pytest.mark.parametrize("status", ["204 No Content", "103 Early Hints"])
def test_a_length_where_there_can_be_no_body_is_dropped(shared_proxy, status):
    """RFC 9110 8.6: some clients would wait for it."""
    def script(c):
        c.request()
        c.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nX-Own: 1\r\n\r\n")
        if status[0] == "1":
            c.respond("final")
        c.request()
        c.respond("next")
    c = shared_proxy(script).client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    m = c.response(interim=True)
    assert m.status == int(status[:3]) and m["x-own"] == "1" and "content-length" not in m
    if status[0] == "1":
        assert c.response().body == b"final"
    assert c.get().body == b"next"


def test_304_may_tell_a_content_length(shared_proxy):
    """RFC 9110 8.6"""
    def script(c):
        c.request()
        c.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")
        c.request()
        c.respond("next")
    c = shared_proxy(script).client()
    assert c.get().status == 304
    assert c.get().body == b"next"


def test_205_without_content(shared_proxy):
    def script(c):
        c.request()
        c.respond(b"", "205 Reset Content")
    assert shared_proxy(script).get().status == 205


# ---- interim responses ----

def test_early_hints_are_passed_on_at_once(shared_proxy):
    """RFC 8297"""
    seen = Event()

    def script(c):
        c.request()
        c.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        assert seen.wait(10)
        c.respond("done")
    c = shared_proxy(script).client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    hints = c.response(interim=True)
    seen.set()
    assert hints.status == 103 and hints["link"] == "</a.css>; rel=preload"
    m = c.response(interim=True)
    assert m.status == 200 and m.body == b"done" and "link" not in m


def test_several_interim_responses(shared_proxy):
    def script(c):
        c.request()
        for n in range(5):
            c.send(f"HTTP/1.1 103 Early Hints\r\nLink: </{n}.css>\r\n\r\n")
        c.send("HTTP/1.1 102 Processing\r\n\r\n")
        c.respond("done")
    c = shared_proxy(script).client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert [c.response(interim=True).status for _ in range(7)] == [103] * 5 + [102, 200]


def test_interim_responses_are_not_sent_to_http_1_0(shared_proxy):
    """RFC 9110 15.2"""
    def script(c):
        c.request()
        c.send("HTTP/1.1 103 Early Hints\r\n\r\n")
        c.respond("done")
    c = shared_proxy(script).client()
    c.send("GET / HTTP/1.0\r\nHost: t\r\n\r\n")
    assert c.response(interim=True).status == 200


def test_100_continue_comes_from_the_backend(shared_proxy):
    """RFC 9110 10.1.1"""
    def script(c):
        head = c.head()
        assert head["expect"].lower() == "100-continue"
        c.send("HTTP/1.1 100 Continue\r\n\r\n")
        c.reader.body(head)
        c.respond(head.body)
    c = shared_proxy(script).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert c.response(interim=True).status == 100
    c.send("hello")
    m = c.response(interim=True)
    assert m.status == 200 and m.body == b"hello"


@pytest.mark.parametrize("protocol, read", [("fastcgi", read_fcgi), ("scgi", read_scgi)])
def test_100_continue_comes_from_the_gateway_where_the_protocol_has_no_word_for_it(gateway, backend, protocol, read):
    def script(c):
        r = read(c)
        assert "HTTP_EXPECT" not in r.params
        out = b"Content-Type: text/plain\r\n\r\n" + r.body
        c.send(record(STDOUT, r.id, out) + end(r.id) if protocol == "fastcgi" else out)
        c.close()
    g = gateway(make_config(f"{protocol}://{backend(script).address}", pool=["buffer off"]))
    c = g.client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert c.response(interim=True).status == 100
    c.send("hello")
    assert c.response(interim=True).body == b"hello"


def test_a_refusal_instead_of_100_continue(shared_proxy):
    def script(c):
        c.head()
        c.respond("no", "401 Unauthorized", "Connection: close\r\n")
    c = shared_proxy(script, then=serve(lambda r, c: b"next")).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    m = c.response(interim=True)
    assert m.status == 401 and m.body == b"no"
    # Either we close, or we still take the body that was announced for a body.
    if "close" in m.tokens("connection"):
        c.expect_closed()
    else:
        c.send("hello")
        assert c.get("/next").body == b"next"


def test_a_client_that_does_not_wait_for_100(shared_proxy):
    def script(c):
        head = c.head()
        c.send("HTTP/1.1 100 Continue\r\n\r\n")
        c.reader.body(head)
        c.respond(head.body)
        c.request()
        c.respond("next")
    c = shared_proxy(script).client()
    m = c.ask("POST", "/", "Content-Length: 5\r\nExpect: 100-continue\r\n", b"hello")
    assert m.status == 200 and m.body == b"hello"
    assert c.get().body == b"next"


def test_another_expectation_is_refused(shared_proxy):
    """RFC 9110 10.1.1: 417"""
    g = shared_proxy()
    assert g.get("/", "Expect: the-unexpected\r\n").status == 417
    assert g.backend.requests == []


# ---- HTTP/1.0 ----

def test_http_1_0_client_gets_no_chunks_and_a_close(shared_proxy):
    """RFC 9112 6.1, 9.3"""
    def script(c):
        m = c.request()
        assert m.version == "1.1" and m["host"]
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    c = shared_proxy(script).client()
    c.send("GET / HTTP/1.0\r\nHost: t\r\n\r\n")
    m = c.response()
    assert m.body == b"abc" and "transfer-encoding" not in m
    c.expect_closed()


def test_http_1_0_client_without_host(shared_proxy):
    c = shared_proxy(then=serve(echo)).client()
    m = c.get("/x", version="1.0", host=None)
    assert m.status == 200 and m.body == b"GET /x "
    c.expect_closed()


def test_http_1_0_client_with_content_length(shared_proxy):
    c = shared_proxy(then=serve(echo)).client()
    assert c.post("/x", "abc", version="1.0").body == b"POST /x abc"


def test_http_1_0_client_may_keep_alive(shared_proxy):
    c = shared_proxy(then=serve(echo)).client()
    m = c.get("/1", "Connection: keep-alive\r\n", version="1.0")
    assert m.body == b"GET /1 "
    if "keep-alive" in m.tokens("connection"):
        assert c.get("/2", version="1.0").body == b"GET /2 "
    c.expect_closed()


def test_http_1_0_backend_ends_its_response_by_closing(shared_proxy):
    def script(c):
        c.request()
        c.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold times")
    c = shared_proxy(then=script).client()
    for _ in range(3):
        m = c.get()
        assert m.version == "1.1" and m.body == b"old times"


def test_http_1_0_backend_with_length_is_not_reused_without_keep_alive(shared_proxy):
    def script(c):
        c.request()
        c.send("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")
        assert c.request() is None
    c = shared_proxy(then=script).client()
    assert [c.get().body for _ in range(3)] == [b"old"] * 3


def test_close_delimited_response_of_http_1_1(shared_proxy):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
    g = shared_proxy(then=script)
    c = g.client()
    m = c.get()
    assert m.body == b"until the end"
    assert m.tokens("transfer-encoding") == ["chunked"] or m.tokens("connection") == ["close"]
    assert g.get("/", version="1.0").body == b"until the end"


# ---- closing ----

def test_connection_close_of_the_client(shared_proxy):
    c = shared_proxy(then=serve(echo)).client()
    m = c.get("/", "Connection: close\r\n")
    assert "close" in m.tokens("connection")
    c.expect_closed()


def test_connection_close_of_the_backend_is_its_own_affair(shared_proxy):
    def script(c):
        c.request()
        c.respond("bye", fields="Connection: close\r\n")
    g = shared_proxy(then=script)
    c = g.client()
    for _ in range(3):
        m = c.get()
        assert m.body == b"bye" and "close" not in m.tokens("connection")
    assert g.backend.accepted == 3


def test_half_closed_client_gets_its_response(shared_proxy):
    """RFC 9112 9.6: a client may close its sending side once it has sent everything."""
    closed = Event()

    def script(c):
        c.request()
        assert closed.wait(10)
        c.respond("x" * 300_000)
    c = shared_proxy(script).client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").half_close()
    closed.set()
    assert len(c.response().body) == 300_000
    c.expect_closed()


def test_half_closed_client_after_pipelined_requests(shared_proxy):
    c = shared_proxy(then=serve(echo)).client()
    c.send("".join(f"GET /{n} HTTP/1.1\r\nHost: t\r\n\r\n" for n in range(5))).half_close()
    assert [c.response().body for n in range(5)] == [b"GET /%d " % n for n in range(5)]
    c.expect_closed()


def test_client_that_leaves_in_its_request_is_no_request(shared_proxy):
    g = shared_proxy()
    for part in ("G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: t\r\nX:"):
        c = g.client().send(part).half_close()
        rest = c.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 4")
    assert g.backend.requests == []


# ---- forms of the target ----

def test_absolute_form_sets_the_host(shared_proxy):
    """RFC 9112 3.2.2"""
    def answer(r, c):
        return f"{r.target} {r['host']}".encode()
    c = shared_proxy(then=serve(answer)).client()
    assert c.get("http://real.example/a?b", host="fake.example").body == b"/a?b real.example"
    assert c.get("http://real.example:81", host="fake.example").body == b"/ real.example:81"
    assert c.get("HTTP://real.example?q", host="fake.example").body == b"/?q real.example"


def test_options_asterisk(shared_proxy):
    """RFC 9112 3.2.4"""
    c = shared_proxy(then=serve(echo)).client()
    assert c.ask("OPTIONS", "*").body == b"OPTIONS * "


def hops_left(request, c):
    """Answers with the field that counts hops."""
    return str(request.all("max-forwards")).encode()


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_a_hop_is_counted(shared_proxy, method):
    """RFC 9110 7.6.2"""
    with shared_proxy(then=serve(hops_left)).client() as c:
        for before, after in [("1", "0"), ("70", "69"), ("18446744073709551615", "18446744073709551614")]:
            m = c.ask(method, "/", f"Max-Forwards: {before}\r\n")
            assert (m.status, m.body) == (200, f"['{after}']".encode())
        assert c.ask(method, "/", "Connection: max-forwards\r\nMax-Forwards: 5\r\n").body == b"['4']"
        assert c.ask(method, "/").body == b"[]"


def test_the_last_hop_answers_by_itself(shared_proxy):
    g = shared_proxy(then=serve(hops_left))
    with g.client() as c:
        assert c.ask("OPTIONS", "*", "Max-Forwards: 0\r\n").status == 204
        assert c.ask("OPTIONS", "/x", "Max-Forwards: 00\r\n", body=b"some").status == 204
        assert c.ask("TRACE", "/", "Max-Forwards: 0\r\n").status == 501
    assert g.backend.requests == []


@pytest.mark.parametrize("value", ["", "-1", "1.0", "1, 2", "18446744073709551616", "x"])
def test_a_count_of_hops_that_is_none_is_refused(shared_proxy, value):
    g = shared_proxy(then=serve(hops_left))
    assert g.client().ask("OPTIONS", "/", f"Max-Forwards: {value}\r\n").status == 400
    assert g.client().ask("OPTIONS", "/", "Max-Forwards: 1\r\nMax-Forwards: 1\r\n").status == 400
    assert g.backend.requests == []


def test_hops_of_other_methods_are_not_counted(shared_proxy):
    assert shared_proxy(then=serve(hops_left)).get("/", "Max-Forwards: 0\r\n").body == b"['0']"


def test_asterisk_for_another_method_is_refused(shared_proxy):
    g = shared_proxy()
    assert g.get("*").status == 400
    assert g.backend.requests == []


def test_connect_is_refused(shared_proxy):
    g = shared_proxy()
    c = g.client()
    c.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
    assert c.response("GET").status in (400, 405, 501)
    assert g.backend.requests == []


# ---- responses before the request is through ----

def test_an_early_response_reaches_a_client_that_still_sends(shared_proxy):
    done = Event()

    def script(c):
        c.head()
        c.respond("too much", "413 Content Too Large", "Connection: close\r\n")
        c.half_close()
        done.wait(10)
    c = shared_proxy(script).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\n")
    sender = threading.Thread(target=lambda: [c.try_send(b"x" * 65536) for _ in range(20)])
    sender.start()
    m = c.response()
    done.set()
    sender.join(10)
    assert m.status == 413 and m.body == b"too much"


def test_an_early_response_while_the_body_goes_on(shared_proxy):
    """Two directions: the response is under way before the request has ended."""
    got = Event()

    def script(c):
        head = c.head()
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npart")
        assert got.wait(10)
        c.reader.body(head)
        assert head.body == b"a" * 100_000
        c.send("rest")
        c.request()
        c.respond("next")
    c = shared_proxy(script).client()
    c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n")
    m = c.reader.head()
    assert c.reader.exactly(4) == b"part"
    got.set()
    c.send("a" * 100_000)
    assert m.status == 200 and c.reader.exactly(4) == b"rest"
    assert c.get().body == b"next"


# ---- clients that go ----

def test_a_client_that_leaves_frees_the_backend_at_once(shared_proxy):
    ended = Event()
    asked = Event()

    def script(c):
        c.request()
        asked.set()
        c.wait_closed()
        ended.set()
    g = shared_proxy(then=script)
    c = g.client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert asked.wait(10)
    c.reset()
    assert ended.wait(10)


def test_a_client_that_leaves_in_the_response_frees_the_backend(shared_proxy):
    endless = Endless()
    g = shared_proxy(then=endless)
    c = g.client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    c.reader.head()
    c.reset()
    assert endless.given_up.wait(10)


def test_a_client_that_leaves_in_its_body_breaks_the_request(shared_proxy):
    """The backend must not take half a body for a whole one."""
    ended = Event()

    def script(c):
        head = c.head()
        with pytest.raises(Broken):
            c.reader.body(head)
        ended.set()
    g = shared_proxy(then=script)
    for framing, part in (("Content-Length: 10", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")):
        ended.clear()
        c = g.client()
        c.send(f"POST / HTTP/1.1\r\nHost: t\r\n{framing}\r\n\r\n{part}")
        wait_for(lambda: g.backend.requests, "the head")
        c.close()
        assert ended.wait(10)
        g.backend.requests.clear()
