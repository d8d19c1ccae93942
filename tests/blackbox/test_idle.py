"""Idle connections are nearly free, and a full table of descriptors is no end."""

import resource
import sys
import time

import pytest

from harness import Client, wait_for
from harness.certs import Authority


@pytest.mark.alone
@pytest.mark.plain
def test_10000_idle_connections_at_512_bytes_each(proxy, program, here):
    count, warm = 10_000, 500
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard >= count + 1000, "this test needs a descriptor limit (ulimit -Hn) of 11000"
    g = proxy(nofile=(hard, hard), gateway=["timeout idle=5m"])

    def crowd(n):
        return program(sys.executable, f"{here}/apps/idle_clients.py", *map(str, (*g.address, n)))
    first = crowd(warm)
    assert first.first == "ready"
    before = g.rss_kb()
    assert crowd(count).first == "ready"
    assert len(g.fds()) >= count
    each = (g.rss_kb() - before) * 1024 / count
    print(f"{each:.0f} bytes for each idle connection")
    assert each <= 512
    assert g.get().status == 200


@pytest.mark.alone
@pytest.mark.plain
def test_idle_http2_connections_have_no_buffer_of_their_own(gateway, program, here, tmp_path):
    """Of what nghttp2 keeps for each, 16 KiB would be for one frame. When they have gone their memory has gone."""
    count, warm = 500, 50
    cert = Authority(tmp_path).issue("localhost")
    g = gateway(f"gateway {{ threads 1; access-log off; timeout idle=5m }}\nlisten 127.0.0.1:0 tls {{ certificate "
                f"{cert.pem} key={cert.key} }}\nsite {{ respond 200 ok }}\n")

    def crowd(n):
        p = program(sys.executable, f"{here}/apps/idle_h2_clients.py", *map(str, (*g.address, n)))
        assert p.first == "ready"
        return p
    crowd(warm)
    before = g.rss_kb()
    many = crowd(count)
    each = (g.rss_kb() - before) * 1024 / count
    print(f"{each:.0f} bytes for each idle connection")
    assert each <= 14_500
    wakings = g.wakings()       # of who looks how many there are, every second
    wait_for(lambda: g.wakings() >= wakings + 2, "the main thread to look")
    many.terminate()
    wait_for(lambda: (g.rss_kb() - before) * 1024 < count * each / 3, "the memory to be given back")


@pytest.mark.faults
def test_running_out_of_descriptors_is_survived_without_spinning(proxy):
    g = proxy(nofile=(64, 64), threads=1)
    g.expect_error("descriptor|open files|EMFILE|accept")
    crowd = [Client(g.address) for _ in range(150)]
    time.sleep(0.3)
    begin = g.cpu_seconds()
    time.sleep(1.0)                     # the time over which CPU use is measured
    spent = g.cpu_seconds() - begin
    assert spent < 0.2, f"{spent} s of CPU in one second with nothing to do"
    for c in crowd:
        c.close()
    c = g.client()
    assert wait_for(lambda: c.get().status == 200, "service to come back")


@pytest.mark.faults
def test_no_descriptor_for_the_backend_is_an_error_answer_not_an_end(proxy):
    g = proxy(nofile=(48, 48), threads=1)
    g.expect_error("descriptor|open files|EMFILE|accept|backend")
    crowd = []
    for _ in range(30):
        c = Client(g.address, timeout=5)
        crowd.append(c)
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    answered = []
    for c in crowd:
        try:
            answered.append(c.response().status)
        except Exception:
            pass
        c.close()
    assert set(answered) <= {200, 502, 503} and 200 in answered
    assert wait_for(lambda: g.get().status == 200, "service to come back")
