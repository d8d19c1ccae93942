"""Backends by name: all the addresses, and the changes of them."""

import collections
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import Client, Event, serve, stretched, wait_for
from harness.admin import ADMIN, AdminClient, ask
from harness.dns import A, AAAA, NameServer
from harness.h2_peer import serve_h2


def named(name):
    return serve(lambda r, c: name.encode())


@pytest.fixture
def names(started):
    def start(table):
        started.name_servers.append(NameServer(table))
        return started.name_servers[-1]
    return start


@pytest.fixture
def trio(backend):
    """Three backends on one port: 127.0.0.1, 127.0.0.2 and 127.0.0.3. The port."""
    one = backend(then=named("1"))
    backend(then=named("2"), host="127.0.0.2", port=one.port)
    backend(then=named("3"), host="127.0.0.3", port=one.port)
    return one.port


def seen(g, n=12):
    return {g.get().body.decode() for _ in range(n)}


def test_every_address_of_a_name_is_a_backend(proxy, names, trio):
    dns = names({"app.test": (["127.0.0.1", "127.0.0.2", "127.0.0.3"], 60)})
    g = proxy(f"app.test:{trio}", threads=1, gateway=[f"resolver {dns.address}"])
    got = [g.get().body for _ in range(30)]
    assert {b: got.count(b) for b in got} == {b"1": 10, b"2": 10, b"3": 10}


def test_a_name_is_asked_again_when_it_expires(proxy, names, trio):
    dns = names({"app.test": (["127.0.0.1"], 1)})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dns.address}"])
    assert seen(g) == {"1"}
    dns.names["app.test"] = (["127.0.0.2", "127.0.0.3"], 1)
    wait_for(lambda: seen(g) == {"2", "3"}, "the new addresses to be used", 15)


def test_a_name_that_fails_later_keeps_its_addresses(proxy, names, trio):
    """What was known stays better than nothing."""
    dns = names({"app.test": (["127.0.0.1"], 1)})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dns.address}"])
    g.expect_error("app.test")
    assert seen(g) == {"1"}
    dns.names.clear()
    asked = len(dns.asked)
    wait_for(lambda: len(dns.asked) > asked + 1, "the name to be asked again", 15)
    assert seen(g) == {"1"}


def test_a_family_that_cannot_be_asked_for_keeps_its_addresses(proxy, names, trio, backend):
    """The other one is followed meanwhile; and what is known to be gone goes."""
    backend(then=named("six"), host="::1", port=trio)
    dns = names({"app.test": (["127.0.0.1", "::1"], 1)})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dns.address}"])
    assert seen(g) == {"1", "six"}
    dns.failing.add(AAAA)
    dns.names["app.test"] = (["127.0.0.2"], 1)
    wait_for(lambda: seen(g) == {"2", "six"}, "the new address to be used", 15)
    asked = len(dns.asked)
    wait_for(lambda: len(dns.asked) > asked + 4, "the name to be asked again", 15)
    assert seen(g) == {"2", "six"}
    dns.failing.clear()
    wait_for(lambda: seen(g) == {"2"}, "the address that is gone to go", 15)


def test_what_the_operator_wants_of_an_address_outlives_its_name(proxy, names, trio):
    """A drain and a weight are there again in the moment that the address is."""
    dns = names({"app.test": (["127.0.0.1", "127.0.0.2", "127.0.0.3"], 1)})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dns.address}", *ADMIN])
    assert seen(g) == {"1", "2", "3"}
    with AdminClient(g) as c:
        c.json(f"/pools/app/backends/127.0.0.2:{trio}/drain", "POST")
        c.json(f"/pools/app/backends/127.0.0.3:{trio}/weight?weight=9", "POST")
    dns.names["app.test"] = (["127.0.0.1"], 1)
    wait_for(lambda: seen(g) == {"1"}, "the others to leave", 15)
    dns.names["app.test"] = (["127.0.0.1", "127.0.0.2", "127.0.0.3"], 1)
    backends = wait_for(lambda: len(found := ask(g, "/pools/app")["backends"]) == 3 and found, "them to return", 15)
    assert [(b["state"], b["weight"]) for b in backends] == [("up", 1), ("draining", 1), ("up", 9)]
    assert seen(g, 20) == {"1", "3"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("other", ["::1", "127.0.0.2"])
def test_an_address_that_does_not_connect_is_raced_by_another(proxy, names, unreachable, backend, method, other):
    """RFC 8305. Without the race each request would wait for longer than its client does."""
    good = backend(then=named("other"), host=other, port=unreachable.port)
    dns = names({"app.test": (["127.0.0.1", other], 60)})
    g = proxy(f"app.test:{unreachable.port}", threads=1, gateway=[f"resolver {dns.address}", *ADMIN],
              pool=["timeout connect=600s race=20ms", "fail count=3 backoff=600s", "keep-alive idle=off"])
    g.expect_error("")
    body = b"hello" if method == "POST" else b""
    for _ in range(12):
        with g.client() as c:
            c.send(f"{method} / HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            assert c.response().body == b"other"
    assert len(good.requests) == 12
    states = {b["address"]: b["state"] for b in ask(g, "/pools/app")["backends"]}
    assert sorted(states.values()) == ["down", "up"]        # outrun three times: left alone
    assert all(r["attempts"] == 1 for r in g.access(12))
    counters = ask(g, "/pools/app")["counters"]
    assert (counters["retries"], counters["hedges"]) == (0, 0)


def test_a_race_begins_only_where_one_was_to_begin(proxy, names, unreachable, backend):
    """A time that was set for the pool before, whose answer sends the request here, where connections are shared."""
    dns = names({"app.test": (["127.0.0.1", "127.0.0.2"], 60)})
    g = proxy(then=serve(lambda r, c: c.respond("", fields="X-Accel-Redirect: /far\r\n")), threads=1,
              gateway=[f"resolver {dns.address}"], pool=["hedge after=100ms", "hand-over accel"],
              site=f"""pool far {{
                  protocol h2c
                  backend app.test:{unreachable.port}
                  timeout connect=500ms
              }}
              site * {{
                  route /far {{ internal; proxy far }}
                  route *    {{ proxy app }}
              }}""")
    g.expect_error("")
    backend(then=serve_h2(), host="127.0.0.2", port=unreachable.port)
    for _ in range(2):
        assert g.get().body == b"ok"
    assert g.wait_line("could not connect in time")


def test_a_race_that_both_lose_is_a_504(proxy, names, unreachable):
    dns = names({"app.test": (["127.0.0.1", "127.0.0.2"], 60)})
    g = proxy(f"app.test:{unreachable.port}", threads=1, gateway=[f"resolver {dns.address}"],
              pool=["timeout connect=300ms race=20ms"])
    g.expect_error("")
    assert g.get().status in (502, 504)


def test_a_name_is_not_asked_for_each_request(proxy, names, trio):
    dns = names({"app.test": (["127.0.0.1"], 600)})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dns.address}"], threads=2)
    for _ in range(100):
        g.get()
    assert len(dns.asked) <= 8


@pytest.mark.faults
def test_a_dead_name_server_does_not_hold_up_the_others(gateway, names, trio, backend):
    dns = names({})
    dns.silent = True
    g = gateway(f"gateway {{\n access-log off\n resolver {dns.address} timeout=2s\n}}\nlisten 127.0.0.1:0\n"
                f"pool good {{\n backend 127.0.0.1:{trio}\n}}\npool lost {{\n backend app.test:{trio}\n}}\n"
                "site * {\n route /lost {\n  proxy lost\n }\n route * {\n  proxy good\n }\n}\n")
    g.expect_error("app.test")
    begin = time.monotonic()
    assert g.get().body == b"1"
    assert time.monotonic() - begin < stretched(5)
    assert g.get("/lost").status in (502, 503, 504)
    assert g.get().body == b"1"


@pytest.mark.faults
def test_an_address_that_refuses_is_passed_over(proxy, names, trio):
    dns = names({"app.test": (["127.0.0.9", "127.0.0.2"], 60)})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dns.address}"])
    assert seen(g, 20) == {"2"}


def test_a_name_that_comes_to_life(proxy, names, trio):
    dns = names({})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dns.address}"])
    g.expect_error("app.test")
    assert g.get().status in (502, 503, 504)
    dns.names["app.test"] = (["127.0.0.3"], 60)
    wait_for(lambda: g.get().status == 200, "the name to be found", 35)


# ---- a real name server ----

def free_port():
    """For UDP and TCP, and below those that the kernel gives away: it is to be free again later."""
    for _ in range(100):
        port = random.randrange(15000, 32000)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, socket.socket() as t:
                u.bind(("127.0.0.1", port))
                t.bind(("127.0.0.1", port))
            return port
        except OSError:
            pass
    raise AssertionError("no port is free")


class Dnsmasq:
    """Its hosts change with SIGHUP, everything else by starting it again at the same port."""

    def __init__(self, folder):
        self.hosts, self.process = folder / "hosts", None
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = open(folder / "dnsmasq.log", "wb")

    def start(self, hosts, *more):
        self.write(hosts)
        self.process = subprocess.Popen(
            ["dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", f"--port={self.port}",
             "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts", "--pid-file=",
             f"--addn-hosts={self.hosts}", "--local-ttl=1", "--local=/test/", "--user=root",
             "--log-facility=-", *more], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for(self.answers, "dnsmasq to answer")

    def answers(self):
        """A question for nothing in particular."""
        query = b"\0\1\1\0\0\1\0\0\0\0\0\0\4none\4test\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            try:
                s.connect(("127.0.0.1", self.port))
                s.send(query)
                return s.recv(512)
            except OSError:
                assert self.process.poll() is None, "dnsmasq did not start"
                return None

    def write(self, hosts):
        self.hosts.write_text("".join(f"{a} {name}\n" for name, list in hosts.items() for a in list))

    def change(self, hosts):
        self.write(hosts)
        os.kill(self.process.pid, signal.SIGHUP)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def dnsmasq(tmp_path):
    """Named before proxy, so that it outlives the gateway: questions without an answer keep a socket."""
    d = Dnsmasq(tmp_path)
    yield d
    d.stop()
    d.log.close()


class Load:
    """Clients that ask all the time; when, and by whom they were answered."""

    def __init__(self, g, clients=4):
        self.g, self.seen, self.bad, self.end = g, [], [], Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def run(self):
        with Client(self.g.address) as c:
            while not self.end.wait(0.002):
                begin = time.monotonic()
                m = c.get()
                self.seen.append((begin, m.body.decode()))
                if m.status != 200:
                    self.bad.append(m)

    def since(self, moment):
        return collections.Counter(name for t, name in self.seen if t >= moment)

    def stop(self):
        self.end.set()
        for t in self.threads:
            t.join()
        assert not self.bad, self.bad[:3]


def test_a_change_under_load_is_followed_without_an_error(dnsmasq, proxy, trio, started):
    """New addresses are used within the TTL and a second; old ones end in peace."""
    dnsmasq.start({"app.test": ["127.0.0.1"]})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dnsmasq.address}"], threads=2)
    load = Load(g)
    try:
        wait_for(lambda: load.since(0)["1"] > 50, "some load")
        for old, new in (("1", "2"), ("2", "3"), ("3", "1")):
            changed = time.monotonic()
            dnsmasq.change({"app.test": [f"127.0.0.{new}"]})
            wait_for(lambda: load.since(changed)[new], "the new address to be used", 5)
            assert time.monotonic() - changed < stretched(2.5)     # TTL 1, and 1, and what dnsmasq takes to read
            moment = time.monotonic() + 0.3
            wait_for(lambda: load.since(moment)[new] > 30, "more load")
            assert set(load.since(moment)) == {new}
            backend = started.backends[int(old) - 1]
            wait_for(lambda: not backend.open, "connections to the old address to be closed")
    finally:
        load.stop()


@pytest.mark.faults
def test_a_name_that_is_not_there_is_said_once_and_asked_for_ever_less_often(proxy, names, trio):
    """Until it is there."""
    dns = names({})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dns.address}"])
    wait_for(lambda: dns.asked.count(("app.test", A)) >= 4, "it to be asked for again")
    assert g.get().status == 503
    lines = [line for line in g.lines if "cannot resolve" in line]
    assert len(lines) == 1
    assert lines[0].endswith("pool app: cannot resolve app.test: no such name; it gives the pool no backend, "
                             "and asking goes on")
    dns.names["app.test"] = (["127.0.0.1"], 60)
    g.wait_line("pool app: app.test can be resolved again", 20)
    wait_for(lambda: g.get().status == 200, "the backend to be used")


@pytest.mark.faults
def test_a_name_server_that_dies_changes_nothing(dnsmasq, proxy, trio):
    dnsmasq.start({"app.test": ["127.0.0.1", "127.0.0.2"]})
    g = proxy(f"app.test:{trio}", gateway=[f"resolver {dnsmasq.address} timeout=300ms"], threads=2)
    load = Load(g)
    try:
        wait_for(lambda: set(load.since(0)) == {"1", "2"}, "some load")
        dnsmasq.stop()
        g.wait_line("cannot resolve app.test")
        moment = time.monotonic()
        wait_for(lambda: sum(load.since(moment).values()) > 200, "more load")
        assert set(load.since(moment)) == {"1", "2"}
        dnsmasq.start({"app.test": ["127.0.0.3"]})
        wait_for(lambda: "3" in load.since(moment), "it to be asked again", 15)
    finally:
        load.stop()


@pytest.fixture
def services(backend):
    """Three backends at different ports."""
    return [backend(then=named(n)) for n in "abc"]


def srv(backend, priority, weight, name="_http._tcp.app.test", host="host.test"):
    return f"--srv-host={name},{host},{backend.port},{priority},{weight}"


def test_srv_records_say_ports_and_weights(dnsmasq, proxy, services):
    a, b, c = services
    dnsmasq.start({"host.test": ["127.0.0.1"]}, srv(a, 1, 10), srv(b, 1, 30), srv(c, 1, 60))
    g = proxy("srv=_http._tcp.app.test", gateway=[f"resolver {dnsmasq.address}"], threads=1)
    got = [g.get().body for _ in range(100)]
    assert {n: got.count(n) for n in (b"a", b"b", b"c")} == {b"a": 10, b"b": 30, b"c": 60}


@pytest.mark.faults
def test_srv_priorities_are_tiers(dnsmasq, proxy, services):
    a, b, c = services
    dnsmasq.start({"host.test": ["127.0.0.1"]}, srv(a, 1, 1), srv(b, 2, 1), srv(c, 3, 1))
    g = proxy("srv=_http._tcp.app.test", gateway=[f"resolver {dnsmasq.address}"], threads=1,
              pool=["fail count=1 backoff=1m"])
    assert seen(g) == {"a"}
    a.stop()
    assert seen(g) == {"b"}
    b.stop()
    assert seen(g) == {"c"}


def test_srv_records_change(dnsmasq, proxy, services):
    a, b, c = services
    dnsmasq.start({"host.test": ["127.0.0.1"]}, srv(a, 1, 1))
    g = proxy("srv=_http._tcp.app.test", gateway=[f"resolver {dnsmasq.address}"], threads=2)
    g.expect_error("_http._tcp.app.test")
    load = Load(g)
    try:
        wait_for(lambda: load.since(0)["a"] > 20, "some load")
        dnsmasq.stop()
        dnsmasq.start({"host.test": ["127.0.0.1"]}, srv(b, 1, 3), srv(c, 1, 1))
        wait_for(lambda: set(load.since(time.monotonic() - 0.2)) == {"b", "c"}, "the new services", 15)
        moment = time.monotonic()
        wait_for(lambda: sum(load.since(moment).values()) > 200, "more load")
        shares = load.since(moment)
        assert 2.5 < shares["b"] / shares["c"] < 3.5
    finally:
        load.stop()


def test_a_service_that_is_not_there_is_a_503_not_an_end(dnsmasq, proxy):
    dnsmasq.start({})
    g = proxy("srv=_http._tcp.app.test", gateway=[f"resolver {dnsmasq.address}"])
    g.expect_error("_http._tcp.app.test")
    assert g.get().status == 503


def test_a_reload_that_fails_late_leaves_no_listener_open(proxy):
    """The addresses to listen on are opened before the resolver turns out to be none."""
    g = proxy()
    g.expect_error("reload|resolver")
    before = g.fds()
    good = g.config.read_text()
    g.config.write_text(good.replace("gateway {", "gateway {\n    resolver nonsense").replace(
        "listen 127.0.0.1:0\n", "listen 127.0.0.1:0\nlisten 127.0.0.2:0\n"))
    os.kill(g.pid, signal.SIGHUP)
    g.wait_line("reload failed")
    wait_for(lambda: set(g.fds().values()) <= set(before.values()), "what was opened to be closed")
    g.config.write_text(good)
    os.kill(g.pid, signal.SIGHUP)
    g.wait_line("configuration 2 is in place|configuration 3 is in place")
    assert g.get("/").status == 200
