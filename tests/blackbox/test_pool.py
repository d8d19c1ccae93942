"""Pools: who is asked, and who else when that fails."""

import collections
import socket
import threading

import pytest

from harness import serve, wait_for


def named(name):
    return serve(lambda r, c: name.encode())


def shares(g, n):
    return collections.Counter(g.get().body.decode() for _ in range(n))


def test_round_robin_takes_turns(proxy, backend):
    backends = [backend(then=named(n)) for n in "abc"]
    g = proxy(*backends, threads=1)
    assert shares(g, 30) == {"a": 10, "b": 10, "c": 10}


def test_weights_are_shares_and_smooth(gateway, backend):
    """a a b a c a a: the heavy one is not asked five times in a row."""
    a, b, c = (backend(then=named(n)) for n in "abc")
    g = gateway(f"gateway {{\n threads 1\n access-log off\n}}\nlisten 127.0.0.1:0\npool app {{\n"
                f" backend {a.address} weight=5\n backend {b.address} weight=1\n backend {c.address}\n}}\n"
                "site * {\n route * {\n  proxy app\n }\n}\n")
    order = "".join(g.get().body.decode() for _ in range(70))
    assert collections.Counter(order) == {"a": 50, "b": 10, "c": 10}
    assert "aaaaa" not in order


def test_turns_are_shared_by_all_threads(proxy, backend):
    backends = [backend(then=named(n)) for n in "ab"]
    g = proxy(*backends, threads=4)
    assert shares(g, 60) == {"a": 30, "b": 30}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_backend_that_refuses_is_passed_over(proxy, backend, method):
    """Nothing was sent, so any request may go to the next one."""
    dead = backend(listen=False)
    g = proxy(dead, backend(then=named("alive")))
    c = g.client()
    for _ in range(10):
        assert c.ask(method, "/", body=b"x" * 1000 if method == "POST" else b"").body == b"alive"


def test_a_backend_that_does_not_connect_in_time_is_passed_over(proxy, unreachable, backend):
    g = proxy(unreachable, backend(then=named("alive")), pool=["timeout connect=200ms"], threads=1)
    assert [g.get().body for _ in range(3)] == [b"alive"] * 3


def test_when_all_refuse_it_is_a_502(proxy, backend):
    g = proxy(*[backend(listen=False) for _ in range(3)])
    assert g.get().status == 502


def test_the_number_of_attempts_is_limited(proxy, backend):
    seen = []

    def script(c):
        c.request()
        seen.append(1)
    backends = [backend(then=script) for _ in range(5)]
    g = proxy(*backends, pool=["retry attempts=2"])
    g.expect_error("backend|response")
    assert g.get().status == 502
    assert 1 <= len(seen) <= 2


def test_a_host_name_means_all_its_addresses(proxy, backend):
    """localhost is 127.0.0.1 and ::1: both are asked."""
    names = {i[4][0] for i in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)}
    if names != {"127.0.0.1", "::1"}:
        names = {"127.0.0.1"}
    four = backend(then=named("four"))
    if "::1" in names:
        backend(then=named("six"), host="::1", port=four.port)
    g = proxy(f"localhost:{four.port}", threads=1)
    got = set()
    wait_for(lambda: got.add(g.get().body) or len(got) == len(names), "every address to be asked")


def test_a_host_name_whose_second_address_refuses(proxy, backend):
    b = backend(then=named("four"))
    g = proxy(f"localhost:{b.port}")
    assert [g.get().body for _ in range(10)] == [b"four"] * 10


def test_a_name_that_does_not_exist_is_a_502_not_an_end(proxy):
    g = proxy("no-such-name.invalid:80")
    g.expect_error("no-such-name")
    assert g.get().status in (502, 503, 504)
    assert g.running()


def test_a_backend_on_a_unix_socket(proxy, backend, tmp_path):
    b = backend(then=named("unix"), host=f"unix:{tmp_path}/app.sock")
    assert proxy(b).get().body == b"unix"


def test_a_backend_on_ipv6(proxy, backend):
    b = backend(then=named("six"), host="::1")
    assert proxy(b).get().body == b"six"


def test_idle_connections_are_limited(proxy, backend):
    """keep-alive idle=N: more than N are closed when they become idle."""
    barrier = threading.Barrier(4)

    def answer(r, c):
        barrier.wait(10)
        return b"ok"
    b = backend(then=serve(answer))
    g = proxy(b, pool=["keep-alive idle=1"], threads=1)
    clients = [g.client() for _ in range(4)]
    for c in clients:
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert [c.response().status for c in clients] == [200] * 4
    wait_for(lambda: len(b.open) <= 1, "surplus connections to be closed")


def test_idle_connections_time_out(proxy, backend):
    b = backend()
    g = proxy(b, pool=["keep-alive timeout=300ms"])
    assert g.get().status == 200
    wait_for(lambda: not b.open, "the idle connection to be closed")


def test_requests_on_a_backend_connection_are_limited(proxy, backend):
    b = backend()
    c = proxy(b, pool=["keep-alive requests=2"], threads=1).client()
    for _ in range(6):
        assert c.get().status == 200
    assert b.accepted == 3


def test_keep_alive_can_be_switched_off(proxy, backend):
    b = backend()
    c = proxy(b, pool=["keep-alive idle=0"], threads=1).client()
    for _ in range(3):
        assert c.get().status == 200
    assert b.accepted == 3


def test_routes_choose_pools(gateway, backend):
    api, web = backend(then=named("api")), backend(then=named("web"))
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\n"
                f"pool api {{\n backend {api.address}\n}}\npool web {{\n backend {web.address}\n}}\n"
                "site shop.example *.shop.example {\n route /api/* {\n  proxy api\n }\n"
                " route *.json {\n  proxy api\n }\n route ~ ^/v[0-9]+/ {\n  proxy api\n }\n"
                " route /exact method=GET {\n  proxy api\n }\n route /x* header=X-Api {\n  proxy api\n }\n"
                " route * {\n  proxy web\n }\n}\n"
                "site * {\n route /only {\n  proxy api\n }\n}\n")
    c = g.client()

    def who(target, fields="", host="shop.example", method="GET"):
        m = c.ask(method, target, fields, host=host)
        return m.body.decode() if m.status == 200 else m.status
    assert who("/api/x") == "api"
    assert who("/apix") == "web"
    assert who("/a/b.json?x=y") == "api"
    assert who("/v12/z") == "api"
    assert who("/vx/z") == "web"
    assert who("/exact") == "api"
    assert who("/exact", method="DELETE") == "web"
    assert who("/exact/") == "web"
    assert who("/xyz") == "web"
    assert who("/xyz", "X-Api: 1\r\n") == "api"
    assert who("/", host="a.b.shop.example") == "web"
    assert who("/", host="SHOP.example:8080") == "web"
    assert who("/", host="other.example") == 404
    assert who("/only", host="other.example") == "api"


def test_an_encoded_path_is_matched_as_what_it_means(gateway, backend):
    """/%61dmin is /admin, and /public/../admin too: a route cannot be stepped around."""
    api, web = backend(then=named("admin")), backend(then=named("web"))
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\n"
                f"pool admin {{\n backend {api.address}\n}}\npool web {{\n backend {web.address}\n}}\n"
                "site * {\n route /admin/* {\n  proxy admin\n }\n route * {\n  proxy web\n }\n}\n")
    c = g.client()
    for target in ("/admin/x", "/%61dmin/x", "/public/../admin/x", "/./admin/x", "//admin/x",
                   "/public/%2e%2e/admin/x"):
        m = c.get(target)
        assert m.status == 400 or m.body == b"admin", target
