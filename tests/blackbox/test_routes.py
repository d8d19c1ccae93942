"""What a route does: the actions that need no pool, and going on inside the gateway."""

import pytest

from harness import Backend, H2Client

pytestmark = pytest.mark.serial
SITE = """
pool early { backend %(early)s;  hand-over accel }
site test {
    route /early            { proxy early }
    route /hidden           { internal;  respond 200 hidden }
    route /old              { redirect 301 /new }
    route /to               { redirect /${arg:to} }
    route /text             { respond 200 "hello" type=text/x-own }
    route /gone             { respond 410 }
    route /empty            { respond 204 }
    route /secret/*         { internal; proxy app }
    route /hop              { reroute /secret/a%%20b?c=d }
    route /loop             { reroute /loop?again }
    route /cgi-bin/*        { cgi %(cgi)s }
    route *                 { proxy app }
}
site elsewhere.test { redirect 308 http://test/ }
"""
PROGRAM = """#!/bin/sh
printf 'Content-Type: text/plain\\n\\n%s %s %s' "$REQUEST_METHOD" "$SCRIPT_NAME" "$PATH_INFO"
"""


def answer_early(c):
    """Before the body of the request has come."""
    c.head()
    c.send(b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /hidden\r\nContent-Length: 0\r\n\r\n")
    c.wait_closed()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    cgi = tmp_path_factory.mktemp("cgi")
    (cgi / "env").write_text(PROGRAM)
    (cgi / "env").chmod(0o755)
    early = Backend(then=answer_early)
    yield SITE % {"cgi": cgi, "early": early.address}
    early.stop()
    early.check()


@pytest.fixture
def site(shared_proxy, text):
    return shared_proxy(site=text)


def test_a_redirect_to_a_path_leads_to_no_other_host(site):
    for to, location in (("x", "/x"), ("/evil.test/x", "/evil.test/x"), ("//evil.test", "/evil.test"),
                         ("\\evil.test", "/evil.test"), ("%2fx", "/%2fx")):
        assert site.get(f"/to?to={to}")["Location"] == location


def test_a_newline_in_a_path_leads_past_no_expression(proxy):
    g = proxy(site="site * { route ~ ^/private/.*$ { respond 403 }; route ~ [.]php$ { respond 500 }; "
                   "route ~ ^/(.*)$ { redirect /$1 } }")
    assert g.get("/private/a%0ab").status == g.get("/private/%0a").status == 403
    m = g.get("/x.php%0a")
    assert m.status == 302 and m["Location"] == "/x.php%0A"


def test_a_redirect_names_the_host_as_a_url_has_it(proxy):
    g = proxy(site="site * { redirect 308 https://${host}${target} }")
    for host, url in (("a.test:80", "a.test"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1")):
        assert g.client().get("/x?y", host=host)["Location"] == f"https://{url}/x?y"
    with g.client() as c:
        c.send("GET / HTTP/1.0\r\n\r\n")
        m = c.response()
    assert m.status == 400 and "location" not in m


def test_a_route_redirects(site):
    m = site.get("/old")
    assert m.status == 301 and m["location"] == "/new" and m.body == b""
    assert site.client().get("/x", host="elsewhere.test").status == 308


def test_a_route_answers_by_itself(site):
    m = site.get("/text")
    assert m.status == 200 and m["content-type"] == "text/x-own" and m.body == b"hello"
    m = site.get("/gone")
    assert m.status == 410 and b"410 Gone" in m.body
    m = site.get("/empty")
    assert m.status == 204 and m.body == b"" and "content-length" not in m
    assert not site.backend.requests


def test_head_gets_the_head_alone(site):
    c = site.client()
    m = c.ask("HEAD", "/text")
    assert m.status == 200 and m["content-length"] == "5" and m.body == b""
    assert c.get("/text").body == b"hello"


def test_a_body_that_nobody_wants_is_read_away(site):
    c = site.client()
    for _ in range(3):
        assert c.post("/text", "x" * 30000).body == b"hello"
    assert c.get("/text").body == b"hello"


def test_a_body_that_is_still_to_come_ends_the_connection(site):
    c = site.client()
    c.send("POST /text HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nabc")
    m = c.response()
    assert m.body == b"hello" and m["connection"] == "close"
    c.half_close()
    c.expect_closed()


def test_answers_of_our_own_over_http2(site):
    c = H2Client(site.address)
    assert c.get("/text").body == b"hello"
    assert c.get("/old").status == 301
    assert c.get("/hop").status == 200
    c.close()


def test_a_cgi_program_runs_without_a_pool_of_its_own(site):
    assert site.get("/cgi-bin/env/info").body == b"GET /cgi-bin/env /info"
    assert site.get("/cgi-bin/missing").status == 404


def test_internal_routes_are_not_for_clients(site):
    assert site.get("/secret/x").status == 200
    assert site.backend.requests[0].target == "/secret/x"


def test_a_request_goes_on_at_another_path_with_its_body(proxy, text):
    site = proxy(site=text)
    m = site.client().post("/hop", "abc", "X-Mine: 1\r\n")
    assert m.status == 200
    r = site.backend.requests[0]
    assert (r.method, r.target) == ("POST", "/secret/a%20b?c=d")
    assert r.body == b"abc" and r["content-length"] == "3" and r["x-mine"] == "1"
    assert len(r.all("x-forwarded-for")) == 1 and len(r.all("via")) == 1
    record = site.access(1)[0]
    assert record["target"] == "/hop"


def test_a_loop_of_reroutes_ends(site):
    assert site.get("/loop").status == 500
    site.wait_line(r"too many internal redirects \(limit reroutes\)")
    assert site.get("/text").status == 200


def test_what_is_left_of_a_body_is_no_request(site):
    """An internal redirect to a GET drops the body; what still comes of it must not be taken for more requests."""
    c = site.client()
    c.send("POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\nabc")
    m = c.response()
    assert m.body == b"hidden" and m["connection"] == "close"
    c.try_send("GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n" * 100)
    c.half_close()
    c.expect_closed()
    assert not site.backend.requests


def test_internal_routes_give_way_to_those_behind(site):
    assert site.get("/hidden").status == 200
    assert site.backend.requests[0].target == "/hidden"
