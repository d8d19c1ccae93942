"""Files: what is served, how, and what is not."""

import os
import socket

import pytest

from harness import Client, H2Client, serve, wait_for
from harness.h2 import get, window_update

pytestmark = pytest.mark.serial
SECRET = b"SENTINEL-do-not-show"
TEXT = b"hello, files\n"
DATA = bytes(range(256)) * 1000
PAST = 1_000_000_000
PAST_TEXT = "Sun, 09 Sep 2001 01:46:40 GMT"


def put(path, data, at=PAST):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))


def make_tree(top):
    """www/ is the root; what lies beside it is nobody's business."""
    www = top / "www"
    for name, data in {"a.txt": TEXT, "big.bin": DATA, "index.html": b"<p>index\n", "dir/index.html": b"sub\n",
                       "list/one.txt": b"1", "list/<b>&\"'.txt": b"2", "list/sub/x": b"3", "empty": b"", "sp ace.txt": b"space",
                       "a%2fb": b"percent", "UPPER.TXT": b"up", "page.html": b"<p>page", "page.html.gz": b"gzipped",
                       "page.html.br": b"brotlied", "page.html.zst": b"zstded", ".hidden": SECRET, "dir/.git/config": SECRET,
                       ".well-known/acme-challenge/t": b"token", "back\\slash": b"backslash", "dot.": b"dot",
                       "noread": SECRET}.items():
        put(www / name, data)
    put(top / "secret", SECRET)
    put(top / "www-old" / "secret", SECRET)
    (www / "out").symlink_to(top / "secret")
    (www / "up").symlink_to("../secret")
    (www / "dirout").symlink_to(top)
    (www / "root").symlink_to("/")
    (www / "loop").symlink_to("loop")
    (www / "in").symlink_to("a.txt")
    (www / "dirin").symlink_to("dir")
    os.mkfifo(www / "fifo")
    s = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(www)
    s.bind("sock")
    os.chdir(here)
    s.close()
    return top


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path)


@pytest.fixture(scope="module")
def shared_tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("tree"))


def config(tree, *keys, words="", route="", more="", index="index.html", cache="open-files 64 valid=50ms"):
    inner = "\n".join(keys)
    last = "" if "else next" in route else f"route * {{ files {words} {{\n{inner}\n}} }}"
    return f"""
gateway {{
    threads 1
    access-log access.log format=json
    {cache}
}}
listen 127.0.0.1:0
{more}
site test {{
    root {tree}/www
    index {index}
    {route}
    {last}
}}
"""


@pytest.fixture
def files(gateway, tree):
    """files("key", ...): a gateway that serves the tree; keys of `files`."""
    return lambda *keys, **more: gateway(config(tree, *keys, **more))


@pytest.fixture
def shared_files(shared_gateway, shared_tree):
    """The same for tests that change nothing."""
    return lambda *keys: shared_gateway(config(shared_tree, *keys))


# ---- what is served ----

@pytest.mark.parametrize("path, body, kind", [
    ("/a.txt", TEXT, "text/plain; charset=utf-8"), ("/big.bin", DATA, "application/octet-stream"),
    ("/", b"<p>index\n", "text/html; charset=utf-8"), ("/dir/", b"sub\n", "text/html; charset=utf-8"),
    ("/empty", b"", "application/octet-stream"), ("/sp%20ace.txt", b"space", "text/plain; charset=utf-8"),
    ("/a%252fb", b"percent", "application/octet-stream"), ("/UPPER.TXT", b"up", "text/plain; charset=utf-8"),
    ("/in", TEXT, "application/octet-stream"), ("/dirin/", b"sub\n", "text/html; charset=utf-8"),
    ("/dir/../a.txt", TEXT, "text/plain; charset=utf-8"), ("//a.txt", TEXT, "text/plain; charset=utf-8"),
    ("/%61.txt", TEXT, "text/plain; charset=utf-8"), ("/a.txt?query", TEXT, "text/plain; charset=utf-8"),
    ("/.well-known/acme-challenge/t", b"token", "application/octet-stream"),
    ("/back%5cslash", b"backslash", "application/octet-stream"), ("/dot.", b"dot", "application/octet-stream")],
    ids=lambda v: None if isinstance(v, str) else "")
def test_a_file_is_served(shared_files, path, body, kind):
    g = shared_files()
    c = g.client()
    for _ in range(2):
        m = c.get(path)
        assert m.status == 200 and m.body == body and m["content-type"] == kind
        assert m["last-modified"] == PAST_TEXT and m["etag"].startswith('"') and m["accept-ranges"] == "bytes"
    m = c.ask("HEAD", path)
    assert m.status == 200 and m.body == b"" and m["content-length"] == str(len(body))


def test_a_file_is_served_over_http2(shared_files):
    with H2Client(shared_files().address) as c:
        assert c.get("/big.bin").body == DATA
        assert c.get("/a.txt").body == TEXT


def test_without_a_cache_each_request_opens_its_file(files):
    g = files(cache="open-files off")
    c = g.client()
    for _ in range(3):
        assert c.get("/a.txt").body == TEXT and c.get("/big.bin").body == DATA


def test_a_small_cache_serves_many_files(files, tree):
    g = files(cache="open-files 2 valid=1h memory=1k")
    c = g.client()
    for _ in range(3):
        for i in range(8):
            put(tree / "www" / f"n{i}", b"%d" % i)
            assert c.get(f"/n{i}").body == b"%d" % i
    g.check_fds = False


def test_a_changed_file_is_seen(files, tree):
    g = files()
    c = g.client()
    first = c.get("/a.txt")
    put(tree / "www" / "new", b"another text", PAST + 5)
    os.rename(tree / "www" / "new", tree / "www" / "a.txt")
    m = wait_for(lambda: (lambda m: m if m.body != TEXT else None)(c.get("/a.txt")), "the new file")
    assert m.body == b"another text" and m["etag"] != first["etag"]
    os.unlink(tree / "www" / "a.txt")
    wait_for(lambda: c.get("/a.txt").status == 404, "it to be gone")


def test_another_root_of_the_same_name_is_seen(gateway, tree):
    (tree / "current").symlink_to("www")
    put(tree / "next" / "a.txt", b"next release")
    g = gateway(f"gateway {{ access-log off; open-files 64 valid=50ms }}\nlisten 127.0.0.1:0\n"
                f"site {{ root {tree}/current; files }}\n")
    assert g.get("/a.txt").body == TEXT
    (tree / "new").symlink_to("next")
    os.rename(tree / "new", tree / "current")
    wait_for(lambda: g.get("/a.txt").body == b"next release", "the next release")


def test_what_has_just_changed_has_a_weak_tag(files, tree):
    (tree / "www" / "now.txt").write_bytes(b"now")
    assert files().get("/now.txt")["etag"].startswith('W/"')


def test_a_future_time_is_not_told(files, tree):
    put(tree / "www" / "future.txt", b"x", 4_000_000_000)
    m = files().get("/future.txt")
    assert "2096" not in m["last-modified"]


# ---- nothing outside the root is ever read ----

OUTSIDE = {
    400: [     # no path, or one that climbs
        "/../secret", "/../../etc/passwd", "/dir/../../secret", "/./../secret", "/.././secret", "/..", "/../",
        "/%2e%2e/secret", "/%2E%2E/secret", "/.%2e/secret", "/%2e./secret", "/%2e%2e%2fsecret", "/..%2fsecret",
        "/..%2Fsecret", "/dir%2f..%2f..%2fsecret", "/%2f..%2f..%2fsecret", "//../secret", "/dir//../../secret",
        "/dir/%2e%2e/%2e%2e/secret", "/%%32%65%%32%65/secret", "/%uff0e%uff0e/secret", "/..%u2215secret",
        "/..\\secret", "/dir\\..\\..\\secret", "/\\..\\secret", "/a.txt%00", "/%00", "/a.txt%00.html", "/secret%00",
        "/..%00/secret", "/%00../secret", "/dir/%00/../../secret", "/dirin/../../secret", "/in/../../secret",
        "/../www-old/secret", "/%", "/%2", "/%zz", "/%2e%2", "/`id`", "/#/../secret", "/a.txt/../../secret",
        "/dir/index.html/../../../secret", "/%3b/../../secret"],
    404: [     # a name that is not there, or not to be shown
        "/...", "/.../secret", "/%252e%252e/secret", "/%252e%252e%252fsecret", "/..%252fsecret",
        "/%25%32%65%25%32%65/secret", "/%c0%ae%c0%ae/secret", "/%e0%80%ae%e0%80%ae/secret",
        "/%f0%80%80%ae%f0%80%80%ae/secret", "/..%c0%afsecret", "/..%e0%80%afsecret", "/%c0%2e%c0%2e/secret",
        "/%c0%5c..%c0%5c/secret", "/..%5csecret", "/..%5Csecret", "/%5c..%5c..%5csecret", "/out", "/up",
        "/dirout/secret", "/dirout/", "/root/etc/passwd", "/root/etc/", "/loop", "/loop/x", "/dirout/www/a.txt",
        "/dirout/../secret", "/in/", "/a.txt/", "/a.txt/.", "/a.txt//", "/a.txt/x", "/a.txt.", "/a.txt%20",
        "/a.txt%2e", "/a.txt%2f", "/a.txt;x", "/a.txt::$DATA", "/A.TXT", "/a.tx", "/a.txt~", "/a.txt%0a",
        "/a.txt%0d%0a", "/%0a", "/a.txt%09", "/.hidden", "/%2ehidden", "/dir/.git/config", "/dir/%2egit/config",
        "/.well-known/../.hidden", "/dir/.well-known/x", "/.well-known/.x", "/./.hidden", "//.hidden", "/.git/HEAD",
        "/.htaccess", "/fifo", "/sock", "/fifo/", "/sock/x", "/proc/self/environ", "/dev/zero",
        "/dev/stdin", "/list/", "/www-old/secret", "/secret", "/www/a.txt", "/" + "a" * 300, "/" + "a/" * 2000,
        "/" + "x" * 5000, "/~root/", "/~", "/$HOME", "/|id", "/*", "/index.html/", "/..;/secret", "/.;/secret",
        "/dir/..;/..;/secret", "/%ef%bc%8e%ef%bc%8e/secret", "/%e2%80%ae/secret", "/..%ef%bc%8fsecret",
        "/%2e%2e%5csecret"],
    200: [     # the index: what climbs stays within the root, or is a query
        "/a.txt/..", "/.", "/?/../secret"],
}


@pytest.mark.parametrize("links", ["on", "owner", "off"])
def test_nothing_outside_the_root_is_served(files, tree, links):
    """RFC 3986 6.2.2, 5.2.4; each has its verdict, whatever links are worth."""
    g = files(f"symlinks {links}")
    bad, count = [], 0
    for status, paths in OUTSIDE.items():
        for path in paths:
            with Client(g.address) as c:
                c.send(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: test\r\n\r\n")
                m = c.response()
            count += 1
            if m.status != status or SECRET in m.body or b"root:" in m.body or (status == 200) != (m.body == b"<p>index\n"):
                bad.append((path, m.status, m.body[:40]))
    assert not bad
    assert count >= 120
    assert g.get("/a.txt").body == TEXT


def test_every_policy_of_links(files):
    for links, served in {"on": ("/in", "/dirin/"), "owner": ("/in", "/dirin/"), "off": (),
                          "follow": ("/in", "/dirin/", "/out", "/up", "/dirout/secret")}.items():
        g = files(f"symlinks {links}")
        for path in ("/in", "/dirin/", "/out", "/up", "/dirout/secret", "/loop"):
            assert g.get(path).status == (200 if path in served else 404), (links, path)


@pytest.mark.parametrize("make", ["file", "directory"])
def test_a_link_of_another_owner_does_not_count(files, tree, make):
    if os.geteuid() != 0:
        pytest.fail("this test gives a link to another user, so it needs root")
    www = tree / "www"
    os.lchown(www / ("in" if make == "file" else "dirin"), 12345, 12345)
    g = files("symlinks owner")
    assert g.get("/in").status == (404 if make == "file" else 200)
    assert g.get("/dirin/").status == (404 if make == "directory" else 200)
    os.lchown(www / "a.txt", 12345, 12345)
    assert files("symlinks owner").get("/in").status == (200 if make == "file" else 404)


def test_dotfiles_are_served_where_that_is_wanted(files):
    assert files("dotfiles on").get("/.hidden").status == 200


def test_a_name_that_no_one_may_read_is_forbidden(files, tree):
    os.chmod(tree / "www" / "noread", 0)
    m = files().get("/noread")
    assert m.status == (200 if os.geteuid() == 0 else 403)


# ---- conditions: RFC 9110 13 ----

OLD, NEW = "Sat, 01 Jan 2000 00:00:00 GMT", "Tue, 01 Jan 2030 00:00:00 GMT"
CONDITIONS = [
    ({"If-None-Match": "{etag}"}, 304), ({"If-None-Match": "W/{etag}"}, 304), ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"x", {etag}'}, 304), ({"If-None-Match": '"x",,{etag},'}, 304), ({"If-None-Match": '"x"'}, 200),
    ({"If-None-Match": "{bare}"}, 200), ({"If-None-Match": ""}, 200), ({"If-None-Match": '"unfinished'}, 200),
    ({"If-None-Match": "*, {etag}"}, 200), ({"If-None-Match": '{etag} "x"'}, 304),
    ({"If-Modified-Since": PAST_TEXT}, 304), ({"If-Modified-Since": NEW}, 304), ({"If-Modified-Since": OLD}, 200),
    ({"If-Modified-Since": "yesterday"}, 200), ({"If-Modified-Since": "Sunday, 09-Sep-01 01:46:40 GMT"}, 304),
    ({"If-None-Match": '"x"', "If-Modified-Since": NEW}, 200), ({"If-None-Match": "{etag}", "If-Modified-Since": OLD}, 304),
    ({"If-Match": "{etag}"}, 200), ({"If-Match": "*"}, 200), ({"If-Match": '"x"'}, 412), ({"If-Match": "W/{etag}"}, 412),
    ({"If-Match": '"x", {etag}'}, 200), ({"If-Match": "{bare}"}, 412),
    ({"If-Unmodified-Since": PAST_TEXT}, 200), ({"If-Unmodified-Since": OLD}, 412), ({"If-Unmodified-Since": "x"}, 200),
    ({"If-Match": "{etag}", "If-Unmodified-Since": OLD}, 200), ({"If-Match": '"x"', "If-None-Match": "{etag}"}, 412),
    ({"If-Match": "{etag}", "If-None-Match": "{etag}"}, 304), ({"If-Unmodified-Since": OLD, "If-None-Match": "{etag}"}, 412),
    ({"If-None-Match": "{etag}", "Range": "bytes=0-1"}, 304), ({"If-Match": '"x"', "Range": "bytes=0-1"}, 412),
]

RANGES = [
    ("bytes=0-4", 206, TEXT[:5]), ("bytes=5-", 206, TEXT[5:]), ("bytes=-5", 206, TEXT[-5:]), ("bytes=0-0", 206, TEXT[:1]),
    ("bytes=12-12", 206, TEXT[12:]), ("bytes=0-999", 206, TEXT), ("bytes=-999", 206, TEXT), ("bytes=13-", 416, None),
    ("bytes=-0", 416, None), ("bytes=99-100", 416, None), ("bytes=5-4", 200, TEXT), ("bytes=", 200, TEXT), ("lines=1-2", 200, TEXT),
    ("bytes=a-b", 200, TEXT), ("bytes=1-2,x", 200, TEXT), ("bytes=0-4,99-", 206, TEXT[:5]),
    ("bytes=" + ",".join("%d-%d" % (i % 3, i % 3) for i in range(17)), 200, TEXT), ("bytes=0-,0-,0-", 200, TEXT),
    ("bytes=" + ",".join(["0-"] * 1000), 200, TEXT), ("bytes=0-18446744073709551616", 206, TEXT),
    ("bytes=18446744073709551616-", 416, None), ("bytes=0-0,1-1,2-2", 206, None), ("Bytes=0-1", 206, TEXT[:2]),
    ("bytes =0-1", 200, TEXT), ("bytes=0 -1", 200, TEXT), ("bytes=--1", 200, TEXT), ("bytes=+1-2", 200, TEXT),
]


def test_conditions_and_their_order(shared_files):
    c = shared_files().client()
    etag = c.get("/a.txt")["etag"]
    bad = []
    for fields, status in CONDITIONS:
        fields = {k: v.format(etag=etag, bare=etag.strip('"')) for k, v in fields.items()}
        for method in ("GET", "HEAD"):
            m = c.ask(method, "/a.txt", fields)
            if m.status != status and not (status == 200 and m.status == 206):
                bad.append((method, fields, m.status))
            if m.status == 304 and (m["etag"] != etag or "content-length" in m or m.body):
                bad.append((fields, m))
    assert not bad


def test_ranges(shared_files):
    c = shared_files().client()
    bad = []
    for value, status, body in RANGES:
        m = c.get("/a.txt", {"Range": value})
        if m.status != status or (body is not None and m.body != body) or \
                (status == 416 and m["content-range"] != "bytes */13"):
            bad.append((value[:60], m.status, m.body))
    assert not bad
    assert c.ask("HEAD", "/a.txt", "Range: bytes=0-1\r\n").status == 200       # RFC 9110 14.2: GET alone


@pytest.mark.parametrize("value, status", [("{etag}", 206), ("W/{etag}", 200), ('"x"', 200), (PAST_TEXT, 206), (OLD, 200),
                                           (NEW, 200), ("x", 200), ("*", 200)])
def test_a_range_counts_only_if_the_client_has_this_version(shared_files, value, status):
    c = shared_files().client()
    etag = c.get("/a.txt")["etag"]
    assert c.get("/a.txt", {"Range": "bytes=0-1", "If-Range": value.format(etag=etag)}).status == status


@pytest.mark.parametrize("path, data", [("/a.txt", TEXT), ("/big.bin", DATA)], ids=["small", "large"])
def test_several_ranges_come_in_parts(shared_files, path, data):
    """RFC 9110 14.6"""
    m = shared_files().get(path, "Range: bytes=0-1, 4-6,-2\r\n")
    assert m.status == 206 and "content-range" not in m
    kind, boundary = m["content-type"].split("; boundary=")
    assert kind == "multipart/byteranges"
    parts = m.body.split(b"\r\n--" + boundary.encode())
    assert parts[0] == b"" and parts[-1] == b"--\r\n" and len(parts) == 5
    for part, (first, last) in zip(parts[1:], [(0, 1), (4, 6), (len(data) - 2, len(data) - 1)]):
        head, body = part.split(b"\r\n\r\n", 1)
        assert b"Content-Range: bytes %d-%d/%d" % (first, last, len(data)) in head and b"Content-Type: " in head
        assert body == data[first:last + 1]


def test_ranges_may_be_fewer_or_none(files):
    g = files("ranges 2")
    assert g.get("/a.txt", "Range: bytes=0-0,2-2\r\n").status == 206
    assert g.get("/a.txt", "Range: bytes=0-0,2-2,4-4\r\n").status == 200
    m = files("ranges off").get("/a.txt", "Range: bytes=0-0\r\n")
    assert m.status == 200 and "accept-ranges" not in m


# ---- methods, directories, types ----

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "X"])
def test_other_methods_are_told_which_there_are(shared_files, method):
    c = shared_files().client()
    for path in ("/a.txt", "/", "/nothing"):
        m = c.ask(method, path, body=b"x" * 10)
        assert m.status == 405 and m["allow"] == "GET, HEAD, OPTIONS"


def test_options_tells_the_methods(shared_files):
    m = shared_files().client().ask("OPTIONS", "/a.txt")
    assert m.status == 204 and m["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path, to", [("/dir", "/dir/"), ("/dir?a=b", "/dir/?a=b"), ("//dir", "/dir/"), ("/x/../dir", "/dir/"),
                                      ("/%64ir", "/dir/"), ("/list/sub", "/list/sub/"), ("/dirin", "/dirin/")])
def test_a_directory_ends_with_a_slash(shared_files, path, to):
    m = shared_files().get(path)
    assert m.status == 301 and m["location"] == to


def test_a_directory_is_listed_where_that_is_wanted(files):
    assert files().get("/list/").status == 404
    assert b"not shown" in files("listing on entries=2").get("/list/").body
    g = files("listing on")
    m = g.get("/list/")
    assert m.status == 200 and m["content-type"] == "text/html; charset=utf-8"
    page = m.body.decode()
    assert '<a href="./sub/">sub/</a>' in page and "&lt;b&gt;&amp;&quot;&#39;.txt" in page
    assert "<b>" not in page and page.index("sub/") < page.index("txt") and "not shown" not in page
    assert "%3Cb%3E&amp;%22&#39;.txt" in page
    assert g.get("/").body == b"<p>index\n"
    assert ".hidden" not in files("listing on").get("/dir/.").body.decode()


def test_listings_escape_the_path(files, tree):
    put(tree / "www" / "<script>" / "x", b"")
    page = files("listing on").get("/%3Cscript%3E/").body
    assert b"<script>" not in page and b"&lt;script&gt;" in page


def test_types_come_from_a_file(files, tmp_path):
    """In the form of /etc/mime.types; the last word has the line that says one type itself."""
    (tmp_path / "mime.types").write_text("# types\n\napplication/x-none\nvideo/x-own\t\tBIN bin2 # more\r\ntext/x-own txt\n"
                                         "text/x-later txt")
    c = files(f"types {tmp_path}/mime.types").client()
    assert c.get("/big.bin")["content-type"] == "video/x-own"
    assert c.get("/a.txt")["content-type"] == "text/x-later; charset=utf-8"
    assert c.get("/index.html")["content-type"] == "text/html; charset=utf-8"
    c = files("type bin audio/x-one", f"types {tmp_path}/mime.types").client()
    assert c.get("/big.bin")["content-type"] == "audio/x-one"


def test_types_charset_and_caching_are_configured(files):
    g = files('type txt text/x-own', 'type .bin "video/x-own"', "charset iso-8859-1", 'cache-control "public, immutable"',
              "expires 30d", 'default-type off')
    c = g.client()
    m = c.get("/a.txt")
    assert m["content-type"] == "text/x-own; charset=iso-8859-1"
    assert m["cache-control"] == "public, immutable, max-age=2592000"
    assert c.get("/big.bin")["content-type"] == "video/x-own"
    assert "content-type" not in c.get("/empty")
    assert c.get("/a.txt", {"If-None-Match": "*"})["cache-control"] == "public, immutable, max-age=2592000"


@pytest.mark.parametrize("accept, body, coding", [
    ("br", b"brotlied", "br"), ("gzip", b"gzipped", "gzip"), ("zstd, gzip", b"zstded", "zstd"), ("gzip, br", b"brotlied", "br"),
    ("gzip;q=1, br;q=0.5", b"gzipped", "gzip"), ("deflate", b"<p>page", None), ("", b"<p>page", None), ("br;q=0", b"<p>page", None),
    ("*", b"brotlied", "br"), ("identity, gzip;q=0.1", b"<p>page", None), ("gzip;q=x", b"<p>page", None)])
def test_a_coding_that_lies_ready_is_sent(shared_files, accept, body, coding):
    g = shared_files("precompressed br zstd gzip")
    c = g.client()
    m = c.get("/page.html", {"Accept-Encoding": accept} if accept else "")
    assert m.status == 200 and m.body == body and m["content-encoding"] == coding
    assert m["vary"] == "Accept-Encoding" and m["content-type"] == "text/html; charset=utf-8"
    assert c.get("/a.txt", {"Accept-Encoding": accept} if accept else "").body == TEXT
    part = c.get("/page.html", {"Accept-Encoding": accept, "Range": "bytes=0-1"})
    assert part.status == 206 and part.body == body[:2] and part["content-encoding"] == coding


def test_each_coding_has_its_own_tag(files):
    c = files("precompressed br gzip").client()
    tags = {c.get("/page.html", {"Accept-Encoding": a})["etag"] for a in ("br", "gzip", "x")}
    assert len(tags) == 3


# ---- where requests go that no file answers ----

def test_a_front_controller_gets_what_no_file_answers(files, backend):
    b = backend(then=serve(lambda r, c: r.target.encode() + b" " + r.body))
    g = files(words="else /app.cgi", route="route /app.cgi { proxy app }", more=f"pool app {{ backend {b.address} }}")
    c = g.client()
    assert c.get("/a.txt").body == TEXT
    assert c.get("/pretty/path?x=y").body == b"/app.cgi?x=y "
    assert c.post("/pretty/path", b"body").body == b"/app.cgi body"
    assert c.get("/.hidden").body == b"/app.cgi "
    assert c.get("/list/").body == b"/app.cgi "


def test_the_next_route_gets_what_no_file_answers(files, tree, backend):
    b = backend(then=serve(lambda r, c: r.target.encode() + b" " + r.body))
    g = files(route=f"route * {{ files else next }}\nroute * {{ proxy app }}", more=f"pool app {{ backend {b.address} }}")
    c = g.client()
    assert c.get("/a.txt").body == TEXT
    assert c.get("/some/%2fpath?x=y").body == b"/some/%2fpath?x=y "
    assert c.post("/posted", b"body").body == b"/posted body"
    assert "never matches" not in "\n".join(g.lines)


def test_another_status_or_page_answers_what_no_file_does(files):
    assert files(words="else 410").get("/nothing").status == 410
    assert files(words="else /index.html").get("/deep/link").body == b"<p>index\n"
    assert files(words="else /nothing").get("/deep/link").status == 500


def test_an_index_may_be_a_script(files, tree, backend):
    b = backend(then=serve(lambda r, c: r.target.encode()))
    put(tree / "www" / "php" / "index.php", SECRET)
    g = files(route="route *.php { proxy app }", index="index.html index.php", more=f"pool app {{ backend {b.address} }}")
    c = g.client()
    assert c.get("/php/?x=y").body == b"/php/index.php?x=y"
    assert c.get("/dir/").body == b"sub\n"


def test_a_prefix_is_taken_off(files):
    g = files("strip /static/")
    c = g.client()
    assert c.get("/static/a.txt").body == TEXT and c.get("/a.txt").body == TEXT
    assert c.get("/static/dir")["location"] == "/static/dir/"
    assert c.get("/static")["location"] == "/static/" and c.get("/static/").body == b"<p>index\n"
    assert c.get("/staticx").status == 404 and c.get("/static/.hidden").status == 404


def test_a_root_that_is_not_there_is_an_error(gateway):
    g = gateway("listen 127.0.0.1:0\nsite { root /nothing/of/this/name; files }\n")
    g.expect_error("cannot open the root /nothing/of/this/name")
    assert g.get("/a.txt").status == 500


def test_a_file_that_is_cut_while_it_is_sent_breaks_off(files, tree):
    big = tree / "www" / "huge.bin"
    with open(big, "wb") as f:
        f.truncate(64 << 20)
    g = files()
    with Client(g.address, rcvbuf=4096) as c:
        c.send("GET /huge.bin HTTP/1.1\r\nHost: test\r\n\r\n")
        head = c.recv(100)
        assert b"200 OK" in head
        os.truncate(big, 1000)
        assert len(c.rest()) < 64 << 20
    wait_for(lambda: any("a file became shorter" in line for line in g.lines), "a line in the log")


def test_a_file_that_is_cut_costs_no_other_stream(files, tree):
    big = tree / "www" / "huge.bin"
    with open(big, "wb") as f:
        f.truncate(4 << 20)
    g = files()
    g.expect_error("a file became shorter while it was being sent")
    c = H2Client(g.address, window=1000, grow=False)
    c.send(get(1, "/huge.bin") + get(3, "/huge.bin"))
    c.until(lambda: c.stream(1).bytes == c.stream(3).bytes == 1000, "the windows to be used up")
    os.truncate(big, 2000)
    c.grow = True
    c.send(window_update(0, 8 << 20) + window_update(1, 8 << 20))
    c.until(lambda: c.streams[1].error, "the response to break off")
    assert c.streams[1].error == "INTERNAL_ERROR" and c.streams[1].bytes < 4 << 20 and not c.goaway
    c.last = 3
    assert c.get("/a.txt").status == 200
    c.close()
