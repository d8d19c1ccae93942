"""Bodies travel through a bounded window: however large, and however slow who takes them."""

import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import make_config
from harness import Event, stretched, wait_for
from harness.certs import Authority

pytestmark = [pytest.mark.alone, pytest.mark.plain]
SIZE = 2 << 30
ALLOWED_KB = 4096
PIECE = bytes(1 << 20)
DUMP = bytearray(4 << 20)


class Meter:
    """Counts bytes, and tells when they stand still."""

    def __init__(self):
        self.bytes = 0

    def wait_still(self):
        """Until nothing has moved for a third of a second."""
        end = time.monotonic() + stretched(20)
        last, since = -1, time.monotonic()
        while time.monotonic() < end:
            if self.bytes != last:
                last, since = self.bytes, time.monotonic()
            elif time.monotonic() - since > 0.35:
                return last
            time.sleep(0.02)
        raise AssertionError("it never stands still: nobody holds it back")


def pour(sock, size, meter, chunked=False):
    """Sends `size` zero bytes."""
    try:
        while meter.bytes < size:
            n = min(len(PIECE), size - meter.bytes)
            data = memoryview(PIECE)[:n]
            if chunked:
                sock.sendall(b"%x\r\n" % n)
            while data:
                sent = sock.send(data)
                meter.bytes += sent
                data = data[sent:]
            if chunked:
                sock.sendall(b"\r\n")
        if chunked:
            sock.sendall(b"0\r\n\r\n")
    except OSError:
        pass


def drain(sock, size, already=0):
    """Takes what comes, without looking at it: at least `size` bytes, or to the end."""
    taken = already
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    while taken < size:
        n = sock.recv_into(DUMP)
        if n == 0:
            break
        taken += n
    return taken


def settle(g):
    """A few requests, so that what is allocated once does not count."""
    for n in range(20):
        g.get("/warm")
    g.reset_peak()
    return g.rss_kb()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_2_gb_download_to_a_slow_reader(proxy, chunked):
    meter = Meter()

    def script(c):
        while (r := c.request()) is not None:
            if r.target == "/warm":
                c.respond("warm")
                continue
            c.socket.settimeout(60)
            framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
            c.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n")
            pour(c.socket, SIZE, meter, chunked)
    g = proxy(then=script)
    before = settle(g)
    c = g.client(rcvbuf=64 << 10, timeout=60)
    c.send("GET /big HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    head = c.reader.head()
    assert head.status == 200
    held = meter.wait_still()
    assert held < 64 << 20, f"{held} bytes were taken from the backend for a client that reads nothing"
    assert g.rss_kb() - before < ALLOWED_KB
    taken = drain(c.socket, 1 << 62, len(c.reader.buffer))
    assert taken >= SIZE and (chunked or taken == SIZE)
    assert g.peak_kb() - before < ALLOWED_KB, "resident memory grew on the way"


@pytest.mark.parametrize("tls, version", [(True, "--http1.1"), (False, "--http2-prior-knowledge"), (True, "--http2")],
                         ids=["tls", "h2", "h2-tls"])
def test_2_gb_over_tls_and_http2_to_a_client_that_stops_reading(gateway, backend, tmp_path, tls, version):
    """curl, which is held by a signal until nothing moves any more."""
    meter = Meter()

    def script(c):
        c.request()
        c.socket.settimeout(60)
        c.send(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")
        pour(c.socket, SIZE, meter)
    listen = "127.0.0.1:0"
    if tls:
        cert = Authority(tmp_path).issue("localhost")
        listen += f" tls {{ certificate {cert.pem} key={cert.key} }}"
    g = gateway(make_config(backend(script), listen=listen, threads=1))
    before = g.rss_kb()
    g.reset_peak()
    curl = subprocess.Popen(["curl", "-sSk", version, "-o", "/dev/null", "-w", "%{http_version} %{size_download}",
                             f"{'https' if tls else 'http'}://127.0.0.1:{g.address[1]}/"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: meter.bytes, "the response to begin")
        curl.send_signal(signal.SIGSTOP)
        meter.wait_still()
        assert meter.bytes < SIZE
    finally:
        curl.send_signal(signal.SIGCONT)
    out, err = curl.communicate(timeout=120)
    assert out == f"{'1.1' if version == '--http1.1' else '2'} {SIZE}", err
    assert g.peak_kb() - before < 2 * ALLOWED_KB, "resident memory grew on the way"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_2_gb_upload_to_a_slow_backend(proxy, chunked):
    meter = Meter()
    go = Event()
    got = []

    def script(c):
        while (r := c.head() if c.reader.buffer or c.reader.fill() else None) is not None:
            if r.target == "/warm":
                c.respond("warm")
                continue
            c.socket.settimeout(60)
            assert go.wait(60)
            if chunked:
                # To the end marker: zero bytes hold none, so the last 5 bytes of the stream tell.
                tail = c.reader.buffer
                n = len(tail)
                while not tail.endswith(b"\r\n0\r\n\r\n"):
                    k = c.socket.recv_into(DUMP)
                    assert k, "the upload broke off"
                    n += k
                    tail = (tail + bytes(DUMP[max(0, k - 16):k]))[-16:]
                got.append(n)
            else:
                got.append(drain(c.socket, SIZE, len(c.reader.buffer)))
            c.respond("thanks")
            return
    g = proxy(then=script, pool=["timeout idle=120s response=120s"])
    before = settle(g)
    c = g.client(timeout=60)
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
    c.send(f"POST /big HTTP/1.1\r\nHost: t\r\n{framing}\r\n\r\n")
    sender = threading.Thread(target=pour, args=(c.socket, SIZE, meter, chunked))
    sender.start()
    held = meter.wait_still()
    assert held < 64 << 20, f"{held} bytes were taken for a backend that reads nothing"
    assert g.rss_kb() - before < ALLOWED_KB
    go.set()
    assert c.response().body == b"thanks"
    sender.join(30)
    assert got[0] >= SIZE
    assert g.peak_kb() - before < ALLOWED_KB, "resident memory grew on the way"


def test_a_hundred_slow_readers_hold_a_window_each(proxy):
    """Memory for each exchange is bounded whatever the body's size."""
    def script(c):
        r = c.request()
        if r.target == "/warm":
            return c.respond("warm", fields="Connection: close\r\n")
        c.socket.settimeout(60)
        c.send(f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 30}\r\n\r\n")
        return pour(c.socket, 1 << 30, Meter())
    g = proxy(then=script)
    before = settle(g)
    clients = [g.client(rcvbuf=16 << 10) for _ in range(100)]
    for c in clients:
        c.send("GET /big HTTP/1.1\r\nHost: t\r\n\r\n")
    for c in clients:
        assert c.reader.head().status == 200
    time.sleep(1)                       # whatever would grow has had its time
    assert g.rss_kb() - before < 100 * 160


def test_memory_returns_after_a_crowd(proxy):
    """What 500 exchanges at once needed is used again by the next 500."""
    def script(c):
        while c.request() is not None:
            c.respond(b"x" * 50_000)
    g = proxy(then=script, pool=["keep-alive idle=32"])

    def crowd():
        clients = [g.client() for _ in range(500)]
        for c in clients:
            c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        for c in clients:
            assert len(c.response().body) == 50_000
            c.close()
        wait_for(lambda: len(g.fds()) < 200, "clients' connections to be closed")
    crowd()
    crowd()
    after = g.rss_kb()
    for _ in range(3):
        crowd()
    assert g.rss_kb() - after < 2048


def test_memory_goes_back_to_the_kernel_after_a_crowd_of_slow_readers(proxy):
    def script(c):
        while (r := c.request()) is not None:
            if r.target == "/warm":
                c.respond("warm")
                continue
            c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(400):
                    c.send(b"4000\r\n" + bytes(16384) + b"\r\n")
            except OSError:
                return
    g = proxy(then=script, threads=1)
    before = settle(g)
    clients = [g.client(rcvbuf=4096) for _ in range(200)]
    for c in clients:
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for(lambda: g.rss_kb() - before > 20 << 10, "the crowd to hold memory", 20)
    for c in clients:
        c.reset()
    wait_for(lambda: g.rss_kb() - before < 10 << 10, "memory to go back", 20)
