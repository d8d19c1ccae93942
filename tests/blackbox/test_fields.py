"""What is removed, what is added, what is kept: RFC 9110 7.6, RFC 7239."""

import re

import pytest

from harness import serve

pytestmark = pytest.mark.serial


def seen(shared_proxy, fields="", host="test", version="1.1", **keys):
    """The request as the backend gets it."""
    g = shared_proxy(**keys)
    with g.client() as c:
        assert c.get("/", fields, host=host, version=version).status == 200
    return g.backend.requests[0]


# ---- hop-by-hop ----

@pytest.mark.parametrize("field", ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: gzip",
                                   "Upgrade: h2c", "Connection: keep-alive"])
def test_hop_by_hop_fields_of_a_request_stay_here(shared_proxy, field):
    """RFC 9110 7.6.1"""
    name, value = field.split(": ")
    m = seen(shared_proxy, f"{field}\r\nX-Stays: yes\r\n")
    assert m["x-stays"] == "yes"
    assert value not in m.all(name)


def test_fields_named_by_connection_stay_here(shared_proxy):
    m = seen(shared_proxy, "Connection: X-Private, close , x-other\r\nX-Private: 1\r\nX-Other: 2\r\nX-Mine: 3\r\n")
    assert "x-private" not in m and "x-other" not in m and m["x-mine"] == "3"


@pytest.mark.parametrize("name", ["Host", "Content-Length", "X-Forwarded-For", "X-Forwarded-Proto",
                                  "X-Forwarded-Host", "Forwarded", "Via", "Authorization", "Cookie"])
def test_a_client_may_not_nominate_what_matters(shared_proxy, name):
    """Connection names a field that is not the client's to remove."""
    g = shared_proxy()
    c = g.client()
    extra = "" if name in ("Host", "Content-Length") else f"{name}: a=b\r\n"
    assert c.post("/", "abc", f"Connection: {name}\r\n{extra}").status == 200
    m = g.backend.requests[0]
    assert m["host"] == "test" and m.body == b"abc"
    if name not in ("Authorization", "Cookie"):
        assert name in m, f"{name} was removed"


def test_hop_by_hop_fields_of_a_response_stay_here(shared_proxy):
    def script(c):
        c.request()
        c.respond(fields="Connection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n"
                         "Proxy-Connection: keep-alive\r\nX-Stays: yes\r\n")
    m = shared_proxy(script).get()
    assert m["x-stays"] == "yes" and m.body == b"ok"
    for name in ("x-private", "keep-alive", "proxy-connection"):
        assert name not in m


def test_upgrade_goes_on_only_when_connection_names_it(shared_proxy):
    assert "upgrade" not in seen(shared_proxy, "Upgrade: websocket\r\n")


# ---- forwarding ----

def test_forwarding_fields_are_set(shared_proxy):
    m = seen(shared_proxy, host="shop.example:8080")
    assert m["x-forwarded-for"] == "127.0.0.1"
    assert m["x-forwarded-proto"] == "http"
    assert m["x-forwarded-host"] == "shop.example:8080"
    parts = dict(p.split("=", 1) for p in m["forwarded"].split(";"))
    assert parts["for"] == "127.0.0.1" and parts["proto"] == "http"
    assert parts["host"].strip('"') == "shop.example:8080"


def test_a_strangers_forwarding_fields_do_not_count(shared_proxy):
    m = seen(shared_proxy, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"
                    "Forwarded: for=6.6.6.6;proto=https\r\nX-FORWARDED-FOR: 7.7.7.7\r\n")
    assert m["x-forwarded-for"] == "127.0.0.1"
    assert m["x-forwarded-proto"] == "http"
    assert m["x-forwarded-host"] == "test"
    assert "6.6.6.6" not in m["forwarded"] and "https" not in m["forwarded"]


def test_a_trusted_proxys_forwarding_fields_count(shared_proxy):
    m = seen(shared_proxy, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
                    "X-Forwarded-Host: shop.example\r\nForwarded: for=203.0.113.9;proto=https\r\n",
             gateway=["trusted-proxies 127.0.0.0/8"])
    assert re.fullmatch(r"203\.0\.113\.9, ?127\.0\.0\.1", m["x-forwarded-for"])
    assert m["x-forwarded-proto"] == "https"
    assert m["x-forwarded-host"] == "shop.example"
    assert m["forwarded"].startswith("for=203.0.113.9;proto=https,")
    assert "for=127.0.0.1" in m["forwarded"]


def test_trusted_proxies_are_networks_of_their_own(shared_proxy):
    m = seen(shared_proxy, "X-Forwarded-For: 203.0.113.9\r\n", gateway=["trusted-proxies 10.0.0.0/8"])
    assert m["x-forwarded-for"] == "127.0.0.1"


@pytest.mark.parametrize("trusted", [[], ["trusted-proxies 127.0.0.0/8"]], ids=["stranger", "trusted"])
def test_no_name_passes_for_a_field_of_ours_with_applications_that_know_no_dash(shared_proxy, trusted):
    """gunicorn, puma and uwsgi make HTTP_X_FORWARDED_FOR of both names (RFC 3875 4.1.18)."""
    m = seen(shared_proxy, "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\nx_request_id: 1\r\nContent_Length: 9\r\n"
                    "Transfer_Encoding: chunked\r\nX_Team: red\r\nX_Gone: red\r\nX_Own: stays\r\n",
             gateway=trusted, route=["set-header request X-Team blue", "remove-header request X-Gone"])
    assert m["x-team"] == "blue" and m["x_own"] == "stays"
    assert [n for n, _ in m.fields if "_" in n] == ["x_own"]
    assert m["x-forwarded-for"] == "127.0.0.1" and m["x-forwarded-proto"] == "http"


def test_an_ipv6_client_is_quoted_in_forwarded(shared_proxy):
    """RFC 7239 6"""
    m = seen(shared_proxy, listen="[::1]:0")
    assert m["x-forwarded-for"] == "::1"
    assert 'for="[::1]"' in m["forwarded"]


def test_via_is_added(shared_proxy):
    """RFC 9110 7.6.3"""
    assert re.fullmatch(r"1\.1 \S+", seen(shared_proxy)["via"])


def test_via_is_appended_and_tells_the_version_received(shared_proxy):
    values = ", ".join(seen(shared_proxy, "Via: 1.1 earlier\r\n", version="1.0").all("via"))
    assert re.fullmatch(r"1\.1 earlier, 1\.0 \S+", values)


def test_proxy_field_is_not_passed_on(shared_proxy):
    """An application that makes HTTP_PROXY of it would talk to the attacker's."""
    m = seen(shared_proxy, "Proxy: http://evil.example/\r\n")
    assert "proxy" not in m


# ---- host ----

def test_host_is_kept(shared_proxy):
    assert seen(shared_proxy, host="shop.example:8080")["host"] == "shop.example:8080"


def test_fields_keep_their_order_and_number(shared_proxy):
    m = seen(shared_proxy, "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\nCookie: a=1\r\nCookie: b=2\r\n")
    mine = [(n, v) for n, v in m.fields if n in ("x-a", "x-b", "cookie")]
    assert mine == [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("cookie", "a=1"), ("cookie", "b=2")]


def test_a_response_without_date_or_server_stays_as_it_is_or_gets_a_date(shared_proxy):
    """RFC 9110 6.6.1: a recipient with a clock may add Date, never a second one."""
    def script(c):
        c.request()
        c.respond(fields="Date: Tue, 15 Nov 1994 08:12:31 GMT\r\nServer: mine\r\n")
    m = shared_proxy(script).get()
    assert m["date"] == "Tue, 15 Nov 1994 08:12:31 GMT" and m["server"] == "mine"
