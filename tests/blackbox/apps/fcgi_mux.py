"""A FastCGI application that serves several requests on a connection at once. Prints its port.

/hold          is answered when another request asks for /release
/release       lets them go, and says how many there were
/aborted       how many requests were aborted
/large         a megabyte, in records that others may come between
/huge          64 megabytes
/echo          the request's body
/refused       how many requests were refused
anything else  its path
arguments: MPXS, what it says of itself ("1", "0", "-": nothing, or "lie": "1", but it cannot)
"""

import socket
import struct
import sys
import threading

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, GET_VALUES_RESULT = range(1, 11)
held, aborted, refused, lock = [], [], [], threading.Lock()


def pair(name, value):
    return bytes([len(name), len(value)]) + name + value


def read_pairs(octets):
    found = {}
    while octets:
        sizes = []
        for _ in range(2):
            if octets[0] & 0x80:
                sizes.append(struct.unpack(">I", octets[:4])[0] & 0x7fffffff)
                octets = octets[4:]
            else:
                sizes.append(octets[0])
                octets = octets[1:]
        found[octets[:sizes[0]].decode()] = octets[sizes[0]:sum(sizes)].decode("latin-1")
        octets = octets[sum(sizes):]
    return found


class Request:
    def __init__(self):
        self.params, self.body = b"", b""
        self.go = threading.Event()
        self.is_aborted = False


class Connection:
    def __init__(self, sock, says):
        self.socket, self.lies = sock, says == "lie"
        self.says = "1" if self.lies else says
        self.requests, self.refused = {}, set()
        self.writing = threading.Lock()

    def exactly(self, n):
        octets = b""
        while len(octets) < n:
            part = self.socket.recv(n - len(octets))
            if not part:
                raise EOFError
            octets += part
        return octets

    def put(self, kind, number, content=b"", padding=0):
        with self.writing:
            self.socket.sendall(struct.pack(">BBHHBB", 1, kind, number, len(content), padding, 0) + content +
                                bytes(padding))

    def serve(self):
        try:
            while True:
                _, kind, number, n, padding, _ = struct.unpack(">BBHHBB", self.exactly(8))
                content = self.exactly(n)
                self.exactly(padding)
                self.take(kind, number, content)
        except (EOFError, OSError):
            pass

    def take(self, kind, number, content):
        if kind == GET_VALUES:
            if self.says != "-":
                values = pair(b"FCGI_MPXS_CONNS", self.says.encode()) + pair(b"FCGI_MAX_REQS", b"50")
                self.put(GET_VALUES_RESULT, 0, values, 3)
        elif kind == BEGIN:
            assert number not in self.requests, "an id that is in use"
            if self.lies and self.requests:
                refused.append(1)
                self.refused.add(number)
                self.put(END, number, b"\0\0\0\0\1\0\0\0")
            else:
                self.refused.discard(number)
                self.requests[number] = Request()
        elif number in self.refused:
            pass                            # was under way
        elif kind == ABORT:
            r = self.requests[number]
            r.is_aborted = True
            with lock:
                aborted.append(1)
            r.go.set()
        elif kind == PARAMS:
            self.requests[number].params += content
        elif kind == STDIN:
            r = self.requests[number]
            r.body += content
            if not content:
                threading.Thread(target=self.answer, args=(number, r), daemon=True).start()

    def answer(self, number, r):
        path = read_pairs(r.params)["REQUEST_URI"]
        body = path.encode()
        if path.startswith("/hold"):
            with lock:
                held.append(r)
            r.go.wait(30)
        elif path == "/release":
            with lock:
                body = b"%d" % len(held)
                for other in held:
                    other.go.set()
                held.clear()
        elif path == "/aborted":
            body = b"%d" % len(aborted)
        elif path == "/refused":
            body = b"%d" % len(refused)
        elif path == "/large":
            body = b"0123456789abcdef" * 65536
        elif path == "/huge":
            body = b"0123456789abcdef" * (4 << 20)
        elif path == "/echo":
            body = r.body
        try:
            if not r.is_aborted:
                self.put(STDERR, number, b"about " + path.encode() + b"\n")
                self.put(STDOUT, number, b"Content-Type: text/plain\r\n\r\n", 5)
                for at in range(0, len(body), 5000):
                    self.put(STDOUT, number, body[at:at + 5000], at % 7)
                self.put(STDOUT, number)
            del self.requests[number]
            self.put(END, number, bytes(8))
        except OSError:
            pass


listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)
while True:
    sock, _ = listener.accept()
    threading.Thread(target=Connection(sock, sys.argv[1]).serve, daemon=True).start()
