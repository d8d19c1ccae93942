"""What happens twice, in another order than usual, or in the middle of something else: beginnings and ends that meet."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading

import pytest

from conftest import make_config
from harness import Client, Held, serve, wait_for
from harness.admin import ADMIN, ask, sluice
from harness.gateway import command
from harness.wait import stretched
from test_names import names    # noqa: F401, a fixture
from test_spawn import app, config_with, is_running, pid_of, reload     # noqa: F401, a fixture
from test_upgrade import HANGS, begun, exists, replace_program, replaceable, upgraded    # noqa: F401, fixtures


def stopped(pid):
    """A process that does nothing meanwhile."""
    @contextlib.contextmanager
    def holding():
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    return holding()


def taken_port():
    return socket.create_server(("127.0.0.1", 0))


# ---- reloads ----

def answers(text, more="", listen="127.0.0.1:0"):
    return f"gateway {{\n threads 1\n admin unix:admin.sock\n access-log off\n{more}\n}}\nlisten {listen}\n" \
           f"site * {{ respond 200 {text} }}\n"


@pytest.mark.parametrize("before,after", [(2, 4), (1, 2), (3, 1)])
def test_a_limit_of_connections_that_a_reload_changes_while_it_is_reached_holds_at_once(gateway, before, after):
    g = gateway(answers("ok", f"limit conns={before}"))
    clients = [Client(g.address, timeout=10) for _ in range(before)]
    assert all(c.get("/").status == 200 for c in clients)
    waits = Client(g.address, timeout=10)
    waits.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    reload(g, answers("ok", f"limit conns={after}"))
    for c in clients[:max(before + 1 - after, 0)]:
        assert not ready(waits)
        c.close()
    assert waits.response().status == 200
    for c in [*clients, waits]:
        c.close()


def ready(c):
    """Whether an answer comes while the gateway is known to have had its turns."""
    c.socket.settimeout(0.2)
    try:
        return c.socket.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return None
    finally:
        c.socket.settimeout(stretched(10))


def test_what_could_not_be_put_in_place_is_forgotten_when_the_gateway_crashes(gateway):
    g = gateway(answers("one"))
    g.check_fds = False
    g.expect_error("cannot listen|reload")
    with taken_port() as taken:
        reload(g, answers("two", listen="127.0.0.1:0\nlisten 127.0.0.1:%d" % taken.getsockname()[1]), ok=False)
        for _ in range(2):
            old = g.serving_pid()
            g.crash()
            wait_for(lambda: g.serving_pid() not in (old, g.pid), "another gateway")
            assert Client(g.address, timeout=20).get("/").body == b"one"


def test_an_answer_that_comes_too_late_is_not_taken_for_that_to_the_next_question(gateway, here):
    """Of what may be run: two reloads ask while the master does nothing."""
    g = gateway(config_with(here, ("app", "env N=0")))
    g.check_fds = False
    assert pid_of(g)
    g.config.write_text(config_with(here, ("app", "env N=1")))
    with stopped(g.pid):
        assert sluice(g, "reload").returncode == 1
        again = subprocess.Popen(command("reload"), cwd=g.folder, stdout=subprocess.DEVNULL)
        wait_for(lambda: ask_waits(g), "it to be asked again")
    assert again.wait(stretched(20)) == 0
    wait_for(lambda: b'"N": "1"' in g.get("/env").body, "the new definition to run")
    old = pid_of(g)
    os.kill(old, signal.SIGKILL)    # what is started in its place has to be known, too
    assert pid_of(g, timeout=30) != old


def ask_waits(g):
    """Whether the gateway's main thread waits for the master."""
    fields = pathlib.Path(f"/proc/{g.serving_pid()}/wchan").read_text()
    return "poll" in fields and "ep_poll" not in fields


def test_a_reload_that_fails_leaves_the_logs_as_they_were(gateway):
    def config(log, listen=""):
        return f"gateway {{\n admin unix:admin.sock\n access-log off\n error-log {log}\n}}\n" \
               f"listen 127.0.0.1:0\n{listen}\nsite * {{ respond 200 ok }}\n"
    g = gateway(config("one.log level=info"))
    with taken_port() as taken:
        reload(g, config("two.log level=error", "listen 127.0.0.1:%d" % taken.getsockname()[1]), ok=False)
    reload(g, config("one.log level=info"))
    wait_for(lambda: "configuration 2 is in place" in (g.folder / "one.log").read_text(), "the first log to go on")
    assert (g.folder / "two.log").read_text() == ""
    reload(g, config("two.log level=info"))
    wait_for(lambda: "configuration 3 is in place" in (g.folder / "two.log").read_text(), "the other log to be used")


def test_a_log_whose_reader_has_gone_holds_up_nobody(gateway, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    g = gateway(answers("ok").replace("access-log off", f"access-log {fifo}"))
    g.check_fds = False
    g.expect_error("log")
    os.close(reader)
    for _ in range(3):
        g.signal(signal.SIGHUP)
        assert sluice(g, "reload", timeout=20).returncode in (0, 1)
    assert g.get("/").status == 200


def test_a_reload_beside_answers_of_the_name_server_harms_nobody(gateway, backend, names):
    dns = names({f"app{n}.test": (["127.0.0.1"], 1) for n in range(20)})
    b = backend(then=serve())
    config = make_config(*[f"app{n}.test:{b.port}" for n in range(20)],
                         gateway=[f"resolver {dns.address}", "access-log off"])
    g = gateway(config)
    for _ in range(20):
        asked = len(dns.asked)
        g.signal(signal.SIGHUP)
        wait_for(lambda: len(dns.asked) >= asked + 40, "the names to be asked for")
        g.signal(signal.SIGHUP)
    assert g.get("/").status == 200


def test_pools_that_are_probed_come_and_go(gateway, backend):
    backends = [backend(then=serve()) for _ in range(8)]
    lines = "".join(f" backend {b.address}\n" for b in backends)
    one = answers("ok")
    two = one + f"pool app {{\n{lines} health GET / interval=10ms fast=10ms\n}}\nsite app.test {{ proxy app }}\n"
    g = gateway(one)
    for _ in range(15):
        reload(g, two)
        seen = len(backends[0].requests)
        wait_for(lambda: len(backends[0].requests) > seen, "probes")
        reload(g, one)
    assert g.get("/").body == b"ok"


# ---- upgrades ----

def test_an_upgrade_that_fails_late_takes_nobody_along(upgraded, backend):
    """Who waits to be accepted, as there are as many connections as may be, is still served by the old one."""
    text = make_config(backend(then=serve()), gateway=[*ADMIN, "limit conns=1"], threads=1)
    u = upgraded(text)
    u.g.expect_error("upgrade failed|admin: cannot listen")
    first = u.g.client()
    assert first.get("/").status == 200
    waits = u.g.client()
    waits.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    with taken_port() as taken:
        u.g.config.write_text(text.replace("admin ", "admin 127.0.0.1:%d token=0123456789abcdef\nadmin "
                                           % taken.getsockname()[1], 1))
        status, answer = u.upgrade()
        assert status == 500, answer
    first.close()
    assert waits.response().status == 200


def test_a_master_that_vanishes_during_an_upgrade_is_not_asked_any_more(replaceable):
    held = Held()
    g = replaceable("upgrade-timeout 1s", "stop-timeout 4s", then=held)
    g.expect_error("the master is gone: stopping")
    c = g.client(timeout=30)
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert held.asked.wait(10)
    serving = g.serving_pid()
    replace_program(g, HANGS)
    os.kill(g.pid, signal.SIGUSR2)
    pid, = wait_for(lambda: begun(g), "the other program to begin")
    os.kill(g.pid, signal.SIGKILL)
    g.wait_line("upgrade failed, this gateway goes on serving: it did not serve in time", 20)
    held.go.set()
    assert c.response().status == 200
    wait_for(lambda: not exists(serving), "the gateway to end")
    os.kill(pid, signal.SIGKILL)
    g.wait_exit()
    g.stop = g.check_output     # its exit status is no clean end's


# ---- descriptors ----

def test_a_spawner_that_comes_while_there_is_no_descriptor_left_is_connected_later(gateway, here):
    text = config_with(here, ("app", "processes 1")).replace("threads 2", "threads 1")
    g = gateway(text, nofile=(64, 64))
    g.check_fds = False
    g.expect_error("cannot accept|spawner|descriptor|open files|worker")
    assert pid_of(g)
    clients = []
    while not [line for line in g.lines if "cannot accept connections" in line]:
        clients.append(socket.create_connection(g.address))
    os.kill(g.children()["sluice-spawner"], signal.SIGKILL)
    # What the old one leaves goes to the client that waits, or to the channel: then there is none for a process.
    g.wait_line("(a channel to the spawner|start): Too many open files", 20)
    for c in clients:
        c.close()
    assert g.client(timeout=30).get("/pid").status == 200


def test_however_few_descriptors_there_are_it_serves_or_says_why_not(backend, tmp_path):
    conf = tmp_path / "few.conf"
    conf.write_text(make_config(backend(then=serve()), gateway=["access-log off"], threads=4))
    for n in range(8, 60):
        p = subprocess.Popen(["prlimit", f"--nofile={n}:{n}", *command("run", "-c", conf)], cwd=tmp_path,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        timer = threading.Timer(stretched(20), p.kill)
        timer.start()
        output = ""
        for line in p.stdout:
            output += line
            if "listening on" in line:
                p.terminate()
        assert p.wait() in (0, 1), (n, output)
        timer.cancel()
        assert "Sanitizer" not in output, output
        assert output


# ---- certificates ----

def test_a_certificate_that_a_failed_reload_has_read_comes_into_use_all_the_same(gateway, backend, tmp_path):
    from harness.certs import Authority
    from test_tls_files import listen_block, replace, serial
    authority = Authority(tmp_path)
    old, new = authority.issue("localhost", file="a"), authority.issue("localhost", file="b")
    g = gateway(make_config(backend(then=serve()), gateway=[*ADMIN, "certificate-check 1s"],
                            listen=listen_block(f"certificate {old.pem} key={old.key}")))
    g.expect_error("TLS: |cannot listen|reload")
    assert serial(g, authority) == old.serial
    text = g.config.read_text()
    replace(old, new)
    with taken_port() as taken:
        reload(g, text.replace("pool app", "listen 127.0.0.1:%d\npool app" % taken.getsockname()[1], 1), ok=False)
    wait_for(lambda: serial(g, authority) == new.serial, "the new certificate")


# ---- applications ----

@pytest.mark.parametrize("then", ["nothing", "backends"])
def test_a_request_outlives_the_application_in_the_configuration(gateway, backend, here, tmp_path, then):
    """A reload takes the application away, or has other backends for its pool."""
    text = config_with(here, ("app", "processes 1", "stop-timeout 200ms"))
    g = gateway(text)
    g.check_fds = False
    c, file = g.client(timeout=20), tmp_path / "go"
    c.send(f"GET /wait?file={file} HTTP/1.1\r\nHost: t\r\n\r\n")
    pid = wait_for(lambda: [int(p.suffix[1:]) for p in tmp_path.glob("go.*")], "the request to be under way")[0]
    head, tail = text.split("pool app {")[0], text[text.index("site *"):]
    if then == "nothing":
        reload(g, head + "site * { respond 200 other }\n")
    else:
        reload(g, head + f"pool app {{\n backend {backend(then=serve(lambda r, c: b'other')).address}\n}}\n" + tail)
    for _ in range(20):
        assert g.get("/").body == b"other"
    assert is_running(pid)
    file.touch()
    m = c.response()
    assert m.status == 200 and m.body == str(pid).encode()
    wait_for(lambda: not is_running(pid), "the application to end")
    if then == "backends":
        wait_for(lambda: len(ask(g, "/pools/app")["backends"]) == 1, "its process to be the pool's no more")


# ---- the end ----

def test_a_spawner_that_hangs_does_not_keep_the_others_from_ending(app):
    g = app("processes 2", "stop-timeout 200ms")
    pids = {pid_of(g) for _ in range(10)}
    spawner = g.children()["sluice-spawner"]
    os.kill(spawner, signal.SIGSTOP)
    g.signal(signal.SIGTERM)
    assert g.wait_exit(40) == 0
    g.wait_line("the spawner does not end: killing it")
    wait_for(lambda: not any(map(is_running, [spawner, *pids])), "all to end")
