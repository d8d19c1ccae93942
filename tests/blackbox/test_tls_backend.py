"""TLS to backends: who is trusted, what is said of those who are not, and that pools work as ever."""

import os
import ssl
import struct

import pytest

from harness import Broken, Event, serve, wait_for
from harness.certs import Authority
from conftest import make_config



@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def context(certificate, client_ca=None, **more):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(certificate.both)
    if client_ca:
        c.load_verify_locations(client_ca.pem)
        c.verify_mode = ssl.CERT_REQUIRED
    for name, value in more.items():
        setattr(c, name, value)
    return c


@pytest.fixture
def secure(gateway, backend):
    """secure(context, tls=[keys], pool=[keys]): a gateway before a backend that speaks TLS."""
    def start(tls_context, *scripts, tls=(), pool=(), then=None, scheme="https", name="localhost", **more):
        b = backend(*scripts, then=then, tls=tls_context)
        block = "tls {\n        " + "\n        ".join(tls) + "\n    }"
        g = gateway(make_config(f"{scheme}://{name}:{b.port}", pool=[block, *pool], **more))
        g.backend = b
        return g
    return start


def test_a_trusted_backend_is_asked_and_its_connection_kept(secure, authority):
    g = secure(context(authority.issue("localhost")), then=serve(lambda request, c: request.body),
               tls=[f"ca {authority.pem}"], threads=1)
    body = os.urandom(3_000_000)
    with g.client() as c:
        for _ in range(5):
            assert c.post("/", body).body == body
            assert c.get("/").status == 200
    assert g.backend.accepted == 1


BAD = [
    ("expired", dict(last_day=-0.5), "certificate CN=localhost is refused: certificate has expired"),
    ("not yet", dict(first_day=1), "certificate CN=localhost is refused: certificate is not yet valid"),
    ("wrong host", dict(names=["other.test"]), "CN=localhost is refused: hostname mismatch, it is not for localhost"),
]


@pytest.mark.faults
@pytest.mark.parametrize("what,how,line", BAD, ids=[b[0] for b in BAD])
def test_a_bad_certificate_is_refused_and_the_reason_logged(secure, authority, what, how, line):
    names = how.pop("names", [])
    g = secure(context(authority.issue("localhost", *names, **how)), then=serve(), tls=[f"ca {authority.pem}"])
    assert g.get().status == 502
    g.wait_line(f"pool app backend .*{line}")
    assert not g.backend.requests
    how["names"] = names


@pytest.mark.faults
def test_a_self_signed_certificate_is_refused(secure, authority):
    g = secure(context(authority), then=serve(), name="127.0.0.1")
    assert g.get().status == 502
    g.wait_line("CN=Test Authority is refused: self-signed certificate")


@pytest.mark.faults
def test_a_certificate_of_a_stranger_is_refused(secure, authority, tmp_path):
    (tmp_path / "strange").mkdir()
    stranger = Authority(tmp_path / "strange", "Stranger")
    g = secure(context(stranger.issue("localhost")), then=serve(), tls=[f"ca {authority.pem}"])
    assert g.get().status == 502
    g.wait_line("is refused: (self-signed certificate in certificate chain|unable to get local issuer)")


@pytest.mark.faults
def test_a_revoked_certificate_is_refused(secure, authority):
    bad, good = authority.issue("localhost", file="bad"), authority.issue("localhost", file="good")
    crl = authority.revoke(bad)
    g = secure(context(bad), then=serve(), tls=[f"ca {authority.pem}", f"crl {crl}"])
    assert g.get().status == 502
    g.wait_line("certificate CN=localhost is refused: certificate revoked")
    g = secure(context(good), then=serve(), tls=[f"ca {authority.pem}", f"crl {crl}"])
    assert g.get().status == 200


def test_without_verification_anybody_is_asked(secure, authority):
    g = secure(context(authority.issue("other.test", last_day=-0.5)), then=serve(), tls=["verify off"])
    assert g.get().status == 200


def test_the_name_can_be_given(secure, authority):
    asked = []
    c = context(authority.issue("inner.test"))
    c.sni_callback = lambda s, name, context: asked.append(name)
    g = secure(c, then=serve(), tls=[f"ca {authority.pem}", "name inner.test"], name="127.0.0.1")
    assert g.get().status == 200
    assert asked == ["inner.test"]


@pytest.mark.parametrize("host,name", [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_an_address_is_checked_as_one(gateway, backend, authority, host, name):
    b = backend(then=serve(), tls=context(authority.issue("backend", host)), host=host)
    g = gateway(make_config(f"https://{name}:{b.port}", pool=[f"tls {{ ca {authority.pem} }}"]))
    assert g.get().status == 200


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_session_is_resumed(secure, authority, version):
    reused = []
    c = context(authority.issue("localhost"), maximum_version=ssl.TLSVersion[version])
    g = secure(c, then=serve(lambda request, c: reused.append(c.socket.session_reused) or b"ok"),
               tls=[f"ca {authority.pem}"], pool=["keep-alive idle=0"])
    for _ in range(4):
        assert g.get().status == 200
    assert reused == [False, True, True, True]


def test_a_certificate_of_ours_is_shown(secure, authority):
    own = authority.issue("gateway")
    seen = []
    c = context(authority.issue("localhost"), client_ca=authority)
    g = secure(c, then=serve(lambda request, c: seen.append(c.socket.getpeercert()) or b"ok"),
               tls=[f"ca {authority.pem}", f"certificate {own.pem} key={own.key}"])
    assert g.get().status == 200
    assert seen[0]["subject"] == ((("commonName", "gateway"),),)


@pytest.mark.faults
def test_a_backend_that_wants_a_certificate_of_ours_says_so(secure, authority):
    g = secure(context(authority.issue("localhost"), client_ca=authority), then=serve(),
               tls=[f"ca {authority.pem}"])
    assert g.get().status == 502
    g.wait_line("TLS: .*certificate required")


@pytest.mark.faults
def test_a_cut_connection_is_not_taken_for_the_end_of_a_response(secure, authority):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\n\r\nhalf of")
        import socket
        socket.socket.shutdown(c.socket, socket.SHUT_RDWR)      # no close_notify
    g = secure(context(authority.issue("localhost")), script, tls=[f"ca {authority.pem}"])
    with pytest.raises(Broken), g.client() as c:
        c.get("/")


def test_a_closed_connection_ends_a_response(secure, authority):
    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\n\r\nall of it")
        c.socket.unwrap().close()
    g = secure(context(authority.issue("localhost")), script, tls=[f"ca {authority.pem}"])
    with g.client() as c:
        assert c.get("/").body == b"all of it"


@pytest.mark.faults
def test_a_handshake_that_stalls_times_out(gateway, backend):
    b = backend(then=lambda c: c.wait_closed())
    g = gateway(make_config(f"https://127.0.0.1:{b.port}", pool=["timeout connect=200ms", "retry attempts=1"]))
    assert g.get().status == 504
    g.wait_line(r"the TLS handshake did not end in time \(timeout connect\)")


def test_a_body_that_comes_during_the_handshake_is_sent_behind_it(gateway, backend, authority):
    go_on = Event()
    tls = context(authority.issue("localhost"))

    def script(c):
        assert go_on.wait(20)
        c.socket = tls.wrap_socket(c.socket, server_side=True)
        c.respond(c.request().body)
        c.wait_closed()
    b = backend(script)
    g = gateway("gateway { threads 1; access-log off }\nlisten 127.0.0.1:0\n"
                f"pool app {{ backend https://localhost:{b.port}; tls {{ ca {authority.pem} }} }}\n"
                "site * { route /other { respond 200 }; proxy app }\n")
    with g.client() as c:
        c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab")
        wait_for(lambda: b.accepted, "the connection")
        for piece in ("c", "d"):
            c.send(piece)
            assert g.get("/other").status == 200    # the only thread has seen the piece
        go_on.set()
        c.send("ef")
        assert c.response("POST").body == b"abcdef"


@pytest.mark.faults
@pytest.mark.parametrize("answer", ["HTTP/1.1 400 Bad Request\r\n\r\n", "<!DOCTYPE HTML>", b"\0\0\x12\4\0\0\0\0\0", "\n"],
                         ids=["HTTP/1.1", "HTTP/0.9", "HTTP/2", "other"])
def test_a_backend_that_speaks_no_tls_is_named(gateway, backend, answer):
    b = backend(then=lambda c: (c.send(answer), c.wait_closed()))
    g = gateway(make_config(f"https://127.0.0.1:{b.port}"))
    assert g.get().status == 502
    g.wait_line("TLS: it does not speak TLS")


@pytest.mark.faults
def test_probes_speak_tls_and_mind_certificates(secure, authority, backend):
    good, bad = (backend(then=serve(), tls=context(authority.issue("localhost", last_day=day, file=str(day))))
                 for day in (5, -0.5))
    g = secure(None, then=lambda c: c.wait_closed(), tls=[f"ca {authority.pem}"],
               pool=[f"backend https://localhost:{b.port}" for b in (good, bad)] +
                    ["health GET /up interval=100ms"])
    g.wait_line(f"backend 127.0.0.1:{bad.port}: probe failed: TLS: .*certificate has expired")
    good.wait_requests(2)
    assert good.requests[0].target == "/up"


def test_fastcgi_is_spoken_over_tls(secure, authority):
    def record(kind, data=b""):
        return struct.pack(">BBHHBB", 1, kind, 1, len(data), 0, 0) + data

    def script(c):
        c.reader.recv(65536)
        c.send(record(6, b"Content-Type: text/plain\r\n\r\nfrom fastcgi") + record(6) + record(3, b"\0" * 8))
        c.wait_closed()
    g = secure(context(authority.issue("localhost")), script, scheme="fastcgi", tls=[f"ca {authority.pem}"])
    assert g.get("/x.php").body == b"from fastcgi"


def test_connections_move_between_threads(secure, authority):
    g = secure(context(authority.issue("localhost")), then=serve(), tls=[f"ca {authority.pem}"],
               pool=["max-conns 1"], threads=4)
    clients = [g.client() for _ in range(16)]
    for _ in range(10):
        for c in clients:
            c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert all(c.response().status == 200 for c in clients)
    assert g.backend.accepted < 20


def test_nginx_is_a_backend(nginx_server, gateway, authority, tmp_path):
    cert = authority.issue("localhost")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "large").write_bytes(os.urandom(2_000_000))
    address = nginx_server(f"""
        root {tmp_path}/www;
        ssl_protocols TLSv1.3; ssl_certificate {cert.pem}; ssl_certificate_key {cert.key};
        location = /how {{ return 200 "$ssl_protocol $ssl_server_name"; }}""", listen="ssl")
    port = address.rsplit(":")[1]
    g = gateway(make_config(f"https://localhost:{port}", pool=[f"tls {{ ca {authority.pem} }}"]))
    wait_for(lambda: g.get("/how").status == 200, "nginx to answer")
    assert g.get("/how").body == b"TLSv1.3 localhost"
    assert g.get("/large").body == (tmp_path / "www" / "large").read_bytes()


def test_node_is_a_backend(program, gateway, authority, here):
    cert = authority.issue("localhost")
    p = program("node", f"{here}/apps/node_https.js", str(cert.key), str(cert.pem))
    g = gateway(make_config(f"https://localhost:{p.first}", pool=[f"tls {{ ca {authority.pem} }}"]))
    body = os.urandom(1_000_000)
    with g.client() as c:
        for _ in range(3):
            assert c.post("/", body).body == body
