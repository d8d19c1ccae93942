"""An application that answers every request with X-Sendfile: handing_over.py fastcgi|scgi PATH. Prints its port."""

import socket
import struct
import sys
import threading

protocol, path = sys.argv[1:]
ANSWER = f"Status: 200 OK\r\nContent-Type: text/plain\r\nX-Sendfile: {path}\r\n\r\n".encode()


def exactly(f, n):
    data = f.read(n)
    if len(data) < n:
        raise EOFError
    return data


def record(kind, request, content=b""):
    return struct.pack(">BBHHBB", 1, kind, request, len(content), 0, 0) + content


def fastcgi(f, write):
    """The end of a request comes some records after its head."""
    while True:
        _, kind, request, n, padding, _ = struct.unpack(">BBHHBB", exactly(f, 8))
        content = exactly(f, n + padding)[:n]
        if kind == 5 and not content:       # STDIN ends
            write(record(6, request, ANSWER))
            write(record(6, request, b"a body that nobody sees"))
            write(record(6, request))
            write(record(3, request, struct.pack(">IBBH", 0, 0, 0, 0)))


def scgi(f, write):
    n = b""
    while (c := exactly(f, 1)) != b":":
        n += c
    exactly(f, int(n) + 1)
    write(ANSWER)


def serve(s):
    f = s.makefile("rb")
    try:
        (fastcgi if protocol == "fastcgi" else scgi)(f, s.sendall)
    except (EOFError, OSError):
        pass
    finally:
        f.close()
        s.close()


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
