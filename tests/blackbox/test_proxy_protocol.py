"""The PROXY protocol: taken from proxies that are trusted, and sent to backends."""

import json
import socket
import ssl
import struct

import pytest

from conftest import make_config
from harness import H2Client, serve, wait_for
from harness.admin import AdminClient
from harness.certs import Authority
from harness.h2 import PREFACE, settings
from harness.h2_peer import serve_h2

pytestmark = pytest.mark.serial
LISTEN = "127.0.0.1:0 proxy-protocol=on from=127.0.0.1/32"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(client="192.0.2.7", server="198.51.100.1", ports=(40000, 443), command=1, values=b""):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    body = socket.inet_pton(family, client) + socket.inet_pton(family, server) + struct.pack(">HH", *ports) + values
    return SIGNATURE + bytes([0x20 | command, 0x21 if ":" in client else 0x11]) + struct.pack(">H", len(body)) + body


LOCAL = SIGNATURE + b"\x20\0\0\0"


def seen(request, c):
    return json.dumps(dict(request.fields)).lower().encode()


def forwarded_for(body):
    return json.loads(body)["x-forwarded-for"]


@pytest.mark.parametrize("head, client", [
    (V1, "192.0.2.7"), (v2(), "192.0.2.7"), (v2("2001:db8::7", "2001:db8::1"), "2001:db8::7"),
    (v2(values=b"\x04\0\x03abc"), "192.0.2.7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"), (LOCAL, "127.0.0.1")])
def test_the_client_is_whom_the_proxy_names(proxy, head, client):
    g = proxy(then=serve(seen), listen=LISTEN)
    with g.client() as c:
        c.send(head)
        assert forwarded_for(c.get("/").body) == client
        assert forwarded_for(c.get("/again").body) == client
    assert [r["client"] for r in g.access(2)] == [client] * 2


def test_a_head_may_come_in_pieces_and_with_the_request_behind_it(proxy):
    g = proxy(then=serve(seen), listen=LISTEN)
    request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
    for head in (V1, v2()):
        with g.client() as c:
            for i in range(len(head)):
                c.send(head[i:i + 1])
            c.send(request)
            assert forwarded_for(c.response().body) == "192.0.2.7"
        with g.client() as c:
            c.send(head + request)
            assert forwarded_for(c.response().body) == "192.0.2.7"


def test_http2_and_tls_follow_the_head(gateway, backend, tmp_path):
    authority = Authority(tmp_path)
    pair = authority.issue("test")
    b = backend(then=serve(seen))
    listen = LISTEN + f" tls {{\n    certificate {pair.pem} key={pair.key}\n}}"
    g = gateway(make_config(b, listen=listen))
    with g.client() as c:
        c.send(v2())
        context = ssl.create_default_context(cafile=authority.pem)
        c.socket = context.wrap_socket(c.socket, server_hostname="test")
        assert forwarded_for(c.get("/").body) == "192.0.2.7"


def test_http2_by_prior_knowledge_follows_the_head(proxy):
    g = proxy(then=serve(seen), listen=LISTEN)
    with H2Client(g.address, start=False) as c:
        c.send(V1 + PREFACE + settings())
        assert forwarded_for(c.get("/").body) == "192.0.2.7"


@pytest.mark.parametrize("bad", [
    b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", b"PROXY " + b"x" * 200,
    SIGNATURE + b"\x31\x11\0\x0c" + bytes(12), SIGNATURE + b"\x21\x11\xff\xff"])
def test_who_sends_no_head_is_closed(proxy, bad):
    g = proxy(then=serve(seen), listen=LISTEN, gateway=["admin unix:admin.sock"])
    with g.client() as c:
        c.send(bad)
        c.expect_closed()
    g.wait_line("not taken for a proxy .proxy-protocol.: ")
    with AdminClient(g) as c:
        assert b"sluice_proxy_refused_total 1\n" in c.get("/metrics").body
    assert not g.backend.requests


def test_who_is_not_to_be_believed_is_closed(proxy):
    g = proxy(then=serve(seen), listen="127.0.0.1:0 proxy-protocol=on from=192.0.2.0/24,2001:db8::/32")
    with g.client() as c:
        c.try_send(V1)
        c.expect_closed()
    g.wait_line("its address is not among those to be believed")


def test_a_head_that_does_not_come_is_not_waited_for_long(proxy):
    g = proxy(then=serve(seen), listen=LISTEN, gateway=["timeout head=200ms"])
    with g.client() as c:
        c.send(V1[:10])
        c.expect_closed()
    g.wait_line("its head took too long")


# ---- to backends ----

def take_head(c):
    """The head, read by hand, and what follows."""
    octets = c.recv(1)
    if octets == b"P":
        while not octets.endswith(b"\r\n"):
            octets += c.recv(1)
        return octets
    while len(octets) < 16:
        octets += c.recv(16 - len(octets))
    end = 16 + struct.unpack(">H", octets[14:16])[0]
    while len(octets) < end:
        octets += c.recv(end - len(octets))
    return octets


def scripted(heads, answer=serve()):
    def script(c):
        heads.append(take_head(c))
        answer(c)
    return script


@pytest.mark.parametrize("version", [1, 2])
def test_backends_are_told_the_client_on_each_connection(proxy, version):
    heads = []
    g = proxy(then=scripted(heads), pool=[f"proxy-protocol v{version}"])
    with g.client() as c:
        host, port = c.socket.getsockname()
        assert c.get("/").status == 200 and c.get("/").status == 200
    wanted = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (port, g.address[1]) if version == 1 else \
        v2("127.0.0.1", "127.0.0.1", (port, g.address[1]))
    assert heads == [wanted, wanted]


def test_what_one_proxy_says_is_passed_on_to_the_next(proxy):
    heads = []
    g = proxy(then=scripted(heads), pool=["proxy-protocol v2"], listen=LISTEN)
    with g.client() as c:
        c.send(V1)
        assert c.get("/").status == 200
    assert heads == [v2()]


def test_a_head_comes_before_tls_and_before_http2(gateway, backend, tmp_path):
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("localhost").both)
    heads = []

    def script(c):
        heads.append(take_head(c))
        c.socket = context.wrap_socket(c.socket, server_side=True)
        serve()(c)
    b = backend(then=script)
    g = gateway(make_config(f"https://localhost:{b.port}", pool=[
        f"tls {{\n        ca {authority.pem}\n    }}", "proxy-protocol v1"]))
    assert g.get("/").status == 200
    assert heads[0].startswith(b"PROXY TCP4 127.0.0.1 ")

    h2 = backend(then=scripted(heads, serve_h2()))
    g = gateway(make_config(h2, pool=["protocol h2c", "proxy-protocol v2"]))
    assert g.get("/").status == 200 and g.get("/").status == 200
    assert all(h.startswith(SIGNATURE + b"\x21\x11") for h in heads[1:]) and h2.accepted == 2


def test_probes_say_that_they_are_our_own(proxy):
    heads = []
    g = proxy(then=scripted(heads), pool=["proxy-protocol v2", "health GET / interval=1s"])
    assert g.get("/").status == 200
    wait_for(lambda: LOCAL in heads, "a probe")
