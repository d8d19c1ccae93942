"""Scripted backends: a script is a function that plays one connection, top to bottom in time order.

    def script(c):
        request = c.request()
        c.send("HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        c.reset()

    Backend(first, second, then=serve())     one script for each connection, `then` for all later ones

What fails in a script fails the test at the end.
"""

import socket
import struct
import threading
import traceback

from .messages import Broken, Reader
from .wait import Event, stretched, wait_for


class Connection:
    """A connection as the backend sees it."""

    def __init__(self, sock, backend, number):
        self.socket, self.backend, self.number = sock, backend, number
        self.socket.settimeout(stretched(20))
        if sock.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.recv)
        self.closed = False

    def recv(self, n):
        try:
            return self.socket.recv(n)
        except ConnectionResetError:
            return b""

    def request(self):
        """The next whole request; None when the gateway has closed instead."""
        m = self.reader.request()
        if m is not None:
            self.backend.note(m)
        return m

    def head(self):
        m = self.reader.head()
        self.backend.note(m)
        return m

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.socket.sendall(data)

    def respond(self, body=b"ok", status="200 OK", fields=""):
        if isinstance(body, str):
            body = body.encode()
        self.send(f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def wait_closed(self):
        """Until the gateway closes; what came before."""
        return self.reader.rest()

    def close(self):
        self.closed = True
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def serve(answer=None):
    """A script that answers every request on the connection. answer(request, connection) returns a
    body, or None after it has answered by itself."""
    def script(c):
        while (request := c.request()) is not None:
            body = answer(request, c) if answer else b"ok"
            if body is not None:
                c.respond(body)
    return script


class Backend:
    """host: an address, or unix:PATH. port 0: any. tls: an ssl.SSLContext; connections whose
    handshake fails are no scripts' business, and listed in refused."""

    def __init__(self, *scripts, then=None, host="127.0.0.1", port=0, listen=True, tls=None):
        self.tls, self.refused = tls, []
        self.open = set()
        self.forget()
        self.scripts, self.then = list(scripts), then
        self.lock = threading.Lock()
        self.bind(host, port)
        if listen:
            self.listen()

    def forget(self):
        """What one test did is nothing that the next should see."""
        self.scripts, self.then = [], None
        self.requests, self.failures, self.accepted = [], [], 0

    def bind(self, host, port):
        if host.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(host[5:])
            self.host, self.port, self.address = host[5:], None, host
            return
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        # its port may be wanted again as soon as it has stopped
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.host, self.port = self.socket.getsockname()[:2]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def listen(self):
        self.socket.listen(512)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, peer = self.socket.accept()
            except OSError:
                return
            if peer == self.own:
                sock.close()
                self.own = None
                continue
            with self.lock:
                number = self.accepted
                self.accepted += 1
                script = self.scripts[number] if number < len(self.scripts) else self.then
                c = Connection(sock, self, number)
                self.open.add(c)
            if script is None:
                self.failures.append(f"connection {number + 1} was not expected")
                c.close()
                self.open.discard(c)
                continue
            threading.Thread(target=self.play, args=(script, c), daemon=True).start()

    def shake(self, c):
        """False: the peer does not want to."""
        if not self.tls:
            return True
        try:
            c.socket = self.tls.wrap_socket(c.socket, server_side=True)
            return True
        except OSError as e:
            with self.lock:
                self.refused.append(str(e))
            return False

    def play(self, script, c):
        try:
            if self.shake(c):
                script(c)
        except Broken as e:
            self.failures.append(f"connection {c.number + 1}: {e}")
        except OSError as e:
            if not c.closed and not self.ending:
                self.failures.append(f"connection {c.number + 1}: {e!r}")
        except AssertionError:
            self.failures.append(traceback.format_exc())
        except Exception:
            self.failures.append(traceback.format_exc())
        finally:
            c.close()
            with self.lock:
                self.open.discard(c)

    ending = False
    own = None          # the address of a connection of hang_up()'s

    def note(self, request):
        with self.lock:
            self.requests.append(request)

    def wait_requests(self, n):
        return wait_for(lambda: len(self.requests) >= n and self.requests, f"{n} requests")

    def stop(self):
        """Closes everything: nothing of the gateway's may stay open because of us."""
        self.ending = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self.close_connections()

    def close_connections(self):
        """Whether there were none."""
        with self.lock:
            for c in self.open:
                c.closed = True
                try:        # not the TLS socket's own way, which would leave its reader raw records
                    socket.socket.shutdown(c.socket, socket.SHUT_RDWR)
                except OSError:
                    pass
            return not self.open

    def hang_up(self):
        """Ends every connection, those too that nobody has accepted yet, and waits for their scripts to notice."""
        with socket.socket() as last:
            last.bind((self.host, 0))
            self.own = last.getsockname()
            last.connect((self.host, self.port))
            wait_for(lambda: not self.own and self.close_connections(), "the backend's scripts to end", 20)

    def check(self):
        assert not self.failures, "the backend's script failed:\n" + "\n".join(self.failures)


class Held:
    """A script that answers when told to: asked is set when a request waits, go lets all go on."""

    def __init__(self, answer="finished"):
        self.answer, self.asked, self.go = answer, Event(), Event()

    def __call__(self, c):
        while c.request() is not None:
            self.asked.set()
            assert self.go.wait(20)
            c.respond(self.answer)


class Endless:
    """A script whose answer has no end: given_up is set when the gateway takes no more of it."""

    def __init__(self):
        self.given_up = Event()

    def __call__(self, c):
        c.request()
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                c.send(b"x" * 65536)
        except OSError:
            c.closed = True
            self.given_up.set()
