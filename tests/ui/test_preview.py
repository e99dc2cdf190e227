"""What other sites show for a link to the page."""

import io
import os
import re

import httpx
import pytest
from PIL import Image

from charlm.ui.preview import SENTENCE, TITLE, visitor_address, with_tags


def tags_of(html):
    """Return the content of each tag of the preview by its name; fail on repeated ones."""
    found = re.findall(r'<meta (?:property|name)="((?:og|twitter):[\w:]+)" content="(.*?)">', html)
    assert len(found) == len(dict(found)) == html.count("og:") + html.count("twitter:")
    return dict(found)


def test_the_served_page_has_its_own_tags_picture_and_icon(app):
    html = httpx.get(app.url).text
    tags = tags_of(html)
    assert tags["og:title"] == tags["twitter:title"] == TITLE
    assert tags["og:description"] == SENTENCE
    assert tags["og:url"] == app.url
    assert tags["twitter:card"] == "summary_large_image"
    assert "{url}" not in html
    assert html.count("<title>charlm</title>") == 1
    picture = httpx.get(tags["og:image"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).size == (1200, 630)
    assert len(picture.content) < 100_000
    assert httpx.head(tags["og:image"]).headers["content-length"] == str(len(picture.content))
    icon = httpx.get(app.url + "favicon.ico").content
    assert Image.open(io.BytesIO(icon)).size == (128, 128)


@pytest.mark.parametrize(
    ("scope", "environment", "share_url", "address"),
    [
        ({}, {}, None, "http://localhost:7860"),
        ({"scheme": "https"}, {}, None, "https://localhost:7860"),
        ({"root_path": "/sub"}, {}, None, "http://localhost:7860/sub"),
        ({}, {"GRADIO_ROOT_PATH": "https://a.org/lm/"}, None, "https://a.org/lm"),
        ({}, {"SPACE_HOST": "localhost:7860"}, None, "https://localhost:7860"),
        ({}, {}, "https://localhost:7860", "https://localhost:7860"),
    ],
)
def test_the_address_is_what_the_visitor_sees(scope, environment, share_url, address, monkeypatch):
    monkeypatch.setattr(os, "environ", environment)
    scope = {"headers": [(b"host", b"localhost:7860")], "scheme": "http", **scope}
    assert visitor_address(scope, share_url) == address


def test_a_host_never_becomes_markup():
    html = with_tags(b"<head></head>", 'http://"><script>').decode()
    assert "<script>" not in html
