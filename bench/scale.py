#!/usr/bin/env python3
"""What a second thread is worth: one thread, two threads, and two processes that share nothing.

    scale.py [--servers sluice] [--rate 6000] [--rounds 40] [--json out.json]

Run from the harness's folder, as `make bench SCENARIO=scale` does. First small requests to a backend, as many a
second for each thread: their CPU time says what threads cost each other. Then a file of 64 KiB that is compressed for
each request, as fast as it goes: there the gateway is what limits, and its answers a second say what two do together.

All run all the time; the load goes round in short slices, in an order by chance, because a machine's pace changes from
second to second. Each thread has a processor of its own, which it shares with load generators and backends.
SPDX-License-Identifier: MIT
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess

import common

CPUS, CONNS = (0, 1), 64
AUTOGROUP = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled")
KINDS = {"1 thread": (1, 1), "2 threads": (2, 1), "2 processes": (1, 2)}    # threads, processes


def threads_of(leader):
    return [(pid, int(tid)) for pid in common.family(leader) for tid in os.listdir(f"/proc/{pid}/task")]


def ran_ns(thread):
    return int(pathlib.Path("/proc/{}/task/{}/schedstat".format(*thread)).read_text().split()[0])


class Kind:
    """Some threads, in one process or several, and what was measured of them."""

    def __init__(self, server, work, values, threads, processes):
        self.count = threads * processes
        self.instances = [server.start(work, {**values, "THREADS": threads}) for _ in range(processes)]
        self.threads = [t for i in self.instances for t in threads_of(i.process.pid)]
        self.cpu_us, self.per_s, self.failed = [], [], 0

    def run(self, path, duration, rate, fields=()):
        """Answers (requests answered, CPU time in ns); the loads and their connections are as many for each kind."""
        loads, before = [], sum(map(ran_ns, self.threads))
        for cpu in CPUS:
            for n in range(len(CPUS)):
                port = self.instances[n % len(self.instances)].ports["PORT_HTTP"]
                each = len(CPUS) * len(CPUS)
                command = [os.path.join(common.BUILD, "load"), "--connect", f"127.0.0.1:{port}", "--path", path,
                           "--conns", CONNS * self.count // each, "--duration", duration, *fields]
                command += ["--rate", rate * self.count // each] if rate else []
                loads.append(subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                                              preexec_fn=lambda cpu=cpu: os.sched_setaffinity(0, {cpu})))
        results = [json.loads(load.communicate()[0]) for load in loads]
        self.failed += sum(r["requests"] - r["ok"] for r in results)
        return sum(r["ok"] for r in results), sum(map(ran_ns, self.threads)) - before

    def settle(self):
        """Gives each thread that works a processor."""
        before = {t: ran_ns(t) for t in self.threads}
        self.run("/b/1k", 0.5, None)
        busiest = sorted(self.threads, key=lambda t: before[t] - ran_ns(t))
        for cpu, (_, tid) in zip(CPUS, busiest[:self.count]):
            os.sched_setaffinity(tid, {cpu})

    def measure(self, path, duration, rate, fields=()):
        answered, ns = self.run(path, duration, rate, fields)
        self.cpu_us.append(ns / answered / 1e3)
        self.per_s.append(answered / duration)

    def stop(self):
        for i in self.instances:
            i.stop()


def write_text(path):
    """As much like text as random words can be."""
    chance = random.Random(1)
    words = [f"{chance.getrandbits(28):x}" for _ in range(3000)]
    pathlib.Path(path).write_text(" ".join(chance.choices(words, k=9000))[:64 << 10])


def compare(kinds, what, path, duration, rounds, rate=None, fields=()):
    for k in kinds.values():
        k.cpu_us, k.per_s, k.failed = [], [], 0
    for _ in range(rounds):
        for name in random.sample(list(kinds), len(kinds)):
            kinds[name].measure(path, duration, rate, fields)
    first = next(iter(kinds.values()))
    rows = []
    for name, k in kinds.items():
        cost = statistics.median(a / b for a, b in zip(k.cpu_us, first.cpu_us))
        speed = statistics.median(a / b for a, b in zip(k.per_s, first.per_s))
        rows.append([name, f"{statistics.median(k.per_s):.0f}", f"{statistics.median(k.cpu_us):.1f}",
                     f"{cost:.3f}", f"{k.count / cost:.2f}", f"{speed:.2f}", k.failed])
    print(f"\n{what}\n\n" + common.table(rows, ["", "answers/s", "CPU µs each", "× one thread", "worth in CPU time",
                                               "× its answers/s", "failed"]))
    return {name: {"cpu_us": k.cpu_us, "per_s": k.per_s} for name, k in kinds.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_server_options(p)
    p.add_argument("--rate", type=int, default=6000, help="small requests a second for each thread")
    p.add_argument("--rounds", type=int, default=40)
    p.add_argument("--duration", type=float, default=0.4, help="of a slice, in seconds")
    args = p.parse_args()
    common.setup()
    os.sched_setaffinity(0, CPUS)
    if AUTOGROUP.exists() and AUTOGROUP.read_text().strip() != "0":
        print(f"# {AUTOGROUP} is on: two threads of one session get less of a busy processor than two sessions do")
    work, origins, kinds = common.Work(), [], {}
    try:
        server = next(s for s in common.load_servers(args, "scale") if s.name == "sluice")
        write_text(os.path.join(work.docroot, "text.txt"))
        common.SERVER_CPU = set(CPUS)
        values = {"DOCROOT": work.docroot}
        for n, cpu in enumerate(CPUS):
            common.LOAD_CPU = {cpu}
            origins.append(common.Origin(work))
            values[f"ORIGIN{n + 1}_HTTP"] = origins[-1].address()
        for name, (threads, processes) in KINDS.items():
            kinds[name] = Kind(server, work, values, threads, processes)
            kinds[name].settle()
        results = {
            "small": compare(kinds, f"1 KiB from a backend, {args.rate} requests a second for each thread", "/b/1k",
                             args.duration, args.rounds, args.rate),
            "gzip": compare(kinds, "64 KiB of text, compressed for each request, as fast as it goes", "/text.txt",
                            5 * args.duration, args.rounds // 4, None, ["--header", "Accept-Encoding: gzip"])}
    finally:
        for k in kinds.values():
            k.stop()
        for o in origins:
            o.stop()
        work.remove()
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
