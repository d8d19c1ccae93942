"""What is logged: a line for each request, an id that leads from one log to the other."""

import os
import re
import time

import pytest

from harness import Broken, serve, wait_for


def test_json_access_log(proxy):
    def answer(r, c):
        time.sleep(0.05)
        return b"four"
    g = proxy(then=serve(answer))
    c = g.client()
    c.post("/a?b=c", "xyz", "User-Agent: tester/1\r\nReferer: http://here/\r\n", host="shop.example")
    r = g.access(1)[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", r["time"])
    assert r["client"] == "127.0.0.1" and r["method"] == "POST" and r["target"] == "/a?b=c"
    assert r["host"] == "shop.example" and r["version"] == "HTTP/1.1" and r["status"] == 200
    assert r["sent_bytes"] == 4 and r["received_bytes"] == 3
    assert r["user_agent"] == "tester/1" and r["referer"] == "http://here/"
    assert r["pool"] == "app" and r["backend"] == g.backend.address and r["attempts"] == 1
    assert r["end"] == "complete" and r["id"]
    assert r["first_us"] >= 50_000 and r["total_us"] >= r["first_us"] and r["connect_us"] >= 0


def test_combined_access_log(gateway, backend):
    b = backend()
    g = gateway(f"gateway {{\n access-log access.log\n}}\nlisten 127.0.0.1:0\n"
                f"pool app {{\n backend {b.address}\n}}\nsite * {{\n route * {{\n  proxy app\n }}\n}}\n")
    g.get("/x", 'User-Agent: a "b" \\c\r\n')
    text = wait_for(lambda: g.access_path.exists() and g.access_path.read_text(), "a line in the access log")
    m = re.match(r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "GET /x HTTP/1.1" 200 2 "-" "(.*?)" id=', text)
    assert m, text
    assert m[1] == "127.0.0.1" and '"b"' not in m[3]
    assert text.count("\n") == 1


def test_log_lines_cannot_be_forged(proxy):
    """Bytes of the client never end a line or a string."""
    g = proxy()
    c = g.client()
    c.get("/x", 'User-Agent: x\x80"},{"a":"\xff\\\r\nReferer: a\tb\r\n')
    records = g.access(1)
    assert len(records) == 1 and records[0]["target"] == "/x"
    assert '"},{"a":"' in records[0]["user_agent"] and records[0]["referer"] == "a\tb"


def test_every_request_of_a_connection_is_logged_with_its_own_id(proxy):
    g = proxy()
    c = g.client()
    c.send("".join(f"GET /{n} HTTP/1.1\r\nHost: t\r\n\r\n" for n in range(30)))
    for _ in range(30):
        c.response()
    records = g.access(30)
    assert [r["target"] for r in records] == [f"/{n}" for n in range(30)]
    assert len({r["id"] for r in records}) == 30


def test_the_request_id_reaches_the_backend(proxy):
    g = proxy()
    g.get()
    assert g.backend.requests[0]["x-request-id"] == g.access(1)[0]["id"]


def test_a_request_id_of_the_client_is_kept(proxy):
    g = proxy()
    g.get("/", "X-Request-Id: mine-1\r\n")
    assert g.backend.requests[0]["x-request-id"] == "mine-1"


def test_the_request_id_can_be_switched_off(proxy):
    g = proxy(gateway=["request-id off"])
    g.get()
    assert "x-request-id" not in g.backend.requests[0]


@pytest.mark.faults
def test_an_error_is_logged_once_with_the_id_of_the_access_log(proxy, backend):
    b = backend(listen=False)
    g = proxy(b)
    m = g.get("/broken")
    assert m.status == 502
    r = g.access(1)[0]
    assert r["status"] == 502 and r["end"] in ("backend", "gateway", "complete") and r["attempts"] >= 1
    line = g.wait_line(rf"(warn|error) \[{r['id']}\] .*").string
    assert b.address in line
    assert r["id"].lstrip("0") in m.body.decode(), "the error page tells the id"


def test_error_pages_are_plain_for_programs_and_html_for_browsers(proxy, backend):
    g = proxy(backend(listen=False))
    g.expect_error("backend")
    m = g.get()
    assert m["content-type"].startswith("text/plain") and "502" in m.body.decode()
    m = g.get("/other", "Accept: text/html,*/*;q=0.8\r\n")
    assert m["content-type"].startswith("text/html") and b"<html" in m.body.lower()
    assert b"<script>" not in m.body
    head = g.client().ask("HEAD", "/")
    assert head.status == 502 and head.body == b"" and "content-length" in head


@pytest.mark.faults
def test_who_ended_it(proxy):
    def script(c):
        r = c.request()
        if r.target == "/backend":
            c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        else:
            c.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            try:
                while True:
                    c.send(b"x" * 65536)
            except OSError:
                c.closed = True
    g = proxy(then=script)
    with pytest.raises(Broken):
        g.get("/backend")
    c = g.client()
    c.send("GET /client HTTP/1.1\r\nHost: t\r\n\r\n")
    c.reader.head()
    c.reset()
    ends = {r["target"]: r["end"] for r in g.access(2)}
    assert ends == {"/backend": "backend", "/client": "client"}


@pytest.mark.faults
def test_a_refused_request_is_logged_too(proxy):
    g = proxy()
    c = g.client()
    c.send("GET / HTTP/1.1\r\nbroken\r\n\r\n")
    assert c.response().status == 400
    r = g.access(1)[0]
    assert r["status"] == 400 and r["attempts"] == 0 and "pool" not in r


@pytest.mark.faults
def test_retries_are_counted(proxy, backend):
    dead, alive = backend(listen=False), backend()
    g = proxy(dead, alive, threads=1)
    c = g.client()
    for _ in range(4):
        c.get()
    records = g.access(4)
    assert max(r["attempts"] for r in records) == 2
    assert all(r["backend"] == alive.address for r in records)


def test_a_log_that_nobody_reads_does_not_stop_the_gateway(proxy, tmp_path):
    """Logging never blocks: a full pipe costs lines, not requests."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    g = proxy(gateway=[f"access-log {fifo}"])
    g.expect_error("log|dropped")
    c = g.client()
    for n in range(3000):
        assert c.get("/" + "x" * 500).status == 200
    os.close(reader)


def test_the_access_log_can_be_off(gateway, backend):
    b = backend()
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\n"
                f"pool app {{\n backend {b.address}\n}}\nsite * {{\n route * {{\n  proxy app\n }}\n}}\n")
    assert g.get().status == 200
    assert not any("GET" in line for line in g.lines)
