"""HTTP/2 is fair among connections: what one asks for on a hundred streams does not hold up another's only one.
Counted in requests and bytes of the one while the other got its own."""

import subprocess
import threading

import pytest

from harness import H2Client, serve, wait_for
from harness.admin import ADMIN, ask
from harness.h2 import get

STREAMS = 100


def test_a_hundred_streams_wait_for_slots_as_one_client(proxy, backend):
    """The queue takes turns among clients, however many requests each has on its connection."""
    begun, gate = [], threading.Semaphore(0)

    def answer(request, c):
        begun.append(request.target)
        gate.acquire()
        return b"ok"
    g = proxy(backend(then=serve(answer)), pool=["max-conns 1"], threads=1, gateway=ADMIN)
    many, one = H2Client(g.address, source="127.0.0.1"), H2Client(g.address, source="127.0.0.2")
    many.send(b"".join(get(2 * n + 1, f"/many{n}") for n in range(STREAMS)))
    wait_for(lambda: ask(g, "/status")["requests"]["in_flight"] >= STREAMS, "the many to wait")
    one.send(get(1, "/one"))
    wait_for(lambda: ask(g, "/status")["requests"]["in_flight"] > STREAMS, "the one to wait")
    gate.release(STREAMS + 1)
    assert one.wait(1).status == 200
    for n in range(STREAMS):
        assert many.wait(2 * n + 1, 30).status == 200
    many.close()
    one.close()
    assert begun.index("/one") <= 2         # behind what was under way, and the first that waited


@pytest.mark.alone
@pytest.mark.plain
@pytest.mark.parametrize("size, count, most", [(1 << 20, 200, 4), (10, 500, 4 * STREAMS)])
def test_a_hundred_streams_get_no_more_turns_than_one(gateway, tmp_path, size, count, most):
    """Downloads: as many bytes, about. Small requests: one for each stream in turn. most: of the many's answers for
    each of the other's, four times what is fair: the machine has other work as well. Of the two clients the many
    yield to the other, or it is the scheduler's fairness that is counted."""
    for name in ("many", "one"):
        (tmp_path / name).write_bytes(bytes(size))
    g = gateway("gateway { threads 1; access-log off; admin unix:admin.sock }\nlisten 127.0.0.1:0\n"
                f"site {{ root {tmp_path}; files }}\n")

    def answered():
        return ask(g, "/status")["requests"]["total"]

    def h2load(path, *options, before=()):
        windows = ["-w", "24", "-W", "30"]
        return subprocess.Popen([*before, "h2load", "-c", "1", *windows, *options, "http://%s:%d/%s" % (*g.address, path)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    many = h2load("many", "-m", str(STREAMS), "-n", "10000000", before=["nice", "-n", "19"])
    try:
        wait_for(lambda: answered() > STREAMS, "the many to be under way")
        before = answered()
        said = h2load("one", "-m", "1", "-n", str(count)).communicate(timeout=120)[0]
        others = answered() - before - count
        assert f"{count} succeeded, 0 failed" in said, said
    finally:
        many.kill()
        many.communicate()
    print(f"{others} of the many's {size} bytes while {count} of the other's")
    assert others <= most * count
