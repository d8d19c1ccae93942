"""The admin side of a gateway under test: its socket, and the commands that talk to it."""

import json
import os
import socket
import subprocess

from .client import Client
from .gateway import command
from .messages import Reader
from .wait import stretched

ADMIN = ("admin unix:admin.sock",)      # for make_config(gateway=...)


class AdminClient(Client):
    """A raw client on the admin socket of a gateway; ask() and the like work as everywhere."""

    def __init__(self, g, name="admin.sock", timeout=10):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(stretched(timeout))
        self.reader = Reader(self.recv)
        folder = os.open(g.folder, os.O_PATH)
        try:
            self.socket.connect(f"/proc/self/fd/{folder}/{name}")      # the whole path may be too long
        finally:
            os.close(folder)

    def json(self, target, method="GET", status=200, body=b"", fields=""):
        m = self.ask(method, target, fields, body)
        assert m.status == status, (m.status, m.body)
        return json.loads(m.body)


def admin(g, **more):
    return AdminClient(g, **more)


def ask(g, target, method="GET", status=200, **more):
    """One question on a connection of its own; the JSON of the answer."""
    with AdminClient(g) as c:
        return c.json(target, method, status, **more)


def sluice(g, *arguments, env=None, timeout=60):
    """A command as a user types it in the folder of the gateway."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=g.folder,
                          timeout=timeout, env={**os.environ, **(env or {})})
