"""A gRPC server without generated code: messages are bytes. Prints its port.

/test.Calls/Unary, ClientStream, ServerStream, BidiStream: the four kinds
/test.Calls/Wait: until it is cancelled or its deadline has passed; /test.Calls/Waiting: how many
    have begun to; /test.Calls/Cancelled: how many were
/test.Calls/Fail: NOT_FOUND with a message; /test.Calls/Left: the time that is left, in seconds
"""

import concurrent.futures
import sys
import threading

import grpc

cancelled, waiting = [], []


def unary(request, context):
    context.set_trailing_metadata((("x-sum", str(len(request))), ("x-seen", dict(context.invocation_metadata())
                                                                  .get("x-mine", ""))))
    return b"<" + request + b">"


def client_stream(requests, context):
    return b"+".join(requests)


def server_stream(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def bidi_stream(requests, context):
    for r in requests:
        yield r.upper()


def wait(request, context):
    done = threading.Event()
    context.add_callback(lambda: (cancelled.append(1), done.set()))
    waiting.append(1)
    done.wait(30)
    return b""


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ü")


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "BidiStream": grpc.stream_stream_rpc_method_handler(bidi_stream),
    "Wait": grpc.unary_unary_rpc_method_handler(wait),
    "Cancelled": grpc.unary_unary_rpc_method_handler(lambda r, c: b"%d" % len(cancelled)),
    "Waiting": grpc.unary_unary_rpc_method_handler(lambda r, c: b"%d" % len(waiting)),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Left": grpc.unary_unary_rpc_method_handler(lambda r, c: b"%f" % c.time_remaining()),
}

server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Calls", HANDLERS)])
if len(sys.argv) > 2:
    pem, key = (open(name, "rb").read() for name in sys.argv[1:3])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, pem)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
