"""A scripted HTTP/2 backend: frames by hand on a connection of a Backend.

    def script(c):
        h = H2Peer(c)
        r = h.request()                      # the next whole request
        h.respond(r.stream, "ok")
        h.serve()                            # answers all others, until the gateway closes
"""

import struct

import hpack

from .h2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ERRORS, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING,
                 PREFACE, PRIORITISED, RST_STREAM, SETTINGS, WINDOW_UPDATE, as_bytes, block, data, frame, headers, ping,
                 settings, window_update)


class Request:
    def __init__(self, stream):
        self.stream = stream
        self.fields, self.trailers = [], []
        self.body = b""
        self.ended = False
        self.error = None

    def __getitem__(self, name):
        return dict(self.fields).get(name)


class H2Peer:
    """grow: windows are opened as bytes come."""

    def __init__(self, connection, settings_=(), grow=True):
        self.c = connection
        self.decoder = hpack.Decoder()
        self.requests, self.taken = {}, []
        self.begun = []
        self.pings, self.acks, self.goaway = [], 0, None
        self.window, self.sent = {0: 65535}, {}
        self.peer_window = 65535
        self.buffer = b""
        self.section = None
        self.grow, self.closed = grow, False
        self.send(settings(*settings_))
        assert self.exactly(len(PREFACE)) == PREFACE

    def send(self, octets):
        self.c.send(octets)

    def exactly(self, n):
        while len(self.buffer) < n:
            part = self.c.recv(1 << 18)
            if not part:
                raise EOFError
            self.buffer += part
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def read(self):
        """One frame more. False: the gateway has closed."""
        try:
            head = self.exactly(9)
            payload = self.exactly(int.from_bytes(head[:3], "big"))
        except (EOFError, OSError):
            self.closed = True
            return False
        self.take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        return True

    def take(self, kind, flags, number, payload):
        if kind == DATA:
            r = self.requests[number]
            r.body += payload
            r.ended = bool(flags & END_STREAM)
            if self.grow and payload:
                self.send(window_update(0, len(payload)) + window_update(number, len(payload)))
        elif kind in (HEADERS, CONTINUATION):
            if kind == HEADERS:
                self.section = (flags & END_STREAM, b"")
                payload = payload[5:] if flags & PRIORITISED else payload
            self.section = (self.section[0], self.section[1] + payload)
            if flags & END_HEADERS:
                self.take_section(number)
        elif kind == RST_STREAM and number in self.requests:
            self.requests[number].error = ERRORS[int.from_bytes(payload, "big")]
        elif kind == SETTINGS:
            if flags & ACK:
                self.acks += 1
                return
            pairs = dict(struct.unpack(">HI", payload[i:i + 6]) for i in range(0, len(payload), 6))
            self.peer_window = pairs.get(INITIAL_WINDOW_SIZE, self.peer_window)
            self.send(frame(SETTINGS, ACK))
        elif kind == WINDOW_UPDATE:
            self.window[number] = self.window.get(number, 0) + int.from_bytes(payload, "big")
        elif kind == PING:
            if flags & ACK:
                self.pings.append(payload)
            else:
                self.on_ping(payload)
        elif kind == GOAWAY:
            self.goaway = ERRORS[int.from_bytes(payload[4:8], "big")]

    def on_ping(self, payload):
        self.send(ping(payload, ack=True))

    def take_section(self, number):
        fields = [(n.decode("latin-1"), v.decode("latin-1"))
                  for n, v in self.decoder.decode(self.section[1], raw=True)]
        ended = bool(self.section[0])
        self.section = None
        if number in self.requests:
            self.requests[number].trailers = fields
        else:
            self.requests[number] = Request(number)
            self.requests[number].fields = fields
            self.begun.append(number)
        self.requests[number].ended = ended

    def until(self, condition):
        while not condition():
            if not self.read():
                return False
        return True

    def head(self):
        """The next request whose head has come; None: the gateway has closed."""
        if not self.until(lambda: self.begun):
            return None
        return self.requests[self.begun.pop(0)]

    def request(self):
        """The same, once it is complete."""
        r = self.head()
        if r is None or not self.until(lambda: r.ended or r.error):
            return None
        return r

    def room(self, number):
        sent = self.sent.get(number, 0)
        return min(self.peer_window + self.window.get(number, 0) - sent,
                   self.window[0] - sum(self.sent.values()))

    def data(self, number, payload, end=False):
        """As the windows allow."""
        while payload:
            if not self.until(lambda: self.room(number) > 0 or self.requests[number].error) \
                    or self.requests[number].error:
                return False
            n = min(16384, self.room(number), len(payload))
            self.send(data(number, payload[:n], end and n == len(payload)))
            self.sent[number] = self.sent.get(number, 0) + n
            payload = payload[n:]
        return True

    def respond(self, number, body=b"ok", status=200, *fields, trailers=(), interim=()):
        for code, *pairs in interim:
            self.send(headers(number, block((":status", str(code)), *pairs), END_HEADERS))
        ends = not body and not trailers
        self.send(headers(number, block((":status", str(status)), *fields),
                          END_HEADERS | (END_STREAM if ends else 0)))
        if body:
            self.data(number, as_bytes(body), not trailers)
        if trailers:
            self.send(headers(number, block(*trailers)))

    def serve(self, answer=lambda request: b"ok"):
        while (r := self.request()) is not None:
            if not r.error:
                self.respond(r.stream, answer(r))


def serve_h2(answer=lambda request: b"ok", **more):
    """A script that answers every request on the connection."""
    return lambda c: H2Peer(c, **more).serve(answer)
