"""Pools changed while they work: drain, disable, enable, weight, remove, add; kept over reloads and restarts."""

import collections
import json
import os
import re
import sys
import threading

import pytest

from conftest import make_config
from harness import Event, Held, serve, wait_for
from harness.admin import ADMIN, AdminClient, ask, sluice

STATE = (*ADMIN, "state state.json")


def named(name):
    return serve(lambda r, c: name.encode())


def shares(g, n=20):
    with g.client() as c:
        return collections.Counter(c.get().body.decode() for _ in range(n))


def path(backend, verb, pool="app"):
    return f"/pools/{pool}/backends/{getattr(backend, 'address', backend)}/{verb}"


def change(g, backend, verb, status=200, query=""):
    return ask(g, path(backend, verb) + query, "POST", status)


def states(g):
    return {b["address"]: b["state"] for b in ask(g, "/pools/app")["backends"]}


def differs(g):
    return {(c["pool"], c["backend"]): c["change"] for c in ask(g, "/status")["changes"]}


@pytest.fixture
def three(gateway, backend):
    """three(): a gateway before backends that answer a, b and c."""
    def start(*names, gateway_keys=STATE, **keys):
        backends = [backend(then=named(n)) for n in names or "abc"]
        g = gateway(make_config(*backends, gateway=gateway_keys, **keys))
        g.wait_line("admin: listening")
        g.first_fds = g.fds()
        return g, *backends
    return start


def restart(g, gateway, config=None):
    """The same configuration and state file in a new process."""
    g.stop()
    again = gateway(config or g.config.read_text().replace("state.json", f"{g.folder}/state.json"))
    again.wait_line("admin: listening")
    again.first_fds = again.fds()
    return again


@pytest.mark.parametrize("verb, state", [("drain", "draining"), ("disable", "disabled")])
def test_a_backend_taken_out_gets_nothing_until_it_is_enabled(three, verb, state):
    g, a, b, c = three()
    assert set(shares(g)) == {"a", "b", "c"}
    assert change(g, b, verb) == {"ok": True}
    assert states(g) == {a.address: "up", b.address: state, c.address: "up"}
    assert differs(g) == {("app", b.address): state}
    assert set(shares(g)) == {"a", "c"}
    change(g, b, "enable")
    assert set(states(g).values()) == {"up"} and differs(g) == {}
    assert set(shares(g)) == {"a", "b", "c"}


def test_a_drained_backend_finishes_what_it_has(three, backend, gateway):
    held = Held("slow")
    b = backend(then=held)
    g = gateway(make_config(b, backend(then=named("other")), gateway=ADMIN, threads=1))
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    waiting = [g.client() for _ in range(2)]
    for c in waiting:
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert held.asked.wait(10)
    change(g, b, "drain")
    assert set(shares(g)) == {"other"}
    assert [x["connections"]["busy"] for x in ask(g, "/pools/app")["backends"] if x["address"] == b.address] == [1]
    held.go.set()
    assert {c.response().body for c in waiting} == {b"slow", b"other"}


def test_weights_change_shares(three):
    g, a, b = three("a", "b", threads=1)
    assert shares(g, 40) == {"a": 20, "b": 20}
    change(g, a, "weight", query="?weight=3")
    assert differs(g) == {("app", a.address): "weight 3"}
    got = shares(g, 40)
    assert got["a"] == pytest.approx(30, abs=1)
    for query in ("", "?weight=0", "?weight=1001", "?weight=x", "?weight=-1", "?weight="):
        change(g, a, "weight", 400, query)
    assert shares(g, 40)["a"] == pytest.approx(30, abs=1)


def test_remove_and_add(three, backend):
    g, a, b, c = three()
    d = backend(then=named("d"))
    change(g, a, "remove")
    change(g, d, "add")
    assert set(states(g)) == {b.address, c.address, d.address}
    assert set(shares(g)) == {"b", "c", "d"}
    assert differs(g) == {("app", a.address): "removed", ("app", d.address): "added"}
    change(g, d, "add", 409)
    change(g, a, "remove", 404)
    change(g, a, "add")
    change(g, d, "remove")
    assert set(states(g)) == {a.address, b.address, c.address} and differs(g) == {}
    assert set(shares(g)) == {"a", "b", "c"}


def shown(g, b):
    found, = [x for x in ask(g, "/pools/app")["backends"] if x["address"] == b.address]
    return found


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_what_was_removed_is_what_its_line_says_when_it_is_added_again(gateway, backend, name):
    """And not one more beside it, whoever looks at the names again."""
    a, b = backend(then=named("a")), backend(then=named("b"))
    line = f"{name}:{b.address.split(':')[1]}"
    g = gateway(make_config(a, f"{line} weight=4 max-conns=3 backup", gateway=STATE))
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    before = shown(g, b)
    assert before["backup"] and before["connections"]["limit"] == 3 and before["name"] == line
    for called in b, line:
        change(g, called, "remove")
        assert set(states(g)) == {a.address}
        change(g, called, "add")
        assert shown(g, b) == before and differs(g) == {}
        ask(g, "/reload", "POST")
        assert shown(g, b) == before and set(states(g)) == {a.address, b.address}
    change(g, b, "remove")
    ask(g, "/reload", "POST")
    assert "max-conns" in change(g, b, "add", query="?weight=2&max-conns=9")["warning"]
    assert shown(g, b)["weight"] == 2 and shown(g, b)["connections"]["limit"] == 3
    assert differs(g) == {("app", b.address): "weight 2"}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_what_was_added_is_its_lines_once_the_configuration_names_it(three, backend, gateway, name):
    """It is added, written into the file, and that is loaded: there is one of it, and nothing differs."""
    g, a = three("a", threads=1)
    d = backend(then=named("d"))
    change(g, d, "add", query="?weight=2&max-conns=5")
    assert shares(g, 4) and d.accepted == 1
    line = f"{name}:{d.address.split(':')[1]}"
    g.config.write_text(g.config.read_text().replace("pool app {", f"pool app {{\n backend {line} max-conns=7"))
    ask(g, "/reload", "POST")
    wait_for(lambda: not shown(g, d)["added"], "the line to have it")
    assert shown(g, d)["connections"]["limit"] == 7 and shown(g, d)["weight"] == 1 and shown(g, d)["name"] == line
    wait_for(lambda: differs(g) == {}, "nothing to differ")
    assert json.loads((g.folder / "state.json").read_text())["pools"] == {}
    assert set(shares(g, 4)) == {"a", "d"}
    if name == "127.0.0.1":
        assert d.accepted == 1, "it keeps its connections"
    g = restart(g, gateway)
    assert set(states(g)) == {a.address, d.address} and not shown(g, d)["added"]


def test_what_was_removed_and_leaves_the_file_is_no_change(three):
    """So a line that is written there again later counts."""
    g, a, b = three("a", "b")
    full = g.config.read_text()
    change(g, b, "remove")
    ask(g, "/reload", "POST")
    assert differs(g) == {("app", b.address): "removed"}
    g.config.write_text(full.replace(f"backend {b.address}", ""))
    ask(g, "/reload", "POST")
    assert differs(g) == {} and json.loads((g.folder / "state.json").read_text())["pools"] == {}
    g.config.write_text(full)
    ask(g, "/reload", "POST")
    assert states(g) == {a.address: "up", b.address: "up"}


def test_a_weight_that_the_file_says_too_is_no_change(three):
    g, a, b = three("a", "b")
    text = g.config.read_text()

    def write(weight):
        g.config.write_text(text.replace(f"backend {a.address}", f"backend {a.address} weight={weight}"))
        ask(g, "/reload", "POST")
    change(g, a, "weight", query="?weight=5")
    change(g, a, "weight", query="?weight=1")
    write(4)
    assert shown(g, a)["weight"] == 4 and differs(g) == {}
    change(g, a, "weight", query="?weight=9")
    write(6)
    assert shown(g, a)["weight"] == 9 and differs(g) == {("app", a.address): "weight 9"}
    write(9)
    assert shown(g, a)["weight"] == 9 and differs(g) == {}
    write(3)
    assert shown(g, a)["weight"] == 3 and differs(g) == {}


def test_what_is_added_has_its_weight_and_limit(three, backend):
    g, a = three("a", threads=1)
    d = backend(then=named("d"))
    change(g, d, "add", query="?weight=3&max-conns=5")
    shown = {x["address"]: x for x in ask(g, "/pools/app")["backends"]}[d.address]
    assert shown["weight"] == 3 and shown["connections"]["limit"] == 5
    for query in ("?weight=1001", "?weight=x", "?max-conns=x", "?backup=2", "?max_conns=5", "?weight=2&x"):
        change(g, "127.0.0.1:9", "add", 400, query)


def test_a_backup_is_asked_when_no_other_can_be(three, backend):
    g, a = three("a")
    d = backend(then=named("d"))
    change(g, d, "add", query="?backup=1")
    assert set(shares(g)) == {"a"}
    change(g, a, "disable")
    assert set(shares(g)) == {"d"}


def test_what_is_not_there_is_refused(three):
    g, a, b, c = three()
    for verb in ("drain", "disable", "enable", "weight", "remove"):
        change(g, "127.0.0.1:9", verb, 404, "?weight=1")
    ask(g, path(a, "drain", pool="other"), "POST", 404)
    for address in ("nonsense", "name.example:80", "127.0.0.1", "1.2.3.4:99999", "unix:", "%ff"):
        change(g, address, "add", 400)
    ask(g, path(a, "explode"), "POST", 404)
    ask(g, path(a, "drain"), "GET", 405)
    assert differs(g) == {} and set(states(g).values()) == {"up"}


def test_a_name_stands_for_all_of_its_addresses(gateway, backend):
    b = backend(then=named("b"))
    name = f"localhost:{b.address.split(':')[1]}"
    g = gateway(make_config(name, backend(then=named("c")), gateway=ADMIN))
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    change(g, name, "disable")
    assert states(g)[b.address] == "disabled"
    assert set(shares(g)) == {"c"}
    change(g, name, "enable")
    assert states(g)[b.address] == "up"


def test_unix_addresses(three, tmp_path):
    g, a = three("a")
    where = "unix:%2Ftmp%2Fno-such%2Fsocket"
    change(g, where, "add")
    assert "unix:/tmp/no-such/socket" in states(g)
    change(g, where, "remove")
    assert "unix:/tmp/no-such/socket" not in states(g)


def test_changes_survive_a_reload(three, backend):
    g, a, b, c = three()
    d = backend(then=named("d"))
    change(g, a, "disable")
    change(g, b, "remove")
    change(g, d, "add", query="?weight=2")
    change(g, c, "weight", query="?weight=4")
    before, wanted = states(g), differs(g)
    ask(g, "/reload", "POST")
    assert states(g) == before and differs(g) == wanted
    assert set(shares(g)) == {"c", "d"}
    weights = {x["address"]: x["weight"] for x in ask(g, "/pools/app")["backends"]}
    assert weights[c.address] == 4 and weights[d.address] == 2


def test_changes_survive_a_restart(three, backend, gateway):
    g, a, b, c = three()
    d = backend(then=named("d"))
    change(g, a, "drain")
    change(g, b, "remove")
    change(g, d, "add", query="?weight=2&max-conns=7&backup=0")
    change(g, c, "weight", query="?weight=4")
    before, wanted = states(g), differs(g)
    g = restart(g, gateway)
    assert states(g) == before and differs(g) == wanted
    with g.client() as client:      # from the first request on
        assert {client.get().body for _ in range(20)} == {b"c", b"d"}
    weights = {x["address"]: x["weight"] for x in ask(g, "/pools/app")["backends"]}
    assert weights[c.address] == 4 and weights[d.address] == 2
    change(g, a, "enable")
    change(g, b, "add")
    change(g, d, "remove")
    change(g, c, "weight", query="?weight=1")
    g = restart(g, gateway)
    assert set(states(g)) == {a.address, b.address, c.address} and set(states(g).values()) == {"up"}
    assert differs(g) == {}


def test_changes_come_back_with_their_pool(three):
    """A pool that leaves the configuration and returns is as it was changed."""
    g, a, b = three("a", "b")
    change(g, a, "disable")
    full = g.config.read_text()
    g.config.write_text(full.replace("pool app {", "pool other {").replace("proxy app", "proxy other"))
    ask(g, "/reload", "POST")
    assert {x["state"] for x in ask(g, "/pools/other")["backends"]} == {"up"}
    g.config.write_text(full)
    ask(g, "/reload", "POST")
    assert states(g) == {a.address: "disabled", b.address: "up"}


def test_without_a_state_file_it_is_said_that_changes_are_not_kept(three):
    g, a, b = three("a", "b", gateway_keys=ADMIN)
    assert "state" in change(g, a, "disable")["warning"]
    r = sluice(g, "pool", "app", "drain", b.address)
    assert r.returncode == 0 and "not kept" in r.stderr


def test_a_state_file_that_cannot_be_written_is_said(three):
    g, a, b = three("a", "b", gateway_keys=(*ADMIN, "state missing/state.json"))
    g.expect_error("state file")
    assert "cannot be written" in change(g, a, "disable")["warning"]
    assert states(g)[a.address] == "disabled"


@pytest.mark.serial
@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "pools": {}}', '{"version": 1}', "\0" * 100,
                                  '{"version": 1, "pools": {}} and more', '{"version": 1, "pools": []}'])
def test_a_state_file_that_makes_no_sense_is_set_aside(three, gateway, text):
    g, a, b = three("a", "b")
    g.stop()
    (g.folder / "state.json").write_text(text)
    config = g.config.read_text().replace("state.json", f"{g.folder}/state.json")
    again = gateway(config)
    again.expect_error("state file")
    again.wait_line("admin: listening")
    again.first_fds = again.fds()
    assert (g.folder / "state.json.bad").read_text() == text and not (g.folder / "state.json").exists()
    change(again, a, "drain")
    assert json.loads((g.folder / "state.json").read_text())["pools"]["app"][a.address] == {"mode": "draining"}


def test_strange_things_in_a_state_file_are_passed_over(three, gateway):
    g, a, b = three("a", "b")
    g.stop()
    (g.folder / "state.json").write_text(json.dumps({"version": 1, "pools": {
        "app": {a.address: {"mode": "draining", "weight": -5, "more": [1]}, "nonsense": {"added": {}}, "x": 7,
                b.address: {"mode": "explode", "weight": 1e9}, "[::1]:1": {"added": 5}, "": {}},
        "gone": {"1.2.3.4:5": {"mode": "disabled"}}, "odd": 3}}))
    again = gateway(g.config.read_text().replace("state.json", f"{g.folder}/state.json"))
    again.wait_line("admin: listening")
    again.first_fds = again.fds()
    assert states(again)[a.address] == "draining" and states(again)[b.address] == "up"
    assert set(shares(again)) == {"b"}


def test_the_state_file_is_whole_at_any_moment(three):
    g, a, b = three("a", "b")
    stop, seen = Event(), []

    def read():
        while not stop.is_set():
            try:
                seen.append((g.folder / "state.json").read_text())
            except FileNotFoundError:
                pass
    t = threading.Thread(target=read)
    t.start()
    try:
        for n in range(100):
            change(g, a, "weight", query=f"?weight={n % 1000 + 1}")
    finally:
        stop.set()
        t.join()
    assert seen and all(json.loads(text)["version"] == 1 for text in seen)
    assert os.listdir(g.folder).count("state.json.new") == 0


def test_the_command_does_all_of_it(three, backend):
    g, a, b, c = three()
    d = backend(then=named("d"))

    def pool(*words, status=0):
        r = sluice(g, "pool", "app", *words)
        assert r.returncode == status, r.stderr
        return r
    assert re.search(rf"^  {re.escape(a.address)} +up ", pool().stdout, re.M)
    assert json.loads(pool("--json").stdout)["name"] == "app"
    pool("drain", a.address, b.address)
    assert states(g) == {a.address: "draining", b.address: "draining", c.address: "up"}
    pool("enable", a.address)
    pool("disable", b.address)
    pool("weight", a.address, c.address, "5")
    pool("add", d.address, "--weight", "2", "--max-conns", "9", "--backup")
    r = sluice(g, "status")
    assert f"differs        app" in r.stdout and f"app {b.address}: disabled" in r.stdout
    assert f"app {a.address}: weight 5" in r.stdout and f"app {d.address}: added" in r.stdout
    pool("remove", d.address)
    pool("add", d.address, "weight=3", "max-conns=7", "backup")
    added = next(b for b in ask(g, "/pools/app")["backends"] if b["address"] == d.address)
    assert (added["weight"], added["connections"]["limit"], added["backup"]) == (3, 7, True)
    pool("remove", d.address)
    for words in (("add", d.address, "wait=3"), ("add", "weight=3", d.address), ("add", d.address, "weight=x"),
                  ("drain", a.address, "weight=3")):
        pool(*words, status=2)
    assert d.address not in states(g) and states(g)[a.address] == "up", "something was done before it was refused"
    assert "no backend" in pool("drain", "127.0.0.1:9", status=1).stderr
    assert "did you mean 'drain'" in pool("drian", a.address, status=2).stderr
    pool("drain", status=2)
    pool("weight", a.address, status=2)
    pool("weight", a.address, "many", status=2)
    assert "processes" in pool("restart", status=1).stderr
    r = sluice(g, "pool", "nobody")
    assert r.returncode == 1 and "no pool 'nobody'" in r.stderr


def test_events_tell_of_changes(three):
    g, a, b = three("a", "b")
    c = AdminClient(g)
    c.send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
    c.reader.head()
    c.reader.until(b"here on\n\n")
    change(g, a, "disable")
    told = c.reader.until(b"\n\n") + c.reader.until(b"\n\n")
    assert b'event: change' in told and b'"disable"' in told and b'"to":"disabled"' in told
    c.close()


@pytest.mark.load
def test_changes_under_load_lose_no_request(three, backend):
    g, a, b, c = three(threads=4, gateway_keys=[*STATE, "access-log off"])
    d = backend(then=named("d"))
    stop, failures, counts = Event(), [], []

    def requests():
        n = 0
        with g.client() as client:
            while not stop.is_set():
                m = client.get()
                n += 1
                if m.status != 200:
                    failures.append((m.status, m.body))
        counts.append(n)
    threads = [threading.Thread(target=requests) for _ in range(6)]
    for t in threads:
        t.start()
    try:
        for _ in range(40):
            for verb in ("drain", "enable", "disable", "enable"):
                change(g, a, verb)
            change(g, d, "add")
            change(g, b, "weight", query="?weight=7")
            change(g, b, "remove")
            change(g, d, "remove")
            change(g, b, "add")
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures and sum(counts) > 100
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == sum(counts), "all to be counted")
    assert ask(g, "/pools/app")["counters"]["2xx"] == sum(counts)


# ---- pools whose backends are processes ----

APP = """import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_processes_are_shown_measured_and_replaced(gateway, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    g = gateway(f"gateway {{\n admin unix:admin.sock\n access-log off\n}}\nlisten 127.0.0.1:0\npool app {{\n"
                f" spawn {sys.executable} {tmp_path}/app.py \"{{port}}\" {{\n  socket port\n  processes 1\n }}\n}}\n"
                "site * {\n proxy app\n}\n")
    g.wait_line("admin: listening")
    first = int(g.get().body)
    p = wait_for(lambda: ask(g, "/pools/app")["processes"], "the process to be shown")[0]
    assert p["pid"] == first and p["slot"] == 0 and p["address"].startswith("127.0.0.1:")
    with AdminClient(g) as c:
        text = c.get("/metrics").body.decode()
    assert re.search(r'^sluice_app_process_requests\{pool="app",slot="0"\} 1$', text, re.M), text
    assert re.search(r'^sluice_pool_requests_total\{pool="app",code="2xx"\} 1$', text, re.M)
    assert f"process {first}" in sluice(g, "pool", "app").stdout
    r = sluice(g, "pool", "app", "restart")
    assert r.returncode == 0 and "replaced" in r.stdout
    wait_for(lambda: int(g.get().body) != first, "another process to answer", 20)
    g.first_fds = g.fds()
