"""A Python application: ASGI, without a framework."""

import asyncio


async def app(scope, receive, send):
    assert scope["type"] == "http", scope["type"]
    path = scope["path"]
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break

    async def start(status=200, *fields):
        await send({"type": "http.response.start", "status": status,
                    "headers": [(b"content-type", b"text/plain"), *fields]})

    async def piece(data, more=True):
        await send({"type": "http.response.body", "body": data, "more_body": more})

    if path == "/echo":
        await start()
        await piece(body, more=False)
    elif path == "/who":
        fields = dict(scope["headers"])
        text = f"{fields[b'host'].decode()} {fields[b'x-forwarded-for'].decode()} {scope['query_string'].decode()}"
        await start(200, (b"content-length", str(len(text)).encode()))
        await piece(text.encode(), more=False)
    elif path == "/stream":
        await start()
        for n in range(20):
            await piece(b"%d\n" % n)
            await asyncio.sleep(0.005)
        await piece(b"", more=False)
    elif path == "/fail":
        raise RuntimeError("on purpose")
    elif path == "/nothing":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await piece(b"", more=False)
    else:
        await start(404)
        await piece(b"no such page\n", more=False)
