#!/usr/bin/env python3
"""Latency at half of what the slowest can do: 1 KiB, arrivals at a fixed rate, counted from when each was due.

    tail.py [--servers a,b] [--peers peers.ini] [--duration 5] [--rounds 4] [--json out.json]

Run from the harness's folder, as `make bench SCENARIO=tail` does. Rounds are interleaved.
SPDX-License-Identifier: MIT
"""

import argparse
import json
import statistics

import common

CONNS, PATH = 64, "/b/1k"


class Running:
    """A server with an origin of its own."""

    def __init__(self, server, work):
        self.origin = common.Origin(work)
        values = {"DOCROOT": work.docroot, "CGI": work.cgi, "CERT": work.cert, "KEY": work.key, "PEM": work.pem,
                  "CIPHER": "TLS_AES_256_GCM_SHA384"}
        for kind, port in self.origin.ports.items():
            values[f"ORIGIN_{kind.upper()}"] = f"127.0.0.1:{port}"
            values[f"ORIGIN_{kind.upper()}_PORT"] = port
        try:
            self.instance = server.start(work, values)
        except BaseException:
            self.origin.stop()
            raise

    def load(self, duration, rate=None):
        port = self.instance.ports["PORT_HTTP"]
        return common.run_load(["--connect", f"127.0.0.1:{port}", "--path", PATH, "--conns", CONNS,
                                "--duration", duration, *(["--rate", rate] if rate else [])])

    def stop(self):
        self.instance.stop()
        self.origin.stop()


def once(server, work, duration, rate=None):
    running = Running(server, work)
    try:
        running.load(1)
        return running.load(duration, rate)
    finally:
        running.stop()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_server_options(p)
    p.add_argument("--duration", type=int, default=5)
    p.add_argument("--rounds", type=int, default=4)
    args = p.parse_args()
    common.setup()
    work = common.Work()
    try:
        servers = common.load_servers(args)
        capacity = {s.name: once(s, work, 2)["ok"] / 2 for s in servers}
        rate = int(min(capacity.values()) / 2)
        print(f"{rate} requests a second, half of what {min(capacity, key=capacity.get)} can do")
        results = {s.name: [] for s in servers}
        for _ in range(args.rounds):
            for s in servers:
                results[s.name].append(once(s, work, args.duration, rate))
    finally:
        work.remove()
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"rate": rate, "capacity": capacity, "rounds": results}, f, indent=1)
    rows = []
    for name, rounds in results.items():
        row = [name]
        for what in ("p50", "p99", "p999", "max"):
            ms = [r["latency_us"][what] / 1000 for r in rounds]
            row += [f"{statistics.median(ms):.2f}", f"{min(ms):.2f}"]
        rows.append([*row, sum(r["requests"] - r["ok"] for r in rounds)])
    head = [f"{what} {which}" for what in ("p50", "p99", "p99.9", "max") for which in ("ms", "best")]
    print(common.table(rows, ["server", *head, "failed"]))


if __name__ == "__main__":
    main()
