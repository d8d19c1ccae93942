"""idle_clients.py HOST PORT COUNT: so many connections, one request on each, then idle until stdin ends."""

import resource
import socket
import sys

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

request = b"GET / HTTP/1.1\r\nHost: idle\r\n\r\n"
connections = []
while len(connections) < count:
    batch = [socket.create_connection((host, port)) for _ in range(min(100, count - len(connections)))]
    for s in batch:
        s.sendall(request)
    for s in batch:
        got = b""
        while not got.endswith(b"\r\n\r\nok"):
            part = s.recv(65536)
            assert part, "closed too early"
            got += part
    connections += batch
print("ready", flush=True)
sys.stdin.read()
