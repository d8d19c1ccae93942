"""What a backend's answer may ask for: files, another route, the request again elsewhere; and what it
may not."""

import os

import pytest

from harness import Client, H2Client, serve, wait_for
from harness.h2 import get as h2_get

pytestmark = pytest.mark.serial
SECRET = b"SENTINEL-do-not-show"
DATA = bytes(range(256)) * 400             # sent from the file
SMALL = b"a small file\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """files/ may be handed over, private/ and what lies beside it may not."""
    top = tmp_path_factory.mktemp("tree")
    files = top / "files"
    (files / "deep").mkdir(parents=True)
    (files / "big.bin").write_bytes(DATA)
    (files / "small.txt").write_bytes(SMALL)
    (files / "a b%41.txt").write_bytes(b"odd name")
    (files / "empty").write_bytes(b"")
    (files / ".hidden").write_bytes(b"hidden")
    (files / "deep" / "er.css").write_bytes(b"p{}")
    (top / "files-old").mkdir()
    (top / "files-old" / "secret").write_bytes(SECRET)
    (top / "secret").write_bytes(SECRET)
    (top / "spool").mkdir()
    (files / "out").symlink_to(top / "secret")
    (files / "up").symlink_to("../secret")
    (files / "in").symlink_to("small.txt")
    (files / "dirout").symlink_to(top)
    os.mkfifo(files / "fifo")
    return top


SITE = """
site test {
    route /protected/* { internal; root %(tree)s/files; files { strip /protected; dotfiles on } }
    route /hidden/*    { internal; proxy app }
    route /loop        { internal; proxy app }
    route *            { proxy app; %(keys)s }
}
"""


@pytest.fixture
def app(shared_proxy, tree):
    """app(fields, body): a gateway whose backend answers so to every request; allow is what the pool allows."""
    def start(fields, body=b"from the application", status="200 OK", allow=None, route="", proxy=shared_proxy, **keys):
        def answer(request, c):
            c.respond(body, status, fields % {"tree": tree} if isinstance(fields, str) else fields(request))
        if allow is None:
            allow = ["hand-over sendfile tempfile from=%(tree)s/files from=%(tree)s/spool", "hand-over accel rewrite"]
        return proxy(then=serve(answer), site=SITE % {"tree": tree, "keys": route},
                     pool=[a % {"tree": tree} for a in allow], gateway=("open-files 64 valid=20ms",), **keys)
    return start


# ---- files by path ----

@pytest.mark.parametrize("name", ["X-Sendfile", "x-sendfile", "X-LIGHTTPD-send-file"])
def test_a_file_is_sent_in_place_of_the_answer(app, name):
    g = app(name + ": %(tree)s/files/big.bin\r\nContent-Type: video/x-own\r\nSet-Cookie: a=b\r\n"
            "Content-Disposition: attachment; filename=x\r\nCache-Control: private\r\nServer: its own\r\n")
    c = g.client()
    for _ in range(3):
        m = c.get("/download")
        assert m.status == 200 and m.body == DATA
        assert m["content-type"] == "video/x-own" and m["set-cookie"] == "a=b"
        assert m["content-disposition"] == "attachment; filename=x" and m["cache-control"] == "private"
        assert m["content-length"] == str(len(DATA)) and m["accept-ranges"] == "bytes"
        assert m["etag"] and m["last-modified"] and name.lower() not in m
        assert m.all("server") == ["sluice"]
    assert g.backend.accepted == 1, "its connection was not kept"


def test_ranges_and_conditions_of_a_file_handed_over(app, tree):
    g = app("X-Sendfile: %(tree)s/files/big.bin\r\n")
    c = g.client()
    etag = c.get("/")["etag"]
    os.utime(tree / "files" / "big.bin", (1_000_000_000, 1_000_000_000))
    m = wait_for(lambda: (lambda m: m if m["etag"] != etag else None)(c.get("/")), "the new version")
    assert m["last-modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    part = c.get("/", "Range: bytes=5-9\r\n")
    assert part.status == 206 and part.body == DATA[5:10] and part["content-range"] == f"bytes 5-9/{len(DATA)}"
    assert c.get("/", f"Range: bytes=5-9\r\nIf-Range: {m['etag']}\r\n").status == 206
    assert c.get("/", f"Range: bytes=5-9\r\nIf-Range: {etag}\r\n").status == 200
    assert c.get("/", f"If-None-Match: {m['etag']}\r\n").status == 304
    assert c.get("/", f"If-Modified-Since: {m['last-modified']}\r\n").status == 304
    assert c.get("/", "Range: bytes=999999999-\r\n").status == 416
    assert c.get("/", 'If-Match: "other"\r\n').status == 412
    m = c.ask("HEAD", "/")
    assert m.status == 200 and m["content-length"] == str(len(DATA)) and m.body == b""


def test_what_cannot_be_had_is_not_described_as_the_file(app):
    c = app("X-Sendfile: %(tree)s/files/big.bin\r\nContent-Type: video/x-own\r\n").client()
    for fields, status in {"Range: bytes=999999-\r\n": 416, 'If-Match: "x"\r\n': 412}.items():
        m = c.get("/", fields)
        assert m.status == status and m["content-type"] == "text/plain; charset=utf-8"


def test_a_page_for_an_error_is_not_described_as_the_file(proxy, tree):
    fields = "X-Accel-Redirect: /none\r\nContent-Type: video/x-own\r\nContent-Disposition: attachment\r\n"
    g = proxy(then=serve(lambda r, c: c.respond(b"", fields=fields)), pool=["hand-over accel"], site=f"""site * {{
        root {tree}/files
        error-page 404 /small.txt
        route /none /small.txt {{ internal; files }}
        route *                {{ proxy app }}
    }}""")
    m = g.get("/")
    assert m.status == 404 and m.body == SMALL
    assert m["content-type"].startswith("text/plain") and "content-disposition" not in m


def test_the_version_that_the_application_tells_counts(app):
    g = app('X-Sendfile: %(tree)s/files/small.txt\r\nETag: "v7"\r\nLast-Modified: Mon, 01 Jan 2001 00:00:00 GMT\r\n')
    c = g.client()
    assert c.get("/")["etag"] == '"v7"'
    assert c.get("/", 'If-None-Match: "v7"\r\n').status == 304
    assert c.get("/", "If-Modified-Since: Tue, 02 Jan 2001 00:00:00 GMT\r\n").status == 304
    assert c.get("/", 'Range: bytes=0-0\r\nIf-Range: "v7"\r\n').status == 206


def test_the_type_comes_from_the_name_where_the_application_says_none(app):
    m = app("X-Sendfile: %(tree)s/files/deep/er.css\r\n").get("/")
    assert m["content-type"] == "text/css; charset=utf-8" and m.body == b"p{}"


def test_the_answer_to_a_post_may_be_a_file(app):
    g = app("X-Sendfile: %(tree)s/files/small.txt\r\n")
    c = g.client()
    for _ in range(2):
        m = c.post("/", b"x" * 100000, "If-None-Match: *\r\nRange: bytes=0-0\r\n")
        assert m.status == 200 and m.body == SMALL
    assert len(g.backend.requests) == 2


def test_the_status_that_the_application_chose_stays(app):
    m = app("X-Sendfile: %(tree)s/files/small.txt\r\n", status="404 Not Found").get("/", "Range: bytes=0-1\r\n")
    assert m.status == 404 and m.body == SMALL


def test_names_are_taken_as_they_stand_or_decoded(app):
    assert app("X-Sendfile: %(tree)s/files/a b%%41.txt\r\n").get("/").body == b"odd name"
    assert app("X-Sendfile: %(tree)s/files/small%%2etxt\r\n").get("/").body == SMALL


def test_a_long_rest_of_the_answer_is_not_waited_for(proxy, tree):
    def script(c):
        c.request()
        c.send(f"HTTP/1.1 200 OK\r\nX-Sendfile: {tree}/files/small.txt\r\nTransfer-Encoding: chunked\r\n\r\n")
        c.send(b"5\r\nhello\r\n")
        c.wait_closed()
    g = proxy(script, script, pool=[f"hand-over sendfile from={tree}/files"])
    c = g.client()
    assert c.get("/").body == SMALL
    assert c.get("/").body == SMALL


def test_a_large_rest_of_the_answer_is_cut(proxy, tree):
    def script(c):
        c.request()
        try:
            c.respond(b"x" * 30_000_000, fields=f"X-Sendfile: {tree}/files/small.txt\r\n")
        except OSError:         # that is what the gateway is to do
            c.closed = True
    g = proxy(then=script, pool=[f"hand-over sendfile from={tree}/files"], gateway=("open-files off",))
    assert g.get("/").body == SMALL


def test_files_are_handed_over_to_http2_clients(app):
    g = app("X-Sendfile: %(tree)s/files/big.bin\r\n")
    with H2Client(g.address) as c:
        m = c.get("/")
        assert m.status == 200 and m.body == DATA


@pytest.mark.parametrize("more", ["", "printf 'a body that nobody sees'", "exec >&-; sleep 30", "sleep 30"])
def test_a_cgi_program_hands_over(gateway, tree, more):
    """Whether it ends, closes its output, or neither."""
    (tree / "send").write_text("#!/bin/sh\nprintf 'Content-Type: text/x-own\\nX-Sendfile: "
                               f"{tree}/files/small.txt\\n\\n'\n{more}\n")
    (tree / "send").chmod(0o755)
    g = gateway(f"""
gateway {{ threads 1; access-log off; open-files 64 valid=20ms }}
listen 127.0.0.1:0
pool app {{ backend cgi://{tree}/send; hand-over sendfile from={tree}/files }}
site {{ proxy app }}
""")
    g.check_fds = False
    m = g.client(timeout=20).get("/")
    assert m.status == 200 and m.body == SMALL and m["content-type"] == "text/x-own"


@pytest.mark.parametrize("protocol", ["fastcgi", "scgi"])
def test_backends_of_other_protocols_hand_over(proxy, program, here, tree, protocol):
    origin = program("/usr/bin/python3", f"{here}/apps/handing_over.py", protocol, f"{tree}/files/big.bin")
    g = proxy(f"{protocol}://127.0.0.1:{origin.first}", pool=[f"hand-over sendfile from={tree}/files"],
              gateway=("open-files 64 valid=20ms",))
    c = g.client()
    for _ in range(3):
        assert c.get("/").body == DATA
        assert c.get("/", "Range: bytes=7-9\r\n").body == DATA[7:10]


# ---- pieces ----

def test_pieces_of_files_make_up_a_body(app):
    g = app("X-Sendfile2: %(tree)s/files/small.txt 2-6, %(tree)s/files/big.bin 0-2\r\n"
            "X-Sendfile2: %(tree)s/files/small.txt 2-\r\nContent-Range: bytes 1-2/3\r\n", status="206 Partial Content")
    m = g.get("/")
    assert m.status == 206 and m.body == SMALL[2:7] + DATA[:3] + SMALL[2:]


@pytest.mark.parametrize("value", ["%(tree)s/files/small.txt", "%(tree)s/files/small.txt 5-2",
                                   "%(tree)s/files/small.txt 0-999", "%(tree)s/files/small.txt -5",
                                   "%(tree)s/files/small.txt 0-1;x", "0-1", "%(tree)s/files/small.txt 0-1, x"])
def test_wrong_pieces_are_an_error_of_the_application(app, value):
    assert app(f"X-Sendfile2: {value}\r\n").get("/").status == 502


# ---- temporary files ----

def test_a_temporary_file_is_sent_and_removed(app, tree):
    spool = tree / "spool" / "t.pdf"
    spool.write_bytes(DATA)
    g = app("X-LIGHTTPD-send-tempfile: %(tree)s/spool/t.pdf\r\nX-Own: 1\r\n", status="201 Created")
    m = g.get("/")
    assert m.status == 201 and m.body == DATA and m["x-own"] == "1" and "etag" not in m
    assert not spool.exists()
    assert g.get("/").status == 404


def test_an_empty_temporary_file_is_removed_too(app, tree):
    (tree / "spool" / "e").write_bytes(b"")
    m = app("X-LIGHTTPD-send-tempfile: %(tree)s/spool/e\r\n").get("/")
    assert m.status == 200 and m.body == b"" and not (tree / "spool" / "e").exists()


# ---- another route ----

def test_another_route_sends_the_file(app, proxy):
    g = app("X-Accel-Redirect: /protected/big.bin\r\nContent-Type: video/x-own\r\nSet-Cookie: a=b\r\nX-Own: 1\r\n",
            proxy=proxy)
    c = g.client()
    m = c.get("/download")
    assert m.status == 200 and m.body == DATA and m["content-type"] == "video/x-own" and m["set-cookie"] == "a=b"
    assert c.get("/", "Range: bytes=1-3\r\n").body == DATA[1:4]
    m = c.post("/", b"x" * 1000)
    assert m.status == 200 and m.body == DATA
    assert g.access(3)[0]["target"] == "/download"
    assert c.get("/protected/big.bin").status == 200, "by the application's leave"


def test_internal_routes_are_not_for_clients(proxy, tree):
    g = proxy(site=SITE % {"tree": tree, "keys": ""})
    assert g.get("/protected/big.bin").body == b"ok"         # the last route's


@pytest.mark.parametrize("target, body", [
    ("/protected/a%%20b%%2541.txt", b"odd name"), ("/protected/a b%%2541.txt", b"odd name"),
    ("/protected/../protected/small.txt", SMALL), ("/protected/small.txt?x=y", SMALL)])
def test_targets_as_applications_write_them(app, target, body):
    assert app(f"X-Accel-Redirect: {target}\r\n").get("/").body == body


def test_another_route_may_be_a_pools(app):
    def fields(request):
        if request.target == "/hidden/x?y":
            return "X-Second: 1\r\nSet-Cookie: c=d\r\n"
        return "X-Accel-Redirect: /hidden/x?y\r\nSet-Cookie: a=b\r\n"
    g = app(fields)
    m = g.client().post("/", b"body", "Content-Type: text/x-own\r\n")
    assert m.status == 200 and m.body == b"from the application" and m["x-second"] == "1"
    assert sorted(m.all("set-cookie")) == ["a=b", "c=d"]
    second = g.backend.requests[1]
    assert second.method == "GET" and second.body == b"" and "content-type" not in second


def test_cookies_that_came_apart_stay_together(app):
    def fields(request):
        return "" if request.target == "/hidden/x" else "X-Accel-Redirect: /hidden/x\r\n"
    g = app(fields)
    with H2Client(g.address) as c:
        c.send(h2_get(1, "/", ("cookie", "a=1"), ("cookie", "b=2")))
        assert c.wait_status(1).status == 200
    assert [r.all("Cookie") for r in g.backend.requests] == [["a=1; b=2"]] * 2


def test_a_loop_of_redirects_ends(app):
    g = app("X-Accel-Redirect: /loop\r\n")
    assert g.get("/").status == 500
    assert len(g.backend.requests) < 20


def test_buffering_is_the_applications_to_choose(app):
    m = app("X-Accel-Buffering: no\r\nX-Accel-Charset: koi8-r\r\nX-Accel-Expires: 60\r\nContent-Type: text/html\r\n").get("/")
    assert m.body == b"from the application" and m["content-type"] == "text/html; charset=koi8-r"
    assert not [n for n, _ in m.fields if n.startswith("x-accel")]


# ---- how fast ----

@pytest.mark.parametrize("fields, route", [("X-Accel-Limit-Rate: 2k\r\nX-Sendfile: %(tree)s/files/big.bin\r\n", ""),
                                           ("X-Accel-Limit-Rate: 2048\r\nX-Own: 1\r\n", ""),
                                           ("X-Accel-Redirect: /protected/big.bin\r\nX-Accel-Limit-Rate: 2k\r\n", ""),
                                           ("X-Own: 1\r\n", "limit rate=2k")])
def test_a_response_is_held_back_while_others_go_on(app, fields, route):
    """It would take 50 s at least."""
    g = app(fields, body=DATA, route=route)
    with Client(g.address) as slow, H2Client(g.address) as h2:
        slow.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        got = b""
        while b"\r\n\r\n" not in got:
            got += slow.recv(4096)
        assert b"200 OK" in got and b"Content-Length: %d\r\n" % len(DATA) in got
        number = h2.next_stream()
        h2.send(h2_get(number, "/"))
        h2.wait_status(number)
        fast = g.client()
        for _ in range(20):
            assert fast.get("/nothing", host="nobody").status == 404
        assert len(got) < len(DATA) / 2 and len(h2.stream(number).body) < len(DATA) / 2


def test_a_response_that_is_held_back_arrives_whole(app):
    g = app("X-Accel-Limit-Rate: 400k\r\nX-Sendfile: %(tree)s/files/big.bin\r\n")
    with H2Client(g.address) as h2:
        assert h2.get("/").body == DATA
    assert g.get("/").body == DATA
    g = app("X-Accel-Limit-Rate: off\r\n", body=DATA)
    assert g.get("/").body == DATA


@pytest.mark.parametrize("name, value", [("X-Accel-Limit-Rate", "fast"), ("X-Accel-Limit-Rate", "2 k"),
                                         ("X-Accel-Limit-Rate", "-1"), ("X-Accel-Buffering", "perhaps")])
def test_what_means_nothing_is_ignored_and_the_log_says_so(app, name, value):
    g = app(f"{name}: {value}\r\n", body=DATA)
    m = g.get("/")
    assert m.status == 200 and m.body == DATA and name.lower() not in m
    g.wait_line(rf"warn \[.*\] pool app sent {name}: {value}, which means nothing and is ignored")


# ---- again, elsewhere ----

def test_a_request_begins_again_with_its_body(app):
    def fields(request):
        return "X-Own: 1\r\n" if request.target == "/second?q" else \
            "X-Rewrite-URI: /second?q\r\nX-Rewrite-Host: other.test\r\nX-First: 1\r\n"
    g = app(fields)
    m = g.client().post("/first", b"the body")
    assert m.status == 404, "another host is another site"
    g = app(lambda r: "X-Own: 1\r\n" if r.target == "/second?q" else "X-Rewrite-URI: /second?q\r\nX-First: 1\r\n")
    m = g.client().post("/first", b"the body")
    assert m.status == 200 and m["x-own"] == "1" and "x-first" not in m
    second = g.backend.requests[1]
    assert second.method == "POST" and second.body == b"the body"


def test_a_body_that_cannot_be_sent_again_is_refused(app):
    g = app(lambda r: "X-Own: 1\r\n" if r.target == "/second" else "X-Rewrite-URI: /second\r\n")
    m = g.client().post("/first", b"x" * 1_000_000)
    assert m.status == 500 and len(g.backend.requests) == 1
    g = app(lambda r: "X-Own: 1\r\n" if r.target == "/second" else "X-Rewrite-URI: /second\r\n",
            allow=["hand-over rewrite", "buffer request"])
    m = g.client().post("/first", b"x" * 1_000_000)
    assert m.status == 200 and g.backend.requests[1].body == b"x" * 1_000_000


def test_a_backend_may_be_named(proxy, backend, tree):
    second = backend(then=serve(lambda r, c: b"second"))
    first = backend(then=serve(lambda r, c: c.respond(b"", fields=f"X-Rewrite-Backend: {second.address}\r\n")))
    g = proxy(first, second, pool=["hand-over rewrite", "balance first"])
    assert g.get("/").body == b"second"
    with g.client() as c:
        assert c.ask("GET", "http://test/").body == b"second"
    other = backend(then=serve(lambda r, c: c.respond(b"", fields="X-Rewrite-Backend: nowhere:1\r\n")))
    assert proxy(other, pool=["hand-over rewrite"]).get("/").status == 503


def test_a_backend_is_named_for_one_pool_alone(proxy, backend):
    """Neither for that of a page for an error, nor for that of another route."""
    first = backend(then=serve(lambda r, c: c.respond(b"", fields="X-Rewrite-Backend: nowhere:1\r\n")))
    pages = backend(then=serve(lambda r, c: b"sorry"))
    g = proxy(first, pool=["hand-over rewrite"], site=f"""
        pool pages {{ backend {pages.address} }}
        site * {{
            error-page 503 /sorry
            route /sorry {{ internal; proxy pages }}
            route *      {{ proxy app }}
        }}""")
    m = g.get("/")
    assert m.status == 503 and m.body == b"sorry"


# ---- what is not allowed ----

NAMES = ["X-Sendfile", "X-LIGHTTPD-send-file", "X-LIGHTTPD-send-tempfile", "X-Sendfile2", "X-Accel-Redirect",
         "X-Accel-Buffering", "X-Accel-Limit-Rate", "X-Accel-Charset", "X-Accel-Expires", "X-Rewrite-URI",
         "X-Rewrite-Host", "X-Rewrite-Backend"]


@pytest.mark.parametrize("name", NAMES)
def test_what_no_pool_allows_is_dropped(app, tree, name):
    g = app(name + ": %(tree)s/files/small.txt 0-1\r\nX-Own: 1\r\n", allow=[])
    m = g.get("/")
    assert m.status == 200 and m.body == b"from the application" and m["x-own"] == "1"
    assert name.lower() not in m
    wait_for(lambda: any("may not send " + name in line for line in g.lines), "a line in the log")
    assert (tree / "files" / "small.txt").exists()


@pytest.mark.parametrize("h2", [False, True])
def test_where_nothing_can_be_handed_over_nobody_learns_of_it(proxy, h2):
    def script(c):
        c.request()
        c.send("HTTP/1.1 103 Early Hints\r\nX-Sendfile: /secret\r\nLink: </a>\r\n\r\n"
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
               "0\r\nX-Accel-Redirect: /secret\r\nX-Own: 1\r\n\r\n")
    g = proxy(then=script, pool=["hand-over accel", "hand-over sendfile from=/tmp"])
    if h2:
        c = H2Client(g.address)
        s = c.get("/", ("te", "trailers"))
        said = repr((s.interim, s.fields, s.trailers))
        c.close()
    else:
        with g.client() as c:
            c.send("GET / HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nConnection: close\r\n\r\n")
            said = c.rest().decode().lower()
    assert "secret" not in said and "link" in said and "x-own" in said


# What a compromised application may try: nothing outside what is allowed is ever read or removed.
ATTACKS = ["/etc/passwd", "%(tree)s/secret", "%(tree)s/files/../secret", "%(tree)s/files/deep/../../secret",
           "%(tree)s/files-old/secret", "%(tree)s/files/../files-old/secret", "%(tree)s/files/out", "%(tree)s/files/up",
           "%(tree)s/files/dirout/secret", "%(tree)s/files/%%2e%%2e/secret", "%(tree)s/files/..%%2fsecret",
           "%(tree)s/files/%%252e%%252e/secret", "%(tree)s/files//../secret", "%(tree)s/files/./../secret", "../secret",
           "secret", "%(tree)s/files", "%(tree)s/files/", "%(tree)s/files/fifo", "%(tree)s/files/deep",
           "%(tree)s/files/small.txt/../../secret", "/proc/self/environ", "/proc/self/root%(tree)s/secret", "/dev/zero",
           "%(tree)s/files/out%%00.txt", "%(tree)s/files/..\\secret", "%(tree)s/files/%%c0%%ae%%c0%%ae/secret",
           "%(tree)s/files/nothing", "file://%(tree)s/secret", "%(tree)s/files/small.txt%%00", "/"]


@pytest.mark.parametrize("name", ["X-Sendfile", "X-LIGHTTPD-send-tempfile", "X-Sendfile2"])
def test_nothing_outside_the_allowed_directories_is_handed_over(proxy, tree, name):
    at = []

    def answer(request, c):
        value = ATTACKS[int(request.target[1:])] % {"tree": tree}
        c.respond(b"", fields=f"{name}: {value}{' 0-' if name.endswith('2') else ''}\r\n")
    g = proxy(serve(answer), pool=[f"hand-over sendfile tempfile from={tree}/files"])
    before = sorted(str(p) for p in tree.rglob("*") if "gateway" not in str(p))
    c = g.client()
    for i, attack in enumerate(ATTACKS):
        m = c.get(f"/{i}")
        if m.status not in (403, 404, 502) or SECRET in m.body:
            at.append((attack, m.status, m.body[:40]))
    assert not at
    assert sorted(str(p) for p in tree.rglob("*") if "gateway" not in str(p)) == before


@pytest.mark.parametrize("target", ["/../secret", "/protected/../../secret", "/protected/%%2e%%2e/secret", "/protected/out",
                                    "/protected/up", "/protected/dirout/secret", "/protected/..%%2fsecret", "@named",
                                    "secret", "//secret", "http://127.0.0.1/secret", "/protected/%%00", "/protected/fifo",
                                    "/protected/%%zz", "?x", "/protected/..\\secret", "*"])
def test_nothing_outside_the_root_is_reached_by_another_route(app, target):
    m = app(f"X-Accel-Redirect: {target}\r\n").get("/")
    assert SECRET not in m.body and m.status in (404, 500), (m.status, m.body)
