"""/metrics: valid for Prometheus, and true."""

import math
import re
import subprocess

import pytest

from conftest import make_config
from harness import serve, wait_for
from harness.admin import ADMIN, AdminClient, ask
from harness.gateway import TOP

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def scrape(g):
    with AdminClient(g) as c:
        m = c.get("/metrics")
    assert m.status == 200 and m["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return m.body.decode("ascii")


def labels_of(text):
    found, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, f"bad labels: {text}"
        assert m[1] not in found, f"label twice: {text}"
        found[m[1]] = m[2]
        at = m.end()
    return found


def check_histogram(name, samples):
    """samples: [(suffix, labels, value)] of one histogram: cumulative, ascending, +Inf, sum and count."""
    series = {}
    for suffix, labels, value in samples:
        key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        s = series.setdefault(key, {"buckets": [], "sum": None, "count": None})
        if suffix == "_bucket":
            s["buckets"].append((float(labels["le"].replace("+Inf", "inf")), value))
        else:
            assert "le" not in labels and s[suffix[1:]] is None
            s[suffix[1:]] = value
    for key, s in series.items():
        bounds, counts = zip(*s["buckets"])
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, (name, key)
        assert list(counts) == sorted(counts) and counts[-1] == s["count"], (name, key)
        assert (s["sum"] > 0) <= (s["count"] > 0) and s["sum"] >= 0


def parse(text):
    """Everything that text format 0.0.4 asks for. Returns {(name, labels): value}."""
    assert text.endswith("\n")
    types, helps, values, histograms = {}, {}, {}, {}
    current, finished = None, set()
    for line in text.split("\n")[:-1]:
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            if name != current:
                assert name not in finished, f"{name}: its lines do not stand together"
                finished.add(current)
                current = name
            table = {"HELP": helps, "TYPE": types}[what]
            assert name not in table and rest
            table[name] = rest
            continue
        m = SAMPLE.fullmatch(line)
        assert m, f"no sample: {line!r}"
        name, labels, value = m[1], labels_of(m[2] or ""), float(m[3])
        base = current if types.get(current) == "histogram" else name
        assert base == current and name in (current, f"{current}_bucket", f"{current}_sum", f"{current}_count"), line
        assert types[current] in ("counter", "gauge", "histogram") and current in helps
        assert types[current] != "counter" or (name.endswith("_total") and value >= 0), line
        assert types[current] == "counter" or not name.endswith("_total"), line
        if types[current] == "histogram":
            assert (name == f"{current}_bucket") == ("le" in labels), line
            histograms.setdefault(current, []).append((name[len(current):], labels, value))
        key = (name, tuple(sorted(labels.items())))
        assert key not in values, f"twice: {line}"
        values[key] = value
    for name, samples in histograms.items():
        check_histogram(name, samples)
    return values


def value(values, name, /, **labels):
    return values[name, tuple(sorted(labels.items()))]


@pytest.fixture
def measured(gateway, backend):
    def start(config=None, **keys):
        b = backend(then=serve(lambda r, c: b"x" * 10))
        g = gateway(config or make_config(b, gateway=ADMIN, **keys))
        g.backend = b
        g.wait_line("admin: listening")
        g.first_fds = g.fds()
        return g
    return start


def test_they_are_valid_and_true(measured):
    g = measured()
    parse(scrape(g))
    for _ in range(20):
        g.get()
    g.client().send("BAD\r\n\r\n").response()
    wait_for(lambda: ask(g, "/status")["requests"]["total"] == 21, "all of them")
    v = parse(scrape(g))
    assert value(v, "sluice_requests_total", code="2xx") == 20
    assert value(v, "sluice_requests_total", code="4xx") == 1
    assert value(v, "sluice_error_responses_total", status="400") == 1
    assert value(v, "sluice_pool_requests_total", pool="app", code="2xx") == 20
    where = {"pool": "app", "backend": g.backend.address, "name": g.backend.address}
    assert value(v, "sluice_backend_requests_total", code="2xx", **where) == 20
    assert value(v, "sluice_backend_sent_bytes_total", **where) == 200
    assert value(v, "sluice_backend_duration_seconds_count", **where) == 20
    assert value(v, "sluice_backend_up", **where) == value(v, "sluice_backend_state", state="up", **where) == 1
    assert value(v, "sluice_request_duration_seconds_count") == 21
    listener = {"listener": "127.0.0.1:0", "id": "1"}
    assert value(v, "sluice_listener_requests_total", code="2xx", **listener) == 20
    assert value(v, "sluice_listener_connections_accepted_total", **listener) == 21
    wait_for(lambda: value(parse(scrape(g)), "sluice_listener_connections", **listener) <= 1, "the others to have gone")
    assert value(v, "sluice_client_connections_accepted_total") == 21
    assert value(v, "sluice_config_generation") == 1
    assert value(v, "process_open_fds") >= 5 and value(v, "process_resident_memory_bytes") > 1e6


def test_counters_never_go_back(measured):
    g = measured()
    before = parse(scrape(g))
    for _ in range(10):
        g.get()
    ask(g, "/reload", "POST")
    after = parse(scrape(g))
    assert set(before) <= set(after)
    for key, old in before.items():
        if key[0].endswith(("_total", "_count", "_sum", "_bucket")):
            assert after[key] >= old, key


def test_strange_names_are_escaped(gateway, backend):
    g = gateway('gateway {\n admin unix:admin.sock\n access-log off\n}\nlisten 127.0.0.1:0\n'
                f'pool "a\\"b\\\\c d" {{\n backend {backend().address}\n}}\n'
                'site * {\n route * {\n  proxy "a\\"b\\\\c d"\n }\n}\n')
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    v = parse(scrape(g))
    assert value(v, "sluice_pool_requests_waiting", pool='a\\"b\\\\c d') == 0


def test_addresses_named_twice_become_one(gateway, backend):
    b = backend()
    port = b.address.split(":")[1]
    g = gateway(make_config(f"localhost:{port}", b.address, gateway=ADMIN))
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    for _ in range(4):
        g.get()
    parse(scrape(g))


def test_many_pools_and_backends(gateway, backend):
    b = backend()
    pools = "".join(f"pool p{i} {{\n backend {b.address}\n backend 127.0.0.2:{10000 + i}\n}}\n" for i in range(100))
    routes = "".join(f" route /{i} {{\n  proxy p{i}\n }}\n" for i in range(100))
    g = gateway(f"gateway {{\n admin unix:admin.sock\n access-log off\n}}\nlisten 127.0.0.1:0\n{pools}"
                f"site * {{\n{routes}}}\n")
    g.wait_line("admin: listening")
    g.first_fds = g.fds()
    v = parse(scrape(g))
    assert sum(1 for name, _ in v if name == "sluice_backend_up") == 200


def test_promtool_finds_nothing_wrong(measured):
    g = measured()
    for _ in range(5):
        g.get()
    r = subprocess.run(["promtool", "check", "metrics"], input=scrape(g), capture_output=True, text=True)
    assert r.returncode == 0 and r.stdout + r.stderr == "", r.stdout + r.stderr


def test_every_metric_is_in_the_manual(measured):
    manual = (TOP / "docs" / "operations.md").read_text()
    g = measured()
    for line in scrape(g).splitlines():
        if line.startswith("# TYPE sluice_"):
            assert f"`{line.split()[2]}`" in manual, line
