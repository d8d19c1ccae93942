"""How much one turn of a worker's loop does, counted between two looks at epoll: others wait for it.

Where the clock bounds it, strace makes each piece of work last longer than a turn should, so that one is enough.
"""

import pathlib
import re
import resource
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from harness import H2Client, h2, serve, wait_for
from harness.admin import admin
from harness.certs import Authority

pytestmark = pytest.mark.plain
LONG = "delay_exit=3000"    # us; a turn is long after 1000


class Trace:
    """The system calls of each thread, in order: (name, descriptor)."""

    def __init__(self, pid, path, calls, inject=(), fail=None):
        self.path = path
        options = [f"--inject={name}:{LONG}" for name in inject] + ([f"--inject={fail}"] if fail else [])
        self.process = subprocess.Popen(["strace", "-f", "-o", path, "-e", f"trace=epoll_wait,{calls}", *options,
                                         "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        assert "attached" in self.process.stderr.readline()

    def seen(self, call):
        return len(re.findall(rf"\b{call}\(", self.path.read_text()))

    def asked(self, call):
        """For how many bytes, each time, in order."""
        return [int(n) for n in re.findall(rf"\b{call}\(.*, (\d+), [^,]+, NULL, NULL\) += \d", self.path.read_text())]

    def end(self):
        """By thread, its turns: each a list of (name, descriptor)."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)
        threads = {}
        for tid, name, fd in re.findall(r"^(\d+) +(\w+)\((\d+)", self.path.read_text(), re.M):
            turns = threads.setdefault(tid, [[]])
            if name == "epoll_wait":
                turns.append([])
            else:
                turns[-1].append((name, int(fd)))
        return threads.values()

    def most(self, *names):
        """How many of these calls there were in one turn at most, and in all."""
        counts = [sum(name in names for name, _ in turn) for turns in self.end() for turn in turns]
        return max(counts), sum(counts)


def turns(g):
    """How many there were of the workers' loops: one that goes on with events of the last does not look at epoll."""
    with admin(g) as c:
        text = c.get("/metrics").body.decode()
    return int(re.search(r"^sluice_loop_turn_seconds_count (\d+)$", text, re.M)[1])


@pytest.fixture
def trace(tmp_path):
    made = []

    def begin(g, calls, inject=(), fail=None):
        made.append(Trace(g.serving_pid(), tmp_path / "strace.out", calls, inject, fail))
        return made[-1]
    yield begin
    for t in made:
        if t.process.poll() is None:
            t.process.kill()
            t.process.communicate()


def reader(address, path, done):
    """A client that reads as fast as it can."""
    with socket.create_connection(address) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        n = 0
        while got := len(s.recv(1 << 20)):
            n += got
        done.append(n)


def test_downloads_take_turns(gateway, tmp_path, trace):
    """However many there are: one of them goes on in a turn, and one that waited since the last."""
    size, clients = 4 << 20, 6
    (tmp_path / "file").write_bytes(bytes(size))
    g = gateway("gateway { threads 1; access-log off }\nlisten 127.0.0.1:0\n"
                f"site {{ root {tmp_path}; files }}\n")
    t, done = trace(g, "sendfile", inject=["sendfile"]), []
    threads = [threading.Thread(target=reader, args=(g.address, "/file", done)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == clients and min(done) > size
    most, all_calls = t.most("sendfile")
    print(most, all_calls)
    assert all_calls >= clients * 2
    assert most <= 4    # with the two that a piece may take: what the socket has room for, and that it has none


def test_large_reads_become_as_small_as_passing_them_on_takes_long(proxy, backend, trace):
    size, count = 16 << 10, 24 << 6
    chunk = b"%x\r\n%s\r\n" % (size, bytes(size))

    def answer(_, c):
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(count // 64):
            c.send(chunk * 64)
        c.send("0\r\n\r\n")
    g = proxy(backend(then=serve(answer)), threads=1, gateway=["access-log off"])
    t, done = trace(g, "recvfrom,sendmsg", inject=["sendmsg"]), []
    reader(g.address, "/", done)
    t.end()
    asked = t.asked("recvfrom")
    print(asked)
    assert done[0] > size * count
    large = [n for n in asked if n > 70 << 10]
    assert large[0] == large[-1] == 128 << 10   # at first, as that memory was never written
    assert max(large) > 500 << 10


def test_the_table_of_descriptors_has_room_before_there_are_clients(gateway):
    """Each time it grows, a worker waits for all processors."""
    g = gateway("gateway { threads 2; access-log off }\nlisten 127.0.0.1:0\nsite { respond 200 hello }\n")
    g.get()
    status = pathlib.Path(f"/proc/{g.serving_pid()}/status").read_text()
    size, limit = int(re.search(r"FDSize:\s+(\d+)", status)[1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert size >= (65536 if limit == resource.RLIM_INFINITY else min(limit, 65536))


def test_events_that_take_long_are_left_to_the_next_turns(gateway, trace):
    """The clock is looked at after every fourth."""
    count = 100
    g = gateway("gateway { threads 1; access-log off; admin unix:admin.sock }\nlisten 127.0.0.1:0\n"
                "site { respond 200 hello }\n")
    clients = [g.client() for _ in range(count)]
    for c in clients:
        assert c.get().status == 200
    trace(g, "recvfrom", inject=["recvfrom"])
    before = turns(g)
    for c in clients:
        c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for c in clients:
        assert c.response().body == b"hello"
    assert turns(g) - before >= count / 4


def test_handshakes_take_turns(gateway, tmp_path, trace):
    """Each answers with a send; the signature before it is what costs."""
    clients = 24
    cert = Authority(tmp_path).issue("localhost")
    g = gateway("gateway { threads 1; access-log off }\nlisten 127.0.0.1:0 tls {\n"
                f"    certificate {cert.pem} key={cert.key}\n    tickets off\n}}\nsite {{ root {tmp_path}; files }}\n")
    g.check_fds = False
    t = trace(g, "sendto", inject=["sendto"])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = [socket.create_connection(g.address) for _ in range(clients)]
    threads = [threading.Thread(target=lambda s=s: context.wrap_socket(s).close()) for s in raw]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    most, all_calls = t.most("sendto")
    print(most, all_calls)
    assert all_calls >= clients
    assert most <= 3    # two handshakes, and the end of one


def test_where_patterns_are_tried_requests_take_turns(gateway, trace):
    """Each pattern may take its time, and who asked for something else would wait for all of them."""
    count = 24
    g = gateway("gateway { threads 1; access-log off; admin unix:admin.sock }\nlisten 127.0.0.1:0\n"
                "site {\n    route ~ ^/(a+)+$ { respond 200 hello }\n    route * { respond 404 }\n}\n")
    clients = [g.client() for _ in range(count)]
    for c in clients:
        assert c.get("/a").status == 200
    trace(g, "sendto,recvfrom", inject=["sendto", "recvfrom"])
    before = turns(g)
    for c in clients:
        c.send("GET /aa HTTP/1.1\r\nHost: a\r\n\r\n")
    for c in clients:
        assert c.response().status == 200
    assert turns(g) - before >= count / 2   # in each the first, and one that waited


def test_requests_of_one_read_take_turns(gateway, tmp_path, trace):
    """An HTTP/2 client may send a hundred at once."""
    count = 24
    for i in range(count):
        (tmp_path / f"f{i}").write_text(str(i))
    g = gateway("gateway { threads 1; access-log off }\nlisten 127.0.0.1:0\n"
                f"site {{ root {tmp_path}; files }}\n")
    with H2Client(g.address) as c:
        c.sync()
        t = trace(g, "openat2", inject=["openat2"])
        numbers = [c.next_stream() for _ in range(count)]
        c.send(b"".join(h2.get(n, f"/f{i}") for i, n in enumerate(numbers)))
        bodies = [bytes(c.wait(n).body) for n in numbers]
        most, all_calls = t.most("openat2")
    print(most, all_calls)
    assert bodies == [str(i).encode() for i in range(count)]
    assert all_calls == count
    assert most <= 3    # one when it has been read, one in the connection's turn, and one when that has sent


def test_streams_of_a_client_that_has_left_end_in_turns(proxy, backend, trace):
    """Each has a connection of a backend to close."""
    count = 60
    b = backend(then=lambda c: (c.request(), c.wait_closed()))
    g = proxy(b, threads=1, gateway=["access-log access.log"])
    with H2Client(g.address) as c:
        for i in range(count):
            c.send(h2.get(c.next_stream(), f"/{i}"))
        wait_for(lambda: len(b.requests) == count, "all requests to be under way")
        t = trace(g, "close", inject=["close"])
    log = g.config.parent / "access.log"
    wait_for(lambda: log.exists() and log.read_text().count("GET /") == count, "all of them to be over")
    most, all_calls = t.most("close")
    print(most, all_calls)
    assert all_calls == count + 1
    assert most <= 17   # eight with the event, eight in the connection's turn; and its own


def test_requests_that_are_sent_ahead_take_turns(gateway, tmp_path, trace):
    """Each is answered at once, and others would wait for all that one client has sent."""
    count = 40
    for i in range(count):
        (tmp_path / f"f{i}").write_text("hello")
    g = gateway("gateway { threads 1; access-log off }\nlisten 127.0.0.1:0\n"
                f"site {{ root {tmp_path}; files }}\n")
    c = g.client()
    t = trace(g, "openat2", inject=["openat2"])
    c.send("".join(f"GET /f{i} HTTP/1.1\r\nHost: a\r\n\r\n" for i in range(count)))
    for _ in range(count):
        assert c.response().body == b"hello"
    most, all_calls = t.most("openat2")
    print(most, all_calls)
    assert all_calls == count
    assert most <= 1


def test_requests_that_are_sent_ahead_are_answered_together(gateway, trace):
    """Of one turn, and its answers leave in one write."""
    count = 40
    g = gateway("gateway { threads 1; access-log off }\nlisten 127.0.0.1:0\nsite { respond 200 hello }\n")
    c = g.client()
    t = trace(g, "sendto")
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * count)
    for _ in range(count):
        assert c.response().body == b"hello"
    assert t.most("sendto")[1] < count / 4      # once for 4 KiB, or when a turn was long


def test_idle_clients_are_closed_a_few_at_a_time_when_the_gateway_stops(gateway, trace):
    count = 200
    g = gateway("gateway { threads 1; access-log off }\nlisten 127.0.0.1:0\nsite { respond 200 hello }\n")
    clients = [g.client() for _ in range(count)]
    for c in clients:
        assert c.get().status == 200
    t = trace(g, "close")
    g.signal(signal.SIGTERM)
    for c in clients:
        c.expect_closed()
    most, all_calls = t.most("close")
    print(most, all_calls)
    assert all_calls >= count
    assert most <= 64
    g.wait_exit()
