"""slots_origin.py SLOTS MS [fcgi | scgi]: answers every request after MS milliseconds, and counts connections.

Says its port; on `stats` the most connections there have been at a time, and how many answers it has given.
What is beyond SLOTS would wait in it, as with an application that has so many workers.
"""

import heapq
import pathlib
import selectors
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness.answering import Fcgi, Http, Scgi      # noqa: E402

SLOTS, WAIT = int(sys.argv[1]), int(sys.argv[2]) / 1000
PROTOCOL = {"fcgi": Fcgi, "scgi": Scgi}[sys.argv[3]] if sys.argv[3:] else Http


def received(s):
    """A client that goes before it has its answer resets the connection."""
    try:
        return s.recv(65536)
    except OSError:
        return b""


listener = socket.create_server(("127.0.0.1", 0), backlog=512)
listener.setblocking(False)
sel = selectors.DefaultSelector()
sel.register(listener, selectors.EVENT_READ)
sel.register(sys.stdin, selectors.EVENT_READ)
print(listener.getsockname()[1], flush=True)
due, waiting, busy, now, most, answered = [], [], 0, 0, 0, 0
while True:
    events = sel.select(max(0, due[0][0] - time.monotonic()) if due else 1)
    # A connection that was closed before another was made is seen to be closed before that one is counted.
    for key, _ in sorted(events, key=lambda event: event[0].fileobj is listener):
        s = key.fileobj
        if s is listener:
            c, _ = s.accept()
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sel.register(c, selectors.EVENT_READ, PROTOCOL())
            now += 1
            most = max(most, now)
        elif s is sys.stdin:
            if not s.readline():
                sys.exit()
            print(most, answered, flush=True)
            most = now
        else:
            data = received(s)
            waiting += [(s, *answer) for answer in key.data.feed(data)] if data else []
            if not data:
                sel.unregister(s)
                s.close()
                now -= 1
    while waiting and busy < SLOTS:
        busy += 1
        heapq.heappush(due, (time.monotonic() + WAIT, id(waiting[0]), waiting.pop(0)))
    while due and due[0][0] <= time.monotonic():
        s, answer, keep = heapq.heappop(due)[2]
        busy -= 1
        answered += 1
        try:
            s.send(answer)
            if not keep:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
