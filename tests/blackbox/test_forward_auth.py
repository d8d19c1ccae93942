"""Another application is asked whether a request may come in, and what it says goes on."""

import subprocess

import pytest

from harness import Event, H2Client, serve, wait_for
from harness.admin import ADMIN, ask, sluice


def judge(request, c):
    """Lets in whom the cookie names; sends the others away in several ways."""
    cookie = request["Cookie"] or ""
    if cookie.startswith("user="):
        if cookie == "user=renewed":
            return c.respond(b"", "200 OK", "Set-Cookie: session=2; HttpOnly\r\nSet-Cookie: seen=1\r\nX-Own: 1\r\n")
        c.respond(b"x" * 100, "202 Accepted", f"Remote-User: {cookie[5:]}\r\nX-Team: blue\r\nX-Secret: 1\r\n")
    elif cookie == "login":
        c.respond(b"<a href=/login>", "302 Found", "Location: https://login.example/\r\nSet-Cookie: a=b\r\n")
    elif cookie == "large":
        c.respond(b"x" * 1000000)
    elif cookie.isdigit():
        c.respond(b"why not", f"{cookie} Odd")
    else:
        c.respond(b"who are you?", "401 Unauthorized", 'WWW-Authenticate: Bearer realm="x"\r\n')


SITE = """pool auth {
    backend %s
    retry attempts=1
    timeout response=500ms
}
site * {
    auth forward auth /check copy=Remote-User,X-Team
    route /open* { auth off; proxy app }
    route /both* { auth forward auth /check timeout=300ms; rate 1/h burst=3; proxy app }
    route *      { proxy app }
}"""


@pytest.fixture
def guarded(proxy, backend):
    """guarded(script...): a gateway before the usual pool and one that is asked; g.auth is its backend."""
    def start(*scripts, then=None, app=None, site=SITE, **keys):
        b = backend(*scripts, then=then or (None if scripts else serve(judge)))
        g = proxy(then=app or serve(), site=site % b.address, **keys)
        g.auth = b
        return g
    return start


def cookie(text):
    return f"Cookie: {text}\r\n"


def test_a_yes_lets_the_request_through_with_fields_of_the_answer(guarded):
    g = guarded()
    lies = "remote-user: root\r\nX-TEAM: red\r\nX-Original-URI: /free\r\nX-Forwarded-Method: LIE\r\n"
    m = g.client().post("/a%20b?c=d", b"body", cookie("user=ann") + lies + "Range: bytes=0-1\r\n")
    assert m.status == 200
    asked, = g.auth.requests
    assert (asked.method, asked.target, asked.body) == ("GET", "/check", b"")
    assert asked["X-Original-Method"] == asked["X-Forwarded-Method"] == "POST"
    assert asked.all("X-Original-URI") == ["/a%20b?c=d"] and asked["X-Forwarded-Uri"] == "/a%20b?c=d"
    assert asked["Cookie"] == "user=ann" and asked["X-Forwarded-For"] == "127.0.0.1"
    assert "Content-Length" not in asked and "Range" not in asked
    got, = g.backend.requests
    assert (got.method, got.target, got.body) == ("POST", "/a%20b?c=d", b"body")
    assert got.all("Remote-User") == ["ann"] and got.all("X-Team") == ["blue"]
    assert "X-Secret" not in got and got["Range"] == "bytes=0-1"


def test_a_client_can_neither_strip_nor_imitate_what_is_said_of_it(guarded):
    g = guarded()
    hops = ("Connection: Remote-User, X-Team, X-Original-URI, X-Original-Method, X-Own\r\nX-Own: 1\r\n"
            "Remote_User: root\r\nX_Team: red\r\nX_Original_URI: /free\r\n")
    assert g.get("/secret", cookie("user=ann") + hops).status == 200
    asked, = g.auth.requests
    assert asked.all("X-Original-URI") == ["/secret"] and asked["X-Original-Method"] == "GET"
    assert "X-Own" not in asked and "X_Original_URI" not in asked
    got, = g.backend.requests
    assert got.all("Remote-User") == ["ann"] and got.all("X-Team") == ["blue"] and "X-Own" not in got
    assert "Remote_User" not in got and "X_Team" not in got


def test_what_a_client_says_of_itself_does_not_come_back_with_a_redirect(guarded):
    def app(request, c):
        c.respond(fields="" if request.target == "/inside" else "X-Accel-Redirect: /inside\r\n")
    site = SITE.replace("route /open*", "route /inside { internal; auth off; proxy app }\n    route /open*")
    g = guarded(app=serve(app), site=site, pool=("hand-over accel",))
    assert g.get("/", cookie("user=ann") + "Remote-User: root\r\nX-Team: red\r\nX-Other: 1\r\n").status == 200
    _, second = g.backend.requests
    assert second.target == "/inside" and second["X-Other"] == "1"
    assert "Remote-User" not in second and "X-Team" not in second


def test_a_no_is_passed_on_as_it_is(guarded):
    g = guarded()
    with g.client() as c:
        m = c.get("/")
        assert (m.status, m.body) == (401, b"who are you?")
        assert m["WWW-Authenticate"] == 'Bearer realm="x"'
        m = c.get("/", cookie("login"))
        assert (m.status, m.body) == (302, b"<a href=/login>")
        assert m["Location"] == "https://login.example/" and m["Set-Cookie"] == "a=b"
        m = c.post("/", b"x" * 1000, cookie("403"))
        assert (m.status, m.body) == (403, b"why not")
        m = c.ask("HEAD", "/", cookie("403"))
        assert (m.status, m.body) == (403, b"")
        assert c.get("/open").status == 200
    assert [m.target for m in g.backend.requests] == ["/open"]
    lines = g.access(5)
    assert [line["status"] for line in lines] == [401, 302, 403, 403, 200], "our own requests have no line"


@pytest.mark.parametrize("route,status", [("proxy app", 200), ("respond 204", 204), ("respond 404", 404), ("proxy none", 502)])
def test_cookies_of_a_yes_reach_the_client_with_any_response(guarded, route, status):
    def answer(request, c):
        c.respond(b"ok", fields="Set-Cookie: own=1\r\n")
    g = guarded(app=serve(answer), site=f"""pool auth {{ backend %s }}
pool none {{ backend 127.0.0.1:1 }}
site * {{
    route /silent {{ auth forward auth; proxy app }}
    route *       {{ auth forward auth cookies=on; {route} }}
}}""")
    g.expect_error("127.0.0.1:1")
    own = ["own=1"] if status == 200 else []
    for client in g.client(), H2Client(g.address):
        with client as c:
            field = (("cookie", "user=renewed"),) if isinstance(c, H2Client) else (cookie("user=renewed"),)
            m = c.get("/", *field)
            assert m.status == status and "x-own" not in m
            assert m.all("set-cookie") == own + ["session=2; HttpOnly", "seen=1"]
            assert c.get("/silent", *field).all("set-cookie") == ["own=1"]
            assert all(r["Set-Cookie"] is None for r in g.backend.requests)


@pytest.mark.parametrize("odd,status", [("500", 502), ("503", 503), ("304", 502), ("large", 502)])
def test_anything_else_lets_nobody_in(guarded, odd, status):
    g = guarded()
    g.expect_error("auth forward|our own")
    assert g.get("/", cookie(odd)).status == status
    assert g.backend.requests == []


@pytest.mark.faults
@pytest.mark.parametrize("breaks", ["silent", "closes", "resets", "nonsense", "cut"])
def test_a_broken_judge_lets_nobody_in(guarded, breaks):
    def script(c):
        c.request()
        if breaks == "silent":
            c.wait_closed()
        elif breaks == "resets":
            c.reset()
        elif breaks == "nonsense":
            c.send("MOO\r\n\r\n")
        elif breaks == "cut":
            c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123")
    g = guarded(then=script)
    g.expect_error("auth forward|our own")
    assert g.get("/").status == (504 if breaks == "silent" else 502)
    assert g.get("/open").status == 200
    assert [m.target for m in g.backend.requests] == ["/open"]


def test_the_deadline_is_that_of_the_gate(guarded):
    def script(c):
        c.request()
        c.wait_closed()
    g = guarded(then=script)
    g.expect_error("auth forward|our own|timeout")
    assert g.get("/both").status == 504


def test_a_body_waits_until_the_request_is_let_in(guarded):
    g = guarded()
    with g.client() as c:
        c.send(f"POST / HTTP/1.1\r\nHost: a\r\n{cookie('user=x')}Content-Length: 500000\r\n\r\n" + "y" * 1000)
        wait_for(lambda: g.backend.open, "the backend to be asked")
        c.send("y" * 499000)
        assert c.response("POST").status == 200
    assert len(g.backend.requests[0].body) == 500000


def test_clients_leave_while_the_judge_thinks(guarded):
    go = Event()

    def answer(request, c):
        assert go.wait(20)
        judge(request, c)
    g = guarded(then=serve(answer), gateway=ADMIN, threads=1, site=SITE.replace("500ms", "20s"))
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    clients = [g.client() for _ in range(6)]
    for c in clients:
        c.send(f"GET / HTTP/1.1\r\nHost: a\r\n{cookie('user=x')}\r\n")
    wait_for(lambda: len(g.auth.requests) == 6, "all to be asked for")
    assert str(ask(g, "/connections")).count("'admit'") == 6
    busy = [f for f in g.fds().values() if f.startswith("socket")]
    for c in clients[:5]:
        c.reset()
    wait_for(lambda: len([f for f in g.fds().values() if f in busy]) <= len(busy) - 10,
             "their connections, and those to the judge, to be closed")
    go.set()
    assert clients[5].response().status == 200
    assert len(g.backend.requests) == 1


def test_http2_and_many_at_a_time(guarded):
    g = guarded(threads=2)
    with H2Client(g.address) as c:
        for n in range(20):
            assert c.get("/", ("cookie", f"user={n}")).status == 200
            assert c.get("/", ("cookie", "403")).status == 403
    r = subprocess.run(["wrk", "-t1", "-c20", "-d1s", "-H", "Cookie: user=x", g.url], capture_output=True,
                       text=True, timeout=30)
    assert "Non-2xx" not in r.stdout and "Socket errors" not in r.stdout, r.stdout


def test_explain_tells_who_is_asked(guarded):
    g = guarded()
    assert "auth: pool auth is asked for /check" in sluice(g, "explain", "-c", "sluice.conf", "GET", "/").stdout


AUTHORIZER = """<?php
header("Content-Type: text/plain");
if (($_SERVER["HTTP_COOKIE"] ?? "") != "let me in") {
    http_response_code(403);
    echo "role " . $_SERVER["FCGI_ROLE"] . " method " . $_SERVER["REQUEST_METHOD"] . " uri " .
        $_SERVER["REQUEST_URI"] . " length " . ($_SERVER["CONTENT_LENGTH"] ?? "none");
    return;
}
header("Variable-REMOTE_USER: ann");
header("Variable-LEVEL: 7");
header("X-Level: seven");
"""

BEHIND = """<?php
echo $_SERVER["REMOTE_USER"] . " " . $_SERVER["LEVEL"] . " " . ($_SERVER["HTTP_X_LEVEL"] ?? "none") . " " .
    $_SERVER["REQUEST_METHOD"] . " " . strlen(file_get_contents("php://input"));
"""


def test_a_fastcgi_application_is_asked_as_an_authorizer(gateway, tmp_path):
    (tmp_path / "auth.php").write_text(AUTHORIZER)
    (tmp_path / "index.php").write_text(BEHIND)
    g = gateway(f"""gateway {{
    threads 1
    access-log access.log format=json
}}
listen 127.0.0.1:0
pool php {{
    protocol fastcgi
    spawn php-cgi {{ processes 1..2 }}
}}
site * {{
    root {tmp_path}
    index index.php
    auth forward php /auth.php copy=X-Level
    proxy php
}}
""")
    g.check_fds = False
    with g.client(timeout=30) as c:
        m = c.post("/x/index.php?q", b"12345")
        assert (m.status, m.body) == (403, b"role AUTHORIZER method POST uri /x/index.php?q length none")
        m = c.post("/index.php?q", b"12345", cookie("let me in"))
        assert (m.status, m.body) == (200, b"ann 7 seven POST 5")
