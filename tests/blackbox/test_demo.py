"""`make run`: the bundled example, one page with every protocol, started by the gateway itself."""

import os
import re

from harness import Client, wait_for
from harness.gateway import BIN, TOP


def test_the_demo_shows_every_protocol_on_one_page(program):
    build = os.path.dirname(os.path.dirname(BIN))
    p = program(f"{TOP}/examples/demo/run", build, env={**os.environ, "DEMO_LISTEN": "127.0.0.1:0"})
    address = re.search(r"listening on http://(\S+):(\d+)", p.first)
    with Client((address[1], int(address[2])), timeout=20) as c:
        page = c.get("/").body.decode()
        assert "One gateway, three protocols" in page
        for target in ("/headers", "/fastcgi", "/cgi-bin/hello?from=page", "/stream"):
            assert target in page, target
        assert c.get("/headers").body.startswith(b"GET /headers HTTP/1.1")
        assert b"REQUEST_URI=/fastcgi\n" in c.get("/fastcgi").body
        assert b"SCRIPT_NAME=/cgi-bin/hello" in c.get("/cgi-bin/hello?from=page").body
        assert c.post("/upload", b"x" * 1_000_000).body.strip().startswith(b"1000000")
        c.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n")
        assert c.reader.until(b"data:")
    p.terminate()
    assert wait_for(lambda: p.poll() is not None, "the demo to end") and p.returncode == 0
