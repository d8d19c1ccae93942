"""Reads HTTP/1.1 messages strictly, to judge what the gateway writes. Not a client library:
whatever is not exactly right raises Broken."""

import re

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:[ \t]*;.*)?\Z")


class Broken(Exception):
    """A message that breaks off or breaks the rules. .message is what had come until then."""

    def __init__(self, why, message=None):
        super().__init__(why)
        self.message = message


class Message:
    """A request or a response. Field names are compared in lower case."""

    def __init__(self):
        self.version = self.status = self.reason = self.method = self.target = None
        self.head = b""                     # as received, the empty line included
        self.fields = []                    # (name in lower case, value) as str, in order
        self.body = b""
        self.trailers = []
        self.chunks = []                    # sizes, when chunked

    def all(self, name):
        return [v for n, v in self.fields if n == name.lower()]

    def __getitem__(self, name):
        """The one value of a field; None when absent; an error when there are several."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} occurs {len(values)} times: {values}"
        return values[0] if values else None

    def __contains__(self, name):
        return bool(self.all(name))

    def tokens(self, name):
        return [t.strip().lower() for v in self.all(name) for t in v.split(",") if t.strip()]

    def __repr__(self):
        return f"<{self.method or self.status} {self.target or self.reason} {self.fields} " \
               f"{len(self.body)} bytes>"


class Reader:
    """Takes messages off a connection. recv: a function like socket.recv."""

    def __init__(self, recv):
        self.recv = recv
        self.buffer = b""
        self.ended = False

    def fill(self):
        """False at the end of the stream."""
        if self.ended:
            return False
        data = self.recv(65536)
        if not data:
            self.ended = True
        self.buffer += data
        return bool(data)

    def take(self, n, parts, message=None):
        """Appends n bytes to parts, or as many as there are."""
        while n > 0:
            if not self.buffer and not self.fill():
                raise Broken(f"the stream ended {n} bytes early", message)
            part, self.buffer = self.buffer[:n], self.buffer[n:]
            parts.append(part)
            n -= len(part)

    def exactly(self, n, message=None):
        parts = []
        try:
            self.take(n, parts, message)
        except Broken:
            if message is not None:
                message.body += b"".join(parts)
            raise
        return b"".join(parts)

    def until(self, mark, message=None):
        while mark not in self.buffer:
            if not self.fill():
                raise Broken(f"the stream ended before {mark!r}: {self.buffer!r}", message)
        at = self.buffer.index(mark) + len(mark)
        part, self.buffer = self.buffer[:at], self.buffer[at:]
        return part

    def rest(self):
        parts = [self.buffer]
        self.buffer = b""
        while self.fill():
            parts.append(self.buffer)
            self.buffer = b""
        return b"".join(parts)

    # ---- heads ----

    def head(self):
        """The head alone: request or response."""
        m = Message()
        m.head = self.until(b"\r\n\r\n")
        lines = m.head[:-4].split(b"\r\n")
        status, request = STATUS_LINE.match(lines[0]), REQUEST_LINE.match(lines[0])
        if status:
            m.version, m.status = "1." + status[1].decode(), int(status[2])
            m.reason = status[3].decode("latin-1")
        elif request:
            m.method, m.target = request[1].decode(), request[2].decode()
            m.version = "1." + request[3].decode()
        else:
            raise Broken(f"bad start line {lines[0]!r}", m)
        m.fields = [self.field(line, m) for line in lines[1:]]
        return m

    @staticmethod
    def field(line, m):
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name) or b"\n" in line or b"\r" in line or b"\0" in line:
            raise Broken(f"bad field line {line!r}", m)
        return name.decode().lower(), value.strip(b" \t").decode("latin-1")

    # ---- bodies ----

    def chunked(self, m):
        parts = []
        try:
            self.chunks(m, parts)
        finally:
            m.body += b"".join(parts)
        while (line := self.until(b"\r\n", m)) != b"\r\n":
            m.trailers.append(self.field(line[:-2], m))

    def chunks(self, m, parts):
        while True:
            line = self.until(b"\r\n", m)[:-2]
            size = CHUNK_LINE.match(line)
            if not size:
                raise Broken(f"bad chunk line {line!r}", m)
            n = int(size[1], 16)
            if n == 0:
                return
            m.chunks.append(n)
            self.take(n, parts, m)
            end = []
            self.take(2, end, m)
            if b"".join(end) != b"\r\n":
                raise Broken("no CRLF after the chunk", m)

    def body(self, m, has_body=True, to_close=False):
        codings, lengths = m.tokens("transfer-encoding"), m.all("content-length")
        if len(lengths) > 1 or (codings and lengths):
            raise Broken(f"ambiguous framing {m.fields}", m)
        if lengths and not lengths[0].isdigit():
            raise Broken(f"bad Content-Length {lengths}", m)
        if not has_body:
            return
        if codings:
            if codings != ["chunked"]:
                raise Broken(f"codings {codings}", m)
            self.chunked(m)
        elif lengths:
            m.body += self.exactly(int(lengths[0]), m)
        elif to_close:
            m.body += self.rest()

    def request(self):
        """A whole request; None when the stream ends between two."""
        if not self.buffer and not self.fill():
            return None
        m = self.head()
        if m.method is None:
            raise Broken("not a request", m)
        self.body(m)
        return m

    def response(self, method="GET", interim=False):
        """A whole response. Interim ones are skipped unless asked for."""
        while True:
            m = self.head()
            if m.status is None:
                raise Broken("not a response", m)
            if m.status >= 200 or m.status == 101:
                break
            self.body(m, has_body=False)
            if interim:
                return m
        has_body = method != "HEAD" and m.status not in (101, 204, 304)
        if m.status == 204 and ("transfer-encoding" in m or "content-length" in m):
            raise Broken("204 with framing (RFC 9110 8.6, RFC 9112 6.1)", m)
        self.body(m, has_body, to_close=True)
        return m
