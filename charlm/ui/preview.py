"""What other sites show for a link to the page: its title, a sentence and a picture."""

import os
import re
from html import escape
from pathlib import Path

from charlm.serving.asgi import header
from charlm.ui.static_files import PICTURE_ROUTE

ICON = Path(__file__).parent / "pictures" / "icon.png"
TITLE = "charlm: a tiny GPT that writes Shakespeare"
SENTENCE = (
    "Type a beginning, and a tiny GPT continues it, one predicted character at a time. Or watch one"
    " learn from scratch in two minutes."
)
TAG = re.compile(rb"""<meta\s[^>]*?["'](?:og|twitter):[^>]*>\s*""")
HEAD_END = b"</head>"


def visitor_address(scope, share_url):
    """Return the page's address, as the visitor sees it, without a slash at its end.

    `share_url`: the address of the share link; None without one.
    """
    configured = os.environ.get("GRADIO_ROOT_PATH", "")
    if "://" in configured:
        return configured.rstrip("/")
    host = header(scope, "x-forwarded-host") or header(scope, "host")
    https = host == os.environ.get("SPACE_HOST") or share_url == f"https://{host}"
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
