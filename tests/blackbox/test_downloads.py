"""Downloads of a Django and of a Rack application, which hand their files over; resumed by curl."""

import os
import subprocess

import pytest

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
