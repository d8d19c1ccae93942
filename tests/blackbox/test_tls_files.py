"""Certificates as files: checked, renewed without a restart, readable by root alone."""

import os
import re
import shutil
import signal
import ssl
import socket
import subprocess

import pytest

from harness import serve, wait_for
from harness.certs import Authority
from harness.gateway import anybodys_program, command, open_way
from conftest import make_config
from test_upgrade import ADMIN, upgraded     # noqa: F401, a fixture


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def listen_block(*lines):
    return "127.0.0.1:0 tls {\n    " + "\n    ".join(lines) + "\n}"


def serial(g, authority, name="localhost"):
    """Of the certificate that a new connection is shown."""
    c = ssl.create_default_context(cafile=str(authority.pem))
    with socket.create_connection(g.address, 10) as plain, c.wrap_socket(plain, server_hostname=name) as s:
        return int(s.getpeercert()["serialNumber"], 16)


def replace(old, new):
    """As tools that renew certificates do it: a new file takes the old one's place."""
    for end in ("pem", "key"):
        shutil.copy(getattr(new, end), f"{old.folder}/next")
        os.replace(f"{old.folder}/next", getattr(old, end))


@pytest.fixture
def served(gateway, backend, authority):
    def start(certificate, *gateway_keys, **more):
        b = backend(then=serve())
        return gateway(make_config(b, listen=listen_block(f"certificate {certificate.pem} key={certificate.key}"),
                                   gateway=gateway_keys, **more))
    return start


def test_a_changed_file_is_served_without_a_reload(served, authority):
    old, new = authority.issue("localhost", file="a"), authority.issue("localhost", file="b")
    g = served(old, "certificate-check 20ms")
    g.expect_error("TLS: ")  # where it looks between the two files
    assert serial(g, authority) == old.serial
    replace(old, new)
    wait_for(lambda: serial(g, authority) == new.serial, "the new certificate")


def test_a_reload_brings_a_changed_file(served, authority):
    old, new = authority.issue("localhost", file="a"), authority.issue("localhost", file="b")
    g = served(old, "certificate-check off")
    replace(old, new)
    assert serial(g, authority) == old.serial
    g.signal(signal.SIGHUP)
    wait_for(lambda: serial(g, authority) == new.serial, "the new certificate")


def test_a_bad_new_file_leaves_the_old_one_serving(served, authority):
    old, new = authority.issue("localhost", file="a"), authority.issue("localhost", file="b")
    g = served(old, "certificate-check 20ms")
    g.expect_error("TLS: ")
    old.pem.write_text("nonsense")
    g.wait_line("error TLS: .*the certificate file holds no certificate")
    g.wait_line("the certificates in place go on serving")
    assert serial(g, authority) == old.serial
    shutil.copy(new.pem, old.pem)
    g.wait_line("error TLS: .*the key does not belong to the certificate")
    assert serial(g, authority) == old.serial
    shutil.copy(new.key, old.key)
    wait_for(lambda: serial(g, authority) == new.serial, "the new certificate")


def test_a_bad_file_fails_a_reload_and_the_old_one_serves(served, authority):
    old = authority.issue("localhost", file="a")
    g = served(old, "certificate-check off")
    g.expect_error("TLS: |reload")
    old.key.unlink()
    g.signal(signal.SIGHUP)
    g.wait_line("TLS: .*cannot read .*a.key: No such file")
    g.wait_line("reload failed: the configuration in place goes on serving")
    assert serial(g, authority) == old.serial


def test_a_list_of_revoked_certificates_is_renewed(gateway, backend, authority):
    good, bad = authority.issue("localhost", file="good"), authority.issue("other", file="bad")
    crl = authority.revoke(bad)
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(good.both)
    b = backend(then=serve(), tls=c)
    g = gateway(make_config(f"https://localhost:{b.port}", gateway=["certificate-check 20ms"],
                            pool=[f"tls {{ ca {authority.pem}; crl {crl} }}", "keep-alive idle=0"]))
    g.expect_error("backend|pool")
    assert g.get().status == 200
    authority.revoke(bad, good)
    wait_for(lambda: g.get().status == 502, "the revoked certificate to be refused")
    g.wait_line("is refused: certificate revoked")


def test_keys_of_root_are_renewed_by_a_gateway_that_is_not(served, authority, tmp_path):
    open_way(tmp_path)
    old, new = authority.issue("localhost", file="a"), authority.issue("localhost", file="b")
    for c in (old, new):
        os.chmod(c.key, 0o600)
    g = served(old, "certificate-check 20ms", "user nobody", "access-log off")
    g.expect_error("TLS: ")  # where it looks between the two files
    uid = re.search(r"^Uid:\s+(\d+)", open(f"/proc/{g.serving_pid()}/status").read(), re.M)[1]
    assert uid != "0"       # where the tests are not run by root there is nothing to give up
    replace(old, new)
    assert os.stat(old.key).st_mode & 0o777 == 0o600
    wait_for(lambda: serial(g, authority) == new.serial, "the new certificate")


def test_an_upgrade_reads_keys_of_root_too(upgraded, authority, tmp_path):
    cert = authority.issue("localhost")
    os.chmod(cert.key, 0o600)
    u = upgraded(f"gateway {{ {'; '.join(ADMIN)}; user nobody; access-log off }}\n"
                 f"listen {listen_block(f'certificate {cert.pem} key={cert.key}')}\nsite * {{ respond 200 ok }}\n",
                 program=anybodys_program(tmp_path))
    assert u.upgrade()[0] == 200
    u.wait_new()
    assert serial(u.g, authority) == cert.serial


# ---- sluice check ----

def check(tmp_path, *lines):
    (tmp_path / "c.conf").write_text("listen " + listen_block(*lines) +
                                     "\nsite * { respond 200 }\n")
    done = subprocess.run(command("check", "-c", tmp_path / "c.conf"), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_check_says_what_is_wrong_with_certificates(authority, tmp_path):
    a, b = authority.issue("a.test"), authority.issue("b.test")
    expired = authority.issue("old.test", last_day=-0.5)
    soon = authority.issue("soon.test", last_day=3.5)
    (tmp_path / "mixed.pem").write_bytes(a.text + b.text)
    cases = [
        (f"certificate {a.pem} key={b.key}", 1, "the key does not belong to the certificate"),
        (f"certificate {a.pem}", 1, "the key file holds no private key that can be read(.|\n)*hint: .* no key= names another"),
        (f"certificate {a.key} key={a.key}", 1, "the certificate file holds no certificate that can be read"),
        (f"certificate {tmp_path}/none key={a.key}", 1, "cannot read .*none: No such file"),
        (f"certificate {a.pem} key={a.key} ocsp={a.key}", 1, "the OCSP response is none that tells"),
        (f"certificate {expired.pem} key={expired.key}", 0, "warning: the certificate has expired"),
        (f"certificate {soon.pem} key={soon.key}", 0, "warning: the certificate expires in 3 days"),
        (f"certificate {tmp_path}/mixed.pem key={a.key}", 0, "certificate 2 of the file did not sign the one before"),
        (f"certificate {a.both}", 0, "ok, 1 listener, 1 site, 0 pools, 0 warnings"),
    ]
    for line, status, message in cases:
        code, text = check(tmp_path, line)
        assert re.search(message, text), text
        assert code == status, text


def test_check_says_what_openssl_does_not_take(authority, tmp_path):
    a = authority.issue("a.test")
    for line, message in [("ciphers nonsense", "ciphers: no cipher match"),
                          ("ciphersuites nonsense", "ciphersuites: no cipher match"),
                          ("curves nonsense", "curves: "),
                          (f"client-ca {a.key}", "client-ca holds no certificate")]:
        code, text = check(tmp_path, f"certificate {a.pem} key={a.key}", line)
        assert code == 1 and message in text, text
