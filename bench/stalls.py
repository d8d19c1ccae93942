#!/usr/bin/env python3
"""What could hold a worker up, and by how much: the longest turn of the gateway's loop under each load.

    stalls.py [--extra sluice.ini] [--seconds 2] [--only name,name]

A client that asks during a turn waits for its end. The gateway's worker has cpu 0 to itself and says by itself, in its
metrics, how long its turns were; each load has a gateway of its own. The disk, the scheduler and the host count
too, so a figure is an upper bound: the last column has how often the kernel gave the processor to somebody else while
the worker was not waiting. Run from the harness's folder, as `make bench SCENARIO=stalls` does.
SPDX-License-Identifier: MIT
"""

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import common

THREAD = re.compile(r'^sluice_loop_turn_longest_seconds\{thread="\d+"\} (\S+)', re.M)
BOUNDS = ("0.001024", "0.002048", "0.004096")    # some of the histogram's, in seconds
PREEMPTED = re.compile(r"^nonvoluntary_ctxt_switches:\s+(\d+)", re.M)
BUCKET = re.compile(r'^sluice_loop_turn_seconds_bucket\{le="([^"]+)"\} (\d+)', re.M)


class NameServer:
    """dnsmasq, which knows one name with many addresses."""

    def __init__(self, work):
        self.port, self.log, self.process = common.free_port(), work.log, None
        self.answer(1)

    def answer(self, third):
        """From now on 127.0.third.1 to 60, to be asked for again after a second."""
        self.stop()
        addresses = ",".join(f"127.0.{third}.{i}" for i in range(1, 61))
        self.process = common.spawn(
            ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
             "--bind-interfaces", "--listen-address=127.0.0.1", f"--port={self.port}", "--local-ttl=1",
             f"--host-record=many.test,{addresses}"], common.LOAD_CPU, self.log)
        common.wait_port(self.port, process=self.process)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()


class Loads:
    """Each method is one: what it is, and the command or the actions that do it for some seconds."""

    def __init__(self, instance, name_server, seconds):
        self.instance, self.name_server, self.seconds = instance, name_server, seconds
        self.plain = f"http://127.0.0.1:{instance.ports['PORT_HTTP']}"
        self.tls = f"https://127.0.0.1:{instance.ports['PORT_TLS']}"

    def wrk(self, conns, url, *more):
        subprocess.run(["wrk", "-t1", f"-c{conns}", f"-d{self.seconds}", *more, url], check=True,
                       stdout=subprocess.DEVNULL)

    def small(self):
        "1 KiB, 64 connections"
        self.wrk(64, self.plain + "/b/1k")

    def many(self):
        "1 KiB, 512 connections"
        self.wrk(512, self.plain + "/b/1k")

    def close(self):
        "a connection for each request, 256 clients"
        self.wrk(256, self.plain + "/b/1k", "-H", "Connection: close")

    def download(self):
        "16 downloads of 64 MiB"
        self.wrk(16, self.plain + "/b/64m")

    def chunked(self):
        "16 downloads of 16 MiB, chunked"
        self.wrk(16, self.plain + "/c/16m")

    def file(self):
        "16 downloads of a file of 256 MiB"
        self.wrk(16, self.plain + "/256m")

    def file_tls(self):
        "the same over TLS"
        self.wrk(16, self.tls + "/256m")

    def handshakes(self):
        "a handshake for each request (P-256), 64 clients"
        self.wrk(64, self.tls + "/b/1k", "-H", "Connection: close")

    def h2(self):
        "HTTP/2, 32 connections with 100 streams each"
        subprocess.run(["h2load", "-c32", "-m100", "-D", str(self.seconds), self.tls + "/b/1k"], check=True,
                       stdout=subprocess.DEVNULL)

    def regex(self):
        "a path that a pattern needs exponential time for, 8 clients, and 1 KiB for 64 others"
        with self.beside():
            self.wrk(8, self.plain + "/" + "a" * 40 + "!")

    def reload(self):
        "reload: 500 sites, each with a pool of another name, and 1 KiB for 64 clients"
        with self.beside():
            for n in range(4):
                for i in range(500):
                    with open(os.path.join(self.instance.dir, "sites", f"{i}.conf"), "w") as f:
                        f.write(f"pool p{n}-{i} {{\n backend 127.0.0.1:9\n}}\n"
                                f"site s{i}.test {{\n route * {{ proxy p{n}-{i} }}\n}}\n")
                subprocess.run([self.instance.server.binary, "reload", "-c", self.instance.conf], check=True,
                               stdout=subprocess.DEVNULL)

    def names(self):
        "a name whose 60 addresses change every second, and 1 KiB for 64 clients of it"
        with self.beside("-H", "Host: many.test"):
            for n in range(self.seconds):
                time.sleep(1)
                self.name_server.answer(2 + n)

    @contextlib.contextmanager
    def beside(self, *more):
        p = subprocess.Popen(["wrk", "-t1", "-c64", f"-d{self.seconds + 1}", *more, self.plain + "/b/1k"],
                             stdout=subprocess.DEVNULL)
        yield
        p.wait()


LOADS = [n for n, f in vars(Loads).items() if callable(f) and f.__doc__]


def metrics(instance):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.path.join(instance.dir, "admin.sock"))
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: s.recv(1 << 16), b"")).decode()
    return max(map(float, THREAD.findall(text))), {le: int(n) for le, n in BUCKET.findall(text)}


def threads(instance):
    """The folder in /proc and the name of each."""
    for pid in common.family(instance.process.pid):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/comm") as f:
                yield f"/proc/{pid}/task/{thread}", f.read().strip()


def isolate_worker(instance):
    """It alone stays on its processor, where threads of the kernel run as well: it goes before them. Returns its
    folder."""
    worker, deadline = None, time.monotonic() + 10
    while not worker:                   # the port is open before there are threads
        assert time.monotonic() < deadline, "no worker"
        found = list(threads(instance))
        worker = next((folder for folder, name in found if name == "sluice/0"), None)
    os.setpriority(os.PRIO_PROCESS, int(os.path.basename(worker)), -20)
    for folder, _ in found:
        if folder != worker:
            os.sched_setaffinity(int(os.path.basename(folder)), common.LOAD_CPU)
    return worker


def preemptions(worker):
    with open(f"{worker}/status") as f:
        return int(PREEMPTED.search(f.read())[1])


def run(server, work, name, seconds):
    origin, name_server = common.Origin(work), NameServer(work)
    everywhere = common.free_port()     # an origin at each address that the name may have
    named = common.spawn([os.path.join(common.BUILD, "origin"), "--http", f"0.0.0.0:{everywhere}"], common.LOAD_CPU,
                         work.log)
    values = {"DOCROOT": work.docroot, "CERT": work.cert, "KEY": work.key,
              "RESOLVER": f"127.0.0.1:{name_server.port}", "NAMED_PORT": everywhere}
    for kind, port in origin.ports.items():
        values[f"ORIGIN_{kind.upper()}"] = f"127.0.0.1:{port}"
        values[f"ORIGIN_{kind.upper()}_PORT"] = port
    instance = None
    try:
        instance = server.start(work, values)
        os.mkdir(os.path.join(instance.dir, "sites"))
        worker = isolate_worker(instance)
        before = preemptions(worker)
        getattr(Loads(instance, name_server, seconds), name)()
        return *metrics(instance), preemptions(worker) - before
    finally:
        if instance:
            instance.stop()
        name_server.stop()
        named.kill()
        named.wait()
        origin.stop()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_server_options(p)
    p.add_argument("--seconds", "--duration", type=int, default=2)
    p.add_argument("--only", help="names, comma-separated: " + ", ".join(LOADS))
    args = p.parse_args()
    args.servers = "sluice"
    common.setup()
    work = common.Work()
    with open(os.path.join(work.docroot, "256m"), "wb") as f:
        for _ in range(256):
            f.write(bytes(1 << 20))     # and so in memory: how fast the disk is would be another question
    rows = []
    try:
        server = common.load_servers(args, "stalls")[0]
        for name in args.only.split(",") if args.only else LOADS:
            longest, buckets, preempted = run(server, work, name, args.seconds)
            total = buckets["+Inf"]
            beyond = [total - buckets[le] for le in BOUNDS]
            rows.append([getattr(Loads, name).__doc__, total, *beyond, f"{longest * 1000:.1f}", preempted])
    finally:
        work.remove()
    print(common.table(rows, ["load", "turns", *(f"> {float(le) * 1000:.0f} ms" for le in BOUNDS), "longest, ms",
                              "preempted"]))


if __name__ == "__main__":
    main()
