"""What other sites show for a link to the page: its title, a sentence and a picture."""

import os
import re
from html import escape
from pathlib import Path

from charlm.serving.asgi import header, route_of

PICTURES = Path(__file__).parent / "pictures"
ICON, PICTURE = PICTURES / "icon.png", PICTURES / "preview.jpg"
PICTURE_ROUTE = "/preview.jpg"
TITLE = "charlm: a tiny GPT that writes Shakespeare"
SENTENCE = (
    "Type a beginning, and a tiny GPT continues it, one predicted character at a time. Or watch one"
    " learn from scratch in two minutes."
)
TAG = re.compile(rb"""<meta\s[^>]*?["'](?:og|twitter):[^>]*>\s*""")
HEAD_END = b"</head>"


class LinkPreview:
    """Middleware that replaces the tags which Gradio gives every page by the page's own."""

    def __init__(self, app, share_url):
        """`share_url()`: the address of the share link; None without one."""
        self.app, self.share_url = app, share_url

    async def __call__(self, scope, receive, send):
        route = route_of(scope) if scope["type"] == "http" else ""
        if route == PICTURE_ROUTE:
            return await send_picture(send, scope["method"] == "HEAD")
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
                    body = with_tags(body, self.address(scope))
                await send(start | {"headers": with_length(start["headers"], len(body))})
                await send(message | {"body": body})

        return await self.app(scope, receive, rewrite)

    def address(self, scope):
        """Return the page's address, as the visitor sees it, without a slash at its end."""
        configured = os.environ.get("GRADIO_ROOT_PATH", "")
        if "://" in configured:
            return configured.rstrip("/")
        host = header(scope, "x-forwarded-host") or header(scope, "host")
        share = self.share_url() or ""
        https = host == os.environ.get("SPACE_HOST") or share == f"https://{host}"
        scheme = "https" if https else scope.get("scheme", "http")
        return f"{scheme}://{host}{scope.get('root_path', '')}".rstrip("/")


def with_tags(body, address):
    """Return a page's HTML with the tags of the preview in place of others."""
    picture = address + PICTURE_ROUTE
    og = {"title": TITLE, "type": "website", "url": f"{address}/", "description": SENTENCE}
    og |= {"image": picture, "image:width": "1200", "image:height": "630", "site_name": "charlm"}
    twitter = {"card": "summary_large_image", "title": TITLE, "description": SENTENCE}
    tags = ["<title>charlm</title>", f'<meta name="description" content="{escape(SENTENCE)}">']
    tags.append(f'<link rel="icon" type="image/png" href="{escape(address)}/favicon.ico">')
    tags += [f'<meta property="og:{k}" content="{escape(v)}">' for k, v in og.items()]
    tags += [f'<meta name="twitter:{k}" content="{escape(v)}">' for k, v in twitter.items()]
    tags.append(f'<meta name="twitter:image" content="{escape(picture)}">')
    return TAG.sub(b"", body).replace(HEAD_END, "\n".join(tags).encode() + HEAD_END, 1)


def is_html(start):
    """Return whether a response begins as that of a page which is not compressed."""
    headers = {name.lower(): value for name, value in start["headers"]}
    html = headers.get(b"content-type", b"").startswith(b"text/html")
    return html and b"content-encoding" not in headers


def with_length(headers, length):
    """Return response headers with another content-length."""
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*others, (b"content-length", b"%d" % length)]


async def send_picture(send, head):
    """Answer with the picture; `head`: without its bytes."""
    raw = PICTURE.read_bytes()
    headers = [
        (b"content-type", b"image/jpeg"),
        (b"content-length", b"%d" % len(raw)),
        (b"cache-control", b"public, max-age=86400"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else raw})
