"""A raw client: sends exactly the bytes it is given."""

import re
import socket
import struct

from .messages import Broken, Reader
from .wait import stretched


class Client:
    def __init__(self, address, timeout=10, rcvbuf=None, source=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(stretched(timeout))
        if source:              # an address of ours: another client
            self.socket.bind((source, 0))
        self.socket.connect(address)
        self.reader = Reader(self.recv)

    def recv(self, n):
        """A reset ends the stream, as far as the reader is concerned."""
        try:
            return self.socket.recv(n)
        except ConnectionResetError:
            return b""

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.socket.sendall(data)
        return self

    def try_send(self, data):
        """For data that the peer may refuse to take any more."""
        try:
            self.send(data)
            return True
        except OSError:
            return False

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def response(self, method="GET", interim=False):
        return self.reader.response(method, interim)

    def ask(self, method, target, fields="", body=b"", version="1.1", host="test"):
        """One request and its response."""
        if isinstance(fields, dict):
            fields = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        if isinstance(body, str):
            body = body.encode()
        framed = re.search(r"^(content-length|transfer-encoding):", fields, re.M | re.I)
        if body and not framed:
            fields += f"Content-Length: {len(body)}\r\n"
        host = f"Host: {host}\r\n" if host is not None else ""
        self.send(f"{method} {target} HTTP/{version}\r\n{host}{fields}\r\n".encode("latin-1") + body)
        return self.response(method)

    def get(self, target="/", fields="", **more):
        return self.ask("GET", target, fields, **more)

    def post(self, target, body, fields="", **more):
        return self.ask("POST", target, fields, body, **more)

    def rest(self):
        return self.reader.rest()

    def expect_closed(self):
        """The gateway has closed, and sends nothing more."""
        rest = self.rest()
        assert rest == b"", f"more came before the end: {rest[:200]!r}"

    def is_open(self):
        """Whether another request gets an answer."""
        try:
            self.get("/")
            return True
        except (Broken, OSError):
            return False

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
