"""slots_origin.py SLOTS MS: answers every request after MS milliseconds, and counts connections.

Says its port; on `stats` the most connections there have been at a time.
"""

import heapq
import selectors
import socket
import sys
import time

SLOTS, WAIT = int(sys.argv[1]), int(sys.argv[2]) / 1000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

listener = socket.create_server(("127.0.0.1", 0), backlog=512)
listener.setblocking(False)
sel = selectors.DefaultSelector()
sel.register(listener, selectors.EVENT_READ)
sel.register(sys.stdin, selectors.EVENT_READ)
print(listener.getsockname()[1], flush=True)
due, now, most = [], 0, 0
while True:
    for key, _ in sel.select(max(0, due[0][0] - time.monotonic()) if due else 1):
        s = key.fileobj
        if s is listener:
            c, _ = s.accept()
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sel.register(c, selectors.EVENT_READ)
            now += 1
            most = max(most, now)
        elif s is sys.stdin:
            if not s.readline():
                sys.exit()
            print(most, flush=True)
            most = now
        else:
            data = s.recv(65536)
            if data:
                heapq.heappush(due, (time.monotonic() + WAIT, s.fileno(), s))
                continue
            sel.unregister(s)
            s.close()
            now -= 1
    while due and due[0][0] <= time.monotonic():
        s = heapq.heappop(due)[2]
        try:
            s.send(ANSWER)
        except OSError:
            pass
