"""Probes: what brings a backend down and up again, without a request of a client's being lost."""

import socket
import time

import pytest

from harness import Event, serve, stretched, wait_for

FAST = "interval=50ms fast=30ms timeout=500ms rise=2 fall=2"


class App:
    """Answers with its name; /healthz as it is told. probes: how many it has had."""

    def __init__(self, backend, name, **more):
        self.answer = lambda c: c.respond(b"fine")
        self.probes, self.requests, self.name = 0, [], name
        self.backend = backend(then=self.play, **more)
        self.address = self.backend.address

    def play(self, c):
        while (request := c.request()) is not None:
            if request.target.startswith("/healthz"):
                self.probes += 1
                self.last = request
                if self.answer(c) == "gone":
                    return
            else:
                self.requests.append(request)
                c.respond(self.name)


def shares(g, n=12):
    return {g.get().body.decode() for _ in range(n)}


def sick(c):
    c.respond(b"no", status="500 Sick")


@pytest.fixture
def pair(backend):
    return App(backend, "a"), App(backend, "b")


@pytest.mark.faults
def test_a_backend_whose_probes_fail_gets_no_requests(proxy, pair):
    a, b = pair
    g = proxy(a.address, b.address, pool=[f"health GET /healthz {FAST}"])
    assert shares(g) == {"a", "b"}
    a.answer = sick
    g.wait_line("backend " + a.address + ": up -> down: its probes fail")
    assert shares(g) == {"b"}
    a.answer = lambda c: c.respond(b"fine")
    g.wait_line("backend " + a.address + ": down -> up: its probes succeed")
    assert shares(g) == {"a", "b"}


@pytest.mark.faults
def test_one_bad_probe_is_not_enough(proxy, pair):
    a, b = pair
    g = proxy(a.address, b.address, pool=[f"health GET /healthz {FAST}"])
    wait_for(lambda: a.probes > 2, "probes")
    answers = [sick]
    a.answer = lambda c: answers.pop()(c) if answers else c.respond(b"fine")
    wait_for(lambda: not answers, "the bad answer to be given")
    probes = a.probes
    wait_for(lambda: a.probes > probes + 2, "more probes")
    assert not any("-> down" in line for line in g.lines)


@pytest.mark.faults
def test_the_first_probe_decides_at_once(proxy, pair):
    a, b = pair
    a.answer = sick
    g = proxy(a.address, b.address,
              pool=["health GET /healthz interval=60s fast=60s rise=5 fall=5"])
    g.wait_line("backend " + a.address + ": up -> down: its probes fail")
    assert shares(g) == {"b"}


@pytest.mark.faults
def test_a_probe_has_a_deadline(proxy, pair):
    a, b = pair
    a.answer = lambda c: c.wait_closed() and "gone" or "gone"
    g = proxy(a.address, b.address,
              pool=["health GET /healthz interval=50ms fast=50ms timeout=100ms fall=2"])
    g.wait_line("backend " + a.address + ": probe failed: no answer in time")
    g.wait_line("backend " + a.address + ": up -> down")
    assert shares(g) == {"b"}


def test_what_a_probe_looks_like(proxy, pair):
    a, b = pair
    g = proxy(a.address, b.address, pool=[f"health HEAD /healthz?deep=1 host=app.test {FAST}"])
    a.answer = lambda c: c.send("HTTP/1.1 204 No Content\r\n\r\n")
    wait_for(lambda: a.probes > 1, "probes")
    assert a.last.method == "HEAD" and a.last.target == "/healthz?deep=1"
    assert a.last["host"] == "app.test"
    assert a.last["user-agent"] == "sluice"
    assert "close" in a.last.tokens("connection")
    assert shares(g) == {"a", "b"}


@pytest.mark.faults
@pytest.mark.parametrize("option, good, bad", [
    ("status=200", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
    ("status=2xx,404", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n"),
    ('match="all well"', "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nyes, all well!",
     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall ill!!"),
    ('match="all well"', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nall w\r\n3\r\nell\r\n0\r\n\r\n",
     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nnothing"),
    ("header=X-Ready:yes", "HTTP/1.1 200 OK\r\nX-Ready: yes\r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 200 OK\r\nX-Ready: no\r\nContent-Length: 0\r\n\r\n"),
    ("header=X-Ready", "HTTP/1.1 200 OK\r\nX-Ready: \r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("timeout=2s", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "NONSENSE\r\n\r\n"),
])
def test_what_a_good_answer_is(proxy, pair, option, good, bad):
    a, b = pair

    def answer(text):
        def script(c):
            c.send(text)
            return "gone"
        return script
    a.answer, b.answer = answer(good), answer(bad)
    options = option if "timeout" in option else option + " timeout=500ms"
    g = proxy(a.address, b.address,
              pool=[f"health GET /healthz interval=50ms fast=30ms {options}"])
    g.wait_line("backend " + b.address + ": up -> down")
    assert shares(g) == {"a"}
    assert not any(a.address + ": up -> down" in line for line in g.lines)


@pytest.mark.faults
def test_a_connection_is_enough_for_tcp(proxy, backend):
    a = backend(then=serve(lambda r, c: b"a"))
    dead = backend(listen=False)
    g = proxy(a, dead, pool=[f"health tcp {FAST}"])
    g.wait_line(f"backend {dead.address}: up -> down: its probes fail")
    assert shares(g) == {"a"}
    dead.then = serve(lambda r, c: b"b")
    dead.listen()
    g.wait_line(f"backend {dead.address}: down -> up: its probes succeed")
    assert shares(g) == {"a", "b"}


def test_probes_count_for_max_conns(gateway, backend):
    """The backend never has more connections than it may, probes included."""
    app = App(backend, "a")
    most = []

    def answer(c):
        most.append(len(app.backend.open))
        c.respond(b"fine")
    app.answer = answer
    g = gateway(f"gateway {{\n threads 2\n access-log off\n}}\nlisten 127.0.0.1:0\npool app {{\n"
                f" backend {app.address} max-conns=1\n health GET /healthz interval=20ms fast=20ms\n}}\n"
                "site * {\n proxy app\n}\n")
    c = g.client()
    for _ in range(200):
        assert c.get().status == 200
    wait_for(lambda: app.probes > 3, "probes between the requests")
    assert max(most) <= 1


@pytest.mark.faults
def test_requests_go_on_while_a_backend_is_being_probed_in_vain(proxy, pair):
    """A probe that hangs holds up nothing."""
    a, b = pair
    hang = Event()
    a.answer = lambda c: hang.wait(20) and None or "gone"
    g = proxy(a.address, b.address,
              pool=["health GET /healthz interval=10ms fast=10ms timeout=2s"])
    wait_for(lambda: a.probes, "a probe to hang")
    begin = time.monotonic()
    for _ in range(50):
        assert g.get().status == 200
    assert time.monotonic() - begin < stretched(1.5)
    hang.set()


@pytest.mark.faults
def test_a_backend_that_comes_back_is_found_within_its_interval(proxy, pair, backend):
    a, b = pair
    port = b.backend.port
    g = proxy(a.address, b.address, pool=["health GET /healthz interval=300ms fast=100ms rise=2 fall=2"])
    wait_for(lambda: b.probes, "the first probe")
    b.backend.stop()
    g.wait_line(f"backend {b.address}: up -> down")
    assert shares(g) == {"a"}
    back = App(backend, "b2", port=port)
    begin = time.monotonic()
    wait_for(lambda: "b2" in shares(g, 4), "the backend to be used again")
    assert time.monotonic() - begin < stretched(1.3)       # its pause after the failures, or two probes
    assert back.requests


def test_unix_sockets_are_probed_too(proxy, backend, tmp_path):
    app = App(backend, "a", host=f"unix:{tmp_path}/app.sock")
    g = proxy(app.address, pool=[f"health GET /healthz {FAST}"])
    wait_for(lambda: app.probes > 3, "probes")
    assert g.get().body == b"a"


def records(kind, number, content):
    return bytes([1, kind, 0, number, len(content) >> 8, len(content) & 255, 0, 0]) + content


def fastcgi(ask):
    """A FastCGI application that plays one connection: ask(kind, id, params) answers."""
    def script(c):
        params = b""
        while True:
            head = b""
            while len(head) < 8:
                piece = c.socket.recv(8 - len(head))
                if not piece:
                    return
                head += piece
            kind, number = head[1], head[3]
            left = (head[4] << 8 | head[5]) + head[6]
            body = b""
            while len(body) < left:
                body += c.socket.recv(left - len(body))
            body = body[:head[4] << 8 | head[5]]
            if kind == 4:
                params += body
            if kind == 9 or (kind == 5 and not body):
                c.send(ask(kind, number, params))
                params = b""
    return script


@pytest.mark.faults
@pytest.mark.parametrize("health", ["health GET /ping", "health values"])
def test_fastcgi_is_asked_in_fastcgi(proxy, backend, health):
    sick_now = []

    def ask(kind, number, params):
        if kind == 9:
            answer = records(10, 0, b"\x0e\x01FCGI_MAX_CONNS8")
            return records(11, 0, b"\0" * 8) if sick_now == ["no"] else answer
        ping = b"SCRIPT_NAME/ping" in params and b"SCRIPT_FILENAME/ping" in params
        status = b"500 Sick" if sick_now else b"200 OK"
        out = b"Status: " + status + b"\r\nContent-Type: text/plain\r\n\r\n" + (b"pong" if ping else b"app")
        return records(6, number, out) + records(6, number, b"") + records(3, number, b"\0" * 8)
    b = backend(then=fastcgi(ask))
    g = proxy(f"fastcgi://{b.address}", pool=[health + " interval=50ms fast=50ms timeout=300ms", "all-down refuse"])
    assert g.get("/x").body == b"app"
    wait_for(lambda: b.accepted > 3, "probes")
    assert not any("-> down" in line for line in g.lines)
    if "GET" in health:
        sick_now.append("yes")
        g.wait_line("up -> down: its probes fail")
        assert g.get("/x").status == 503


@pytest.mark.faults
def test_scgi_is_asked_in_scgi(proxy, backend):
    seen = []

    def script(c):
        data = b""
        while not data.endswith(b","):
            piece = c.socket.recv(4096)
            if not piece:
                return
            data += piece
        seen.append(data)
        c.send(b"Status: 200 OK\r\n\r\npong")
    b = backend(then=script)
    g = proxy(f"scgi://{b.address}", pool=["health GET /ping interval=50ms match=pong"])
    wait_for(lambda: len(seen) > 2, "probes")
    assert b"SCGI\0001\0" in seen[0] and b"SCRIPT_NAME\0/ping\0" in seen[0]
    assert not any("-> down" in line for line in g.lines)
    assert g.get("/x").body == b"pong"


def test_a_reload_changes_what_is_asked(proxy, pair):
    a, b = pair
    g = proxy(a.address, b.address, pool=[f"health GET /healthz?one {FAST}"])
    wait_for(lambda: a.probes > 1 and a.last.target.endswith("one"), "probes")
    text = g.config.read_text()
    g.config.write_text(text.replace("?one", "?two"))
    g.signal(1)
    wait_for(lambda: a.last.target.endswith("two"), "other probes")
    g.config.write_text(text.replace(f"health GET /healthz?one {FAST}", "health off"))
    g.signal(1)

    def quiet():
        probes = a.probes + b.probes
        time.sleep(0.2)                 # four intervals without one
        return a.probes + b.probes == probes
    wait_for(quiet, "probes to end")


def test_probes_of_many_backends_do_not_go_in_step(proxy, backend):
    """They begin together, and after some time one is asked twice before another is once."""
    asked, n = [], 16

    def origin(name):
        def script(c):
            while c.request() is not None:
                asked.append(name)
                c.respond(b"fine")
        return backend(then=script)
    origins = [origin(name) for name in range(n)]
    proxy(*origins, pool=["health GET / interval=200ms fast=200ms timeout=5s"])

    def between_two(name):
        """How often each other was asked between two probes of this one."""
        at = [i for i, other in enumerate(list(asked)) if other == name]
        return [asked[i:j] for i, j in zip(at, at[1:])]
    wait_for(lambda: len(asked) >= 12 * n, "probes", 30)
    rounds = [part for name in range(n) for part in between_two(name)]
    assert any(len(set(part)) < len(part) or len(part) < n for part in rounds)
    assert all(asked.count(name) > 3 for name in range(n))
