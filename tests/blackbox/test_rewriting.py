"""What routes change in requests and responses on their way."""

import re
import subprocess

import pytest

from harness import H2Client, serve
from harness.gateway import command

pytestmark = pytest.mark.serial
SITE = """
site test {
    rewrite ^/early/(.*)$ /late/$1
    set-header response X-Site ${site}
    route /api/*            { rewrite ^/api/(.*)$ /$1;  set-header request X-Api 1;  proxy app }
    route /late/*           { proxy app }
    route /user/*           { rewrite ^/user/([^/]+)/?(.*)$ /show?name=$1&rest=$2;  proxy app }
    route /more/*           { rewrite ^/more/(.*)$ /show?name=$1 append;  proxy app }
    route /twice/*          { rewrite ^/twice/(.*)$ /once/$1;  rewrite ^/once/(.*)$ /none/$1;  proxy app }
    route /last/*           { rewrite ^/last/(.*)$ /once/$1 last;  rewrite ^/once/(.*)$ /none/$1;  proxy app }
    route /app/*            { strip-prefix /app;  proxy app }
    route /put/*            { add-prefix /base;  proxy app }
    route /query            { set-query "a=${header:X-A}&${query}";  proxy app }
    route /host             { set-host backend.internal:8080;  proxy app }
    route /fields {
        set-header request X-Set "${method} ${path} ${client} ${arg:q} ${cookie:c}"
        set-header request X-Empty ${header:X-None}
        add-header request X-Add one
        add-header request X-Add two
        remove-header request X-Secret*
        replace-header request X-List ([a-z])=([0-9]) $2:$1
        set-header request X-Forwarded-Proto https header=X-Secure:yes
        proxy app
    }
    route /answer {
        set-header response X-Id ${request-id}
        set-header response X-From "${response:X-Own} ${status}"
        remove-header response X-Own
        replace-header response X-Text a+ b
        set-status 503 status=502
        set-header response Cache-Control no-store status=5xx
        proxy app
    }
    route ~ ^/go/([a-z]+)/(.*)$  { redirect 301 https://${host}/$1?back=$2 }
    route /echo             { set-header response X-Echo ${arg:x};  respond 200 ok }
    route /inject           { set-header response X-Path ${header:X-A};  respond 200 ok }
    route ~ ^/say/(.*)$      { respond 200 "$1 ${client}\\n" }
    route ~ ^/page/(.*)$     { respond 404 "<p>$1" type=text/html }
    route ~ ^/json/(.*)$     { respond 200 "{\\"ip\\":\\"${client}\\",\\"x\\":\\"$1\\"}" type=application/json }
    route ~ ^/bomb/         { rewrite ^/bomb/(a|aa|aaa)+$ /x;  proxy app }
    route /safe             { proxy app }
}
"""


@pytest.fixture
def site(shared_proxy):
    return shared_proxy(site=SITE)


@pytest.mark.parametrize("asked, status, body", [
    ("/say/%3Cb%3E%0A", 200, b"<b>\n 127.0.0.1\n"),
    ("/page/%3Cb%3E%26", 404, b"<p>&lt;b&gt;&amp;"),
    ("/json/%22%5C", 200, br'{"ip":"127.0.0.1","x":"\"\\"}'),
])
def test_an_answer_may_say_something_of_the_request(site, asked, status, body):
    """And what a client sends is text in it, neither markup nor the end of a string."""
    m = site.get(asked)
    assert (m.status, m.body, m["content-length"]) == (status, body, str(len(body)))


def backend_target(g, target, fields="", method="GET"):
    m = g.client().ask(method, target, fields)
    assert m.status == 200, m
    return g.backend.requests[-1].target


@pytest.mark.parametrize("asked, got", [
    ("/api/x/y?q=1", "/x/y?q=1"),
    ("/early/x", "/late/x"),
    ("/api/", "/"),
    ("/api/a%20b%3Fc", "/a%20b%3Fc"),
    ("/user/joe", "/show?name=joe&rest="),
    ("/user/joe/a/b?old", "/show?name=joe&rest=a/b"),
    ("/user/a%26b%3Dc%23", "/show?name=a%26b%3Dc%23&rest="),
    ("/user/%2e%2e", None),
    ("/more/x?old=1", "/show?name=x&old=1"),
    ("/more/x", "/show?name=x"),
    ("/twice/x", "/none/x"),
    ("/last/x", "/once/x"),
    ("/app/x?y", "/x?y"),
    ("/app/", "/"),
    ("/app/a%2Fb/c%20d", "/a%2Fb/c%20d"),
    ("/app/x/../y", "/y"),
    ("/app//x", "/x"),
    ("/put/x?y", "/base/put/x?y"),
    ("/query?x=1", "/query?a=&x=1"),
])
def test_targets_are_rewritten(site, asked, got):
    if got is None:
        assert site.get(asked).status in (400, 404)
    else:
        assert backend_target(site, asked) == got


def test_requests_of_http2_are_rewritten_too(site):
    c = H2Client(site.address)
    assert c.get("/api/x/y?q=1").status == 200
    assert c.get("/app/a%2Fb").status == 200
    m = c.get("/go/there/x")
    assert m.status == 301 and m["location"] == "https://test/there?back=x"
    assert [r.target for r in site.backend.requests] == ["/x/y?q=1", "/a%2Fb"]
    c.close()


def test_files_are_found_by_the_rewritten_path(proxy, tmp_path):
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a b").write_text("a file")
    (tmp_path / "secret").write_text("no")
    g = proxy(site=f"site * {{ root {tmp_path}/static; route /img/* {{ rewrite ^/img/(.*)$ /$1; files }}\n"
              "  route /up/* { rewrite ^/up/(.*)$ /x/../$1; files } }\n")
    assert g.get("/img/a%20b").body == b"a file"
    assert g.get("/up/a%20b").body == b"a file"
    for path in ("/img/..%2fsecret", "/img/%2e%2e/secret", "/up/../secret", "/up/..%2f..%2fsecret", "/img/../secret"):
        assert g.get(path).status in (400, 404)


def test_a_rewritten_request_is_logged_as_it_was_asked(proxy):
    g = proxy(site=SITE)
    g.get("/api/x?q=1")
    assert g.access(1)[0]["target"] == "/api/x?q=1"


def test_values_in_a_query_are_encoded(site):
    assert backend_target(site, "/query?x", "X-A: a b&c=d#\r\n") == "/query?a=a%20b%26c%3Dd%23&x"


def test_the_host_is_set(site):
    assert site.get("/host").status == 200
    r = site.backend.requests[0]
    assert r["host"] == "backend.internal:8080" and r["x-forwarded-host"] == "test"


def test_fields_of_a_request_are_changed(site):
    m = site.client().get("/fields?q=7&r=8", "X-Set: mine\r\nX-Secret-A: 1\r\nX-Secret: 2\r\nCookie: b=1; c=2\r\n"
                          "X-List: a=1, b=2, c\r\nX-Empty: full\r\nX-Secure: yes\r\n")
    assert m.status == 200 and m["x-site"] == "test"
    r = site.backend.requests[0]
    assert r["x-set"] == "GET /fields 127.0.0.1 7 2"
    assert "x-empty" not in r and "x-secret" not in r and "x-secret-a" not in r
    assert r.all("x-add") == ["one", "two"] and r["x-list"] == "1:a, 2:b, c"
    assert r["x-forwarded-proto"] == "https"


def test_conditions_count(site):
    site.get("/fields")
    assert site.backend.requests[0]["x-forwarded-proto"] == "http"


def test_fields_and_status_of_a_response_are_changed(shared_proxy):
    def script(c):
        c.request()
        c.respond(status="502 Bad Gateway", fields="X-Own: mine\r\nX-Text: aa-a\r\n")
    m = shared_proxy(script, site=SITE).get("/answer")
    assert m.status == 503 and m.reason == "Service Unavailable"
    assert len(m["x-id"]) == 16 and m["x-from"] == "mine 502" and m["x-text"] == "b-b"
    assert "x-own" not in m and m["cache-control"] == "no-store"


def test_redirects_are_made_of_the_request(site):
    m = site.get("/go/there/a%20b%26c")
    assert m.status == 301 and m["location"] == "https://test/there?back=a%20b%26c"


@pytest.mark.parametrize("query", ["x=a%0d%0aSet-Cookie:%20b", "x=%00", "x=ok"])
def test_nothing_gets_into_a_head_through_a_template(site, query):
    m = site.get("/echo?" + query)
    assert m.status == 200 and "set-cookie" not in m
    assert m["x-echo"] == query[2:]


def test_a_path_with_line_ends_does_not_get_into_a_head(proxy):
    g = proxy(site="site { route /* { set-header response X-Path ${path}; respond 200 } }")
    g.expect_error("control character")
    for path in ("/a%0d%0ab", "/a%00", "/a%0a", "/%7f"):
        m = g.get(path)
        assert m.status in (400, 500) and "x-path" not in m
    assert g.get("/a%09b")["x-path"] == "/a\tb"


def test_a_regular_expression_that_explodes_costs_its_request_alone(proxy):
    site = proxy(site=SITE)
    site.expect_error("too many steps")
    with site.client() as slow, site.client() as other:
        slow.send("GET /bomb/" + "a" * 300 + "! HTTP/1.1\r\nHost: test\r\n\r\n")
        for _ in range(20):
            assert other.get("/safe").status == 200
        assert slow.response().status == 500
    site.wait_line("takes too many steps")


# ---- where a request goes on ----

MOUNTED = """
site test {
    root %s
    strip-prefix /site
    set-host inside
    route /files/*  { strip-prefix /files;  files else next }
    route /shown/*  { strip-prefix /shown;  set-query "a=b";  set-host other;  files else /else }
    route *         { proxy app }
}
"""


def test_what_the_site_has_changed_counts_for_every_route(proxy, tmp_path):
    (tmp_path / "there").write_text("a file")

    def answer(r, c):
        c.respond(b"", "302 Found", "Location: /login\r\n")
    g = proxy(then=serve(answer), site=MOUNTED % tmp_path)
    assert g.get("/site/files/there").body == b"a file"
    m = g.get("/site/files/gone?x")
    r = g.backend.requests[-1]
    assert (r.target, r["host"], r["x-forwarded-prefix"]) == ("/files/gone?x", "inside", "/site")
    assert m["location"] == "/site/login"
    m = g.get("/site/shown/gone?x")
    r = g.backend.requests[-1]
    assert (r.target, r["host"], r["x-forwarded-prefix"]) == ("/else?a=b", "inside", "/site")
    assert m["location"] == "/site/login"
    said = sluice(tmp_path, MOUNTED % tmp_path, "GET", "http://test/site/files/gone?x")
    assert "\nsent as GET /files/gone?x host inside\n" in said, said


# ---- explain ----

EXPLAINED = """
listen 127.0.0.1:0
pool app { backend 127.0.0.1:1 }
pool php { protocol fastcgi;  backend 127.0.0.1:2 }
site example.org {
    root %(root)s
    rewrite ^/old/(.*)$ /api/$1
    route /api/* {
        rewrite ^/api/(.*)$ /$1
        set-host app.internal
        set-header request X-User ${cookie:u} header=Cookie
        set-status 503 status=502
        proxy app
    }
    route ~ ^/u/([a-z]+)$   { redirect https://${host}/users/$1 }
    route *.php query=x:1   { proxy app }
    route *.php             { proxy php }
    route /hop              { reroute /a.txt }
    route /loop             { reroute /loop }
    route *                 { files else /index.php }
}
"""


def sluice(tmp_path, site, method, url):
    (tmp_path / "s.conf").write_text("listen 127.0.0.1:0\npool app { backend 127.0.0.1:1 }\n" + site)
    r = subprocess.run(command("explain", "-c", tmp_path / "s.conf", method, url), text=True, stdout=subprocess.PIPE,
                       timeout=60)
    return re.sub(r" +", " ", r.stdout)


def explain(tmp_path, method, url, *more):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "s.conf").write_text(EXPLAINED % {"root": tmp_path})
    r = subprocess.run(command("explain", "-c", tmp_path / "s.conf", method, url, *more), text=True,
                       stdout=subprocess.PIPE, timeout=60)
    return r.returncode, re.sub(r" +", " ", re.sub(r" *\(\S+:\d+\)$", "", r.stdout, flags=re.M))


def test_explain_shows_rewrites_with_before_and_after(tmp_path):
    status, said = explain(tmp_path, "GET", "http://example.org/old/x?q=1", "-H", "Cookie: u=joe")
    assert status == 0
    for line in ("rewrite rewrite ^/old/(.*)$ /api/$1\n /old/x?q=1 becomes /api/x?q=1\n",
                 "rewrite rewrite ^/api/(.*)$ /$1\n /api/x?q=1 becomes /x?q=1\n", "\n Host: app.internal\n",
                 "\n X-User: joe\n", "\nsent as GET /x?q=1 host app.internal\n", "\nresponse set-status 503 status=502\n",
                 "\nmap-back ", "\naction proxy app\n", "\npool app\n"):
        assert line in said, said
    assert "does not apply: a header is missing" in explain(tmp_path, "GET", "http://example.org/api/")[1]


def test_explain_shows_what_is_redirected_and_where_a_request_goes_on(tmp_path):
    said = explain(tmp_path, "GET", "http://example.org/u/joe")[1]
    assert "action redirect 302 https://${host}/users/$1 to https://example.org/users/joe\n" in said
    said = explain(tmp_path, "GET", "http://example.org/hop")[1]
    assert "\ngoes on /a.txt\n" in said and " a.txt: there\n" in said and " sends a.txt type=text/plain" in said
    said = explain(tmp_path, "GET", "http://example.org/2024/x?y=1")[1]
    assert " 2024/x: No such file or directory\n" in said and "\ngoes on /index.php?y=1\n" in said
    assert "*.php query=x:1 no: the query has no such part\n" in said and "\npool php\n" in said
    status, said = explain(tmp_path, "GET", "http://example.org/loop")
    assert status == 1 and said.endswith("too many internal redirects (limit reroutes): answered with 500\n")
