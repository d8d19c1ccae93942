"""Chunked bodies pass unchanged whatever their chunks are: small ones are copied, large ones spliced (RFC 9112 7.1)."""

import random

import pytest

from harness import Broken

pytestmark = pytest.mark.serial
SIZES = {
    "tiny": lambda r: r.randint(1, 9),
    "small": lambda r: r.randint(1, 5000),
    "medium": lambda r: r.choice([2047, 2048, 2049, 16384, 65535]),
    "large": lambda r: r.randint(100 << 10, 900 << 10),
    "mixed": lambda r: r.choice([1, 2, 4096, 16384, 131071, 131072, 131073, 700000]),
}
TOTALS = {"tiny": 20000, "small": 1 << 20, "medium": 4 << 20, "large": 12 << 20, "mixed": 8 << 20}


def make_chunks(kind):
    """The chunks of a body, all different: a piece in the wrong place shows."""
    r = random.Random(kind)
    chunks, total = [], 0
    while total < TOTALS[kind]:
        chunks.append(r.randbytes(SIZES[kind](r)))
        total += len(chunks[-1])
    return chunks


def encode(chunks, extension=b"", trailers=b"X-End: yes\r\n"):
    return b"".join(b"%x%s\r\n%s\r\n" % (len(c), extension, c) for c in chunks) + b"0\r\n" + trailers + b"\r\n"


def send_cut(send, data, seed):
    """In pieces that end anywhere."""
    r, at = random.Random(seed), 0
    while at < len(data):
        n = r.choice([1, 17, 1000, 70000, 300000, 2000000])
        send(data[at:at + n])
        at += n


@pytest.mark.parametrize("kind", SIZES)
def test_a_response_arrives_as_it_was_sent(proxy, kind):
    chunks = make_chunks(kind)

    def script(c):
        while c.request() is not None:
            c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            send_cut(c.socket.sendall, encode(chunks), kind)
    g = proxy(then=script)
    before = g.pipes()
    with g.client() as c:
        for _ in range(3):
            m = c.get()
            assert m.body == b"".join(chunks)
            assert m.trailers == [("x-end", "yes")]
    assert g.backend.accepted == 1
    assert (g.pipes() != before) == (kind in ("large", "mixed")), "chunks from 128 KiB on are spliced"


@pytest.mark.parametrize("kind", SIZES)
def test_a_request_arrives_as_it_was_sent(shared_proxy, kind):
    chunks = make_chunks(kind)
    seen = []

    def script(c):
        while (r := c.request()) is not None:
            seen.append(r.body)
            c.respond("thanks")
    g = shared_proxy(then=script)
    with g.client() as c:
        for _ in range(2):
            c.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            send_cut(c.socket.sendall, encode(chunks), kind)
            assert c.response().body == b"thanks"
    assert seen == [b"".join(chunks)] * 2


def test_large_chunks_reach_a_client_of_http_1_0_without_framing(shared_proxy):
    chunks = make_chunks("large")

    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        c.send(encode(chunks))
    with shared_proxy(script).client() as c:
        c.send("GET / HTTP/1.0\r\nHost: t\r\n\r\n")
        assert c.rest().partition(b"\r\n\r\n")[2] == b"".join(chunks)


@pytest.mark.faults
@pytest.mark.parametrize("tail", [b"", b"\r", b"xx", b"\n", b"\r\nfg\r\n", b"\r\n1;=\r\n", b"\r\n-1\r\n",
                                  b"\r\n10000000000000000\r\n"])
def test_a_large_chunk_with_a_wrong_end_breaks_the_response_off(shared_proxy, tail):
    chunk = random.Random(1).randbytes(1 << 20)

    def script(c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        c.send(b"%x\r\n" % len(chunk) + chunk + tail)
        c.close()
    g = shared_proxy(script)
    g.expect_error("")
    with g.client() as c, pytest.raises(Broken):
        c.get()


@pytest.mark.faults
def test_a_limit_holds_inside_a_large_chunk(proxy):
    chunk = bytes(4 << 20)

    def script(c):
        try:
            c.request()
        except Broken:
            pass
    g = proxy(script, route=["limit body=1m"])
    with g.client() as c:
        c.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        c.try_send(b"%x\r\n" % len(chunk) + chunk + b"\r\n0\r\n\r\n")
        assert c.response().status == 413
