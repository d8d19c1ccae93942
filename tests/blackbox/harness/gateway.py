"""Runs the gateway under test, watches its log, and looks at what it leaves behind."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading

from .client import Client
from .wait import stretched, wait_for

TOP = pathlib.Path(__file__).resolve().parents[3]
BIN = os.path.abspath(os.environ.get("SLUICE_BIN", TOP / "build/src/sluice"))
WRAP = shlex.split(os.environ.get("SLUICE_WRAP", ""))
LISTENING = re.compile(r"listening on (https?)://(\[[^\]]+\]|[^:/]+):(\d+)")
LISTENING_UNIX = re.compile(r"(?<!admin: )listening on unix:(\S+)")
BAD_LINE = re.compile(r"\berror\b|Sanitizer|runtime error|assert", re.I)
ERROR_LEVEL = re.compile(r"^\S+Z error |the gateway died of signal")
PIPES_KEPT = 600        # each thread keeps some for the next body to be spliced
REPORTS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "UndefinedBehavior", "runtime error:",
           "Assertion")


def command(*arguments):
    return [*WRAP, BIN, *map(str, arguments)]


def open_way(path):
    """Lets another user come to path, too."""
    for folder in [path, *path.parents]:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            os.chmod(folder, 0o755)


def anybodys_program(folder):
    """The program where any user may start it: it may have been built in somebody's home."""
    open_way(folder)
    path = shutil.copy(BIN, folder / "sluice")
    os.chmod(path, 0o755)
    return str(path)


class Gateway:
    """With a configuration: `sluice run -c FILE`. With arguments: those.

    Expected error lines are named with expect_error(); any other fails the test at stop().
    """

    backend = None          # the first one of its pool, where a fixture knows it
    check_fds = True        # they have to be back at the end

    def __init__(self, folder, config=None, arguments=None, nofile=None, env=None, listeners=None, program=BIN):
        self.folder = pathlib.Path(folder)
        self.config = self.folder / "sluice.conf"
        self.access_path = self.folder / "access.log"
        if config is not None:
            self.config.write_text(config)
            arguments = ["run", "-c", self.config]
            if listeners is None:
                listeners = len(re.findall(r"^\s*listen\s", config, re.M))
        self.listeners = 1 if listeners is None else listeners
        self.lines, self.expected, self.addresses, self.clients = [], [], [], []
        self.changed = threading.Condition()
        self.status = None
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind("")       # a name of the kernel's choice
        env = {"NOTIFY_SOCKET": "@" + self.manager.getsockname()[1:].decode(), **(env or {})}

        # By prlimit, not by a preexec_fn: with one, Python forks and copies itself for each gateway.
        limits = ["prlimit", f"--nofile={nofile[0]}:{nofile[1]}"] if nofile else []
        self.process = subprocess.Popen([*limits, *WRAP, program, *map(str, arguments)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, cwd=self.folder,
                                        env={**os.environ, **env}, start_new_session=True)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self.read_output, daemon=True)
        self.reader.start()
        self.wait_started()

    # ---- output ----

    def read_output(self):
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            with self.changed:
                self.lines.append(line)
                m = LISTENING.search(line)
                if m:
                    self.addresses.append((m[2].strip("[]"), int(m[3])))
                elif LISTENING_UNIX.search(line):
                    self.addresses.append(LISTENING_UNIX.search(line)[1])
                self.changed.notify_all()
        with self.changed:
            self.status = self.process.wait()
            self.changed.notify_all()

    def wait_started(self):
        def started():
            return len(self.addresses) >= self.listeners or self.status is not None
        with self.changed:
            self.changed.wait_for(started, stretched(20))
            output = "\n".join(self.lines)
            assert len(self.addresses) >= self.listeners, f"the gateway did not start:\n{output}"
        self.wait_ready()
        self.first_fds = self.fds()

    def wait_ready(self):
        """What it opens at a start is open when it tells its service manager that it serves."""
        self.manager.settimeout(0.1)

        def ready():
            try:
                return self.manager.recv(200).decode()
            except TimeoutError:
                return self.process.poll() is not None
        self.ready = wait_for(ready, "the gateway to serve", 20)
        self.manager.close()

    def wait_line(self, pattern, timeout=10):
        """Until a line of the output matches; the match."""
        def found():
            return next((m for m in (re.search(pattern, line) for line in self.lines) if m), None)
        with self.changed:
            m = self.changed.wait_for(found, stretched(timeout))
            assert m, f"no line matches {pattern!r}:\n" + "\n".join(self.lines)
            return m

    def expect_error(self, pattern):
        self.expected.append(pattern)

    def access(self, count=1):
        """At least that many records of the JSON access log, waited for."""
        def enough():
            text = self.access_path.read_text() if self.access_path.exists() else ""
            lines = text.split("\n")[:-1]
            return lines if len(lines) >= count else None
        return [json.loads(line) for line in wait_for(enough, f"{count} lines in the access log")]

    # ---- clients ----

    @property
    def address(self):
        return self.addresses[0]

    @property
    def url(self):
        return "http://%s:%d" % self.address

    def client(self, **more):
        self.clients.append(Client(self.address, **more))
        return self.clients[-1]

    def get(self, target="/", fields="", **more):
        with self.client() as c:
            return c.get(target, fields, **more)

    # ---- what the kernel says about it ----

    def children(self):
        """{name: pid} of the master's processes: sluice, sluice-spawner where applications are run, sluice-opener with `user`."""
        found = {}
        for pid in pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            try:
                found[pathlib.Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
            except OSError:
                pass
        return found

    def serving_pid(self):
        """The process that serves requests: a child of the master, or, without a file, the only one."""
        return self.children().get("sluice", self.pid)

    def crash(self):
        """Kills what serves; any other end of it by a signal fails the test, though it is replaced."""
        self.expect_error("the gateway died of signal 9")
        os.kill(self.serving_pid(), signal.SIGKILL)

    def fds(self):
        """Open descriptors by number, without the pipes that are kept for splicing."""
        return {n: t for n, t in self.all_fds().items() if not t.startswith("pipe:")}

    def pipes(self):
        return {n: t for n, t in self.all_fds().items() if t.startswith("pipe:")}

    def all_fds(self):
        found = {}
        pid = self.serving_pid()
        for n in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(n)] = os.readlink(f"/proc/{pid}/fd/{n}")
            except OSError:
                pass
        return found

    def status_kb(self, name):
        text = pathlib.Path(f"/proc/{self.serving_pid()}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M)[1])

    def wakings(self):
        """How often the main thread of what serves has slept."""
        text = pathlib.Path(f"/proc/{self.serving_pid()}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])

    def rss_kb(self):
        return self.status_kb("VmRSS")

    def reset_peak(self):
        pathlib.Path(f"/proc/{self.serving_pid()}/clear_refs").write_text("5")

    def peak_kb(self):
        """The highest resident size since reset_peak()."""
        return self.status_kb("VmHWM")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.serving_pid()}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_fds_back(self):
        """Every descriptor that traffic opened is closed again."""
        extra = {}

        def back():
            now = self.fds()
            extra.clear()
            extra.update({n: t for n, t in now.items() if n not in self.first_fds})
            return len(now) <= len(self.first_fds) and len(self.pipes()) <= PIPES_KEPT
        try:
            wait_for(back, "descriptors to be closed", 5)
        except AssertionError:
            raise AssertionError(f"descriptors left open: {extra}") from None

    # ---- the end ----

    def running(self):
        return self.process.poll() is None

    def signal(self, sig):
        self.process.send_signal(sig)      # which may have ended meanwhile

    def wait_exit(self, timeout=20):
        with self.changed:
            self.changed.wait_for(lambda: self.status is not None, stretched(timeout))
        if self.status is None:
            self.end_by(signal.SIGABRT)
            raise AssertionError(f"the gateway did not end within {timeout} s")
        self.reader.join(5)
        return self.status

    def stop(self):
        """SIGTERM, then everything that may be asked of a clean end."""
        if self.running():
            self.signal(signal.SIGTERM)
        status = self.wait_exit()
        self.check_output()
        assert status == 0, f"exit status {status}:\n" + "\n".join(self.lines[-40:])

    def check_output(self):
        text = "\n".join(self.lines)
        for report in REPORTS:
            assert report not in text, text[-6000:]
        errors = [line for line in self.lines if ERROR_LEVEL.match(line)]
        strange = [e for e in errors if not any(re.search(p, e) for p in self.expected)]
        assert not strange, "unexpected error lines:\n" + "\n".join(strange)

    def forget(self):
        """What one test did is nothing that the next should see."""
        with self.changed:
            for of_one_test in (self.lines, self.expected, self.clients):
                of_one_test.clear()

    def kill(self):
        """For fixtures, when the test has failed already."""
        if self.process.poll() is None:
            self.end_by(signal.SIGKILL)

    def end_by(self, sig):
        """What serves, too: it may have hung, and would not notice that its master has gone."""
        for pid in {self.serving_pid(), self.pid}:
            os.kill(pid, sig)
        self.process.wait()
