"""idle_h2_clients.py HOST PORT COUNT: so many connections over TLS with HTTP/2, one request on each, then idle until
stdin ends."""

import resource
import socket
import ssl
import sys

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

context = ssl._create_unverified_context()
context.set_alpn_protocols(["h2"])
settings = b"\0\0\0\4\0\0\0\0\0"
ask = b"\0\0\x0a\1\5\0\0\0\1" b"\x82\x87\x84\x41\x05local"      # GET, https, /, an authority
answered = b"\0\1\0\0\0\1ok"            # the end of DATA on stream 1
connections = []
while len(connections) < count:
    batch = [context.wrap_socket(socket.create_connection((host, port))) for _ in range(min(50, count - len(connections)))]
    for s in batch:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + ask)
    for s in batch:
        got = b""
        while answered not in got:
            part = s.recv(65536)
            assert part, "closed too early"
            got += part
        s.sendall(b"\0\0\0\4\1\0\0\0\0")
    connections += batch
print("ready", flush=True)
sys.stdin.read()
