"""The files that the page serves itself: its fonts, a script, and the picture for links to it."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
DAY, YEAR = "public, max-age=86400", "public, max-age=31536000, immutable"
PICTURE_ROUTE = "/preview.jpg"
FONT_ROUTES = {
    "normal": "/static/fonts/eb-garamond.woff2",
    "italic": "/static/fonts/eb-garamond-italic.woff2",
}


@dataclass(frozen=True)
class StaticFile:
    path: Path
    content_type: bytes
    cache_control: str


FILES = {PICTURE_ROUTE: StaticFile(HERE / "pictures" / "preview.jpg", b"image/jpeg", DAY)}
SCRIPT_ROUTE = "/static/guess.js"  # which few visitors need
FILES[SCRIPT_ROUTE] = StaticFile(HERE / "guess.js", b"text/javascript; charset=utf-8", YEAR)
FILES |= {
    route: StaticFile(HERE / "fonts" / Path(route).name, b"font/woff2", YEAR)
    for route in FONT_ROUTES.values()
}


def font_address(style):
    """Return a font's address: see `address_of`."""
    return address_of(FONT_ROUTES[style])


@cache
def address_of(route):
    """Return the address of a file, relative to the page's, which changes with the file."""
    digest = hashlib.sha256(FILES[route].path.read_bytes()).hexdigest()
    return f"{route[1:]}?v={digest[:12]}"


async def send_file(send, file, head):
    """Answer with a StaticFile; `head`: without its bytes."""
    raw = file.path.read_bytes()
    headers = [
        (b"content-type", file.content_type),
        (b"content-length", b"%d" % len(raw)),
        (b"cache-control", file.cache_control.encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else raw})
