"""Applications of other people behind the gateway: uwsgi, Perl's FCGI, gunicorn, puma, node."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from conftest import make_config
from harness import wait_for
from harness.apps import PATH, is_listening
from harness.admin import ADMIN, sluice

pytestmark = pytest.mark.serial
UWSGI = shutil.which("uwsgi-core", path=PATH)


@pytest.fixture
def short(started):
    """A folder whose name leaves room for a socket's."""
    folder = tempfile.mkdtemp(prefix="apps-")
    yield pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


def spawn(gateway, command, *keys, pool=(), **more):
    lines = "\n ".join(keys)
    g = gateway(make_config(gateway=ADMIN, pool=[*pool, f"spawn {command} {{\n {lines}\n }}"], **more))
    g.check_fds = False
    return g


def check_wsgi(g, is_http=False):
    c = g.client(timeout=20)
    v = json.loads(c.get("/some/path?a=b", "X-Own: y\r\n", host="wsgi.test").body)
    assert v["PATH_INFO"] == "/some/path" and v["SCRIPT_NAME"] == "" and v["QUERY_STRING"] == "a=b"
    assert v["REQUEST_METHOD"] == "GET" and v["HTTP_X_OWN"] == "y" and v["HTTP_HOST"] == "wsgi.test"
    assert is_http or v["REMOTE_ADDR"] == "127.0.0.1"
    assert c.post("/upload", b"x" * 3_000_000).body == b"3000000"
    m = c.ask("POST", "/upload", "Transfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n0\r\n\r\n")
    assert m.body in (b"5", b"0")       # gunicorn and uwsgi, by length; over HTTP uwsgi has no chunks
    assert c.get("/large").body == b"".join(bytes([i]) * 65536 for i in range(100))
    assert c.ask("HEAD", "/large").body == b""


# ---- uwsgi ----

@pytest.mark.parametrize("protocol, place", [("scgi", "unix"), ("scgi", "tcp"), ("fastcgi", "unix"), ("fastcgi", "tcp"),
                                             ("http", "unix")])
def test_uwsgi_serves_by_each_protocol(gateway, started, here, short, protocol, place):
    from test_servers import listening_socket
    option = {"scgi": "--scgi-socket", "fastcgi": "--fastcgi-socket", "http": "--http-socket"}[protocol]
    address, more, fds, s = f"unix:{short}/s", {}, [], None
    if place == "tcp":
        s = listening_socket()
        s.setblocking(True)
        address = "127.0.0.1:%d" % s.getsockname()[1]
        more, fds = {"pass_fds": [s.fileno()]}, [f"fd://{s.fileno()}"]
    p = subprocess.Popen([UWSGI, "--plugin", "python3", "--wsgi-file", f"{here}/apps/wsgi.py", option,
                          *(fds or [f"{short}/s"]), "--master", "--processes", "2", "--die-on-term", "--need-app"],
                         stdin=subprocess.DEVNULL, stderr=open(short / "log", "wb"), **more)
    started.processes.append(p)
    if s is None:
        wait_for(lambda: is_listening(f"{short}/s"), "uwsgi to listen", 20)
    keep = ["keep-alive idle=off"] if protocol == "http" else []    # uwsgi closes without a word
    g = gateway(make_config(f"{protocol}://{address}", pool=["max-conns 2", *keep]))
    check_wsgi(g, protocol == "http")


def test_uwsgi_is_spawned_with_its_socket_on_descriptor_0(gateway, here):
    g = spawn(gateway, f"{UWSGI} --plugin python3 --wsgi-file {here}/apps/wsgi.py --protocol scgi --socket fd://0 "
              "--die-on-term --need-app", "processes 2", pool=["protocol scgi"])
    check_wsgi(g)
    g.client(timeout=20).get("/say")
    g.wait_line("a word by stderr")


# ---- Perl ----

def test_a_perl_program_is_spawned_for_fastcgi(gateway, here):
    g = spawn(gateway, f"/usr/bin/perl {here}/apps/fcgi.pl", "processes 1", pool=["protocol fastcgi"])
    c = g.client(timeout=20)
    m = c.get("/a/b?say")
    assert m.status == 201 and m.reason == "Made" and b"count=1 method=GET script= path=/a/b got=0" in m.body
    g.wait_line(r"warn \[[0-9a-f]+\] pool app .*says: request 1 of the program")
    assert b"count=2 method=POST script= path=/ got=2000000" in c.post("/", b"x" * 2_000_000).body
    pid = c.get("/?last").body.split()[0]
    m = c.post("/", b"x")
    assert b"count=1 " in m.body and not m.body.startswith(pid)


# ---- gunicorn, puma, node ----

@pytest.mark.parametrize("keys, bind", [(["socket fd3"], ""), (["socket port"], "-b 127.0.0.1:{port}"),
                                        (["socket path"], "-b unix:{path}")])
def test_gunicorn_is_spawned(gateway, here, keys, bind):
    g = spawn(gateway, f'/usr/bin/gunicorn {bind.replace("{", chr(123))} --chdir {here}/apps -k gthread --threads 4 '
              "wsgi:application", *keys, "processes 1", "concurrency 4")
    check_wsgi(g, is_http=True)
    pid = g.client(timeout=20).get("/pid").body
    assert sluice(g, "pool", "app", "restart").returncode == 0
    wait_for(lambda: g.client(timeout=20).get("/pid").body != pid, "another process", 20)


@pytest.mark.parametrize("keys, bind", [(["socket port"], "tcp://127.0.0.1:{port}"), (["socket path"], "unix://{path}")])
def test_puma_is_spawned(gateway, here, keys, bind):
    g = spawn(gateway, f"/usr/bin/puma -b {bind} -t 1:4 -e production {here}/apps/rack.ru", *keys, "processes 1",
              "concurrency 4")
    c = g.client(timeout=30)
    assert c.get("/a?b=c", host="rack.test").body.split(b" ", 1)[1] == b"path=/a query=b=c got=0 host=rack.test"
    assert b"got=1000000" in c.post("/", b"x" * 1_000_000).body


@pytest.mark.parametrize("keys", [["socket port"], ["socket path"]])
def test_node_is_spawned(gateway, here, keys):
    g = spawn(gateway, f"node {here}/apps/node_app.js", *keys, "processes 1..2")
    c = g.client(timeout=20)
    assert c.get("/x?y").body.endswith(b"url=/x?y got=0")
    assert b"got=1000000" in c.post("/", b"x" * 1_000_000).body
