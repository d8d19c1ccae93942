"""HTTP/2 by hand: frames are built byte by byte, so that they can be wrong, and what comes back is read
strictly. Field sections are written as literals; those of responses are decoded with the hpack package."""

import struct
import time

import hpack

from .client import Client
from .wait import stretched

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK, END_STREAM, END_HEADERS, PADDED, PRIORITISED = 1, 1, 4, 8, 32
(HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE,
 MAX_HEADER_LIST_SIZE) = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8
ERRORS = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
          "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
          "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]


def as_bytes(s):
    return s if isinstance(s, bytes) else s.encode("latin-1")


# ---- bytes ----

def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """length: what the frame claims, if not the truth."""
    n = len(payload) if length is None else length
    return struct.pack(">I", n)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits, first=0):
    """RFC 7541 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def string(s):
    return integer(len(as_bytes(s)), 7) + as_bytes(s)


def literal(name, value, first=0):
    """Without indexing; first 0x10: never indexed, 0x40: indexed (RFC 7541 6.2)."""
    return bytes([first]) + string(name) + string(value)


def block(*pairs):
    return b"".join(literal(n, v) for n, v in pairs)


def request(method="GET", path="/", *fields, authority="test", scheme="http"):
    pseudo = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    return block(*[(n, v) for n, v in pseudo if v is not None], *fields)


def headers(stream, section, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, section)


def get(stream, path="/", *fields):
    return headers(stream, request("GET", path, *fields))


def post(stream, path="/", *fields):
    """The body follows."""
    return headers(stream, request("POST", path, *fields), END_HEADERS)


def data(stream, payload=b"", end=False):
    return frame(DATA, END_STREAM if end else 0, stream, as_bytes(payload))


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def ping(text=b"12345678", ack=False):
    return frame(PING, ACK if ack else 0, 0, text)


def window_update(stream, n):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))


def rst_stream(stream, error=8):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", error))


# ---- a connection ----

class Stream:
    """What has come back on a stream."""

    def __init__(self):
        self.status = None
        self.interim, self.fields, self.trailers = [], [], []
        self.body = b""
        self.bytes = 0
        self.ended = False
        self.error = None

    def __getitem__(self, name):
        return dict(self.fields).get(name)

    def __contains__(self, name):
        return name in dict(self.fields)

    def all(self, name):
        return [v for n, v in self.fields if n == name]

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.bytes} bytes ended={self.ended} error={self.error}>"


class H2Client(Client):
    """A raw client that keeps what it is sent. window: of each stream; grow: windows are opened as
    bytes come; keep: bodies are kept."""

    def __init__(self, address, settings_=(), start=True, window=None, grow=True, keep=True, **more):
        super().__init__(address, **more)
        self.decoder = hpack.Decoder()
        self.streams, self.settings, self.pings = {}, {}, []
        self.goaway = self.section = None
        self.goaways, self.frames = [], []
        self.closed = self.was_reset = False
        self.grow, self.keep = grow, keep
        self.last = -1
        self.opened = {0: 65535}            # what we may send: on the connection, and beyond the first on streams
        self.sent = {0: 0}
        if window is not None:
            settings_ = [*settings_, (INITIAL_WINDOW_SIZE, window)]
        if start:
            self.send(PREFACE + settings(*settings_))

    def stream(self, number):
        return self.streams.setdefault(number, Stream())

    # ---- receiving ----

    def exactly(self, n):
        while len(self.reader.buffer) < n:
            part = self.socket.recv(1 << 18)
            if not part:
                raise EOFError
            self.reader.buffer += part
        taken, self.reader.buffer = self.reader.buffer[:n], self.reader.buffer[n:]
        return taken

    def read(self):
        """One frame more. False: the gateway has closed."""
        try:
            head = self.exactly(9)
            payload = self.exactly(int.from_bytes(head[:3], "big"))
        except EOFError:
            self.closed = True
            return False
        except ConnectionError:
            self.closed = self.was_reset = True
            return False
        self.take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        return True

    def take(self, kind, flags, number, payload):
        assert len(payload) <= 16384, f"a frame of {len(payload)} bytes"
        assert self.section is None or kind == CONTINUATION
        self.frames.append((kind, flags, number, len(payload)))
        if kind == DATA:
            self.take_data(self.stream(number), flags, number, payload)
        elif kind in (HEADERS, CONTINUATION):
            self.take_headers(kind, flags, number, payload)
        elif kind == WINDOW_UPDATE:
            self.opened[number] = self.opened.get(number, 0) + int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            self.stream(number).error = ERRORS[int.from_bytes(payload, "big")]
        elif kind == SETTINGS and not flags & ACK:
            self.settings.update(struct.unpack(">HI", payload[i:i + 6]) for i in range(0, len(payload), 6))
            self.try_send(frame(SETTINGS, ACK))
        elif kind == PING:
            if flags & ACK:
                self.pings.append(payload)
            else:
                self.try_send(ping(payload, ack=True))
        elif kind == GOAWAY:
            self.goaway = ERRORS[int.from_bytes(payload[4:8], "big")]
            self.goaways.append(int.from_bytes(payload[:4], "big"))

    def take_data(self, s, flags, number, payload):
        assert s.status and not s.ended
        s.bytes += len(payload)
        if self.keep:
            s.body += payload
        s.ended = bool(flags & END_STREAM)
        if self.grow and payload:
            updates = b"" if s.ended else window_update(number, len(payload))
            self.try_send(window_update(0, len(payload)) + updates)

    def take_headers(self, kind, flags, number, payload):
        if kind == HEADERS:
            assert self.section is None
            self.section = (number, bool(flags & END_STREAM), b"")
        assert self.section[0] == number
        self.section = (*self.section[:2], self.section[2] + payload)
        if not flags & END_HEADERS:
            return
        _, end, section = self.section
        self.section = None
        fields = [(n.decode("latin-1") if isinstance(n, bytes) else n,
                   v.decode("latin-1") if isinstance(v, bytes) else v)
                  for n, v in self.decoder.decode(section, raw=True)]
        self.take_section(self.stream(number), fields, end)

    def take_section(self, s, fields, end):
        assert all(n == n.lower() for n, _ in fields)
        assert not s.ended
        if s.status:
            assert end and not any(n.startswith(":") for n, _ in fields)
            s.trailers = fields
        else:
            assert fields[0][0] == ":status" and not any(n.startswith(":") for n, _ in fields[1:])
            status = int(fields[0][1])
            if status < 200:
                assert not end
                s.interim.append((status, fields[1:]))
                return
            s.status, s.fields = status, fields[1:]
        s.ended = end

    def until(self, condition, what, timeout=10):
        """Reads until condition() holds; the connection must last as long."""
        end = time.monotonic() + stretched(timeout)
        while not condition():
            assert time.monotonic() < end, f"waited in vain for: {what} {self!r}"
            assert self.read(), f"the connection ended before: {what} {self!r}"

    def wait(self, number, timeout=10):
        """The stream, once it has ended or was reset."""
        s = self.stream(number)
        self.until(lambda: s.ended or s.error, f"the end of stream {number}", timeout)
        return s

    def wait_status(self, number):
        s = self.stream(number)
        self.until(lambda: s.status or s.error, f"a head on stream {number}")
        return s

    def wait_end(self):
        """Until the gateway closes; the error of its GOAWAY."""
        while not self.closed:
            self.read()
        return self.goaway

    def sync(self):
        """Until the gateway has acted on all that was sent."""
        n = len(self.pings)
        self.send(ping(b"in sync?"))
        self.until(lambda: len(self.pings) > n, "the answer to a PING")

    # ---- requests ----

    def room(self, number):
        """How much of a body may be sent on a stream now."""
        stream = self.settings[INITIAL_WINDOW_SIZE] + self.opened.get(number, 0) - self.sent.get(number, 0)
        return min(stream, self.opened[0] - self.sent[0])

    def push(self, number, left):
        """Sends as much of `left` zero bytes as may be sent now; what is left then."""
        while left and (n := min(16384, self.room(number), left)) > 0:
            self.send(data(number, bytes(n)))
            self.sent[0] += n
            self.sent[number] = self.sent.get(number, 0) + n
            left -= n
        return left

    def upload(self, number, size, end=True):
        self.until(lambda: INITIAL_WINDOW_SIZE in self.settings, "the settings")
        while size := self.push(number, size):
            assert self.read(), f"closed {size} bytes before the end of the upload"
        if end:
            self.send(data(number, end=True))

    def next_stream(self):
        self.last += 2
        return self.last

    def ask(self, method, path="/", *fields, body=None, timeout=10, **more):
        n = self.next_stream()
        section = request(method, path, *fields, **more)
        if body is None:
            self.send(headers(n, section))
        else:
            self.send(headers(n, section, END_HEADERS) + data(n, body, end=True))
        return self.wait(n, timeout)

    def get(self, path="/", *fields, **more):
        return self.ask("GET", path, *fields, **more)

    def __repr__(self):
        return f"<streams {self.streams} goaway={self.goaway} closed={self.closed}>"
