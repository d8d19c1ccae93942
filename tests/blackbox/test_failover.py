"""Failover: what is tried again and what is not, who is left alone and for how long."""

import os
import signal
import subprocess
import threading
import time

import pytest

from harness import Broken, Client, Event, serve, stretched, wait_for

pytestmark = pytest.mark.faults


def named(name):
    return serve(lambda r, c: name.encode())


def answering(status, body=b"no"):
    def answer(request, c):
        c.respond(body, status=status)
    return serve(answer)


def shares(g, n=12):
    return {g.get().body.decode() for _ in range(n)}


# ---- rules ----

@pytest.mark.parametrize("on, status, again", [
    ("503", "503 Busy", True), ("5xx", "500 Sick", True), ("502-504", "504 Late", True),
    ("connect,broken", "503 Busy", False), ("503", "500 Sick", False), ("404", "404 Gone", True)])
def test_statuses_are_tried_again_as_configured(proxy, backend, on, status, again):
    bad, good = backend(then=answering(status)), backend(then=named("good"))
    g = proxy(bad, good, threads=1, pool=[f"retry on={on}", "fail count=off"])
    answers = [g.get().body for _ in range(4)]
    assert answers.count(b"good") == (4 if again else 2)
    assert len(bad.requests) >= 1


def test_a_post_that_was_answered_is_not_sent_again(proxy, backend):
    bad, good = backend(then=answering("503 Busy")), backend(then=named("good"))
    g = proxy(bad, good, threads=1, pool=["retry on=503"])
    c = g.client()
    answers = [c.post("/", b"x").status for _ in range(4)]
    assert sorted(answers) == [200, 200, 503, 503]
    assert len(bad.requests) + len(good.requests) == 4


def test_the_last_status_is_what_the_client_sees(proxy, backend):
    b = [backend(then=answering("503 Busy")) for _ in range(2)]
    g = proxy(*b, threads=1, pool=["retry on=503"])
    assert g.get().status == 503
    assert len(b[0].requests) == len(b[1].requests) == 1


def test_a_timeout_is_tried_again_if_configured(proxy, backend):
    hang = backend(then=lambda c: c.request() and c.wait_closed())
    good = backend(then=named("good"))
    g = proxy(hang, good, threads=1, pool=["retry on=timeout", "timeout response=200ms"])
    assert shares(g, 4) == {"good"}
    assert hang.requests
    c = g.client()
    statuses = [c.post("/", b"x").status for _ in range(2)]
    assert set(statuses) <= {200, 504}


def test_a_timeout_is_a_504_otherwise(proxy, backend):
    hang = backend(then=lambda c: c.request() and c.wait_closed())
    g = proxy(hang, backend(then=named("good")), threads=1, pool=["timeout response=200ms"])
    assert sorted(g.get().status for _ in range(2)) == [200, 504]


def test_a_request_body_is_sent_again_whole(proxy, backend):
    """PUT is idempotent (RFC 9110 9.2.2): its body is kept as long as it can be sent again."""
    bad = backend(then=lambda c: c.request() and c.reset())
    good = backend(then=serve(lambda r, c: r.body))
    g = proxy(bad, good, threads=1)
    body = b"0123456789" * 2000
    assert [g.client().ask("PUT", "/", body=body).body for _ in range(3)] == [body] * 3


def test_all_attempts_together_have_a_deadline(proxy, backend):
    hang = [backend(then=lambda c: c.request() and c.wait_closed()) for _ in range(3)]
    g = proxy(*hang, threads=1, pool=["retry on=timeout", "timeout response=300ms request=500ms"])
    begin = time.monotonic()
    m = g.get()
    assert m.status == 504 and 0.4 < time.monotonic() - begin < stretched(1.5)
    assert sum(len(b.requests) for b in hang) == 2


def test_retries_have_a_budget(proxy, backend):
    """A hundred to begin with, then a tenth of the requests."""
    bad = [backend(then=lambda c: c.request() and c.reset()) for _ in range(2)]
    g = proxy(*bad, threads=1, pool=["retry attempts=2 budget=10%", "fail count=off"])
    for _ in range(140):
        assert g.get().status == 502
    asked = sum(len(b.requests) for b in bad)
    assert 140 + 100 <= asked <= 140 + 100 + 14
    g.wait_line("retry budget")


# ---- marks ----

def test_who_fails_in_a_row_is_left_alone(proxy, backend):
    bad = backend(then=lambda c: c.request() and c.reset())
    g = proxy(bad, backend(then=named("good")), threads=1, pool=["fail count=3 backoff=1m"])
    assert shares(g, 30) == {"good"}
    assert len(bad.requests) == 3
    g.wait_line(f"backend {bad.address}: up -> down: failures in a row")


def test_one_request_is_its_trial(proxy, backend):
    dead = backend(listen=False)
    g = proxy(dead, backend(then=named("good")), threads=2, pool=["fail count=1 backoff=100ms"])
    assert shares(g, 4) == {"good"}
    g.wait_line(f"backend {dead.address}: up -> down")
    dead.then = named("back")
    dead.listen()
    wait_for(lambda: "back" in shares(g, 2), "the backend to be asked again")
    g.wait_line(f"backend {dead.address}: trial -> up: it answers again")
    assert shares(g) == {"back", "good"}


def test_pauses_grow(proxy, backend):
    dead = backend(listen=False)
    g = proxy(dead, backend(then=named("good")), threads=1, pool=["fail count=1 backoff=100ms"])
    trials = []

    def seen():
        assert g.get().status == 200
        trials[:] = [line for line in g.lines if "down -> trial" in line]
        return len(trials) >= 3
    begin = time.monotonic()
    wait_for(seen, "three trials")
    assert time.monotonic() - begin > 0.65      # 100, 200 and 400 ms


def test_trials_are_invisible_to_clients(proxy, backend):
    dead = backend(listen=False)
    g = proxy(dead, backend(then=named("good")), threads=1, pool=["fail count=1 backoff=20ms max=20ms"])
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        assert g.get().status == 200
    g.wait_line("its trial failed")


@pytest.mark.parametrize("how, status", [("try", 502), ("refuse", 503)])
def test_with_all_of_them_down(proxy, backend, how, status):
    dead = backend(listen=False)
    g = proxy(dead, pool=[f"all-down {how}", "fail count=1 backoff=1m"], threads=1)
    assert g.get().status == 502
    g.wait_line("up -> down")
    m = g.get()
    assert m.status == status
    if status == 503:
        assert m["retry-after"]
    dead.then = named("back")
    dead.listen()
    if how == "try":
        assert g.get().body == b"back"
        g.wait_line("down -> up")
    else:
        assert g.get().status == 503


def test_errors_eject(proxy, backend):
    bad = backend(then=answering("500 Sick"))
    others = [backend(then=named(n)) for n in "bc"]
    g = proxy(bad, *others, threads=1, pool=["eject errors=50% requests=5 window=10s"])
    statuses = [g.get().status for _ in range(30)]
    assert statuses.count(500) == 5
    g.wait_line("up -> down: too many errors")


def test_an_answer_of_the_application_is_no_failure(proxy, backend):
    """A 404 or a 501 says nothing against a backend."""
    b = backend(then=answering("404 Not Found"))
    g = proxy(b, threads=1, pool=["fail count=1", "eject errors=1% requests=1"])
    assert [g.get().status for _ in range(10)] == [404] * 10
    assert not any("down" in line for line in g.lines)


def test_a_client_that_leaves_is_no_failure(proxy, backend):
    gate = Event()
    b = backend(then=serve(lambda r, c: gate.wait(10) and b"ok"))
    g = proxy(b, threads=1, pool=["fail count=1"])
    for n in range(3):
        c = g.client()
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        b.wait_requests(n + 1)
        c.reset()
    g.access(3)
    gate.set()
    assert g.get().status == 200
    assert not any("up -> down" in line for line in g.lines)


# ---- processes that die and stop ----

class Origin:
    """A backend in a process of its own: it can be killed and stopped."""

    def __init__(self, here, name, port=0):
        self.path, self.name, self.port = f"{here}/apps/counting_origin.py", name, port
        self.start()

    def start(self):
        self.process = subprocess.Popen(["/usr/bin/python3", self.path, self.name, str(self.port)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def signal(self, sig):
        os.kill(self.process.pid, sig)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def origins(here):
    made = [Origin(here, n) for n in "ABC"]
    yield made
    for o in made:
        if o.process.poll() is None:
            o.signal(signal.SIGCONT)
            o.kill()


@pytest.mark.alone
def test_killed_restarted_and_stopped_backends_are_not_noticed(proxy, origins):
    """GETs all succeed; no POST is delivered twice; a restarted backend has its share again soon."""
    g = proxy(*[f"127.0.0.1:{o.port}" for o in origins], threads=2,
              pool=["balance least-conn", "timeout connect=500ms response=500ms",
                    "retry attempts=4 on=connect,broken,timeout,502-504",
                    "health GET /healthz interval=250ms fast=100ms timeout=300ms rise=2 fall=2"])
    end = time.monotonic() + 6
    failed, names, posted, lock = [], [], {}, threading.Lock()

    def get():
        c = Client(g.address, timeout=20)
        while time.monotonic() < end:
            m = c.get("/name")
            with lock:
                names.append((time.monotonic(), m.body.decode()))
                if m.status != 200:
                    failed.append(m)
            time.sleep(0.004)
        c.close()

    def post(number):
        c, n = Client(g.address, timeout=20), 0
        while time.monotonic() < end:
            n += 1
            key = f"{number}-{n}"
            try:
                m = c.post("/post", key.encode())
            except (Broken, OSError):
                c.close()
                c = Client(g.address, timeout=20)
                continue
            posted[key] = m.status
            time.sleep(0.02)
        c.close()
    threads = [threading.Thread(target=get) for _ in range(12)]
    threads += [threading.Thread(target=post, args=(n,)) for n in range(4)]
    begin = time.monotonic()
    for t in threads:
        t.start()

    def at(second, action):
        time.sleep(max(0, begin + second - time.monotonic()))
        action()
    log = []
    at(1, lambda: (log.extend(seen_by(origins[1])), origins[1].kill()))
    at(2, lambda: origins[2].signal(signal.SIGSTOP))
    at(3, lambda: origins[2].signal(signal.SIGCONT))
    at(4, origins[1].start)
    restarted = time.monotonic()
    for t in threads:
        t.join()
    assert not failed, failed[:3]
    back = [t for t, name in names if name == "B" and t > restarted]
    assert back and back[0] - restarted < 1
    delivered = log + [k for o in origins for k in seen_by(o)]
    assert len(delivered) == len(set(delivered)), "a POST was delivered twice"
    assert sum(s == 200 for s in posted.values()) > 0.8 * len(posted)


def seen_by(origin):
    """The POSTs an origin has had."""
    with Client(("127.0.0.1", origin.port)) as c:
        return c.get("/seen").body.decode().split()
