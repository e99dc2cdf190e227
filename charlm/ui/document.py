"""The HTML document that Gradio starts in, with the page's own tags and its first paint."""

import asyncio
import gzip

from charlm.serving.asgi import answer_of, header, route_of
from charlm.ui.first_paint import with_first_paint
from charlm.ui.preview import visitor_address, with_tags
from charlm.ui.static_files import FILES, send_file

MAX_DOCUMENTS = 16  # kept, of 350 kB: one for each address under which visitors reach the page
GZIP_HEADERS = (b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")
# besides the host: Gradio makes the page's own links from them
ADDRESS_HEADERS = ("x-forwarded-host", "x-forwarded-proto", "x-gradio-server")


class Document:
    """Middleware that rewrites the document, and serves the files that it names.

    Gradio takes 30 ms of a core for the document, which is the same for all visitors: it is kept.
    """

    def __init__(self, app, page):
        """`page`: the gr.Blocks served, with its `masthead`."""
        self.app, self.page = app, page
        self._documents = {}  # key -> (start, body), the oldest first
        self._compressed = {}  # body -> its gzip for an address without a query, which takes 10 ms
        self._rendering = asyncio.Lock()  # a crowd that comes at once waits for one rendering

    async def __call__(self, scope, receive, send):
        route = route_of(scope) if scope["type"] == "http" else ""
        if route in FILES and scope["method"] in ("GET", "HEAD"):
            return await send_file(send, FILES[route], scope["method"] == "HEAD")
        if route != "/" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        start, body = await self._document(scope)
        headers, query = start["headers"], scope["query_string"]
        if body in self._compressed and not query and "gzip" in header(scope, "accept-encoding"):
            headers, body = [*headers, *GZIP_HEADERS], self._compressed[body]
        elif is_html(start):
            body = with_first_paint(body, query, self.page)
        await send(start | {"headers": with_length(headers, len(body))})
        return await send({"type": "http.response.body", "body": body})

    async def _document(self, scope):
        """Return (the message that starts the response, the body) without the first paint."""
        address = visitor_address(scope, self.page.share_url)
        key = (address, *(header(scope, name) for name in ADDRESS_HEADERS))
        if key in self._documents:
            return self._documents[key]
        async with self._rendering:
            if key not in self._documents:
                request = scope | {"query_string": b""}
                start, body = await answer_of(self.app, request)
                if start["status"] != 200 or not is_html(start):
                    return start, body
                while len(self._documents) >= MAX_DOCUMENTS:
                    _, oldest = self._documents.pop(next(iter(self._documents)))
                    self._compressed.pop(oldest, None)
                body = with_tags(body, address)
                self._documents[key] = start, body
                self._compressed[body] = gzip.compress(with_first_paint(body, b"", self.page))
            return self._documents[key]


def is_html(start):
    """Return whether a response begins as that of a page which is not compressed."""
    headers = {name.lower(): value for name, value in start["headers"]}
    html = headers.get(b"content-type", b"").startswith(b"text/html")
    return html and b"content-encoding" not in headers


def with_length(headers, length):
    """Return response headers with another content-length."""
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*others, (b"content-length", b"%d" % length)]
