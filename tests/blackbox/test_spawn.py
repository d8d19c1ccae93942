"""Applications that the gateway runs itself: started, watched, renewed, and lost without a loss."""

import json
import os
import pathlib
import pwd
import re
import select
import shutil
import signal
import socket
import threading

import pytest

from conftest import make_config
from harness import Broken, Client, Event, wait_for
from harness.admin import ADMIN, ask, sluice
from harness.gateway import open_way

PYTHON = "/usr/bin/python3"


@pytest.fixture
def app(gateway, here):
    """app(keys of the spawn block ..., pool=keys of the pool): a gateway that runs apps/app.py."""
    def start(*keys, pool=(), command=None, **more):
        command = command or f"{PYTHON} -SE {here}/apps/app.py"
        lines = "\n ".join(keys if any(k.startswith("socket") for k in keys) else ("socket fd3", *keys))
        g = gateway(make_config(gateway=[*ADMIN, "access-log off"],
                                pool=[*pool, f"spawn {command} {{\n {lines}\n }}"], **more))
        g.check_fds = False
        g.wait_line("admin: listening")
        return g
    return start


def pid_of(g, timeout=10):
    return int(g.client(timeout=timeout).get("/pid").body)


def is_running(pid):
    try:
        return not re.search(r"^State:\s+Z", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
    except OSError:
        return False


def hold(pid):
    """From here on it accepts nobody."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: re.search(r"^State:\s+T", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M), "it to stop")


def threads(pid):
    return int(re.search(r"^Threads:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def processes(g):
    return [p for p in ask(g, "/pools/app")["processes"] if p["pid"]]


def ready(g):
    return [p for p in processes(g) if p["state"] == "ready"]


class Load:
    """GETs from several clients until it is stopped; not one may fail."""

    def __init__(self, g, clients=4, target="/pid"):
        self.g, self.target = g, target
        self.over, self.failures, self.pids, self.counts = Event(), [], [], [0] * clients
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(clients)]
        for t in self.threads:
            t.start()

    def work(self, i):
        try:
            c = self.g.client(timeout=30)
            while not self.over.is_set():
                m = c.get(self.target)
                if m.status != 200:
                    self.failures.append(f"{m.status} {m.body[:200]}")
                else:
                    self.pids.append(m.body)
                    self.counts[i] += 1
        except Exception as e:
            self.failures.append(repr(e))

    def wait_more(self, n=5):
        """Until each client has got n more answers."""
        ends = [count + n for count in self.counts]
        wait_for(lambda: all(c >= e for c, e in zip(self.counts, ends)) or self.failures, f"{n} more answers", 20)

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join()
        assert not self.failures, self.failures[:10]


# ---- where it listens, and what it gets ----

@pytest.mark.parametrize("socket", ["fd3", "port", "path"])
def test_an_application_listens_where_it_is_told_to(app, socket):
    g = app(f"socket {socket}", "processes 2")
    wait_for(lambda: len(ready(g)) == 2, "both to be ready")
    assert len({pid_of(g) for _ in range(20)}) == 2


def test_an_application_gets_what_is_configured_and_nothing_else(app, here, tmp_path):
    os.environ["SECRET_OF_OURS"] = "x"
    g = app("env COLOUR=blue NUMBER={n}", f"directory {tmp_path}", "umask 0027", "limit nofile=77",
            command=f'{PYTHON} -SE {here}/apps/app.py "one two" "{{n}}"')
    del os.environ["SECRET_OF_OURS"]
    e = json.loads(g.get("/env").body)
    assert e["cwd"] == str(tmp_path) and e["umask"] == "0027" and e["nofile"] == 77
    assert e["args"] == ["one two", "0"] and e["env"]["COLOUR"] == "blue" and e["env"]["NUMBER"] == "0"
    assert set(e["env"]) <= {"PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "COLOUR", "NUMBER",
                             "LISTEN_FDS", "LISTEN_PID"}
    assert len(e["fds"]) <= 6, e["fds"]         # three, the socket, its selector, and the connection


def test_an_application_runs_as_its_user(app, here, tmp_path):
    if os.geteuid() != 0:       # then it can only stay who it is
        e = json.loads(app(f"user {pwd.getpwuid(os.getuid()).pw_name}").get("/env").body)
        assert e["uid"] == os.getuid()
        return
    for folder in [tmp_path, *tmp_path.parents][:-1]:
        if folder.stat().st_uid == 0 and folder != pathlib.Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o711)
    shutil.copy(f"{here}/apps/app.py", tmp_path)
    g = app("user www-data", command=f"{PYTHON} -SE {tmp_path}/app.py")
    e = json.loads(g.get("/env").body)
    user = pwd.getpwnam("www-data")
    assert (e["uid"], e["gid"], e["groups"]) == (user.pw_uid, user.pw_gid, [user.pw_gid])
    assert e["env"]["USER"] == "www-data" and e["env"]["HOME"] == user.pw_dir


def test_what_an_application_says_is_logged_with_pool_and_pid(app):
    g = app()
    pid = pid_of(g)
    g.get("/say?out=good+morning&err=oh+dear")
    g.wait_line(rf"info pool app \[{pid}\] good morning")
    g.wait_line(rf"info pool app \[{pid}\] oh dear")


# ---- losses under load ----

@pytest.mark.parametrize("socket", ["fd3", "port", "path"])
def test_killing_processes_under_load_costs_no_get(app, socket):
    g = app(f"socket {socket}", "processes 2")
    load = Load(g)
    for _ in range(8):
        load.wait_more()
        victim = wait_for(lambda: len(ready(g)) == 2 and ready(g)[0]["pid"], "two processes")
        os.kill(victim, signal.SIGKILL)
        g.wait_line(rf"\[{victim}\] was killed by SIGKILL")
    load.wait_more()
    load.stop()


def test_killing_the_spawner_under_load_costs_no_get(app):
    g = app("processes 2")
    load = Load(g)
    for n in range(3):
        load.wait_more()
        before = set(load.pids)
        os.kill(g.children()["sluice-spawner"], signal.SIGKILL)
        g.expect_error("the spawner is gone")
        wait_for(lambda: set(load.pids) - before or load.failures, "another process to answer", 20)
    load.stop()
    assert sum("the spawner died; started another" in line for line in g.lines) == 3


def test_an_application_that_minds_no_term_does_not_outlive_its_spawner_for_long(app):
    """It would go on taking requests from the socket that another has by then."""
    g = app("processes 1", "env DEAF=1", "stop-timeout 100ms")
    old = pid_of(g)
    os.kill(g.children()["sluice-spawner"], signal.SIGKILL)
    g.expect_error("the spawner is gone")
    wait_for(lambda: not is_running(old), "it to be ended", 20)
    assert pid_of(g) != old


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_an_application_that_minds_no_term_ends_with_the_gateway_though_its_spawner_has_died(app, signo):
    g = app("processes 1", "env DEAF=1", "stop-timeout 100ms")
    old = pid_of(g)
    os.kill(g.children()["sluice-spawner"], signal.SIGKILL)
    g.expect_error("the spawner is gone")
    g.wait_line("the spawner died; started another")
    g.signal(signo)
    assert g.wait_exit() == 0
    wait_for(lambda: not is_running(old), "it to be ended")


def test_killing_the_spawner_costs_no_get_of_a_program(gateway, here, tmp_path):
    """Those that it had started end with it and are asked again; the others wait for the next spawner. (Without a
    length nobody could tell whether one that had begun to answer was killed.)"""
    (tmp_path / "p").write_text("#!/bin/sh\nprintf 'Content-Length: 2\\nContent-Type: text/plain\\n\\nok'\n")
    (tmp_path / "p").chmod(0o755)
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\nsite * {{\n cgi {tmp_path}\n}}\n")
    g.check_fds = False
    g.expect_error("the spawner is gone")
    load = Load(g, target="/p")
    for _ in range(4):
        load.wait_more()
        old = g.children()["sluice-spawner"]
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: g.children().get("sluice-spawner", old) != old, "another spawner")
    load.wait_more()
    load.stop()


def test_a_program_that_is_killed_costs_no_get(gateway, tmp_path):
    """Whoever kills it, it has said nothing: another is started for the request."""
    (tmp_path / "p").write_text("#!/bin/sh\n[ -e once ] || { : >once; kill -9 $$; }\nprintf 'Content-Type: text/plain\\n\\nok'\n")
    (tmp_path / "p").chmod(0o755)
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\nsite * {{\n cgi {tmp_path}\n}}\n")
    g.check_fds = False
    assert g.get("/p").body == b"ok"
    g.wait_line("the program was killed by signal 9")


def test_a_program_that_is_killed_is_not_run_twice_for_a_post(gateway, tmp_path):
    """It was given the request when it was started, even one without a body: what it has done nobody knows."""
    (tmp_path / "p").write_text("#!/bin/sh\necho >>runs\nkill -9 $$\n")
    (tmp_path / "p").chmod(0o755)
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\nsite * {{\n cgi {tmp_path}\n}}\n")
    g.check_fds = False
    with g.client() as c:
        assert c.ask("POST", "/p", "Content-Length: 0\r\n").status == 502
    assert (tmp_path / "runs").read_text() == "\n"


def test_who_waits_at_a_process_that_ends_before_it_took_him_is_asked_elsewhere(app):
    """The socket is closed, for no other process comes soon; nobody has had the request, so this was no attempt."""
    g = app("processes 2", "backoff 10s..10s", pool=["retry attempts=1"])
    wait_for(lambda: len(ready(g)) == 2, "two processes")
    victim, other = (p["pid"] for p in ready(g))
    hold(victim)
    clients = [g.client(timeout=30) for _ in range(8)]
    for c in clients:
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: ask(g, "/pools/app")["connections"]["busy"] == 4, "half of them to wait there")
    os.kill(victim, signal.SIGKILL)
    assert {c.response().body for c in clients} == {str(other).encode()}


def test_a_post_that_waits_at_a_process_that_ends_is_served_by_the_next_there(app):
    """It may not be asked again, so what it waits for is started, though another process would be enough."""
    g = app("processes 1..2", "concurrency 1", "idle-timeout 60s", pool=["keep-alive idle=off"])
    holders = [g.client(timeout=30) for _ in range(2)]
    file = g.folder / "go"
    for c in holders:
        c.send(f"GET /wait?file={file} HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: len(ready(g)) == 2, "two processes")
    file.touch()
    victim, other = (int(c.response().body) for c in holders)
    hold(victim)
    posts = [g.client(timeout=30) for _ in range(2)]
    for c in posts:
        c.send("POST /pid HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    wait_for(lambda: [c for c in posts if select.select([c.socket], [], [], 0)[0]], "one to be answered")
    wait_for(lambda: ask(g, "/pools/app")["connections"]["busy"] == 1, "the other to wait")
    os.kill(victim, signal.SIGKILL)
    answers = [c.response("POST") for c in posts]
    assert [m.status for m in answers] == [200, 200]
    pids = {int(m.body) for m in answers}
    assert other in pids and victim not in pids and len(pids) == 2


def test_the_end_of_a_process_with_many_requests_is_no_matter_of_the_retry_budget(app, tmp_path):
    """A hundred retries would be there to begin with."""
    g, count = app("processes 1", "concurrency 400"), 160
    file = tmp_path / "go"
    clients = [g.client(timeout=60) for _ in range(count)]
    for c in clients:
        c.send(f"GET /wait?file={file} HTTP/1.1\r\nHost: t\r\n\r\n")
    victim = wait_for(lambda: ready(g), "a process")[0]["pid"]
    wait_for(lambda: threads(victim) > count, "it to have all requests", 30)
    os.kill(victim, signal.SIGKILL)
    file.touch()
    bodies = [c.response() for c in clients]
    assert {m.status for m in bodies} == {200} and str(victim).encode() not in {m.body for m in bodies}


def test_a_request_waits_until_it_is_known_that_all_processes_have_ended(app):
    """More of them than it would try; the spawner, who tells, is late."""
    g = app("socket port", "processes 12", "backoff 1ms..10ms")
    wait_for(lambda: len(ready(g)) == 12, "all processes", 30)
    pids, spawner = [p["pid"] for p in ready(g)], g.children()["sluice-spawner"]
    hold(spawner)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_running, pids)), "their end")
        c = g.client(timeout=30)
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\n\r\n")
        g.wait_line("Connection refused")
    finally:
        os.kill(spawner, signal.SIGCONT)
    m = c.response()
    assert m.status == 200 and int(m.body) not in pids


def test_killing_whatever_runs_under_load_costs_no_get(gateway, here, tmp_path):
    """An application over HTTP, one over FastCGI and programs; and what starts them, while it does."""
    (tmp_path / "programs").mkdir()
    shutil.copy(f"{here}/apps/app.py", tmp_path / "more.py")
    (tmp_path / "who.php").write_text("<?php echo 'php ', getmypid();")
    (tmp_path / "programs/p").write_text("#!/bin/sh\nprintf 'Content-Length: 9\\nContent-Type: text/plain\\n\\na program'\n")
    (tmp_path / "programs/p").chmod(0o755)
    g = gateway(php_config(tmp_path).replace("processes 1..2", "processes 2").replace("processes 0..1", "processes 2"))
    g.check_fds = False
    g.expect_error("the spawner is gone")

    def pids(pool):
        return [p["pid"] for p in ask(g, f"/pools/{pool}")["processes"] if p["pid"] and p["state"] == "ready"]
    loads = [Load(g, 2, target) for target in ("/who.php", "/more/pid", "/cgi/p")]
    for n in range(9):
        for load in loads:
            load.wait_more(3)
        for pid in [pid for pool in ("php", "more") for pid in pids(pool)][n % 2::2 - (n % 3 == 0)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if n % 3 == 2:
            os.kill(g.children()["sluice-spawner"], signal.SIGKILL)
    for load in loads:
        load.wait_more(3)
        load.stop()


def test_a_rolling_restart_under_load_costs_no_get(app):
    g = app("processes 3")
    load = Load(g)
    for _ in range(4):
        load.wait_more()
        old = {p["pid"] for p in processes(g)}
        assert sluice(g, "pool", "app", "restart").returncode == 0
        wait_for(lambda: len(ready(g)) == 3 and not old & {p["pid"] for p in processes(g)} or load.failures,
                 "three others", 20)
    load.stop()
    assert not [line for line in g.lines if "killing it" in line]


def test_a_rolling_restart_lets_a_request_finish(app, tmp_path):
    g = app("processes 1")
    c, file = g.client(timeout=20), tmp_path / "go"
    c.send(f"GET /wait?file={file} HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: list(tmp_path.glob("go.*")), "the request to be under way")
    pid = int(list(tmp_path.glob("go.*"))[0].suffix[1:])
    sluice(g, "pool", "app", "restart")
    assert wait_for(lambda: (p := pid_of(g)) != pid and p, "another process to answer")
    assert is_running(pid)
    file.touch()
    assert c.response().body == str(pid).encode()
    wait_for(lambda: not is_running(pid), "the old process to end")


def test_a_gateway_that_crashes_leaves_no_application_behind(app):
    g = app("processes 2")
    old = {pid_of(g) for _ in range(10)}
    g.crash()
    wait_for(lambda: not any(map(is_running, old)), "its applications to end")
    g.wait_line("the gateway died of signal 9")
    assert pid_of(g) not in old


def ask_all(address, n):
    """n connections that have asked, whoever takes them."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    clients = [socket.socket(family, socket.SOCK_STREAM) for _ in range(n)]
    for c in clients:
        c.settimeout(60)
        c.connect(address)
        c.sendall(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    return clients


def read_all(c):
    with c, c.makefile("rb") as f:
        return f.read()


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:front.sock"])
def test_no_connection_is_refused_while_a_gateway_that_crashed_is_replaced(gateway, listen):
    g = gateway(f"gateway {{\n threads 2\n access-log off\n}}\nlisten {listen}\nsite * {{ respond 200 ok }}\n")
    g.check_fds = False
    address = str(g.folder / "front.sock") if listen.startswith("unix:") else g.address
    for n in range(1, 5):
        pid = g.serving_pid()
        g.crash()
        line = wait_for(lambda: ([l for l in g.lines if "the gateway died of signal 9" in l][n - 1:] or [""])[0], "its end")
        assert int(re.search(r"starting another in (\d+) ms", line)[1]) <= 1000, "one that serves is not kept away"
        answers = [read_all(c) for c in ask_all(address, 50)]       # nobody is there to take them at first
        assert all(a.startswith(b"HTTP/1.1 200 ") and a.endswith(b"ok") for a in answers)
        assert g.serving_pid() != pid
    assert set(g.addresses) == {g.address}


def test_no_get_fails_while_clients_connect_anew_and_gateways_crash(gateway):
    """Each has its own connection; one that a gateway had taken when it died may ask again, none is refused."""
    g = gateway("gateway {\n threads 2\n access-log off\n}\nlisten 127.0.0.1:0\nsite * { respond 200 ok }\n")
    g.check_fds = False
    over, refused, served = threading.Event(), [], [0] * 4

    def work(i):
        while not over.is_set():
            try:
                with g.client(timeout=60) as c:
                    try:
                        assert c.get("/").status == 200
                        served[i] += 1
                    except (Broken, ConnectionResetError, BrokenPipeError):
                        pass
            except ConnectionRefusedError as e:
                refused.append(repr(e))
                return
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    try:
        for _ in range(3):
            before, pid = list(served), g.serving_pid()
            wait_for(lambda: all(n > b for n, b in zip(served, before)) or refused, "each to be served", 30)
            g.crash()
            wait_for(lambda: g.serving_pid() not in (pid, g.pid), "another gateway", 30)
        before = list(served)
        wait_for(lambda: all(n > b for n, b in zip(served, before)) or refused, "each to be served again", 30)
    finally:
        over.set()
        for t in threads:
            t.join()
    assert not refused


def test_a_listener_that_a_reload_removes_is_closed_though_it_would_outlive_the_gateway(gateway):
    two = "gateway {\n admin unix:admin.sock\n access-log off\n}\nlisten 127.0.0.1:0\nlisten 127.0.0.2:0\n" \
          "site * { respond 200 ok }\n"
    g = gateway(two)
    g.check_fds = False
    second = g.addresses[1]
    with Client(second) as c:
        assert c.get("/").body == b"ok"
    reload(g, two.replace("listen 127.0.0.2:0\n", ""))

    def is_refused():
        try:
            Client(second).close()
        except ConnectionRefusedError:
            return True
    wait_for(is_refused, "connections to be refused")
    g.crash()
    assert g.get("/").body == b"ok"
    assert is_refused()


def test_a_gateway_that_starts_again_begins_with_what_was_in_place_last(gateway):
    """Not with the file, and not with what could not be put in place."""
    def config(answer, more=""):
        return f"gateway {{\n admin unix:admin.sock\n access-log off\n{more}\n}}\nlisten 127.0.0.1:0\n" \
               f"site * {{ respond 200 {answer} }}\n"
    g = gateway(config("one"))
    g.check_fds = False
    reload(g, config("two"))
    g.expect_error("resolver|reload")
    reload(g, config("three", "resolver nonsense"), ok=False)
    g.config.write_text("nonsense")
    g.crash()
    assert g.get("/").body == b"two"
    reload(g, config("four"))
    assert g.get("/").body == b"four"


def anybodys(here, folder):
    """apps/app.py where any user may read it."""
    (folder / "apps").mkdir()
    shutil.copy(f"{here}/apps/app.py", folder / "apps")
    open_way(folder)
    return folder


@pytest.mark.parametrize("user", ["", "user nobody"])
def test_a_master_that_is_killed_takes_all_others_along(gateway, here, tmp_path, user):
    text = config_with(anybodys(here, tmp_path), ("app", "processes 2"))
    g = gateway(text.replace("gateway {", f"gateway {{\n{user}", 1))
    both = wait_for(lambda: len(ready(g)) == 2 and ready(g), "both to be ready")
    pids = {p["pid"] for p in both} | set(g.children().values())
    assert len(pids) == 4 + (user != "" and os.geteuid() == 0)
    g.expect_error("the master is gone: stopping")
    os.kill(g.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_running, pids)), "all processes to end", 20)
    g.wait_exit()
    g.stop = lambda: None       # its exit status is no clean end's


@pytest.mark.parametrize("place", ["fd3", "port", "path"])
def test_a_gateway_that_has_given_up_root_starts_applications_when_they_are_wanted(gateway, here, tmp_path, place):
    """Its sockets lie in a directory of its own."""
    if os.geteuid() != 0:
        return      # what a user can be is tested elsewhere
    text = config_with(anybodys(here, tmp_path), ("app", "processes 0..2", "user www-data")).replace("socket fd3", f"socket {place}")
    g = gateway(text.replace("gateway {", "gateway {\n user nobody", 1))
    g.check_fds = False
    old = pid_of(g, timeout=30)
    assert os.stat(f"/proc/{old}").st_uid == pwd.getpwnam("www-data").pw_uid
    assert os.stat(f"/proc/{g.serving_pid()}").st_uid == pwd.getpwnam("nobody").pw_uid
    assert sluice(g, "pool", "app", "restart").returncode == 0
    wait_for(lambda: pid_of(g, timeout=30) != old, "another process")


def test_all_processes_end_with_the_gateway(app):
    g = app("processes 3")
    wait_for(lambda: len(ready(g)) == 3, "three processes")
    pids = [p["pid"] for p in processes(g)]
    g.signal(signal.SIGTERM)
    assert g.wait_exit() == 0
    assert not any(map(is_running, pids))
    assert not [line for line in g.lines if "killing" in line]


# ---- renewal ----

def test_a_process_is_renewed_after_its_share_of_requests(app):
    g = app("processes 1", "max-requests 10")
    pids = set()
    wait_for(lambda: pids.add(pid_of(g)) or len(pids) >= 3, "a third process")
    g.wait_line("max-requests reached")


def test_a_process_that_uses_too_much_memory_is_renewed_between_requests(app):
    g = app("processes 1", "memory 80m")
    pid = pid_of(g)
    assert g.get("/eat?mb=100").body == b"eaten"
    wait_for(lambda: pid_of(g) != pid, "another process")
    g.wait_line(rf"\[{pid}\] stopping it: uses more than its memory limit")
    g.wait_line(rf"\[{pid}\] exited with status 0")


def test_a_process_that_is_too_old_is_renewed(app):
    g = app("processes 1", "max-age 300ms")
    pid = pid_of(g)
    wait_for(lambda: pid_of(g) != pid, "another process")
    g.wait_line(rf"\[{pid}\] stopping it: max-age reached")


def test_a_process_that_ignores_term_is_killed(app):
    g = app("processes 1", "env DEAF=1", "stop-timeout 100ms")
    pid = pid_of(g)
    sluice(g, "pool", "app", "restart")
    g.wait_line(rf"\[{pid}\] killing it: does not stop within stop-timeout")
    assert pid_of(g) != pid


# ---- how many ----

def test_processes_come_on_demand_and_go_when_idle(app):
    g = app("processes 0..2", "idle-timeout 100ms")
    assert not processes(g)
    first = pid_of(g)
    wait_for(lambda: not processes(g), "the process to go")
    assert not is_running(first)
    assert pid_of(g) != first
    g.wait_line(rf"\[{first}\] stopping it: idle")


def test_processes_grow_with_those_who_wait_and_no_further_than_the_limit(app, tmp_path):
    g = app("processes 1..3", "concurrency 1", "idle-timeout 200ms")
    file = tmp_path / "go"
    clients = [g.client(timeout=20) for _ in range(5)]
    for c in clients:
        c.send(f"GET /wait?file={file} HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: len(list(tmp_path.glob("go.*"))) == 3, "three requests at a time")
    assert len(processes(g)) == 3
    file.touch()
    assert len({c.response().body for c in clients}) <= 3
    wait_for(lambda: len(processes(g)) == 1, "those that are too many to go")


def test_requests_wait_while_an_application_comes_up(app):
    g = app("processes 0..1", "env START_S=0.4", "socket port")
    clients = [g.client() for _ in range(5)]
    for c in clients:
        c.send("GET /pid HTTP/1.1\r\nHost: t\r\n\r\n")
    assert len({c.response().body for c in clients}) == 1


# ---- applications that do not work ----

def test_a_command_that_dies_at_once_is_answered_for_and_tried_less_and_less(app):
    g = app("processes 1", "backoff 50ms..400ms", pool=["queue timeout=600ms"], command="/bin/false")
    m = g.get("/pid")
    assert m.status in (502, 503), m
    for ms in (50, 100, 200, 400):
        g.wait_line(rf"exited with status 1 after .*; next start in {ms} ms")
    g.wait_line("Service Unavailable|Bad Gateway")


def test_one_that_dies_before_it_has_answered_is_tried_less_and_less_however_many_ask(app, tmp_path):
    """Its socket is there at once, so requests are given to it."""
    script = tmp_path / "run"
    script.write_text("#!/bin/sh\nsleep 0.1\nexit 1\n")
    script.chmod(0o755)
    g = app("processes 1", "backoff 50ms..400ms", pool=["timeout request=3s"], command=script)
    c = g.client(timeout=30)
    c.send("GET /pid HTTP/1.1\r\nHost: t\r\n\r\n")

    def pauses():
        return [int(m[1]) for m in (re.search(r"status 1 after .*; next start in (\d+) ms", line) for line in g.lines) if m]
    wait_for(lambda: len(pauses()) >= 5, "five to end", 30)
    assert pauses()[:5] == [50, 100, 200, 400, 400]
    assert c.response().status == 504


def test_a_command_that_is_not_there_is_named(app):
    g = app("processes 0..1", "backoff 50ms..100ms", pool=["queue timeout=300ms"], command="/nonexistent/program")
    g.expect_error("cannot start /nonexistent/program: exec: No such file or directory")
    assert g.get("/pid").status == 503
    g.wait_line(r"pool app: cannot start /nonexistent/program: exec: No such file or directory; next try in \d+ ms")


def test_a_directory_or_cgroup_that_is_not_there_is_named(app):
    for key, stage in (("directory /nonexistent", "directory"), ("cgroup /nonexistent", "cgroup")):
        g = app(key, pool=["queue timeout=200ms"])
        g.expect_error(f"{stage}: No such file or directory")
        g.wait_line(f"cannot start .*: {stage}: No such file or directory")


def test_a_cgroup_that_is_none_is_named(app, tmp_path):
    """A folder like others: there is nothing in it to enter by."""
    g = app(f"cgroup {tmp_path}", pool=["queue timeout=200ms"])
    g.expect_error("cgroup: No such file or directory")
    g.wait_line("cannot start .*: cgroup: No such file or directory")
    assert g.get("/pid").status == 503


def hierarchies():
    """(version, where) of this machine's cgroups."""
    mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    return [(kind, pathlib.Path(place)) for _, place, kind, *_ in mounts if kind in ("cgroup", "cgroup2")]


@pytest.fixture
def cgroups():
    """A new cgroup of each version, in a hierarchy that lets us make one."""
    made = {}
    for kind, place in hierarchies():
        group = place / f"sluice-test-{os.getpid()}"
        if kind in made or "cpuset" in place.name:      # that takes nobody before it is told of cores
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        made[kind] = group
    yield list(made.values())
    for group in made.values():
        wait_for(lambda: not (group / "cgroup.procs").read_text().split(), f"{group} to be empty")
        group.rmdir()


def test_an_application_and_a_program_run_in_their_cgroup_and_nobody_else_does(gateway, here, tmp_path, cgroups):
    """Where the machine has none that we may make, the log says what is missing."""
    (tmp_path / "p").write_text("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\ncat /proc/self/cgroup\n")
    (tmp_path / "p").chmod(0o755)
    for group in cgroups or [pathlib.Path("/sys/fs/cgroup/sluice-test")]:
        text = config_with(here, ("app", "processes 2", f"cgroup {group}"),
                           routes="route /cgi/* { proxy programs; rewrite ^/cgi(/.*)$ $1 }\n route * { proxy app }")
        text = text.replace("site *", f"pool programs {{\n backend cgi://{tmp_path}\n run {{\n cgroup {group}\n }}\n}}\nsite *")
        g = gateway(text)
        g.check_fds = False
        if not cgroups:
            g.expect_error("cgroup: ")
            g.wait_line("cannot start .*: cgroup: (No such file or directory|Permission denied|Read-only file system)")
            continue
        wait_for(lambda: len(ready(g)) == 2, "both to be ready")
        inside = set(map(int, (group / "cgroup.procs").read_text().split()))
        assert inside == {p["pid"] for p in ready(g)}
        assert f"/{group.name}" in g.get("/cgi/p").body.decode()
        g.stop()


def test_an_application_that_never_listens_is_given_up(app):
    g = app("socket port", "processes 1", "start-timeout 200ms", "stop-timeout 200ms", "backoff 50ms..100ms",
            pool=["queue timeout=500ms"], command="/bin/sleep 60")
    assert g.get("/pid").status == 503
    g.wait_line("stopping it: does not answer within start-timeout")


def test_an_application_that_works_again_is_used_again(app, tmp_path, here):
    flag = tmp_path / "works"
    script = tmp_path / "run"
    script.write_text(f"#!/bin/sh\n[ -e {flag} ] || exit 1\nexec {PYTHON} -SE {here}/apps/app.py\n")
    script.chmod(0o755)
    g = app("processes 1", "backoff 50ms..100ms", pool=["queue timeout=200ms"], command=script)
    assert g.get("/pid").status in (502, 503)
    flag.touch()
    wait_for(lambda: g.get("/pid").status == 200, "it to answer")


def test_a_process_that_dies_with_a_request_answers_it_with_502(app):
    g = app("processes 1", pool=["retry attempts=1"])
    assert g.get("/die?status=4").status == 502
    assert g.get("/pid").status == 200
    g.wait_line("exited with status 4")


# ---- reload ----

def reload(g, config, ok=True):
    g.config.write_text(config)
    r = sluice(g, "reload")
    assert (r.returncode == 0) == ok, r.stderr
    return r.stderr


def config_with(here, *pools, routes="route * { proxy app }"):
    text = "gateway {\n threads 2\n admin unix:admin.sock\n access-log off\n}\nlisten 127.0.0.1:0\n"
    for name, *keys in pools:
        keys = "\n ".join(keys)
        text += f"pool {name} {{\n spawn {PYTHON} -SE {here}/apps/app.py {{\n socket fd3\n {keys}\n }}\n}}\n"
    return text + f"site * {{\n {routes}\n}}\n"


def test_a_reload_starts_and_stops_applications(gateway, here):
    one = config_with(here, ("app", "env WHO=app"))
    two = config_with(here, ("app", "env WHO=app"), ("more", "env WHO=more"),
                      routes="route /more/* { proxy more; rewrite ^/more(/.*)$ $1 }\n route * { proxy app }")
    g = gateway(one)
    g.check_fds = False
    pid = pid_of(g)
    reload(g, two)
    assert json.loads(g.get("/more/env").body)["env"]["WHO"] == "more"
    assert pid_of(g) == pid, "an application that has not changed goes on"
    more = int(g.get("/more/pid").body)
    reload(g, one)
    wait_for(lambda: not is_running(more), "the other application to end")
    assert pid_of(g) == pid
    reload(g, two)
    assert int(g.get("/more/pid").body) != more


def test_a_changed_application_is_replaced_at_a_reload_under_load(gateway, here):
    g = gateway(config_with(here, ("app", "processes 2", "env N=0")))
    g.check_fds = False
    load = Load(g)
    for n in range(1, 5):
        load.wait_more()
        old = {p["pid"] for p in processes(g)}
        reload(g, config_with(here, ("app", f"processes {1 + n % 3}", f"env N={n}")))
        wait_for(lambda: json.loads(g.get("/env").body)["env"]["N"] == str(n), "the new definition to serve", 20)
        wait_for(lambda: not any(map(is_running, old)), "the old processes to end", 20)
        wait_for(lambda: len(ready(g)) == 1 + n % 3, "as many as configured", 20)
    load.stop()
    assert not [line for line in g.lines if "killing it" in line]


def test_an_application_that_does_not_start_after_a_reload_leaves_the_old_one_serving(gateway, here):
    good = config_with(here, ("app", "processes 1", "env N=0"))
    g = gateway(good)
    g.check_fds = False
    pid = pid_of(g)
    g.expect_error("cannot start")
    reload(g, good.replace(PYTHON, "/nonexistent"))
    g.wait_line("cannot start /nonexistent")
    assert pid_of(g) == pid
    reload(g, good)
    assert pid_of(g) != pid or is_running(pid)
    assert g.get("/pid").status == 200


def test_a_gateway_that_starts_again_runs_what_the_last_reload_said(gateway, here):
    g = gateway(config_with(here, ("app", "env N=0")))
    g.check_fds = False
    assert json.loads(g.get("/env").body)["env"]["N"] == "0"
    reload(g, config_with(here, ("app", "env N=1")))
    os.kill(g.children()["sluice-spawner"], signal.SIGKILL)
    g.expect_error("the spawner is gone")
    g.wait_line("the spawner died; started another")
    wait_for(lambda: json.loads(g.get("/env").body)["env"]["N"] == "1", "the application to be back")
    g.crash()
    assert json.loads(g.get("/env").body)["env"]["N"] == "1"


def php_config(folder):
    return f"""gateway {{
    admin unix:admin.sock
    access-log off
}}
listen 127.0.0.1:0
pool php {{
    protocol fastcgi
    spawn php-cgi {{
        processes 1..2
    }}
}}
pool more {{
    spawn {PYTHON} -SE {folder}/more.py {{
        socket port
        processes 0..1
    }}
}}
site * {{
    root {folder}
    route *.php   {{ proxy php }}
    route /cgi/*  {{ cgi {folder}/programs }}
    route /more/* {{ proxy more; rewrite ^/more(/.*)$ $1 }}
    route *       {{ files }}
}}
"""


@pytest.mark.parametrize("user", ["", "user nobody"])
def test_a_reload_starts_the_first_applications_of_all_without_a_restart(gateway, here, tmp_path, user):
    """From files alone to php-cgi, CGI programs and an application on a port; and back."""
    open_way(tmp_path)
    (tmp_path / "programs").mkdir()
    shutil.copy(f"{here}/apps/app.py", tmp_path / "more.py")
    (tmp_path / "page.txt").write_text("a file")
    (tmp_path / "who.php").write_text("<?php echo 'php ', getmypid();")
    (tmp_path / "programs/p").write_text("#!/bin/sh\nprintf 'Content-Length: 9\\nContent-Type: text/plain\\n\\na program'\n")
    (tmp_path / "programs/p").chmod(0o755)
    with_apps = php_config(tmp_path).replace("gateway {", f"gateway {{\n    {user}", 1)
    files = "\n".join(with_apps.split("\n")[:6]) + f"\nlisten 127.0.0.1:0\nsite * {{\n root {tmp_path}\n files\n}}\n"
    files = files.replace("listen 127.0.0.1:0\nlisten", "listen")
    g = gateway(files)
    g.check_fds = False
    gateway_pid = g.serving_pid()
    assert set(g.children()) - {"sluice-opener"} == {"sluice"}, "nothing but what serves"
    for _ in range(2):
        with g.client(timeout=30) as c:
            assert c.get("/page.txt").body == b"a file"
            reload(g, with_apps)
            assert c.get("/who.php").body.startswith(b"php ")
            assert c.get("/cgi/p").body == b"a program"
            pid = int(c.get("/more/pid").body)
            assert c.get("/page.txt").body == b"a file"
            reload(g, files)
            assert c.get("/more/pid").status == 404
        wait_for(lambda: not is_running(pid), "the application to end")
    reload(g, with_apps)
    assert g.serving_pid() == gateway_pid
    g.crash()
    assert g.client(timeout=60).get("/who.php").body.startswith(b"php ")


def test_without_a_file_a_reload_can_run_nothing(gateway, tmp_path):
    (tmp_path / "x").write_text("x")
    g = gateway(None, arguments=["proxy", "--listen", "127.0.0.1:0", "--root", tmp_path])
    assert g.children() == {} and g.get("/x").body == b"x"


def test_cgi_programs_come_and_go_with_reloads(gateway, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p").write_text(f"#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n{name} %s' \"$MODE\"\n")
        (tmp_path / name / "p").chmod(0o755)

    def config(name, mode):
        return "gateway {\n admin unix:admin.sock\n access-log off\n}\nlisten 127.0.0.1:0\n" \
               f"pool app {{\n backend cgi://{tmp_path}/{name}\n run {{\n env MODE={mode}\n }}\n}}\nsite * {{ proxy app }}\n"
    g = gateway(config("one", "a"))
    g.first_fds = g.fds()
    assert g.get("/p").body == b"one a"
    for n in range(5):
        reload(g, config("two", f"b{n}"))
        assert g.get("/p").body == b"two b%d" % n
    reload(g, config("one", "a"))
    assert g.get("/p").body == b"one a"
