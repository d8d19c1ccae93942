"""FastCGI and SCGI as an application sees them, for scripted backends."""

import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, VALUES, UNKNOWN = range(1, 12)


def record(kind, id, content=b"", padding=0, version=1, length=None):
    """length: what the header says, if that is not the truth."""
    n = len(content) if length is None else length
    return struct.pack(">BBHHBB", version, kind, id, n, padding, 0) + content + bytes(padding)


def end(id, protocol=0, app=0):
    return record(END, id, struct.pack(">IB3x", app, protocol))


def pairs(data):
    """FastCGI 3.4."""
    found, at = {}, 0
    while at < len(data):
        lengths = []
        for _ in range(2):
            n = data[at]
            if n & 0x80:
                n = struct.unpack(">I", data[at:at + 4])[0] & 0x7fffffff
                at += 4
            else:
                at += 1
            lengths.append(n)
        name = data[at:at + lengths[0]].decode("latin-1")
        found[name] = data[at + lengths[0]:at + sum(lengths)].decode("latin-1")
        at += sum(lengths)
    return found


class Request:
    """One request, read off a harness Connection. None of read()'s pieces when the gateway has closed."""

    def __init__(self, c):
        self.c, self.id, self.keep, self.params, self.body, self.ended = c, None, False, None, b"", False

    def record(self):
        if not self.c.reader.buffer and not self.c.reader.fill():
            return None
        version, kind, id, n, padding, _ = struct.unpack(">BBHHBB", self.c.reader.exactly(8))
        assert version == 1, version
        content = self.c.reader.exactly(n)
        self.c.reader.exactly(padding)
        return kind, id, content

    def head(self):
        """Up to the end of its parameters; False when there is no other request."""
        data = b""
        while (r := self.record()) is not None:
            kind, id, content = r
            if kind == BEGIN:
                role, flags = struct.unpack(">HB5x", content)
                assert role == 1
                self.id, self.keep = id, bool(flags & 1)
            elif kind == PARAMS and content:
                data += content
            elif kind == PARAMS:
                self.params = pairs(data)
                return True
            assert id == self.id, (id, self.id)
        assert self.id is None, "closed in the middle of a request"
        return False

    def rest(self):
        while not self.ended:
            r = self.record()
            assert r, "closed in the middle of a request's body"
            kind, id, content = r
            assert kind == STDIN and id == self.id, r[:2]
            self.body += content
            self.ended = not content
        return self


def read_fcgi(c):
    """A whole request, or None."""
    r = Request(c)
    return r.rest() if r.head() else None


class ScgiRequest:
    def __init__(self, c):
        n = int(c.reader.until(b":")[:-1])
        words = c.reader.exactly(n).split(b"\0")
        assert c.reader.exactly(1) == b"," and words.pop() == b""
        self.params = {k.decode("latin-1"): v.decode("latin-1") for k, v in zip(words[::2], words[1::2])}
        assert words[0] == b"CONTENT_LENGTH" and self.params["SCGI"] == "1"
        self.body = c.reader.exactly(int(words[1]))


def read_scgi(c):
    if not c.reader.buffer and not c.reader.fill():
        return None
    return ScgiRequest(c)
