"""Pages of a site's own for errors, from a file or another route, with the status of the error."""

import pytest

from harness import H2Client, serve, wait_for
from harness.admin import ADMIN, sluice

pytestmark = pytest.mark.serial


def app(request, c):
    target = request.target.partition("?")[0]
    if target.startswith("/errors/"):
        if target == "/errors/broken":
            c.send("HTTP/1.1 200 OK\r\nContent-Length: oops\r\n\r\n")
            return None
        if target == "/errors/elsewhere":
            return c.respond(b"", "302 Found", "Location: https://status.example/\r\n")
        if request["If-None-Match"] or request["Range"]:
            return c.respond(b"", "304 Not Modified")
        return c.respond(f"page {target} by {request.method}".encode(), fields="Content-Type: text/css\r\nETag: \"e\"\r\n")
    if target[1:].isdigit():
        return c.respond(b"the application's", f"{target[1:]} Its", "Retry-After: 7\r\nWWW-Authenticate: Own\r\n")
    return b"fine"


SITE = """site test {
    error-page 403 404 405 410 file=gone.html
    error-page 5xx 413 429 /errors/sorry?x=1
    route /nothing       { respond 404 }
    route /said          { respond 404 "as it says" }
    route /down          { proxy down }
    route /closed        { deny all; proxy app }
    route /small         { limit body=10; proxy app }
    route /often         { rate 1/h burst=1; proxy app }
    route /broken*       { error-page 502 /errors/broken; proxy down }
    route /elsewhere     { error-page 502 /errors/elsewhere; proxy down }
    route /loop          { error-page 502 /loop; proxy down }
    route /missing       { error-page 502 /nowhere; proxy down }
    route /plain         { error-page 502 file=plain.txt type=text/plain; proxy down }
    route /intercepted/* { strip-prefix /intercepted; error-page 4xx 5xx /errors/theirs intercept=on; proxy app }
    route /replaced/*    { strip-prefix /replaced; error-page 401 503 file=gone.html intercept=on; proxy app }
    route /errors/*      { internal; deny all; proxy app }
    route /v*            { proxy app }
    route ~ ^/[0-9]+$    { proxy app }
}
pool down { backend unix:/no/such/socket; retry attempts=1; fail count=off }
"""


GONE = b"<p>gone, sorry\n" * 100


def write_pages(folder):
    (folder / "gone.html").write_bytes(GONE)
    (folder / "plain.txt").write_text("plain")
    return folder


@pytest.fixture
def site(proxy, tmp_path):
    def start(script=None, more="", **keys):
        write_pages(tmp_path)
        g = proxy(then=serve(script or app), site=(SITE + more).replace("file=", "file=../"), **keys)
        g.expect_error("down|/no/such")
        return g
    return start


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return write_pages(tmp_path_factory.mktemp("pages"))

# target, status, body, type
PAGES = {
    "no route": ("/nowhere", 404, GONE, "text/html; charset=utf-8"),
    "a fixed answer without a text": ("/nothing", 404, GONE, "text/html; charset=utf-8"),
    "a fixed answer with one": ("/said", 404, b"as it says", "text/plain; charset=utf-8"),
    "refused": ("/closed", 403, GONE, "text/html; charset=utf-8"),
    "a backend that is down": ("/down", 502, b"page /errors/sorry by GET", "text/css"),
    "another file": ("/plain", 502, b"plain", "text/plain"),
    "a backend's own error": ("/404", 404, b"the application's", None),
    "a backend's that is intercepted": ("/intercepted/418", 418, b"page /errors/theirs by GET", "text/css"),
    "the same by a file": ("/replaced/503", 503, GONE, "text/html; charset=utf-8"),
    "no error": ("/intercepted/200", 200, b"the application's", None),
}


@pytest.mark.parametrize("target,status,body,type", PAGES.values(), ids=PAGES)
def test_pages_stand_in_for_errors(shared_proxy, pages, target, status, body, type):
    g = shared_proxy(then=serve(app), site=SITE.replace("file=", f"file={pages}/"))
    g.expect_error("down|/no/such")
    with g.client() as c:
        for fields in ("", 'If-None-Match: "e"\r\nRange: bytes=0-3\r\n'):
            m = c.get(target, fields)
            assert (m.status, m.body, m["Content-Type"]) == (status, body, type)
        m = c.ask("HEAD", target) if status != 200 and type else None
        assert m is None or (m.status, m.body) == (status, b"")
        assert c.get("/v").body == b"fine"


def test_a_page_that_fails_itself_gives_way_to_ours_with_the_first_status(site):
    g = site()
    g.expect_error("Content-Length|502|Bad Gateway")
    for target in ("/broken", "/loop", "/missing"):
        m = g.get(target)
        assert m.status == 502 and b"could not be reached" in m.body, target


def test_a_page_may_send_people_elsewhere(site):
    m = site().get("/elsewhere")
    assert m.status == 302 and m["Location"] == "https://status.example/"


def test_nobody_gets_at_the_pages_by_their_path(site):
    m = site().get("/errors/sorry")
    assert m.status == 404 and m.body == GONE


def test_what_belongs_to_the_status_goes_with_it(site):
    g = site()
    with g.client() as c:
        assert c.get("/often").status == 200
        m = c.get("/often")
        assert m.status == 429 and m.body == b"page /errors/sorry by GET" and int(m["Retry-After"]) > 3000
        assert c.get("/replaced/401")["WWW-Authenticate"] == "Own"
        assert c.get("/intercepted/503")["Retry-After"] == "7"


def test_bodies_of_failed_requests_are_dropped(site):
    g = site()
    with g.client() as c:
        m = c.post("/down", b"x" * 50000)
        assert (m.status, m.body) == (502, b"page /errors/sorry by GET")
        assert c.get("/v").status == 200
        m = c.post("/small", b"x" * 11)
        assert (m.status, m.body) == (413, b"page /errors/sorry by GET")
    with g.client() as c:
        c.send("POST /small HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + "5\r\n12345\r\n" * 3)
        m = c.response("POST")
        assert (m.status, m.body) == (413, b"page /errors/sorry by GET")
    lines = [line for line in g.access(4) if line["status"] == 413]
    assert [line["target"] for line in lines] == ["/small"] * 2


def test_over_http2_compressed_and_for_other_hosts(site):
    g = site(more="site other { compress gzip; error-page 404 file=gone.html; route * { respond 404 } }\n"
             "site * { route /y { respond 200 ok } }\n")
    with H2Client(g.address) as c:
        m = c.get("/down")
        assert (m.status, m.body) == (502, b"page /errors/sorry by GET")
        assert c.get("/nowhere").body == GONE
    m = g.get("/nowhere", "Accept-Encoding: gzip\r\n", host="other")
    assert m.status == 404 and m["Content-Encoding"] == "gzip" and len(m.body) < 200
    assert b"gone, sorry" not in g.get("/nowhere", host="third").body


def test_a_stop_does_not_wait_for_a_page(site):
    def hang(request, c):
        c.wait_closed()
    g = site(hang, gateway=["stop-timeout 100ms", *ADMIN])
    g.wait_line("admin: listening")
    with g.client() as c:
        c.send("GET /v HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_for(lambda: g.backend.open, "the request to be under way")
        g.stop()
        assert c.response().status == 503


def test_explain_names_the_pages(site):
    text = sluice(site(), "explain", "-c", "sluice.conf", "GET", "http://test/plain").stdout
    assert "errors    502  file ../plain.txt\n" in text
    assert "5xx 413 429  /errors/sorry?x=1\n" in text
