"""Backends by name: all the addresses, and the changes of them."""

import time

import pytest

from harness import serve, wait_for
from harness.dns import NameServer


def named(name):
    return serve(lambda r, c: name.encode())


@pytest.fixture
def names(started):
    servers = []

    def start(table):
        servers.append(NameServer(table))
        return servers[-1]
    yield start
    for s in servers:
        s.stop()


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
    assert time.monotonic() - begin < 5
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
