"""Gradio's scripts and styles, compressed once, for browsers to keep."""

import asyncio
from pathlib import Path

from gradio.brotli_middleware import BrotliMiddleware
from gradio.routes import BUILD_PATH_LIB

from charlm.serving.asgi import answer_of, header, route_of
from charlm.ui.static_files import YEAR

ASSETS, THEME = "/assets/", "/theme.css"
ENCODINGS = "br", "gzip"  # the one that Gradio prefers first
QUALITY = 9  # of Brotli's 11, the last two of which take seconds
CONDITIONS = "if-none-match", "if-modified-since", "range"


class Assets:
    """Middleware that keeps compressed files, and tells browsers to keep them for a year.

    Each file's address changes with its content. Gradio compresses a file anew for each visitor,
    which takes 0.1 s of a core for a first visit, and lets browsers guess how long to keep it. A
    common guess is a tenth of its age, which is short for a page that was just installed.
    """

    def __init__(self, app, folder=BUILD_PATH_LIB):
        """`folder`: the one that Gradio serves as ASSETS."""
        self.app, self._answers = app, {}  # (route, encoding) -> (start, body)
        # exact names: where case does not matter, one file has millions
        self._routes = {ASSETS + path.name for path in Path(folder).iterdir()}
        self._compressed = BrotliMiddleware(uncompressed(app), QUALITY)  # gzip for others
        self._compressing = asyncio.Lock()  # a crowd that comes at once waits for one compression

    async def __call__(self, scope, receive, send):
        if not self._is_asset(scope):
            return await self.app(scope, receive, send)
        accepted = header(scope, "accept-encoding")
        encoding = next((name for name in ENCODINGS if name in accepted), None)
        if not encoding or any(header(scope, name) for name in CONDITIONS):
            return await self.app(scope, receive, lambda message: send(with_year(message)))
        key = route_of(scope), encoding
        async with self._compressing:
            kept = self._answers.get(key)
            start, body = kept or await answer_of(self._compressed, scope)
            if start["status"] == 200:
                self._answers[key] = start, body
        await send(with_year(start))
        return await send({"type": "http.response.body", "body": body})

    def _is_asset(self, scope):
        """Return whether a request is for a file whose address changes with its content."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return False
        route = route_of(scope)
        is_theme = route == THEME and scope["query_string"].startswith(b"v=")
        return is_theme or route in self._routes


def uncompressed(app):
    """Return an application that answers as `app` does to a client that accepts no encoding."""

    async def answer(scope, receive, send):
        headers = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        await app(scope | {"headers": headers}, receive, send)

    return answer


def with_year(message):
    """Return a message of a response; the start of a success tells browsers to keep it."""
    if message["type"] != "http.response.start" or message["status"] not in (200, 206, 304):
        return message
    return message | {"headers": [*message["headers"], (b"cache-control", YEAR.encode())]}
