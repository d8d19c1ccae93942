"""Responses in a content coding: for whom, of what, and what comes of it."""

import gzip
import re
import subprocess
import zlib

import pytest

from harness import Broken, Event, H2Client, serve, wait_for
from harness.admin import admin

pytestmark = pytest.mark.serial
CODINGS = ["zstd", "br", "gzip"]
DECODERS = {"gzip": ["gzip", "-dc"], "br": ["brotli", "-dc"], "zstd": ["zstd", "-dcq"]}
TEXT = b"".join(b"<li>line %d of a page that says much the same again and again</li>\n" % n for n in range(3000))
ON = ["compress on min=100"]


def decoded(m, coding):
    assert m["Content-Encoding"] == coding
    r = subprocess.run(DECODERS[coding], input=m.body, capture_output=True, timeout=20)
    assert r.returncode == 0, r.stderr
    return r.stdout


def page(body=TEXT, fields="", status="200 OK", type="text/html; charset=utf-8"):
    def answer(request, c):
        c.respond(body, status, f"Content-Type: {type}\r\n" + fields)
    return serve(answer)


def accept(coding):
    return f"Accept-Encoding: {coding}\r\n"


@pytest.mark.parametrize("coding", CODINGS)
def test_the_usual_tools_decode_what_was_sent(shared_proxy, coding):
    g = shared_proxy(then=page(fields='ETag: "v1"\r\nAccept-Ranges: bytes\r\n'), route=ON)
    m = g.get("/", accept(coding))
    assert decoded(m, coding) == TEXT
    assert len(m.body) < len(TEXT) / 10
    assert m["Vary"] == "Accept-Encoding"
    assert m["ETag"] == 'W/"v1"'
    assert "Content-Length" not in m and "Accept-Ranges" not in m
    assert m["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("piece", [1, 7, 333, 16384])
def test_pieces_of_any_size_are_decoded(shared_proxy, coding, piece):
    text = TEXT[:40 * piece] if piece < 1000 else TEXT

    def answer(request, c):
        c.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(text), piece):
            part = text[at:at + piece]
            c.send(b"%x\r\n" % len(part) + part + b"\r\n")
        c.send("0\r\n\r\n")
    g = shared_proxy(then=serve(answer), route=ON)
    assert decoded(g.get("/", accept(coding)), coding) == text


@pytest.mark.parametrize("coding", CODINGS)
def test_over_http2_and_with_buffers(shared_proxy, coding):
    g = shared_proxy(then=page(), route=ON, pool=["buffer response memory=8k"])
    with H2Client(g.address) as c:
        m = c.get("/", ("accept-encoding", coding))
        assert m["content-encoding"] == coding and m["content-length"] is None
        r = subprocess.run(DECODERS[coding], input=m.body, capture_output=True, timeout=20)
        assert r.stdout == TEXT


def test_curl_takes_every_page_apart(shared_proxy):
    g = shared_proxy(then=page(), route=ON)
    for more in (["--http1.1"], ["--http1.0"], ["--http2-prior-knowledge"], []):
        r = subprocess.run(["curl", "-sS", "--compressed", "-D", "-", *more, g.url], capture_output=True,
                           timeout=20)
        head, _, body = r.stdout.partition(b"\r\n\r\n")
        assert body == TEXT, r.stderr
        assert b"content-encoding" in head.lower()


# What the client asks for, and what it gets with `compress zstd br gzip`.
CHOICES = [
    ("gzip, deflate, br, zstd", "zstd"),
    ("gzip, deflate, br", "br"),
    ("gzip", "gzip"),
    ("x-gzip", "gzip"),
    ("zstd;q=0.5, gzip;q=0.7", "gzip"),
    ("*", "zstd"),
    ("*, zstd;q=0", "br"),
    ("br;q=0", None),
    ("deflate", None),
    ("identity", None),
    ("identity;q=1, gzip;q=0.5", None),
    ("identity;q=0, gzip;q=0.5", "gzip"),
    ("identity;q=0", None),
    ("", None),
    ("gzip;q=nonsense", None),
    ("gzip;q=0.5;q=1", None),
]


@pytest.mark.parametrize("wish,coding", CHOICES, ids=[c[0] or "nothing" for c in CHOICES])
def test_the_client_chooses(shared_proxy, wish, coding):
    g = shared_proxy(then=page(), route=["compress zstd br gzip"])
    m = g.get("/", accept(wish))
    assert m["Content-Encoding"] == coding
    assert m["Vary"] == "Accept-Encoding", "others get something else"
    if coding is None:
        assert m.body == TEXT


def test_nothing_is_compressed_unless_asked_for(shared_proxy):
    g = shared_proxy(then=page(), route=ON)
    m = g.get("/")
    assert m.body == TEXT and "Content-Encoding" not in m and m["Vary"] == "Accept-Encoding"
    assert g.get("/", accept("gzip") + "Cache-Control: no-transform\r\n").body == TEXT


# (fields, status, type, body): what is left as it is.
LEFT = {
    "encoded already": ("Content-Encoding: br\r\n", "200 OK", "text/html", TEXT),
    "no-transform": ("Cache-Control: public, no-transform\r\n", "200 OK", "text/html", TEXT),
    "a digest of the bytes": ("Content-Digest: sha-256=:AAAA:\r\n", "200 OK", "text/html", TEXT),
    "a part": ("Content-Range: bytes 0-9/20\r\n", "206 Partial Content", "text/html", TEXT),
    "an image": ("", "200 OK", "image/png", TEXT),
    "a type like text": ("", "200 OK", "context/html", TEXT),
    "short": ("", "200 OK", "text/html", TEXT[:99]),
    "no type": ("", "200 OK", "", TEXT),
}


@pytest.mark.parametrize("fields,status,type,body", LEFT.values(), ids=LEFT)
def test_some_responses_are_left_as_they_are(shared_proxy, fields, status, type, body):
    g = shared_proxy(then=page(body, fields + 'ETag: "v1"\r\n', status, type), route=ON)
    m = g.get("/", accept("gzip"))
    assert m.body == body and m["Content-Length"] == str(len(body))
    assert m["ETag"] == '"v1"' and m["Vary"] == ("Accept-Encoding" if status.startswith("206") else None)
    assert m["Content-Encoding"] == ("br" if "Content-Encoding" in fields else None)


def test_errors_and_svg_are_compressed(shared_proxy):
    g = shared_proxy(then=page(status="404 Not Found", type="image/svg+xml"), route=ON)
    m = g.get("/", accept("gzip"))
    assert m.status == 404 and decoded(m, "gzip") == TEXT


def test_responses_without_a_body_stay_so(shared_proxy):
    def answer(request, c):
        if request.target == "/204":
            c.send("HTTP/1.1 204 No Content\r\nContent-Type: text/html\r\n\r\n")
        else:
            c.send('HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n')
    g = shared_proxy(then=serve(answer), route=ON)
    with g.client() as c:
        m = c.get("/204", accept("gzip"))
        assert m.status == 204 and "Content-Encoding" not in m
        m = c.get("/304", accept("gzip"))
        assert m.status == 304 and m["ETag"] == 'W/"v1"' and m["Vary"] == "Accept-Encoding"
        m = c.get("/304")
        assert m["ETag"] == '"v1"' and m["Vary"] == "Accept-Encoding"
        for held, told in (('W/"v1"', 'W/"v1"'), ('"v0", "v1"', '"v1"'), ('"v0"', 'W/"v1"')):
            assert c.get("/304", accept("gzip") + f"If-None-Match: {held}\r\n")["ETag"] == told


def test_head_tells_what_get_would_send(shared_proxy):
    def answer(request, c):
        c.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"v1\"\r\nContent-Length: {len(TEXT)}\r\n\r\n")
        if request.method == "GET":
            c.send(TEXT)
    g = shared_proxy(then=serve(answer), route=ON)
    with g.client() as c:
        heads = [c.ask(method, "/", accept("br")) for method in ("GET", "HEAD")]
        for name in ("Content-Encoding", "Vary", "ETag", "Content-Length", "Content-Type"):
            assert heads[0][name] == heads[1][name], name
        assert heads[1].body == b"" and heads[1]["Content-Encoding"] == "br"


def test_http_1_0_sees_the_end_by_the_close(shared_proxy):
    g = shared_proxy(then=page(), route=ON)
    with g.client() as c:
        m = c.get("/", accept("gzip"), version="1.0")
        assert "Transfer-Encoding" not in m and m["Connection"] == "close"
        assert decoded(m, "gzip") == TEXT


def test_vary_is_added_to_and_not_said_twice(proxy):
    g = proxy(page(fields="Vary: Cookie\r\n"), page(fields="Vary: cookie, accept-encoding\r\n"),
              route=ON, pool=["keep-alive idle=0"])
    assert g.get("/", accept("gzip")).all("Vary") == ["Cookie", "Accept-Encoding"]
    assert g.get("/", accept("gzip")).all("Vary") == ["cookie, accept-encoding"]


def test_types_and_sizes_are_configured(shared_proxy):
    g = shared_proxy(then=page(type="application/x-own", body=TEXT[:200]),
              route=["compress gzip types=application/x-*,text/css min=200 level=9"])
    assert decoded(g.get("/", accept("gzip")), "gzip") == TEXT[:200]


def test_a_route_switches_off_what_its_site_has_on(shared_proxy):
    g = shared_proxy(then=page(), site="""site * {
        compress gzip
        route /account/* { proxy app; compress off }
        route * { proxy app }
    }""")
    assert g.get("/", accept("gzip"))["Content-Encoding"] == "gzip"
    m = g.get("/account/x", accept("gzip"))
    assert m.body == TEXT and "Vary" not in m


@pytest.mark.parametrize("coding", CODINGS)
def test_events_are_not_held_back(shared_proxy, coding):
    """Each event is there, decoded, before the backend says the next."""
    steps = []

    def answer(request, c):
        c.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(4):
            event = b"data: event %d\n\n" % n
            c.send(b"%x\r\n%s\r\n" % (len(event), event))
            wait_for(lambda: len(steps) > n, f"event {n} at the client")
        c.send("0\r\n\r\n")
    g = shared_proxy(then=serve(answer), route=ON)
    p = subprocess.Popen(["curl", "-sSN", "--compressed", "-H", f"Accept-Encoding: {coding}", g.url],
                         stdout=subprocess.PIPE)   # decodes as it comes, whatever the coding
    try:
        for n in range(4):
            assert p.stdout.readline() == b"data: event %d\n" % n
            assert p.stdout.readline() == b"\n"
            steps.append(n)
        assert p.stdout.read() == b""
        assert p.wait(10) == 0
    finally:
        p.kill()
        p.communicate()


@pytest.mark.faults
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_what_breaks_off_at_the_backend_is_broken_off_at_the_client(shared_proxy, framing):
    def script(c):
        c.request()
        data = b"x" * 5000
        c.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{framing}\r\n\r\n".encode())
        c.send(b"%x\r\n%s\r\n" % (len(data), data) if "chunked" in framing else data)
        c.close()
    g = shared_proxy(script, script, route=ON, pool=["retry attempts=1"])
    with g.client() as c:
        with pytest.raises(Broken):
            c.get("/", accept("gzip"))
    with g.client() as c:
        c.send("GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        rest = c.rest()
        body = rest.partition(b"\r\n\r\n")[2]
        d = zlib.decompressobj(31)
        d.decompress(body)
        assert not d.eof, "a stream that broke off looks complete"


def test_memory_for_encoders_has_a_bound_beyond_which_nothing_is_compressed(proxy):
    """A response that is not over yet holds the only encoder there may be."""
    left = Event()

    def answer(request, c):
        if request.target == "/page":
            return c.respond(TEXT, fields="Content-Type: text/plain\r\n")
        c.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        wait_for(left.is_set, "the client to leave")
        assert c.wait_closed() == b""
    g = proxy(then=serve(answer), route=["compress gzip"], threads=1,
              gateway=["limit compress=300k", "admin unix:admin.sock"])
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    with g.client() as slow:
        slow.send("GET /slow HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        assert slow.reader.head()["Content-Encoding"] == "gzip"
        m = g.get("/page", accept("gzip"))
        assert m.body == TEXT and "Content-Encoding" not in m
    left.set()
    wait_for(lambda: g.get("/page", accept("gzip"))["Content-Encoding"] == "gzip", "the encoder to come back")
    with admin(g) as c:
        m = re.search(rb"^sluice_compress_refused_total (\d+)$", c.get("/metrics").body, re.M)
        assert m and int(m[1]) >= 1


def test_the_log_counts_what_was_sent(proxy):
    g = proxy(then=page(), route=ON)
    m = g.get("/", accept("gzip"))
    assert g.access(1)[0]["sent_bytes"] == len(m.body)


def test_files_are_compressed_as_they_are_read(gateway, tmp_path):
    large = b"".join(b"line %d\n" % n for n in range(400000))
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "large.txt").write_bytes(large)
    (tmp_path / "www" / "small.txt").write_bytes(TEXT[:50])
    (tmp_path / "www" / "ready.css").write_bytes(TEXT)
    (tmp_path / "www" / "ready.css.gz").write_bytes(gzip.compress(TEXT, 9))
    g = gateway(f"""gateway {{
    threads 1
    access-log access.log format=json
}}
listen 127.0.0.1:0
site * {{
    root {tmp_path}/www
    compress on
    route * {{ files {{ precompressed gzip }} }}
}}
""")
    with g.client() as c:
        for coding in CODINGS:
            m = c.get("/large.txt", accept(coding))
            assert decoded(m, coding) == large and m["ETag"].startswith("W/")
        m = c.get("/large.txt", accept("gzip") + "Range: bytes=5-9\r\n")
        assert m.status == 206 and m.body == large[5:10] and "Content-Encoding" not in m
        assert m["Vary"] == "Accept-Encoding"
        m = c.get("/large.txt", "Range: bytes=5-9,20-30\r\n")
        assert m.status == 206 and m["Vary"] == "Accept-Encoding"
        tag = c.get("/ready.css", accept("gzip"))["ETag"]
        m = c.get("/ready.css", accept("gzip") + f"If-None-Match: {tag}\r\n")
        assert m.status == 304 and m["ETag"] == tag
        assert c.get("/small.txt", accept("gzip")).body == TEXT[:50]
        m = c.get("/ready.css", accept("zstd, gzip"))
        assert m["Content-Encoding"] == "gzip" and gzip.decompress(m.body) == TEXT and "Content-Length" in m
