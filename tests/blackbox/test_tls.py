"""TLS in front: handshakes, names, protocols, and what a client gets who speaks something else."""

import base64
import re
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


def s_client(g, *options, input=""):
    """What `openssl s_client` says of a connection."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % g.address[1], "-servername",
                           "localhost", *options], input=input, capture_output=True, text=True,
                          errors="replace", timeout=20)
    return done.stdout + done.stderr


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


def test_bodies_pass_whether_or_not_the_kernel_can_encrypt(tls, authority):
    body = bytes(range(256)) * 20000
    g = tls(authority.issue("localhost"), keys=["kernel on"], then=serve(lambda request, c: body))
    for version in ("--http1.1", "--http2", "--tls-max=1.2"):
        for _ in range(2):
            assert curl(g, authority, *version.split("=")) == body
    assert sum("the kernel does not offer TLS" in line for line in g.lines) <= 1


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


def test_sites_bring_certificates(gateway, authority):
    one, other = authority.issue("one.test"), authority.issue("other.test")
    g = gateway("listen 127.0.0.1:0 tls\n" + "".join(
        f"site {c.name} {{ certificate {c.pem} key={c.key}; respond 200 {c.name} }}\n" for c in (one, other)))
    for name in ("one.test", "other.test"):
        assert curl(g, authority, name=name) == name.encode()
        assert presented(g, authority, name) == name


def test_plain_http_to_a_tls_port_is_told_so(tls, authority):
    g = tls(authority.issue("localhost"))
    m = g.get("/")
    assert m.status == 400 and b"use https://" in m.body
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


def test_clients_certificates_are_passed_on(tls, authority, backend):
    g = tls(authority.issue("localhost"), keys=[f"client-ca {authority.pem} verify=optional"],
            then=serve(lambda request, c: "\n".join(
                request[n] or "-" for n in ("X-Client-Cert-Subject", "X-Client-Cert-SHA256",
                                                  "Client-Cert")).encode()))
    alice = authority.issue("alice")
    out = curl(g, authority, "--cert", str(alice.pem), "--key", str(alice.key),
               "-H", "X-Client-Cert-Subject: CN=root").decode().split("\n")
    assert out[:2] == ["CN=alice", alice.fingerprint()]
    assert base64.b64decode(out[2].strip(":")) == alice.der()
    out = curl(g, authority, "-H", "X-Client-Cert-Subject: CN=root", "-H", "Client-Cert: :AAAA:")
    assert out == b"-\n-\n-"


def test_clients_without_a_certificate_are_refused_where_one_is_required(tls, authority, tmp_path):
    g = tls(authority.issue("localhost"), keys=[f"client-ca {authority.pem}"])
    (tmp_path / "strange").mkdir()
    mallory = Authority(tmp_path / "strange", "Stranger").issue("mallory")
    for options in ([], ["--cert", str(mallory.pem), "--key", str(mallory.key)]):
        done = subprocess.run(["curl", "-sk", *options, "https://127.0.0.1:%d/" % g.address[1]])
        assert done.returncode != 0
    g.wait_line("no TLS connection: TLS: peer did not return a certificate")
    g.wait_line("no TLS connection: TLS: certificate verify failed")
    alice = authority.issue("alice")
    assert curl(g, authority, "--cert", str(alice.pem), "--key", str(alice.key)) == b"ok"


def test_an_ocsp_response_is_stapled(tls, authority):
    cert = authority.issue("localhost")
    g = tls(keys=[f"certificate {cert.pem} key={cert.key} ocsp={authority.staple(cert)}"])
    out = s_client(g, "-status", "-CAfile", str(authority.pem))
    assert "OCSP Response Status: successful" in out and "Cert Status: good" in out


def test_an_old_ocsp_response_is_not_stapled(tls, authority):
    cert = authority.issue("localhost")
    g = tls(keys=[f"certificate {cert.pem} key={cert.key} ocsp={authority.staple(cert, last_day=-1)}"])
    assert "OCSP response: no response sent" in s_client(g, "-status")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_tickets_resume_at_any_thread(tls, authority, version, tmp_path):
    g = tls(authority.issue("localhost"), threads=4)
    kept = str(tmp_path / "session")
    ask = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert "New, TLSv1" in s_client(g, version, "-sess_out", kept, "-ign_eof", input=ask)
    for _ in range(8):
        out = s_client(g, version, "-sess_in", kept, "-ign_eof", input=ask)
        assert "Reused, TLSv1" in out and "200 OK" in out


def test_tickets_can_be_turned_off(tls, authority, tmp_path):
    g = tls(authority.issue("localhost"), keys=["tickets off"])
    ask = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for version in ("-tls1_2", "-tls1_3"):
        assert "TLS session ticket:" not in s_client(g, version, "-ign_eof", input=ask)


def test_versions_are_as_configured(tls, authority):
    g = tls(authority.issue("localhost"), keys=["protocols min=1.3"])
    assert "protocol version" in s_client(g, "-tls1_2")
    assert "New, TLSv1.3" in s_client(g, "-tls1_3")
    g.wait_line("no TLS connection: TLS: unsupported protocol")


def test_alpn_without_a_protocol_of_ours_is_refused(tls, authority):
    g = tls(authority.issue("localhost"))
    assert "no application protocol" in s_client(g, "-alpn", "spdy/3")
    assert "ALPN protocol: h2" in s_client(g, "-alpn", "http/1.1,h2")


def test_hsts_is_told_to_those_who_come_encrypted(gateway, backend, authority):
    cert = authority.issue("localhost")
    b = backend(then=serve())
    g = gateway(f"gateway {{ threads 1; access-log off }}\n"
                f"listen 127.0.0.1:0 tls {{ certificate {cert.pem} key={cert.key} }}\n"
                f"listen 127.0.0.1:0\npool app {{ backend {b.address} }}\n"
                "site * { hsts max-age=365d subdomains=on; route * scheme=http { redirect 308 https://localhost/ }\n"
                "    proxy app }\n")
    out = curl(g, authority, "-i").decode()
    assert "strict-transport-security: max-age=31536000; includesubdomains" in out.lower()
    from harness import Client
    with Client(g.addresses[1]) as c:
        m = c.get("/")
    assert m.status == 308 and m["Location"] == "https://localhost/"
    assert not m["Strict-Transport-Security"]


def test_handshakes_are_counted(tls, authority, tmp_path):
    g = tls(authority.issue("localhost"), gateway=[f"admin unix:{tmp_path}/admin.sock"])
    curl(g, authority)
    with g.client() as c:
        c.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00").half_close().rest()
    text = subprocess.run(["curl", "-s", "--unix-socket", f"{tmp_path}/admin.sock", "http://x/metrics"],
                          capture_output=True, text=True).stdout
    assert re.search(r'sluice_tls_handshakes_total\{listener="127.0.0.1:0",id="1"\} 1$', text, re.M)
    assert re.search(r"sluice_tls_failures_total\{.*\} 1$", text, re.M)
    assert re.search(r"sluice_tls_resumptions_total\{.*\} 0$", text, re.M)
