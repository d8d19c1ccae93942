"""CGI programs: what they are given, how they may answer, and that they end."""

import hashlib
import os
import pathlib
import signal
import subprocess
import threading

import pytest

from conftest import make_config
from harness import Broken, Client, H2Client, h2, wait_for
from harness.certs import Authority
from harness.gateway import open_way

pytestmark = pytest.mark.serial

PYTHON = "#!/usr/bin/python3 -SE\n"
SH = "#!/bin/sh\n"

PROGRAMS = {
    "vars": SH + r"printf 'Content-Type: text/plain\n\n'; env; printf 'cwd=%s\narg0=%s argc=%s\n' \"$(pwd)\" \"$0\" $#",
    "fds": PYTHON + """
import os
print("Content-Type: text/plain\\n")
mine = os.open("/proc/self/fd", os.O_RDONLY)
for n in sorted(map(int, os.listdir(mine))):
    if n != mine:
        print(n, os.readlink(f"/proc/self/fd/{n}"))
""",
    "upload": PYTHON + """
import hashlib, os, sys
left, h = int(os.environ["CONTENT_LENGTH"]), hashlib.sha256()
while left:
    piece = os.read(0, 65536)
    assert piece, left
    h.update(piece)
    left -= len(piece)
assert os.read(0, 1) == b""
print("Content-Type: text/plain\\n")
print(h.hexdigest(), end="")
""",
    "download": PYTHON + """
import sys
sys.stdout.buffer.write(b"Content-Type: application/octet-stream\\n\\n")
for i in range(400):
    sys.stdout.buffer.write(bytes([i % 251]) * 65536)
""",
    "echo": PYTHON + """
import os
os.write(1, b"Content-Type: application/octet-stream\\n\\n")
while piece := os.read(0, 65536):
    while piece:
        piece = piece[os.write(1, piece):]
""",
    "says": SH + "echo 'a complaint' >&2\nprintf 'Content-Type: text/plain\\n\\nok'\necho 'and another' >&2",
    "nph-full": SH + r"printf 'HTTP/1.1 207 Odd\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok'",
    "status": SH + r"printf 'Status: 404 Not here\nContent-Type: text/plain\n\nnone'",
    "moved": SH + r"printf 'Location: http://other.test/\n\n'",
    "local": SH + r"""cat >/dev/null; printf 'Location: /run/vars/there?c=d\n\n'""",
    "local-with-body": SH + r"printf 'Location: /run/vars\n\nlook there'",
    "fragment": SH + r"printf 'Location: /run/vars#there\n\n'",
    "loop": SH + r"printf 'Location: /run/loop\n\n'",
    "nowhere": SH + r"printf 'Location: /elsewhere\n\n'",
    "silent": SH + "exit 3",
    "nonsense": SH + "echo 'no head at all'\necho\necho x",
    "killed": SH + "kill -9 $$",
    "dies-midway": SH + "printf 'Content-Type: text/plain\\n\\nhalf of '; kill -$QUERY_STRING $$",
    "goes-on": PYTHON + """
import os, time
os.write(1, b"Content-Type: text/plain\\n\\nall of it")
os.close(1)
while not os.path.exists("goes-on.go"):
    time.sleep(0.002)
os.kill(os.getpid(), 9)
""",
    "partial": SH + r"printf 'Content-Type: text/plain\nContent-Length: 10\n\nabc'",
    "hangs": PYTHON + """
import os, signal, sys, time
open("hangs.pid", "w").write(str(os.getpid()))
if os.environ["QUERY_STRING"] == "deaf":
    signal.signal(signal.SIGTERM, lambda *_: open("termed", "w"))
open("hangs.ready", "w")
while True:
    time.sleep(1)
""",
    "lingers": SH + r"""printf 'Content-Type: text/plain\n\nfirst'
(exec >&- 2>&-; exec <&-; : >lingers.begun; while [ ! -e lingers.go ]; do sleep 0.01; done; : >lingers.done) &
exit 0""",
    "mute": SH + "exec <&- >&-; echo $$ >mute.pid.new; mv mute.pid.new mute.pid; exec sleep 600",
    "finishes": SH + r"""printf 'Content-Type: text/plain\nContent-Length: 4\n\ndone'
while [ ! -e finishes.go ]; do sleep 0.01; done; : >finishes.done""",
    "gate": PYTHON + """
import os, time
open(f"in.{os.getpid()}", "w")
while not os.path.exists("open"):
    time.sleep(0.002)
os.unlink(f"in.{os.getpid()}")
print("Content-Type: text/plain\\n\\nok", end="")
""",
    # what they do with their pipes
    "opens": SH + """exec 3</dev/stdin 4>/dev/stdout 5>/dev/stderr
printf 'Content-Type: text/plain\\n\\n' >&4; cat <&3 >&4; echo 'by its name' >&5""",
    "ends-at-once": PYTHON + """
import os
print("Content-Type: text/plain\\n\\n%r" % os.read(0, 10), end="")
""",
    "sips": PYTHON + """
import os
os.write(1, b"Content-Type: application/octet-stream\\n\\n")
while piece := os.read(0, 1789):
    for at in range(0, len(piece), 611):
        part = piece[at:at + 611]
        assert os.write(1, part) == len(part)
""",
    "deaf": SH + "printf 'Content-Type: text/plain\\n\\n'; exec head -c 3000000 /dev/zero",
    "deaf-length": SH + "printf 'Content-Type: text/plain\\nContent-Length: 2\\n\\nok'",
    "deaf-redirect": SH + "printf 'Location: /run/vars/there?c=d\\n\\n'",
    "closes-input": SH + "head -c 1000 >/dev/null; exec <&-; printf 'Content-Type: text/plain\\n\\n'; exec head -c 3000000 /dev/zero",
    "closes-output": PYTHON + """
import os
os.write(1, b"Content-Type: text/plain\\n\\nall of it")
os.close(1)
while os.read(0, 65536):
    pass
open("closes-output.done", "w")
""",
    "dies-reading": SH + "head -c 100000 >/dev/null; kill -9 $$",
    "stops-reading": SH + "head -c 100000 >/dev/null; exec sleep 600",
    "reads-late": PYTHON + """
import os, time
open("pid.new", "w").write(str(os.getpid()))
os.rename("pid.new", "pid")
while not os.path.exists("go"):
    time.sleep(0.002)
n = 0
while piece := os.read(0, 65536):
    n += len(piece)
print("Content-Type: text/plain\\n\\n%d" % n, end="")
""",
    "reads-forever": PYTHON + """
import os
open("pid.new", "w").write(str(os.getpid()))
os.rename("pid.new", "pid")
while os.read(0, 65536):
    pass
""",
    "writes-forever": PYTHON + """
import os
open("pid.new", "w").write(str(os.getpid()))
os.rename("pid.new", "pid")
os.write(1, b"Content-Type: text/plain\\n\\n")
while True:
    os.write(1, bytes(65536))
""",
    "pages": PYTHON + """
import os
os.write(1, b"Content-Type: application/octet-stream\\n\\n")
for i in range(1024):
    piece = i.to_bytes(4, "big") * 16384
    while piece:
        piece = piece[os.write(1, piece):]
""",
    "background": SH + """printf 'Content-Type: text/plain\\n\\nfirst'
(while [ ! -e background.go ]; do sleep 0.01; done; printf ' second') &
exit 0""",
    "unreadable": "#!/nowhere/at/all\n",
    "sub/dir/deep": SH + r"printf 'Content-Type: text/plain\n\n%s %s %s' \"$SCRIPT_NAME\" \"$PATH_INFO\" \"$(pwd)\"",
}


def write_programs(folder):
    for name, text in PROGRAMS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace('\\"', '"'))
        path.chmod(0o755)
    (folder / "plain.txt").write_text("not a program")
    return folder


@pytest.fixture
def programs(tmp_path):
    return write_programs(tmp_path / "programs")


@pytest.fixture(scope="module")
def shared_programs(tmp_path_factory):
    return write_programs(tmp_path_factory.mktemp("programs"))


def config(at, *pool, route="/run/*", **more):
    return make_config(site=f"site * {{\n    route {route} {{ proxy app }}\n}}\n",
                       pool=[f"backend cgi://{at}", *pool], **more)


@pytest.fixture
def cgi(gateway, programs):
    def start(*pool, at=None, **more):
        g = gateway(config(at or programs, *pool, **more))
        g.first_fds = g.fds()
        return g
    return start


@pytest.fixture
def shared_cgi(shared_gateway, shared_programs):
    """For tests of programs that leave nothing behind."""
    return shared_gateway(config(shared_programs))


def variables(m):
    return dict(line.split("=", 1) for line in m.body.decode().splitlines() if "=" in line)


def is_running(pid):
    try:
        return "zombie" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


# ---- what a program is given ----

def test_a_program_sees_its_variables_and_its_directory(cgi, programs):
    g = cgi()
    m = g.client().get("/run/vars/more%20info/x?a=1&b=%3D", "Accept: text/plain\r\nProxy: http://evil\r\nX-Y: z\r\n",
                       host="www.test")
    v = variables(m)
    expected = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "QUERY_STRING": "a=1&b=%3D",
                "SCRIPT_NAME": "/run/vars", "PATH_INFO": "/more info/x", "SERVER_NAME": "www.test",
                "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_PORT": str(g.address[1]),
                "HTTP_ACCEPT": "text/plain", "HTTP_X_Y": "z", "SCRIPT_FILENAME": f"{programs}/vars",
                "REQUEST_URI": "/run/vars/more%20info/x?a=1&b=%3D", "cwd": str(programs)}
    assert {k: v.get(k) for k in expected} == expected
    assert "HTTP_PROXY" not in v and "CONTENT_LENGTH" not in v
    assert v["arg0"].startswith("./vars argc=0")


def test_a_program_beneath_a_directory_runs_where_it_lies(cgi, programs):
    assert cgi().get("/run/sub/dir/deep/x").body.decode() == f"/run/sub/dir/deep /x {programs}/sub/dir"


def test_a_program_has_no_variable_that_would_steer_an_interpreter(cgi):
    v = variables(cgi("run {\n env LD_LIBRARY_PATH=/own\n }").get("/run/vars", "LD-PRELOAD: /evil.so\r\n"))
    assert v["LD_LIBRARY_PATH"] == "/own" and v["HTTP_LD_PRELOAD"] == "/evil.so"
    assert not {"LD_PRELOAD", "PYTHONPATH", "IFS", "BASH_ENV"} & set(v)


def test_a_program_inherits_three_descriptors_and_no_more(cgi):
    g = cgi()
    idle = g.client()
    idle.get("/run/status")     # a client of ours that it must not hold
    lines = g.get("/run/fds").body.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2"], lines
    assert [line.split()[1].split(":")[0] for line in lines] == ["/dev/null", "pipe", "pipe"]
    idle.send("POST /run/fds HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx")
    lines = idle.response("POST").body.decode().splitlines()
    assert [line.split()[1].split(":")[0] for line in lines] == ["pipe", "pipe", "pipe"], lines


def test_one_program_alone_serves_a_whole_prefix(cgi, programs):
    g = cgi(at=programs / "vars", route="/app/*")
    v = variables(g.get("/app/some/where"))
    assert v["SCRIPT_NAME"] == "/app" and v["PATH_INFO"] == "/some/where" and v["cwd"] == str(programs)
    g = cgi(at=programs / "vars", route="/app*")
    for target, name, info in (("/app", "/app", None), ("/app/", "/app", "/"), ("/app/x", "/app", "/x"),
                               ("/apple/x", "", "/apple/x")):
        v = variables(g.get(target))
        assert (v["SCRIPT_NAME"], v.get("PATH_INFO")) == (name, info), target
    g = cgi(at=programs / "vars", route="*")
    v = variables(g.get("/some/where"))
    assert v["SCRIPT_NAME"] == "" and v["PATH_INFO"] == "/some/where"


@pytest.mark.parametrize("target, status", [
    ("/run/none", 404), ("/run/", 404), ("/run/sub", 404), ("/run/plain.txt", 403),
    ("/run/..%2f..%2fbin/sh", 400), ("/run/../bin/sh", 404), ("/run/vars%00", 400)])
def test_what_is_no_program_is_not_run(shared_cgi, target, status):
    assert shared_cgi.get(target).status == status


@pytest.fixture
def links(programs, tmp_path):
    """Links in the directory: the status of each where only those count that stay beneath it."""
    (tmp_path / "elsewhere").mkdir()
    outside = tmp_path / "elsewhere" / "status"
    outside.write_text(PROGRAMS["status"].replace('\\"', '"').replace("404", "299"))
    outside.chmod(0o755)
    (programs / "in").symlink_to("says")
    (programs / "sub" / "up").symlink_to("../says")
    (programs / "subin").symlink_to("sub/dir")
    (programs / "link").symlink_to(outside)
    (programs / "back").symlink_to("../elsewhere/status")
    (programs / "out").symlink_to(outside.parent)
    (programs / "round").symlink_to("round")
    return {"in": 200, "in/more": 200, "sub/up": 200, "subin/deep": 200, "link": 404, "back": 404, "out/status": 404, "round": 404}


def test_links_count_as_long_as_they_stay_beneath_the_directory(cgi, links):
    g = cgi()
    assert {path: g.get(f"/run/{path}").status for path in links} == links
    g.wait_line(r"leads out of the directory \(symlinks\)")


def test_links_are_worth_what_the_configuration_says(cgi, programs, links):
    inside = [path for path, status in links.items() if status == 200]
    g = cgi("run {\n symlinks off\n }")
    assert {g.get(f"/run/{path}").status for path in links} == {404}
    assert g.get("/run/says").status == 200
    g = cgi("run {\n symlinks follow\n }")
    assert {path: g.get(f"/run/{path}").status for path in links} == \
        {**links, "link": 299, "back": 299, "out/status": 299}
    g = cgi("run {\n symlinks owner\n }")
    assert {path: g.get(f"/run/{path}").status for path in links} == links
    if os.geteuid() == 0:
        os.lchown(programs / "in", 65534, 65534)
        os.lchown(programs / "subin", 65534, 65534)
        assert {path for path in inside if g.get(f"/run/{path}").status == 200} == {"sub/up"}


def test_names_that_begin_with_a_dot_are_no_programs(cgi, programs):
    for name in (".hidden", ".git/hooks/post-update", "sub/.svn/run", ".well-known/run", ".well-known/.run"):
        (programs / name).parent.mkdir(parents=True, exist_ok=True)
        (programs / name).write_text(PROGRAMS["says"])
        (programs / name).chmod(0o755)
    g = cgi()
    for path, status in (("/.hidden", 404), ("/.git/hooks/post-update", 404), ("/sub/.svn/run", 404),
                         ("/%2ehidden", 404), ("/.well-known/run", 200), ("/.well-known/.run", 404), ("/says/.git/x", 200)):
        assert g.get(f"/run{path}").status == status, path
    g = cgi("run {\n dotfiles on\n }")
    assert {g.get(f"/run{p}").status for p in ("/.hidden", "/.git/hooks/post-update", "/sub/.svn/run")} == {200}


def test_one_program_is_run_wherever_it_lies(cgi, links, programs):
    assert cgi(at=programs / "link", route="/app*").get("/app").status == 299


# ---- bodies ----

@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_arrives_whole(cgi, chunked):
    g = cgi()
    body = bytes(range(256)) * 60_000
    c = g.client(timeout=30)
    if chunked:
        c.send("POST /run/upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        c.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        m = c.response("POST")
    else:
        m = c.post("/run/upload", body)
    assert m.body.decode() == hashlib.sha256(body).hexdigest()


def test_a_large_download_arrives_whole(cgi):
    assert cgi().client(timeout=30).get("/run/download").body == b"".join(bytes([i % 251]) * 65536 for i in range(400))


@pytest.mark.parametrize("pool", [(), ("buffer off",)])
def test_a_program_may_answer_while_it_still_reads(cgi, pool):
    g = cgi(*pool)
    body = os.urandom(5_000_000)
    assert g.client(timeout=30).post("/run/echo", body).body == body


@pytest.fixture
def pid(programs):
    """Waits until the program has begun that writes its number down."""
    def wait():
        wait_for((programs / "pid").exists, "the program to run")
        return int((programs / "pid").read_text())
    return wait


def send_apart(c, data):
    """While the answer is read; who has answered may refuse the rest."""
    t = threading.Thread(target=c.try_send, args=(data,))
    t.start()
    return t


def unread(g, name, size=8_000_000, streams=()):
    """Posts what the program does not read; the answer. The connection serves another request, but may be closed where
    the body was still coming."""
    c = g.client(timeout=30)
    t = send_apart(c, b"POST /run/%s HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" %
                   (name.encode(), size, bytes(size)))
    m = c.response("POST")
    t.join()
    assert c.is_open() or streams
    return m


STREAMED = pytest.mark.parametrize("pool", [(), ("buffer off",)], ids=["buffered", "streamed"])


@pytest.mark.parametrize("user", ["", "user nobody"])
def test_a_program_can_open_what_it_inherits_by_name(cgi, programs, user):
    if user and os.geteuid() != 0:
        user = ""
    open_way(programs)
    g = cgi(*["run {\n user nobody\n }"] if user else [])
    assert g.client().post("/run/opens", b"a body").body == b"a body"
    g.wait_line("by its name")
    assert g.get("/run/opens").body == b""


def test_without_a_body_input_is_at_its_end(shared_cgi):
    with shared_cgi.client() as c:
        assert c.get("/run/ends-at-once").body == b"b''"
        assert c.post("/run/ends-at-once", b"", "Content-Length: 0\r\n").body == b"b''"
        assert c.post("/run/ends-at-once", b"", "Transfer-Encoding: chunked\r\n\r\n0\r\n").body == b"b''"
        assert c.ask("DELETE", "/run/ends-at-once").body == b"b''"


@STREAMED
def test_small_pieces_pass_both_ways_at_once(cgi, pool):
    body = os.urandom(2_000_000)
    assert cgi(*pool).client(timeout=30).post("/run/sips", body).body == body


def test_a_body_that_waited_in_a_file_arrives_whole(cgi):
    g = cgi("buffer request memory=4k")
    body = os.urandom(3_000_001)
    c = g.client(timeout=30)
    assert c.post("/run/sips", body).body == body
    c.send(b"POST /run/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
    for at in range(0, len(body), 70_000):
        piece = body[at:at + 70_000]
        c.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    c.send(b"0\r\n\r\n")
    assert c.response("POST").body == body


@STREAMED
def test_a_program_need_not_read_its_input(cgi, pool):
    g = cgi(*pool)
    for name in ("deaf", "closes-input"):
        m = unread(g, name, streams=pool)
        assert m.status == 200 and m.body == bytes(3_000_000), name
    m = unread(g, "deaf-length", streams=pool)
    assert m.status == 200 and m.body == b"ok"
    assert unread(g, "status", streams=pool).status == 404


@STREAMED
def test_a_local_redirect_need_not_read_either(cgi, pool):
    m = unread(cgi(*pool), "deaf-redirect", 300_000, pool)
    assert m.status == 200 and variables(m)["PATH_INFO"] == "/there"


@STREAMED
def test_a_program_that_has_closed_its_output_has_said_all(cgi, programs, pool):
    m = unread(cgi(*pool), "closes-output", 1_000_000, pool)
    assert m.status == 200 and m.body == b"all of it"
    wait_for((programs / "closes-output.done").exists, "its input to end")


@STREAMED
def test_a_program_that_dies_while_it_reads_is_a_failure(cgi, pool):
    g = cgi(*pool)
    assert unread(g, "dies-reading", streams=pool).status == 502
    g.wait_line("the program was killed by signal 9")


def test_a_program_that_stops_reading_meets_a_deadline(cgi):
    g = cgi("buffer off", "timeout idle=300ms")
    assert unread(g, "stops-reading", streams=("buffer off",)).status == 504
    g.wait_line("backend stopped reading")


def test_a_program_ends_when_its_client_goes_in_the_middle_of_the_body(cgi, pid):
    g = cgi("buffer off")
    c = g.client()
    c.send(b"POST /run/reads-forever HTTP/1.1\r\nHost: t\r\nContent-Length: 9000000\r\n\r\n" + bytes(1_000_000))
    number = pid()
    c.reset()
    wait_for(lambda: not is_running(number), "the program to end")


@STREAMED
def test_a_program_ends_when_its_client_goes_in_the_middle_of_the_answer(cgi, pid, pool):
    g = cgi(*pool)
    c = g.client()
    c.send("GET /run/writes-forever HTTP/1.1\r\nHost: t\r\n\r\n")
    assert len(c.recv(1000)) > 0
    number = pid()
    c.reset()
    wait_for(lambda: not is_running(number), "the program to end")


@STREAMED
def test_a_slow_client_gets_all_of_a_large_answer(cgi, pool):
    g = cgi(*pool)
    c = g.client(timeout=60, rcvbuf=8192)
    c.send("GET /run/pages HTTP/1.0\r\nHost: t\r\n\r\n")
    while b"\r\n\r\n" not in c.reader.buffer:
        assert c.reader.fill()
    h = hashlib.md5(c.reader.buffer.partition(b"\r\n\r\n")[2])
    while piece := c.recv(5000):
        h.update(piece)
    whole = hashlib.md5()
    for i in range(1024):
        whole.update(i.to_bytes(4, "big") * 16384)
    assert h.digest() == whole.digest()


def test_an_answer_goes_on_as_long_as_somebody_holds_the_output(cgi, programs):
    g = cgi("buffer off")
    c = g.client()
    c.send("GET /run/background HTTP/1.1\r\nHost: t\r\n\r\n")
    c.reader.until(b"first")
    (programs / "background.go").touch()
    assert b" second" in c.reader.until(b"\r\n0\r\n\r\n")


def test_a_head_is_all_that_head_gets(shared_cgi):
    with shared_cgi.client(timeout=30) as c:
        for _ in range(2):
            m = c.ask("HEAD", "/run/download")
            assert m.status == 200 and not m.body
        assert c.get("/run/says").body == b"ok"


@STREAMED
def test_leave_to_send_a_body_is_given_before_the_program_reads_it(cgi, pool):
    c = cgi(*pool).client()
    c.send("POST /run/upload HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n")
    assert c.response("POST", interim=True).status == 100
    body = os.urandom(200_000)
    c.send(body)
    assert c.response("POST").body.decode() == hashlib.sha256(body).hexdigest()


@STREAMED
def test_many_talk_at_once(cgi, pool):
    g = cgi("max-conns 100", *pool)
    answers = {}

    def talk(n):
        body = bytes([n]) * 300_000
        with Client(g.address, timeout=60) as c:
            answers[n] = c.post("/run/echo", body).body == body and c.get("/run/says").body == b"ok"
    threads = [threading.Thread(target=talk, args=(n,)) for n in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(answers.get(n) for n in range(64))


@STREAMED
def test_bodies_pass_to_a_program_over_http_2(cgi, pool):
    g = cgi(*pool)
    with H2Client(g.address, timeout=30) as c:
        for fields, size in (((("content-length", "700000"),), 700_000), ((), 300_000)):
            n = c.next_stream()
            c.send(h2.post(n, "/run/echo", *fields))
            c.upload(n, size)
            s = c.wait(n)
            assert s.status == 200 and s.body == bytes(size)
        s = c.ask("POST", "/run/deaf", body=b"x")
        assert s.status == 200 and s.body == bytes(3_000_000)


def test_bodies_pass_to_a_program_over_tls(cgi, tmp_path):
    authority = Authority(tmp_path)
    cert = authority.issue("localhost")
    g = cgi("buffer off", listen=f"127.0.0.1:0 tls {{\n certificate {cert.pem} key={cert.key}\n }}")
    (tmp_path / "body").write_bytes(os.urandom(2_000_000))
    for version in ("--http1.1", "--http2"):
        out = subprocess.run(["curl", "-sS", "--max-time", "60", "--cacert", authority.pem, version,
                              "--connect-to", f"::127.0.0.1:{g.address[1]}", "--data-binary", f"@{tmp_path}/body",
                              "https://localhost/run/echo"], capture_output=True)
        assert out.returncode == 0, out.stderr
        assert out.stdout == (tmp_path / "body").read_bytes()


# ---- what cannot be done ----

def wait_no_program(g):
    spawner = g.children()["sluice-spawner"]
    children = pathlib.Path(f"/proc/{spawner}/task/{spawner}/children")
    wait_for(lambda: not children.read_text(), "the programs to end")


@pytest.fixture
def epoll_fails(tmp_path):
    """The file to make, and the gateway's environment: see apps/fail_epoll.c."""
    library = tmp_path / "fail_epoll.so"
    source = __file__.replace("test_cgi.py", "apps/fail_epoll.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return tmp_path / "fails", {"LD_PRELOAD": str(library), "EPOLL_FAILS": str(tmp_path / "fails")}


def test_a_program_whose_output_cannot_be_heard_is_not_started(gateway, programs, epoll_fails):
    fails, env = epoll_fails
    g = gateway(config(programs), env=env)
    (programs / "marks").write_text("#!/bin/sh\ntouch marked\nprintf 'Content-Type: text/plain\\n\\nok'\n")
    (programs / "marks").chmod(0o755)
    fails.touch()
    with g.client() as c:
        c.send("POST /run/marks HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx")
        assert c.response("POST").status == 502
    g.wait_line("cannot connect: No space left on device")
    assert not (programs / "marked").exists()
    assert g.get("/run/marks").body == b"ok" and (programs / "marked").exists()


def test_an_input_that_cannot_go_on_is_a_failure(gateway, programs, epoll_fails):
    """Not its end: the program would answer to a part of it."""
    fails, env = epoll_fails
    g = gateway(config(programs, "buffer off"), env=env)
    fails.write_text("to")
    (programs / "go").touch()
    assert unread(g, "reads-late", 1_000_000, ("buffer off",)).status == 502
    g.wait_line("connection broken: No space left on device")
    wait_no_program(g)


def test_a_buffered_body_that_has_been_cut_is_a_failure(cgi, programs, pid):
    g = cgi("buffer request memory=4k")
    c = g.client()
    t = send_apart(c, b"POST /run/reads-late HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
    pid()
    files = [n for n, to in g.all_fds().items() if to.endswith("(deleted)") and to.startswith("/var/tmp")]
    assert len(files) == 1, g.all_fds()
    os.truncate(f"/proc/{g.serving_pid()}/fd/{files[0]}", 300_000)
    (programs / "go").touch()
    assert c.response("POST").status == 502
    t.join()
    g.wait_line("connection broken: Input/output error")
    wait_no_program(g)


# ---- what is left behind ----

def spawner_fds(g):
    return len(os.listdir(f"/proc/{g.children()['sluice-spawner']}/fd"))


def post_all(g, names, size=10):
    """The statuses; each on a connection of its own, which is closed."""
    statuses = []
    for name in names:
        with g.client(timeout=30) as c:
            c.try_send(b"POST /run/%s HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" %
                       (name.encode(), size, bytes(size)))
            statuses.append(c.response("POST").status)
    return statuses


def test_failures_leave_no_pipe_open(cgi):
    """Two that responses were spliced through may be kept by each thread."""
    g = cgi()
    assert post_all(g, ["says", "unreadable"]) == [200, 502]
    pipes, spawners = len(g.pipes()), spawner_fds(g)
    assert post_all(g, ["none", "unreadable", "silent", "killed", "plain.txt", "nonsense", "status"] * 20) == \
        [404, 502, 502, 502, 403, 502, 404] * 20
    wait_for(lambda: len(g.pipes()) <= pipes + 4 and spawner_fds(g) <= spawners, "pipes to be closed")
    g.expect_error("cannot start the program")


def test_a_gateway_short_of_descriptors_leaves_none_open(gateway, programs):
    """Each program needs one here and six there for a moment: some of the many cannot be had."""
    g = gateway(config(programs, "max-conns 100", threads=1), nofile=(60, 60))
    g.expect_error("cannot|descriptors|Too many open files")
    assert post_all(g, ["says"]) == [200]
    pipes = len(g.pipes())
    clients = [Client(g.address, timeout=30) for _ in range(20)]
    for c in clients:
        c.send("POST /run/gate HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nxx")
    wait_for(lambda: list(programs.glob("in.*")), "a program to run")
    (programs / "open").touch()
    statuses = {c.response("POST").status for c in clients}
    assert 200 in statuses and statuses <= {200, 502, 503}, statuses
    for c in clients:
        c.close()
    wait_for(lambda: len(g.pipes()) <= pipes, "pipes to be closed")
    assert post_all(g, ["says"]) == [200]


# ---- answers ----

@pytest.mark.parametrize("name, status, body", [
    ("nph-full", 207, b"ok"), ("status", 404, b"none"), ("moved", 302, None), ("silent", 502, None),
    ("nonsense", 502, None), ("killed", 502, None), ("says", 200, b"ok")])
def test_a_program_may_answer_in_these_ways(shared_cgi, name, status, body):
    m = shared_cgi.get(f"/run/{name}")
    assert m.status == status and body in (None, m.body)
    if name == "moved":
        assert m["location"] == "http://other.test/"


@pytest.mark.parametrize("signo", [9, 11, 15])
def test_what_a_program_says_until_it_is_killed_is_not_taken_for_all(cgi, signo):
    """Nothing else tells that a response without a length is whole."""
    g = cgi()
    c = g.client()
    c.send(f"GET /run/dies-midway?{signo} HTTP/1.1\r\nHost: t\r\n\r\n")
    said = c.reader.rest()
    assert b"half of " in said and not said.endswith(b"0\r\n\r\n")
    g.wait_line("the program was killed before the end of its response")
    with H2Client(g.address) as h:
        h.send(h2.get(1, f"/run/dies-midway?{signo}"))
        s = h.wait(1)
        assert s.status == 200 and bytes(s.body) == b"half of " and s.error == "INTERNAL_ERROR"
    g.expect_error("killed")


def test_a_program_that_goes_on_without_its_output_holds_up_nobody(cgi, programs):
    """For long: how it ends is waited for, but not for ever."""
    m = cgi().get("/run/goes-on")
    assert m.status == 200 and m.body == b"all of it"
    (programs / "goes-on.go").touch()


def test_a_local_redirect_is_followed_inside_the_gateway(cgi):
    g = cgi()
    v = variables(g.client().post("/run/local?a=b", b"x" * 300_000))
    assert v["PATH_INFO"] == "/there" and v["QUERY_STRING"] == "c=d" and v["REQUEST_METHOD"] == "GET"
    assert "CONTENT_LENGTH" not in v and "CONTENT_TYPE" not in v
    assert g.client().ask("HEAD", "/run/local").status == 200
    assert g.get("/run/nowhere").status == 404
    a = next(a for a in g.access(3) if a["method"] == "POST")
    assert a["target"] == "/run/local?a=b" and a["status"] == 200


def test_a_local_redirect_to_itself_ends(cgi):
    g = cgi()
    assert g.get("/run/loop").status == 500
    g.wait_line("too many internal redirects")


def test_what_only_looks_like_a_local_redirect_is_the_clients(cgi):
    m = cgi().get("/run/local-with-body")
    assert m.status == 302 and m.reason == "Found" and m["location"] == "/run/vars" and m.body == b"look there"
    m = cgi().get("/run/fragment")
    assert m.status == 302 and m["location"] == "/run/vars#there"


def test_an_answer_that_breaks_off_is_seen_to_be_broken(cgi):
    with pytest.raises(Broken):
        cgi().get("/run/partial")


def test_what_a_program_complains_of_is_logged_with_the_id_of_its_request(cgi):
    g = cgi()
    g.get("/run/says")
    id = g.access()[0]["id"]
    for words in ("a complaint", "and another"):
        g.wait_line(rf"warn \[{id}\] pool app.*{words}")
    g.get("/run/silent")
    g.wait_line("the program exited with status 3")
    g.get("/run/killed")
    g.wait_line("the program was killed by signal 9")


# ---- ends ----

@pytest.mark.parametrize("how", ["", "deaf"])
def test_a_program_ends_when_its_client_goes(cgi, programs, how):
    g = cgi("run {\n stop-timeout 300ms\n }")
    c = g.client()
    c.send(f"GET /run/hangs?{how} HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for((programs / "hangs.ready").exists, "the program to run")
    pid = int((programs / "hangs.pid").read_text())
    c.reset()
    wait_for(lambda: not is_running(pid), "the program to end")
    assert (programs / "termed").exists() == (how == "deaf")


@pytest.mark.parametrize("leaves", [False, True])
def test_a_program_that_closes_its_output_and_goes_on_is_ended(cgi, programs, leaves):
    """Its end is awaited for a moment, as it could have been its spawner's; the client may leave meanwhile."""
    g = cgi("run {\n finish-timeout 300ms\n }")
    gateway_pid = g.serving_pid()
    c = g.client(timeout=30)
    c.send("GET /run/mute HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for((programs / "mute.pid").exists, "the program to close its output")
    if leaves:
        c.reset()
    else:
        assert c.response().status == 502
        g.wait_line("connection closed before a response head")
    pid = int((programs / "mute.pid").read_text())
    wait_for(lambda: not is_running(pid), "the program to end")
    assert g.get("/run/vars").status == 200
    assert g.serving_pid() == gateway_pid


def test_a_program_ends_at_its_deadline(cgi, programs):
    g = cgi("timeout response=300ms")
    pid = programs / "hangs.pid"

    def has_begun():
        """It may be over before the program does anything at all."""
        assert g.get("/run/hangs").status == 504
        return pid.exists() and pid.read_text()
    wait_for(has_begun, "a program that has begun to meet its deadline", 30)
    wait_for(lambda: not is_running(int(pid.read_text())), "the program to end")
    g.wait_line("no response from the backend")


def test_a_program_that_has_answered_may_leave_something_running(cgi, programs):
    g = cgi()
    assert g.get("/run/lingers").body == b"first"
    wait_for((programs / "lingers.begun").exists, "the rest to run")
    (programs / "lingers.go").touch()
    wait_for((programs / "lingers.done").exists, "the rest to end by itself")


def test_a_program_that_has_answered_may_finish_what_it_does(cgi, programs):
    g = cgi()
    assert g.get("/run/finishes").body == b"done"
    g.access()
    (programs / "finishes.go").touch()
    wait_for((programs / "finishes.done").exists, "the program to finish")


def test_no_program_is_left_when_the_gateway_stops(cgi, programs):
    g = cgi(gateway=["stop-timeout 200ms"])
    g.client().send("GET /run/hangs HTTP/1.1\r\nHost: t\r\n\r\n")
    wait_for((programs / "hangs.ready").exists, "the program to run")
    pid = int((programs / "hangs.pid").read_text())
    g.signal(signal.SIGTERM)
    wait_for(lambda: not is_running(pid), "the program to end")


# ---- limits ----

def test_no_more_than_the_limit_run_at_a_time_and_the_others_wait(cgi, programs):
    g = cgi("max-conns 2", "queue length=3")
    clients = [g.client() for _ in range(5)]
    for c in clients:
        c.send("GET /run/gate HTTP/1.1\r\nHost: t\r\n\r\n")

    def running():
        return list(programs.glob("in.*"))
    wait_for(lambda: len(running()) == 2, "two programs to run")
    m = wait_for(lambda: (r := g.get("/run/gate")).status == 503 and r, "a sixth request to be refused")
    assert m["retry-after"]
    assert len(running()) == 2
    (programs / "open").touch()
    assert [c.response().body for c in clients] == [b"ok"] * 5
    assert not running()


def test_limits_and_umask_hold_for_programs(cgi, programs):
    (programs / "limits").write_text(SH + "printf 'Content-Type: text/plain\\n\\n'; umask; ulimit -n; ulimit -t")
    (programs / "limits").chmod(0o755)
    g = cgi("run {\n umask 027\n limit nofile=50 cpu=7s\n }")
    assert g.get("/run/limits").body.split() == [b"0027", b"50", b"7"]


# ---- git ----

def git(*args, cwd, ok=True):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
           "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@test", "GIT_COMMITTER_NAME": "a",
           "GIT_COMMITTER_EMAIL": "a@test"}
    r = subprocess.run(["git", *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 or not ok, r.stderr
    return r.stdout.strip()


@pytest.fixture
def repositories(tmp_path):
    root = tmp_path / "git"
    root.mkdir()
    git("init", "-q", "--bare", "-b", "main", "it.git", cwd=root)
    git("config", "http.receivepack", "true", cwd=root / "it.git")
    git("config", "uploadpack.allowFilter", "true", cwd=root / "it.git")
    return root


def test_git_clones_pushes_and_fetches_a_part_over_http(gateway, repositories, tmp_path):
    g = gateway(make_config(site="site * {\n route /git/* { proxy app }\n}\n", pool=[
        f"backend cgi://{git('--exec-path', cwd=tmp_path)}/git-http-backend",
        f"run {{\n env GIT_PROJECT_ROOT={repositories} GIT_HTTP_EXPORT_ALL=1 HOME={tmp_path}\n }}"]))
    g.first_fds = g.fds()
    url = f"{g.url}/git/it.git"
    work = tmp_path / "work"
    git("clone", "-q", url, work, cwd=tmp_path)
    git("checkout", "-q", "-b", "main", cwd=work)
    for n in range(3):
        (work / f"file{n}").write_bytes(os.urandom(700_000))       # a chunked upload when it is pushed
        git("add", ".", cwd=work)
        git("commit", "-q", "-m", f"change {n}", cwd=work)
    git("push", "-q", "origin", "main", cwd=work)
    head = git("rev-parse", "HEAD", cwd=work)
    assert git("rev-parse", "main", cwd=repositories / "it.git") == head

    git("clone", "-q", url, "whole", cwd=tmp_path)
    assert git("rev-parse", "HEAD", cwd=tmp_path / "whole") == head
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "whole") == "3"
    git("clone", "-q", "--depth", "1", url, "shallow", cwd=tmp_path)
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "shallow") == "1"
    git("fetch", "-q", "--deepen", "1", cwd=tmp_path / "shallow")
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "shallow") == "2"
    assert {a["status"] for a in g.access()} <= {200}


def test_gitweb_shows_a_repository(gateway, repositories, tmp_path):
    git("clone", "-q", repositories / "it.git", "seed", cwd=tmp_path, ok=False)
    git("checkout", "-q", "-b", "main", cwd=tmp_path / "seed", ok=False)
    (tmp_path / "seed" / "hello.txt").write_text("hello from a file\n")
    git("add", ".", cwd=tmp_path / "seed")
    git("commit", "-q", "-m", "a change of note", cwd=tmp_path / "seed")
    git("push", "-q", "origin", "HEAD:main", cwd=tmp_path / "seed")
    conf = tmp_path / "gitweb.conf"
    conf.write_text(f'$projectroot = "{repositories}"; $feature{{"pathinfo"}}{{"default"}} = [1];\n')
    g = gateway(make_config(site="site * {\n route /* { proxy app }\n}\n", pool=[
        "backend cgi:///usr/lib/cgi-bin", f"run {{\n symlinks follow\n env GITWEB_CONFIG={conf}\n }}"]))
    g.first_fds = g.fds()
    c = g.client(timeout=30)
    assert b"it.git" in c.get("/gitweb.cgi").body
    assert b"a change of note" in c.get("/gitweb.cgi?p=it.git;a=log").body
    m = c.get("/gitweb.cgi/it.git/blob_plain/main:/hello.txt")
    assert m.body == b"hello from a file\n" and m["content-type"].startswith("text/plain")
    assert c.get("/gitweb.cgi?p=none.git").status == 404
