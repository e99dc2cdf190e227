"""What a visitor sees before Gradio has run: the page's head and an empty frame below it.

Gradio's document is an empty page in the light theme. Its script fetches the rest of itself, then
sets the theme, the style sheets and the components, which moves the page at each step.
"""

from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

from charlm.ui.page import OneOf
from charlm.ui.page_parts import FULL_PAGE, checked_query, part_attributes, part_parameters
from charlm.ui.static_files import font_address
from charlm.ui.theme import read_script, style_sheet

HERE = Path(__file__).parent
HTML, HEAD, HEAD_END, APP = b"<html", b"<head>", b"</head>", b"<gradio-app"
TABS = {"play": "play", "watch": "watch", "inside": "look inside", "guess": "guess the next letter"}
EMPTY_CHART = '<div class="curve"><div class="plot"></div></div>'


def with_first_paint(body, query, page):
    """Return a document's HTML with the style of the page and its frame; `query`: as bytes."""
    query = {name: values[0] for name, values in parse_qs(query.decode("latin-1")).items()}
    values, _ = checked_query(query, {"tab": OneOf(tuple(TABS))} | part_parameters(TABS))
    chosen = values.get("embed") or values.get("tab", "play")
    content = {"play": f'<div class="paper">{page.first_text}</div>', "watch": EMPTY_CHART}
    frame = frame_html(page.masthead, chosen, content.get(chosen, ""))
    body = body.replace(HTML, HTML + part_attributes(values).encode(), 1)
    # the font before the scripts, which take seconds on a slow connection
    body = body.replace(HEAD, HEAD + preload_html("normal").encode(), 1)
    body = body.replace(HEAD_END, head_html(page.theme_hash).encode() + HEAD_END, 1)
    return body.replace(APP, frame.encode() + APP, 1)


@cache
def head_html(theme_hash):
    """Return the page's style, and the script that replaces the frame by the page."""
    theme = f'<link rel="stylesheet" href="theme.css?v={theme_hash}">'
    style = style_sheet(["theme.css", "first_paint.css", "page_parts.css"])
    style, script = f"<style>{style}</style>", read_script("first_paint.js")
    return f"{theme}{preload_html('italic')}{style}<script>{script}</script>"


def preload_html(style):
    font = font_address(style)
    return f'<link rel="preload" as="font" type="font/woff2" href="{font}" crossorigin>'


def frame_html(masthead, chosen, content):
    """Return the frame of the tab `chosen`."""
    tabs = "".join(
        f"<span{' class=selected' if name == chosen else ''}>{label}</span>"
        for name, label in TABS.items()
    )
    return (
        f'<div id="first-frame" inert>{FULL_PAGE}{masthead}<div class="tabs">{tabs}</div>'
        f'<div class="columns {chosen}">{content}</div></div>'
    )
