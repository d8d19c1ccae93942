"""gRPC through the gateway, with a client and a server of gRPC's own."""

import concurrent.futures
import sys
import threading

import grpc
import pytest

from conftest import make_config
from harness import wait_for
from harness.certs import Authority

pytestmark = pytest.mark.serial


@pytest.fixture
def server(program, here):
    return "127.0.0.1:" + program(sys.executable, f"{here}/apps/grpc_server.py").first


@pytest.fixture
def calls(proxy, server):
    """calls(keys): the methods of the server behind a gateway."""
    channels = []

    def start(*pool, backends=(server,), protocol="h2c", **more):
        g = proxy(*backends, pool=[f"protocol {protocol}", *pool], **more)
        channel = grpc.insecure_channel("%s:%d" % g.address)
        channels.append(channel)
        return Calls(channel, g)
    yield start
    for c in channels:
        c.close()


class Calls:
    def __init__(self, channel, gateway):
        self.gateway = gateway

        def method(kind, name):
            return getattr(channel, kind)(f"/test.Calls/{name}")
        self.unary = method("unary_unary", "Unary")
        self.client_stream = method("stream_unary", "ClientStream")
        self.server_stream = method("unary_stream", "ServerStream")
        self.bidi = method("stream_stream", "BidiStream")
        self.wait = method("unary_unary", "Wait")
        self.cancelled = method("unary_unary", "Cancelled")
        self.waiting = method("unary_unary", "Waiting")
        self.fail = method("unary_unary", "Fail")
        self.left = method("unary_unary", "Left")
        self.unknown = method("unary_unary", "Unknown")


def code_of(call, *arguments, **more):
    with pytest.raises(grpc.RpcError) as e:
        call(*arguments, **more)
    return e.value.code(), e.value.details()


def test_all_four_kinds_of_calls(calls):
    c = calls()
    assert c.unary(b"a", timeout=10) == b"<a>"
    assert c.client_stream(iter([b"a", b"b", b"c"]), timeout=10) == b"a+b+c"
    assert list(c.server_stream(b"100", timeout=10)) == [b"%d" % i for i in range(100)]
    assert list(c.bidi(iter([b"a", b"b"]), timeout=10)) == [b"A", b"B"]


def test_each_message_of_a_conversation_is_answered_before_the_next(calls):
    c = calls()
    ask = threading.Semaphore(0)

    def questions():
        for i in range(20):
            ask.acquire(timeout=20)
            yield b"q%d" % i
    answers = c.bidi(questions(), timeout=30)
    for i in range(20):
        ask.release()
        assert next(answers) == b"Q%d" % i
    assert list(answers) == []


def test_metadata_goes_both_ways(calls):
    c = calls()
    _, call = c.unary.with_call(b"abc", timeout=10, metadata=[("x-mine", "here")])
    assert dict(call.trailing_metadata())["x-sum"] == "3"
    assert dict(call.trailing_metadata())["x-seen"] == "here"


def test_errors_of_the_server_come_as_they_are(calls):
    c = calls()
    assert code_of(c.fail, b"", timeout=10) == (grpc.StatusCode.NOT_FOUND, "no such thing: ü")
    assert code_of(c.unknown, b"", timeout=10)[0] == grpc.StatusCode.UNIMPLEMENTED


def test_deadlines_are_passed_on_and_end_the_call_at_both_ends(calls):
    c = calls()
    assert 0 < float(c.left(b"", timeout=50)) < 60          # the unit it is sent in may round it
    assert code_of(c.wait, b"", timeout=1)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(lambda: c.cancelled(b"", timeout=10) == b"1", "the server to have given up")


def test_a_cancelled_call_is_cancelled_at_the_server(calls):
    c = calls()
    future = c.wait.future(b"")
    assert c.unary(b"beside", timeout=10) == b"<beside>"
    wait_for(lambda: c.waiting(b"", timeout=10) == b"1", "the call to have begun")
    future.cancel()
    wait_for(lambda: c.cancelled(b"", timeout=10) == b"1", "the server to be told")


def test_many_calls_at_once(calls):
    c = calls()
    with concurrent.futures.ThreadPoolExecutor(12) as many:
        answers = list(many.map(lambda i: c.unary(b"%d" % i, timeout=20), range(300)))
    assert answers == [b"<%d>" % i for i in range(300)]


def test_large_messages(calls):
    c = calls()
    message = bytes(range(256)) * 8000
    assert c.unary(message, timeout=20) == b"<" + message + b">"
    assert c.client_stream(iter([message, message[::-1]]), timeout=20) == message + b"+" + message[::-1]


# ---- errors of ours ----

def test_a_backend_that_is_not_there_is_unavailable(calls, backend):
    c = calls("retry attempts=1", backends=[backend(listen=False).address])
    assert code_of(c.unary, b"a", timeout=10)[0] == grpc.StatusCode.UNAVAILABLE


PLACES = {400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED", 429: "UNAVAILABLE",
          503: "UNAVAILABLE", 418: "UNKNOWN"}


@pytest.mark.parametrize("status, code", PLACES.items())
def test_statuses_that_only_http_has_get_their_place(shared_gateway, status, code):
    """Of responses that are no gRPC, a client makes the same of them."""
    routes = "\n".join(f"route /{n}/* {{ respond {n} }}" for n in PLACES)
    g = shared_gateway(f"gateway {{\n    threads 1\n}}\nlisten 127.0.0.1:0\nsite * {{\n{routes}\n}}\n")
    with grpc.insecure_channel("%s:%d" % g.address) as channel:
        found, _ = code_of(channel.unary_unary(f"/{status}/b"), b"", timeout=10)
        assert found == getattr(grpc.StatusCode, code)


def test_a_site_that_is_not_there_is_unimplemented(gateway, server):
    g = gateway(make_config(server, pool=["protocol h2c"],
                            site="site other.test {\n    route * {\n        proxy app\n    }\n}\n"))
    with grpc.insecure_channel("%s:%d" % g.address) as channel:
        code, details = code_of(channel.unary_unary("/test.Calls/Unary"), b"", timeout=10)
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert "nothing here" in details.lower() or details


def test_a_call_that_is_too_large_exhausts(calls):
    c = calls(route=["limit body=1k"])
    assert code_of(c.unary, bytes(5000), timeout=10)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED


# ---- encrypted ----

def test_calls_to_a_server_with_tls(gateway, program, here, tmp_path):
    authority = Authority(tmp_path)
    certificate = authority.issue("localhost")
    port = program(sys.executable, f"{here}/apps/grpc_server.py", str(certificate.pem), str(certificate.key)).first
    g = gateway(make_config(f"h2://localhost:{port}", pool=[f"tls {{\n        ca {authority.pem}\n    }}"]))
    with grpc.insecure_channel("%s:%d" % g.address) as channel:
        assert channel.unary_unary("/test.Calls/Unary")(b"a", timeout=10) == b"<a>"
        assert list(channel.unary_stream("/test.Calls/ServerStream")(b"3", timeout=10)) == [b"0", b"1", b"2"]


@pytest.mark.faults
def test_a_server_that_does_not_agree_to_http2_is_named(gateway, backend, tmp_path):
    import ssl
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("localhost").both)
    b = backend(then=lambda c: c.wait_closed(), tls=context)
    g = gateway(make_config(f"h2://localhost:{b.port}", pool=[f"tls {{\n        ca {authority.pem}\n    }}",
                                                              "retry attempts=1"]))
    assert g.get("/").status == 502
    g.wait_line("does not speak the pool's protocol .ALPN.")
