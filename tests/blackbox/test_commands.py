"""The program's commands, as a user types them."""

import os
import pathlib
import pwd
import re
import subprocess

import pytest

from harness import Client, serve
from harness.certs import Authority
from harness.gateway import TOP, command

pytestmark = pytest.mark.serial
EXAMPLES = sorted(str(p.relative_to(TOP)) for p in (TOP / "examples").rglob("*.conf"))


def sluice(*arguments, cwd=None, env=None):
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd, timeout=60,
                          env={**os.environ, **(env or {})})


@pytest.fixture
def check(tmp_path):
    """check(text): the result of `sluice check` on it."""
    def run(text, **env):
        path = tmp_path / "sluice.conf"
        path.write_text(text)
        r = sluice("check", "-c", "sluice.conf", cwd=tmp_path, env=env)
        r.all = r.stdout + r.stderr
        return r
    return run


GOOD = """listen 127.0.0.1:0
pool app {
    backend 127.0.0.1:9001
}
site * {
    route * {
        proxy app
    }
}
"""


# ---- check ----

@pytest.mark.parametrize("lines, warns", [
    ("protocol h2c\n    max-conns 2", True), ("protocol h2c\n    max-conns 3", False), ("max-conns 2", False),
    ("protocol fastcgi\n    max-conns 2", False),
    ("protocol fastcgi\n    max-conns 2\n    keep-alive multiplex=on", True)])
def test_check_warns_of_fewer_shared_connections_than_threads(check, lines, warns):
    r = check("gateway {\n    threads 3\n}\n" + GOOD.replace("    backend", f"    {lines}\n    backend"))
    assert r.returncode == 0
    assert ("'max-conns' allows 2 connections to a backend, for 3 threads" in r.all) == warns


def test_check_of_a_good_file(check):
    r = check(GOOD)
    assert r.returncode == 0 and "ok" in r.stdout and r.stderr == ""


@pytest.mark.parametrize("old, new, place, words", [
    ("backend", "bakcend", "3:5", ["backend"]),
    ("proxy app", "proxy ap", "7:15", ["app"]),
    ("    backend 127.0.0.1:9001", "    backend 127.0.0.1:99999", "3:13", ["port"]),
    ("    backend 127.0.0.1:9001", "    backend 127.0.0.1:9001 weigth=2", "3:28", ["weight"]),
    ("    backend 127.0.0.1:9001", "    backend 127.0.0.1:9001 weight=x", "3:35", []),
    ("    backend 127.0.0.1:9001", "    backend 127.0.0.1:9001\n    balance round-robbin", "4:13", ["round-robin"]),
    ("    backend 127.0.0.1:9001", "    backend 127.0.0.1:9001\n    timeout connect=3parsecs", "4:21", []),
    ("listen 127.0.0.1:0", "listen 127.0.0.1:8080\nlisten 127.0.0.1:8080", "2:8", ["1"]),
    ("listen 127.0.0.1:0", "lisen 127.0.0.1:0", "1:1", ["listen"]),
    ("route *", "route ~ ^/(", "6:", []),
    ("pool app {", "pool app", "[24]:", []),
])
def test_check_points_at_the_mistake(check, old, new, place, words):
    r = check(GOOD.replace(old, new, 1))
    assert r.returncode == 1
    m = re.search(rf"^sluice\.conf:{place}\d*:? ?.*error: ", r.all, re.M)
    assert m, r.all
    lines = r.all.splitlines()
    caret = next((n for n, line in enumerate(lines) if re.fullmatch(r"[\s|0-9]*\^[~^]*", line)), None)
    assert caret, "no caret:\n" + r.all
    for word in words:
        assert word in r.all, r.all


def test_the_caret_is_below_the_mistake(check):
    r = check(GOOD.replace("backend", "bakcend", 1))
    lines = r.all.splitlines()
    n = next(n for n, line in enumerate(lines) if "^" in line and "bakcend" not in line)
    assert lines[n].index("^") == lines[n - 1].index("bakcend"), r.all


def test_check_tells_every_mistake_at_once(check):
    r = check(GOOD.replace("backend", "bakcend", 1).replace("proxy app", "prxy app"))
    assert len(re.findall(r"error: ", r.all)) >= 2


def test_check_warns_of_a_name_that_does_not_resolve(check):
    r = check(GOOD.replace("127.0.0.1:9001", "no-such-name.invalid:9001"))
    assert r.returncode == 0 and re.search(r"warning: .*no-such-name", r.all)


def test_check_finds_a_log_that_cannot_be_written(check):
    r = check("gateway {\n    access-log /no/such/folder/access.log\n}\n" + GOOD)
    assert r.returncode == 1 and "sluice.conf:2:" in r.all


def test_check_finds_a_missing_include(check):
    r = check('include "no-such-file.conf"\n' + GOOD)
    assert r.returncode == 1 and "no-such-file.conf" in r.all


def test_no_command_waits_for_somebody_to_write_into_what_is_included(check, tmp_path):
    os.mkfifo(tmp_path / "fifo.conf")
    r = check("include fifo.conf\n" + GOOD)
    assert r.returncode == 1 and re.search(r"sluice.conf:1:\d+: error: cannot include .*fifo.conf: a FIFO", r.all)
    r = sluice("check", "-c", "fifo.conf", cwd=tmp_path)
    assert r.returncode == 1 and "cannot read fifo.conf: a FIFO" in r.stderr


def test_a_configuration_may_come_by_a_descriptor(tmp_path):
    r = subprocess.run(["bash", "-c", 'text=$1; shift; "$@" -c <(printf %s "$text")', "-", GOOD, *command("check")],
                       cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert r.returncode == 0, r.stdout + r.stderr


def test_include_and_environment(check, tmp_path):
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools" / "a.conf").write_text("pool app {\n    backend ${APP}\n}\n")
    rest = GOOD[:GOOD.index("pool")] + "include pools/*.conf\n" + GOOD[GOOD.index("site"):]
    assert check(rest, APP="127.0.0.1:9001").returncode == 0
    r = check(rest)
    assert r.returncode == 1 and "APP" in r.all and "pools/a.conf:2:" in r.all


def test_check_of_a_file_that_is_not_there(tmp_path):
    r = sluice("check", "-c", "nowhere.conf", cwd=tmp_path)
    assert r.returncode == 1 and "nowhere.conf" in r.stderr


def test_run_refuses_what_check_refuses(tmp_path):
    (tmp_path / "sluice.conf").write_text(GOOD.replace("backend", "bakcend", 1))
    r = sluice("run", cwd=tmp_path)
    assert r.returncode == 1 and "sluice.conf:3:5" in r.stderr


@pytest.mark.parametrize("path", EXAMPLES)
def test_every_example_loads(path, tmp_path):
    """A certificate of ours stands for those that it names."""
    cert = Authority(tmp_path).issue("example.org")
    config = tmp_path / "example.conf"
    config.write_text(re.sub(r"/etc/ssl/[\w.-]+", str(cert.both), (TOP / path).read_text()))
    r = sluice("check", "-c", config, cwd=TOP)
    assert r.returncode == 0, r.stdout + r.stderr


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


def test_check_warns_of_programs_that_cannot_be_run(check):
    r = check("listen 127.0.0.1:0\npool app {\n spawn /nonexistent/program\n protocol fastcgi\n}\n"
              "site * {\n route /cgi/* { cgi /nonexistent/programs }\n route * { proxy app }\n}\n")
    assert r.returncode == 0 and r.all.count("warning: cannot run '/nonexistent/program") == 2, r.all


@pytest.mark.parametrize("block", [
    "gateway {\n threads 1\n %s\n}\n",
    "pool more {\n spawn sleep 9 {\n %s\n}\n}\n",
    "pool more {\n backend cgi:///usr/lib/cgi-bin\n run {\n %s\n}\n}\n",
])
def test_check_finds_who_is_not_there(check, block):
    text = block % "user nobdy\n group nogrp"
    line = text[:text.index("nobdy")].count("\n") + 1
    r = check(text + GOOD)
    assert r.returncode == 1
    assert f"sluice.conf:{line}:7: error: there is no user 'nobdy'" in r.all
    assert f"sluice.conf:{line + 1}:8: error: there is no group 'nogrp'" in r.all


def test_check_warns_of_folders_that_are_not_there(check):
    r = check("gateway {\n state /nonexistent/state\n temp-dir /nonexistent\n}\n"
              "pool more {\n spawn sleep 9 {\n directory /nonexistent\n}\n}\n" + GOOD)
    assert r.returncode == 0
    assert re.findall(r"sluice.conf:(\S+) warning: cannot (\w+)", r.all) == [
        ("2:8:", "write"), ("3:11:", "write"), ("7:12:", "enter")], r.all


def test_check_looks_for_a_command_where_the_spawner_does(check, tmp_path):
    (tmp_path / "there").write_text("#!/bin/sh\n")
    (tmp_path / "there").chmod(0o755)
    text = "listen 127.0.0.1:0\npool app {\n spawn there {\n %s\n}\n}\nsite * {\n proxy app\n}\n"
    assert "3:2: warning: there is no program 'there' in PATH" in check(text % "").all
    assert "0 warnings" in check(text % f"env PATH=/nonexistent:{tmp_path}").all
    assert "0 warnings" in check(text % "", PATH=f"{tmp_path}:{os.environ['PATH']}").all


# ---- explain ----

def test_explain_tells_site_route_and_pool(tmp_path):
    (tmp_path / "sluice.conf").write_text(GOOD.replace("route *", "route /api/* method=GET {\n        proxy app\n    }\n    route *"))
    r = sluice("explain", "GET", "http://shop.example/api/users", cwd=tmp_path)
    assert r.returncode == 0
    for word in ("/api/*", "app", "127.0.0.1:9001", "shop.example"):
        assert word in r.stdout, r.stdout
    r = sluice("explain", "POST", "/api/users", "-H", "Host: shop.example", cwd=tmp_path)
    assert r.returncode == 0 and "method" in r.stdout


def test_explain_tells_how_the_pool_picks_probes_and_tries_again(tmp_path):
    conf = tmp_path / "sluice.conf"
    conf.write_text("listen 80\nsite * {\n proxy app\n}\npool app {\n backend a:1\n backend b:2 backup\n"
                    " balance hash=header:X-User sticky=who\n adaptive latency=150%\n slow-start 10s\n"
                    " queue length=5 timeout=3s\n health GET /up interval=250ms\n fail count=2 backoff=4s\n"
                    " eject errors=20%\n all-down refuse\n retry on=connect,502-504,599 attempts=2\n}\n")
    r = sluice("explain", "-c", conf, "GET", "http://x/")
    assert r.returncode == 0
    lines = {line.split()[0]: line.split(None, 1)[1] for line in r.stdout.splitlines() if line[0] != " "}
    assert "http://b:2  weight=1  backup" in r.stdout
    assert lines["queue"].split() == ["max-conns=unlimited", "length=5", "timeout=3s", "target=1500ms"]
    assert lines["balance"] == "hash=header:X-User  sticky=who  slow-start=10s  " \
        "adaptive=150% (4 to 1000 connections each)"
    assert lines["health"] == "GET /up  interval=250ms  timeout=2s  rise=2  fall=3; " \
        "down after 2 failures in a row  for=4s; ejected from 20% errors on; all down: refuse"
    assert lines["retry"] == "attempts=2  on=connect,502-504,599  budget=20%"


def test_explain_tells_which_script_and_what_it_may_hand_over(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "photo.jpg").write_text("")
    conf = tmp_path / "sluice.conf"
    conf.write_text("listen 80\npool php {\n protocol fastcgi\n backend unix:/run/php.sock\n hand-over accel\n"
                    " hand-over sendfile from=/srv/a from=/srv/b\n}\n"
                    f"site * {{\n root {tmp_path}/www\n index index.php\n limit rate=10k\n"
                    " route /app/* {\n  strip-prefix /app\n  proxy php\n }\n proxy php\n}\n")

    def explained(path):
        out = sluice("explain", "-c", conf, "GET", path).stdout
        return out, {line.split()[0]: line.split(None, 1)[1] for line in out.splitlines() if line[0] != " "}
    out, lines = explained("/dir/a.php/more?x")
    assert lines["script"] == f"SCRIPT_NAME=/dir/a.php  PATH_INFO=/more  SCRIPT_FILENAME={tmp_path}/www/dir/a.php"
    assert lines["hand-over"] == "sendfile  from=/srv/a  from=/srv/b" and "\n          accel\n" in out
    assert "rate=10k" in lines["limits"] and "404" not in out
    assert explained("/app/x/")[1]["script"].startswith("SCRIPT_NAME=/app/x/index.php  PATH_INFO=  ")
    assert "leads through a file: answered with 404" in explained("/photo.jpg/x.php")[0]
    conf.write_text(f"listen 80\nsite * {{\n cgi {tmp_path}\n}}\n")
    assert explained("/x")[1]["backends"].startswith(f"cgi://{tmp_path}  ")


def test_explain_agrees_with_what_happens(gateway, backend, tmp_path):
    a, b = backend(then=serve(lambda r, c: b"a")), backend(then=serve(lambda r, c: b"b"))
    config = (f"listen 127.0.0.1:0\npool a {{\n backend {a.address}\n}}\npool b {{\n backend {b.address}\n}}\n"
              "site one.example {\n route /x/* {\n  proxy a\n }\n route *.png {\n  proxy b\n }\n}\n"
              "site *.example {\n route ~ ^/[0-9]+$ {\n  proxy a\n }\n route * header=X-B {\n  proxy b\n }\n}\n")
    (tmp_path / "sluice.conf").write_text(config)
    g = gateway("gateway {\n access-log off\n}\n" + config)
    c = g.client()
    for host, target, field in [("one.example", "/x/y.png", ""), ("one.example", "/y.png", ""),
                                ("one.example", "/y", ""), ("two.example", "/12", ""),
                                ("two.example", "/ab", ""), ("two.example", "/ab", "X-B: 1"),
                                ("three.org", "/12", "")]:
        more = ["-H", field] if field else []
        said = sluice("explain", "GET", f"http://{host}{target}", *more, cwd=tmp_path).stdout
        pool = re.search(r"^pool\s+(\S+)", said, re.M)
        m = c.get(target, field + "\r\n" if field else "", host=host)
        got = m.body.decode() if m.status == 200 else None
        assert (pool[1] if pool else None) == got, (host, target, field, said)


# ---- proxy ----

def test_proxy_without_a_file(gateway, backend):
    a, b = backend(then=serve(lambda r, c: b"a")), backend(then=serve(lambda r, c: b"b"))
    g = gateway(arguments=["proxy", "--listen", "127.0.0.1:0", "--to", f"http://{a.address}",
                           "--to", f"http://{b.address}", "--threads", "1"])
    assert {g.get().body for _ in range(4)} == {b"a", b"b"}


def test_proxy_serves_files_before_its_backends(gateway, backend, tmp_path):
    (tmp_path / "pub").mkdir()
    (tmp_path / "pub" / "index.html").write_text("index")
    b = backend()
    g = gateway(arguments=["proxy", "--listen", "127.0.0.1:0", "--to", f"http://{b.address}", "--root", tmp_path / "pub"])
    assert g.get("/").body == b"index" and g.get("/other").body == b"ok"
    g = gateway(arguments=["proxy", "--listen", "127.0.0.1:0", "--root", tmp_path / "pub"])
    assert g.get("/").body == b"index" and g.get("/other").status == 404


def test_check_warns_of_a_root_that_is_not_there(tmp_path):
    (tmp_path / "sluice.conf").write_text("listen 80\nsite {\n root /nothing/there\n files\n}\n")
    r = sluice("check", "-c", tmp_path / "sluice.conf")
    assert r.returncode == 0 and "cannot serve files of '/nothing/there' (root)" in r.stdout + r.stderr


def test_proxy_needs_a_backend():
    r = sluice("proxy")
    assert r.returncode != 0 and "--to" in r.stderr


@pytest.mark.parametrize("bad", ["127.0.0.1:99999", "ftp://127.0.0.1:1", "http://"])
def test_proxy_refuses_a_bad_backend(bad):
    r = sluice("proxy", "--listen", "127.0.0.1:0", "--to", bad)
    assert r.returncode != 0 and "error" in r.stderr


# ---- listening ----

def test_several_listeners(gateway, backend, tmp_path):
    b = backend()
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\nlisten [::1]:0\n"
                f"pool app {{\n backend {b.address}\n}}\nsite * {{\n route * {{\n  proxy app\n }}\n}}\n")
    assert len(g.addresses) == 2
    for address in g.addresses:
        with Client(address) as c:
            assert c.get().status == 200


def test_listening_on_a_unix_socket(gateway, backend, tmp_path):
    b = backend()
    path = tmp_path / "front.sock"
    g = gateway(f"gateway {{\n access-log off\n}}\nlisten 127.0.0.1:0\nlisten unix:{path}\n"
                f"pool app {{\n backend {b.address}\n}}\nsite * {{\n route * {{\n  proxy app\n }}\n}}\n")
    r = subprocess.run(["curl", "-sS", "--unix-socket", path, "http://test/"], capture_output=True, timeout=20)
    assert r.stdout == b"ok"
    assert b.requests[0]["x-forwarded-proto"] == "http"
    assert g.running()


def test_a_port_that_is_taken_is_told(gateway, backend, tmp_path):
    b = backend()
    g = gateway(f"listen 127.0.0.1:0\npool app {{\n backend {b.address}\n}}\nsite * {{\n route * {{\n  proxy app\n }}\n}}\n")
    (tmp_path / "sluice.conf").write_text(GOOD.replace("127.0.0.1:0", "127.0.0.1:%d" % g.address[1]))
    r = sluice("run", cwd=tmp_path)
    assert r.returncode == 1 and str(g.address[1]) in r.stderr and "use" in r.stderr


# ---- help ----

def test_help_and_version():
    r = sluice("--help")
    assert r.returncode == 0
    for word in ("run", "proxy", "check", "explain"):
        assert re.search(rf"^\s+{word}\b", r.stdout, re.M)
        assert sluice(word, "--help").returncode == 0
    assert re.search(r"\d+\.\d+", sluice("--version").stdout)


def test_an_unknown_command_is_told_with_a_suggestion():
    r = sluice("chekc")
    assert r.returncode != 0 and "check" in r.stderr


def test_an_unknown_option_is_told():
    r = sluice("run", "--confg", "x")
    assert r.returncode != 0 and "--config" in r.stderr


def test_the_reference_lists_every_key():
    keys = sluice("--help-keys").stdout
    for name in ("threads", "access-log", "trusted-proxies", "backend", "keep-alive", "retry", "proxy"):
        assert re.search(rf"\b{name}\b", keys), name
    assert pathlib.Path(TOP / "docs").is_dir()


# ---- privileges ----

def test_root_is_given_up_once_the_listeners_are_open(gateway, backend):
    """As nobody, if we may become that; otherwise the key is only warned of."""
    b = backend()
    text = (f"gateway {{\n user nobody\n access-log off\n}}\nlisten 127.0.0.1:0\n"
            f"pool app {{\n backend {b.address}\n}}\nsite * {{\n proxy app\n}}\n")
    if os.geteuid() == 0:
        g = gateway(text)
        assert g.get().status == 200    # requests are served by nobody but that user
        status = pathlib.Path(f"/proc/{g.serving_pid()}/status").read_text()
        uid = pwd.getpwnam("nobody").pw_uid
        assert re.search(rf"^Uid:\s+{uid}\s+{uid}\s+{uid}\s+{uid}$", status, re.M)
        assert re.search(r"^CapEff:\s+0+$", status, re.M)
    else:
        g = gateway(text)
        g.wait_line("warning: .*user")
