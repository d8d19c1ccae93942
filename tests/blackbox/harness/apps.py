"""Applications of other people, run for a test or by the gateway itself."""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from .wait import wait_for

PATH = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
PHP_CGI = "/usr/bin/php-cgi8.2"
PHP_FPM = shutil.which("php-fpm8.2", path=PATH)
NGINX = shutil.which("nginx", path=PATH)


def is_listening(address):
    """address: a path, or (host, port)."""
    s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    try:
        s.connect(address)
        return True
    except OSError:
        return False
    finally:
        s.close()


def listening_socket():
    """For a server that is to be handed one: no port is guessed or awaited."""
    s = socket.create_server(("127.0.0.1", 0), backlog=512)
    s.setblocking(False)
    return s


class Fpm:
    """php-fpm with a fixed number of children behind a unix socket, whose path is short enough."""

    def __init__(self, children, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fpm-"))
        self.socket = str(self.folder / "s")
        self.address = "unix:" + self.socket
        lines = {"listen": self.socket, "pm": "static", "pm.max_children": children, "pm.status_path": "/status",
                 "catch_workers_output": "yes", **settings}
        if os.geteuid() == 0:
            lines.update({"user": "root", "group": "root"})
        (self.folder / "conf").write_text(
            f"[global]\nerror_log = {self.folder}/log\ndaemonize = no\n[www]\n" +
            "".join(f"{k} = {v}\n" for k, v in lines.items()))
        self.process = subprocess.Popen([PHP_FPM, "-n", "-R", "-F", "-y", self.folder / "conf"],
                                        stdin=subprocess.DEVNULL, stderr=open(self.folder / "stderr", "ab"))
        wait_for(lambda: is_listening(self.socket), "php-fpm to listen")

    def log(self):
        return (self.folder / "log").read_text()

    def connections(self):
        """Of clients, as the kernel has them: accepted and waiting ones."""
        lines = pathlib.Path("/proc/net/unix").read_text().splitlines()
        return sum(line.endswith(" " + self.socket) and line.split()[5] == "03" for line in lines)

    def terminate(self):
        self.process.terminate()

    def wait(self, timeout=None):
        self.process.wait(timeout)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self):
        self.process.kill()


def site(root, *more, pool="app"):
    """A site whose scripts are in root."""
    lines = "\n    ".join([f"root {root}", *more])
    return f"site * {{\n    {lines}\n    route * {{\n        proxy {pool}\n    }}\n}}\n"
