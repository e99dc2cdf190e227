"""The HTML document that Gradio starts in, with the page's own tags and its first paint."""

from charlm.serving.asgi import route_of
from charlm.ui.first_paint import with_first_paint
from charlm.ui.preview import visitor_address, with_tags
from charlm.ui.static_files import FILES, send_file


class Document:
    """Middleware that rewrites the document, and serves the files that it names."""

    def __init__(self, app, page):
        """`page`: the gr.Blocks served, with its `masthead`."""
        self.app, self.page = app, page

    async def __call__(self, scope, receive, send):
        route = route_of(scope) if scope["type"] == "http" else ""
        if route in FILES and scope["method"] in ("GET", "HEAD"):
            return await send_file(send, FILES[route], scope["method"] == "HEAD")
        if route != "/" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        start, parts = {}, []

        async def rewrite(message):
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                body = b"".join(parts)
                if is_html(start):
                    body = with_tags(body, visitor_address(scope, self.page.share_url))
                    body = with_first_paint(body, scope["query_string"], self.page)
                await send(start | {"headers": with_length(start["headers"], len(body))})
                await send(message | {"body": body})

        return await self.app(scope, receive, rewrite)


def is_html(start):
    """Return whether a response begins as that of a page which is not compressed."""
    headers = {name.lower(): value for name, value in start["headers"]}
    html = headers.get(b"content-type", b"").startswith(b"text/html")
    return html and b"content-encoding" not in headers


def with_length(headers, length):
    """Return response headers with another content-length."""
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*others, (b"content-length", b"%d" % length)]
