"""TLS in front: handshakes, names, protocols, and what a client gets who speaks something else."""

import socket
import ssl
import subprocess

import pytest

from harness import serve
from harness.certs import Authority
from conftest import make_config


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def tls(gateway, backend):
    """tls(certificate, ..., keys=[]): a gateway that speaks TLS, before a backend."""
    def start(*certificates, keys=(), then=None, **more):
        b = backend(then=then)
        lines = [f"certificate {c.pem} key={c.key}" for c in certificates]
        block = "127.0.0.1:0 tls {\n    " + "\n    ".join([*lines, *keys]) + "\n}"
        g = gateway(make_config(b, listen=block, **more))
        g.backend = b
        return g
    return start


def curl(g, authority, *options, name="localhost", path="/"):
    port = g.address[1]
    done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", str(authority.pem),
                           "--resolve", f"{name}:{port}:127.0.0.1", *options,
                           f"https://{name}:{port}{path}"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def context(authority, **more):
    c = ssl.create_default_context(cafile=str(authority.pem))
    for name, value in more.items():
        setattr(c, name, value)
    return c


@pytest.mark.parametrize("option,version", [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl_is_served(tls, authority, option, version):
    g = tls(authority.issue("localhost"), then=serve(lambda request, c: b"hello"))
    out = curl(g, authority, option, "-w", " %{http_version}")
    assert out == b"hello " + version.encode()


def test_large_bodies_pass_both_ways(tls, authority, tmp_path):
    body = bytes(range(256)) * 20000
    (tmp_path / "body").write_bytes(body)
    g = tls(authority.issue("localhost"), then=serve(lambda request, c: request.body))
    for version in ("--http1.1", "--http2"):
        assert curl(g, authority, version, "--data-binary", f"@{tmp_path}/body") == body


def presented(g, authority, name, **more):
    """The subject of the certificate that is shown to who asks for a name."""
    c = context(authority, check_hostname=False, **more)
    with socket.create_connection(g.address, 10) as plain, \
            c.wrap_socket(plain, server_hostname=name) as s:
        return dict(pair for rdn in s.getpeercert()["subject"] for pair in rdn)["commonName"]


def test_the_name_asked_for_chooses_the_certificate(tls, authority):
    g = tls(authority.issue("first.test"), authority.issue("second.test"),
            authority.issue("wild", "*.wild.test", "wild.test"))
    for asked, shown in [("first.test", "first.test"), ("second.test", "second.test"),
                         ("SECOND.test", "second.test"), ("a.wild.test", "wild"), ("wild.test", "wild"),
                         ("a.b.wild.test", "first.test"), ("unknown.test", "first.test"),
                         (None, "first.test")]:
        assert presented(g, authority, asked) == shown, asked


def test_a_name_has_an_rsa_and_an_ecdsa_certificate(tls, authority):
    g = tls(authority.issue("localhost", file="ec"), authority.issue("localhost", kind="rsa", file="rsa"))
    for kind in ("ECDSA", "RSA"):
        out = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % g.address[1],
                              "-servername", "localhost", "-tls1_2", "-cipher", f"ECDHE-{kind}-AES128-GCM-SHA256"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
        assert f"ECDHE-{kind}-AES128-GCM-SHA256" in out


def test_plain_http_to_a_tls_port_is_told_so(tls, authority):
    g = tls(authority.issue("localhost"))
    m = g.get("/")
    assert m.status == 400
    g.wait_line("plain HTTP was sent to a port that speaks HTTPS")


def test_garbage_ends_the_connection_and_is_logged(tls, authority):
    g = tls(authority.issue("localhost"))
    for garbage in (b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 1000, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
                    b"\x80\x2e\x01\x00\x02", b"no"):
        with g.client() as c:
            c.send(garbage).half_close()
            c.rest()
    assert curl(g, authority)
    g.wait_line("no TLS connection: ")


def test_a_slow_handshake_is_given_up(tls, authority):
    g = tls(authority.issue("localhost"), keys=["handshake 200ms"])
    with g.client() as c:
        c.send(b"\x16\x03\x01")
        c.expect_closed()
    g.wait_line(r"the handshake took too long \(handshake\)")
