"""PHP: php-fpm with few children, and php-cgi that the gateway starts itself."""

import hashlib
import json
import re
import threading

import pytest

from conftest import make_config
from harness import Event, wait_for
from harness.admin import ADMIN, sluice
from harness.apps import PHP_CGI, Fpm, site

# Each request waits until another one runs beside it: with one child that sits idle while a request
# waits, it would wait in vain.
MEET = """<?php
$f = fopen(__DIR__ . '/count', 'c+');
flock($f, LOCK_EX);
$n = (int) fread($f, 20);
rewind($f);
fwrite($f, (string) ($n + 1));
fclose($f);
$mine = __DIR__ . '/' . intdiv($n, 2) . '.' . ($n % 2);
$other = __DIR__ . '/' . intdiv($n, 2) . '.' . (1 - $n % 2);
touch($mine);
for ($i = 0; $i < 40000; $i++) {
    clearstatcache();
    if (file_exists($other)) {
        echo 'met';
        exit;
    }
    usleep(250);
}
http_response_code(500);
"""

VARIABLES = """<?php
header('Content-Type: application/json');
echo json_encode(array_filter($_SERVER, 'is_string'));
"""

UPLOAD = """<?php
$in = fopen('php://input', 'r');
$hash = hash_init('sha256');
hash_update_stream($hash, $in);
echo $_SERVER['CONTENT_LENGTH'], ' ', hash_final($hash);
"""

DOWNLOAD = """<?php
header('Content-Type: application/octet-stream');
for ($i = 0; $i < 512; $i++)
    echo str_repeat(chr($i % 251), 65536);
"""

SAY = """<?php
error_log('a word from the application');
file_put_contents('php://stderr', "and one by stderr\\n");
echo 'said';
"""

DROPS = """<?php
for ($i = 0; $i < 3; $i++) {
    echo "drop $i\\n";
    while (ob_get_level()) ob_end_flush();
    flush();
    $go = __DIR__ . "/go$i";
    while (!file_exists($go)) { clearstatcache(); usleep(1000); }
}
"""

SCRIPTS = {"meet.php": MEET, "vars.php": VARIABLES, "upload.php": UPLOAD, "download.php": DOWNLOAD, "say.php": SAY,
           "drops.php": DROPS, "index.php": "<?php echo 'index of ', $_SERVER['SCRIPT_NAME'];",
           "small.php": "<?php echo 'ok';"}


@pytest.fixture
def www(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def fpm(started):
    def start(children=2, **settings):
        f = Fpm(children, **settings)
        started.processes.append(f)
        return f
    return start


def all_of(count, work):
    """work(i) in count threads; what went wrong."""
    failures = []

    def one(i):
        try:
            work(i)
        except BaseException as e:      # noqa: B902 - it is reported below
            failures.append(repr(e))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return failures


# ---- php-fpm ----

def test_two_children_serve_fifty_clients_and_neither_is_idle_while_one_waits(gateway, fpm, www):
    f = fpm(2)
    g = gateway(make_config(f, threads=4, site=site(www), pool=[
        "protocol fastcgi", "max-conns 2", "keep-alive idle=32 timeout=60s", "queue length=100 timeout=60s"]))
    most, over = [0], Event()

    def watch():
        while not over.is_set():
            most[0] = max(most[0], f.connections())
            over.wait(0.002)
    watcher = threading.Thread(target=watch)
    watcher.start()

    turns = iter(range(200))    # for whoever is free: the last two are to meet, and one client cannot ask for both

    def work(i):
        c = g.client(timeout=30)
        for _ in turns:
            m = c.get("/meet.php")
            assert m.status == 200 and m.body == b"met", m
    failures = all_of(50, work)
    over.set()
    watcher.join()
    assert not failures, failures
    assert most[0] <= 2, f"{most[0]} connections to 2 children"
    assert {a["status"] for a in g.access(200)} == {200}
    assert not [line for line in g.lines if "backend" in line], g.lines


def test_a_third_request_passes_though_both_children_have_a_kept_connection(gateway, fpm, www):
    f = fpm(2)
    g = gateway(make_config(f, threads=4, site=site(www), pool=[
        "protocol fastcgi", "max-conns 2", "keep-alive idle=32 timeout=60s"]))
    clients = [g.client() for _ in range(24)]       # of every thread
    for c in clients:
        assert c.get("/small.php").body == b"ok"
    assert f.connections() == 2
    for c in clients:
        assert c.get("/small.php").body == b"ok"
    assert f.connections() <= 2


def test_no_connection_is_kept_where_nobody_says_how_many_children_there_are(gateway, fpm, www):
    f = fpm(1)
    g = gateway(make_config(f, threads=4, site=site(www), pool=["protocol fastcgi"]))
    for c in [g.client() for _ in range(16)]:
        assert c.get("/small.php").body == b"ok"
    wait_for(lambda: f.connections() == 0, "the child to be free again")
    lines = [line for line in g.lines if "backend" in line]
    assert not lines, lines


# ---- php-cgi, spawned ----

def spawned(start, www, *keys, processes="1..2", site_keys=(), php=(), **more):
    command = f"spawn {PHP_CGI} -n " + " ".join(f"-d {p}" for p in php)
    g = start(make_config(site=site(www, *site_keys), pool=[
        "protocol fastcgi", *keys, f"{command} {{\n processes {processes}\n }}"], **more))
    g.check_fds = False
    return g


def test_php_sees_its_variables(gateway, www):
    g = spawned(gateway, www, site_keys=["index index.php", "param APP_MODE test"])
    v = json.loads(g.get("/vars.php/more/info%20x?a=1&b=%20c", "Cookie: k=v\r\nX-Own: y\r\nProxy: evil\r\n",
                         host="shop.test:8080").body)
    expected = {
        "REQUEST_METHOD": "GET", "REQUEST_URI": "/vars.php/more/info%20x?a=1&b=%20c", "QUERY_STRING": "a=1&b=%20c",
        "SCRIPT_NAME": "/vars.php", "SCRIPT_FILENAME": f"{www}/vars.php", "PATH_INFO": "/more/info x",
        "DOCUMENT_ROOT": str(www), "PHP_SELF": "/vars.php/more/info x", "SERVER_NAME": "shop.test",
        "HTTP_HOST": "shop.test:8080", "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "127.0.0.1", "SERVER_PORT": str(g.address[1]), "HTTP_COOKIE": "k=v", "HTTP_X_OWN": "y",
        "REQUEST_SCHEME": "http", "APP_MODE": "test"}
    assert {k: v.get(k) for k in expected} == expected
    assert "HTTP_PROXY" not in v and "HTTPS" not in v
    assert g.get("/").body == b"index of /index.php"


def test_php_knows_of_https_from_a_trusted_proxy_alone(gateway, www):
    fields = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.7\r\n"
    v = json.loads(spawned(gateway, www).get("/vars.php", fields).body)
    assert "HTTPS" not in v and v["REQUEST_SCHEME"] == "http" and v["REMOTE_ADDR"] == "127.0.0.1"
    g = spawned(gateway, www, gateway=["trusted-proxies 127.0.0.1"])
    v = json.loads(g.get("/vars.php", fields).body)
    assert v["HTTPS"] == "on" and v["REQUEST_SCHEME"] == "https" and v["REMOTE_ADDR"] == "192.0.2.7"


@pytest.mark.parametrize("chunked", [False, True])
def test_php_gets_a_large_upload_whole(gateway, www, chunked):
    g = spawned(gateway, www, php=["post_max_size=0"])
    body = bytes(range(256)) * 80_000
    c = g.client(timeout=30)
    if chunked:
        c.send("POST /upload.php HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 400_000):
            piece = body[at:at + 400_000]
            c.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        c.send(b"0\r\n\r\n")
        m = c.response("POST")
    else:
        m = c.post("/upload.php", body)
    assert m.status == 200 and m.body.decode() == f"{len(body)} {hashlib.sha256(body).hexdigest()}"


def test_php_sends_a_large_download_whole(gateway, www):
    g = spawned(gateway, www)
    assert g.client(timeout=30).get("/download.php").body == b"".join(bytes([i % 251]) * 65536 for i in range(512))


def test_what_php_sends_first_arrives_before_it_goes_on(gateway, www):
    g = spawned(gateway, www, "buffer off")
    c = g.client()
    c.send("GET /drops.php HTTP/1.1\r\nHost: t\r\n\r\n")
    c.reader.head()
    for i in range(3):
        c.reader.until(b"drop %d\n" % i)
        (www / f"go{i}").touch()
    assert c.reader.until(b"0\r\n\r\n")


def test_what_php_logs_carries_the_id_of_the_request(gateway, www):
    g = spawned(gateway, www, php=["log_errors=1"])
    m = g.get("/say.php", "X-Request-Id: given\r\n")
    assert m.body == b"said"
    exchange = g.wait_line(r"warn \[([0-9a-f]+)\] pool app .*a word from the application")[1]
    assert g.access()[0]["id"] == exchange
    g.wait_line(r"and one by stderr")


def test_a_fatal_error_of_php_is_its_answer_and_its_process_goes_on(gateway, www):
    (www / "fatal.php").write_text("<?php missing();")
    g = spawned(gateway, www, php=["log_errors=1", "display_errors=0"], processes=1)
    for _ in range(3):
        assert g.get("/fatal.php").status == 500
    assert g.get("/small.php").body == b"ok"
    g.wait_line(r"warn \[[0-9a-f]+\] .*Call to undefined function missing")
    assert sum("started" in line for line in g.lines) == 1


def test_php_that_ends_after_its_share_of_requests_is_replaced_without_an_error(gateway, www):
    g = gateway(make_config(site=site(www), pool=[
        "protocol fastcgi",
        f"spawn {PHP_CGI} -n {{\n processes 2\n env PHP_FCGI_MAX_REQUESTS=20\n }}"]))
    g.check_fds = False

    def work(i):
        c = g.client(timeout=20)
        for _ in range(40):
            assert c.get("/small.php").body == b"ok"
            assert c.post("/small.php", b"x=1").body == b"ok"
    failures = all_of(6, work)
    assert not failures, failures
    assert sum(bool(re.search(r"exited with status 0", line)) for line in g.lines) >= 10
    assert {a["status"] for a in g.access(480)} == {200}


def test_script_that_is_not_there_is_phps_404(gateway, www):
    g = spawned(gateway, www)
    assert g.get("/none.php").status == 404
    assert g.get("/none.php/../../etc/passwd.php").status in (400, 404)


def test_a_file_that_somebody_has_uploaded_is_not_run(gateway, www):
    (www / "uploads" / "real").mkdir(parents=True)
    (www / "uploads" / "photo.jpg").write_text("<?php echo 'run';")
    (www / "uploads" / "photo.php.jpg").write_text("<?php echo 'run';")
    (www / "uploads" / "real" / "x.php").write_text("<?php echo 'ran ', $_SERVER['PATH_INFO'];")
    g = spawned(gateway, www, site_keys=["index index.php"])
    for path in ("/uploads/photo.jpg/x.php", "/uploads/photo.jpg/.php", "/uploads/photo.jpg/", "/uploads/photo.jpg%2fx.php",
                 "/uploads/photo.jpg/x.php/more", "/uploads/photo.jpg//x.php", "/uploads/photo.php.jpg/x.php",
                 "/uploads/photo.jpg/a/b.php", "/uploads/photo.jpg%0a.php", "/uploads/none/x.php"):
        m = g.get(path)
        assert m.status == 404 and b"run" not in m.body, path
    assert g.get("/uploads/real/x.php/photo.jpg/y.php").body == b"ran /photo.jpg/y.php"


@pytest.mark.parametrize("shared", ["off", "on"])
def test_a_rolling_restart_of_php_costs_no_request_not_even_a_post(gateway, www, shared):
    g = gateway(make_config(site=site(www), gateway=[*ADMIN, "access-log off"], pool=[
        "protocol fastcgi", f"spawn {PHP_CGI} -n {{\n processes 2\n socket inherit shared={shared}\n }}"]))
    g.check_fds = False
    g.wait_line("admin: listening")
    over, counts = Event(), [0] * 4

    def work(i):
        c = g.client(timeout=20)
        while not over.is_set():
            assert c.get("/small.php").body == b"ok"
            assert c.post("/small.php", b"x=1").body == b"ok"
            counts[i] += 1

    def restart():
        for _ in range(4):
            started = sum("started" in line for line in g.lines)
            goal = [n + 5 for n in counts]
            assert sluice(g, "pool", "app", "restart").returncode == 0
            wait_for(lambda: sum("started" in line for line in g.lines) >= started + 2, "two more processes", 20)
            wait_for(lambda: all(n >= k for n, k in zip(counts, goal)) or failures, "answers", 20)

    def restart_and_tell():
        try:
            restart()
        except Exception as e:
            failures.append(repr(e))
        finally:
            over.set()      # else the others would go on for ever
    failures = []
    restarter = threading.Thread(target=restart_and_tell)
    restarter.start()
    failures += all_of(4, work)
    restarter.join()
    assert not failures, failures
    assert not [line for line in g.lines if "killing it" in line]
