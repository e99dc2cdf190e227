"""Bounds on the files that visitors upload: in size, in number for each client, in all, in age."""

import asyncio
import contextlib
import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from charlm.serving.asgi import HTTP_PREFIX, header, refuse, route_of
from charlm.serving.clients import address_of

OVERHEAD = 65_536  # bytes of an upload's body besides the file
MAX_PER_CLIENT = 4  # files kept; the oldest one makes room
MAX_FILES = 32  # kept in all; the client that has most makes room
MAX_AGE = 900  # seconds until a file is deleted


@dataclass(frozen=True)
class Uploaded:
    """A file of a client."""

    client: str
    path: str


class UploadLimits:
    """Middleware that bounds uploads and deletes the oldest ones beyond the bounds."""

    def __init__(self, app, max_file):
        """`max_file`: bytes of a file."""
        self.app, self.max_bytes = app, max_file + OVERHEAD
        self.kept = deque()  # of Uploaded, the oldest first

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or route_of(scope) != f"{HTTP_PREFIX}/upload":
            return await self.app(scope, receive, send)
        length, received, answer = header(scope, "content-length"), 0, bytearray()
        if length.isdecimal() and int(length[:20]) > self.max_bytes:
            return await refuse(send, 413, f"a file has at most {self.max_bytes:,} bytes here")

        async def bounded_receive():
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # to Gradio, the client of a longer upload has gone
            return message if received <= self.max_bytes else {"type": "http.disconnect"}

        async def recording_send(message):
            answer.extend(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                for path in paths_in(answer):
                    self.keep(Uploaded(address_of(scope), path))
            await send(message)

        return await self.app(scope, bounded_receive, recording_send)

    def keep(self, uploaded):
        """Add a file; delete those beyond the bounds now, and this one after MAX_AGE."""
        self.kept.append(uploaded)
        asyncio.get_running_loop().call_later(MAX_AGE, self.delete, uploaded)
        own = [upload for upload in self.kept if upload.client == uploaded.client]
        if len(own) > MAX_PER_CLIENT:
            self.delete(own[0])
        elif len(self.kept) > MAX_FILES:
            clients = [upload.client for upload in self.kept]
            most = max(clients, key=clients.count)
            self.delete(next(upload for upload in self.kept if upload.client == most))

    def delete(self, uploaded):
        """Delete a file, unless that has been done."""
        if uploaded not in self.kept:
            return
        self.kept.remove(uploaded)
        # Gradio names a file after its content: two visitors' uploads may be the same file
        if all(other.path != uploaded.path for other in self.kept):
            with contextlib.suppress(OSError):
                Path(uploaded.path).unlink(missing_ok=True)
                Path(uploaded.path).parent.rmdir()


def paths_in(answer):
    """Return the paths in Gradio's answer to an upload; none if it was refused."""
    try:
        paths = json.loads(bytes(answer))
    except ValueError:
        return ()
    return tuple(paths) if isinstance(paths, list) else ()
