"""FastCGI and SCGI applications that misbehave: each has its answer, none hangs, leaks, or reaches another request.

A row is a note, what the application sends, and what the client must see: a status, or BROKEN for a response that
begins and is seen to break off. Every row is played between two requests that are served well.
"""

import re
import threading

import pytest

from conftest import make_config
from harness import Broken, wait_for
from harness.fcgi import (ABORT, BEGIN, DATA, END, GET_VALUES, PARAMS, STDERR, STDIN, STDOUT, UNKNOWN, VALUES, Request,
                          end, read_fcgi, read_scgi, record)

pytestmark = pytest.mark.serial

BROKEN = "broken"
RESET, HOLD = object(), object()        # the connection is reset; stays open until the gateway closes it
TEXT = b"Content-Type: text/plain\r\n"
HEAD = TEXT + b"\r\n"
OK = HEAD + b"fine"


# ---- FastCGI: each row makes its bytes for the id of the request ----

def out(content):
    return lambda i: record(STDOUT, i, content)


def err(content):
    return lambda i: record(STDERR, i, content)


def done(i):
    return end(i)


def raw(data):
    return lambda i: data


def rec(kind, content=b"", id=None, **more):
    return lambda i: record(kind, i if id is None else id(i), content, **more)


def cut(part, n):
    """The first n bytes; from the end if negative."""
    return lambda i: part(i)[:n]


def each(content, between):
    """Each byte in a record of its own."""
    return lambda i: b"".join(record(STDOUT, i, content[k:k + 1]) + between(i) for k in range(len(content)))


FCGI = [
    # closing and resetting at every stage
    ("closes without a word", [], 502),
    ("resets without a word", [RESET], 502),
    *[(f"sends {n} bytes of a header", [cut(out(OK), n)], 502) for n in range(1, 8)],
    ("sends a header alone", [cut(out(OK), 8)], 502),
    ("stops inside its head", [cut(out(OK), 20)], 502),
    ("resets inside its head", [cut(out(OK), 20), RESET], 502),
    ("stops at the end of its head's record", [out(HEAD[:-2])], 502),
    ("stops behind its head", [out(HEAD)], BROKEN),
    ("resets behind its head", [out(HEAD), RESET], BROKEN),
    ("stops inside its body", [cut(out(OK), -2)], BROKEN),
    ("resets inside its body", [cut(out(OK), -2), RESET], BROKEN),
    ("stops between two records", [out(OK)], BROKEN),
    ("stops behind the end of STDOUT", [out(OK), out(b"")], BROKEN),
    ("stops inside padding", [out(HEAD), cut(rec(STDOUT, b"fine", padding=9), -3)], BROKEN),
    *[(f"sends {n} bytes of END_REQUEST", [out(OK), cut(done, n)], BROKEN) for n in (1, 7, 8, 9, 15)],
    ("resets in place of END_REQUEST", [out(OK), RESET], BROKEN),
    ("closes behind all of Content-Length", [out(b"Content-Length: 4\r\n\r\nfine")], 200),
    # versions, types, ids, lengths
    ("speaks HTTP", [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")], 502),
    ("speaks TLS", [raw(b"\x16\x03\x01\x00\x10" + bytes(16))], 502),
    ("sends zeros", [raw(bytes(64))], 502),
    *[(f"sends version {v}", [rec(STDOUT, OK, version=v), done], 502) for v in (0, 2, 255)],
    ("changes its version", [out(HEAD), rec(STDOUT, b"fine", version=2), done], BROKEN),
    *[(f"sends a record of type {t}", [rec(t, b"x"), out(OK), done], 502)
      for t in (0, BEGIN, ABORT, PARAMS, STDIN, DATA, GET_VALUES, 12, 255)],
    ("sends a strange record in its body", [out(HEAD), rec(STDIN, b"x"), done], BROKEN),
    ("answers request 0", [rec(STDOUT, OK, id=lambda i: 0), done], 502),
    ("answers the next request", [rec(STDOUT, OK, id=lambda i: i + 1), done], 502),
    ("answers request 65535", [rec(STDOUT, OK, id=lambda i: 65535), done], 502),
    ("answers with its bytes swapped", [rec(STDOUT, OK, id=lambda i: i << 8), done], 502),
    ("changes the request in its body", [out(HEAD), rec(STDOUT, b"not yours", id=lambda i: i + 1), done], BROKEN),
    ("complains of another request", [rec(STDERR, b"x", id=lambda i: i + 1), out(OK), done], 502),
    ("ends another request", [out(OK), lambda i: end(i + 1)], BROKEN),
    ("ends request 0", [out(OK), lambda i: end(0)], BROKEN),
    ("sends values of a request", [rec(VALUES, b""), out(OK), done], 502),
    ("does not know a type of a request", [rec(UNKNOWN, bytes(8)), out(OK), done], 502),
    *[(f"ends with {n} bytes", [out(OK), rec(END, bytes(n))], BROKEN) for n in (0, 7, 9, 4096)],
    ("promises more than it sends", [rec(STDOUT, OK, length=200)], BROKEN),
    ("promises less than it sends", [rec(STDOUT, OK, length=len(OK) - 4), done], BROKEN),
    ("says more behind the end of STDOUT", [out(OK), out(b""), out(b"more"), done], BROKEN),
    # the end at the wrong time
    ("ends at once", [done], 502),
    ("ends its output at once", [out(b""), done], 502),
    ("ends inside its head", [out(TEXT), done], 502),
    ("ends behind its head", [out(HEAD), done], 200),
    ("ends before all of Content-Length", [out(b"Content-Length: 9\r\n\r\nfine"), done], BROKEN),
    ("says more than Content-Length", [out(b"Content-Length: 4\r\n\r\nfine, and more"), done], 200),
    ("says much more than Content-Length", [out(b"Content-Length: 4\r\n\r\nfine"), *[out(bytes(60000))] * 8, done], 200),
    ("ends twice", [out(OK), done, done], 200),
    ("answers a request that nobody made", [out(OK), done, rec(STDOUT, HEAD + b"evil", id=lambda i: i % 2 + 1),
                                             lambda i: end(i % 2 + 1)], 200),
    ("ends and goes on", [out(OK), done, out(b"evil")], 200),
    ("ends with half a record behind", [out(OK), done, cut(out(b"evil"), 5)], 200),
    # refusals
    ("is overloaded", [lambda i: end(i, 2)], 503),
    ("cannot multiplex", [lambda i: end(i, 1)], 503),
    ("does not know the role", [lambda i: end(i, 3)], 503),
    ("ends with status 4", [lambda i: end(i, 4)], 502),
    ("ends with status 255", [lambda i: end(i, 255)], 502),
    ("is overloaded behind its head", [out(OK), lambda i: end(i, 2)], BROKEN),
    ("is overloaded inside its head", [out(TEXT), lambda i: end(i, 2)], 502),
    ("ends with a status of its own", [out(OK), lambda i: end(i, 0, 7)], 200),
    # standard error
    ("complains between all bytes", [each(OK, err(b"oh\n")), done], 200),
    ("complains and is silent", [err(b"only this\n"), done], 502),
    ("complains without end", [*[err(b"a line of text\n" * 4000)] * 40, out(OK), done], 200),
    ("complains of nothing", [*[err(b"")] * 3000, out(OK), done], 200),
    ("complains in the middle of UTF-8", [err(b"\xc3"), err(b"\xa4\0\x1b[31m\r\n"), out(OK), done], 200),
    ("complains behind its output", [out(OK), out(b""), err(b"late\n"), done], 200),
    # padding and small records
    ("pads everything", [rec(STDOUT, TEXT, padding=255), rec(STDOUT, b"\r\nfine", padding=1), rec(STDOUT, b"", padding=7),
                         rec(END, bytes(8), padding=255)], 200),
    ("sends byte by byte", [each(OK, raw(b"")), done], 200),
    ("sends management records", [*[rec(VALUES, b"", id=lambda i: 0)] * 2000, out(OK), done], 200),
    # heads
    ("has a head of 100 kB", [out(b"X: " + b"x" * 60000), out(b"x" * 40000 + b"\r\n\r\n"), done], 502),
    ("has a head without end", [*[out(b"X: " + b"x" * 60000)] * 20, HOLD], 502),
    ("has 500 fields", [out(b"X: y\r\n" * 500 + b"\r\nfine"), done], 502),
    ("has a field without a colon", [out(b"oops\r\n\r\nfine"), done], 502),
    ("has a field without a name", [out(b": x\r\n\r\nfine"), done], 502),
    ("has a blank in a name", [out(b"A B: x\r\n\r\nfine"), done], 502),
    ("has a NUL in a value", [out(b"X: a\0b\r\n\r\nfine"), done], 502),
    ("has a CR in a value", [out(b"X: a\rSet-Cookie: b\r\n\r\nfine"), done], 502),
    ("has an empty head", [out(b"\r\nfine"), done], (200, 502)),
    ("has a status that is none", [out(b"Status: fine\r\n\r\nfine"), done], 502),
    ("has a status of two digits", [out(b"Status: 99\r\n\r\nfine"), done], 502),
    ("has a status of four digits", [out(b"Status: 2000\r\n\r\nfine"), done], 502),
    ("has two statuses", [out(b"Status: 200\r\nStatus: 404\r\n\r\nfine"), done], 502),
    ("switches protocols", [out(b"Status: 101\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nfine"), done], 502),
    ("has a length that is none", [out(b"Content-Length: four\r\n\r\nfine"), done], 502),
    ("has a negative length", [out(b"Content-Length: -4\r\n\r\nfine"), done], 502),
    ("has two lengths", [out(b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nfine"), done], 502),
    ("has an endless length", [out(b"Content-Length: 99999999999999999999\r\n\r\nfine"), done], 502),
    ("says it is chunked", [out(TEXT + b"Transfer-Encoding: chunked\r\n\r\nfine"), done], 200),
    ("sends interim answers without end", [*[out(b"Status: 103\r\nLink: x\r\n\r\n")] * 300, HOLD], (200, 502, 504)),
    # silence
    ("is silent", [HOLD], 504),
    ("is silent inside its head", [out(TEXT), HOLD], 504),
    ("is silent behind its head", [out(HEAD), HOLD], BROKEN),
    ("is silent inside a record", [cut(out(OK), 20), HOLD], 504),
    ("is silent before END_REQUEST", [out(OK), HOLD], BROKEN),
]

SCGI = [
    ("closes without a word", [], 502),
    ("resets without a word", [RESET], 502),
    ("stops inside its head", [b"Content-Ty"], 502),
    ("resets inside its head", [b"Content-Ty", RESET], 502),
    ("stops before the end of its head", [TEXT], 502),
    ("resets behind its head", [HEAD, RESET], BROKEN),
    ("resets inside its body", [OK, RESET], BROKEN),
    ("stops before all of Content-Length", [b"Content-Length: 9\r\n\r\nfine"], BROKEN),
    ("says more than Content-Length", [b"Content-Length: 4\r\n\r\nfine, and more"], 200),
    ("ends its lines in LF", [b"Content-Type: text/plain\n\nfine"], 200),
    ("speaks HTTP", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"], 200),
    ("speaks TLS", [b"\x16\x03\x01\x00\x10" + bytes(16)], 502),
    ("speaks FastCGI", [record(STDOUT, 1, OK) + end(1)], 502),
    ("sends zeros", [bytes(64)], 502),
    ("has a head of 100 kB", [b"X: " + b"x" * 100_000 + b"\r\n\r\n"], 502),
    ("has a head without end", [b"X: " + b"x" * 1_000_000, HOLD], 502),
    ("has 500 fields", [b"X: y\r\n" * 500 + b"\r\nfine"], 502),
    ("has a field without a colon", [b"oops\r\n\r\nfine"], 502),
    ("has a NUL in a value", [b"X: a\0b\r\n\r\nfine"], 502),
    ("has a CR in a value", [b"X: a\rb\r\n\r\nfine"], 502),
    ("has a status that is none", [b"Status: fine\r\n\r\n"], 502),
    ("has two statuses", [b"Status: 200\r\nStatus: 404\r\n\r\n"], 502),
    ("switches protocols", [b"Status: 101\r\n\r\n"], 502),
    ("has two lengths", [b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nfine"], 502),
    ("has a length that is none", [b"Content-Length: 4x\r\n\r\nfine"], 502),
    ("says it is chunked", [TEXT + b"Transfer-Encoding: chunked\r\n\r\nfine"], 200),
    ("is silent", [HOLD], 504),
    ("is silent inside its head", [TEXT, HOLD], 504),
    ("is silent behind its head", [HEAD, HOLD], BROKEN),
    ("sends byte by byte", [OK[k:k + 1] for k in range(len(OK))], 200),
]

POOL = ["retry attempts=1", "fail count=off", "timeout response=600ms idle=600ms", "keep-alive idle=8 timeout=10s",
        "buffer off"]


def play(c, parts, id):
    """Sends the parts; True: the connection has come to its end."""
    for part in parts:
        if part is RESET:
            c.reset()
            return True
        if part is HOLD:
            c.wait_closed()
            return True
        try:
            c.send(part(id) if callable(part) else part)
        except OSError:         # the gateway has heard enough
            return True
    return False


def fcgi_script(rows):
    def script(c):
        while (r := read_fcgi(c)) is not None:
            query = r.params["QUERY_STRING"]
            if query:
                play(c, rows[int(query)][1], r.id)
                return
            c.send(record(STDOUT, r.id, HEAD + b"good " + r.params["REQUEST_URI"].encode()) + end(r.id))
            if not r.keep:
                return
    return script


def scgi_script(rows):
    def script(c):
        r = read_scgi(c)
        if r is None:
            return
        query = r.params["QUERY_STRING"]
        if query:
            play(c, rows[int(query)][1], None)
        else:
            c.send(HEAD + b"good " + r.params["REQUEST_URI"].encode())
    return script


def check(g, n, expected):
    c = g.client()
    if expected == BROKEN:
        with pytest.raises(Broken) as e:
            c.get(f"/row?{n}")
        assert e.value.message is None or e.value.message.status == 200
        return
    statuses = expected if isinstance(expected, tuple) else (expected,)
    m = c.get(f"/row?{n}")
    assert m.status in statuses, m
    assert m.status != 200 or m.body in (b"fine", b""), m.body[:100]


def check_good(g, n):
    m = g.get(f"/before/{n}")
    assert m.status == 200 and m.body == b"good /before/%d" % n, m.body


@pytest.mark.faults
@pytest.mark.parametrize("protocol, rows, script", [("fastcgi", FCGI, fcgi_script), ("scgi", SCGI, scgi_script)])
def test_what_misbehaves_has_its_answer_and_harms_nobody_else(gateway, backend, protocol, rows, script):
    b = backend(then=script(rows))
    g = gateway(make_config(f"{protocol}://{b.address}", pool=POOL, threads=1))
    wrong = []
    for n, (note, _, expected) in enumerate(rows):
        check_good(g, n)
        try:
            check(g, n, expected)
        except (AssertionError, pytest.fail.Exception, Broken, OSError) as e:
            wrong.append(f"{note}: {e!r}"[:300])
        wait_for(lambda: not b.open, "the connection to be over")     # it may have been kept until now
    check_good(g, len(rows))
    assert not wrong, "\n".join(wrong)
    assert len(rows) >= 30


# ---- while the request is still on its way ----

def upload(g, n=4_000_000):
    c = g.client(timeout=20)
    c.try_send(b"POST /up HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % n)
    threading.Thread(target=c.try_send, args=(b"u" * n,), daemon=True).start()
    return c.response("POST")


def answers_early(c):
    r = Request(c)
    assert r.head()
    c.send(record(STDOUT, r.id, b"Status: 403 No\r\n\r\nno") + end(r.id))
    c.wait_closed()


def stops_reading(c):
    r = Request(c)
    assert r.head()
    threading.Event().wait(2)


def resets_in_the_upload(c):
    r = Request(c)
    assert r.head()
    r.record()
    c.reset()


def refuses_in_the_upload(c):
    r = Request(c)
    assert r.head()
    c.send(end(r.id, 2))
    c.wait_closed()


@pytest.mark.faults
@pytest.mark.parametrize("script, statuses", [(answers_early, {403}), (stops_reading, {504, 502}),
                                              (resets_in_the_upload, {502}), (refuses_in_the_upload, {503})])
def test_an_application_that_turns_an_upload_down_is_heard(gateway, backend, script, statuses):
    b = backend(script)
    g = gateway(make_config(f"fastcgi://{b.address}", pool=POOL))
    assert upload(g).status in statuses


@pytest.mark.faults
@pytest.mark.parametrize("status, says", [(1, r"cannot multiplex \(CANT_MPX_CONN\)"), (2, r"is overloaded \(OVERLOADED\)"),
                                          (3, r"does not know the role \(UNKNOWN_ROLE\)")])
def test_an_application_that_refuses_is_passed_over_even_for_a_post_and_the_log_says_why(gateway, backend, status, says):
    asked = []

    def refuses(c):
        r = read_fcgi(c)
        asked.append(r.body)
        c.send(end(r.id, status))

    def good(c):
        r = read_fcgi(c)
        c.send(record(STDOUT, r.id, HEAD + r.body) + end(r.id))
    a, b = backend(then=refuses), backend(then=good)
    g = gateway(make_config(f"fastcgi://{a.address}", f"fastcgi://{b.address}", pool=["keep-alive idle=off"]))
    for n in range(4):
        assert g.client().post("/", b"body %d" % n).body == b"body %d" % n
    assert asked, "nobody was refused"
    g.wait_line(rf"pool app backend {re.escape(a.address)}: application {says} \[FastCGI 5.5\]")


def test_an_application_is_told_when_its_client_leaves(gateway, backend):
    seen = []

    def script(c):
        r = Request(c)
        assert r.head()
        r.rest()
        seen.append(r.id)
        while (rec := r.record()) is not None:
            seen.append(rec[0])
        seen.append("closed")
    b = backend(script)
    g = gateway(make_config(f"fastcgi://{b.address}"))
    c = g.client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: seen, "the request")
    c.reset()
    wait_for(lambda: "closed" in seen, "the application to be told")


def test_parameters_larger_than_a_record_arrive_whole(gateway, backend):
    got = []

    def script(c):
        r = read_fcgi(c)
        got.append(r.params)
        c.send(record(STDOUT, r.id, OK) + end(r.id))
    b = backend(script)
    g = gateway(make_config(f"fastcgi://{b.address}", gateway=["limit head=64k target=32k fields=200"]))
    fields = "".join(f"X-Field-{n}: {chr(97 + n % 26) * 300}\r\n" for n in range(190))
    assert g.get("/" + "p" * 5000, fields).body == b"fine"
    assert all(got[0][f"HTTP_X_FIELD_{n}"] == chr(97 + n % 26) * 300 for n in range(190))
    assert sum(len(k) + len(v) for k, v in got[0].items()) > 65536
