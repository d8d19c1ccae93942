"""Balancers from outside: who is asked, by what is in the request. Their arithmetic is tested in
tests/unit/pool."""

import collections
import re

import pytest

from harness import Event, serve, wait_for


def named(name):
    return serve(lambda r, c: name.encode())


@pytest.fixture
def trio(backend):
    return [backend(then=named(n)) for n in "abc"]


def who(g, n=12, target="/", fields="", **more):
    return collections.Counter(g.get(target, fields, **more).body.decode() for _ in range(n))


@pytest.mark.parametrize("balance", ["round-robin", "least-conn", "random-two", "ewma"])
def test_every_balancer_asks_everybody(proxy, trio, balance):
    g = proxy(*trio, threads=2, pool=[f"balance {balance}"])
    counts = who(g, 150)
    assert set(counts) == {"a", "b", "c"}
    if balance != "ewma":       # which measures, and the machine is not the same for all
        assert min(counts.values()) > 20


def test_least_conn_avoids_the_busy(proxy, backend):
    gate = Event()
    busy = backend(then=serve(lambda r, c: gate.wait(20) and b"busy"))
    free = backend(then=named("free"))
    g = proxy(busy, free, threads=1, pool=["balance least-conn"])
    held = [g.client() for _ in range(2)]
    for c in held:              # one of the two goes to each backend
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: busy.requests, "one to be busy")
    assert who(g, 10) == {"free": 10}
    gate.set()
    assert {c.response().body for c in held} == {b"busy", b"free"}


def test_first_packs(proxy, backend):
    gate = Event()
    a = backend(then=serve(lambda r, c: gate.wait(20) and b"a" if r.target == "/wait" else b"a"))
    b = backend(then=named("b"))
    g = proxy(f"{a.address} max-conns=1", b, threads=1, pool=["balance first"])
    assert who(g) == {"a": 12}
    c = g.client()
    c.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: len(a.requests) > 12, "the first to be busy")
    assert who(g) == {"b": 12}
    gate.set()
    assert c.response().body == b"a"


@pytest.mark.parametrize("key, ask", [
    ("path", lambda k: dict(target=f"/{k}?x")),
    ("uri", lambda k: dict(target=f"/same?{k}")),
    ("host", lambda k: dict(host=f"{k}.example")),
    ("header:X-Key", lambda k: dict(fields=f"X-Key: {k}\r\n")),
    ("cookie:sid", lambda k: dict(fields=f"Cookie: a=b; sid={k}; c=d\r\n")),
])
def test_the_same_key_goes_to_the_same_backend(proxy, trio, key, ask):
    g = proxy(*trio, threads=2, pool=[f"balance hash={key}"])
    owners = {}
    for k in range(30):
        owners[k] = who(g, 3, **ask(k))
        assert len(owners[k]) == 1, k
    assert len({next(iter(o)) for o in owners.values()}) == 3


def test_a_key_hashes_alike_in_every_gateway(gateway, trio):
    """Gateways side by side send a key to the same backend, whatever the order of their lines."""
    def make(lines):
        return gateway("gateway {\n access-log off\n}\nlisten 127.0.0.1:0\npool app {\n balance hash=path\n"
                       + "".join(f" backend {b.address}\n" for b in lines) + "}\nsite * {\n proxy app\n}\n")
    one, two = make(trio), make(trio[::-1])
    for k in range(20):
        assert one.get(f"/{k}").body == two.get(f"/{k}").body


def test_client_hash(proxy, trio):
    g = proxy(*trio, pool=["balance hash=client"])
    seen = set()
    for last in range(1, 20):
        with g.client(source=f"127.0.0.{last}") as c:
            names = {c.get().body for _ in range(3)}
        assert len(names) == 1
        seen |= names
    assert len(seen) == 3


# ---- sticky ----

def cookie_of(m):
    found = re.match(r"srv=([0-9a-f]+); Path=/; HttpOnly; SameSite=Lax$", m["set-cookie"])
    assert found, m["set-cookie"]
    return found[1]


def test_a_cookie_of_ours_brings_a_client_back(proxy, trio):
    g = proxy(*trio, threads=2, pool=["balance sticky=srv"])
    for _ in range(3):
        m = g.get()
        cookie = cookie_of(m)
        assert who(g, 9, fields=f"Cookie: srv={cookie}\r\n") == {m.body.decode(): 9}


def test_it_has_the_flags_that_cookies_are_to_have(proxy, trio):
    """SameSite=None is what a browser wants of a page that other sites show in a frame."""
    g = proxy(*trio, pool=["balance sticky=srv"], route=["cookie-flags secure samesite=none"])
    assert re.fullmatch("srv=[0-9a-f]+; Path=/; HttpOnly; Secure; SameSite=None", g.get()["set-cookie"])
    g = proxy(*trio, pool=["balance sticky=srv"], route=["cookie-flags secure httponly"])
    assert re.fullmatch("srv=[0-9a-f]+; Path=/; HttpOnly; Secure; SameSite=Lax", g.get()["set-cookie"])


def test_it_is_set_once(proxy, trio):
    g = proxy(*trio, pool=["balance sticky=srv"])
    cookie = cookie_of(g.get())
    assert "set-cookie" not in g.get(fields=f"Cookie: x=y; srv={cookie}\r\n")
    assert "set-cookie" in g.get(fields="Cookie: srv=nonsense\r\n")
    assert "set-cookie" in g.get(fields="Cookie: srv=0123456789abcdef\r\n")


def test_it_says_nothing_of_the_backend_and_depends_on_the_secret(gateway, trio):
    def cookies(secret):
        g = gateway("gateway {\n access-log off\n}\nlisten 127.0.0.1:0\npool app {\n"
                    f" balance sticky=srv {secret}\n" + "".join(f" backend {b.address}\n" for b in trio) +
                    "}\nsite * {\n proxy app\n}\n")
        return {cookie_of(g.get()) for _ in range(9)}
    one, two, again = cookies("secret=one"), cookies("secret=two"), cookies("secret=one")
    assert one == again and not one & two and len(one) == 3


@pytest.mark.faults
def test_a_client_whose_backend_is_down_gets_another_and_another_cookie(proxy, trio):
    g = proxy(*trio, threads=1, pool=["balance sticky=srv", "fail count=1 backoff=1m"])
    m = g.get()
    cookie, name = cookie_of(m), m.body.decode()
    trio["abc".index(name)].stop()
    m = g.get(fields=f"Cookie: srv={cookie}\r\n")
    assert m.status == 200 and m.body.decode() != name
    assert cookie_of(m) != cookie


def test_sticky_goes_with_any_balancer(proxy, trio):
    g = proxy(*trio, pool=["balance least-conn sticky=srv"])
    m = g.get()
    assert who(g, 6, fields=f"Cookie: srv={cookie_of(m)}\r\n") == {m.body.decode(): 6}


def test_who_sticks_waits_for_its_backend(proxy, backend):
    """It does not go elsewhere because its backend is busy."""
    gate = Event()
    a = backend(then=serve(lambda r, c: gate.wait(20) and b"a" if r.target == "/wait" else b"a"))
    b = backend(then=named("b"))
    g = proxy(f"{a.address} max-conns=1", f"{b.address} max-conns=1", threads=1, pool=["balance sticky=srv"])
    m = next(m for m in iter(g.get, None) if m.body == b"a")
    held = g.client()
    held.send(f"GET /wait HTTP/1.1\r\nHost: t\r\nCookie: srv={cookie_of(m)}\r\n\r\n")
    wait_for(lambda: a.requests[-1].target == "/wait", "it to be busy")
    c = g.client()
    c.send(f"GET /mine HTTP/1.1\r\nHost: t\r\nCookie: srv={cookie_of(m)}\r\n\r\n")
    assert who(g, 4) == {"b": 4}        # others are served meanwhile
    gate.set()
    assert held.response().body == b"a" and c.response().body == b"a"


# ---- backups ----

@pytest.mark.faults
def test_a_backup_is_asked_when_all_others_are_down(proxy, backend):
    a, b = backend(then=named("a")), backend(then=named("backup"))
    g = proxy(a, f"{b.address} backup", threads=1, pool=["fail count=1 backoff=100ms"])
    assert who(g) == {"a": 12}
    port = a.port
    a.stop()
    assert who(g) == {"backup": 12}
    backend(then=named("a again"), port=port)
    wait_for(lambda: who(g, 3) == {"a again": 3}, "it to be asked again")


@pytest.mark.faults
def test_a_request_that_fails_everywhere_gets_to_the_backup(proxy, backend):
    """Although nobody is known to be down yet."""
    dead = [backend(listen=False) for _ in range(2)]
    b = backend(then=named("backup"))
    g = proxy(*dead, f"{b.address} backup", threads=1)
    assert g.get().body == b"backup"
