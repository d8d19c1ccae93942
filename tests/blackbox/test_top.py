"""sluice top, in a real terminal: tmux."""

import os
import re
import subprocess
import threading

import pytest

from conftest import make_config
from harness import serve, wait_for
from harness.admin import ADMIN
from harness.gateway import command


class Terminal:
    def __init__(self, folder, *words, columns=100, lines=24):
        self.socket = str(folder / "tmux")
        line = " ".join(map(str, words))
        self.tmux("-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", str(columns), "-y", str(lines), "-c",
                  str(folder), "sh")
        self.tmux("set-option", "-t", "t", "status", "off")
        self.keys(line, "Enter")

    def tmux(self, *words):
        env = {k: v for k, v in os.environ.items() if k != "TMUX"}
        r = subprocess.run(["tmux", "-S", self.socket, *words], capture_output=True, text=True, env=env, timeout=20)
        assert r.returncode == 0, r.stderr
        return r.stdout

    def keys(self, *keys):
        self.tmux("send-keys", "-t", "t", *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p", "-t", "t")

    def wait(self, pattern, what=None):
        def matches():
            self.shown = self.screen()
            return re.search(pattern, self.shown, re.M)
        try:
            return wait_for(matches, what or pattern, 15)
        except AssertionError:
            raise AssertionError(f"never on the screen: {pattern}\n{self.shown}") from None

    def wait_shell(self):
        """It has the terminal again, and shows that it waits for a line."""
        self.wait(r"[$#] *$", "the shell again")

    def resize(self, columns, lines):
        self.tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(lines))

    def flag(self, name):
        return self.tmux("display-message", "-p", "-t", "t", f"#{{{name}}}").strip()

    def kill(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=20)


@pytest.fixture
def top(gateway, backend, started):
    terminals = []

    def start(*backends, **size):
        g = gateway(make_config(*(backends or [backend()]), gateway=ADMIN))
        g.wait_line("admin: listening")
        g.first_fds = g.fds()
        t = Terminal(g.folder, *command("top"), **size)
        terminals.append(t)
        return g, t
    yield start
    for t in terminals:
        t.kill()


def test_rates_show_while_requests_come(top, backend):
    b = backend(then=serve(lambda r, c: b"x" * 1000))
    g, t = top(b)
    t.wait(r"^sluice \d.*configuration 1")
    t.wait(rf"^  {re.escape(b.address)} +up ")
    over = threading.Event()

    def ask():
        while not over.wait(0.01):
            g.get()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        t.wait(r"^(?!0\.0 )\d+\.\d req/s", "a rate above zero")
        t.wait(r"^  \S+ +up .* (?!0\.0 )\d+\.\d +0\.0 +0\.0 +\d\S* m?s +\d\S* m?s$", "latencies of the backend")
    finally:
        over.set()
        asking.join()
    t.keys("q")
    t.wait_shell()


def test_s_changes_the_order(top, backend):
    quiet, busy = backend(), backend()
    g, t = top(quiet, busy)
    t.wait("sort: file order")
    t.keys("s")
    t.wait("sort: req/s")
    for name in ("busy", "5xx/s", "p99", "file order"):
        t.keys("s")
        t.wait(f"sort: {name}")
    t.keys("q")


def test_it_follows_the_size_of_the_window(top, backend):
    backends = [f"127.0.0.1:{9000 + i}" for i in range(30)]
    g, t = top(*backends, lines=24)
    t.wait(r"^q quit")
    assert len(t.screen().rstrip("\n").split("\n")) == 24 and "9029" not in t.screen()
    t.resize(60, 40)
    wait_for(lambda: "9029" in t.screen(), "the last backend to fit")
    lines = t.screen().split("\n")
    assert all(len(line) <= 60 for line in lines) and len(t.screen().rstrip("\n").split("\n")) == 40
    t.resize(30, 5)
    t.wait(r"^q quit")
    t.resize(1, 1)
    t.resize(120, 30)
    t.wait(r"^  127\.0\.0\.1:9020 +up ")
    t.keys("q")


def test_the_terminal_is_as_before_afterwards(top):
    g, t = top()
    t.wait(r"^q quit")
    assert t.flag("alternate_on") == "1" and t.flag("cursor_flag") == "0"
    t.keys("C-c")
    wait_for(lambda: t.flag("alternate_on") == "0", "the usual screen")
    assert t.flag("cursor_flag") == "1" and t.flag("wrap_flag") == "1"
    t.wait_shell()
    t.keys("echo typed-$((40+2))", "Enter")
    t.wait("^typed-42")
    assert "echo typed" in t.screen()       # echo is on again


def test_it_waits_for_a_gateway_that_went_away(top):
    g, t = top()
    t.wait(r"^sluice \d")
    g.stop()
    t.wait("cannot be reached")
    t.keys("q")
    t.wait_shell()
