"""docs/guides/from-lighttpd-1.5.md: its table names every key of mod_proxy_core, and its configuration does
what it says."""

import re

import pytest

from harness.gateway import TOP

pytestmark = pytest.mark.serial
PAGE = (TOP / "docs" / "guides" / "from-lighttpd-1.5.md").read_text()
CONFIG = re.search(r"^```sluice\n(.*?)^```", PAGE, re.M | re.S)[1]
KEYS = ["protocol", "backends", "balancer", "split-hostnames", "max-pool-size", "max-keep-alive-requests", "disable-time",
        "max-backlog-size", "rewrite-request", "rewrite-response", "allow-x-sendfile", "allow-x-rewrite", "debug",
        "check-local"]
WORDS = ['"sqf"', '"carp"', '"round-robin"', '"static"', '"_uri"', '"_docroot"', '"_scriptname"', '"_pathinfo"', "X-Sendfile",
         "X-LIGHTTPD-send-file", "X-LIGHTTPD-send-tempfile", "X-Rewrite-URI", "X-Rewrite-Host", "X-Rewrite-Backend"]
PROGRAM = """#!/bin/sh
printf 'Content-Type: text/plain\\n\\n%s|%s|%s|%s' "$SCRIPT_NAME" "$PATH_INFO" "$DOCUMENT_ROOT" "$REQUEST_URI"
"""


def answer(name):
    """An application that says who it is, and asks for what its path tells."""
    def script(c):
        while True:
            r = c.request()
            if r is None:
                return
            m = re.match(r"/ask/(X-[\w-]+)/(.*)", r.target)
            fields = f"{m[1]}: /{m[2]}\r\n" if m else ""
            if r.target.startswith("/named"):
                fields = "X-Own: http://x/\r\nLocation: http://internal/named/y\r\n"
            c.respond(f"{name} {r.target}".encode(), fields=fields)
    return script


@pytest.fixture
def site(gateway, backend, tmp_path):
    for folder in ("spool", "root/local", "cgi"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "cgi" / "env").write_text(PROGRAM)
    (tmp_path / "cgi" / "env").chmod(0o755)
    (tmp_path / "root" / "local" / "there").write_text("a file")
    one, two = backend(then=answer("one")), backend(then=answer("two"))
    g = gateway(CONFIG, env={"LISTEN": "127.0.0.1:0", "ONE": one.address, "TWO": two.address,
                             "SPOOL": str(tmp_path / "spool"), "ROOT": str(tmp_path / "root"), "CGI": str(tmp_path / "cgi")})
    g.one, g.two, g.spool = one, two, tmp_path / "spool"
    return g


def get(g, target, fields="", **more):
    return g.client().get(target, fields, host="www.example.org", **more)


@pytest.mark.parametrize("word", [f"`proxy-core.{key}" for key in KEYS] + WORDS)
def test_the_page_names_every_key(word):
    assert word in PAGE


def test_requests_are_rewritten(site):
    assert get(site, "/once/x").body.endswith(b" /new/x")
    assert get(site, "/uri/a/b?c").body.endswith(b" /a/b?c")
    m = get(site, "/named/x", "X-Name: abc\r\n")
    r = next(r for r in site.one.requests + site.two.requests if r.target == "/named/x")
    assert r["host"] == "internal" and r["x-host"] == "www.example.org" and r["x-name"] == "bbc"
    assert m["x-own"] == "https://x/" and m["location"] == "http://www.example.org/named/y"


def test_variables_of_cgi_are_rewritten(site):
    assert get(site, "/cgi/env/info?q").body == b"/env|/info|/srv/www.example.org|/cgi/env/info?q"


def test_files_come_before_the_application(site):
    assert get(site, "/local/there").body == b"a file"
    assert get(site, "/local/gone").body.endswith(b" /local/gone")


def test_balancers(site):
    assert len({get(site, "/carp/x").body for _ in range(4)}) == 1
    assert {get(site, "/static/x").body for _ in range(4)} == {b"one /static/x"}
    assert {get(site, "/x").body for _ in range(8)} <= {b"one /x", b"two /x"}


def test_conditions(site):
    assert get(site, "/bots/x", "User-Agent: a Bot\r\n").status == 403
    assert get(site, "/bots/x", "User-Agent: a person\r\n").status == 200
    assert get(site, "/inner/x").status == 200
    assert get(site, "/moved/a?b")["location"] == "/to/a"


def test_the_application_hands_over(site):
    (site.spool / "file").write_text("handed over")
    assert get(site, f"/ask/X-Sendfile{site.spool}/file").body == b"handed over"
    assert get(site, f"/ask/X-LIGHTTPD-send-file{site.spool}/file").body == b"handed over"
    assert get(site, "/ask/X-Rewrite-URI/new").body.endswith(b" /new")
    assert get(site, f"/ask/X-LIGHTTPD-send-tempfile{site.spool}/file").body == b"handed over"
    assert not (site.spool / "file").exists()
    site.expect_error("hand-over|from")
    assert get(site, "/ask/X-Sendfile/etc/passwd").status in (403, 404, 502)
