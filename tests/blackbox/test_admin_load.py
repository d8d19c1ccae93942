"""A thousand reloads, and a thousand changes of a pool, while requests go on: nothing is lost, nothing stays behind."""

import threading

import pytest

from conftest import make_config
from harness import Event, serve, wait_for
from harness.admin import ADMIN, AdminClient, ask

ROUNDS = 1000
KB_KEPT = 4 * 1024      # a leak of 5 kB in each round would be more


class Load:
    """Clients that ask all the time; every answer must be 200."""

    def __init__(self, g, clients=4):
        self.g, self.stopped, self.failures, self.counts = g, Event(), [], []
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def ask(self):
        n = 0
        try:
            with self.g.client() as c:
                while not self.stopped.is_set():
                    m = c.get()
                    n += 1
                    if m.status != 200:
                        self.failures.append((m.status, m.body))
        except Exception as e:      # shown in stop()
            self.failures.append(repr(e))
        self.counts.append(n)

    def stop(self):
        """How many requests there were."""
        self.stopped.set()
        for t in self.threads:
            t.join()
        assert not self.failures, self.failures[:5]
        return sum(self.counts)


@pytest.fixture
def loaded(gateway, backend):
    def start(**keys):
        backends = [backend(then=serve()) for _ in range(3)]
        config = make_config(*backends, gateway=[*ADMIN, "error-log off"], threads=4, **keys)
        g = gateway(config)
        wait_for(lambda: (g.folder / "admin.sock").exists(), "the admin server")
        g.first_fds = g.fds()
        return g, config, backends
    return start


def post(c, target, status=200):
    m = c.ask("POST", target)
    assert m.status == status, (target, m.status, m.body)


def check_counters(g, requests):
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == requests, "all to be counted")
    pool = ask(g, "/pools/app")
    assert pool["counters"]["2xx"] == requests
    assert pool["connections"]["busy"] == pool["queue"]["waiting"] == 0
    assert pool["connections"]["open"] == sum(b["connections"]["open"] for b in pool["backends"])
    assert ask(g, "/status")["requests"]["in_flight"] == 0


def config_of_round(n, config):
    """Pools, backends and listeners come and go; every tenth file is broken."""
    if n % 10 == 9:
        return config.replace("proxy app", "proxy nobody")
    if n % 10 == 4:
        return config + "pool more {\n    backend 127.0.0.1:1\n}\n" + "listen 127.0.0.1:0 backlog=64\n"
    return config


@pytest.mark.alone
@pytest.mark.plain
def test_a_thousand_reloads_under_load(loaded):
    g, config, backends = loaded()
    load, before_kb = Load(g), None
    with AdminClient(g) as c:
        for n in range(ROUNDS):
            text = config_of_round(n, config)
            if n % 10 in (0, 4, 5, 9):
                g.config.write_text(text)
            post(c, "/reload", 422 if "nobody" in text else 200)
            if n == ROUNDS // 5:
                before_kb = g.rss_kb()
        g.config.write_text(config)
        post(c, "/reload")
    after_kb = g.rss_kb()
    check_counters(g, load.stop())
    assert ask(g, "/status")["generation"] == 2 + ROUNDS * 9 // 10
    assert after_kb < before_kb + KB_KEPT


@pytest.mark.alone
@pytest.mark.plain
def test_a_thousand_changes_under_load(loaded, backend):
    g, config, backends = loaded()
    extra = backend(then=serve())
    load, before_kb = Load(g), None
    where = f"/pools/app/backends/{extra.address}/"
    with AdminClient(g) as c:
        for n in range(ROUNDS):
            post(c, where + "add")
            post(c, where + "drain")
            post(c, where + "remove")
            if n == ROUNDS // 5:
                before_kb = g.rss_kb()
    after_kb = g.rss_kb()
    requests = load.stop()
    assert ask(g, "/status")["changes"] == []
    assert [b["address"] for b in ask(g, "/pools/app")["backends"]] == [b.address for b in backends]
    check_counters(g, requests)
    assert after_kb < before_kb + KB_KEPT
