"""Downloads of a Django and of a Rack application, which hand their files over; resumed by curl. PHP with
a front controller."""

import json
import os
import subprocess

import pytest

from harness.apps import Fpm

pytestmark = pytest.mark.serial
DATA = os.urandom(400_000)

SITE = """
gateway {
    threads 1
    access-log off
    temp-dir %(tmp)s
}
listen 127.0.0.1:0
pool app {
    spawn %(command)s {
        socket port
        processes 1
        concurrency 4
        env FILES=%(files)s
    }
    hand-over accel
    hand-over sendfile from=%(files)s
}
site * {
    route /protected/* { internal; root %(files)s; files { strip /protected } }
    route *            { proxy app }
}
"""
COMMANDS = {
    "django": "/usr/bin/gunicorn -b 127.0.0.1:{{port}} --chdir {here}/apps -k gthread --threads 4 downloads:application",
    "rack": "/usr/bin/puma -b tcp://127.0.0.1:{{port}} -t 1:4 -e production {here}/apps/downloads.ru",
}


@pytest.fixture(params=sorted(COMMANDS))
def site(request, gateway, tmp_path, here):
    files = tmp_path / "files"
    files.mkdir()
    (files / "movie.mp4").write_bytes(DATA)
    (files / "a b.txt").write_bytes(b"a name with a space")
    g = gateway(SITE % {"command": COMMANDS[request.param].format(here=here), "files": files, "tmp": tmp_path})
    g.check_fds = False
    return g


@pytest.mark.parametrize("way", ["accel", "sendfile"])
def test_downloads_are_resumed(site, tmp_path, way):
    for option in ("--http1.1", "--http2-prior-knowledge"):
        out = tmp_path / "out"
        out.write_bytes(DATA[:123_456])
        run = subprocess.run(["curl", "-s", "-S", option, "-C", "-", "-o", out, "-D", tmp_path / "head", "-w",
                              "%{http_code} %{size_download}", f"{site.url}/{way}/movie.mp4"],
                             capture_output=True, text=True, timeout=60)
        assert run.stdout == f"206 {len(DATA) - 123_456}", run
        assert out.read_bytes() == DATA
        head = (tmp_path / "head").read_text().lower()
        assert "content-type: video/mp4" in head and 'content-disposition: attachment; filename="movie.mp4"' in head
        assert "set-cookie: last=movie.mp4" in head and "x-accel" not in head and "x-sendfile" not in head


@pytest.mark.parametrize("way", ["accel", "sendfile"])
def test_downloads_are_not_repeated_for_who_has_them(site, way):
    c = site.client(timeout=30)
    first = c.get(f"/{way}/movie.mp4")
    assert first.status == 200 and first.body == DATA
    assert c.get(f"/{way}/movie.mp4", {"If-None-Match": first["etag"]}).status == 304
    assert c.get(f"/{way}/movie.mp4", {"Range": "bytes=0-9", "If-Range": '"another"'}).body == DATA
    m = c.get(f"/{way}/movie.mp4", {"Range": "bytes=0-9,-10"})
    assert m.status == 206 and DATA[:10] in m.body and DATA[-10:] in m.body
    assert c.get(f"/{way}/a%20b.txt").body == b"a name with a space"
    assert c.get(f"/{way}/nothing").status == 404


# ---- PHP: a front controller, and files that it hands over ----

FRONT = """<?php
if ($_SERVER['DOCUMENT_URI'] == '/send.php') {
    $name = tempnam($_SERVER['DOCUMENT_ROOT'] . '/../exports', 'x');
    file_put_contents($name, str_repeat('exported ', 50000));
    header('Content-Type: application/x-own');
    header("X-LIGHTTPD-send-tempfile: $name");
    exit;
}
header('Content-Type: application/json');
echo json_encode($_SERVER);
"""


@pytest.fixture
def php(gateway, tmp_path, started):
    for folder in ("www", "exports"):
        (tmp_path / folder).mkdir()
    for name in ("index.php", "send.php"):
        (tmp_path / "www" / name).write_text(FRONT)
    (tmp_path / "www" / "style.css").write_text("p{}")
    fpm = Fpm(1)
    started.processes.append(fpm)
    g = gateway(f"""
gateway {{ threads 1; access-log off; temp-dir {tmp_path}; open-files 64 valid=20ms }}
listen 127.0.0.1:0
pool php {{
    protocol  fastcgi
    backend   {fpm.address}
    hand-over tempfile from={tmp_path}/exports
}}
site * {{
    root  {tmp_path}/www
    index index.html index.php
    route *.php {{ proxy php }}
    route *     {{ files else /index.php }}
}}
""")
    g.check_fds = False
    return g


@pytest.mark.parametrize("target, query", [("/2026/11/a-post/?p=1&q=%20", "p=1&q=%20"), ("/pretty%2fpath", ""), ("/", ""),
                                           ("/?x", "x"), ("/index.php?y", "y")])
def test_a_php_front_controller_learns_what_was_asked_for(php, tmp_path, target, query):
    v = json.loads(php.get(target).body)
    assert v["REQUEST_URI"] == target and v["QUERY_STRING"] == query and v["REQUEST_METHOD"] == "GET"
    assert v["SCRIPT_NAME"] == "/index.php" and v["SCRIPT_FILENAME"] == f"{tmp_path}/www/index.php"
    assert v.get("PATH_INFO", "") == "" and v["DOCUMENT_ROOT"] == f"{tmp_path}/www"


def test_a_form_reaches_a_php_front_controller(php):
    c = php.client()
    v = json.loads(c.post("/form/sent", "a=b", "Content-Type: application/x-www-form-urlencoded\r\n").body)
    assert v["REQUEST_METHOD"] == "POST" and v["CONTENT_LENGTH"] == "3" and v["REQUEST_URI"] == "/form/sent"
    assert c.get("/style.css").body == b"p{}" and c.post("/style.css", "x").status == 405


def test_scripts_are_never_sent_as_files(php):
    c = php.client()
    for target in ("/index.php", "/index.php/", "/index.php/x", "/index%2ephp", "/%69ndex.php", "//index.php", "/x/../index.php",
                   "/index.php%00", "/index.php.", "/index.PHP", "/index.php%20", "/index.php;x", "/"):
        assert b"<?php" not in c.get(target).body, target


def test_what_php_exports_is_sent_and_removed(php, tmp_path):
    c = php.client()
    for _ in range(3):
        m = c.get("/send.php")
        assert m.status == 200 and m.body == b"exported " * 50000 and m["content-type"] == "application/x-own"
        assert not list((tmp_path / "exports").iterdir())
