"""slots_origin.py SLOTS MS [fcgi]: answers every request after MS milliseconds, and counts connections.

Says its port; on `stats` the most connections there have been at a time. What is beyond SLOTS would wait
in it, as with an application that has so many workers.
"""

import heapq
import selectors
import socket
import struct
import sys
import time

SLOTS, WAIT = int(sys.argv[1]), int(sys.argv[2]) / 1000
IS_FCGI = sys.argv[3:] == ["fcgi"]
BEGIN, END, STDIN, STDOUT, KEEP = 1, 3, 5, 6, 1


def record(kind, request, content):
    return struct.pack(">BBHHBx", 1, kind, request, len(content), 0) + content


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
                self.keep = content[2] & KEEP
            if kind == STDIN and not content:
                answer = record(STDOUT, request, b"Content-Type: text/plain\r\n\r\nok")
                yield answer + record(STDOUT, request, b"") + record(END, request, bytes(8)), self.keep


def received(s):
    """A client that goes before it has its answer resets the connection."""
    try:
        return s.recv(65536)
    except OSError:
        return b""


listener = socket.create_server(("127.0.0.1", 0), backlog=512)
listener.setblocking(False)
sel = selectors.DefaultSelector()
sel.register(listener, selectors.EVENT_READ)
sel.register(sys.stdin, selectors.EVENT_READ)
print(listener.getsockname()[1], flush=True)
due, waiting, busy, now, most = [], [], 0, 0, 0
while True:
    for key, _ in sel.select(max(0, due[0][0] - time.monotonic()) if due else 1):
        s = key.fileobj
        if s is listener:
            c, _ = s.accept()
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sel.register(c, selectors.EVENT_READ, Fcgi() if IS_FCGI else Http())
            now += 1
            most = max(most, now)
        elif s is sys.stdin:
            if not s.readline():
                sys.exit()
            print(most, flush=True)
            most = now
        else:
            data = received(s)
            waiting += [(s, *answer) for answer in key.data.feed(data)] if data else []
            if not data:
                sel.unregister(s)
                s.close()
                now -= 1
    while waiting and busy < SLOTS:
        busy += 1
        heapq.heappush(due, (time.monotonic() + WAIT, id(waiting[0]), waiting.pop(0)))
    while due and due[0][0] <= time.monotonic():
        s, answer, keep = heapq.heappop(due)[2]
        busy -= 1
        try:
            s.send(answer)
            if not keep:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
