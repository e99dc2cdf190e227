"""What a visitor sees before Gradio has run: the page's head and an empty frame below it.

Gradio's document is an empty page in the light theme. Its script fetches the rest of itself, then
sets the theme, the style sheets and the components, which moves the page at each step.
"""

from pathlib import Path
from urllib.parse import parse_qs

from charlm.ui.static_files import font_address
from charlm.ui.theme import style_sheet

HERE = Path(__file__).parent
HEAD, HEAD_END, APP = b"<head>", b"</head>", b"<gradio-app"
TABS = {"play": "play", "watch": "watch", "inside": "look inside"}
TABS["guess"] = "guess the next letter"
EMPTY_CHART = '<div class="curve"><div class="plot"></div></div>'


def with_first_paint(body, query, page):
    """Return a document's HTML with the style of the page and its frame; `query`: as bytes."""
    chosen = parse_qs(query.decode("latin-1")).get("tab", [""])[0]
    chosen = chosen if chosen in TABS else "play"
    content = {"play": f'<div class="paper">{page.first_text}</div>', "watch": EMPTY_CHART}
    frame = frame_html(page.masthead, chosen, content.get(chosen, ""))
    # the font before the scripts, which take seconds on a slow connection
    body = body.replace(HEAD, HEAD + preload_html("normal").encode(), 1)
    body = body.replace(HEAD_END, head_html(page.theme_hash).encode() + HEAD_END, 1)
    return body.replace(APP, frame.encode() + APP, 1)


def head_html(theme_hash):
    """Return the page's style, and the script that replaces the frame by the page."""
    theme = f'<link rel="stylesheet" href="theme.css?v={theme_hash}">'
    frame = (HERE / "first_paint.css").read_text(encoding="utf-8")
    script = (HERE / "first_paint.js").read_text(encoding="utf-8")
    style = f"<style>{style_sheet()}{frame}</style>"
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
        f'<div id="first-frame" inert>{masthead}<div class="tabs">{tabs}</div>'
        f'<div class="columns {chosen}">{content}</div></div>'
    )
