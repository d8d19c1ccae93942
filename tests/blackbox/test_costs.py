"""What a request costs in the steady state, counted and not timed: system calls and allocations."""

import collections
import mmap
import re
import signal
import socket
import ssl
import struct
import subprocess

import pytest

from conftest import make_config
from harness import H2Client, serve, wait_for
from harness.certs import Authority
from harness.h2 import window_update

pytestmark = pytest.mark.plain
REQUESTS = 200
QUIET = ["access-log off", "request-id off"]


def least(measure, allowed):
    """What measure() finds, in the round that cost least: timers that ran meanwhile are no cost of a request."""
    found = []
    while len(found) < 4 and (not found or min(found) > allowed):
        found.append(measure())
    return min(found)


# ---- three ways to a response of 1 KiB ----

BODY = b"x" * 1024


@pytest.fixture(params=["http", "fastcgi", "h2"])
def case(request, gateway, backend, program, here):
    """(gateway, ask): ask(n) makes n requests on a connection that stays."""
    def start(**more):
        if request.param == "fastcgi":
            origin = program("/usr/bin/python3", f"{here}/apps/slots_origin.py", "8", "0", "fcgi")
            address, pool = f"fastcgi://127.0.0.1:{origin.first}", ["keep-alive idle=8 timeout=60s"]
        else:
            address, pool = backend(then=serve(lambda r, c: BODY)), []
        g = gateway(make_config(address, threads=1, pool=pool, gateway=QUIET), **more)
        # Of HTTP/2 the window is opened once: an update by itself would be one more to read.
        c = H2Client(g.address, grow=False) if request.param == "h2" else g.client()
        if request.param == "h2":
            c.send(window_update(0, 1 << 30))
        request.addfinalizer(c.close)

        def ask(n):
            for _ in range(n):
                assert c.get().status == 200
        ask(50)     # whatever is made once and kept
        return g, ask
    start.kind = request.param
    return start


# ---- system calls ----

@pytest.fixture
def traced(tmp_path):
    """traced(pid, run): the system calls of a process while run() does something."""
    def count(pid, run):
        out = tmp_path / "strace.out"
        strace = subprocess.Popen(["strace", "-f", "-c", "-o", out, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        assert "attached" in strace.stderr.readline()
        run()
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=20)
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", out.read_text(), re.M)
        return collections.Counter({name: int(n) for n, name in rows if name != "total"})
    return count


def test_a_request_takes_four_system_calls_and_its_share_of_waiting(case, traced):
    """Read, send, read, send. The connections are alone here, so each event is waited for by itself."""
    g, ask = case()
    others = []

    def waits():
        calls = traced(g.serving_pid(), lambda: ask(REQUESTS))
        print(dict(calls))
        n = calls.pop("epoll_wait", 0)
        others.append(sum(calls.values()))
        return n
    allowed = 2 * REQUESTS + REQUESTS // 10
    assert least(waits, allowed) <= allowed
    assert min(others) <= 4 * REQUESTS + REQUESTS // 10


def test_a_request_over_scgi_takes_as_few_calls_as_there_can_be(gateway, program, here, traced):
    """A read and two sends for the client: nobody knows the length, so an end comes behind the body. A socket that is
    made, connected, watched, sent to, read, read to its end, and closed."""
    origin = program("/usr/bin/python3", f"{here}/apps/slots_origin.py", "8", "0", "scgi")
    g = gateway(make_config(f"scgi://127.0.0.1:{origin.first}", threads=1, gateway=QUIET))
    c = g.client()

    def ask():
        for _ in range(REQUESTS):
            assert c.get().body == b"ok"
    ask()

    def calls():
        made = traced(g.serving_pid(), ask)
        print(dict(made))
        made.pop("epoll_wait", 0)
        return sum(made.values())
    allowed = 10 * REQUESTS + REQUESTS // 10
    assert least(calls, allowed) <= allowed


def test_of_a_large_body_behind_another_little_is_copied(gateway, backend, tmp_path):
    """The head is read into a small buffer; the first time nobody knows what comes."""
    size, count = 4 << 20, 10
    g = gateway(make_config(backend(then=serve(lambda r, c: bytes(size))), threads=1, gateway=QUIET))
    c = g.client()
    assert len(c.get().body) == size
    out = tmp_path / "strace.out"
    strace = subprocess.Popen(["strace", "-f", "-e", "trace=recvfrom,splice", "-s", "0", "-o", out, "-p", str(g.pid)],
                              stderr=subprocess.PIPE, text=True)
    assert "attached" in strace.stderr.readline()
    for _ in range(count):
        assert len(c.get().body) == size
    strace.send_signal(signal.SIGINT)
    strace.communicate(timeout=20)
    read = sum(int(n) for n in re.findall(r"recvfrom\(.* = (\d+)$", out.read_text(), re.M))
    print(f"{read / count} bytes of each are copied")
    # A rest that is too short for a pipe is copied as well.
    assert read <= count * (16 + 128 + 1) * 1024


@pytest.mark.parametrize("size, calls_each", [(1024, 2), (100_000, 3)])
def test_a_file_that_is_open_takes_as_few_calls_as_there_can_be(gateway, tmp_path, traced, size, calls_each):
    """Read and send; a large one is sent behind its head by sendfile."""
    (tmp_path / "f").write_bytes(b"x" * size)
    g = gateway("gateway { threads 1; access-log off; open-files 64 valid=1h }\nlisten 127.0.0.1:0\n"
                f"site {{ root {tmp_path}; files }}\n")
    g.check_fds = False
    c = g.client()

    def ask():
        for _ in range(REQUESTS):
            assert len(c.get("/f").body) == size
    ask()
    calls = traced(g.serving_pid(), ask)
    print(dict(calls))
    calls.pop("epoll_wait", 0)
    assert sum(calls.values()) <= calls_each * REQUESTS + REQUESTS // 10


def test_a_tls_connection_takes_as_few_calls_as_there_can_be(gateway, tmp_path, traced):
    """Accepted and watched; read for the hello, the end of the handshake and the request; two writes, the last of
    which has the response and close_notify; closed without being waited for."""
    authority = Authority(tmp_path)
    cert = authority.issue("localhost")
    g = gateway(f"gateway {{ threads 1; access-log off }}\nlisten 127.0.0.1:0 tls {{ certificate {cert.pem} "
                f"key={cert.key}; tickets off }}\nsite {{ respond 200 ok }}\n")
    c = ssl.create_default_context(cafile=str(authority.pem))

    def ask():
        for _ in range(REQUESTS):
            with socket.create_connection(g.address) as plain, c.wrap_socket(plain, server_hostname="localhost") as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                got = b""
                while part := s.recv(4096):     # to close_notify: without it this is an error
                    got += part
                assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(b"\r\n\r\nok")
    ask()
    calls = traced(g.pid, ask)
    print(dict(calls))
    spare = REQUESTS // 10
    assert calls["shutdown"] == 0
    assert calls["accept4"] <= 2 * REQUESTS + spare        # the second finds nobody
    assert calls["sendto"] <= 2 * REQUESTS + spare
    assert calls["recvfrom"] <= 3 * REQUESTS + spare
    assert calls["epoll_ctl"] + calls["setsockopt"] + calls["close"] <= 3 * REQUESTS + spare


# ---- allocations ----

@pytest.fixture
def counter(tmp_path):
    """(environment, allocations()) of a program that counts what it allocates."""
    library, path = tmp_path / "count_malloc.so", tmp_path / "allocations"
    path.write_bytes(bytes(4096))
    source = __file__.replace("test_costs.py", "apps/count_malloc.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    with open(path, "r+b") as f:
        count = mmap.mmap(f.fileno(), 4096)
    return {"LD_PRELOAD": str(library), "MALLOC_COUNT": str(path)}, lambda: struct.unpack_from("L", count)[0]


# nghttp2 makes an object for each stream and a few for the frames of its response.
ALLOWED = {"http": 0, "fastcgi": 0, "h2": 13}


def test_a_request_allocates_nothing(case, counter):
    env, allocations = counter
    g, ask = case(env=env)
    assert allocations() > 0

    def each():
        before = allocations()
        ask(REQUESTS)
        n = (allocations() - before) / REQUESTS
        print(f"{n} for each request")
        return n
    allowed = ALLOWED[case.kind] + 0.05
    assert least(each, allowed) <= allowed


def test_a_file_allocates_nothing(gateway, tmp_path, counter):
    env, allocations = counter
    (tmp_path / "small").write_bytes(b"x" * 1024)
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    g = gateway("gateway { threads 1; access-log off; open-files 64 valid=1h }\nlisten 127.0.0.1:0\n"
                f"site {{ root {tmp_path}; files }}\n", env=env)
    g.check_fds = False
    c = g.client()

    def ask(n):
        for i in range(n):
            assert c.get("/small" if i % 2 else "/large").status == 200
    ask(50)
    before = allocations()
    ask(REQUESTS)
    assert (allocations() - before) / REQUESTS <= 0.05


# ---- routes and rules ----

BUSY = """
site * {
    set-header response X-Site ${host}
""" + "".join(f"    route /{n}/* *.{n} method=GET {{ respond 404 }}\n" for n in range(8)) + """
    route ~ ^/user/([0-9]+)$    { respond 404 }
    route /shop/* header=X-No   { respond 404 }
    route /shop/* {
        rewrite ^/shop/(.*)$ /v1/$1
        rewrite ^/v1/items/([0-9]+)$ /v1/item?id=$1
        rewrite ^/v1/(.*)$ /api/$1
        set-header request X-Path "${method} ${path} ${cookie:a}"
        remove-header response Server
        proxy app
    }
}
"""


def test_ten_routes_and_three_rewrites_take_no_system_call_and_no_allocation(gateway, backend, counter, traced):
    env, allocations = counter
    origin = backend(then=serve(lambda r, c: BODY))
    g = gateway(make_config(origin, threads=1, gateway=QUIET, site=BUSY), env=env)
    c = g.client()

    def ask(n):
        for _ in range(n):
            assert c.get("/shop/items/42?x", "Cookie: a=b\r\n").status == 200
    ask(50)
    before = allocations()
    ask(REQUESTS)
    assert (allocations() - before) / REQUESTS <= 0.05
    calls = traced(g.serving_pid(), lambda: ask(REQUESTS))
    calls.pop("epoll_wait", 0)
    assert sum(calls.values()) <= 4 * REQUESTS + REQUESTS // 10
    assert origin.requests[-1].target == "/api/item?id=42" and origin.requests[-1]["x-path"] == "GET /api/item b"
