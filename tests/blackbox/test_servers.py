"""Real servers behind the gateway: nginx, node, and a Python ASGI server."""

import json
import os
import subprocess

import pytest

from harness import serve, wait_for
from harness.apps import listening_socket

pytestmark = pytest.mark.serial

WS_MODULE = "/usr/share/nodejs/ws"      # Debian's node-ws; NODE_PATH is not set for every node


@pytest.fixture
def nginx(nginx_server, tmp_path):
    www = tmp_path / "www"
    www.mkdir()
    (www / "small.txt").write_text("from nginx\n")
    (www / "large.bin").write_bytes(bytes(range(256)) * 20_000)
    return nginx_server(f"""
        root {www}; gzip on; gzip_proxied any; gzip_types *; gzip_min_length 1;
        location = /who {{ return 200 "$host $http_x_forwarded_for $http_via $server_protocol"; }}
        location = /moved {{ return 301 /small.txt; }}
        location = /post {{ return 200 "$request_method $content_length"; }}""", http="client_max_body_size 0;")


@pytest.fixture
def node(program, here):
    p = program("node", f"{here}/apps/node.js", env={**os.environ, "WS_MODULE": WS_MODULE})
    return f"127.0.0.1:{p.first}"


@pytest.fixture
def asgi(program, here):
    s = listening_socket()
    program("/usr/bin/python3", "-m", "uvicorn", "--fd", str(s.fileno()), "--log-level", "warning",
            "--app-dir", f"{here}/apps", "asgi:app", first_line=False, pass_fds=[s.fileno()])
    yield "127.0.0.1:%d" % s.getsockname()[1]
    s.close()


# ---- nginx ----

def test_nginx_serves_files_through_the_gateway(proxy, nginx):
    g = proxy(nginx)
    c = g.client()
    m = c.get("/small.txt")
    assert m.status == 200 and m.body == b"from nginx\n" and m["server"].startswith("nginx")
    assert c.get("/large.bin").body == bytes(range(256)) * 20_000
    assert c.get("/none").status == 404
    assert c.get("/moved")["location"].endswith("/small.txt")
    assert c.ask("HEAD", "/large.bin")["content-length"] == "5120000"
    assert c.get("/small.txt", f"If-None-Match: {m['etag']}\r\n").status == 304
    part = c.get("/large.bin", "Range: bytes=256-511\r\n")
    assert part.status == 206 and part.body == bytes(range(256))
    assert c.get("/who", host="shop.example").body == b"shop.example 127.0.0.1 1.1 sluice HTTP/1.1"


def test_nginx_chunks_what_it_compresses(proxy, nginx):
    m = proxy(nginx).get("/small.txt", "Accept-Encoding: gzip\r\n")
    assert m.tokens("transfer-encoding") == ["chunked"] and m["content-encoding"] == "gzip"


def test_nginx_takes_a_chunked_post(proxy, nginx):
    c = proxy(nginx).client()
    assert c.ask("POST", "/post", "Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n").status == 200
    assert c.post("/post", b"x" * 3_000_000).body == b"POST 3000000"


def test_curl_through_the_gateway_to_nginx(proxy, nginx, tmp_path):
    g = proxy(nginx)
    out = tmp_path / "got"
    subprocess.run(["curl", "-fsS", "-o", out, f"{g.url}/large.bin"], check=True, timeout=30)
    assert out.read_bytes() == bytes(range(256)) * 20_000
    subprocess.run(["curl", "-fsS", "-T", out, "-H", "Expect: 100-continue", "-X", "POST",
                    f"{g.url}/post"], check=True, timeout=30, stdout=subprocess.DEVNULL)


# ---- node ----

def test_node_echoes_with_trailers(proxy, node):
    c = proxy(node).client()
    for size in (0, 5, 300_000):
        m = c.ask("POST", "/echo", f"TE: trailers\r\nConnection: TE\r\nContent-Length: {size}\r\n", b"n" * size)
        assert m.body == b"n" * size and m.trailers == [("x-bytes", str(size))]


def test_node_sends_early_hints(proxy, node):
    c = proxy(node).client()
    c.send("GET /hints HTTP/1.1\r\nHost: t\r\n\r\n")
    m = c.response(interim=True)
    assert m.status == 103 and "style.css" in m["link"]
    assert c.response(interim=True).body == b"hinted"


def test_node_events_are_not_held_back(proxy, node):
    """Each is written when the one before has arrived here."""
    g = proxy(node)
    c = g.client()
    c.send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
    assert c.reader.head()["content-type"] == "text/event-stream"
    assert c.reader.until(b"\n\n").endswith(b"retry: 1000\n\n")
    for n in range(20):
        assert g.get(f"/events/next?{n}").status == 204
        assert c.reader.until(b"\n\n").decode().split("data: ")[1] == f"{n}\n\n"


def test_websocket_echo_with_pings_for_ten_seconds(proxy, node, here):
    g = proxy(node)
    r = subprocess.run(["node", f"{here}/apps/ws_client.js", f"ws://127.0.0.1:{g.address[1]}/ws", "10"],
                       env={**os.environ, "WS_MODULE": WS_MODULE}, capture_output=True, text=True, timeout=60)
    seen = json.loads(r.stdout)
    assert "error" not in seen and seen["wrong"] == 0 and seen["code"] == 1000, seen
    assert seen["messages"] > 30 and seen["pings"] >= 18 and seen["pongs"] >= seen["pings"] - 1, seen
    record = g.access(1)[0]
    assert record["status"] == 101


def test_websocket_of_a_path_that_has_none(proxy, node, here):
    g = proxy(node)
    r = subprocess.run(["node", f"{here}/apps/ws_client.js", f"ws://127.0.0.1:{g.address[1]}/none", "1"],
                       env={**os.environ, "WS_MODULE": WS_MODULE}, capture_output=True, text=True, timeout=60)
    assert "400" in r.stdout or "404" in r.stdout


# ---- ASGI ----

def test_asgi_application(proxy, asgi):
    c = proxy(asgi).client()
    assert c.post("/echo", "hello").body == b"hello"
    assert c.ask("POST", "/echo", "Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n").body == b"abc"
    assert c.post("/echo", b"p" * 1_000_000).body == b"p" * 1_000_000
    assert c.get("/who?a=b", host="py.example").body == b"py.example 127.0.0.1 a=b"
    assert c.get("/stream").body == b"".join(b"%d\n" % n for n in range(20))
    assert c.get("/nothing").status == 204
    assert c.get("/none").status == 404
    assert c.get("/fail").status == 500
    assert c.get("/who").status == 200


# ---- events of a scripted backend ----

@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_each_event_is_passed_on_before_the_next(proxy, framing):
    """Which the backend says only when the client has the one before."""
    seen = []

    def script(c):
        c.request()
        chunked = framing == "chunked"
        c.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
               + ("Transfer-Encoding: chunked\r\n\r\n" if chunked else "Connection: close\r\n\r\n"))
        for n in range(20):
            event = b"data: %d\n\n" % n
            c.send(b"%x\r\n%s\r\n" % (len(event), event) if chunked else event)
            wait_for(lambda: len(seen) > n, f"event {n} at the client")
        if chunked:
            c.send("0\r\n\r\n")
    c = proxy(script).client()
    c.send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
    c.reader.head()
    for n in range(20):
        seen.append(c.reader.until(b"data: %d\n\n" % n))


def test_two_applications_share_one_gateway(gateway, node, asgi, backend):
    b = backend(then=serve(lambda r, c: b"script"))
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\n"
                f"pool node {{\n backend {node}\n}}\npool py {{\n backend {asgi}\n}}\n"
                f"pool script {{\n backend {b.address}\n}}\n"
                "site * {\n route /echo host=node.example {\n  proxy node\n }\n"
                " route /echo {\n  proxy py\n }\n route * {\n  proxy script\n }\n}\n")
    c = g.client()
    assert c.post("/echo", "1", host="node.example")["x-trailers"] == "announced"
    assert "x-trailers" not in c.post("/echo", "2", host="py.example")
    assert c.get("/").body == b"script"
