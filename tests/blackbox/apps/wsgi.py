"""A WSGI application, for uwsgi and gunicorn."""

import json
import os
import sys


def application(environ, start_response):
    path = environ.get("PATH_INFO")
    if path == "/say":
        print("a word by stderr", file=sys.stderr, flush=True)
    if path == "/upload":
        size, stream = 0, environ["wsgi.input"]
        while piece := stream.read(65536):
            size += len(piece)
        body = str(size).encode()
    elif path == "/pid":
        body = str(os.getpid()).encode()
    elif path == "/large":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return (bytes([i]) * 65536 for i in range(100))
    else:
        body = json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
