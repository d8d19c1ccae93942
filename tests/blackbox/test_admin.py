"""The admin server and the commands that talk to it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest

from conftest import make_config
from harness import Event, Held, serve, wait_for
from harness.admin import ADMIN, AdminClient, ask, sluice
from harness.gateway import TOP


@pytest.fixture
def managed(gateway, backend):
    """managed(script, ...): a gateway with an admin socket before one pool."""
    def start(*scripts, then=None, more=(), **keys):
        backends = [backend(*scripts, then=then)] if scripts or then else \
            keys.pop("backends", None) or [backend()]
        g = gateway(make_config(*backends, gateway=[*ADMIN, *more], **keys))
        g.backend = backends[0]
        g.wait_line("admin: listening")
        g.first_fds = g.fds()
        return g
    return start


@pytest.fixture
def shared(shared_proxy):
    """The same for tests that ask it for nothing but what there is."""
    return shared_proxy(gateway=ADMIN)


# ---- what is shown ----

def test_status_tells_what_runs(managed):
    g = managed(threads=3)
    g.get()
    wait_for(lambda: ask(g, "/status")["requests"]["in_flight"] == 0, "its end")
    s = ask(g, "/status")
    assert s["pid"] == g.serving_pid() and s["threads"] == 3 and s["generation"] == 1 and s["pools"] == 1
    assert s["requests"]["2xx"] == s["requests"]["total"] == 1 and s["requests"]["in_flight"] == 0
    assert s["clients"]["total"] == 1 and not s["stopping"]


def test_requests_are_counted_once_for_the_pool_and_once_for_the_backend(managed):
    g = managed(then=serve(lambda r, c: b"x" * 100))
    for _ in range(7):
        g.client().post("/", b"y" * 10)
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == 7, "all of them")
    pool = ask(g, "/pools")["pools"][0]
    for it in (pool, *pool["backends"]):
        c = it["counters"]
        assert c["2xx"] == 7 and c["sent_bytes"] == 700 and c["received_bytes"] == 70
        assert c["attempts"] == 7 and c["retries"] == 0
        assert it["latency"]["total_us"]["count"] == 7
        assert sum(n for _, n in it["latency"]["total_us"]["buckets"]) == 7
    assert pool["name"] == "app" and pool["protocol"] == "http"
    assert pool == {**ask(g, "/pools/app"), "backends": pool["backends"]}


def test_latencies_are_about_right(managed):
    def slow(r, c):
        threading.Event().wait(0.2)
        return b"ok"
    g = managed(then=serve(slow))
    g.get()
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == 1, "its end")
    latency = ask(g, "/pools/app")["latency"]
    for name in ("first_byte_us", "total_us"):
        assert 190_000 < latency[name]["sum_us"] < 2_000_000
        assert 0.8 < latency[name]["p50_us"] / latency[name]["sum_us"] < 1.25


@pytest.mark.faults
def test_failures_are_counted_by_kind(gateway, backend):
    dead = backend(listen=False)
    broken = backend(then=lambda c: (c.request(), c.close()))
    g = gateway(make_config(dead, broken, gateway=ADMIN, threads=1, pool=["retry attempts=4"]))
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    with g.client() as c:
        assert c.get().status == 502
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == 1, "its end")
    pool = ask(g, "/pools/app")
    c = pool["counters"]
    assert c["5xx"] == 1 and c["failed_connect"] == 1 and c["failed_broken"] >= 1
    assert c["attempts"] == c["failed_connect"] + c["failed_broken"] and c["retries"] == c["attempts"] - 1
    by_address = {b["address"]: b["counters"] for b in pool["backends"]}
    assert by_address[dead.address]["failed_connect"] == 1
    assert by_address[broken.address]["failed_broken"] == c["failed_broken"]
    assert ask(g, "/status")["requests"]["ended_early_by"]["backend"] == 1


def test_connections_show_what_each_request_waits_for(managed):
    held = Held()
    g = managed(then=held)
    idle, busy = g.client(), g.client()
    idle.send("GET /never HTTP/1.1\r\n")
    busy.send("POST /slow?x=1 HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi")
    assert held.asked.wait(10)
    listed = ask(g, "/connections")["connections"]
    by_state = {c["state"]: c for c in listed}
    assert len(listed) == 2 and set(by_state) == {"idle", "busy"}
    r = by_state["busy"]["request"]
    assert (r["method"], r["target"], r["pool"], r["state"]) == ("POST", "/slow?x=1", "app", "relay")
    assert r["backend"] == g.backend.address and r["received_bytes"] == 2 and len(r["id"]) == 16
    port = busy.socket.getsockname()[1]
    assert by_state["busy"]["client"] == f"127.0.0.1:{port}"
    assert ask(g, "/status")["requests"]["in_flight"] == 1
    assert ask(g, "/pools/app")["connections"]["busy"] == 1
    held.go.set()
    assert busy.response().body == b"finished"
    wait_for(lambda: ask(g, "/pools/app")["connections"]["busy"] == 0, "the slot to be free")
    assert "request" not in ask(g, "/connections")["connections"][0]


def test_connections_are_cut_at_the_limit(managed):
    g = managed(threads=1)
    clients = [g.client() for _ in range(10)]
    for c in clients:
        c.get()
    answer = ask(g, "/connections?limit=3")
    assert len(answer["connections"]) == 3 and answer["left_out"] == 7
    for limit in ("0", "-1", "x", "", "100001", "99999999999999999999"):
        ask(g, f"/connections?limit={limit}", status=400)


def test_targets_that_are_no_text_are_shown_as_they_came_or_refused(managed):
    held = Held()
    g = managed(then=held)
    c = g.client()
    c.send(b"GET /%ff%22%5c HTTP/1.1\r\nHost: t\r\n\r\n")
    assert held.asked.wait(10)
    assert ask(g, "/connections")["connections"][0]["request"]["target"] == "/%ff%22%5c"
    held.go.set()
    assert c.response().status == 200
    assert c.get('/"%ff\\').status == 400


def test_waiting_requests_show_in_the_queue(managed):
    held = Held()
    g = managed(then=held, pool=["max-conns 1"])
    clients = [g.client() for _ in range(4)]
    for c in clients:
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: ask(g, "/pools/app")["queue"]["waiting"] == 3, "three to wait")
    pool = ask(g, "/pools/app")
    assert pool["connections"] == {"open": 1, "busy": 1, "limit": 1}
    states = sorted(c["request"]["state"] for c in ask(g, "/connections")["connections"])
    assert states == ["relay", "wait_slot", "wait_slot", "wait_slot"]
    held.go.set()
    for c in clients:
        assert c.response().status == 200
    wait_for(lambda: ask(g, "/pools/app")["latency"]["queue_us"]["count"] == 4, "the end")
    assert ask(g, "/pools/app")["latency"]["queue_us"]["sum_us"] > 0


def test_the_page_needs_nothing_from_elsewhere(managed):
    g = managed()
    with AdminClient(g) as c:
        m = c.get("/")
    text = m.body.decode()
    assert m.status == 200 and m["content-type"].startswith("text/html")
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert "default-src 'none'" in m["content-security-policy"]


def test_the_page_asks_for_the_token_and_shows_the_pools(gateway, backend, here):
    g = gateway(make_config(b := backend(), gateway=["admin 127.0.0.1:0 token=s3cret"]))
    port = g.wait_line(r"admin: listening on 127\.0\.0\.1:(\d+)")[1]
    g.first_fds = g.fds()
    for _ in range(3):
        g.get()
    r = subprocess.run(["node", f"{here}/apps/page.js", f"http://127.0.0.1:{port}", "s3cret"],
                       capture_output=True, text=True, timeout=30)
    lines = r.stdout.splitlines()
    assert r.returncode == 0 and lines[0] == "a token is needed, and asks for it", r.stdout + r.stderr
    assert "configuration 1" in lines[1] and "app" in lines
    assert re.search(rf"^{re.escape(b.address)} \| up \| 0 \|.*\| 3 \| 0 \| 0$", r.stdout, re.M), r.stdout


def test_every_endpoint_is_listed_and_answers(managed):
    g = managed()
    manual = (TOP / "docs" / "operations.md").read_text()
    listed = ask(g, "/endpoints")["endpoints"]
    assert len(listed) > 15
    for e in listed:
        assert f"`{e['method']} {e['path']}`" in manual, e
        if e["method"] != "GET" or e["path"] == "/events":
            continue
        with AdminClient(g) as c:
            assert c.get(e["path"].replace("*", "app")).status == 200, e


# ---- the protocol ----

@pytest.mark.parametrize("method, target, status", [
    ("GET", "/nothing", 404), ("GET", "/status/", 404), ("GET", "//status", 404), ("GET", "/pools/other", 404),
    ("GET", "/pools/%2e%2e", 404), ("GET", "/pools/%00", 404),
    ("GET", "/reload", 405), ("POST", "/status", 405), ("DELETE", "/pools", 405), ("HEAD", "/stop", 405),
])
def test_what_is_not_there_is_refused(shared, method, target, status):
    with AdminClient(shared) as c:
        m = c.ask(method, target)
        assert m.status == status
        assert c.get("/status").status == 200


def test_head_has_the_length_and_no_body(shared):
    with AdminClient(shared) as c:
        full, m = c.get("/config"), c.ask("HEAD", "/config")
        assert m.status == 200 and m["content-length"] == str(len(full.body)) and m.body == b""
        assert c.get("/status").status == 200


@pytest.mark.parametrize("request_", [
    b"GET /status HTTP/1.1\r\n\r\n",
    b"GET /status HTTP/1.1\nHost: t\n\n",
    b"GET  /status HTTP/1.1\r\nHost: t\r\n\r\n",
    b"POST /reload HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /reload HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"GET /status HTTP/1.1\r\nHost: t\r\nX: " + b"x" * 20000 + b"\r\n\r\n",
    b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
    b"POST /reload HTTP/1.1\r\nHost: t\r\nContent-Length: 70000\r\n\r\n",
    b"POST /reload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /reload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 4,
], ids=range(11))
def test_bad_requests_are_refused_and_close_the_connection(shared, request_):
    with AdminClient(shared) as c:
        c.try_send(request_)
        m = c.response()
        assert 400 <= m.status < 500 and "close" in m.tokens("connection") and "error" in json.loads(m.body)
        c.expect_closed()
    assert ask(shared, "/status")["generation"] == 1


def test_requests_may_follow_each_other_and_come_in_pieces(shared):
    with AdminClient(shared) as c:
        c.send("GET /config HTTP/1.1\r\nHost: t\r\n\r\nGET /status HTTP/1.1\r\nHost: t\r\n\r\n"
               "GET /connections HTTP/1.1\r\nHost: t\r\n\r\nGET /config HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        answers = [json.loads(c.response().body) for _ in range(4)]
        assert "listeners" in answers[0] and "pid" in answers[1] and "connections" in answers[2]
        assert answers[3] == answers[0]
        c.expect_closed()
    with AdminClient(shared) as c:
        for byte in b"GET /status HTTP/1.1\r\nHost: t\r\n\r\n":
            c.send(bytes([byte]))
        assert c.response().status == 200


def test_a_body_is_read_and_100_continue_said(managed):
    g = managed()
    with AdminClient(g) as c:
        c.send("POST /reload HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert c.response(interim=True).status == 100
        c.send("hello")
        assert c.response().status == 200
        assert c.get("/status").status == 200


def test_more_clients_than_it_takes_wait_for_their_turn(managed):
    g = managed()
    clients = [AdminClient(g) for _ in range(300)]
    assert clients[0].get("/status").status == 200
    for c in clients[:100]:
        c.close()
    for c in clients[100:]:
        assert c.get("/status").status == 200
        c.close()


def test_slow_and_vanishing_clients_do_not_disturb(managed):
    g = managed()
    idle = [AdminClient(g) for _ in range(20)]
    for c in idle:
        c.send("GET /metrics HTTP/1.1\r\nHost: t\r\n")
    readers = [AdminClient(g) for _ in range(20)]
    for c in readers:
        c.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n" * 50)       # and nobody reads
    for _ in range(20):
        c = AdminClient(g)
        c.send("GET /connections HTTP/1.1\r\nHost: t\r\n\r\n")
        c.close()                                                     # gone before the answer
    assert ask(g, "/status")["generation"] == 1
    assert g.get().status == 200
    for c in idle + readers:
        c.close()


def test_the_socket_is_its_owners_alone(managed):
    g = managed()
    assert stat.S_IMODE(os.stat(g.folder / "admin.sock").st_mode) == 0o600


def test_tcp_needs_the_token(gateway, backend):
    g = gateway(make_config(backend(), gateway=["admin 127.0.0.1:0 token=s3cret"]))
    port = int(g.wait_line(r"admin: listening on 127\.0\.0\.1:(\d+)")[1])
    g.first_fds = g.fds()
    from harness import Client

    def status(target, value=None):
        with Client(("127.0.0.1", port)) as c:
            return c.get(target, f"Authorization: {value}\r\n" if value else "").status
    assert status("/status", "Bearer s3cret") == status("/status", "bearer s3cret") == 200
    for value in (None, "Bearer ", "Bearer s3cre", "Bearer s3crets", "Bearer S3CRET", "Basic s3cret", "s3cret"):
        assert status("/status", value) == 401, value
        assert status("/metrics", value) == 401
    assert status("/") == 200       # the page holds nothing, and asks for the token
    r = sluice(g, "status", "--admin", f"127.0.0.1:{port}")
    assert r.returncode == 1 and "SLUICE_TOKEN" in r.stderr
    r = sluice(g, "status", "--admin", f"127.0.0.1:{port}", env={"SLUICE_TOKEN": "s3cret"})
    assert r.returncode == 0 and "running" in r.stdout


def test_tcp_without_token_is_refused_by_the_check(gateway, backend, tmp_path):
    g = gateway(make_config(backend()))
    (g.folder / "bad.conf").write_text(make_config(backend(), gateway=["admin 127.0.0.1:9000"]))
    r = sluice(g, "check", "-c", "bad.conf")
    assert r.returncode == 1 and "token" in r.stderr and ":3:11:" in r.stderr


def test_the_check_warns_of_folders_that_are_not_there(gateway, backend):
    g = gateway(make_config(backend()))
    (g.folder / "other.conf").write_text(make_config(
        backend(), gateway=["admin unix:/no/such/folder/admin.sock", "state /no/such/folder/state.json"]))
    r = sluice(g, "check", "-c", "other.conf")
    assert r.returncode == 0 and "2 warnings" in r.stdout
    assert "cannot make the socket" in r.stderr and "cannot write the state file" in r.stderr


# ---- events ----

def events(c):
    """Reads the stream: yields (event, data)."""
    event = None
    while True:
        line = c.reader.until(b"\n").decode().rstrip("\n")
        if line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            yield event, json.loads(line[6:])


def test_events_tell_of_reloads_and_backends_and_the_stop(managed, backend):
    g = managed()
    c = AdminClient(g)
    c.send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
    head = c.reader.head()
    assert head.status == 200 and head["content-type"] == "text/event-stream"
    stream = events(c)
    g.config.write_text(make_config(g.backend, other := backend(), gateway=ADMIN))
    ask(g, "/reload", "POST")
    told = [next(stream), next(stream)]
    assert ("reload", {"generation": 2}) in told
    assert ("backend", {"pool": "app", "backend": other.address, "from": None, "to": "up"}) in told
    g.config.write_text(make_config(g.backend, gateway=ADMIN))
    ask(g, "/reload", "POST")
    told = [next(stream), next(stream)]
    assert ("backend", {"pool": "app", "backend": other.address, "from": "up", "to": None}) in told
    ask(g, "/stop", "POST", 202)
    assert next(stream) == ("stop", {"at_once": False})
    g.wait_exit()
    c.close()


# ---- reload and stop ----

def test_reload_puts_the_file_in_place(managed, backend):
    g = managed()
    other = backend(then=serve(lambda r, c: b"other"))
    g.config.write_text(make_config(other, gateway=ADMIN))
    r = sluice(g, "reload")
    assert r.returncode == 0 and "configuration 2" in r.stdout
    wait_for(lambda: g.get().body == b"other", "the new backend to be asked")


def test_reload_of_a_broken_file_is_refused_with_the_reason(managed):
    g = managed()
    g.config.write_text(make_config(g.backend, gateway=ADMIN).replace("proxy app", "proxy ap"))
    r = sluice(g, "reload")
    assert r.returncode == 1 and "sluice.conf:" in r.stderr and "error: " in r.stderr
    answer = ask(g, "/reload", "POST", 422)
    assert not answer["ok"] and "no pool" in answer["error"] and answer["generation"] == 1
    assert g.get().status == 200 and ask(g, "/status")["generation"] == 1


def test_reload_says_which_address_is_taken(managed):
    g = managed()
    g.expect_error("listen")
    good = g.config.read_text()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        g.config.write_text(f"{good}listen {taken}\n")
        r = sluice(g, "reload")
    assert r.returncode == 1
    line = good.count("\n") + 1
    assert f":{line}:8: error: cannot listen on {taken}: Address already in use\n    listen {taken}\n" in r.stderr
    assert g.get().status == 200


def test_numbers_survive_a_reload(managed):
    g = managed()
    for _ in range(5):
        g.get()
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == 5, "five requests")
    before = ask(g, "/pools/app")
    ask(g, "/reload", "POST")
    after = ask(g, "/pools/app")
    assert after["counters"] == before["counters"] and after["backends"] == before["backends"]


def test_reload_moves_the_admin_server(managed):
    g = managed()
    kept = AdminClient(g)
    assert kept.get("/status").status == 200
    g.config.write_text(make_config(g.backend, gateway=["admin unix:other.sock"]))
    assert sluice(g, "reload", "--admin", "unix:admin.sock").returncode == 0
    assert kept.get("/status").status == 200        # what is connected stays so
    r = sluice(g, "status", "--admin", "unix:admin.sock")
    assert r.returncode == 1 and "no gateway is running" in r.stderr
    assert sluice(g, "status").returncode == 0
    kept.close()
    g.first_fds = g.fds()


def test_stop_finishes_what_is_under_way(managed):
    held = Held()
    g = managed(then=held)
    c = g.client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert held.asked.wait(10)
    r = sluice(g, "stop")
    assert r.returncode == 0 and "in flight" in r.stdout
    assert ask(g, "/status")["stopping"]
    held.go.set()
    assert c.response().body == b"finished"
    assert g.wait_exit() == 0
    r = sluice(g, "stop")
    assert r.returncode == 1 and "no gateway is running" in r.stderr


@pytest.mark.faults
def test_stop_twice_breaks_off(managed):
    held = Held()
    g = managed(then=held)
    c = g.client()
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert held.asked.wait(10)
    assert sluice(g, "stop").returncode == 0
    r = sluice(g, "stop")
    assert r.returncode == 0 and "at once" in r.stdout
    assert g.wait_exit() == 0
    held.go.set()


def test_a_signal_ends_it_with_admin_clients_connected(managed):
    g = managed()
    clients = [AdminClient(g) for _ in range(5)]
    clients[0].send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
    clients[1].send("GET /connections HTTP/1.1\r\nHost: t\r\n\r\n")
    clients[2].send("GET /status HTTP/1.1\r\n")
    clients[0].reader.head()
    g.signal(signal.SIGTERM)
    assert g.wait_exit() == 0
    for c in clients:
        c.close()


@pytest.mark.load
def test_looking_at_it_does_not_disturb_requests(managed):
    """Everything is looked at, and reloaded, while requests go on: none fails, all are counted."""
    g = managed(threads=4)
    stop, failures = Event(), []

    def request():
        assert g.get().status == 200

    def look():
        for target in ("/metrics", "/connections", "/pools", "/status"):
            with AdminClient(g) as c:
                assert c.get(target).status == 200

    def reload():
        ask(g, "/reload", "POST")
        stop.wait(0.01)
    acts = [request] * 4 + [look] * 2 + [reload]
    counts = [0] * len(acts)

    def until_stop(i):
        try:
            while not stop.is_set():
                acts[i]()
                counts[i] += 1
        except Exception as e:      # shown below
            failures.append(repr(e))
    threads = [threading.Thread(target=until_stop, args=(i,)) for i in range(len(acts))]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: failures or (sum(counts[:4]) > 400 and min(counts) > 10), "many of each", 30)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures
    requests = sum(counts[:4])
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == requests, "every request to be counted")
    counters = ask(g, "/pools/app")["counters"]
    assert counters["2xx"] == requests == sum(b["counters"]["2xx"] for b in ask(g, "/pools/app")["backends"])


# ---- commands ----

def test_status_and_pools_for_people_and_for_programs(managed):
    g = managed()
    g.get()
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == 1, "its end")
    r = sluice(g, "status")
    assert r.returncode == 0 and str(g.serving_pid()) in r.stdout and "2xx 1" in r.stdout
    r = sluice(g, "status", "--json")
    assert json.loads(r.stdout)["pid"] == g.serving_pid()
    r = sluice(g, "pools")
    assert r.returncode == 0 and re.search(rf"^  {re.escape(g.backend.address)} +up ", r.stdout, re.M)
    assert json.loads(sluice(g, "pools", "--json").stdout)["pools"][0]["name"] == "app"


@pytest.mark.parametrize("name", ["status", "pools", "reload", "stop"])
def test_commands_say_when_nothing_runs(gateway, backend, name):
    g = gateway(make_config(backend(), gateway=ADMIN))
    g.stop()
    r = sluice(g, name)
    assert r.returncode == 1 and r.stderr == f"sluice {name}: no gateway is running at unix:admin.sock\n"
    assert r.stdout == ""


def test_commands_say_how_to_configure_the_address(gateway, backend):
    g = gateway(make_config(backend()))
    r = sluice(g, "status")
    assert r.returncode == 1 and "admin unix:" in r.stderr
    r = sluice(g, "status", "--admin", "nonsense::")
    assert r.returncode == 1 and "nonsense::" in r.stderr
    r = sluice(g, "top")
    assert r.returncode == 2 and "terminal" in r.stderr


def test_a_peer_that_is_no_gateway_is_said_to_be_none(gateway, backend, managed):
    g = managed(then=serve(lambda r, c: b"hello"))
    host, port = g.backend.address.split(":")
    r = sluice(g, "status", "--admin", f"{host}:{port}")
    assert r.returncode == 1 and "no JSON" in r.stderr
