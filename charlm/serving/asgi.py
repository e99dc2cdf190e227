"""What the page's middleware shares: plain ASGI, without a framework."""

import asyncio
import json

HTTP_PREFIX = "/gradio_api"


async def refuse(send, status, sentence):
    """Answer a request with an HTTP status and a sentence, as Gradio's clients expect it."""
    body = json.dumps({"detail": sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),  # the rest of the request is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def header(scope, name):
    """Return a header of a request as a string; "" if it has none."""
    found = (value for key, value in scope["headers"] if key == name.encode())
    return next(found, b"").decode("latin-1")


async def answer_of(app, scope):
    """Return what an application answers: (the message that starts the response, the body).

    The request has no body, and its client stays to the end. The answer is kept for others, and
    one to a client that leaves may end early.
    """
    start, parts = {}, []
    requests = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        return requests.pop() if requests else await asyncio.Event().wait()

    async def collect(message):
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, collect)
    return start, b"".join(parts)


def route_of(scope):
    """Return the path of a request below the root path, without a slash at its end."""
    path, root = scope["path"], scope.get("root_path", "")
    return path.removeprefix(root).rstrip("/") or "/"
