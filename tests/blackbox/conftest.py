"""Fixtures: whatever a test starts is stopped and looked at when it ends."""

import os
import resource
import socket
import subprocess

import pytest

from harness import Backend, Gateway, serve
from harness.apps import NGINX, listening_socket

SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(HARD, 65536), HARD))


def pytest_configure(config):
    for mark in ("alone: measures or loads the machine, so nothing runs beside it",
                 "long: takes more than a minute, so it begins before the others",
                 "plain: measures memory, which instrumentation changes",
                 "load: many requests at once, for ThreadSanitizer",
                 "serial: one request after the other, so ThreadSanitizer has nothing to see",
                 "faults: peers misbehave on purpose, so the error log may say so"):
        config.addinivalue_line("markers", mark)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """What takes long comes first, each for another worker: xdist begins with a quarter of an even share for each."""
    long = [item for item in items if item.get_closest_marker("long")]
    share = len(items) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) // 4
    items[:] = [item for item in items if item not in long]
    for n, item in enumerate(long):
        items.insert(n * max(share, 1), item)


def block(name, keys):
    return f"{name} {{\n    " + "\n    ".join(keys) + "\n}\n" if keys else ""


def make_config(*backends, gateway=(), pool=(), route=(), site=None, threads=2, listen="127.0.0.1:0"):
    """The usual configuration: one pool named app before everything. Keys are given as lines."""
    lines = [f"backend {getattr(b, 'address', b)}" for b in backends]
    head = [f"threads {threads}", *gateway]
    if not any(key.startswith("access-log") for key in head):
        head.append("access-log access.log format=json")
    site = site or f"site * {{\n    route * {{\n        " + "\n        ".join([*route, "proxy app"]) + \
        "\n    }\n}\n"
    return block("gateway", head) + f"listen {listen}\n" + block("pool app", [*lines, *pool]) + site


class Everything:
    """What a test has started."""

    def __init__(self):
        self.gateways, self.backends, self.processes, self.name_servers = [], [], [], []


def looked_at(started, failed):
    """Stops all that was started; unless something has failed already, nothing may be left behind."""
    for c in [c for g in started.gateways for c in g.clients]:
        c.close()
    for b in started.backends:
        b.stop()
    for p in started.processes:
        p.terminate()
    try:
        if not failed:
            for g in started.gateways:
                if g.running() and g.check_fds:
                    g.wait_fds_back()
            for g in started.gateways:
                g.stop()
            for b in started.backends:
                b.check()
        else:
            for g in started.gateways:
                print("\n".join(g.lines[-40:]))
            for b in started.backends:
                print("\n".join(b.failures))
    finally:
        for g in started.gateways:
            g.kill()
        for s in started.name_servers:      # not before: who gets no answer asks again and again
            s.stop()
        for p in started.processes:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


@pytest.fixture
def started(request):
    s = Everything()
    yield s
    looked_at(s, getattr(request.node, "failed", False))


class Standing(Everything):
    """Gateways that serve one test after the other, by what was asked for."""

    def __init__(self):
        super().__init__()
        self.by_keys = {}

    def lend(self, keys, make):
        if keys not in self.by_keys:
            self.by_keys[keys] = g = make()
            self.gateways.append(g)
            self.backends += [g.backend] if g.backend else []
        return self.by_keys[keys]

    def drop(self, keys):
        """What a test has failed with may be in any state."""
        dropped, g = Everything(), self.by_keys.pop(keys)
        self.gateways.remove(g)
        dropped.gateways.append(g)
        if g.backend:
            self.backends.remove(g.backend)
            dropped.backends.append(g.backend)
        looked_at(dropped, True)


def given_back(g):
    """It has to be as it was after its start."""
    for c in g.clients:
        c.close()
    if g.backend:
        g.backend.hang_up()
    g.wait_fds_back()
    g.check_output()
    g.forget()
    if g.backend:
        g.backend.hang_up()     # from what the gateway has just begun and given up
        g.backend.check()
        g.backend.forget()


@pytest.fixture(scope="module")
def standing():
    s = Standing()
    yield s
    looked_at(s, False)


@pytest.fixture
def lent(standing, request):
    """lent(keys, make): the gateway of these keys that the module's tests share."""
    used = {}

    def start(keys, make):
        if keys in used:
            given_back(used[keys])
        used[keys] = standing.lend(keys, make)
        return expect_faults(used[keys], request)
    yield start
    good = False
    try:
        if not getattr(request.node, "failed", False):
            for g in used.values():
                given_back(g)
            good = True
    finally:
        for keys in used if not good else ():
            standing.drop(keys)


@pytest.fixture
def shared_gateway(lent, tmp_path_factory):
    """shared_gateway(config): as gateway(), for all tests of a module that give the same.

    For those that leave no trace in it, do not stop it, and do not look into its access log.
    """
    return lambda config: lent(config, lambda: Gateway(tmp_path_factory.mktemp("shared"), config))


@pytest.fixture
def shared_proxy(lent, tmp_path_factory):
    """shared_proxy(script, ...): as proxy(), shared in the same way. Its backend's scripts are each test's own."""
    def start(*scripts, then=None, **keys):
        def make():
            b = Backend()
            g = Gateway(tmp_path_factory.mktemp("shared"), make_config(b, **keys))
            g.backend = b
            return g
        g = lent(repr(keys), make)
        g.backend.scripts, g.backend.then = list(scripts), then or (None if scripts else serve())
        return g
    return start


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed


def expect_faults(g, request):
    if request.node.get_closest_marker("faults"):
        g.expect_error(r"backend|response|pool")
    return g


@pytest.fixture
def gateway(started, tmp_path, request):
    """gateway(config): a running gateway. Its clients are closed at the end."""
    def start(config=None, **more):
        folder = tmp_path / f"gateway{len(started.gateways)}"
        folder.mkdir()
        g = Gateway(folder, config, **more)
        expect_faults(g, request)
        if request.node.get_closest_marker("load"):
            # Logging never makes a request wait: where the writer gets no processor, lines are dropped and counted.
            g.expect_error("log lines were dropped")
        started.gateways.append(g)
        return g
    return start


@pytest.fixture
def backend(started):
    """backend(script, ..., then=script). Without scripts: every request is answered with ok."""
    def start(*scripts, then=None, **more):
        if not scripts and then is None:
            then = serve()
        b = Backend(*scripts, then=then, **more)
        started.backends.append(b)
        return b
    return start


@pytest.fixture
def unreachable(backend):
    """A backend to which no connection ever stands: its backlog is full."""
    b = backend(listen=False)
    b.socket.listen(0)
    fill = [socket.socket() for _ in range(4)]
    for s in fill:
        s.setblocking(False)
        s.connect_ex((b.host, b.port))
    yield b
    for s in fill:
        s.close()


@pytest.fixture
def proxy(gateway, backend):
    """proxy(script or backend, ...): a gateway before one pool of them. Keys as for make_config().

    proxy.backend is the first backend.
    """
    def start(*scripts, then=None, nofile=None, env=None, **keys):
        if scripts and all(isinstance(s, (Backend, str)) for s in scripts):
            backends = scripts
        else:
            backends = [backend(*scripts, then=then)]
        g = gateway(make_config(*backends, **keys), nofile=nofile, env=env)
        g.backend = backends[0]
        return g
    return start


@pytest.fixture
def program(started, tmp_path):
    """program(command, ...): a helper process; its first line of output is awaited and returned with it."""
    def start(*command, first_line=True, **more):
        p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             stderr=open(tmp_path / "program.log", "ab"), **more)
        started.processes.append(p)
        if first_line:
            p.first = p.stdout.readline().strip()
            assert p.first, f"{command[0]} did not start: " + (tmp_path / "program.log").read_text()
        return p
    return start


@pytest.fixture
def nginx_server(program, tmp_path):
    """nginx_server(server, listen="", http=""): nginx with that server block; its address."""
    sockets = []

    def start(server, listen="", http=""):
        s = listening_socket()
        sockets.append(s)
        address = "127.0.0.1:%d" % s.getsockname()[1]
        folder = tmp_path / "nginx"
        folder.mkdir(exist_ok=True)
        user = "user root; " if os.geteuid() == 0 else ""       # so that it may read our folders
        (folder / "conf").write_text(f"""
            {user}daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
            events {{ worker_connections 500; }}
            http {{
                access_log off; {http}
                client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
                uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                server {{ listen {address} {listen}; {server} }}
            }}""")
        program(NGINX, "-p", str(folder), "-c", str(folder / "conf"), "-e", "stderr", first_line=False,
                pass_fds=[s.fileno()], env={**os.environ, "NGINX": f"{s.fileno()};"})
        return address
    yield start
    for s in sockets:
        s.close()


@pytest.fixture(scope="session")
def here():
    return os.path.dirname(os.path.abspath(__file__))
