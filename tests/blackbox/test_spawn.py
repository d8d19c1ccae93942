"""Applications that the gateway runs itself: started, watched, renewed, and lost without a loss."""

import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import threading

import pytest

from conftest import make_config
from harness import Client, Event, wait_for
from harness.admin import ADMIN, ask, sluice

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
    os.kill(g.serving_pid(), signal.SIGKILL)
    wait_for(lambda: not any(map(is_running, old)), "its applications to end")
    g.wait_line("the gateway died of signal 9")
    wait_for(lambda: len(g.addresses) == 2, "another gateway")
    with Client(g.addresses[1]) as c:
        assert int(c.get("/pid").body) not in old


def test_a_master_that_is_killed_takes_all_others_along(app):
    g = app("processes 2")
    pids = {pid_of(g) for _ in range(10)} | set(g.children().values())
    assert len(pids) == 4
    os.kill(g.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_running, pids)), "all processes to end", 20)
    g.wait_exit()
    g.stop = lambda: None       # its exit status is no clean end's


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
    os.kill(g.serving_pid(), signal.SIGKILL)
    wait_for(lambda: len(g.addresses) == 2, "another gateway")
    with Client(g.addresses[1]) as c:
        assert json.loads(c.get("/env").body)["env"]["N"] == "1"


def test_a_reload_cannot_run_anything_where_nothing_was_to_be_run(gateway, here):
    plain = "gateway {\n admin unix:admin.sock\n access-log off\n}\nlisten 127.0.0.1:0\npool app { backend 127.0.0.1:1 }\n" \
            "site * { proxy app }\n"
    g = gateway(plain)
    assert "restart it" in reload(g, config_with(here, ("app",)), ok=False)


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
