"""gRPC through the gateway with gRPC's other implementation at both ends, over h2c and over TLS."""

import json
import os
import pathlib
import subprocess

import pytest

from conftest import make_config
from harness.certs import Authority

pytestmark = pytest.mark.serial

APPS = pathlib.Path(__file__).parent / "apps" / "grpc"


@pytest.fixture(scope="session")
def js():
    """The environment in which node finds what tools/install-npm has put into the build folder."""
    for folder in pathlib.Path(os.environ["SLUICE_BIN"]).resolve().parents:
        if (folder / "npm" / "node_modules").is_dir():
            return {**os.environ, "NODE_PATH": str(folder / "npm" / "node_modules")}
    pytest.fail("packages of npm are missing: tools/install-npm BUILD installs them")


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture(params=["h2c", "TLS"])
def client(request, gateway, program, authority, js):
    """client(task): what client.js makes of it, through a gateway; request.param is spoken on both sides."""
    server = ["node", str(APPS / "server.js")]
    if request.param == "h2c":
        backend, ca, keys = "127.0.0.1:" + program(*server, env=js).first, [], {"pool": ["protocol h2c"]}
    else:
        mine, theirs = authority.issue("localhost"), authority.issue("localhost")
        port = program(*server, str(theirs.pem), str(theirs.key), env=js).first
        backend, ca = f"h2://localhost:{port}", [str(authority.pem)]
        keys = {"pool": [f"tls {{\n        ca {authority.pem}\n    }}"],
                "listen": f"127.0.0.1:0 tls {{\n    certificate {mine.pem} key={mine.key}\n}}"}
    g = gateway(make_config(backend, **keys))
    host = "localhost" if ca else "127.0.0.1"
    return lambda task: run(f"{host}:{g.address[1]}", task, *ca, env=js)


def run(*arguments, env):
    out = subprocess.run(["node", str(APPS / "client.js"), *arguments], capture_output=True, text=True,
                         timeout=120, env=env)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def test_all_four_kinds_of_calls(client):
    seen = client("kinds")
    assert seen["unary"]["reply"] == "<a>"
    assert seen["unary"]["trailers"]["x-sum"] == "1" and seen["unary"]["trailers"]["x-seen"] == "here"
    assert seen["clientStream"]["reply"] == "a+b+c"
    assert seen["serverStream"] == {"replies": [str(i) for i in range(100)], "code": "OK"}
    assert seen["bidiStream"] == {"replies": ["A", "B"], "code": "OK"}
    assert (seen["fail"]["code"], seen["fail"]["details"]) == ("NOT_FOUND", "no such thing: ü")
    assert seen["unknown"]["code"] == "UNIMPLEMENTED"


def test_deadlines_are_passed_on_and_end_the_call_at_both_ends(client):
    seen = client("deadline")
    assert 0 < seen["left"] < 60_000
    assert seen["unary"] == seen["bidi"] == "DEADLINE_EXCEEDED"
    assert seen["cancelled"] == "2"


def test_a_cancelled_call_is_cancelled_at_the_server(client):
    seen = client("cancel")
    assert seen["waiting"] == "2"
    assert seen["unary"] == "CANCELLED"
    assert seen["bidi"] == {"replies": ["a"], "code": "CANCELLED"}
    assert seen["cancelled"] == "2"
    assert seen["after"] == "<on>"


def test_many_and_large_calls(client):
    assert client("crowd") == 300
    assert client("large") is True


def test_a_server_that_is_not_there_is_unavailable(gateway, backend, js):
    g = gateway(make_config(backend(listen=False).address, pool=["protocol h2c", "retry attempts=1"]))
    g.expect_error("backend|pool")
    assert run("%s:%d" % g.address, "failing", env=js)["code"] == "UNAVAILABLE"
