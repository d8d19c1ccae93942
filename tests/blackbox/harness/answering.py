"""What an origin that answers everything with ok makes of the bytes it gets, in pieces as they come."""

import struct

from .fcgi import BEGIN, STDIN, STDOUT, end, record

KEEP = 1


class Http:
    """A request is a head."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data):
        """Whole requests: what answers each, and whether the connection is kept."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            self.buffer = self.buffer.split(b"\r\n\r\n", 1)[1]
            yield b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True


class Fcgi(Http):
    """A request ends with an empty record of its body."""

    keep = False

    def feed(self, data):
        self.buffer += data
        while len(self.buffer) >= 8:
            kind, request, length, padding = struct.unpack(">xBHHBx", self.buffer[:8])
            if len(self.buffer) < 8 + length + padding:
                return
            content, self.buffer = self.buffer[8:8 + length], self.buffer[8 + length + padding:]
            if kind == BEGIN:
                self.keep = bool(content[2] & KEEP)
            if kind == STDIN and not content:
                answer = record(STDOUT, request, b"Content-Type: text/plain\r\n\r\nok")
                yield answer + record(STDOUT, request) + end(request), self.keep


class Scgi(Http):
    """A request is a netstring of variables; it has no body. The end of its answer is that of the connection."""

    def feed(self, data):
        self.buffer += data
        length, colon, rest = self.buffer.partition(b":")
        if colon and len(rest) > int(length):
            self.buffer = b""
            yield b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nok", False
