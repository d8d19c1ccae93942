"""A binary upgrade: another process takes the sockets over, and no connection is lost."""

import contextlib
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import sys
import threading

import pytest

from conftest import make_config
from harness import Event, serve, wait_for
from harness.admin import ADMIN, AdminClient, ask
from harness.gateway import BIN, anybodys_program


class Load:
    """Clients that ask all the time, on connections that are kept; every request must be answered 200."""

    def __init__(self, g, clients=6):
        self.g, self.stopped, self.failures, self.count = g, Event(), [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def ask(self):
        c = None
        try:
            while not self.stopped.is_set():
                c = c or self.g.client()
                m = c.get()
                if m.status != 200:
                    self.failures.append((m.status, m.body))
                if "close" in m.tokens("connection"):
                    c.close()
                    c = None
                with self.lock:
                    self.count += 1
        except Exception as e:      # shown in stop()
            self.failures.append(repr(e))

    def wait_more(self, n=50):
        goal = self.count + n
        wait_for(lambda: self.count >= goal or self.failures, f"{n} more requests")

    def stop(self):
        self.stopped.set()
        for t in self.threads:
            t.join()
        assert not self.failures, self.failures[:5]


def post(g, target):
    with AdminClient(g, timeout=40) as c:
        m = c.ask("POST", target)
        return m.status, json.loads(m.body)


def exists(pid):
    """Zombies of another's do not count."""
    try:
        return "\nState:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def uid_of(pid):
    """Whose it is: who owns its files in /proc is another matter for a process that has changed its user."""
    return int(re.search(r"^Uid:\t(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def pid_of(g):
    return ask(g, "/status")["pid"]


class Upgraded:
    """A gateway whose process changes."""

    def __init__(self, g):
        self.g, self.old = g, pid_of(g)
        g.check_fds = False

    def upgrade(self):
        """Status and answer."""
        return post(self.g, "/upgrade")

    def wait_new(self, others=()):
        def new():
            try:
                pid = pid_of(self.g)
            except OSError:     # the one that answered is just ending
                return None
            return pid if pid != self.old and pid not in others else None
        return wait_for(new, "another process to answer", 20)


@pytest.fixture
def upgraded(gateway):
    made = []

    def start(config, **more):
        g = gateway(config, **more)
        wait_for(lambda: (g.folder / "admin.sock").exists(), "the admin server")
        made.append(Upgraded(g))
        return made[-1]
    yield start
    for u in made:
        for pid in pids_of(u.g):
            with contextlib.suppress(ProcessLookupError):      # the end of one may have ended it
                os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not [p for p in pids_of(u.g) if exists(p)], "all to end", 20)


def pids_of(g):
    """Every process that runs this gateway's configuration, the spawners' too."""
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(g.config).encode() in (p / "cmdline").read_bytes():
                found.append(int(p.name))
        except OSError:
            pass
    return found


APP = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(params=["alone", "with a master"])
def config(request, backend, tmp_path):
    if request.param == "alone":
        return make_config(backend(then=serve()), gateway=ADMIN, threads=2)
    app = tmp_path / "app.py"
    app.write_text(APP)
    return make_config(gateway=ADMIN, threads=2, pool=[
        f"spawn {sys.executable} {app} \"{{port}}\" {{\n processes 1\n socket port\n }}"])


def test_no_connection_is_lost_under_load(upgraded, config):
    u = upgraded(config)
    load = Load(u.g)
    load.wait_more()
    pids = [u.old]
    for how in ("command", "signal", "command"):
        master = u.g.pid if how == "signal" and len(pids) == 1 else pids[-1]
        if how == "command":
            assert u.upgrade()[0] == 200
        else:
            os.kill(master, signal.SIGUSR2)
        pids.append(u.wait_new(pids))
        load.wait_more()
    wait_for(lambda: not any(exists(p) for p in pids[:-1]), "the old ones to end", 40)
    load.wait_more()
    load.stop()
    assert u.g.get().status == 200


def test_what_is_under_way_is_finished_by_the_old_one(upgraded, backend):
    gate, asked = Event(), Event()

    def answer(request, c):
        if request.target == "/slow":
            asked.set()
            gate.wait(30)
        return b"ok"
    u = upgraded(make_config(backend(then=serve(answer)), gateway=ADMIN, threads=3))
    slow, idle = u.g.client(), u.g.client()
    assert idle.get("/").status == 200
    slow.send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\n")
    assert asked.wait(10)
    assert u.upgrade()[0] == 200
    u.wait_new()
    assert u.g.get().status == 200
    m = idle.get("/")           # it may ask once more
    assert m.status == 200 and "close" in m.tokens("connection")
    gate.set()
    m = slow.response()
    assert m.status == 200 and m.body == b"ok" and "close" in m.tokens("connection")
    u.g.wait_line("stopped")
    wait_for(lambda: not exists(u.old), "the old one to end")


def test_a_configuration_that_is_wrong_leaves_the_old_one_serving_and_says_why(upgraded, config):
    u = upgraded(config)
    u.g.expect_error("upgrade failed")
    u.g.config.write_text(config.replace("proxy app", "proxy nobody"))
    load = Load(u.g, 2)
    status, answer = u.upgrade()
    assert status == 500 and "nobody" in answer["error"] and "sluice.conf:" in answer["error"]
    os.kill(u.g.pid, signal.SIGUSR2)
    wait_for(lambda: sum("upgrade failed" in line for line in u.g.lines) == 2, "it to be said")
    load.wait_more()
    load.stop()
    assert pid_of(u.g) == u.old
    u.g.config.write_text(config)
    assert u.upgrade()[0] == 200
    u.wait_new()


def test_a_port_that_cannot_be_had_leaves_the_old_one_serving(upgraded, config):
    u = upgraded(config)
    u.g.expect_error("upgrade failed|cannot listen")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        u.g.config.write_text(config.replace("listen ", f"listen 127.0.0.1:{taken.getsockname()[1]}\nlisten ", 1))
        assert u.upgrade()[0] == 500
    assert u.g.get().status == 200 and pid_of(u.g) == u.old
    u.g.wait_line("cannot listen")


HANGS = "#!/bin/sh\n: > begun.$$\nexec sleep 600\n"


def begun(g):
    """The processes of HANGS that it has started."""
    return [int(p.suffix[1:]) for p in g.folder.glob("begun.*")]


def replace_program(g, text):
    g.program.write_text(text)
    g.program.chmod(0o755)


@pytest.fixture
def replaceable(gateway, backend, tmp_path):
    """replaceable("key", ..., then=script): a gateway whose program file has gone since it was started."""
    def start(*keys, then=None):
        program = tmp_path / "sluice"
        program.symlink_to(BIN)
        g = gateway(make_config(backend(then=then), gateway=[*ADMIN, *keys]), program=program)
        g.expect_error("upgrade failed")
        wait_for((g.folder / "admin.sock").exists, "the admin server")
        program.unlink()
        g.program = program
        return g
    return start


def test_a_program_that_cannot_be_started_or_never_serves_is_given_up(replaceable):
    g = replaceable("upgrade-timeout 500ms")
    status, answer = post(g, "/upgrade")
    assert status == 500 and "No such file" in answer["error"]
    replace_program(g, HANGS)
    status, answer = post(g, "/upgrade")
    assert status == 500 and "upgrade-timeout" in answer["error"]
    wait_for(lambda: not any(map(exists, begun(g))), "what came as far as that to be ended")
    g.config.write_text(g.config.read_text().replace("upgrade-timeout 500ms", "upgrade-timeout 20s"))
    assert post(g, "/reload")[0] == 200
    replace_program(g, "#!/bin/sh\nexit 3\n")
    status, answer = post(g, "/upgrade")
    assert status == 500 and "ended before it served" in answer["error"]
    assert g.get().status == 200


def test_an_upgrade_that_is_asked_for_twice_is_given_up_once(replaceable):
    g = replaceable("upgrade-timeout 1s")
    replace_program(g, HANGS)
    g.signal(signal.SIGUSR2)
    wait_for(lambda: begun(g), "the other program to begin")
    g.signal(signal.SIGUSR2)
    g.wait_line("upgrade failed.*did not serve in time", 20)
    wait_for(lambda: not any(map(exists, begun(g))), "all that was started to be ended")
    assert g.get("/").status == 200


@pytest.mark.parametrize("before,after", [(4, 1), (1, 4)])
def test_another_number_of_threads_is_taken_up(upgraded, backend, before, after):
    """A start is needed for it. Every socket there was is still accepted from."""
    text = make_config(backend(then=serve()), gateway=ADMIN, threads=before)
    u = upgraded(text)
    u.g.config.write_text(text.replace(f"threads {before}", f"threads {after}"))
    assert u.upgrade()[0] == 200
    u.wait_new()
    wait_for(lambda: not exists(u.old), "the old one to end", 40)
    assert ask(u.g, "/status")["threads"] == after
    for _ in range(40):
        assert u.g.get().status == 200


def test_unix_listeners_and_changes_at_run_time_go_on(upgraded, backend, tmp_path):
    b = backend(then=serve())
    u = upgraded(make_config(b, gateway=[*ADMIN, "state state.json"], listen=f"unix:{tmp_path}/front.sock",
                             threads=2))
    assert post(u.g, f"/pools/app/backends/{b.address}/weight?weight=7")[0] == 200
    inode = os.stat(tmp_path / "front.sock").st_ino
    assert u.upgrade()[0] == 200
    u.wait_new()
    assert os.stat(tmp_path / "front.sock").st_ino == inode
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{tmp_path}/front.sock")
        s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200")
    assert ask(u.g, "/pools/app")["backends"][0]["weight"] == 7


def test_the_service_manager_is_told_who_serves(upgraded, config):
    u = upgraded(config)
    assert u.g.ready.split() == ["READY=1", f"MAINPID={u.g.pid}"]


def test_who_has_given_up_root_can_be_replaced_too(upgraded, backend, tmp_path):
    """By what that user may start."""
    u = upgraded(make_config(backend(then=serve()), gateway=[*ADMIN, "user nobody", "access-log off"]),
                 program=anybodys_program(tmp_path))
    nobody = pwd.getpwnam("nobody").pw_uid
    pids = [u.old]
    for _ in range(2):
        assert u.upgrade() == (200, {"ok": True})
        pids.append(u.wait_new(pids))
        assert uid_of(pids[-1]) == nobody
        assert u.g.get().status == 200
