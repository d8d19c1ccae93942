"""An application for the gateway to run: HTTP, listening as it is told to by its environment.

LISTEN_FDS: on descriptor 3; PORT: on that port; SOCKET: on that unix socket. It starts in a moment and ends
gracefully on TERM. What it answers is said by the path, see below.
"""

import json
import os
import resource
import signal
import socket
import socketserver
import sys
import threading
import time
import urllib.parse

held = []


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return f"{mask:04o}"


def env(_):
    return json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "args": sys.argv[1:], "uid": os.getuid(),
                       "gid": os.getgid(), "groups": os.getgroups(), "umask": umask(), "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                       "fds": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1]})


def eat(query):
    held.append(bytearray(int(query["mb"]) << 20))
    return "eaten"


def say(query):
    print(query["out"], flush=True)
    print(query["err"], file=sys.stderr, flush=True)
    return "said"


def wait(query):
    """Until the file is there."""
    open(query["file"] + f".{os.getpid()}", "w").close()
    while not os.path.exists(query["file"]):
        time.sleep(0.002)
    return str(os.getpid())


ANSWERS = {"/pid": lambda _: str(os.getpid()), "/env": env, "/eat": eat, "/say": say, "/wait": wait,
           "/die": lambda query: os._exit(int(query["status"]))}


class Handler(socketserver.StreamRequestHandler):
    """Without http.server, which takes longer to import than all the rest to start."""

    def handle(self):
        while line := self.rfile.readline():
            fields = {}
            while field := self.rfile.readline().strip():
                name, _, value = field.partition(b":")
                fields[name.lower()] = value.strip()
            self.rfile.read(int(fields.get(b"content-length", 0)))
            url = urllib.parse.urlsplit(line.split()[1].decode())
            body = ANSWERS[url.path](dict(urllib.parse.parse_qsl(url.query))).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            if ending.is_set() or fields.get(b"connection") == b"close":
                return


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = False

    def __init__(self):
        super().__init__(None, Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening()

    def shutdown_request(self, request):
        self.close_request(request)


def listening():
    if os.environ.get("LISTEN_FDS"):
        assert os.environ["LISTEN_PID"] == str(os.getpid())
        return socket.socket(fileno=3)
    if os.environ.get("SOCKET"):
        s = socket.socket(socket.AF_UNIX)
        s.bind(os.environ["SOCKET"])
    else:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", int(os.environ["PORT"])))
    s.listen(128)
    return s


ending = threading.Event()
time.sleep(float(os.environ.get("START_S", "0")))
server = Server()


def on_term(*_):
    if os.environ.get("DEAF"):
        return
    ending.set()
    threading.Thread(target=server.shutdown).start()


signal.signal(signal.SIGTERM, on_term)
server.serve_forever(poll_interval=0.02)
os._exit(0)     # kept connections are idle: whoever shut us out has seen to that
