"""A name server on loopback that says what the test wants."""

import contextlib
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28


class NameServer:
    """names: {"app.test": (["127.0.0.2", "::1"], ttl)}; what is not there does not exist."""

    def __init__(self, names):
        self.names = names
        self.asked = []
        self.silent = False
        self.failing = set()        # kinds that are answered with SERVFAIL
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not query:
                return
            answer = self.answer(query)
            if not self.silent:
                with contextlib.suppress(OSError):      # stopped meanwhile
                    self.socket.sendto(answer, peer)

    def answer(self, query):
        """RFC 1035 4: one question, its answers."""
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += query[at] + 1
        name = ".".join(labels).lower()
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        self.asked.append((name, kind))
        addresses, ttl = self.names.get(name, (None, 0))
        packed = [ipaddress.ip_address(a).packed for a in addresses or []]
        packed = [p for p in packed if len(p) == (4 if kind == A else 16) and kind in (A, AAAA)]
        if kind in self.failing:
            packed = []
        flags = 0x8180 | (2 if kind in self.failing else 3 if addresses is None else 0)
        head = query[:2] + struct.pack(">HHHHH", flags, 1, len(packed), 0, 0)
        return head + question + b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(p)) + p for p in packed)

    def stop(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
