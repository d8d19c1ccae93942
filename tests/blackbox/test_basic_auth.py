"""Names and passwords: user files as the usual tools write them, and nobody waits for a slow hash."""

import base64
import subprocess
import threading

import pytest

from harness import H2Client, serve, wait_for
from harness.admin import ADMIN, admin, ask, sluice


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.fixture(scope="session")
def users():
    """Written by htpasswd, openssl and mkpasswd."""
    lines = ["# people", "",
             run("htpasswd", "-nbB", "-C", "4", "bcrypt", "one:two"),
             "sha256:" + run("openssl", "passwd", "-5", "secret"),
             "sha512:" + run("openssl", "passwd", "-6", "päss wörd"),
             "yescrypt:" + run("mkpasswd", "-m", "yescrypt", "-R", "1", "y"),
             "empty:" + run("mkpasswd", "-m", "sha512crypt", ""),
             "more:" + run("openssl", "passwd", "-6", "more") + ":a comment, as in shadow(5)"]
    return "\n".join(line for line in lines) + "\n"


def basic(user, password):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() + "\r\n"


SITE = """site * {
    auth basic file=users realm="the \\"inner\\" circle"
    route /open*   { auth off; proxy app }
    route /header* { auth basic file=users header=X-Remote-User remember=off; proxy app }
    route /pass*   { auth basic file=users pass=on; proxy app }
    route *        { proxy app }
}"""


@pytest.fixture
def guarded(proxy, users, tmp_path):
    """guarded(script, ...): a gateway with users."""
    def start(*scripts, then=None, site=SITE, **keys):
        (tmp_path / "users").write_text(users)
        site = site.replace("file=", "file=../")        # it begins at the configuration file
        return proxy(*scripts, then=then or serve(), site=site, **keys)
    return start


def test_every_kind_of_hash_lets_its_owner_in(guarded):
    g = guarded()
    for user, password in [("bcrypt", "one:two"), ("sha256", "secret"), ("sha512", "päss wörd"),
                           ("yescrypt", "y"), ("empty", ""), ("more", "more")]:
        m = g.get("/", basic(user, password))
        assert m.status == 200, user
        assert g.get("/", basic(user, password + "x")).status == 401, user
    assert {m["Authorization"] for m in g.backend.requests} == {None}, "passwords stay here"


# What is no right answer to the question.
WRONG = {
    "nothing": "",
    "an unknown name": basic("nobody", "secret"),
    "another's password": basic("sha512", "secret"),
    "the hash as a password": basic("sha256", "$5$"),
    "a name that begins so": basic("sha", "secret"),
    "no name": basic("", "secret"),
    "no colon": "Authorization: Basic " + base64.b64encode(b"sha256").decode() + "\r\n",
    "a NUL": basic("sha256", "secret\0"),
    "a control character": basic("sha256", "secret\n"),
    "no padding": "Authorization: Basic " + base64.b64encode(b"sha256:secret").decode().rstrip("=") + "\r\n",
    "not base64": "Authorization: Basic sha256:secret\r\n",
    "another scheme": "Authorization: Bearer c2hhMjU2OnNlY3JldA==\r\n",
    "twice": basic("sha256", "secret") * 2,
    "a password without end": basic("sha256", "x" * 600),
    "a name without end": basic("x" * 300, "secret"),
}


@pytest.fixture(scope="module")
def users_file(users, tmp_path_factory):
    path = tmp_path_factory.mktemp("auth") / "users"
    path.write_text(users)
    return path


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_anything_else_is_asked_again(shared_proxy, users_file, fields):
    g = shared_proxy(site=SITE.replace("file=users", f"file={users_file}"))
    with g.client() as c:
        m = c.get("/", fields)
        assert m.status == 401
        assert m["WWW-Authenticate"] == 'Basic realm="the \\"inner\\" circle", charset="UTF-8"'
        assert c.get("/open").status == 200
    assert [m.target for m in g.backend.requests] == ["/open"]


def test_curl_asks_and_gets_in_by_http_1_and_2(guarded):
    g = guarded()
    for more in (["--anyauth"], ["--http2-prior-knowledge"]):
        r = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *more,
                            "-u", "sha512:päss wörd", g.url], capture_output=True, text=True, timeout=20)
        assert r.stdout == "200", r.stderr
        r = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *more, "-u", "sha512:x",
                            g.url], capture_output=True, text=True, timeout=20)
        assert r.stdout == "401", r.stderr


def test_the_backend_learns_the_user_and_cannot_be_lied_to(guarded):
    g = guarded()
    assert g.get("/header", basic("sha256", "secret") + "x-remote-user: admin\r\nX_Remote_User: root\r\n"
                 "Connection: X-Remote-User\r\n").status == 200
    assert g.get("/pass", basic("sha256", "secret")).status == 200
    told, passed = g.backend.requests
    assert told.all("X-Remote-User") == ["sha256"] and "Authorization" not in told
    assert "X_Remote_User" not in told
    assert passed["Authorization"] == basic("sha256", "secret").strip().partition(": ")[2]
    assert {line.get("user") for line in g.access(2)} == {"sha256"}


def test_a_body_that_nobody_wants_does_not_stand_in_the_way(guarded):
    g = guarded()
    with g.client() as c:
        assert c.post("/", b"x" * 1000).status == 401
        assert c.post("/", b"x" * 1000, basic("sha256", "secret")).status == 200


@pytest.fixture(scope="session")
def slow_user():
    """bcrypt with a cost of a quarter of a second or more."""
    return run("htpasswd", "-nbB", "-C", "12", "slow", "pw") + "\n"


def test_a_slow_hash_holds_up_nobody_else_and_is_worked_out_once(guarded, slow_user, tmp_path):
    (tmp_path / "slow").write_text(slow_user)
    g = guarded(site=SITE.replace("file=users realm", "file=slow realm"), threads=1)
    clients = [g.client() for _ in range(6)]
    for c in clients:
        c.send("GET / HTTP/1.1\r\nHost: a\r\n" + basic("slow", "pw") + "\r\n")
    with g.client() as c:
        for _ in range(50):
            assert c.get("/open").status == 200
    assert [c.response().status for c in clients] == [200] * 6
    before = g.cpu_seconds()
    with g.client() as c:
        for _ in range(20):
            assert c.get("/", basic("slow", "pw")).status == 200
    assert g.cpu_seconds() - before < 0.2, "a right password is remembered"


def test_clients_may_leave_while_their_password_is_checked(guarded, slow_user, tmp_path):
    (tmp_path / "slow").write_text(slow_user)
    g = guarded(site=SITE.replace("file=users realm", "file=slow realm"), gateway=ADMIN)
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    clients = [g.client() for _ in range(8)]
    for n, c in enumerate(clients):
        c.send(f"GET / HTTP/1.1\r\nHost: a\r\n{basic('slow', n)}\r\n")
    wait_for(lambda: str(ask(g, "/connections")).count("'admit'") == 8, "all to wait")
    for c in clients[:7]:
        c.reset()
    assert clients[7].response().status == 401
    with H2Client(g.address) as c:
        assert c.get("/", ("authorization", basic("slow", "pw").strip()[15:])).status == 200
    with admin(g) as c:
        assert b'sluice_admission_refused_total{gate="auth"} 1\n' in c.get("/metrics").body


def test_who_guesses_fast_leaves_room_for_others(guarded, slow_user, tmp_path):
    (tmp_path / "slow").write_text(slow_user)
    g = guarded(site=SITE.replace("file=users realm", "file=slow realm"), gateway=ADMIN)
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    clients = [g.client() for _ in range(100)]
    for n, c in enumerate(clients):
        c.send(f"GET / HTTP/1.1\r\nHost: a\r\n{basic('slow', n)}\r\n")
    early = clients[-1].response()
    assert early.status == 429 and early["Retry-After"] == "1"
    with g.client(source="127.0.0.2", timeout=30) as other:
        other.send(f"GET / HTTP/1.1\r\nHost: a\r\n{basic('slow', 'pw')}\r\n")
        wait_for(lambda: "127.0.0.2" in str(ask(g, "/connections")), "the other client to be there")
        for c in clients:
            c.reset()
        assert other.response().status == 200


def test_a_stop_does_not_wait_for_passwords(guarded, slow_user, tmp_path):
    (tmp_path / "slow").write_text(slow_user)
    g = guarded(site=SITE.replace("file=users realm", "file=slow realm"), gateway=["stop-timeout 200ms", *ADMIN])
    g.wait_line("admin: listening")
    clients = [g.client() for _ in range(9)]
    for n, c in enumerate(clients):
        c.send(f"GET / HTTP/1.1\r\nHost: a\r\n{basic('slow', n)}\r\n")
    wait_for(lambda: str(ask(g, "/connections")).count("'admit'") >= 5, "some to wait")
    g.stop()


def test_a_reload_takes_the_changed_file(guarded, tmp_path):
    g = guarded(gateway=ADMIN)
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    assert g.get("/", basic("sha256", "secret")).status == 200
    (tmp_path / "users").write_text("sha256:" + run("openssl", "passwd", "-6", "changed") + "\n")
    assert g.get("/", basic("sha256", "secret")).status == 200, "until then nothing is read"
    assert sluice(g, "reload").returncode == 0
    assert g.get("/", basic("sha256", "secret")).status == 401
    assert g.get("/", basic("sha256", "changed")).status == 200
    assert "auth: basic, 1 users of ../users" in sluice(g, "explain", "GET", "/").stdout


# (file, what is said of it)
BAD_FILES = {
    "plain text": ("a:secret\n", "users:1: this hash is of no kind that is known"),
    "md5": ("a:$apr1$x$y\n", "users:1: this hash is of no kind that is known"),
    "sha1": ("ok:$6$x$" + "a" * 86 + "\nb:{SHA}x\n", "users:2: this hash is of no kind that is known"),
    "DES": ("a:aaaaaaaaaaaaa\n", "users:1: this hash is of no kind that is known"),
    "no colon": ("abc\n", "users:1: a line is NAME:HASH"),
    "no name": (":$6$x$y\n", "users:1: a line is NAME:HASH"),
    "empty": ("# nobody\n\n", "users names no user"),
    "missing": (None, "cannot read 'users': "),
}


@pytest.mark.serial
@pytest.mark.parametrize("text,why", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_user_file_is_refused(tmp_path, text, why):
    from harness.gateway import command
    (tmp_path / "c").write_text("listen 0\npool a { backend b:1 }\nsite { auth basic file=users; proxy a }\n")
    if text is not None:
        (tmp_path / "users").write_text(text)
    r = subprocess.run(command("check", "-c", tmp_path / "c"), capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and why in r.stderr, r.stderr


def test_many_threads_ask_at_once(guarded):
    g = guarded(threads=4)
    found = []

    def go(n):
        with g.client() as c:
            for i in range(10):
                user = ["sha256", "nobody"][(n + i) % 2]
                found.append((user, c.get("/", basic(user, "secret")).status))
    threads = [threading.Thread(target=go, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(found) == {("sha256", 200), ("nobody", 401)}
