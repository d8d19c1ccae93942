"""Requests that are sent ahead: their small answers leave together, at the end of a turn, and some cannot leave then.

Clients on a unix socket have room for the same number of answers each time, so that one can be made to have none just
when its answers leave.
"""

import fcntl
import os
import random
import select
import signal
import struct
import termios
import threading

import pytest

from harness import Backend, Broken, Client, Event, Gateway, serve, stretched, wait_for
from harness.admin import ADMIN, AdminClient
from harness.fcgi import STDOUT, end, read_fcgi, record
from test_at_once import Held
from test_orders import reload
from test_turns import trace  # noqa: F401 (a fixture)
from test_upgrade import upgraded  # noqa: F401 (a fixture)

SEEDS = [int(n) for n in os.environ.get("SLUICE_SEEDS", "1 2 3 4").split()]
FILES = 40


def unread(c):
    return struct.unpack("i", fcntl.ioctl(c.socket, termios.FIONREAD, b"\0" * 4))[0]


def request(target, method="GET", fields="", body=""):
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: t\r\n{fields}{length}\r\n{body}"


def text_of(n):
    return (f"file {n} " * 300)[:1000].encode()


def fcgi_app(c):
    while (r := read_fcgi(c)) is not None:
        body = ("fcgi " + r.params["REQUEST_URI"]).encode() + r.body
        c.send(record(STDOUT, r.id, b"Content-Type: text/plain\r\n\r\n" + body) + record(STDOUT, r.id) + end(r.id))
        if not r.keep:
            return


def app(r, c):
    if r.target == "/app/chunked":
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    elif r.target == "/app/304":
        c.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n")
    elif r.method == "HEAD":
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n")
    elif r.target.startswith("/app/large"):
        return b"x" * 30_000 + r.target.encode()
    else:
        return f"{r.method} {r.target} ".encode() + r.body
    return None


class Site:
    """A gateway with something of each kind to be asked for."""

    def __init__(self, gateway, backend, folder, *keys, threads=1):
        for n in range(FILES):
            (folder / f"f{n}").write_bytes(text_of(n))
        self.app, self.fcgi = backend(then=serve(app)), backend(then=fcgi_app)
        self.text = f"""gateway {{ threads {threads}; access-log access.log format=json; {ADMIN[0]}
    open-files 64 valid=20ms; {'; '.join(keys)} }}
listen 127.0.0.1:0
listen unix:front.sock
pool app {{ backend {self.app.address} }}
pool fcgi {{ backend fastcgi://{self.fcgi.address} }}
site {{
    route /app/* {{ proxy app }}
    route /fcgi/* {{ proxy fcgi }}
    route /none {{ respond 204 }}
    route /gone {{ respond 404 gone }}
    route /f* {{ root {folder}; files }}
    route * {{ respond 200 hello }}
}}
"""
        self.g = gateway(self.text) if gateway else None

    def full(self):
        """A client that has no room for one answer more, though the gateway does not know it yet."""
        barrier, c = self.g.client(), AdminClient(self.g, "front.sock", timeout=30)
        self.g.clients.append(c)
        fits = self.fits(barrier)
        c.get()
        for n in range(fits):
            c.send(request(f"/f{n % FILES}"))
            barrier.get()
        barrier.close()
        return c, [f"/f{n % FILES}" for n in range(fits)]

    def each_backend(self, name):
        for b, script in (self.app, serve(app)), (self.fcgi, fcgi_app):
            getattr(b, name)()
            b.then = script

    # As the backend of a gateway that is shared.
    hang_up, check, forget, stop = (lambda self, name=name: self.each_backend(name)
                                    for name in ("hang_up", "check", "forget", "stop"))
    failures = property(lambda self: self.app.failures + self.fcgi.failures)

    def fits(self, barrier):
        with AdminClient(self.g, "front.sock") as c:
            c.get()                 # so that it has been accepted
            had = n = 0
            while True:
                c.send(request(f"/f{n % FILES}"))
                barrier.get()       # what was answered before it has left
                if unread(c) < had + 1000:
                    assert unread(c) == had and n > 5
                    return n
                had, n = unread(c), n + 1


def check(c, targets):
    for target in targets:
        m = c.response()
        assert m.status == 200 and m.body == text_of(int(target[2:])), (target, m)


LAST = ["/f3", "/f2", "/f1"]
ALL_LAST = "".join(map(request, LAST))


@pytest.fixture
def site(gateway, backend, tmp_path):
    return lambda *keys, **more: Site(gateway, backend, tmp_path, *keys, **more)


# ---- answers that cannot leave ----

@pytest.mark.parametrize("then", ["", "half close", "more", "part", "post"])
def test_answers_that_have_no_room_arrive_once_the_client_reads(site, then):
    s = site()
    c, targets = s.full()
    had = unread(c)
    with Held(s.g):
        c.send(ALL_LAST + {"part": "GET /f4 HT"}.get(then, ""))
        if then == "half close":
            c.half_close()
    s.g.get()
    assert unread(c) == had
    if then == "more":
        c.send(ALL_LAST)
        s.g.get()
        assert unread(c) == had
    if then == "post":
        c.send(request("/app/x", "POST", body="body"))
        s.g.get()
    check(c, targets + LAST + (LAST if then == "more" else []))
    if then == "half close":
        c.expect_closed()
        return
    if then == "post":
        assert c.response().body == b"POST /app/x body"
    c.send("TP/1.1\r\nHost: t\r\n\r\n" if then == "part" else request("/f4"))
    check(c, ["/f4"])


def test_an_error_page_that_has_no_room_outlives_its_configuration(site, tmp_path):
    page = b"sorry " * 400
    (tmp_path / "page.html").write_bytes(page)
    s = site()
    text = s.text.replace("route /gone", f"route /sorry {{ error-page 403 file={tmp_path}/page.html; respond 403 }}\n"
                          "    route /gone")
    reload(s.g, text)
    c, targets = s.full()
    with Held(s.g):
        c.send(request("/sorry"))
    s.g.get()
    for _ in range(3):
        reload(s.g, s.text)
        s.g.get()
    check(c, targets)
    m = c.response()
    assert m.status == 403 and m.body == page


def test_answers_that_have_no_room_wait_while_the_next_request_does(site):
    s = site()
    go = Event()

    def slow(c):
        r = c.request()
        assert go.wait(20)
        c.respond("slow " + r.target)
    s.app.scripts, s.app.then = [slow], None
    c, targets = s.full()
    with Held(s.g):
        c.send(ALL_LAST + request("/app/1"))
    s.g.get()
    go.set()
    s.g.get()
    check(c, targets + LAST)
    assert c.response().body == b"slow /app/1"


@pytest.mark.faults
@pytest.mark.parametrize("how", ["backend", "client"])
def test_answers_that_have_no_room_do_not_suffer_from_a_request_behind_them(site, how):
    """Its answer breaks off, or it does itself."""
    s = site()

    def breaks_off(c):
        c.head()
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        if how == "client":
            c.wait_closed()
    s.app.scripts, s.app.then = [breaks_off], None
    c, targets = s.full()
    with Held(s.g):
        if how == "backend":
            c.send(ALL_LAST + request("/app/1"))
        else:
            c.send(ALL_LAST + "POST /app/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf").half_close()
    s.g.access(2 * len(targets) + 5 + len(LAST))
    s.g.get()
    check(c, targets + LAST)
    with pytest.raises(Broken):
        c.response()


@pytest.mark.parametrize("then", ["", "half close", "part"])
def test_a_client_that_never_reads_is_closed(site, then):
    s = site("timeout write=200ms idle=1h head=1h")
    c, targets = s.full()
    with Held(s.g):
        c.send(ALL_LAST + {"part": "GET /f4 HT"}.get(then, ""))
        if then == "half close":
            c.half_close()
    p = select.poll()
    p.register(c.socket, 0)
    assert p.poll(stretched(10) * 1000) == [(c.socket.fileno(), select.POLLHUP)]
    check(c, targets)
    c.expect_closed()


def test_a_client_that_leaves_its_answers_unread_is_forgotten(site):
    s = site()
    c, _ = s.full()
    with Held(s.g):
        c.send(ALL_LAST)
    s.g.get()
    c.close()
    s.g.wait_fds_back()


def test_answers_that_have_no_room_do_not_get_lost_at_the_end(site):
    """A turn that was long has left requests; the first that is taken after the end was asked for is the last."""
    s = site()
    c, targets = s.full()
    with Held(s.g):
        c.send(ALL_LAST)
    s.g.get()
    s.g.signal(signal.SIGTERM)
    s.g.wait_line("stopping|draining|stop")
    check(c, targets)
    for target in LAST:
        m = c.response()
        assert m.body == text_of(int(target[2:])), target
        if "close" in m.tokens("connection"):
            break
    c.expect_closed()
    assert s.g.wait_exit() == 0


def test_a_client_that_never_reads_holds_the_end_up_for_a_while_only(site):
    s = site("timeout write=200ms idle=1h", "stop-timeout 1h")
    c, targets = s.full()
    with Held(s.g):
        c.send(ALL_LAST)
    s.g.get()
    s.g.signal(signal.SIGTERM)
    assert s.g.wait_exit() == 0
    check(c, targets)
    c.expect_closed()


# ---- mixes ----

CASES = {       # method, target, body, and the answer's status and body
    "file": ("GET", "/f7", "", 200, text_of(7)),
    "fixed": ("GET", "/", "", 200, b"hello"),
    "none": ("GET", "/none", "", 204, b""),
    "gone": ("GET", "/gone", "", 404, b"gone"),
    "head of file": ("HEAD", "/f8", "", 200, b""),
    "app": ("GET", "/app/1", "", 200, b"GET /app/1 "),
    "head of app": ("HEAD", "/app/2", "", 200, b""),
    "chunked": ("GET", "/app/chunked", "", 200, b"abc"),
    "304": ("GET", "/app/304", "", 304, b""),
    "post": ("POST", "/app/3", "body", 200, b"POST /app/3 body"),
    "fcgi": ("GET", "/fcgi/4", "", 200, b"fcgi /fcgi/4"),
    "fcgi post": ("POST", "/fcgi/5", "sent", 200, b"fcgi /fcgi/5sent"),
    "large": ("GET", "/app/large", "", 200, b"x" * 30_000 + b"/app/large"),
}
MIXED = [*CASES, *reversed(CASES), "fixed", "post", "fixed", "app", "app", "file", "file"]


def sent(names):
    return [request(target, method, "", body) for method, target, body, _, _ in (CASES[name] for name in names)]


def check_answers(c, names):
    for name in names:
        method, _, _, status, body = CASES[name]
        m = c.response(method)
        assert (m.status, m.body) == (status, body), name


def test_answers_of_all_kinds_keep_their_order_and_are_logged(site):
    s = site()
    c = s.g.client()
    c.send("".join(sent(MIXED)))
    check_answers(c, MIXED)
    told = [[r[key] for key in ("method", "target", "received_bytes", "status", "sent_bytes", "end")]
            for r in s.g.access(len(MIXED))]
    assert told == [[method, target, len(body), status, len(answer), "complete"]
                    for method, target, body, status, answer in (CASES[name] for name in MIXED)]


@pytest.mark.parametrize("last", CASES)
def test_requests_and_the_end_of_the_client_at_once(shared_site, last):
    c = shared_site.g.client()
    with Held(shared_site.g):
        c.send("".join(sent(["fixed", "file", last]))).half_close()
    check_answers(c, ["fixed", "file", last])
    c.expect_closed()


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("name", ["fixed", "file", "app", "fcgi", "post"])
def test_nothing_is_answered_behind_a_close(shared_site, name, at):
    c = shared_site.g.client()
    texts = sent([name] * 3)
    texts[at] = texts[at].replace("\r\n", "\r\nConnection: close\r\n", 1)
    c.send("".join(texts))
    check_answers(c, [name] * (at + 1))
    c.expect_closed()


@pytest.mark.parametrize("name", CASES)
def test_clients_that_reset_right_after_their_requests(shared_site, name):
    g = shared_site.g
    with Held(g):
        for _ in range(4):
            g.client().send("".join(sent(["fixed", name, "fixed"]))).reset()
    c = g.client()
    c.send("".join(sent([name, "fixed"])))
    check_answers(c, [name, "fixed"])


@pytest.fixture
def shared_site(lent, tmp_path_factory):
    def make():
        s = Site(None, Backend, tmp_path_factory.mktemp("files"))
        g = Gateway(tmp_path_factory.mktemp("shared"), s.text)
        s.g, g.site, g.backend = g, s, s
        return g
    return lent("site", make).site


# ---- requests that cannot leave ----

@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("first", ["client", "backend"])
def test_a_kept_connection_that_ends_as_requests_come(proxy, method, how, first):
    """Both are found in one turn. What was not sent on it is sent on another."""
    go, ended = Event(), Event()

    def once(c):
        c.request()
        c.respond("first")
        assert go.wait(20)
        getattr(c, how)()
        ended.set()
    g = proxy(once, then=serve(lambda r, c: f"{r.target} ".encode() + r.body), threads=1)
    c = g.client()
    assert c.get().body == b"first"
    body = "pay" if method == "POST" else ""
    requests = "".join(request(f"/{n}", method, body=body) for n in range(3))
    with Held(g):
        if first == "client":
            c.send(requests)
        go.set()
        assert ended.wait(10)
        if first == "backend":
            c.send(requests)
    assert [c.response().body for _ in range(3)] == [f"/{n} {body}".encode() for n in range(3)]
    assert [r.target for r in g.backend.requests] == ["/", "/0", "/1", "/2"]


@pytest.mark.plain
def test_a_post_of_which_nothing_was_sent_is_sent_again(proxy, trace):  # noqa: F811
    """The connection breaks after it has been looked at and before the end of the turn."""
    broken = Event()

    def first(c):
        c.request()
        c.respond("first")
        assert broken.wait(20)
        c.close()
    g = proxy(first, then=serve(lambda r, c: b"again " + r.body), threads=1, gateway=["access-log off"])
    c = g.client()
    assert c.get().body == b"first"
    t = trace(g, "sendto", fail="sendto:error=EPIPE:when=1")
    c.send(request("/", "POST", body="pay 100"))
    wait_for(lambda: t.seen("sendto"), "the request to be sent")
    broken.set()
    assert c.response().body == b"again pay 100"
    assert [r.method for r in g.backend.requests] == ["GET", "POST"]
    t.end()


# ---- what changes beside it ----

class Ahead:
    """Clients that send requests ahead all the time; each answer must be the right one, and none is lost.

    A client whose connection is closed between two answers asks for the rest on another.
    """

    def __init__(self, g, clients=3):
        self.g, self.stopped, self.failures, self.count = g, Event(), [], 0
        self.threads = [threading.Thread(target=self.ask, args=(n,)) for n in range(clients)]
        for t in self.threads:
            t.start()

    def ask(self, seed):
        chance = random.Random(seed)
        names = [name for name in CASES if "post" not in name]
        try:
            while not self.stopped.is_set():
                try:
                    with Client(self.g.address, timeout=30) as c:
                        self.talk(c, chance, names)
                except ConnectionRefusedError:
                    return
        except Exception as e:
            self.failures.append(repr(e))

    def talk(self, c, chance, names):
        while not self.stopped.is_set():
            asked = chance.choices(names, k=8)
            if not c.try_send("".join(sent(asked))):
                return
            for name in asked:
                method, _, _, status, body = CASES[name]
                try:
                    m = c.response(method)
                except Broken as e:
                    if e.message is None and not c.reader.buffer:
                        return
                    raise
                assert (m.status, m.body) == (status, body), name
                self.count += 1
                if "close" in m.tokens("connection"):
                    assert c.rest() == b""
                    return

    def wait_more(self, n=60):
        goal = self.count + n
        wait_for(lambda: self.count >= goal or self.failures, f"{n} more answers", 20)

    def stop(self):
        self.stopped.set()
        for t in self.threads:
            t.join()
        assert not self.failures, self.failures[:5]


def test_nothing_is_lost_or_sent_twice_while_it_stops(site):
    s = site(threads=2)
    load = Ahead(s.g)
    load.wait_more()
    s.g.signal(signal.SIGTERM)
    assert s.g.wait_exit() == 0
    load.stop()
    assert len(s.g.access_path.read_text().splitlines()) >= load.count


def test_nothing_is_lost_or_sent_twice_while_it_is_configured_anew(site):
    s = site(threads=2)
    load = Ahead(s.g)
    for _ in range(4):
        load.wait_more()
        reload(s.g, s.text)
    load.wait_more()
    load.stop()


def test_nothing_is_lost_or_sent_twice_while_the_program_changes(upgraded, backend, tmp_path):  # noqa: F811
    s = Site(None, backend, tmp_path, threads=2)
    u = upgraded(s.text)
    load, pids = Ahead(u.g), [u.old]
    for _ in range(2):
        load.wait_more()
        assert u.upgrade()[0] == 200
        pids.append(u.wait_new(pids))
    load.wait_more()
    load.stop()


# ---- at random ----

class Talker:
    """One client of a crowd: sends a mix in random pieces, reads at its own pace, and ends as it likes."""

    def __init__(self, g, chance):
        self.chance = chance
        if chance.random() < 0.4:
            self.c = Client(g.address, timeout=30, rcvbuf=chance.choice([None, 2048]))
        else:       # has room for less
            self.c = AdminClient(g, "front.sock", timeout=30)
        kinds = chance.choice([list(CASES), ["file", "fixed", "gone"]])
        self.names = chance.choices(kinds, k=chance.choice([1, 5, 30, 150, chance.randrange(200, 400)]))
        self.failure, self.is_lazy = None, chance.random() < 0.5

    def send(self):
        data, chance = "".join(sent(self.names)).encode(), self.chance
        try:
            while data:
                n = chance.choice([1, 7, 50, 1000, 100_000])
                self.c.send(data[:n])
                data = data[n:]
            if self.end == "half close":
                self.c.half_close()
        except OSError:     # it has reset
            pass

    def receive(self):
        for n, name in enumerate(self.names):
            if n == self.leave_after:
                self.c.reset()
                return
            if self.chance.random() < 0.2:
                self.pause.wait()
            method, _, _, status, body = CASES[name]
            m = self.c.response(method)
            assert (m.status, m.body) == (status, body), (n, name, m)
        if self.end == "half close":
            self.c.expect_closed()
        self.c.close()

    def run(self, pause):
        self.pause = pause
        self.end = self.chance.choice(["", "half close", "reset"])
        self.leave_after = self.chance.randrange(len(self.names)) if self.end == "reset" else -1
        sender = threading.Thread(target=self.send)
        sender.start()
        if self.is_lazy:
            sender.join(0.1)        # or until nobody takes any more of it
        try:
            self.receive()
        except Exception as e:
            self.failure = repr(e)
            self.c.close()
        sender.join()


class Pace:
    """Lets those who wait here go on when others have."""

    def __init__(self, others):
        self.barrier = threading.Barrier(max(2, others // 2))

    def wait(self):
        try:
            self.barrier.wait(0.02)
        except threading.BrokenBarrierError:
            self.barrier.reset()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crowd_that_sends_ahead(shared_site, seed):
    chance = random.Random(seed)
    talkers = [Talker(shared_site.g, random.Random(chance.random())) for _ in range(8)]
    pause = Pace(len(talkers))
    threads = [threading.Thread(target=t.run, args=(pause,)) for t in talkers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [t.failure for t in talkers if t.failure] == []
    assert shared_site.g.get().body == b"hello"
